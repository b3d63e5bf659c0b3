"""`chainSpec_v1_*`: what the chain specification says."""

from rpc.methods import method
from rpc.params import to_hex
from rpc.ports import Json, Node


@method("chainSpec_v1_chainName")
def chain_name(node: Node) -> Json:
    """Name of the chain."""
    return node.system.chain()


@method("chainSpec_v1_genesisHash")
def genesis_hash(node: Node) -> Json:
    """Hash of block 0."""
    return to_hex(node.chain.genesis_hash())


@method("chainSpec_v1_properties")
def properties(node: Node) -> Json:
    """Address format and token of the chain."""
    return node.system.properties()

"""`dret_*`: what this chain's own tools ask."""

from rpc.methods import method
from rpc.ports import Json, Node


@method("dret_status")
async def status(node: Node) -> Json:
    """The node in one object: heads, peers, pool, process, settled intervals."""
    return await node.dret.status()

"""`system_*`: the node itself."""

from rpc.jsonrpc import RpcError
from rpc.methods import invalid_params, method
from rpc.params import Account, BlockHash, HexBytes, Text, to_hex
from rpc.ports import Json, Node, PortError
from rpc.state import answer

MALFORMED_PEER = 2002  # polkadot-sdk's code
KNOWN_CHAIN_TYPES = ("Development", "Local", "Live")


@method("system_name")
def name(node: Node) -> Json:
    """Name of the implementation."""
    return node.system.name()


@method("system_version")
def version(node: Node) -> Json:
    """Version of the implementation."""
    return node.system.version()


@method("system_chain")
def chain(node: Node) -> Json:
    """Name of the chain."""
    return node.system.chain()


@method("system_chainType")
def chain_type(node: Node) -> Json:
    """Type of the chain; wallets offer the development accounts for two of them."""
    kind = node.system.chain_type()
    return kind if kind in KNOWN_CHAIN_TYPES else {"Custom": kind}


@method("system_properties")
def properties(node: Node) -> Json:
    """Address format and token of the chain."""
    return node.system.properties()


@method("system_health")
def health(node: Node) -> Json:
    """Peers and synchronization; polkadot.js asks every ten seconds."""
    return health_json(node)


@method("system_syncState")
def sync_state(node: Node) -> Json:
    """Where the node started, stands and wants to go."""
    state = node.system.sync_state()
    return {
        "startingBlock": state.starting_block,
        "currentBlock": state.current_block,
        "highestBlock": state.highest_block,
    }


@method("system_nodeRoles")
def node_roles(node: Node) -> Json:
    """Authority, full or light."""
    return node.system.node_roles()


@method("system_localPeerId")
def local_peer_id(node: Node) -> Json:
    """The node's libp2p peer id."""
    return node.system.local_peer_id()


@method("system_localListenAddresses")
def local_listen_addresses(node: Node) -> Json:
    """Where peers reach the node."""
    return node.system.local_listen_addresses()


@method("system_peers", unsafe=True)
def peers(node: Node) -> Json:
    """Connected peers; unsafe, because it tells who is connected to whom."""
    return [
        {
            "peerId": peer.peer_id,
            "roles": peer.roles,
            "bestHash": to_hex(peer.best_hash),
            "bestNumber": peer.best_number,
        }
        for peer in node.system.peers()
    ]


@method("system_reservedPeers")
def reserved_peers(node: Node) -> Json:
    """Peers that are always kept connected."""
    return node.system.reserved_peers()


@method("system_addReservedPeer", unsafe=True)
def add_reserved_peer(node: Node, peer: Text) -> Json:
    """Keep a peer connected: its multiaddress with its peer id."""
    try:
        node.system.add_reserved_peer(peer)
    except PortError as error:
        raise RpcError(MALFORMED_PEER, str(error)) from None
    return None


@method("system_removeReservedPeer", unsafe=True)
def remove_reserved_peer(node: Node, peer_id: Text) -> Json:
    """Treat a peer like all others again."""
    try:
        node.system.remove_reserved_peer(peer_id)
    except PortError as error:
        raise RpcError(MALFORMED_PEER, str(error)) from None
    return None


@method("system_addLogFilter", unsafe=True)
def add_log_filter(node: Node, directives: Text) -> Json:
    """Log more or less of some targets, until the filter is reset or the node ends."""
    try:
        node.system.add_log_filter(directives)
    except PortError as error:
        raise invalid_params(str(error)) from None
    return None


@method("system_resetLogFilter", unsafe=True)
def reset_log_filter(node: Node) -> Json:
    """Log as the node was told at its start."""
    node.system.reset_log_filter()
    return None


@method("system_accountNextIndex", aliases=("account_nextIndex",))
async def account_next_index(node: Node, account: Account) -> Json:
    """The nonce for an account's next extrinsic, the pool's included."""
    return await node.pool.next_nonce(account)


@method("system_dryRun", aliases=("system_dryRunAt",), unsafe=True)
async def dry_run(node: Node, extrinsic: HexBytes, at: BlockHash | None) -> Json:
    """What an extrinsic would come to on a block: a SCALE encoded `ApplyExtrinsicResult`."""
    return to_hex(await answer(node.state.dry_run(extrinsic, at), at))


def health_json(node: Node) -> dict[str, Json]:
    """The object of `system_health` and of `GET /health`."""
    state = node.system.health()
    fields: dict[str, Json] = {
        "peers": state.peers,
        "isSyncing": state.is_syncing,
        "shouldHavePeers": state.should_have_peers,
    }
    if state.has_signer is not None:
        fields["hasSigner"] = state.has_signer
    return fields

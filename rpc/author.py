"""`author_*`: extrinsics into the pool, and the node's own keys.

A submission is refused with Substrate's codes whenever its fate is already known: clients raise
on an error, but substrate-interface waits for ever on an `invalid` status.
"""

from rpc.jsonrpc import RpcError
from rpc.methods import invalid_params, method, subscription
from rpc.params import ExtrinsicRefs, HexBytes, Text, to_hex, to_hex_or_none
from rpc.ports import Json, Node, PortError, SubmissionRefused, TransactionStatus
from rpc.subscriptions import Sink

AUTHOR_OTHER = 1040
KEY_TYPE_LENGTH = 4
FINAL_KINDS = frozenset({"finalityTimeout", "finalized", "usurped", "dropped", "invalid"})
KINDS_WITH_HASH = frozenset({"inBlock", "retracted", "finalityTimeout", "finalized", "usurped"})


@method("author_submitExtrinsic")
async def submit_extrinsic(node: Node, extrinsic: HexBytes) -> Json:
    """Put an extrinsic into the pool; its hash."""
    try:
        return to_hex(await node.pool.submit(extrinsic))
    except SubmissionRefused as refused:
        raise refusal(refused) from None


@method("author_pendingExtrinsics")
def pending_extrinsics(node: Node) -> Json:
    """Ready extrinsics."""
    return [to_hex(extrinsic) for extrinsic in node.pool.pending()]


@method("author_removeExtrinsic", unsafe=True)
def remove_extrinsic(node: Node, extrinsics: ExtrinsicRefs) -> Json:
    """Drop extrinsics from the pool, with what depends on them; the hashes of those found."""
    return [to_hex(ref.hash) for ref in extrinsics if node.pool.remove(ref.hash)]


@subscription(
    "author_submitAndWatchExtrinsic",
    notification="author_extrinsicUpdate",
    unsubscribe=("author_unwatchExtrinsic",),
)
async def watch_extrinsic(node: Node, sink: Sink, extrinsic: HexBytes) -> None:
    """Put an extrinsic into the pool and tell each step of its life."""

    def tell(status: TransactionStatus) -> None:
        sink.send(status_json(status))
        if status.kind in FINAL_KINDS:
            sink.finish()

    try:
        _, unsubscribe = await node.pool.submit_and_watch(extrinsic, tell)
    except SubmissionRefused as refused:
        raise refusal(refused) from None
    sink.on_close(unsubscribe)


@method("author_insertKey", unsafe=True)
def insert_key(node: Node, key_type: Text, suri: Text, public_key: HexBytes) -> Json:
    """Put a secret into the key store."""
    _check_key_type(key_type)
    try:
        node.keys.insert(key_type, suri, public_key)
    except PortError as error:
        raise RpcError(AUTHOR_OTHER, str(error)) from None
    return None


@method("author_hasKey", unsafe=True)
def has_key(node: Node, public_key: HexBytes, key_type: Text) -> Json:
    """Whether the key store has the secret of a public key."""
    _check_key_type(key_type)
    return node.keys.has(public_key, key_type)


@method("author_hasSessionKeys", unsafe=True)
def has_session_keys(node: Node, session_keys: HexBytes) -> Json:
    """Whether the key store has the secrets of a set of session keys."""
    try:
        return node.keys.has_session_keys(session_keys)
    except PortError as error:
        raise RpcError(AUTHOR_OTHER, str(error)) from None


@method("author_rotateKeys", unsafe=True)
async def rotate_keys(node: Node) -> Json:
    """Draw new session keys and store them; the public keys, for `Session.set_keys`."""
    try:
        return to_hex(await node.keys.rotate())
    except PortError as error:
        raise RpcError(AUTHOR_OTHER, str(error)) from None


@method("author_rotateKeysWithOwner", unsafe=True)
async def rotate_keys_with_owner(node: Node, owner: HexBytes) -> Json:
    """Draw new session keys for an account: the arguments of `Session.set_keys`."""
    try:
        keys = await node.keys.rotate()
        proof = await node.keys.prove_ownership(keys, owner)
    except PortError as error:
        raise RpcError(AUTHOR_OTHER, str(error)) from None
    return {"keys": to_hex(keys), "proof": to_hex(proof)}


def status_json(status: TransactionStatus) -> Json:
    """A status as `author_extrinsicUpdate` carries it."""
    if status.kind in KINDS_WITH_HASH:
        return {status.kind: to_hex_or_none(status.hash)}
    if status.kind == "broadcast":
        return {"broadcast": list(status.peers)}
    return status.kind


def refusal(refused: SubmissionRefused) -> RpcError:
    """The error of a submission that the pool refused."""
    return RpcError(refused.reason.code, str(refused), refused.data)


def _check_key_type(key_type: str) -> None:
    if len(key_type.encode()) != KEY_TYPE_LENGTH:
        raise invalid_params("Invalid key type ID format (should be of length four)")

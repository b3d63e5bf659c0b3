"""The node as `rpc.ports` sees it: thin adapters over the chain, the pool and the keystore.

Only here do the node's own errors become those the RPC server knows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from consensus.core import Core
from consensus.grandpa.tally import RoundTally
from node import pool as pools
from node.chain import Chain, ProofTooLong, UnknownBlock
from node.chain_spec import ChainSpec
from node.dry_run import dry_run
from node.heads import Heads
from node.log import FILTERS
from node.pool import Pool, PoolError, Status
from node.signing.port import KeysUnusable, SessionSigner
from node.state_store import StateDiscarded, StateView
from p2p.network import Network
from p2p.ports import AddressInvalid
from rpc import ports
from rpc.ports import Json, Refusal, SubmissionRefused, TransactionStatus, Unsubscribe
from runtime.frame.executive import ApiError
from runtime.primitives.block import Header
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import Hash
from runtime.runtime import Runtime, UnknownVersion
from runtime.state.overlay import Overlay

_REFUSALS = {reason.code: reason for reason in Refusal}


class ChainAdapter:
    """`rpc.ports.ChainPort` over the chain."""

    def __init__(self, chain: Chain, heads: Heads, core: Core) -> None:
        self._chain = chain
        self._heads = heads
        self._core = core

    def genesis_hash(self) -> Hash:
        """Hash of block 0."""
        return self._chain.genesis_hash

    def best(self) -> ports.Head:
        """The block the node builds on."""
        return ports.Head(self._chain.best_hash, self._chain.best.number)

    def finalized(self) -> ports.Head:
        """The last finalized block."""
        return ports.Head(self._chain.finalized_hash_now, self._chain.finalized.number)

    def header(self, at: Hash) -> Header | None:
        """Header of a stored block, or of one pruned a short while ago."""
        header = self._chain.header(at)
        if header is None and (retired := self._chain.retired(at)) is not None:
            return retired.header
        return header

    def hash_at(self, number: int) -> Hash | None:
        """Hash at a height of the best chain."""
        if not 0 <= number < 1 << 32:
            return None
        return self._chain.hash_at(number)

    async def body(self, at: Hash) -> Sequence[bytes] | None:
        """Extrinsics of a block."""
        body = self._chain.body(at)
        if body is None and (retired := self._chain.retired(at)) is not None:
            return retired.extrinsics
        return body

    async def justification(self, at: Hash) -> bytes | None:
        """The justification stored with a block."""
        return self._chain.justification(at)

    def unfinalized(self) -> Sequence[tuple[Hash, Header]]:
        """Blocks above the finalized one."""
        return self._chain.unfinalized()

    async def finality_proof(self, number: int) -> bytes | None:
        """Proof that a height is final."""
        try:
            proof = self._chain.finality_proof(number)
        except ProofTooLong as error:
            raise ports.PortError(str(error)) from error
        return proof.encode() if proof is not None else None

    def finality_rounds(self) -> ports.FinalityRounds | None:
        """Whose votes the rounds of GRANDPA wait for."""
        if not self._core.is_started:
            return None
        rounds = [_round_votes(tally) for tally in self._core.rounds]
        if not rounds:
            return None
        return ports.FinalityRounds(self._core.status.set_id, rounds[0], rounds[1:])

    def subscribe(self, listener: ports.ChainListener) -> Unsubscribe:
        """Follow imports and finalizations."""
        return self._heads.subscribe(listener)


def _round_votes(tally: RoundTally) -> ports.RoundVotes:
    return ports.RoundVotes(
        tally.number,
        tally.voters,
        tally.threshold,
        [ss58_encode(key) for key in tally.missing_prevotes],
        [ss58_encode(key) for key in tally.missing_precommits],
    )


class StateAdapter:
    """`rpc.ports.StatePort` over the chain's states and the runtime."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def _view(self, at: Hash | None) -> StateView:
        if at is None:
            return self._chain.best_state()
        retired = self._chain.retired(at)
        if retired is not None:
            return retired.state
        try:
            return self._chain.state_at(at)
        except UnknownBlock as error:
            raise ports.UnknownBlock(str(error)) from error
        except StateDiscarded as error:
            raise ports.StateUnavailable(str(error)) from error

    def _runtime(self, view: StateView) -> Runtime:
        try:
            return self._chain.runtime_of(view)
        except UnknownVersion as error:
            raise ports.StateUnavailable(str(error)) from error

    async def storage(self, key: bytes, at: Hash | None) -> bytes | None:
        """The value under a raw key."""
        return self._view(at).get(key)

    async def storage_hash(self, key: bytes, at: Hash | None) -> Hash | None:
        """blake2-256 of a value."""
        value = self._view(at).get(key)
        return blake2_256(value) if value is not None else None

    async def storage_size(self, key: bytes, at: Hash | None) -> int | None:
        """Length of a value."""
        value = self._view(at).get(key)
        return len(value) if value is not None else None

    async def keys_paged(
        self, prefix: bytes, count: int, start: bytes | None, at: Hash | None
    ) -> Sequence[bytes]:
        """Keys with a prefix, after `start`."""
        found: list[bytes] = []
        for key in self._view(at).keys(prefix, start):
            if len(found) == count:
                break
            found.append(key)
        return found

    async def merkle_value(self, prefix: bytes, at: Hash | None) -> bytes | None:
        """Merkle value over the keys with a prefix."""
        return self._view(at).merkle_value(prefix)

    async def read_proof(self, keys: Sequence[bytes], at: Hash | None) -> Sequence[bytes]:
        """Trie nodes that prove the keys."""
        return self._view(at).proof(list(keys))

    async def call(self, name: str, data: bytes, at: Hash | None) -> bytes:
        """A runtime API function on the state of a block."""
        view = self._view(at)
        try:
            return self._runtime(view).call_api(Overlay(view), name, data)
        except ApiError as error:
            raise ports.CallFailed(str(error)) from error

    async def dry_run(self, extrinsic: bytes, at: Hash | None) -> bytes:
        """What an extrinsic would come to on a block."""
        view = self._view(at)
        parent = self._chain.header(at if at is not None else self._chain.best_hash)
        if parent is None and at is not None and (retired := self._chain.retired(at)) is not None:
            parent = retired.header
        assert parent is not None, "its state was found"
        try:
            return dry_run(self._runtime(view), Overlay(view), parent, extrinsic)
        except ApiError as error:
            raise ports.CallFailed(str(error)) from error

    async def metadata(self, at: Hash | None) -> bytes:
        """Metadata V14 of the block's runtime."""
        return self._runtime(self._view(at)).metadata(14)

    async def runtime_version(self, at: Hash | None) -> ports.RuntimeVersion:
        """The version of the block's runtime."""
        version = self._runtime(self._view(at)).version
        return ports.RuntimeVersion(
            spec_name=version.spec_name,
            impl_name=version.impl_name,
            authoring_version=version.authoring_version,
            spec_version=version.spec_version,
            impl_version=version.impl_version,
            apis=version.apis,
            transaction_version=version.transaction_version,
            system_version=version.system_version,
        )

    def changed_keys(self, at: Hash) -> Collection[bytes] | None:
        """Keys that a recent block wrote."""
        return self._chain.changed_keys(at)


class PoolAdapter:
    """`rpc.ports.PoolPort` over the pool. `sent` is told of each extrinsic taken in."""

    def __init__(self, chain: Chain, pool: Pool, sent: Callable[[Hash, bytes], None]) -> None:
        self._chain = chain
        self._pool = pool
        self._sent = sent

    async def submit(self, extrinsic: bytes) -> Hash:
        """Take an extrinsic in and pass it on."""
        try:
            digest = self._pool.submit(extrinsic)
        except PoolError as error:
            raise refused(error, extrinsic) from error
        self._sent(digest, extrinsic)
        return digest

    async def submit_and_watch(
        self, extrinsic: bytes, listener: ports.StatusListener
    ) -> tuple[Hash, Unsubscribe]:
        """Take an extrinsic in, follow it, and pass it on."""

        def tell(status: Status) -> None:
            listener(TransactionStatus(status.kind, status.block))

        try:
            digest = self._pool.submit(extrinsic)
            self._pool.watch(digest, tell)
        except PoolError as error:
            raise refused(error, extrinsic) from error
        self._sent(digest, extrinsic)
        return digest, lambda: self._pool.unwatch(digest, tell)

    def pending(self) -> Sequence[bytes]:
        """Ready extrinsics."""
        return self._pool.pending()

    def remove(self, digest: Hash) -> bool:
        """Drop an extrinsic."""
        return self._pool.remove(digest)

    async def next_nonce(self, account: bytes) -> int:
        """The next nonce, ready extrinsics counted."""
        state = self._chain.best_state()
        nonce = self._chain.runtime_of(state).account_nonce(Overlay(state), account)
        tags = (account + (nonce + ahead).to_bytes(4, "little") for ahead in range(1 << 16))
        return nonce + self._pool.next_nonce_tag(tags)

    def status(self) -> tuple[int, int]:
        """Ready and future."""
        return self._pool.ready_count, self._pool.future_count


def refused(error: PoolError, extrinsic: bytes) -> SubmissionRefused:
    """The pool's refusal as RPC tells it."""
    reason = _REFUSALS[error.code]
    data: Json = str(error)
    if isinstance(error, pools.AlreadyImported):
        data = "0x" + blake2_256(extrinsic).hex()
    return SubmissionRefused(reason, data)


@dataclass(frozen=True, slots=True)
class KeysAdapter:
    """`rpc.ports.KeysPort` over whoever holds the session keys."""

    signer: SessionSigner

    def insert(self, key_type: str, suri: str, public: bytes) -> None:
        """Store a session key."""
        try:
            self.signer.insert(key_type, suri, public)
        except KeysUnusable as error:
            raise ports.PortError(str(error)) from error

    def has(self, public: bytes, key_type: str) -> bool:
        """Whether a session key is here."""
        return public in self.signer.ring(key_type)

    def has_session_keys(self, keys: bytes) -> bool:
        """Whether a whole set of session keys is here."""
        public = _session_keys(keys)
        return self.has(public.aura, "aura") and self.has(public.grandpa, "gran")

    async def rotate(self) -> bytes:
        """Draw new session keys."""
        try:
            return (await self.signer.draw()).encode()
        except KeysUnusable as error:
            raise ports.PortError(str(error)) from error

    async def prove_ownership(self, keys: bytes, owner: bytes) -> bytes:
        """The proof that session keys of ours go to an account."""
        try:
            return await self.signer.prove_ownership(_session_keys(keys), owner)
        except KeysUnusable as error:
            raise ports.PortError(str(error)) from error


def _session_keys(data: bytes) -> SessionKeys:
    try:
        return SessionKeys.decode(data)
    except DecodeError as error:
        raise ports.PortError(f"These are no session keys: {error}") from error


@dataclass(frozen=True, slots=True)
class SystemAdapter:
    """`rpc.ports.SystemPort`: what the node says of itself."""

    spec: ChainSpec
    node_version: str
    is_authority: bool
    starting_block: int
    chain_heads: Chain
    network: "NetworkView"
    sync_target: Callable[[], int]
    is_syncing: Callable[[], bool]
    """Whether consensus catches up with the chain, which peers' words alone do not tell."""

    has_signer: Callable[[], bool | None]
    """Whether a signer in another process is there; None when the node has none."""

    def name(self) -> str:
        """Name of the implementation."""
        return "DRET Node"

    def version(self) -> str:
        """Version of the implementation."""
        return self.node_version

    def chain(self) -> str:
        """Name of the chain."""
        return self.spec.name

    def chain_type(self) -> str:
        """Type of the chain."""
        return self.spec.chain_type

    def properties(self) -> Mapping[str, Json]:
        """Properties of the chain."""
        return self.spec.properties

    def health(self) -> ports.Health:
        """Peers and whether the node catches up."""
        return ports.Health(
            len(self.network.peers()),
            self.is_syncing(),
            self.network.should_have_peers,
            self.has_signer(),
        )

    def sync_state(self) -> ports.SyncState:
        """Where the node started, stands and wants to go."""
        best = self.chain_heads.best.number
        return ports.SyncState(self.starting_block, best, max(best, self.sync_target()))

    def peers(self) -> Sequence[ports.PeerInfo]:
        """Connected peers."""
        return self.network.peers()

    def node_roles(self) -> Sequence[str]:
        """Roles."""
        return ["Authority" if self.is_authority else "Full"]

    def local_peer_id(self) -> str:
        """Peer id."""
        return self.network.peer_id()

    def local_listen_addresses(self) -> Sequence[str]:
        """Addresses with the peer id."""
        return self.network.listen_addresses()

    def reserved_peers(self) -> Sequence[str]:
        """Peers that are always connected."""
        return self.network.reserved()

    def add_reserved_peer(self, address: str) -> None:
        """Keep a peer connected."""
        self.network.reserve(address)

    def remove_reserved_peer(self, peer_id: str) -> None:
        """Treat a peer like all others again."""
        self.network.release(peer_id)

    def add_log_filter(self, directives: str) -> None:
        """Log more or less of some targets."""
        try:
            FILTERS.add(directives)
        except ValueError as error:
            raise ports.PortError(str(error)) from error

    def reset_log_filter(self) -> None:
        """Log as at the start."""
        FILTERS.reset()


class NetworkView:
    """What the system methods read of the network."""

    def __init__(self, network: Network, is_single: bool) -> None:
        self._network = network
        self.should_have_peers = not is_single

    def peers(self) -> Sequence[ports.PeerInfo]:
        """Connected peers with what they last said of their best block."""
        return [
            ports.PeerInfo(
                peer_id=peer.peer_id,
                roles=peer.role.name,
                best_hash=peer.best_hash,
                best_number=peer.best_number,
            )
            for peer in self._network.peers()
        ]

    def reserved(self) -> Sequence[str]:
        """Peers that are always connected."""
        return self._network.reserved_peers()

    def reserve(self, address: str) -> None:
        """Keep a peer connected."""
        try:
            self._network.reserve(address)
        except AddressInvalid as error:
            raise ports.PortError(str(error)) from error

    def release(self, peer_id: str) -> None:
        """Treat a peer like all others again."""
        try:
            self._network.release(peer_id)
        except AddressInvalid as error:
            raise ports.PortError(str(error)) from error

    def peer_id(self) -> str:
        """Our own id."""
        return self._network.peer_id

    def listen_addresses(self) -> Sequence[str]:
        """Where we listen."""
        return self._network.listen_addresses()

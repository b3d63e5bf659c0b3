"""A node for the RPC tests: real headers, extrinsics and storage in memory, no consensus.

It keeps a state per block, so that reads at old blocks, branches and pruning behave as a node's.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import trio

from rpc.ports import (
    BestChanged,
    BlockImported,
    BlocksFinalized,
    CallFailed,
    ChainEvent,
    ChainListener,
    FinalityRounds,
    Head,
    Health,
    Json,
    Node,
    PeerInfo,
    PortError,
    Refusal,
    RoundVotes,
    RuntimeVersion,
    StateUnavailable,
    StatusListener,
    SubmissionRefused,
    SyncState,
    TransactionStatus,
    UnknownBlock,
    Unsubscribe,
)
from runtime.primitives.block import Digest, Header, PreRuntime, Seal
from runtime.primitives.hashing import blake2_128_concat, blake2_256, twox_128

VECTORS = Path(__file__).parent.parent / "vectors" / "substrate"
METADATA = bytes.fromhex(
    (VECTORS / "spike_metadata_v14.hex").read_text().strip().removeprefix("0x")
)

ALICE = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
ALICE_ADDRESS = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
NOW_KEY = twox_128(b"Timestamp") + twox_128(b"Now")
EVENTS_KEY = twox_128(b"System") + twox_128(b"Events")
ACCOUNT_PREFIX = twox_128(b"System") + twox_128(b"Account")
ALICE_KEY = ACCOUNT_PREFIX + blake2_128_concat(ALICE)
ALICE_ACCOUNT = (
    (7).to_bytes(4, "little")  # nonce
    + bytes(4)
    + (1).to_bytes(4, "little")  # providers
    + bytes(4)
    + (10**18).to_bytes(16, "little")  # free
    + bytes(48)
)

VERSION = RuntimeVersion(
    spec_name="energy",
    impl_name="energy-py",
    authoring_version=1,
    spec_version=100,
    impl_version=1,
    apis=((bytes.fromhex("df6acb689907609b"), 5), (bytes.fromhex("37e397fc7c91f5e4"), 2)),
    transaction_version=1,
    system_version=1,
)


class Block:
    """A block with its whole state."""

    def __init__(
        self,
        header: Header,
        body: Sequence[bytes],
        state: Mapping[bytes, bytes],
        changed: Collection[bytes],
    ) -> None:
        self.header = header
        self.hash = header.hash()
        self.body = body
        self.state = state
        self.changed = changed


class FakeChain:
    """Blocks on any branch; the best and the finalized one."""

    def __init__(self) -> None:
        state = {
            b":code": b"spec",
            NOW_KEY: bytes(8),
            ALICE_KEY: ALICE_ACCOUNT,
            **{
                ACCOUNT_PREFIX + blake2_128_concat(bytes([n]) * 32): ALICE_ACCOUNT for n in range(9)
            },
        }
        header = Header(bytes(32), 0, root_of(state), bytes(32), Digest([]))
        genesis = Block(header, [], state, ())
        self.blocks = {genesis.hash: genesis}
        self.genesis = self.best_block = self.finalized_block = genesis
        self.pruned: set[bytes] = set()
        self.listeners: list[ChainListener] = []
        self.justifications: dict[bytes, bytes] = {}
        votes = RoundVotes(7, 4, 3, ["Dave"], ["Charlie", "Dave"])
        self.rounds: FinalityRounds | None = FinalityRounds(2, votes, [])

    def grow(
        self,
        changes: Mapping[bytes, bytes | None] | None = None,
        body: Sequence[bytes] = (),
        parent: Block | None = None,
        is_best: bool = True,
    ) -> Block:
        """Import a block on `parent` (the best one) that writes `changes` and the time."""
        parent = parent or self.best_block
        number = parent.header.number + 1
        written = {NOW_KEY: (number * 2_000).to_bytes(8, "little"), **(changes or {})}
        merged: dict[bytes, bytes | None] = {**parent.state, **written}
        state = {key: value for key, value in merged.items() if value is not None}
        slot = number.to_bytes(8, "little")
        digest = Digest([PreRuntime(b"aura", slot), Seal(b"aura", bytes(64))])
        inherent = bytes.fromhex("280402000b") + slot[:6]
        extrinsics = [inherent, *body]
        header = Header(
            parent.hash, number, root_of(state), blake2_256(b"".join(extrinsics)), digest
        )
        block = Block(header, extrinsics, state, set(written))
        self.blocks[block.hash] = block
        if is_best:
            self.best_block = block
        self._tell(BlockImported(block.hash, header, is_best))
        return block

    def reorganize(self, block: Block) -> None:
        """Make a block that was imported before the best one."""
        self.best_block = block
        self._tell(BestChanged(block.hash, block.header))

    def finalize(self, block: Block, justification: bytes | None = None) -> None:
        """Make a block and its ancestors final, and prune what does not stand on it."""
        before = self.unfinalized()
        path: list[tuple[bytes, Header]] = []
        current = block
        while current is not self.finalized_block:
            path.append((current.hash, current.header))
            current = self.blocks[current.header.parent_hash]
        self.finalized_block = block
        left = {block_hash for block_hash, _ in self.unfinalized()}
        final = {block_hash for block_hash, _ in path}
        pruned = [block_hash for block_hash, _ in before if block_hash not in left | final]
        self._tell(BlocksFinalized(path[::-1], pruned, justification))

    def block(self, at: bytes | None) -> Block:
        """The block whose state is asked."""
        if at is None:
            return self.best_block
        if at not in self.blocks:
            raise UnknownBlock
        if at in self.pruned:
            raise StateUnavailable
        return self.blocks[at]

    def genesis_hash(self) -> bytes:
        return self.genesis.hash

    def best(self) -> Head:
        return Head(self.best_block.hash, self.best_block.header.number)

    def finalized(self) -> Head:
        return Head(self.finalized_block.hash, self.finalized_block.header.number)

    def header(self, at: bytes) -> Header | None:
        return self.blocks[at].header if at in self.blocks else None

    def unfinalized(self) -> Sequence[tuple[bytes, Header]]:
        found = [
            (block.hash, block.header)
            for block in self.blocks.values()
            if block is not self.finalized_block and self._stands_on_finality(block)
        ]
        return sorted(found, key=lambda item: item[1].number)

    def _stands_on_finality(self, block: Block) -> bool:
        while block.header.number > self.finalized_block.header.number:
            block = self.blocks[block.header.parent_hash]
        return block is self.finalized_block

    async def finality_proof(self, number: int) -> bytes | None:
        if number > self.finalized_block.header.number:
            return None
        if number == 0:
            raise PortError("no justification")
        return b"proof" + bytes([number])

    def hash_at(self, number: int) -> bytes | None:
        block = self.best_block
        if number > block.header.number:
            return None
        while block.header.number > number:
            block = self.blocks[block.header.parent_hash]
        return block.hash

    async def body(self, at: bytes) -> Sequence[bytes] | None:
        return self.blocks[at].body if at in self.blocks else None

    async def justification(self, at: bytes) -> bytes | None:
        return self.justifications.get(at)

    def finality_rounds(self) -> FinalityRounds | None:
        return self.rounds

    def subscribe(self, listener: ChainListener) -> Unsubscribe:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def _tell(self, event: ChainEvent) -> None:
        for listener in self.listeners:
            listener(event)


class FakeState:
    """Reads of a block's state. `gate` holds reads back, as a slow disk or peer would."""

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.gate: trio.Event | None = None
        self.versions: dict[bytes, RuntimeVersion] = {}
        self.reads: list[bytes] = []
        self.knows_changes = True

    async def storage(self, key: bytes, at: bytes | None) -> bytes | None:
        if self.gate is not None:
            await self.gate.wait()
        self.reads.append(key)
        return self.chain.block(at).state.get(key)

    async def storage_hash(self, key: bytes, at: bytes | None) -> bytes | None:
        value = self.chain.block(at).state.get(key)
        return None if value is None else blake2_256(value)

    async def storage_size(self, key: bytes, at: bytes | None) -> int | None:
        value = self.chain.block(at).state.get(key)
        return None if value is None else len(value)

    async def keys_paged(
        self, prefix: bytes, count: int, start: bytes | None, at: bytes | None
    ) -> Sequence[bytes]:
        keys = sorted(key for key in self.chain.block(at).state if key.startswith(prefix))
        first = 0 if start is None else bisect_right(keys, start)
        return keys[first : first + count]

    async def merkle_value(self, prefix: bytes, at: bytes | None) -> bytes | None:
        under = [item for item in self.chain.block(at).state.items() if item[0].startswith(prefix)]
        return root_of(dict(under)) if under else None

    async def read_proof(self, keys: Sequence[bytes], at: bytes | None) -> Sequence[bytes]:
        state = self.chain.block(at).state
        return [key + state.get(key, b"") for key in keys]

    async def dry_run(self, extrinsic: bytes, at: bytes | None) -> bytes:
        self.chain.block(at)
        return bytes(2)

    async def call(self, name: str, data: bytes, at: bytes | None) -> bytes:
        block = self.chain.block(at)
        if name == "AccountNonceApi_account_nonce":
            account = block.state.get(ACCOUNT_PREFIX + blake2_128_concat(data), bytes(4))
            return account[:4]
        if name == "Metadata_metadata_versions":
            return bytes.fromhex("040e000000")
        if name == "TransactionPaymentApi_query_info":
            size = int.from_bytes(data[-4:], "little")
            return bytes.fromhex("0284d717") + bytes(2) + (size * 10).to_bytes(16, "little")
        if name == "TransactionPaymentApi_query_fee_details":
            parts = b"".join(n.to_bytes(16, "little") for n in (1, 20, 300))
            return b"\x01" + parts if len(data) > 8 else b"\x00"
        raise CallFailed(f"Exported method {name} is not found")

    async def metadata(self, at: bytes | None) -> bytes:
        self.chain.block(at)
        return METADATA

    async def runtime_version(self, at: bytes | None) -> RuntimeVersion:
        return self.versions.get(self.chain.block(at).hash, VERSION)

    def changed_keys(self, at: bytes) -> Collection[bytes] | None:
        return self.chain.blocks[at].changed if self.knows_changes else None


class FakePool:
    """Takes every extrinsic once; tests say what becomes of it."""

    def __init__(self) -> None:
        self.extrinsics: dict[bytes, bytes] = {}
        self.listeners: dict[bytes, list[StatusListener]] = {}
        self.refuse_with: SubmissionRefused | None = None

    async def submit(self, extrinsic: bytes) -> bytes:
        if self.refuse_with is not None:
            raise self.refuse_with
        digest = blake2_256(extrinsic)
        if digest in self.extrinsics:
            raise SubmissionRefused(Refusal.ALREADY_IMPORTED, "0x" + digest.hex())
        self.extrinsics[digest] = extrinsic
        return digest

    async def submit_and_watch(
        self, extrinsic: bytes, listener: StatusListener
    ) -> tuple[bytes, Unsubscribe]:
        digest = await self.submit(extrinsic)
        listeners = self.listeners.setdefault(digest, [])
        listeners.append(listener)
        listener(TransactionStatus("ready"))

        def unsubscribe() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return digest, unsubscribe

    def tell(self, digest: bytes, status: TransactionStatus) -> None:
        """Report a step of a watched extrinsic."""
        for listener in list(self.listeners.get(digest, ())):
            listener(status)

    def remove(self, digest: bytes) -> bool:
        return self.extrinsics.pop(digest, None) is not None

    def pending(self) -> Sequence[bytes]:
        return list(self.extrinsics.values())

    async def next_nonce(self, account: bytes) -> int:
        return 7 + len(self.extrinsics) if account == ALICE else 0

    def status(self) -> tuple[int, int]:
        return len(self.extrinsics), 0


class FakeSystem:
    """Constants, and a health that tests may change."""

    def __init__(self, chain: FakeChain) -> None:
        self.chain_port = chain
        self.state = Health(peers=3, is_syncing=False, should_have_peers=True)
        self.reserved: list[str] = []
        self.filters: list[str] = []

    def name(self) -> str:
        return "DRET Node"

    def version(self) -> str:
        return "0.1.0-test"

    def chain(self) -> str:
        return "Energy Spike"

    def chain_type(self) -> str:
        return "Development"

    def properties(self) -> Mapping[str, Json]:
        return {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "KWH"}

    def health(self) -> Health:
        return self.state

    def sync_state(self) -> SyncState:
        best = self.chain_port.best().number
        return SyncState(0, best, best)

    def peers(self) -> Sequence[PeerInfo]:
        best = self.chain_port.best()
        return [PeerInfo("12D3KooW", "AUTHORITY", best.hash, best.number)]

    def node_roles(self) -> Sequence[str]:
        return ["Authority"]

    def local_peer_id(self) -> str:
        return "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"

    def local_listen_addresses(self) -> Sequence[str]:
        return ["/ip4/127.0.0.1/tcp/30333/p2p/12D3KooW"]

    def reserved_peers(self) -> Sequence[str]:
        return self.reserved

    def add_reserved_peer(self, address: str) -> None:
        if not address.startswith("/"):
            raise PortError(f"address {address!r}")
        self.reserved.append(address.rpartition("/")[2])

    def remove_reserved_peer(self, peer_id: str) -> None:
        if "/" in peer_id:
            raise PortError(f"peer id {peer_id!r}")
        self.reserved = [peer for peer in self.reserved if peer != peer_id]

    def add_log_filter(self, directives: str) -> None:
        if "loud" in directives:
            raise PortError(f"log filter {directives!r}")
        self.filters.append(directives)

    def reset_log_filter(self) -> None:
        self.filters.clear()


class FakeKeys:
    """A key store in memory; the public key of a secret is the secret's hash."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, bytes], str] = {}

    def insert(self, key_type: str, suri: str, public: bytes) -> None:
        if public != hashlib.sha256(suri.encode()).digest():
            raise PortError("the secret does not belong to the public key")
        self.stored[key_type, public] = suri

    def has(self, public: bytes, key_type: str) -> bool:
        return (key_type, public) in self.stored

    def has_session_keys(self, keys: bytes) -> bool:
        if len(keys) != 64:
            raise PortError(f"session keys have 64 bytes, not {len(keys)}")
        return ("aura", keys[:32]) in self.stored and ("gran", keys[32:]) in self.stored

    async def rotate(self) -> bytes:
        suri = f"//drawn{len(self.stored)}"
        public = hashlib.sha256(suri.encode()).digest()
        self.stored["aura", public] = self.stored["gran", public] = suri
        return public * 2

    async def prove_ownership(self, keys: bytes, owner: bytes) -> bytes:
        if not self.has_session_keys(keys):
            raise PortError("the keys are not here")
        return hashlib.sha512(keys + owner).digest() * 2


SNAPSHOT = (
    b'{"time_ms":1,"interval":7,"market_interval_ms":6000,"edges":{"parent":[0],"cap_up_wh":[0],'
    b'"cap_down_wh":[0]},"prices":[],"flows":[],"settlements":[],"totals":{"intervals_settled":0,'
    b'"traded_wh":0,"money_residual_nano":0,"energy_residual_wh":0}}'
)
CHANGES = b'"interval":7,"prices":[],"flows":[],"settlements":[],"final":[],"trades":[]}'


class FakeDret:
    """A status whose answer tests may replace, by something that fails too."""

    def __init__(self) -> None:
        self.answer: Callable[[], Mapping[str, Json]] = lambda: {"best": 0, "pid": 4711}
        self.unreadable: set[bytes] = set()
        self.blocks_made = 0
        self.no_receipts: PortError | None = None

    async def status(self) -> Mapping[str, Json]:
        return self.answer()

    async def bill(self, account: bytes, first: int, last: int) -> Mapping[str, Json]:
        block = "0x" + bytes(32).hex()
        line: Json = {
            "interval": first,
            "connection": 1,
            "is_final": False,
            "amount_nano": -5,
            "block": block,
            "keys": ["0x01", "0x02"],
        }
        return {
            "account": account.hex(),
            "from": first,
            "to": last,
            "block": block,
            "number": 0,
            "connections": [1],
            "lines": [line],
            "amount_nano": -5,
            "days": [],
            "refused": [],
            "not_settled": [{"from": last, "to": last, "reason": "not settled yet"}],
            "keys": [],
        }

    def market_snapshot(self) -> bytes:
        return SNAPSHOT

    def market_block(self, block_hash: bytes) -> bytes | None:
        if block_hash in self.unreadable:
            return None
        self.blocks_made += 1
        head = b'{"hash":"0x%b","number":1,"time_ms":1,' % block_hash.hex().encode()
        return head + CHANGES

    async def submit_with_receipt(self, extrinsic: bytes, blocks: int) -> Mapping[str, Json]:
        if self.no_receipts is not None:
            raise self.no_receipts
        return {
            "order": "0x" + blake2_256(extrinsic).hex(),
            "head": {"number": 7, "hash": "0x" + bytes(32).hex()},
            "blocks": blocks,
            "afterSlot": 9,
            "validator": "0x" + bytes(32).hex(),
            "signature": "0x" + bytes(64).hex(),
            "receipt": "0x00",
        }

    async def handoffs(self, set_id: int, count: int) -> list[tuple[bytes, bytes, bool]]:
        found = [(b"header", b"justification", False), (b"header", b"link", True)]
        return found[set_id : set_id + count]


class FakeNode:
    """The parts, and the record that the server takes."""

    def __init__(self, is_archive: bool = False) -> None:
        self.chain = FakeChain()
        self.state = FakeState(self.chain)
        self.pool = FakePool()
        self.system = FakeSystem(self.chain)
        self.keys = FakeKeys()
        self.dret = FakeDret()
        self.ports = Node(
            self.chain, self.state, self.pool, self.system, self.keys, self.dret, is_archive
        )


def root_of(state: Mapping[bytes, bytes]) -> bytes:
    """Something that changes with the state; the RPC server never checks roots."""
    return blake2_256(b"".join(key + value for key, value in sorted(state.items())))

"""A runtime whose extrinsics set and delete keys, for tests of what lies around a runtime."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consensus import effects
from consensus.events import Built, Executed, Verdict
from node.chain import Chain
from node.database import Database
from runtime.frame.dispatch import InvalidBlock
from runtime.frame.extensions import InvalidTransaction
from runtime.frame.validity import BadProof
from runtime.primitives.block import Block, Digest, Header, PreRuntime, Seal
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.types import Hash
from runtime.runtime import UnknownVersion
from runtime.state.overlay import Overlay
from runtime.state.trie import extrinsics_root

Changes = dict[bytes, bytes | None]

_CHANGES = codec(list[tuple[bytes, bytes | None]])
TIME = b":time"
LATE_MS = 1 << 50  # on a clock that no block is ahead of
LATER_CODE = b"later"


def extrinsic_of(changes: Changes) -> bytes:
    """An extrinsic that makes these changes; its length stands before it."""
    return codec(bytes).encode(_CHANGES.encode(list(changes.items())))


def changes_of(extrinsic: bytes) -> Changes:
    """Inverse of `extrinsic_of`."""
    return dict(_CHANGES.decode(codec(bytes).decode(extrinsic)))


class KeyValueRuntime:
    """What `Chain` asks of a runtime. A key `invalid` makes an extrinsic invalid."""

    def __init__(self) -> None:
        self.executed = 0
        self._header: Header | None = None
        self._included: list[bytes] = []

    def of_code(self, code: bytes | None) -> "KeyValueRuntime":
        if code == LATER_CODE:
            raise UnknownVersion("a later version is asked for")
        return self

    def initialize_block(self, overlay: Overlay, header: Header) -> None:
        self._header, self._included = header, []

    def open_handoff(self, overlay: Overlay) -> int | None:
        return None

    def inherents(
        self, timestamp_ms: int, handoff: bytes | None = None, recovery: bytes | None = None
    ) -> list[bytes]:
        return [extrinsic_of({TIME: timestamp_ms.to_bytes(8, "big")})]

    def apply_extrinsic(self, overlay: Overlay, extrinsic: bytes, signatures: object) -> None:
        changes = changes_of(extrinsic)
        if b"invalid" in changes:
            raise InvalidTransaction(BadProof())
        for key, value in changes.items():
            if key == TIME and value is not None and value < (overlay.get(TIME) or b""):
                raise InvalidBlock("time runs backwards")
            if value is None:
                overlay.delete(key)
            else:
                overlay.set(key, value)
        self._included.append(extrinsic)

    def finalize_block(self, overlay: Overlay) -> Header:
        assert self._header is not None
        begun = self._header
        return Header(
            begun.parent_hash,
            begun.number,
            overlay.root(),
            extrinsics_root(self._included),
            begun.digest,
        )

    def execute_block(self, overlay: Overlay, block: Block, signatures: object) -> None:
        self.executed += 1
        self.initialize_block(overlay, block.header)
        for extrinsic in block.extrinsics:
            self.apply_extrinsic(overlay, extrinsic, signatures)
        found = self.finalize_block(overlay)
        if found.state_root != block.header.state_root:
            raise InvalidBlock("state root")

    def timestamp_of(self, extrinsics: list[bytes]) -> int | None:
        for extrinsic in extrinsics[:1]:
            time = changes_of(extrinsic).get(TIME)
            return int.from_bytes(time, "big") if time is not None else None
        return None

    def aura_authorities(self, overlay: Overlay) -> list[bytes]:
        return [overlay.get(b"aura") or b""]

    def grandpa_authorities(self, overlay: Overlay) -> list[tuple[bytes, int]]:
        return [(overlay.get(b"grandpa") or b"", 1)]

    def grandpa_set_id(self, overlay: Overlay) -> int:
        return 7


GENESIS = {b"aura": b"A", b"grandpa": b"G", b"long": bytes(range(100))}


class ChainHarness:
    """A chain over a key-value runtime, with the effects that consensus would give."""

    def __init__(self, folder: Path, pruning: int | None = None) -> None:
        self.folder = folder
        self.pruning = pruning
        self.open()

    def restart(self) -> None:
        """Close the database and open it again."""
        self.database.close()
        self.open()

    def open(self) -> None:
        """Open the database and the chain in it."""
        self.runtime = KeyValueRuntime()
        self.database = Database.open(self.folder)
        self.chain = Chain.open(
            self.database,
            self.runtime,  # type: ignore[arg-type]
            GENESIS,
            self.pruning,
        )
        self.genesis_hash = self.chain.genesis_hash

    def build(self, parent: Hash, extrinsics: list[bytes], slot: int = 1, time: int = 0) -> Built:
        """Build a block from these."""
        header = self.chain.header(parent)
        assert header is not None
        request = effects.Build(
            slot,
            parent,
            header.number + 1,
            Digest([PreRuntime(b"aura", slot.to_bytes(8, "little"))]),
            time,
            10**6,
        )
        self.rejected: list[Hash] = []
        ready = iter([(blake2_256(extrinsic), extrinsic) for extrinsic in extrinsics])
        return self.chain.build(request, ready, self.rejected.append, lambda: 0)

    def seal(self, built: Built) -> effects.Execute:
        """The sealed block, to be executed."""
        assert built.header is not None
        unsealed = built.header
        header = Header(
            unsealed.parent_hash,
            unsealed.number,
            unsealed.state_root,
            unsealed.extrinsics_root,
            Digest([*unsealed.digest.logs, Seal(b"aura", bytes(64))]),
        )
        return effects.Execute(header.hash(), header, built.extrinsics)

    def execute(self, request: effects.Execute) -> Executed:
        """Execute, by a clock that no block is ahead of, and nothing more."""
        return self.chain.execute(request, LATE_MS)

    def import_block(
        self, parent: Hash, changes: Changes, slot: int = 1, sync: bool = False
    ) -> Hash:
        """Build, execute and store a block; it does not become best."""
        request = self.seal(self.build(parent, [extrinsic_of(changes)], slot, slot))
        assert self.execute(request).verdict is Verdict.VALID
        self.write(
            effects.PutBlock(request.block_hash, request.header, request.extrinsics), sync=sync
        )
        return request.block_hash

    def write(self, *operations: effects.Operation, sync: bool = False) -> None:
        """One batch."""
        self.chain.write(effects.Persist(0, operations, sync))

    def path(self, from_hash: Hash, to_hash: Hash) -> tuple[Hash, ...]:
        """Blocks above `from_hash` (or above where the branches part) up to `to_hash`, rising."""
        above: list[Hash] = []
        below = self.ancestors(from_hash)
        while to_hash not in below:
            above.insert(0, to_hash)
            header = self.chain.header(to_hash)
            assert header is not None
            to_hash = header.parent_hash
        return tuple(above)

    def ancestors(self, block_hash: Hash) -> set[Hash]:
        """A block and all below it."""
        found: set[Hash] = set()
        header = self.chain.header(block_hash)
        while header is not None:
            found.add(block_hash)
            block_hash = header.parent_hash
            header = self.chain.header(block_hash)
        return found

    def set_best(self, block_hash: Hash) -> effects.SetBest:
        """The operation that makes a block best."""
        best = self.chain.best_hash
        return effects.SetBest(
            block_hash, self.path(block_hash, best)[::-1], self.path(best, block_hash)
        )

    def finalize(self, block_hash: Hash, pruned: tuple[Hash, ...] = (), kept: bool = False) -> None:
        """Make a block final; the best block has to descend from it."""
        header = self.chain.header(block_hash)
        assert header is not None
        route = self.path(self.chain.finalized_hash_now, block_hash)
        operation = effects.Finalize(
            block_hash, header.number, route, pruned, b"justification " + block_hash, kept
        )
        self.write(operation, sync=True)


@contextmanager
def open_chain(folder: Path, pruning: int | None = None) -> Iterator[ChainHarness]:
    """A harness whose database is closed at the end."""
    harness = ChainHarness(folder, pruning)
    try:
        yield harness
    finally:
        harness.database.close()

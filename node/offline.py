"""Import of blocks without a network: the consensus core with a file in the place of a peer.

The same core, rules and batches as when a node syncs: each header, seal, body and proof of finality
is checked and each block executed. Nothing is voted or authored, since the core holds no keys, and
no time passes, so a block that is ahead of our clock ends the import.
"""

from collections import deque
from dataclasses import dataclass

from consensus import effects, events
from consensus.core import Core
from consensus.events import Event, PeerStatus, Role, SyncBlock
from consensus.ports import ConsensusConfig
from node.block_file import BlockFile, Progress
from node.chain import Chain
from node.checks import NativeChecks
from node.clock import Clock
from node.errors import NodeError

FILE = b"the file"  # the peer's name
BLOCKS_PER_ANSWER_MAX = 64  # as peers serve


class BlocksRefused(NodeError):
    """Blocks of a file cannot become part of the chain; what stood before the first is kept."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to."""

    blocks: int
    best: int
    finalized: int
    refused: tuple[str, ...] = ()
    """What was wrong with proofs of finality that no block needed."""


class FileImport:
    """One import of one file."""

    def __init__(self, chain: Chain, blocks: BlockFile, clock: Clock, progress: Progress) -> None:
        constants = chain.runtime.constants
        self._chain = chain
        self._blocks = blocks
        self._clock = clock
        self._progress = progress
        self._queue: deque[Event] = deque()
        self._faults: list[str] = []
        self._imported = 0
        config = ConsensusConfig(
            chain.genesis_hash,
            constants.slot_duration_ms,
            constants.gossip_duration_ms,
            stall_slots=constants.session_blocks // 2,
        )
        self._core = Core(config, chain, NativeChecks())

    def run(self) -> Imported:
        """Import all blocks that are not here yet. Raises `BlocksRefused` and `DiskFailed`."""
        chain, first, last = self._chain, self._blocks.first, self._blocks.last
        if first is None or last is None:
            return Imported(0, chain.best.number, chain.finalized.number)
        if first.number > 0 and chain.header(first.parent_hash) is None:
            next_number = chain.best.number + 1
            raise BlocksRefused(
                f"The file begins with block {first.number}, whose parent "
                f"0x{first.parent_hash.hex()} is not in the database. Export from an earlier "
                f"block, here --from {next_number}, or is it another chain's file?"
            )
        last_hash = self._blocks.last_hash
        if chain.header(last_hash) is None:
            status = PeerStatus(
                Role.FULL, last_hash, last.number, chain.genesis_hash, 0, self._clock.wall_ms()
            )
            start = self._core.start(self._now(), self._clock.wall_ms(), chain.loaded_state(()))
            self._perform(start)
            self._queue.append(events.PeerConnected(FILE, status))
            while self._queue:
                event = self._queue.popleft()
                done = self._core.handle(self._now(), self._clock.wall_ms(), event)
                self._perform(done)
            chain.write(effects.Persist(0, (), is_synced=True))  # all above is durable with it
            if chain.header(last_hash) is None:
                raise BlocksRefused(self._why())
        return Imported(
            self._imported, chain.best.number, chain.finalized.number, tuple(self._faults)
        )

    def _why(self) -> str:
        best, finalized = self._chain.best.number, self._chain.finalized.number
        if self._faults:
            reason = self._faults[0]
        else:
            reason = (
                "the rest conflicts with the final block, is ahead of this machine's clock, or has "
                "more blocks without a proof of finality than a node holds"
            )
        return (
            f"The import ended at block {best} (final: {finalized}) after {self._imported} new "
            f"blocks: {reason}. What was imported is kept."
        )

    def _now(self) -> int:
        return self._clock.monotonic_ms()

    def _perform(self, wanted: list[effects.Effect]) -> None:
        for effect in wanted:
            match effect:
                case effects.Execute():
                    executed = self._chain.execute(effect, self._clock.wall_ms())
                    if executed.verdict is not events.Verdict.VALID:
                        number = effect.header.number
                        self._faults.append(f"block {number}: {executed.reason}")
                    self._queue.append(executed)
                case effects.Persist():
                    self._chain.write(effect)
                    if effect.is_synced:
                        self._queue.append(events.Committed(effect.batch_id, 0))
                case effects.RequestBlocks():
                    self._queue.append(self._answer(effect))
                case effects.NotifyImported():
                    self._imported += 1
                    self._progress(effect.header.number)
                case effects.Report():
                    self._faults.append(effect.reason)
                case effects.Alarm():
                    if effect.kind is not effects.AlarmKind.RECOVERY:
                        self._faults.append(effect.detail)
                case effects.Halt():
                    raise BlocksRefused(f"{effect.reason}. What was imported before is kept.")
                case _:
                    pass  # there is nobody to tell, and no time passes

    def _answer(self, request: effects.RequestBlocks) -> Event:
        number = (
            request.start
            if isinstance(request.start, int)
            else self._blocks.number_of(request.start)
        )
        found: list[SyncBlock] = []
        while number is not None and len(found) < min(request.blocks_max, BLOCKS_PER_ANSWER_MAX):
            block = self._blocks.at(number)
            if block is None:
                break
            body = tuple(block.block.extrinsics) if request.with_bodies else None
            found.append(SyncBlock(block.block.header, body, block.justification))
            number += 1 if request.is_ascending else -1
        return events.BlocksReceived(request.request_id, request.peer, tuple(found))

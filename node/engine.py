"""Drives the consensus core: turns what happens into events and carries out the effects.

One task handles one event after the other; all effects of an event are under way before the next.
Answers (an execution, a batch on disk, a signature, a timer) go before what the network says and
are never refused: the core waits for each, and there is at most one for each of its effects.
Nothing is decided here: the rules are in `consensus.core`, so that the simulator, which has its
own driver, tests the same ones.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from consensus import effects, events
from consensus.core import Core
from consensus.effects import Effect
from consensus.events import Event
from node.chain import Chain
from node.clock import Clock
from node.errors import NodeError
from node.metrics import Instruments
from node.pool import Pool
from node.signing.port import SessionSigner
from runtime.primitives.types import Hash

log = logging.getLogger("consensus")

QUEUE_MAX = 4_096  # events that wait; the network's own queues fill up before this one does


class Wire(Protocol):
    """What the engine asks of the network."""

    def send(self, peers: tuple[bytes, ...], message: object) -> None:
        """Queue a message to each peer; one whose queue is full is dropped by the network."""
        ...

    async def request_blocks(self, request: effects.RequestBlocks) -> Event:
        """The answer of a peer, as an event."""
        ...

    def report(self, peer: bytes, delta: int, reason: str) -> None:
        """Change a peer's reputation."""
        ...


@dataclass(frozen=True, slots=True)
class Notifications:
    """Who else hears of the chain: RPC, the pool, metrics."""

    imported: Callable[[effects.NotifyImported], None]
    best: Callable[[effects.NotifyBest], None]
    finalized: Callable[[effects.NotifyFinalized], None]
    alarm: Callable[[effects.Alarm], None]
    offence: Callable[[effects.Offence], None]


class EngineHalted(NodeError):
    """The core stopped the node; the message says why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = code


class Engine:
    """Runs the core over a chain, a pool, a signer and a network."""

    def __init__(
        self,
        core: Core,
        chain: Chain,
        pool: Pool,
        signer: SessionSigner,
        wire: Wire,
        clock: Clock,
        notifications: Notifications,
        rng: random.Random,
        instruments: Instruments,
        promised: Callable[[int], Sequence[tuple[Hash, bytes]]] = lambda number: (),
    ) -> None:
        """`promised` are the extrinsics that block `number` has to have if they are valid in it."""
        self.core = core
        self._promised = promised
        self._chain = chain
        self._pool = pool
        self._signer = signer
        self._wire = wire
        self._clock = clock
        self._notify = notifications
        self._rng = rng
        self._instruments = instruments
        self._queue: deque[Event] = deque()
        self._answers: deque[Event] = deque()
        self._wake = trio.Event()
        self._timers: dict[events.TimerName, int] = {}
        self._timers_changed = trio.Event()

    def post(self, event: Event) -> bool:
        """Queue an event of the network; False when too many wait (the sender should pause)."""
        if len(self._queue) >= QUEUE_MAX:
            return False
        self._queue.append(event)
        self._wake.set()
        return True

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drive the core until cancelled, started when it has taken up the stored state.

        Raises `EngineHalted` and `DiskFailed`.
        """
        async with trio.open_nursery() as nursery:
            state = self._chain.loaded_state(self._signer.marks(), self._signer.is_away)
            start = self.core.start(self._clock.monotonic_ms(), self._clock.wall_ms(), state)
            self._perform(start, nursery)
            nursery.start_soon(self._run_timers)
            nursery.start_soon(self._signer.run, self._answer)
            task_status.started()
            while True:
                while self._answers or self._queue:
                    event = (self._answers or self._queue).popleft()
                    now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
                    self._perform(self.core.handle(now_ms, wall_ms, event), nursery)
                    await trio.lowlevel.checkpoint()
                self._wake = trio.Event()
                await self._wake.wait()

    def _answer(self, event: Event) -> None:
        self._answers.append(event)
        self._wake.set()

    def _perform(self, wanted: list[Effect], nursery: trio.Nursery) -> None:
        for effect in wanted:
            match effect:
                case effects.Send():
                    self._wire.send(effect.peers, effect.message)
                case effects.Persist():
                    self._persist(effect)
                case effects.Sign():
                    self._signer.sign(effect, self._answer)
                case effects.SetTimer():
                    self._timers[effect.name] = effect.at_ms
                    self._timers_changed.set()
                case effects.Execute():
                    with self._instruments.block_executed.time():
                        self._answer(self._chain.execute(effect, self._clock.wall_ms()))
                case effects.Build():
                    with self._instruments.block_constructed.time():
                        self._answer(self._build(effect))
                case effects.RequestBlocks():
                    nursery.start_soon(self._request_blocks, effect)
                case effects.Report():
                    self._wire.report(effect.peer, effect.delta, effect.reason)
                case effects.NotifyImported():
                    self._notify.imported(effect)
                case effects.NotifyBest():
                    self._notify.best(effect)
                case effects.NotifyFinalized():
                    self._notify.finalized(effect)
                case effects.Alarm():
                    self._notify.alarm(effect)
                case effects.AuthorEquivocated() | effects.VoterEquivocated():
                    self._notify.offence(effect)
                case effects.Halt():
                    raise EngineHalted(effect.code, effect.reason)

    def _persist(self, effect: effects.Persist) -> None:
        self._chain.write(effect)
        if effect.is_synced:
            self._answer(events.Committed(effect.batch_id, self._rng.getrandbits(64)))

    def _build(self, effect: effects.Build) -> events.Built:
        ready = ((entry.hash, entry.extrinsic) for entry in self._pool.ready())
        promised = self._promised(effect.number)
        built = self._chain.build(effect, ready, self._reject, self._clock.monotonic_ms, promised)
        self._instruments.transactions.observe(len(built.extrinsics))
        return built

    def _reject(self, digest: Hash) -> None:
        self._pool.reject(digest)

    async def _request_blocks(self, effect: effects.RequestBlocks) -> None:
        self._answer(await self._wire.request_blocks(effect))

    async def _run_timers(self) -> None:
        while True:
            self._timers_changed = trio.Event()
            now_ms = self._clock.monotonic_ms()
            for name, at_ms in sorted(self._timers.items()):
                if at_ms <= now_ms:
                    del self._timers[name]
                    self._answer(events.Timer(name))
            if self._timers:
                pause_s = (min(self._timers.values()) - now_ms) / 1_000
                with trio.move_on_after(pause_s):
                    await self._timers_changed.wait()
            else:
                await self._timers_changed.wait()

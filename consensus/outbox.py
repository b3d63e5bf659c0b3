"""What the parts of the core write their effects into, and what remembers the answers they await.

Invariant: a continuation given with a synced batch or a signature runs exactly once, when the
answer arrives, and never in the call that asked for it.

All synced writes of one event go into one batch, in the place of the first: syncing costs far
more than writing, and finality and the next round usually come together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consensus.effects import (
    Alarm,
    AlarmKind,
    Announce,
    Effect,
    Operation,
    Persist,
    Report,
    Send,
    SetTimer,
    Sign,
    SignKind,
)
from consensus.events import Committed, PeerId, Signed, TimerName
from runtime.primitives.block import Header
from runtime.primitives.grandpa import GossipMessage

Continuation = Callable[[int], None]
"""What to do when a batch is on disk; is given the random bits of the answer."""


@dataclass(slots=True)
class _SyncedBatch:
    """The synced batch of the event at hand, and its place among the effects."""

    batch_id: int
    place: int
    operations: list[Operation] = field(default_factory=list[Operation])
    continuations: list[Continuation] = field(default_factory=list[Continuation])

    def effect(self) -> Persist:
        return Persist(self.batch_id, tuple(self.operations), is_synced=True)


class Outbox:
    """The effects of the event at hand, and the clocks of its call."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.wall_ms = 0
        self.can_sign = True
        """Whether the signer is there; without it nothing is asked of it, and we observe."""

        self._effects: list[Effect] = []
        self._next_id = 0
        self._batch: _SyncedBatch | None = None
        self._after_commit: dict[int, list[Continuation]] = {}
        self._after_signature: dict[int, Callable[[Signed], None]] = {}
        self._timers: dict[TimerName, int] = {}

    def begin(self, now_ms: int, wall_ms: int) -> None:
        """Set the clocks for one event."""
        self.now_ms = now_ms
        self.wall_ms = wall_ms

    def drain(self) -> list[Effect]:
        """The effects since the last drain."""
        batch, self._batch = self._batch, None
        if batch is not None:
            self._effects[batch.place] = batch.effect()
            self._after_commit[batch.batch_id] = batch.continuations
        effects, self._effects = self._effects, []
        return effects

    def emit(self, effect: Effect) -> None:
        """Ask for an effect that needs no continuation."""
        self._effects.append(effect)

    def next_id(self) -> int:
        """A number never used before in this run, for batches and requests."""
        self._next_id += 1
        return self._next_id

    def persist(self, operations: Sequence[Operation]) -> None:
        """Write one batch that may be lost in a crash."""
        self.emit(Persist(self.next_id(), tuple(operations), is_synced=False))

    def persist_synced(self, operations: Sequence[Operation], then: Continuation) -> None:
        """Write with the synced batch of this event; when it is on disk run `then`."""
        if self._batch is None:
            self._batch = _SyncedBatch(self.next_id(), len(self._effects))
            self.emit(self._batch.effect())
        self._batch.operations += operations
        self._batch.continuations.append(then)

    def sign_seal(
        self,
        public: bytes,
        payload: bytes,
        slot: int,
        header: Header,
        then: Callable[[Signed], None],
    ) -> None:
        """Have a block signed; `payload` is the hash of the unsealed `header`."""
        request_id = self.next_id()
        self._after_signature[request_id] = then
        self.emit(Sign(request_id, SignKind.SEAL, public, payload, slot=slot, header=header))

    def sign_vote(
        self,
        public: bytes,
        payload: bytes,
        position: tuple[int, int, int],
        then: Callable[[Signed], None],
    ) -> None:
        """Have a vote signed; `position` is (set id, round, stage)."""
        request_id = self.next_id()
        self._after_signature[request_id] = then
        set_id, round_number, stage = position
        self.emit(
            Sign(
                request_id,
                SignKind.VOTE,
                public,
                payload,
                set_id=set_id,
                round=round_number,
                stage=stage,
            )
        )

    def committed(self, event: Committed) -> None:
        """Go on with what waited for a batch."""
        for then in self._after_commit.pop(event.batch_id, ()):
            then(event.entropy)

    def signed(self, event: Signed) -> None:
        """Go on with what waited for a signature."""
        if event.is_lost:
            self.can_sign = False
        then = self._after_signature.pop(event.request_id, None)
        if then is not None:
            then(event)

    def set_timer(self, name: TimerName, at_ms: int) -> None:
        """Set a timer, unless it is already set to this time."""
        if self._timers.get(name) != at_ms:
            self._timers[name] = at_ms
            self.emit(SetTimer(name, at_ms))

    def timer_fired(self, name: TimerName) -> None:
        """Forget the time of a timer that has come."""
        self._timers.pop(name, None)

    def send(self, peers: Sequence[PeerId], message: GossipMessage | Announce) -> None:
        """Send to some peers; to nobody is no effect."""
        if peers:
            self.emit(Send(tuple(peers), message))

    def report(self, peer: PeerId | None, delta: int, reason: str) -> None:
        """Change a peer's reputation; None is ourselves."""
        if peer is not None:
            self.emit(Report(peer, delta, reason))

    def alarm(self, kind: AlarmKind, detail: str) -> None:
        """Tell the operator."""
        self.emit(Alarm(kind, detail))

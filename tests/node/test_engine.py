"""The engine carries out what a scripted core asks for, in order, and loses no answer."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from consensus import effects, events
from consensus.effects import Effect
from consensus.events import Event, TimerName
from node.engine import QUEUE_MAX, Engine, EngineHalted, Notifications
from node.errors import DiskFailed
from node.metrics import Instruments
from runtime.primitives.block import Digest, Header

HEADER = Header(bytes(32), 1, bytes(32), bytes(32), Digest([]))
HASH = b"\x01" * 32
WALL_MS = 1_700_000_000_000


class ScriptedCore:
    """Answers each event with what the script says, and remembers what it was told."""

    def __init__(self, script: Callable[[Event], list[Effect]], first: list[Effect]) -> None:
        self.script = script
        self.first = first
        self.told: list[Event] = []

    def start(self, now_ms: int, wall_ms: int, state: object) -> list[Effect]:
        return self.first

    def handle(self, now_ms: int, wall_ms: int, event: Event) -> list[Effect]:
        self.told.append(event)
        return self.script(event)


class Desk:
    """An engine whose surroundings write down what is asked of them."""

    def __init__(
        self,
        first: list[Effect] | None = None,
        script: Callable[[Event], list[Effect]] = lambda event: [],
    ) -> None:
        self.core = ScriptedCore(script, first or [])
        self.done: list[object] = []
        self.write_error: DiskFailed | None = None
        chain = SimpleNamespace(
            loaded_state=lambda marks, is_signer_away: None,
            execute=self._execute,
            build=lambda effect, ready, reject, now_ms, promised: events.Built(
                effect.slot, HASH, HEADER
            ),
            write=self._write,
        )
        wire = SimpleNamespace(
            send=lambda peers, message: self.done.append(("send", peers)),
            report=lambda peer, delta, reason: self.done.append(("report", peer, delta)),
            request_blocks=self._request,
        )
        notify = Notifications(*[self.done.append] * 5)
        self.engine = Engine(
            cast(Any, self.core),
            cast(Any, chain),
            cast(Any, SimpleNamespace(ready=lambda: iter(()), reject=self.done.append)),
            cast(
                Any,
                SimpleNamespace(
                    marks=lambda: (),
                    is_away=False,
                    sign=lambda effect, tell: tell(events.Signed(effect.request_id, b"s")),
                    run=self._keep_in_touch,
                ),
            ),
            cast(Any, wire),
            cast(
                Any,
                SimpleNamespace(
                    monotonic_ms=lambda: int(trio.current_time() * 1_000), wall_ms=lambda: WALL_MS
                ),
            ),
            notify,
            random.Random(1),
            Instruments(),
        )

    async def _keep_in_touch(self, tell: Callable[[Event], None]) -> None:
        self.tell = tell

    def _execute(self, effect: effects.Execute, wall_ms: int) -> events.Executed:
        assert wall_ms == WALL_MS
        self.done.append(("execute", effect.block_hash))
        return events.Executed(effect.block_hash, events.Verdict.VALID)

    def _write(self, effect: effects.Persist) -> None:
        if self.write_error is not None:
            raise self.write_error
        self.done.append(("write", effect.batch_id))

    async def _request(self, effect: effects.RequestBlocks) -> Event:
        await trio.sleep(1)
        return events.BlocksReceived(effect.request_id, effect.peer, ())

    async def run_for(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self.engine.run()


def persist(batch_id: int, is_synced: bool) -> effects.Persist:
    return effects.Persist(batch_id, (), is_synced)


async def test_effects_are_under_way_in_their_order_before_the_first_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk([persist(1, True), effects.Execute(HASH, HEADER, ()), persist(2, False)])

    await desk.run_for(1)

    assert desk.done == [("write", 1), ("execute", HASH), ("write", 2)]
    assert [type(event) for event in desk.core.told] == [events.Committed, events.Executed]


async def test_a_batch_that_is_not_synced_is_not_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk([persist(1, False)])

    await desk.run_for(1)

    assert desk.core.told == []


async def test_answers_go_before_what_the_network_says_and_are_never_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    gone = events.PeerGone(b"peer")
    desk = Desk([effects.Sign(7, effects.SignKind.SEAL, b"", b"")])
    accepted = sum(desk.engine.post(gone) for _ in range(QUEUE_MAX + 5))

    await desk.run_for(1)

    assert accepted == QUEUE_MAX
    assert desk.core.told[0] == events.Signed(7, b"s")
    assert len(desk.core.told) == QUEUE_MAX + 1


async def test_a_timer_rings_once_at_its_latest_setting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rang: list[float] = []

    def script(event: Event) -> list[Effect]:
        rang.append(trio.current_time())
        return []

    desk = Desk(script=script)
    start = trio.current_time()
    now_ms = int(start * 1_000)
    desk.core.first = [
        effects.SetTimer(TimerName.SLOT, now_ms + 1_000),
        effects.SetTimer(TimerName.SLOT, now_ms + 3_000),
        effects.SetTimer(TimerName.ROUND, now_ms + 2_000),
    ]

    await desk.run_for(10)

    assert desk.core.told == [events.Timer(TimerName.ROUND), events.Timer(TimerName.SLOT)]
    assert [round(at - start) for at in rang] == [2, 3]


async def test_a_request_is_answered_without_holding_up_the_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk(
        [
            effects.RequestBlocks(3, b"peer", HASH, True, 1, True),
            effects.Report(b"peer", -5, "slow"),
            effects.Build(1, HASH, 1, Digest([]), 0, 0),
        ]
    )

    await desk.run_for(5)

    assert desk.done == [("report", b"peer", -5)]
    assert [type(event) for event in desk.core.told] == [events.Built, events.BlocksReceived]


async def test_a_refused_write_ends_the_node_with_its_own_exit_code() -> None:
    desk = Desk([persist(1, True)])
    desk.write_error = DiskFailed("No space left on device")

    with pytest.RaisesGroup(pytest.RaisesExc(DiskFailed, match="No space left")) as failure:
        await desk.engine.run()

    assert isinstance(failure.value.exceptions[0], DiskFailed)
    assert failure.value.exceptions[0].exit_code == 74


async def test_a_halt_ends_the_node_with_the_cores_code_and_reason() -> None:
    desk = Desk([effects.Halt(70, "safety")])

    with pytest.RaisesGroup(pytest.RaisesExc(EngineHalted, match="safety")) as failure:
        await desk.engine.run()

    assert isinstance(failure.value.exceptions[0], EngineHalted)
    assert failure.value.exceptions[0].exit_code == 70

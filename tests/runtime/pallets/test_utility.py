"""Batches and derived accounts."""

from typing import Any

import pytest

from runtime.frame.dispatch import BadOrigin, LimitReached
from runtime.pallets import balances, utility
from runtime.pallets.utility import derivative_account
from runtime.primitives.scale import Struct
from runtime.runtime import Runtime
from tests.support import (
    ALICE,
    BOB,
    CHARLIE,
    DRT,
    MemoryChain,
    assert_noop,
    build_runtime,
    new_runtime,
)
from tests.support.chains import to


def transfer(runtime: Runtime, dest: bytes, value: int) -> Struct:
    """A transfer as a call in a batch."""
    return runtime.assembly.make_call("Balances", "transfer_keep_alive", dest=to(dest), value=value)


def free(runtime: Runtime, who: bytes) -> int:
    return runtime.balances.free_balance(who)


def test_a_batch_does_its_calls_in_order() -> None:
    runtime = build_runtime()
    calls = [transfer(runtime, BOB, 3 * DRT), transfer(runtime, CHARLIE, 4 * DRT)]

    runtime.utility.batch(ALICE, calls=calls)

    assert free(runtime, ALICE) == 993 * DRT
    assert (free(runtime, BOB), free(runtime, CHARLIE)) == (1_003 * DRT, 1_004 * DRT)
    events = runtime.assembly.state.events
    assert events[-1] == utility.BatchCompleted()
    assert events.count(utility.ItemCompleted()) == 2


def test_a_batch_stops_at_the_first_failure_and_keeps_what_was_done() -> None:
    runtime = build_runtime()
    too_much = transfer(runtime, BOB, 10**6 * DRT)
    calls = [transfer(runtime, BOB, DRT), too_much, transfer(runtime, BOB, DRT)]

    runtime.utility.batch(ALICE, calls=calls)

    assert free(runtime, BOB) == 1_001 * DRT
    last = runtime.assembly.state.events[-1]
    assert isinstance(last, utility.BatchInterrupted)
    assert last.index == 1
    assert last.error == runtime.assembly.failure_of(balances.InsufficientBalance())


def test_batch_all_does_all_or_nothing() -> None:
    runtime = build_runtime()
    calls = [transfer(runtime, BOB, DRT), transfer(runtime, BOB, 10**6 * DRT)]

    assert_noop(
        runtime,
        lambda: runtime.utility.batch_all(ALICE, calls=calls),
        balances.InsufficientBalance,
    )

    runtime.utility.batch_all(ALICE, calls=calls[:1])
    assert free(runtime, BOB) == 1_001 * DRT


def test_force_batch_goes_on_after_failures() -> None:
    runtime = build_runtime()
    too_much = transfer(runtime, BOB, 10**6 * DRT)
    calls = [too_much, transfer(runtime, BOB, DRT)]

    runtime.utility.force_batch(ALICE, calls=calls)

    assert free(runtime, BOB) == 1_001 * DRT
    events = runtime.assembly.state.events
    assert isinstance(events[-4], utility.ItemFailed)
    assert events[-1] == utility.BatchCompletedWithErrors()


def test_an_empty_batch_is_done_at_once() -> None:
    runtime = build_runtime()

    runtime.utility.force_batch(ALICE, calls=[])

    assert runtime.assembly.state.events[-1] == utility.BatchCompleted()


@pytest.mark.parametrize("name", ["batch", "batch_all", "force_batch"])
def test_a_batch_has_a_limit(name: str) -> None:
    runtime = build_runtime()
    limit = runtime.utility.config.batched_calls_limit
    batch: Any = getattr(runtime.utility, name)
    calls = [runtime.assembly.make_call("System", "remark", remark=b"")] * (limit + 1)

    assert_noop(runtime, lambda: batch(ALICE, calls=calls), utility.TooManyCalls)


def test_a_derived_account_calls_in_its_own_name() -> None:
    runtime = build_runtime()
    derived = derivative_account(ALICE, 7)
    runtime.balances.transfer(ALICE, derived, 10 * DRT)

    runtime.utility.as_derivative(ALICE, index=7, call=transfer(runtime, BOB, 4 * DRT))

    assert free(runtime, derived) == 6 * DRT
    assert free(runtime, BOB) == 1_004 * DRT


def test_nested_batches_end_at_the_bound_of_the_dispatcher() -> None:
    runtime = build_runtime()
    call = transfer(runtime, BOB, DRT)
    for _ in range(12):
        call = runtime.assembly.make_call("Utility", "batch_all", calls=[call])

    with pytest.raises(LimitReached):
        runtime.assembly.dispatch(ALICE, call)
    assert free(runtime, BOB) == 1_000 * DRT


def test_a_batch_pays_for_what_alone_would_be_free() -> None:
    chain = MemoryChain.new(new_runtime())
    assembly = chain.runtime.assembly
    inner = assembly.make_call("Balances", "transfer_keep_alive", dest=to(BOB), value=DRT)
    one = assembly.cost_of(assembly.make_call("Utility", "batch", calls=[inner]))
    two = assembly.cost_of(assembly.make_call("Utility", "batch", calls=[inner, inner]))

    assert not one.is_feeless
    assert two.weight - one.weight >= assembly.cost_of(inner).weight


def test_what_only_an_author_may_do_cannot_be_done_in_a_batch() -> None:
    runtime = build_runtime()
    call = runtime.assembly.make_call("Timestamp", "set", now=5)

    runtime.utility.force_batch(ALICE, calls=[call])

    failed = runtime.assembly.state.events[0]
    assert isinstance(failed, utility.ItemFailed)
    assert failed.error == BadOrigin.failure
    assert runtime.timestamp.now() == 0


def test_a_call_in_another_name_weighs_as_much_as_a_batch_of_one() -> None:
    runtime = build_runtime()
    call = transfer(runtime, BOB, DRT)
    make, cost = runtime.assembly.make_call, runtime.assembly.cost_of

    derived = cost(make("Utility", "as_derivative", index=0, call=call))

    assert derived == cost(make("Utility", "batch", calls=[call]))

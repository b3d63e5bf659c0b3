"""The time of a block: told once, within its slot, later than before."""

import pytest

from runtime.frame import InvalidBlock
from runtime.frame.validity import InvalidTransaction
from runtime.pallets import timestamp
from runtime.runtime import SignatureCache
from tests.support import ALICE, MemoryChain, assert_noop, build_runtime, new_runtime

SLOT_MS = 2_000


def begun_chain() -> MemoryChain:
    """A chain with a block begun in the slot after the head's, nothing told yet."""
    chain = MemoryChain.new(new_runtime())
    chain.build()
    chain.runtime.initialize_block(chain.overlay(), chain.draft())
    return chain


def test_the_time_of_the_block_is_the_told_one() -> None:
    chain = MemoryChain.new(new_runtime())

    chain.build()

    chain.runtime.bind(chain.overlay())
    assert chain.runtime.timestamp.now() == chain.slot * SLOT_MS


@pytest.mark.parametrize("moment_ms", [0, SLOT_MS - 1])
def test_any_time_within_the_slot_can_be_told(moment_ms: int) -> None:
    chain = begun_chain()
    told_ms = (chain.slot + 1) * SLOT_MS + moment_ms

    chain.runtime.timestamp.set(None, now=told_ms)

    assert chain.runtime.timestamp.now() == told_ms


@pytest.mark.parametrize("moment_ms", [-1, SLOT_MS])
def test_a_time_outside_the_slot_is_refused(moment_ms: int) -> None:
    chain = begun_chain()
    told_ms = (chain.slot + 1) * SLOT_MS + moment_ms

    assert_noop(
        chain.runtime,
        lambda: chain.runtime.timestamp.set(None, now=told_ms),
        timestamp.OutsideSlot,
    )


def test_time_moves_on_by_half_a_slot_at_least() -> None:
    runtime = build_runtime()
    runtime.timestamp.now_.set(10_000)

    assert_noop(runtime, lambda: runtime.timestamp.set(None, now=10_999), timestamp.TooEarly)


def test_the_time_is_told_once_per_block() -> None:
    chain = begun_chain()
    told_ms = (chain.slot + 1) * SLOT_MS
    chain.runtime.timestamp.set(None, now=told_ms)

    assert_noop(
        chain.runtime, lambda: chain.runtime.timestamp.set(None, now=told_ms), timestamp.SetTwice
    )


def test_a_block_that_does_not_tell_its_time_is_invalid() -> None:
    chain = MemoryChain.new(new_runtime())
    overlay = chain.overlay()
    chain.runtime.initialize_block(overlay, chain.draft())

    with pytest.raises(InvalidBlock, match="has no timestamp"):
        chain.runtime.finalize_block(overlay)


def test_a_wrong_time_makes_the_extrinsic_and_so_the_block_invalid() -> None:
    chain = MemoryChain.new(new_runtime())
    overlay = chain.overlay()
    chain.runtime.initialize_block(overlay, chain.draft())
    (extrinsic,) = chain.runtime.inherents(5)

    with pytest.raises(InvalidTransaction, match="mandatory"):
        chain.runtime.apply_extrinsic(overlay, extrinsic, SignatureCache())


def test_nobody_can_sign_a_time() -> None:
    chain = MemoryChain.new(new_runtime())
    call = chain.call("Timestamp", "set", now=chain.time_ms(chain.slot + 1))

    with pytest.raises(InvalidTransaction):
        chain.build([chain.sign(ALICE, call)])

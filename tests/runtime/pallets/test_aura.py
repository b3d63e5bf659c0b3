"""Slots and the authorities of block authoring."""

import pytest

from runtime.frame import InvalidBlock
from runtime.primitives.aura import ENGINE_ID
from runtime.primitives.block import Digest, Other, PreRuntime
from tests.support import ALICE, BOB, CHARLIE, DAVE, MemoryChain, new_runtime


def test_the_slot_comes_from_the_digest() -> None:
    chain = MemoryChain.new(new_runtime())

    chain.build(slot=chain.slot + 5)

    chain.runtime.bind(chain.overlay())
    assert chain.runtime.aura.current_slot.get() == chain.slot


@pytest.mark.parametrize("step", [0, -1])
def test_a_slot_that_is_not_later_makes_the_block_invalid(step: int) -> None:
    chain = MemoryChain.new(new_runtime())
    chain.build()

    with pytest.raises(InvalidBlock, match="expected one after"):
        chain.build(slot=chain.slot + step)


@pytest.mark.parametrize(
    "digest",
    [
        Digest([]),
        Digest([Other(b"aura")]),
        Digest([PreRuntime(b"BABE", bytes(8))]),
        Digest([PreRuntime(ENGINE_ID, bytes(7))]),
    ],
)
def test_a_block_without_a_readable_slot_is_invalid(digest: Digest) -> None:
    chain = MemoryChain.new(new_runtime())
    draft = chain.draft()
    header = type(draft)(
        draft.parent_hash, draft.number, draft.state_root, draft.extrinsics_root, digest
    )

    with pytest.raises(InvalidBlock, match="names no slot"):
        chain.runtime.initialize_block(chain.overlay(), header)


def test_clients_read_slot_duration_and_authorities() -> None:
    chain = MemoryChain.new(new_runtime())
    call_api = chain.runtime.call_api

    assert call_api(chain.overlay(), "AuraApi_slot_duration", b"") == (2_000).to_bytes(8, "little")
    authorities = call_api(chain.overlay(), "AuraApi_authorities", b"")
    assert authorities == b"\x10" + ALICE + BOB + CHARLIE + DAVE


def test_the_author_is_the_slot_modulo_the_number_of_authorities() -> None:
    chain = MemoryChain.new(new_runtime())

    authors = []
    for _ in range(8):
        chain.build()
        chain.runtime.bind(chain.overlay())
        authors.append((chain.slot % 4, chain.runtime.session.author()))

    expected = {0: ALICE, 1: BOB, 2: CHARLIE, 3: DAVE}
    assert all(expected[place] == author for place, author in authors)

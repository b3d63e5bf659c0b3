"""A dry run judges an extrinsic as the next block would, and changes nothing."""

import pytest

from node.dry_run import dry_run
from runtime.frame.assembly import ApiError
from runtime.primitives.block import Header
from runtime.state.overlay import Overlay
from tests.support.accounts import ALICE, BOB
from tests.support.chains import MemoryChain
from tests.support.runtimes import DRT, genesis_sections, new_runtime

FINE = bytes(2)
"""Ok(Ok(()))."""


@pytest.fixture
def chain() -> MemoryChain:
    chain = MemoryChain.new(new_runtime(), genesis_sections({ALICE: DRT, BOB: DRT}))
    chain.build()
    return chain


def tried(chain: MemoryChain, extrinsic: bytes, head: Header | None = None) -> bytes:
    return dry_run(chain.runtime, Overlay(chain.states[-1]), head or chain.head, extrinsic)


def test_it_tells_what_the_call_comes_to_and_leaves_the_state(chain: MemoryChain) -> None:
    root = chain.states[-1].root

    assert tried(chain, chain.transfer(ALICE, BOB, 5)) == FINE
    assert tried(chain, chain.transfer(ALICE, BOB, 5 * DRT))[:2] == b"\x00\x01"
    assert tried(chain, chain.transfer(ALICE, BOB, 5, nonce=9))[:1] == b"\x01"
    assert chain.states[-1].root == root


def test_it_agrees_with_the_block_that_follows(chain: MemoryChain) -> None:
    extrinsic = chain.transfer(ALICE, BOB, 5)
    assert tried(chain, extrinsic) == FINE

    chain.build([extrinsic])

    assert tried(chain, extrinsic)[:1] == b"\x01"  # its nonce is used


def test_it_works_on_the_genesis_and_refuses_what_is_no_extrinsic() -> None:
    chain = MemoryChain.new(new_runtime(), genesis_sections({ALICE: DRT, BOB: DRT}))

    assert tried(chain, chain.transfer(ALICE, BOB, 5)) == FINE
    with pytest.raises(ApiError):
        tried(chain, b"")

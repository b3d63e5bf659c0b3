"""What tests of the runtime share: accounts, a runtime over a small grid, blocks, strategies."""

from tests.support.accounts import ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE, pair_of
from tests.support.chains import MemoryChain
from tests.support.runtimes import (
    CONSTANTS,
    DRT,
    assert_noop,
    build_runtime,
    genesis_sections,
    new_runtime,
)

__all__ = [
    "ALICE",
    "BOB",
    "CHARLIE",
    "CONSTANTS",
    "DAVE",
    "DRT",
    "EVE",
    "FERDIE",
    "MemoryChain",
    "assert_noop",
    "build_runtime",
    "genesis_sections",
    "new_runtime",
    "pair_of",
]

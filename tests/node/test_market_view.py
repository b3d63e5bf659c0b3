"""What a node tells of the market is made once per best block."""

from typing import Any, cast

from node.chain import Chain
from node.market_view import MarketView
from runtime.runtime import Runtime
from runtime.state.overlay import Overlay
from tests.support.chains import MemoryChain
from tests.support.runtimes import new_runtime


class Best:
    """The two things that the view asks of a chain; counts how often the state was read."""

    def __init__(self, chain: MemoryChain) -> None:
        self.chain = chain
        self.reads = 0

    @property
    def best_hash(self) -> bytes:
        return self.chain.head.hash()

    def best_state(self) -> Any:
        self.reads += 1
        return self.chain.states[-1]

    def runtime_of(self, state: Any) -> Runtime:
        return self.chain.runtime


def test_the_accounts_are_added_up_once_per_best_block() -> None:
    chain = MemoryChain.new(new_runtime())
    best = Best(chain)
    view = MarketView(cast(Chain, best))

    first = [view.status() for _ in range(5)]
    assert best.reads == 1
    assert first[0] == chain.runtime.market_status(Overlay(chain.states[-1]))
    chain.build()
    view.status()

    assert best.reads == 2

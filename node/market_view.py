"""What a node tells of the market, made once per best block however many ask."""

from collections.abc import Mapping

from node.chain import Chain
from rpc.ports import Json
from runtime.primitives.types import Hash
from runtime.state.overlay import Overlay


class MarketView:
    """The market after the best block."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._status: tuple[Hash, Mapping[str, Json]] | None = None

    def status(self) -> Mapping[str, Json]:
        """Totals of settlement, and the latest settled intervals, oldest first."""
        best_hash = self._chain.best_hash
        if self._status is None or self._status[0] != best_hash:
            # It visits all accounts to add up their money.
            state = self._chain.best_state()
            status = self._chain.runtime_of(state).market_status(Overlay(state))
            self._status = best_hash, status
        return self._status[1]

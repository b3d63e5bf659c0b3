"""How much of what neighbours could have traded was settled between them.

Per interval the tradable energy is the lesser of what homes exported and what homes imported.
Settled locally is, at most that, what contracts delivered and the pool shared, and the lesser of
what fills covered of imports and of exports: fills with the trader outside count on one side only.

Energy in Wh, money in nano-DRT.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.pallets.trading.records import SettlementLine


class LocalEnergy(NamedTuple):
    """Of one interval, or summed over many."""

    tradable_wh: int = 0
    settled_wh: int = 0
    by_auction_wh: int = 0
    """The part of `settled_wh` that neither contracts nor the pool brought."""


def local_energy(lines: Sequence[SettlementLine]) -> LocalEnergy:
    """Of a settled interval, from its lines."""
    imported = exported = contracts = pool = covered_import = covered_export = 0
    for line in lines:
        net_wh = line.buy_wh - line.sell_wh
        imported += line.import_wh
        exported += line.export_wh
        contracts += line.contract_import_wh
        pool += line.pool_import_wh
        covered_import += min(max(net_wh, 0), line.import_wh - line.contract_import_wh)
        covered_export += min(max(-net_wh, 0), line.export_wh - line.contract_export_wh)
    tradable = min(imported, exported)
    settled = min(tradable, contracts + pool + min(covered_import, covered_export))
    return LocalEnergy(tradable, settled, max(0, settled - contracts - pool))


def gain_nano(line: SettlementLine, retail: int, feed_in: int) -> int:
    """What a connection got more, or paid less, in an interval than on the tariff alone."""
    return line.amount_nano + retail * line.import_wh - feed_in * line.export_wh


def added(first: LocalEnergy, second: LocalEnergy) -> LocalEnergy:
    """The sum of two."""
    return LocalEnergy(*(a + b for a, b in zip(first, second, strict=True)))

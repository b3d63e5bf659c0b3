"""Opening intervals a day ahead: contracts reserve capacity before any call of the auction.

Each contract of fixed volume, in the order of countersignature, reserves its energy on the path
from seller to buyer: gross, not netted against others, and more towards the seller by what the
edges lose. What does not fit is clipped and said so. Pay-as-produced reserves nothing. Calls of the
auction use what is left, and wait until an interval is open.

The settlement of an interval takes the deals of its opening, so that suspensions and terminations
never reach back.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.pallets.trading.contract_records import Contract, IntervalDeal, Shape
from runtime.pallets.trading.contracts import (
    check_collateral,
    end,
    strike_bounds,
    strike_of,
    volume_of,
)
from runtime.pallets.trading.deals import Deal
from runtime.pallets.trading.events import ContractClipped
from runtime.pallets.trading.orders import INTERVALS_AHEAD
from runtime.pallets.trading.settlement import Delivery, Settlement, contract_payments
from runtime.pallets.trading.tariffs import fix_tariffs

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

OPENINGS_PER_BLOCK_MAX = 16  # the day ahead is open seven blocks after genesis or a standstill
CONTRACT_WEIGHT = 100_000_000  # 100 us: its collateral, its path, its deal
OPENING_PART = 4
"""Openings have this part of the weight for settlements, which leave it to them."""


def open_intervals(market: "Trading", now_ms: int) -> None:
    """Open the next intervals, nearest first, up to a day ahead and to what fits a block."""
    schedule, config = market.schedule.get(), market.config
    current = now_ms // config.market_interval_ms
    last = current + INTERVALS_AHEAD
    if schedule.opened >= last:
        return
    standing = market.contract_order.get()
    first = max(schedule.opened + 1, current)
    if standing or market.tariff_books.get():
        weight = config.settlement_weight // OPENING_PART
        fitting = weight // (CONTRACT_WEIGHT * (1 + len(standing)))
        last = min(last, first + min(max(1, fitting), OPENINGS_PER_BLOCK_MAX) - 1)
        contracts = renew(market, standing, schedule.stored)
        with_deals = [k for k in range(first, last + 1) if open_interval(market, k, contracts)]
        schedule = replace(schedule, stored=tuple(sorted({*schedule.stored, *with_deals})))
    market.schedule.set(replace(schedule, opened=last))


def renew(market: "Trading", standing: Sequence[int], stored: Sequence[int]) -> dict[int, Contract]:
    """The contracts in their order, collaterals looked after, without those that are over."""
    oldest = min(stored, default=0)
    contracts: dict[int, Contract] = {}
    for contract_id in standing:
        contract = market.contracts[contract_id]
        assert contract is not None, "what stands in the order is there"
        if contract.terms.last < oldest:
            end(market, contract_id, contract)
        else:
            contracts[contract_id] = check_collateral(market, contract_id, contract)
    return contracts


def open_interval(market: "Trading", interval: int, contracts: Mapping[int, Contract]) -> bool:
    """Reserve what contracts want of an interval, and keep what they got; whether there are any."""
    tariffs = fix_tariffs(market, interval)
    deals = [
        reserve(market, interval, contract_id, contract, tariffs)
        for contract_id, contract in contracts.items()
        if contract.terms.first <= interval <= contract.terms.last and not contract.is_suspended
    ]
    if deals:
        market.deals[interval] = tuple(deals)
    return bool(deals)


def reserve(
    market: "Trading",
    interval: int,
    contract_id: int,
    contract: Contract,
    tariffs: Sequence[int],
) -> IntervalDeal:
    """The deal of a contract for an interval, with the volume its path can carry.

    Tariffs that leave no strike at which nobody loses let it rest for the interval.
    """
    terms, grid = contract.terms, market.config.grid
    source = market.connection_at(terms.seller).bus
    target = market.connection_at(terms.buyer).bus
    fee_micro = grid.path_tariff(source, target, tariffs)
    feed_in, highest = strike_bounds(market, fee_micro)
    rests = feed_in > highest
    volume_wh = 0
    if terms.shape != Shape.AS_PRODUCED or rests:
        wanted = volume_of(terms, market.slot_of_day(interval))
        if not rests:
            volume_wh = grid.reserve(interval, source, target, wanted)
        if volume_wh < wanted or rests:
            market.deposit_event(ContractClipped(contract_id, interval, wanted, volume_wh))
    return IntervalDeal(
        contract_id,
        terms.seller,
        terms.buyer,
        volume_wh,
        0 if rests else terms.share_ppm,
        fee_micro,
        terms.is_firm,
        terms.tolerance_ppm,
        0,
        0,
        0,
    )


def with_strikes(
    market: "Trading", interval: int, deals: Sequence[IntervalDeal]
) -> list[IntervalDeal]:
    """The deals of an interval with their strikes, fixed at its first settlement."""
    prices = market.prices[interval]
    index_micro = prices[0] if prices else market.reference_price.get()
    priced: list[IntervalDeal] = []
    for deal in deals:
        contract = market.contracts[deal.contract]
        assert contract is not None, "a contract outlives its last interval"
        strike = strike_of(market, contract.terms.price, index_micro, deal.fee_micro)
        priced.append(replace(deal, strike_micro=strike))
    return priced


def as_settled(deal: IntervalDeal) -> Deal:
    """A deal as the settlement sees it: parties are positions, connection 1 first."""
    return Deal(
        deal.seller - 1,
        deal.buyer - 1,
        deal.volume_wh,
        deal.share_ppm,
        deal.strike_micro,
        deal.fee_micro,
        deal.is_firm,
        deal.tolerance_ppm,
    )


def keep_deals(
    market: "Trading",
    interval: int,
    deals: Sequence[IntervalDeal],
    settled: Settlement,
    deliveries: Sequence[Delivery],
) -> None:
    """Store what deals came to, and add the change since their last settlement to the contracts."""
    payments = contract_payments(deliveries, [as_settled(deal) for deal in deals], settled.deals)
    kept: list[IntervalDeal] = []
    for deal, delivered, payment in zip(deals, settled.deals.delivered, payments, strict=True):
        contract = market.contracts[deal.contract]
        if contract is not None:  # one that is over is settled again, but not counted any more
            market.contracts[deal.contract] = replace(
                contract,
                delivered_wh=contract.delivered_wh + delivered.wh - deal.delivered_wh,
                paid_nano=contract.paid_nano + payment.price_nano - deal.paid_nano,
            )
        kept.append(replace(deal, delivered_wh=delivered.wh, paid_nano=payment.price_nano))
    if kept:
        market.deals[interval] = tuple(kept)

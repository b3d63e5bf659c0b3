"""What a call of the auction clears: the orders that take part, their canonical order, the grid.

The canonical order is that of a hash of the call block's parent and the order's id, which nobody
could know when the order was signed. It decides who gets the last Wh of a shared price level, and
the order in which fills are booked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import Clearing, OrderArrays, TreeArrays, clear_signed
from runtime.kernels.bounds import PRICE_MAX
from runtime.pallets.trading.kept_books import parts_of_local_id
from runtime.pallets.trading.records import Book, Call, Holding, Order, order_id_of
from runtime.primitives.hashing import blake2_256

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


class Holdings(Mapping[int, Holding]):
    """The holdings of an interval by connection, each read when it is asked for."""

    def __init__(self, market: "Trading", interval: int) -> None:
        self._market, self._interval = market, interval
        self._read: dict[int, Holding] = {}

    def __getitem__(self, connection: int) -> Holding:
        if connection not in self._read:
            self._read[connection] = self._market.holdings[self._interval, connection]
        return self._read[connection]

    def __iter__(self) -> Iterator[int]:
        return self._market.holdings.keys_under(self._interval)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Candidate(NamedTuple):
    """An order that takes part in a call."""

    rank: bytes
    connection: int
    bus: int
    order: Order


class Filled(NamedTuple):
    """What an order trades."""

    connection: int
    sequence: int
    wh: int


class CoupledBid(NamedTuple):
    """What an accepted coupled order trades in an interval."""

    connection: int
    bus: int
    wh: int
    """Bought; negative: sold."""


@dataclass(frozen=True, slots=True)
class Auction:
    """What a call clears in one interval, and on which grid."""

    interval: int
    book: Book
    holdings: Mapping[int, Holding]
    tree: TreeArrays
    is_lifted: bool
    """An earlier call saw a limit below 1, so prices are raised."""


@dataclass(frozen=True, slots=True)
class ListedAuction(Auction):
    """One whose orders are listed, to be cleared many times with others behind them."""

    candidates: Sequence[Candidate]
    orders: OrderArrays
    """The candidates, in their order."""


def auction_of(
    market: "Trading", call: Call, interval: int, book: Book, holdings: Mapping[int, Holding]
) -> Auction:
    """What a call clears in an interval."""
    tree = market.config.grid.residual_tree(interval)
    return Auction(interval, book, holdings, tree, 0 < book.negative_ms < call.moment_ms)


def clear_kept(
    market: "Trading", call: Call, auction: Auction
) -> tuple[Clearing, Sequence[Filled]]:
    """Clear an interval by its kept book; what its orders trade, in canonical order."""
    interval = auction.interval

    def rank(local_id: int) -> bytes:
        return rank_of(call, interval, *parts_of_local_id(local_id))

    def ranks(local_ids: Int64Array) -> list[bytes]:
        return [rank(local_id) for local_id in local_ids.tolist()]

    kept = market.kept_books.take(market, interval, call.moment_ms)
    clearing = kept.clear(
        auction.tree,
        reference_price_of(market),
        market.config.price_floor,
        auction.is_lifted,
        ranks,
    )
    places = np.flatnonzero(clearing.fill)
    traded = zip(kept.ids[places].tolist(), clearing.fill[places].tolist(), strict=True)
    in_order = sorted(traded, key=lambda each: rank(each[0]))
    return clearing, [Filled(*parts_of_local_id(local_id), wh) for local_id, wh in in_order]


def listed_auction_of(
    market: "Trading", call: Call, interval: int, book: Book, holdings: Mapping[int, Holding]
) -> ListedAuction:
    """What a call clears in an interval, with all orders in canonical order."""
    auction = auction_of(market, call, interval, book, holdings)
    candidates = canonical_orders(market, call, interval, holdings)
    return ListedAuction(
        auction.interval,
        auction.book,
        auction.holdings,
        auction.tree,
        auction.is_lifted,
        candidates,
        OrderArrays.of(
            [candidate.bus for candidate in candidates],
            [candidate.order.price_micro for candidate in candidates],
            [candidate.order.quantity_wh for candidate in candidates],
            [int(candidate.order.side) for candidate in candidates],
        ),
    )


def clear_listed(market: "Trading", auction: ListedAuction, further: OrderArrays) -> Clearing:
    """Clear an interval; `further` orders come after its own in the canonical order."""
    orders = auction.orders
    return clear_signed(
        auction.tree,
        OrderArrays(
            np.concatenate((orders.bus, further.bus)),
            np.concatenate((orders.price, further.price)),
            np.concatenate((orders.qty, further.qty)),
            np.concatenate((orders.isbid, further.isbid)),
        ),
        reference_price_of(market),
        market.config.price_floor,
        latched=auction.is_lifted,
    )


def filled_of(auction: ListedAuction, clearing: Clearing) -> Sequence[Filled]:
    """What the listed orders trade, in canonical order."""
    return [
        Filled(candidate.connection, candidate.order.sequence, wh)
        for candidate, wh in zip(auction.candidates, clearing.fill.tolist(), strict=False)
        if wh
    ]


def canonical_orders(
    market: "Trading", call: Call, interval: int, holdings: Mapping[int, Holding]
) -> list[Candidate]:
    """The orders of a call in canonical order."""
    candidates: list[Candidate] = []
    for connection, holding in holdings.items():
        taking_part = [order for order in holding.orders if order.placed_ms < call.moment_ms]
        if taking_part:
            bus = market.connection_at(connection).bus
            for order in taking_part:
                rank = rank_of(call, interval, connection, order.sequence)
                candidates.append(Candidate(rank, connection, bus, order))
    candidates.sort(key=lambda candidate: candidate.rank)
    return candidates


def rank_of(call: Call, interval: int, connection: int, sequence: int) -> bytes:
    """What sorts an order canonically."""
    order_id = order_id_of(interval, connection, sequence)
    return blake2_256(call.parent_hash + order_id.to_bytes(8, "little"))


def reference_price_of(market: "Trading") -> int:
    """What a root without orders is worth, within the limits of a clearing."""
    floor = market.config.price_floor
    return min(max(market.reference_price.get(), -floor), PRICE_MAX - floor - 1)

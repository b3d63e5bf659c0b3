"""The liquidity fund: an account at a bus that holds money only and quotes both sides by rule.

The fund has a connection without a meter. Before each call that clears an interval anyway it puts
its curve into the book, and what is not filled leaves it again with the call; coupled orders find
it in every interval that they name. The curve is linear
in what the fund has sold net for the interval, from feed-in when it has bought as much as it may
to retail when it has sold as much:

    p(s) = F + (R - F) * (cap + s) / (2 cap),   -cap <= s <= cap

It offers steps at the dear end of each step plus half a spread, and bids at the cheap end less half
a spread, so that it never loses by buying and selling. What it ends with is a deviation: it never
delivers nor takes. Per interval it can lose at most a quarter of `cap * (R - F)`, and
`cap * (R_z - R)` or `cap * (F - F_z)` beside it; its collateral covers that, so it is never
insolvent. It gets what its shareholders (`fund_shares.py`) or anybody's transfer give it; the
members set its bounds.

Invariants: between calls it has no order; its collateral is that of any position.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    U32,
    Balance,
    ConnectionId,
    IntervalIndex,
    Pallet,
    PricePerKwh,
    StorageValue,
    Struct,
    api,
)
from runtime.pallets.consumption_metering.records import Metered, Method
from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.system import LIQUIDITY_FUND
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.orders import QUANTITY_WH_MIN, hold_of, position_of
from runtime.pallets.trading.records import Book, Holding, Order, Side

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

STEPS_PER_SIDE = 4
QUOTES_MAX = 2 * STEPS_PER_SIDE
CAP_WH_MAX = 1_000_000  # a zone of a thousand homes trades less in a quarter hour
KEPT_NANO = 1_000_000_000
"""Never kept aside, nor is the existential deposit of a chain where that is more."""


class FundTerms(Struct):
    """What bounds the fund."""

    cap_wh: U32
    """Most energy bought, or sold, net for one interval; 0: it does not quote."""

    spread_micro: PricePerKwh
    """Between its bid and its offer at the same energy."""


class Fund(Struct):
    """The fund."""

    connection: ConnectionId
    terms: FundTerms


class FundQuote(Struct):
    """A step of its curve, as the next call would have it."""

    side: Side
    price_micro: PricePerKwh
    quantity_wh: U32


class FundView(Struct):
    """The fund as others see it."""

    fund: Fund
    free_nano: Balance
    held_nano: Balance
    quotes: list[FundQuote]
    """For the interval that was asked for."""


class FundChanged(frame.Event, index=46):
    """The members set other bounds for the liquidity fund."""

    terms: FundTerms


class NoFund(frame.Error, index=50):
    """The chain has no liquidity fund: its genesis names none."""


class FundTermsInvalid(frame.Error, index=51):
    """A cap between 0 and 40 Wh or above a million, or a spread below 0 or above what retail leaves
    over feed-in.
    """


class LiquidityFund(Pallet[Config]):
    """The part of Trading that keeps the fund."""

    fund: StorageValue[Fund | None]
    """The fund, if the genesis has one."""

    @api("Trading_fund")
    def read_fund(self, interval: IntervalIndex) -> FundView | None:
        """The fund, and what it would quote for an interval in the next call."""
        return view_of(cast("Trading", self), interval)  # the one pallet that inherits this part


def genesis_fund(market: "Trading", entry: Mapping[str, Any]) -> None:
    """The fund of a genesis: `connection`, its number, `cap_wh` and `spread_micro`. The connection
    has to belong to the fund's account.
    """
    number = entry["connection"]
    connection = market.config.registry.connection(number)
    if connection is None or connection.account != LIQUIDITY_FUND:
        raise ValueError(
            f"connection {number} of the fund: expected one of 0x{LIQUIDITY_FUND.hex()}"
        )
    terms = FundTerms(entry["cap_wh"], entry["spread_micro"])
    try:
        check_terms(market, terms)
    except FundTermsInvalid as error:
        raise ValueError(f"fund of the genesis: {error.__doc__}") from error
    market.fund.set(Fund(number, terms))


def check_terms(market: "Trading", terms: FundTerms) -> None:
    """Refuse bounds with which the fund could not quote by its rule."""
    config = market.config
    spread_max = config.supplier_price + config.network_fee - config.feed_in_price
    least = STEPS_PER_SIDE * QUANTITY_WH_MIN
    fits = terms.cap_wh == 0 or least <= terms.cap_wh <= CAP_WH_MAX
    if not fits or not 0 <= terms.spread_micro <= spread_max:
        raise FundTermsInvalid


def check_change(market: "Trading", terms: FundTerms) -> None:
    """Refuse bounds for a fund that is not there, or that it cannot have."""
    if market.fund.get() is None:
        raise NoFund
    check_terms(market, terms)


def change_fund(market: "Trading", terms: FundTerms) -> None:
    """Let the fund quote within other bounds from the next call on."""
    check_change(market, terms)
    fund = market.fund.get()
    assert fund is not None, "checked"
    market.fund.set(replace(fund, terms=terms))
    market.deposit_event(FundChanged(terms))


def curve(terms: FundTerms, sold_wh: int, low: int, high: int) -> list[Order]:
    """The steps of the fund when it has sold so much net: offers, then bids, nearest first.

    `low` and `high`: feed-in and retail. Limits below 1 would lift a whole interval's prices, so
    there are none.
    """
    cap, half = terms.cap_wh, terms.spread_micro // 2
    step = cap // STEPS_PER_SIDE
    orders: list[Order] = []
    for side, sign in ((Side.OFFER, 1), (Side.BID, -1)):
        for place in range(1, STEPS_PER_SIDE + 1):
            end = sold_wh + sign * step * place
            if step == 0 or not -cap <= end <= cap:
                break
            price = low + (high - low) * (cap + end) // (2 * cap) + sign * half
            if max(low, 1) <= price <= high:
                orders.append(Order(len(orders), side, price, step, placed_ms=0))
    return orders


def quotes_of(
    market: "Trading", fund: Fund, interval: int, holding: Holding, money_nano: int
) -> list[Order]:
    """What the fund quotes for an interval: its curve, as far as its money covers it."""
    config = market.config
    retail = config.supplier_price + config.network_fee
    sold_wh = holding.sell_wh - holding.buy_wh
    orders = curve(fund.terms, sold_wh, config.feed_in_price, retail)
    prices = market.hold_prices(interval, fund.connection)
    available = money_nano + holding.held_nano
    while orders and hold_of(position_of(holding), orders, prices) > available:
        orders = without_last(orders)
    return orders


def money_of(market: "Trading") -> int:
    """What the fund may keep aside beside what it does."""
    currency = market.config.currency
    kept = max(KEPT_NANO, currency.existential_deposit())
    return currency.free_balance(LIQUIDITY_FUND) - kept


def without_last(orders: Sequence[Order]) -> list[Order]:
    """The steps without the outermost one of each side."""
    left: list[Order] = []
    for side in (Side.OFFER, Side.BID):
        left += [order for order in orders if order.side == side][:-1]
    return [replace(order, sequence=place) for place, order in enumerate(left)]


def quotes_max(market: "Trading") -> int:
    """How many orders a call has at most beside those of its book."""
    return 0 if market.fund.get() is None else QUOTES_MAX


def put_quotes(market: "Trading", interval: int, book: Book) -> Book:
    """The book of a call with the fund's curve in it; its collateral is kept aside."""
    fund = market.fund.get()
    if fund is None or book.orders == 0:
        return book
    before = market.holdings[interval, fund.connection]
    book, holding = with_quotes(market, fund, interval, book, before, money_of(market))
    if holding.orders:
        market.config.currency.hold(LIQUIDITY_FUND, holding.held_nano - before.held_nano)
        market.holdings[interval, fund.connection] = holding
    return book


def with_quotes(
    market: "Trading", fund: Fund, interval: int, book: Book, holding: Holding, money_nano: int
) -> tuple[Book, Holding]:
    """A book and the fund's holding with its curve, as they would be; nothing is kept aside yet."""
    orders = quotes_of(market, fund, interval, holding, money_nano)
    quantity_wh = sum(order.quantity_wh for order in orders)
    if not orders or book.quantity_wh + quantity_wh > BOOK_WH_MAX:
        return book, holding
    prices = market.hold_prices(interval, fund.connection)
    needed = hold_of(position_of(holding), orders, prices)
    book = replace(
        book, orders=book.orders + len(orders), quantity_wh=book.quantity_wh + quantity_wh
    )
    return book, replace(holding, held_nano=needed, orders=tuple(orders))


def take_quotes_back(
    market: "Trading", interval: int, book: Book, changed: dict[int, Holding]
) -> tuple[Book, dict[int, Holding]]:
    """The book and the changed holdings of a call without what nobody took of the fund's curve."""
    fund = market.fund.get()
    if fund is None:
        return book, changed
    holding = changed.get(fund.connection) or market.holdings[interval, fund.connection]
    if not holding.orders:
        return book, changed
    return without_quotes(book, holding), changed | {fund.connection: replace(holding, orders=())}


def without_quotes(book: Book, holding: Holding) -> Book:
    """A book without what is left of the fund's curve in its holding."""
    return replace(
        book,
        orders=book.orders - len(holding.orders),
        quantity_wh=book.quantity_wh - sum(order.quantity_wh for order in holding.orders),
    )


def quoting(market: "Trading") -> frozenset[int]:
    """Connections whose orders a call makes and unmakes: a kept book has to read them again."""
    fund = market.fund.get()
    return frozenset() if fund is None else frozenset({fund.connection})


def with_fund(market: "Trading", metered: list[Metered]) -> list[Metered]:
    """What an interval is settled with: the fund has no meter because there is nothing to meter."""
    fund = market.fund.get()
    if fund is not None:
        metered[fund.connection] = Metered(0, 0, Method.METERED)
    return metered


def view_of(market: "Trading", interval: int) -> FundView | None:
    """The fund as others see it."""
    fund = market.fund.get()
    if fund is None:
        return None
    holding = market.holdings[interval, fund.connection]
    return FundView(
        fund,
        market.config.currency.free_balance(LIQUIDITY_FUND),
        market.config.currency.reserved_balance(LIQUIDITY_FUND),
        [
            FundQuote(order.side, order.price_micro, order.quantity_wh)
            for order in quotes_of(market, fund, interval, holding, money_of(market))
        ],
    )


def check_fund(market: "Trading", intervals: Sequence[int]) -> None:
    """Assert that between calls the fund has no order, and that its terms are admissible."""
    fund = market.fund.get()
    if fund is not None:
        check_terms(market, fund.terms)
        for interval in intervals:
            assert not market.holdings[interval, fund.connection].orders, f"quotes of {interval}"

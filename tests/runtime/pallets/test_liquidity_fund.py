"""The liquidity fund: it quotes by its rule, within its bounds, and only when others trade."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.system import LIQUIDITY_FUND
from runtime.pallets.trading import fund
from runtime.pallets.trading.decisions import SetFund
from runtime.pallets.trading.fund import (
    CAP_WH_MAX,
    FundChanged,
    FundTerms,
    FundTermsInvalid,
    NoFund,
    curve,
)
from runtime.pallets.trading.orders import hold_of
from runtime.pallets.trading.records import NO_BOOK, Side
from runtime.pallets.trading.settlement import Position
from runtime.primitives.block import Block
from tests.runtime.pallets.test_trading_kept_books import INTERVALS, traffic
from tests.runtime.pallets.zone import (
    BID,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    OPERATOR,
    SLOT_MS,
    WEALTH,
    A,
    B,
    Zone,
)
from tests.support import MemoryChain, genesis_sections, new_runtime
from tests.support.runtimes import DRT

F, R = 20_000, 300_000
FUND = 3
TERMS = {"connection": FUND, "cap_wh": 400, "spread_micro": 20_000}
K = K0 + 5


def zone_with_fund(**options: object) -> Zone:
    """A at bus 2, B at bus 3, the fund at bus 1."""
    zone = Zone(
        buses=(2, 3, 1),
        owners=(A, B, LIQUIDITY_FUND),
        without_meter=(FUND,),
        market={"fund": TERMS},
        has_pool=False,
        **options,  # type: ignore[arg-type]
    )
    zone.block(K0)
    return zone


def placed(zone: Zone, now: int, *orders: Callable[[], object]) -> None:
    """Orders, and the call that takes them."""
    zone.block(now, SLOT_MS, *orders)
    zone.block(now + 1)


def test_its_curve_by_hand() -> None:
    orders = curve(FundTerms(400, 20_000), 0, F, R)

    assert [(o.side, o.price_micro, o.quantity_wh) for o in orders] == [
        (OFFER, 205_000, 100),  # 20 000 + 280 000 * 500 / 800 + 10 000
        (OFFER, 240_000, 100),
        (OFFER, 275_000, 100),
        (BID, 115_000, 100),
        (BID, 80_000, 100),
        (BID, 45_000, 100),
    ]


@given(
    cap=st.integers(40, 2_000),
    spread=st.integers(0, 100_000),
    takes=st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=40),
)
def test_whatever_is_taken_it_stays_within_its_cap_and_its_loss(
    cap: int, spread: int, takes: list[tuple[bool, int]]
) -> None:
    sold = money = 0
    for buys, steps in takes:
        side = OFFER if buys else BID
        for order in [o for o in curve(FundTerms(cap, spread), sold, F, R) if o.side == side][
            :steps
        ]:
            sign = 1 if order.side == Side.OFFER else -1
            sold += sign * order.quantity_wh
            money += sign * order.quantity_wh * order.price_micro
        assert -cap <= sold <= cap
        # At the worst price of deviations, R if it sold too much, F if it bought too much.
        rest = money - sold * (R if sold > 0 else F)
        assert rest >= -(cap * (R - F) // 4) - cap


def test_it_sells_to_who_needs_and_buys_back_for_less() -> None:
    zone = zone_with_fund()
    placed(zone, K0, lambda: zone.order(2, K, BID, 250_000, 100))
    sold = zone.position(K, FUND)
    placed(zone, K0 + 1, lambda: zone.order(1, K, OFFER, F, 100))

    assert sold == (0, 100)
    bought, also_sold = zone.position(K, FUND)
    assert (bought, also_sold) == (100, 100)
    assert zone.holding(K, FUND).payable_nano < 0
    assert zone.holding(K, FUND).orders == ()


def test_it_never_makes_a_call_and_leaves_no_order() -> None:
    zone = zone_with_fund()
    zone.run(K0 + 1, K0 + 2)
    assert zone.trading.books[K] is None

    placed(zone, K0 + 2, lambda: zone.order(2, K, BID, 21_000, 50))
    book = zone.trading.books[K]
    assert book is not None and (book.orders, book.quantity_wh) == (1, 50)
    assert zone.held(LIQUIDITY_FUND) == 0
    cleared = book.cleared_ms
    zone.block(K0 + 3, SLOT_MS)
    book = zone.trading.books[K]
    assert book is not None and book.cleared_ms == cleared


def test_what_it_ends_with_is_a_deviation_that_it_pays() -> None:
    zone = zone_with_fund()
    before = zone.free(LIQUIDITY_FUND)
    placed(zone, K0, lambda: zone.order(2, K, BID, 250_000, 200))
    held = zone.held(LIQUIDITY_FUND)
    zone.run(K0 + 2, K)
    zone.block(K + 1, SLOT_MS, partial(zone.read, 2, K, 200, 0), partial(zone.read, 1, K, 0, 0))
    zone.run(K + 2, K + 3)

    line = zone.trading.read_lines(K)[FUND - 1]
    assert (line.import_wh, line.export_wh, line.sell_wh) == (0, 0, 200)
    assert line.amount_nano == -line.payable_nano - 200 * R
    assert zone.free(LIQUIDITY_FUND) == before + line.amount_nano
    assert zone.held(LIQUIDITY_FUND) == 0 <= held
    assert -line.amount_nano <= 400 * (R - F) // 4
    record = zone.trading.read_settlement(K)
    assert record is not None and record.estimated == 0


def test_a_corrected_reading_leaves_its_settlement_as_it_is() -> None:
    zone = zone_with_fund()
    placed(zone, K0, lambda: zone.order(2, K, BID, 250_000, 200))
    zone.run(K0 + 2, K)
    zone.block(K + 1, SLOT_MS, partial(zone.read, 2, K, 200, 0), partial(zone.read, 1, K, 0, 0))
    zone.run(K + 2, K + 3)
    before = zone.trading.read_lines(K)[FUND - 1]
    zone.block(K + 3, SLOT_MS, partial(zone.metering.correct_reading, OPERATOR, 2, K, 9, 0, "why"))
    zone.block(K + 4)

    assert zone.trading.read_lines(K)[FUND - 1] == before
    assert zone.trading.reputations[FUND] is None


def test_its_quotes_shrink_to_what_its_money_covers() -> None:
    zone = zone_with_fund()
    full = zone.trading.read_fund(K)
    assert full is not None and len(full.quotes) == 6
    zone.balances.move(LIQUIDITY_FUND, A, WEALTH - fund.KEPT_NANO - 30_000_000, keep_alive=True)

    poor = zone.trading.read_fund(K)
    zone.balances.move(LIQUIDITY_FUND, A, 30_000_000, keep_alive=True)
    empty = zone.trading.read_fund(K)

    assert poor is not None and 0 < len(poor.quotes) < 6
    assert {quote.side for quote in poor.quotes} == {OFFER, BID}
    assert empty is not None and empty.quotes == []
    placed(zone, K0, lambda: zone.order(2, K, BID, 250_000, 200))
    assert zone.position(K, FUND) == (0, 0)


def test_members_set_its_bounds_and_can_stop_it() -> None:
    zone = zone_with_fund()

    zone.trading.carry_out(SetFund(FundTerms(0, 0)))

    view = zone.trading.read_fund(K)
    assert view is not None and view.quotes == []
    assert zone.events_of(FundChanged, zone.assembly.state.events)
    placed(zone, K0, lambda: zone.order(2, K, BID, 250_000, 200))
    assert zone.position(K, FUND) == (0, 0)


@pytest.mark.parametrize(
    "terms",
    [FundTerms(39, 0), FundTerms(CAP_WH_MAX + 1, 0), FundTerms(40, -1), FundTerms(40, R - F + 1)],
)
def test_bounds_that_are_none_are_refused(terms: FundTerms) -> None:
    zone = zone_with_fund()

    zone.refuses(FundTermsInvalid, lambda: zone.trading.carry_out(SetFund(terms)))
    zone.refuses(FundTermsInvalid, lambda: zone.trading.check_decision(SetFund(terms)))


def test_without_a_fund_nobody_sets_its_bounds() -> None:
    zone = Zone(LOSSLESS)

    zone.refuses(NoFund, lambda: zone.trading.carry_out(SetFund(FundTerms(40, 0))))
    assert zone.trading.read_fund(K) is None


@pytest.mark.parametrize("change", [{"connection": 1}, {"connection": 9}, {"cap_wh": 7}])
def test_a_genesis_with_a_fund_that_cannot_be_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="fund"):
        Zone(
            LOSSY,
            buses=(2, 3, 1),
            owners=(A, B, LIQUIDITY_FUND),
            without_meter=(FUND,),
            market={"fund": TERMS | change},
        )


def test_it_quotes_nothing_into_a_book_that_its_quotes_would_overfill() -> None:
    zone = zone_with_fund()
    nearly_full = replace(NO_BOOK, orders=1, quantity_wh=BOOK_WH_MAX - 599)

    assert fund.put_quotes(zone.trading, K, nearly_full) is nearly_full
    with_room = replace(nearly_full, quantity_wh=BOOK_WH_MAX - 600)
    assert fund.put_quotes(zone.trading, K, with_room).quantity_wh == BOOK_WH_MAX


def sections_with_fund() -> dict[str, Any]:
    """Two homes and the fund at bus 1, on a chain with blocks."""
    made = genesis_sections()
    account = "0x" + LIQUIDITY_FUND.hex()
    made["balances"]["accounts"][account] = 1_000 * DRT
    made["producer_registration"]["connections"].append(
        {"id": FUND, "account": account, "bus": 1, "import_wh_max": 400, "export_wh_max": 400}
    )
    made["trading"] = {"fund": TERMS}
    return made


@pytest.mark.slow
def test_books_that_are_kept_between_calls_have_its_quotes_as_those_read_anew() -> None:
    chance = random.Random(5)
    chain = MemoryChain.new(new_runtime(), sections_with_fund())
    for _ in range(30):
        chain.build(traffic(chance, chain))

    other = MemoryChain.new(new_runtime(), sections_with_fund())
    for header, body in zip(chain.headers[1:], chain.bodies, strict=True):
        other.runtime.trading.kept_books.forget()
        other.execute(Block(header, body))  # refuses another root

    chain.runtime.bind(chain.overlay())
    holdings = [chain.runtime.trading.holdings[interval, FUND] for interval in INTERVALS]
    assert sum(holding.buy_wh + holding.sell_wh for holding in holdings) > 0


def test_it_keeps_the_existential_deposit_where_that_is_more_than_it_keeps_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or the call could not keep its collateral aside, and the block could not end."""
    monkeypatch.setattr(fund, "KEPT_NANO", 0)
    quotes = curve(FundTerms(400, 20_000), 0, F, R)
    zone = zone_with_fund(wealth=WEALTH)
    needed = hold_of(Position(), quotes, zone.trading.hold_prices(K, FUND))

    zone = zone_with_fund(wealth=needed)
    placed(zone, K0, partial(zone.order, 1, K, BID, R, 50))
    view = zone.trading.read_fund(K)

    assert view is not None and 0 < len(view.quotes) < len(quotes)
    assert zone.position(K, 1) == (50, 0)

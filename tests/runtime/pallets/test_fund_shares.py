"""Shares in the liquidity fund: bought at no advantage, given back in turn, all adding up."""

import os
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from runtime.frame import DispatchError
from runtime.pallets import balances
from runtime.pallets.system import LIQUIDITY_FUND
from runtime.pallets.trading import fund_shares
from runtime.pallets.trading.fund import NoFund
from runtime.pallets.trading.fund_shares import (
    PURCHASE_NANO_MIN,
    REDEMPTIONS_MAX,
    REDEMPTIONS_PER_BLOCK_MAX,
    SHARES_END,
    SHARES_MIN,
    FundExhausted,
    FundPriceMoved,
    FundQueueFull,
    FundRedemptionPending,
    FundSharesMissing,
    FundSharesOutOfRange,
    FundSharesTooFew,
    Redemption,
    RedemptionRequested,
    SharesBought,
    SharesRedeemed,
)
from tests.runtime.pallets.test_liquidity_fund import FUND, K, zone_with_fund
from tests.runtime.pallets.zone import (
    BID,
    K0,
    OFFER,
    OPERATOR,
    SLOT_MS,
    STRANGER,
    A,
    B,
    Zone,
    text_of,
)
from tests.support.runtimes import DRT

EXAMPLES = {"few": 5, "many": 500}.get(os.environ.get("DRET_EXAMPLES", ""), 25)
KEPT = DRT  # what the fund never pays
R = 300_000


def empty_zone() -> Zone:
    """A zone whose fund has nothing but what keeps it, and no shares."""
    zone = zone_with_fund()
    zone.trading.fund_holders.clear()
    zone.trading.fund_issued.set(0)
    zone.balances.transfer(LIQUIDITY_FUND, B, zone.free(LIQUIDITY_FUND) - KEPT)
    zone.check()
    return zone


def buy(zone: Zone, who: bytes, amount: int, least: int = 0) -> int:
    """The shares that somebody gets for some money."""
    before = zone.trading.fund_holders[who]
    zone.trading.buy_fund_shares(who, amount, least)
    return zone.trading.fund_holders[who] - before


def sells_short(zone: Zone, wh: int = 100) -> None:
    """Let B buy of the fund, so that it has a position in K."""
    zone.block(K0, SLOT_MS, partial(zone.order, 2, K, BID, R, wh))
    zone.block(K0 + 1)
    assert zone.position(K, FUND) == (0, wh)


def settle(zone: Zone, first: int = K0 + 2, interval: int = K) -> list[Any]:
    """Let time pass until an interval is settled; the events of that block."""
    zone.run(first, interval + 2)
    return zone.block(interval + 3)


def test_the_money_of_the_genesis_belongs_to_the_holders_it_names() -> None:
    zone = Zone(
        buses=(2, 3, 1),
        owners=(A, B, LIQUIDITY_FUND),
        without_meter=(FUND,),
        market={
            "fund": {
                "connection": FUND,
                "cap_wh": 400,
                "spread_micro": 20_000,
                "holders": [text_of(A), text_of(B)],
            }
        },
    )
    money = zone.free(LIQUIDITY_FUND) - KEPT

    assert dict(zone.trading.fund_holders.items()) == {A: money // 2, B: money // 2}
    assert zone.trading.fund_issued.get() == money // 2 * 2
    default = zone_with_fund().trading
    assert list(default.fund_holders.keys()) == [OPERATOR]


def test_a_genesis_with_holders_of_nothing_or_twice_the_same_is_refused() -> None:
    zone = zone_with_fund()
    for holders, reason in (([text_of(A), text_of(A)], "twice"), ([text_of(A)], "expected")):
        if reason == "expected":
            zone.balances.transfer(LIQUIDITY_FUND, B, zone.free(LIQUIDITY_FUND) - KEPT)
        with pytest.raises(ValueError, match=reason):
            fund_shares.genesis_shares(zone.trading, {"holders": holders})


def test_the_first_shares_cost_a_nano_each() -> None:
    zone = empty_zone()
    free = zone.free(A)

    events = zone.block(K0, SLOT_MS, lambda: buy(zone, A, 50 * DRT))

    assert zone.events_of(SharesBought, events) == [SharesBought(A, 50 * DRT, 50 * DRT)]
    assert zone.free(A) == free - 50 * DRT
    assert zone.free(LIQUIDITY_FUND) == KEPT + 50 * DRT


def test_later_shares_cost_their_part_of_what_the_fund_has_won() -> None:
    zone = empty_zone()
    buy(zone, A, 50 * DRT)
    zone.balances.transfer(B, LIQUIDITY_FUND, 50 * DRT)  # as if it had won that

    assert buy(zone, B, 30 * DRT) == 15 * DRT
    assert zone.trading.read_fund_holding(A).value_nano == 100 * DRT
    assert zone.trading.read_fund_holding(B).value_nano == 30 * DRT


def test_who_leaves_is_paid_its_part_at_once_if_nothing_is_open() -> None:
    zone = empty_zone()
    buy(zone, A, 60 * DRT)
    buy(zone, B, 30 * DRT)
    free = zone.free(B)

    events = zone.block(K0, SLOT_MS, lambda: zone.trading.redeem_fund_shares(B, 30 * DRT))

    redemption = Redemption(B, 30 * DRT, 0)
    assert zone.events_of(RedemptionRequested, events) == [RedemptionRequested(0, redemption)]
    assert zone.events_of(SharesRedeemed, events) == [SharesRedeemed(B, 30 * DRT, 30 * DRT)]
    assert zone.free(B) == free + 30 * DRT
    assert zone.trading.read_fund_holding(B) == fund_shares.FundHolding(0, None, 0)
    value = zone.trading.read_fund_value()
    assert value is not None
    assert (value.issued, value.redeemed_nano, value.waiting) == (60 * DRT, 60 * DRT, 0)


def test_shares_bear_what_is_open_when_their_holder_wants_to_leave() -> None:
    zone = empty_zone()
    buy(zone, A, 50 * DRT)
    buy(zone, B, 50 * DRT)
    sells_short(zone)
    zone.block(K0 + 1, SLOT_MS, lambda: zone.trading.redeem_fund_shares(A, 50 * DRT))
    (waiting,) = zone.trading.list_fund_redemptions()
    zone.run(K0 + 2, K + 2)
    assert zone.trading.list_fund_redemptions() == [waiting]
    before = zone.free(A)

    events = zone.block(K + 3)

    assert waiting.until == K
    (redeemed,) = zone.events_of(SharesRedeemed, events)
    # It bought back for 160 000 per kWh, as B took none of it, what it had sold for 222 500.
    assert redeemed.amount_nano == 50 * DRT + 100 * 62_500 // 2
    assert zone.free(A) == before + redeemed.amount_nano
    assert zone.trading.read_fund_holding(B).value_nano == 50 * DRT + 100 * 62_500 // 2


def test_who_comes_pays_as_if_what_is_open_ended_as_well_as_it_can() -> None:
    zone = empty_zone()
    buy(zone, A, 50 * DRT)
    sells_short(zone)
    value = zone.trading.read_fund_value()
    assert value is not None
    # At best it buys back for 20 000 what it sold for 222 500, at worst for 300 000.
    assert value.sold_nano == 50 * DRT + 100 * 202_500
    assert value.redeemed_nano == 50 * DRT - 100 * 77_500

    shares = buy(zone, B, 30 * DRT)

    assert shares == 30 * DRT * 50 * DRT // value.sold_nano


def test_to_come_and_go_never_pays() -> None:
    zone = empty_zone()
    buy(zone, A, 50 * DRT)
    for wh in (100, 200):
        sells_short(zone, wh) if wh == 100 else None
        shares = buy(zone, B, 7 * DRT + wh)
        at_worst = fund_shares.assets_at_worst(zone.trading)
        assert shares * at_worst // zone.trading.fund_issued.get() <= 7 * DRT + wh


def test_a_gift_cannot_take_the_next_buyer_s_money() -> None:
    """The attack on a first depositor: few shares, made dear by a gift, so that the next purchase
    rounds to less than it should.
    """
    zone = empty_zone()
    buy(zone, A, PURCHASE_NANO_MIN)
    spare = zone.trading.fund_holders[A] - SHARES_MIN
    zone.refuses(FundSharesTooFew, lambda: zone.trading.redeem_fund_shares(A, spare + 1))
    zone.block(K0, SLOT_MS, lambda: zone.trading.redeem_fund_shares(A, spare))
    zone.block(K0 + 1)
    assert zone.trading.fund_holders[A] == SHARES_MIN
    zone.balances.transfer(A, LIQUIDITY_FUND, 90 * DRT)

    buy(zone, B, 100 * DRT)

    kept = zone.trading.read_fund_holding(B).value_nano
    assert 100 * DRT - kept < 100_000  # nano; the gift was ninety DRT


def test_calls_are_refused_without_a_fund() -> None:
    zone = Zone()
    zone.block(K0)
    zone.refuses(NoFund, lambda: zone.trading.buy_fund_shares(A, DRT, 0))
    zone.refuses(NoFund, lambda: zone.trading.redeem_fund_shares(A, SHARES_MIN))
    assert zone.trading.read_fund_value() is None
    assert zone.trading.read_fund_holding(A).shares == 0


def test_purchases_out_of_bounds_are_refused() -> None:
    zone = empty_zone()
    purchase = zone.trading.buy_fund_shares
    zone.refuses(FundSharesTooFew, lambda: purchase(A, DRT - 1, 0))
    zone.refuses(FundPriceMoved, lambda: purchase(A, DRT, DRT + 1))
    zone.refuses(balances.InsufficientBalance, lambda: purchase(STRANGER, DRT, 0))
    buy(zone, A, DRT, least=DRT)
    zone.balances.transfer(B, LIQUIDITY_FUND, 10_000 * DRT)  # a share is worth 10 001 nano now
    zone.trading.fund_holders[A] = SHARES_MIN
    zone.trading.fund_issued.set(SHARES_MIN)
    zone.refuses(FundSharesTooFew, lambda: purchase(B, DRT, 0))


def test_nobody_buys_into_a_fund_that_has_lost_everything() -> None:
    zone = empty_zone()
    buy(zone, A, DRT)
    zone.balances.transfer(LIQUIDITY_FUND, B, zone.free(LIQUIDITY_FUND) - KEPT)

    zone.refuses(FundExhausted, lambda: zone.trading.buy_fund_shares(B, DRT, 0))
    zone.block(K0, SLOT_MS, lambda: zone.trading.redeem_fund_shares(A, DRT))
    zone.block(K0 + 1)

    assert zone.trading.fund_issued.get() == 0  # burnt for nothing
    assert buy(zone, B, DRT) == DRT  # and the fund begins anew


def test_shares_are_bounded() -> None:
    zone = empty_zone()
    buy(zone, A, DRT)
    zone.trading.fund_holders[A] = SHARES_END - 2
    zone.trading.fund_issued.set(SHARES_END - 2)
    zone.refuses(FundSharesOutOfRange, lambda: zone.trading.buy_fund_shares(B, DRT, 0))


def test_requests_that_cannot_be_met_are_refused() -> None:
    zone = empty_zone()
    buy(zone, A, 2 * DRT)
    redeem = zone.trading.redeem_fund_shares
    zone.refuses(FundSharesMissing, lambda: redeem(A, 2 * DRT + 1))
    zone.refuses(FundSharesMissing, lambda: redeem(B, 1))
    zone.refuses(FundSharesTooFew, lambda: redeem(A, 0))
    zone.refuses(FundSharesTooFew, lambda: redeem(A, 2 * DRT - 1))
    redeem(A, DRT)
    zone.refuses(FundRedemptionPending, lambda: redeem(A, DRT))


def test_a_full_queue_takes_no_more_and_is_paid_by_and_by_in_its_order() -> None:
    zone = empty_zone()
    buy(zone, A, 10 * DRT)
    accounts = [bytes([200, *number.to_bytes(2, "little"), *[9] * 29]) for number in range(300)]
    for account in accounts[:REDEMPTIONS_MAX]:
        zone.balances.transfer(B, account, 2 * DRT)
        buy(zone, account, DRT)
        zone.trading.redeem_fund_shares(account, DRT)
    zone.refuses(FundQueueFull, lambda: zone.trading.redeem_fund_shares(A, DRT))

    paid = zone.events_of(SharesRedeemed, zone.block(K0, SLOT_MS))
    later = zone.events_of(SharesRedeemed, zone.block(K0, 2 * SLOT_MS))

    assert [event.account for event in paid + later] == accounts[: 2 * REDEMPTIONS_PER_BLOCK_MAX]
    assert all(event.amount_nano == DRT for event in paid + later)


def test_payments_leave_less_room_for_settlements() -> None:
    from runtime.pallets.trading.accounting import settlements_fitting

    zone = empty_zone()
    buy(zone, A, 2 * DRT)
    idle = fund_shares.redemptions_weight(zone.trading)
    zone.trading.redeem_fund_shares(A, DRT)

    assert idle == 0
    assert fund_shares.redemptions_weight(zone.trading) == fund_shares.REDEMPTION_WEIGHT
    assert settlements_fitting(zone.trading) >= 1


def test_an_audit_finds_shares_that_do_not_add_up() -> None:
    zone = empty_zone()
    buy(zone, A, DRT)
    promise = "shares of the fund add up, and it owes nothing"
    kept = {finding.promise: finding.is_kept for finding in zone.trading.read_audit()}
    zone.trading.fund_issued.set(DRT + 5)
    broken = {finding.promise: finding.details for finding in zone.trading.read_audit()}

    assert kept[promise]
    assert broken[promise] == [f"{DRT} shares are held and 0 leave, {DRT + 5} are issued"]


class Shareholders(RuleBasedStateMachine):
    """Purchases, requests, trades and time; every block asserts the invariants of all pallets."""

    @initialize()
    def begin(self) -> None:
        self.zone = empty_zone()
        self.now = K0
        self.put_in = self.got_back = 0
        buy(self.zone, A, 5 * DRT)

    def tries(self, call: Any) -> None:
        try:
            call()
        except DispatchError:
            return

    @rule(who=st.sampled_from([A, B]), amount=st.integers(0, 40 * DRT))
    def buys(self, who: bytes, amount: int) -> None:
        self.tries(lambda: self.zone.trading.buy_fund_shares(who, amount, 0))

    @rule(who=st.sampled_from([A, B]), part=st.integers(0, 4))
    def leaves(self, who: bytes, part: int) -> None:
        shares = self.zone.trading.fund_holders[who] * part // 4
        self.tries(lambda: self.zone.trading.redeem_fund_shares(who, shares))

    @rule(
        number=st.sampled_from([1, 2]),
        side=st.sampled_from([BID, OFFER]),
        price=st.integers(20_000, R),
        wh=st.integers(10, 500),
        ahead=st.integers(2, 8),
    )
    def trades(self, number: int, side: Any, price: int, wh: int, ahead: int) -> None:
        self.zone.at(self.now, SLOT_MS)
        self.tries(lambda: self.zone.order(number, self.now + ahead, side, price, wh))

    @rule(amount=st.integers(0, 3 * DRT))
    def gives(self, amount: int) -> None:
        self.zone.balances.transfer(B, LIQUIDITY_FUND, amount)

    @precondition(lambda self: hasattr(self, "zone"))
    @rule(intervals=st.integers(1, 4))
    def passes(self, intervals: int) -> None:
        for _ in range(intervals):
            before = self.zone.free(LIQUIDITY_FUND)
            self.zone.block(self.now, 2 * SLOT_MS)
            self.now += 1
            self.zone.block(self.now)
            assert self.zone.free(LIQUIDITY_FUND) >= min(before, KEPT)


TestShareholders = Shareholders.TestCase
TestShareholders.settings = settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)

"""Shares in the liquidity fund: who owns what it has, and bears what it wins and loses.

Shares are bought at any time and given back through a queue. Both prices are of what is settled,
with what is open counted against whoever comes or goes: a buyer pays as if every open position
ended as well as it can, who leaves gets a part of what no open position may need. So nobody buys
into a profit, or out of a loss, that others bear; the difference stays with those who stay.

Who wants to leave waits until every interval in which the fund had a position by then is settled:
so it bears these, and cannot know those that its money is in later. What corrections change after
that is borne by those who stay.

The first shares cost 1 nano-DRT each. Nobody keeps fewer than a million, and nobody pays less than
1 DRT: so a gift to the fund, which makes all shares dearer, cannot make the next buyer's money
round to nothing. Money that is there when no share is belongs to the first who buys; that of a
genesis belongs to the holders that it names.

Invariants: shares of holders and of the queue sum to the issue; a redemption never takes what
positions keep aside, nor the fund's last DRT.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    U32,
    AccountId,
    Balance,
    Blake2_128Concat,
    Compact,
    Identity,
    IntervalIndex,
    Pallet,
    Signed,
    StorageMap,
    StorageValue,
    Struct,
    api,
    call,
)
from runtime.pallets.system import LIQUIDITY_FUND, account_from_text
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.fund import NoFund, money_of
from runtime.pallets.trading.orders import INTERVALS_STORED_MAX

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading
    from runtime.pallets.trading.records import Holding
    from runtime.pallets.trading.settlement import ZonePrices

PURCHASE_NANO_MIN = 1_000_000_000
SHARES_MIN = 1_000_000  # of a holder; a gift is shared by so many at least
SHARES_END = 1 << 96  # what is multiplied stays far below 2**256, in any language
REDEMPTIONS_MAX = 256  # one of an account; a day's worth is paid within some hundred blocks
REDEMPTIONS_PER_BLOCK_MAX = 4

POSITION_WEIGHT = 12_000_000  # 12 us: reading a holding of the fund, and its interval's prices
SHARES_WEIGHT = 200_000_000 + POSITION_WEIGHT * INTERVALS_STORED_MAX
REDEMPTION_WEIGHT = 300_000_000  # 300 us: two balances, the holder's entry, the queue


class Redemption(Struct):
    """Shares that are on their way out of the fund."""

    account: AccountId
    shares: Balance
    until: IntervalIndex
    """They are paid when this interval, and all before it, are settled."""


class RedemptionQueue(Struct):
    """Which numbers the requests that wait have."""

    first: U32
    end: U32


class FundHolding(Struct):
    """What somebody has in the fund."""

    shares: Balance
    leaving: Redemption | None
    value_nano: Balance
    """What all of it would be paid if nothing were open."""


class FundValue(Struct):
    """What the fund's shares are worth together."""

    issued: Balance
    redeemed_nano: Balance
    """What who leaves gets for all of them: money that no open position may need."""

    sold_nano: Balance
    """By what who buys is charged: with open positions as good as they may end."""

    waiting: U32
    """Redemptions in the queue."""


class SharesBought(frame.Event, index=52):
    """Somebody bought shares in the liquidity fund."""

    account: AccountId
    amount_nano: Balance
    shares: Balance


class RedemptionRequested(frame.Event, index=53):
    """A holder wants its money back: its shares wait until what is open is settled."""

    number: U32
    redemption: Redemption


class SharesRedeemed(frame.Event, index=54):
    """Shares were burnt and paid out."""

    account: AccountId
    shares: Balance
    amount_nano: Balance


class FundSharesTooFew(frame.Error, index=62):
    """A purchase below 1 DRT, a request for no share, or one that leaves its holder with some, but
    fewer than a million.
    """


class FundSharesMissing(frame.Error, index=63):
    """The account has fewer shares than it wants to give back."""


class FundRedemptionPending(frame.Error, index=64):
    """Shares of the account are on their way out already: one request at a time."""


class FundQueueFull(frame.Error, index=65):
    """256 requests wait; a later block may take one more."""


class FundPriceMoved(frame.Error, index=66):
    """The money buys fewer shares than the least that the call asks for."""


class FundExhausted(frame.Error, index=67):
    """The fund has lost all it had, and its shares are worth nothing: who paid now would pay for
    the losses of others.
    """


class FundSharesOutOfRange(frame.Error, index=68):
    """There would be 2**96 shares or more."""


class FundShares(Pallet[Config]):
    """The part of Trading that keeps who owns the liquidity fund."""

    fund_holders: StorageMap[AccountId, Balance, Blake2_128Concat]
    """Shares by account, without those in the queue."""

    fund_issued: StorageValue[Balance]
    """All shares, with those in the queue."""

    fund_queue: StorageValue[RedemptionQueue]
    fund_redemptions: StorageMap[U32, Redemption | None, Identity]
    """Requests that wait, by number. Identity: the pallet numbers them."""

    fund_leaving: StorageMap[AccountId, U32 | None, Blake2_128Concat]
    """The request of each account that has one."""

    @call(25, weight=SHARES_WEIGHT)
    def buy_fund_shares(
        self, who: Signed, amount_nano: Compact[Balance], shares_min: Compact[Balance]
    ) -> None:
        """Put money into the liquidity fund, for a part of what it has; at least `shares_min`.

        Emits `SharesBought`. Fails with `NoFund`, `FundSharesTooFew`, `FundExhausted`,
        `FundPriceMoved`, `FundSharesOutOfRange`, or the currency's error when the money is not
        there.
        """
        buy_shares(self.shares_of_market, who, amount_nano, shares_min)

    @call(26, weight=SHARES_WEIGHT)
    def redeem_fund_shares(self, who: Signed, shares: Compact[Balance]) -> None:
        """Leave the fund with some of one's shares. They bear its profit and loss until every
        interval in which it has a position now is settled; then they are burnt and paid.

        Emits `RedemptionRequested`, and later `SharesRedeemed`. Fails with `NoFund`,
        `FundSharesTooFew`, `FundSharesMissing`, `FundRedemptionPending` or `FundQueueFull`.
        """
        request_redemption(self.shares_of_market, who, shares)

    @api("Trading_fund_value")
    def read_fund_value(self) -> FundValue | None:
        """What the fund's shares are worth; None without a fund."""
        return value_of_fund(self.shares_of_market)

    @api("Trading_fund_holding")
    def read_fund_holding(self, account: AccountId) -> FundHolding:
        """What an account has in the fund."""
        return holding_of(self.shares_of_market, account)

    @api("Trading_fund_redemptions")
    def list_fund_redemptions(self) -> list[Redemption]:
        """The requests that wait, in the order in which they are paid."""
        return [redemption for _, redemption in waiting(self.shares_of_market)]

    @property
    def shares_of_market(self) -> "Trading":
        """The pallet that this is a part of."""
        return cast("Trading", self)  # nothing else inherits it


def genesis_shares(market: "Trading", entry: Mapping[str, Any]) -> None:
    """Who owns the money that the fund has at genesis, a share for each nano-DRT: the accounts of
    `holders` in equal parts, the operator without any.
    """
    texts = entry.get("holders", [])
    accounts = [account_from_text(text) for text in texts]
    accounts = accounts or [market.config.registry.operator_account()]
    if len(set(accounts)) != len(accounts):
        raise ValueError(f"holders of the fund: {texts} names an account twice")
    part = max(0, money_of(market)) // len(accounts)
    if part < SHARES_MIN:
        if texts:
            raise ValueError(f"holders of the fund: {part} nano-DRT each, expected {SHARES_MIN}")
        return
    for account in accounts:
        market.fund_holders[account] = part
    market.fund_issued.set(part * len(accounts))


def buy_shares(market: "Trading", who: AccountId, amount_nano: int, shares_min: int) -> None:
    """Mint shares for money, at the price of who comes."""
    check_fund_there(market)
    if amount_nano < PURCHASE_NANO_MIN:
        raise FundSharesTooFew
    issued = market.fund_issued.get()
    assets_nano = assets_at_best(market)
    if issued and assets_nano == 0:
        raise FundExhausted
    shares = amount_nano * issued // assets_nano if issued else amount_nano
    if shares < shares_min:
        raise FundPriceMoved
    held = market.fund_holders[who] + shares
    if held < SHARES_MIN:
        raise FundSharesTooFew
    if issued + shares >= SHARES_END:
        raise FundSharesOutOfRange

    market.config.currency.transfer(who, LIQUIDITY_FUND, amount_nano)
    market.fund_holders[who] = held
    market.fund_issued.set(issued + shares)
    market.deposit_event(SharesBought(who, amount_nano, shares))


def request_redemption(market: "Trading", who: AccountId, shares: int) -> None:
    """Move shares of a holder into the queue."""
    check_fund_there(market)
    left = market.fund_holders[who] - shares
    if left < 0:
        raise FundSharesMissing
    if shares == 0 or 0 < left < SHARES_MIN:
        raise FundSharesTooFew
    if market.fund_leaving[who] is not None:
        raise FundRedemptionPending
    queue = market.fund_queue.get()
    if queue.end - queue.first >= REDEMPTIONS_MAX:
        raise FundQueueFull
    before = market.fund_redemptions[queue.end - 1] if queue.end > queue.first else None
    # Who comes later leaves later, also if what there was meanwhile has been settled.
    until = max(last_position(market), before.until if before else 0)
    redemption = Redemption(who, shares, until)

    if left:
        market.fund_holders[who] = left
    else:
        del market.fund_holders[who]
    market.fund_leaving[who] = queue.end
    market.fund_redemptions[queue.end] = redemption
    market.fund_queue.set(replace(queue, end=queue.end + 1))
    market.deposit_event(RedemptionRequested(queue.end, redemption))


def pay_redemptions(market: "Trading") -> None:
    """Burn and pay the oldest requests whose intervals are settled, as many as fit a block."""
    queue = market.fund_queue.get()
    stored = market.schedule.get().stored
    first = queue.first
    while first < min(queue.end, queue.first + REDEMPTIONS_PER_BLOCK_MAX):
        redemption = market.fund_redemptions[first]
        assert redemption is not None, "numbers of the queue have no gaps"
        if stored and stored[0] <= redemption.until:
            break
        pay_redemption(market, redemption)
        del market.fund_redemptions[first]
        first += 1
    if first != queue.first:
        market.fund_queue.set(replace(queue, first=first))


def pay_redemption(market: "Trading", redemption: Redemption) -> None:
    """Burn shares for their part of what no open position may need. What would not keep a closed
    account alive stays in the fund.
    """
    issued = market.fund_issued.get()
    amount_nano = redemption.shares * assets_at_worst(market) // issued
    if amount_nano and not market.config.currency.pay_out(
        LIQUIDITY_FUND, redemption.account, amount_nano
    ):
        amount_nano = 0
    market.fund_issued.set(issued - redemption.shares)
    del market.fund_leaving[redemption.account]
    market.deposit_event(SharesRedeemed(redemption.account, redemption.shares, amount_nano))


def redemptions_weight(market: "Trading") -> int:
    """What paying takes of a block at most."""
    queue = market.fund_queue.get()
    return REDEMPTION_WEIGHT * min(queue.end - queue.first, REDEMPTIONS_PER_BLOCK_MAX)


def check_fund_there(market: "Trading") -> None:
    """Refuse shares in a fund that is not there."""
    if market.fund.get() is None:
        raise NoFund


def assets_at_worst(market: "Trading") -> int:
    """What the fund has, whatever becomes of its open positions."""
    return max(0, money_of(market))


def assets_at_best(market: "Trading") -> int:
    """What the fund has if each open position ends as well as it can."""
    kept_aside = market.config.currency.reserved_balance(LIQUIDITY_FUND)
    best = sum(
        best_end(holding, market.zone_prices(interval)) for interval, holding in positions(market)
    )
    return max(0, money_of(market) + kept_aside + best)


def best_end(holding: "Holding", prices: "ZonePrices") -> int:
    """The most that a position may bring: it neither takes nor delivers any of it."""
    net_wh = holding.buy_wh - holding.sell_wh
    price = prices.imbalance_price_max if net_wh > 0 else prices.imbalance_price_min
    return net_wh * price - holding.payable_nano


def positions(market: "Trading") -> Iterator[tuple[int, "Holding"]]:
    """The intervals in which the fund has bought or sold and that are not settled, rising."""
    fund = market.fund.get()
    assert fund is not None, "only asked of a fund that is there"
    for interval in market.schedule.get().stored:
        holding = market.holdings[interval, fund.connection]
        if holding.buy_wh or holding.sell_wh:
            yield interval, holding


def last_position(market: "Trading") -> int:
    """The last interval in which the fund has a position; 0 if it has none."""
    return max((interval for interval, _ in positions(market)), default=0)


def value_of_fund(market: "Trading") -> FundValue | None:
    """What all shares are worth."""
    if market.fund.get() is None:
        return None
    queue = market.fund_queue.get()
    return FundValue(
        market.fund_issued.get(),
        assets_at_worst(market),
        assets_at_best(market),
        queue.end - queue.first,
    )


def holding_of(market: "Trading", account: AccountId) -> FundHolding:
    """What an account has in the fund, with what is on its way out."""
    number = market.fund_leaving[account]
    leaving = None if number is None else market.fund_redemptions[number]
    shares = market.fund_holders[account]
    issued = market.fund_issued.get()
    all_of_it = shares + (leaving.shares if leaving else 0)
    value_nano = all_of_it * assets_at_worst(market) // issued if issued else 0
    return FundHolding(shares, leaving, value_nano)


def waiting(market: "Trading") -> Iterator[tuple[int, Redemption]]:
    """The requests of the queue, by number."""
    queue = market.fund_queue.get()
    for number in range(queue.first, queue.end):
        redemption = market.fund_redemptions[number]
        assert redemption is not None, "numbers of the queue have no gaps"
        yield number, redemption


def share_faults(market: "Trading") -> Iterator[str]:
    """Where the shares do not add up."""
    held = sum(shares for _, shares in market.fund_holders.items())
    leaving = sum(redemption.shares for _, redemption in waiting(market))
    issued = market.fund_issued.get()
    if held + leaving != issued:
        yield f"{held} shares are held and {leaving} leave, {issued} are issued"
    owed_nano = market.arrears[LIQUIDITY_FUND]
    if owed_nano > 0:
        yield f"the fund owes {owed_nano} nano-DRT"


def check_shares(market: "Trading") -> None:
    """Assert the invariants of this module, after every block under test."""
    faults: Sequence[str] = list(share_faults(market))
    assert not faults, faults
    assert all(shares >= SHARES_MIN for _, shares in market.fund_holders.items()), "a small holding"
    requests = dict(waiting(market))
    assert len(requests) <= REDEMPTIONS_MAX, "the queue is bounded"
    assert sorted(market.fund_redemptions.keys()) == list(requests), "nothing else waits"
    assert {number: each.account for number, each in requests.items()} == {
        number: account for account, number in market.fund_leaving.items()
    }, "each account has one request"
    lasts = [redemption.until for redemption in requests.values()]
    assert lasts == sorted(lasts), "who came first leaves first"

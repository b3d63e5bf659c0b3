"""What holds of the market after every block, asserted in tests.

The promises are those of docs/settlement.md.
"""

from typing import TYPE_CHECKING

from runtime.pallets.system import HOUSE
from runtime.pallets.trading import finality
from runtime.pallets.trading.accounting import SETTLEMENTS_PER_BLOCK_MAX
from runtime.pallets.trading.collateral import position_hold
from runtime.pallets.trading.coupled_invariants import check_coupled
from runtime.pallets.trading.fund import check_fund
from runtime.pallets.trading.fund_shares import check_shares
from runtime.pallets.trading.history import check_days
from runtime.pallets.trading.orders import INTERVALS_STORED_MAX, hold_of, position_of
from runtime.pallets.trading.parameters import check_parameter_changes
from runtime.pallets.trading.price_parts import check_price_parts
from runtime.pallets.trading.records import NO_BOOK, Book, Holding, Side
from runtime.pallets.trading.reputation import check_reputations
from runtime.pallets.trading.rights_invariants import check_delivered, check_rights
from runtime.pallets.trading.sealed_invariants import check_sealed
from runtime.pallets.trading.settlement import Position, deviation_prices
from runtime.pallets.trading.tariffs import check_tariffs

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

STORED_SLACK = 128  # intervals that time and contracts add beside those with orders


def check_market(market: "Trading") -> None:
    """Assert the invariants over all intervals that are not settled, and over the accounts."""
    schedule = market.schedule.get()
    stored = schedule.stored
    assert list(stored) == sorted(set(stored)), "stored intervals rise"
    assert len(stored) <= INTERVALS_STORED_MAX + STORED_SLACK, "stored intervals are bounded"
    held: dict[bytes, int] = {}
    for interval in stored:
        holdings = dict(market.holdings.items_under(interval))
        book = market.books[interval] or NO_BOOK
        check_book(interval, book, holdings)
        check_energy(market, interval, book, holdings)
        for number, holding in holdings.items():
            prices = market.hold_prices(interval, number)
            needed = hold_of(position_of(holding), holding.orders, prices)
            assert holding.held_nano == needed, f"collateral of {number} in {interval}"
            account = market.account_of(number)
            held[account] = held.get(account, 0) + holding.held_nano
    for entry in market.list_contracts():
        terms, contract = entry.contract.terms, entry.contract
        for number, amount in (
            (terms.seller, contract.held_seller_nano),
            (terms.buyer, contract.held_buyer_nano),
        ):
            account = market.account_of(number)
            held[account] = held.get(account, 0) + amount
    for number, premium in market.premiums.items():
        if premium is not None:
            account = market.account_of(number)
            held[account] = held.get(account, 0) + premium.budget_nano
    check_coupled(market, held)
    check_sealed(market, held)
    assert market.proposal_count.get() == len(list(market.contract_proposals.keys()))
    assert set(market.books.keys()) <= set(stored), "a book waits for settlement"
    for account, amount in held.items():
        reserved = market.config.currency.reserved_balance(account)
        assert reserved == amount, f"{account.hex()}: {reserved} is held, expected {amount}"
    check_rights(market, stored)
    check_money(market)
    check_parameter_changes(market)
    check_tariffs(market)
    check_days(market)
    check_fund(market, stored)
    check_shares(market)
    check_reputations(market)
    check_price_parts(market, stored)


def check_book(interval: int, book: Book, holdings: dict[int, Holding]) -> None:
    """A book's sums are those of its holdings."""
    orders = [order for holding in holdings.values() for order in holding.orders]
    assert book.orders == len(orders), f"orders of {interval}"
    assert book.quantity_wh == sum(order.quantity_wh for order in orders), f"quantity of {interval}"
    assert all(order.quantity_wh > 0 for order in orders), f"an empty order in {interval}"
    if book.is_closed:
        assert not orders, f"orders of {interval} outlived its gate"
    for holding in holdings.values():
        sequences = [order.sequence for order in holding.orders]
        assert sequences == sorted(set(sequences)), f"sequence of orders in {interval}"
        assert all(order.side in (Side.BID, Side.OFFER) for order in holding.orders)


def check_energy(
    market: "Trading", interval: int, book: Book, holdings: dict[int, Holding]
) -> None:
    """Payables sum to the rent, sales less purchases to the loss; each bus is balanced."""
    payable = sum(holding.payable_nano for holding in holdings.values())
    assert payable == book.rent_nano, f"payables of {interval}: {payable}, rent {book.rent_nano}"
    bought = sum(holding.buy_wh for holding in holdings.values())
    sold = sum(holding.sell_wh for holding in holdings.values())
    assert bought == book.traded_wh, f"purchases of {interval}"
    assert sold - bought == book.booked_loss_wh >= 0, f"booked loss of {interval}"
    injected: dict[int, int] = {}
    for number, holding in holdings.items():
        bus = market.connection_at(number).bus
        injected[bus] = injected.get(bus, 0) + holding.sell_wh - holding.buy_wh
    market.config.grid.check_balance(interval, injected)


def check_money(market: "Trading") -> None:
    """The house is empty, arrears add up, the history is bounded and without residuals."""
    registry, currency = market.config.registry, market.config.currency
    rest = currency.free_balance(HOUSE)
    if currency.free_balance(registry.supplier_account()) > 0:
        assert rest == 0, f"the house holds {rest}"
    arrears = sum(amount for _, amount in market.arrears.items())
    assert arrears == market.receivables.get(), "arrears add up"
    check_history(market)
    assert market.totals.get().energy_residual_wh == 0, "every Wh is sold or bought once"
    for interval in market.recent(SETTLEMENTS_PER_BLOCK_MAX):
        check_settlement(market, interval)
        check_delivered(market, interval)


def check_history(market: "Trading") -> None:
    """Records are there from the beginning of the history on, what is provisional among them."""
    totals, begin = market.totals.get(), market.history_begin.get()
    final, settled = totals.intervals_final, totals.intervals_settled
    assert begin <= final <= settled, f"history from {begin}, final {final} of {settled}"
    assert settled - begin <= max(finality.HISTORY_INTERVALS, settled - final), "it is bounded"
    kept = list(market.settled_at.keys())
    assert sorted(kept) == list(range(begin, settled)), "settlements are numbered without gaps"
    for ordinal in kept[-SETTLEMENTS_PER_BLOCK_MAX:]:
        interval = market.settled_at[ordinal]
        assert interval is not None and market.is_final(interval) == (ordinal < final)


def check_settlement(market: "Trading", interval: int) -> None:
    """A settlement sums to zero, was covered, and keeps what traders are promised."""
    record, lines = market.settlements[interval], market.lines[interval]
    assert record is not None and lines is not None, f"records of {interval}"
    amounts = sum(line.amount_nano for line in lines)
    assert amounts == record.connections_nano, f"lines of {interval}"
    total = amounts + record.supplier_nano + record.operator_nano
    assert total == 0, f"settlement of {interval} sums to {total}"
    from_pool_wh = sum(line.pool_import_wh for line in lines)
    to_pool_wh = sum(line.pool_export_wh for line in lines)
    assert from_pool_wh == to_pool_wh == record.pool_wh, f"pool of {interval}"
    config = market.config
    retail, feed_in = config.supplier_price + config.network_fee, config.feed_in_price
    spread = config.imbalance_price_max - config.imbalance_price_min
    gains = contract_gains(market, interval)
    zone_prices = market.zone_prices(interval)
    for number, line in enumerate(lines, start=1):
        bill = -line.amount_nano
        tariff = retail * line.import_wh - feed_in * line.export_wh
        position = Position(line.payable_nano, line.buy_wh, line.sell_wh)
        import_wh = line.import_wh - line.contract_import_wh
        export_wh = line.export_wh - line.contract_export_wh
        long_wh = max(0, max(position.net_wh, 0) - import_wh)
        short_wh = max(0, max(-position.net_wh, 0) - export_wh)
        prices = deviation_prices(zone_prices, record.imbalance_price)
        owed_nano = line.payable_nano + prices.short * short_wh - prices.long * long_wh
        held_nano = position_hold(position, zone_prices)
        assert held_nano >= owed_nano, f"{held_nano} was held for {owed_nano} in {interval}"
        assert 0 <= line.pool_import_wh <= import_wh, f"imports have one label in {interval}"
        assert 0 <= line.pool_export_wh <= export_wh, f"exports have one label in {interval}"
        contracted = gains.get(number, 0)
        if line.buy_wh == 0 == line.sell_wh:
            saving = retail - zone_prices.pool_fee - record.pool_price_micro
            gain = record.pool_price_micro - feed_in
            shared = saving * line.pool_import_wh + gain * line.pool_export_wh
            # A right that was handed on leaves what it cost or brought.
            expected = tariff - shared - contracted + line.payable_nano
            assert bill == expected, f"without trade the tariff less what was shared in {interval}"
            assert shared >= 0, f"the pool makes nobody worse off in {interval}"
        elif 0 in (line.buy_wh, line.sell_wh):
            bound = tariff - contracted + spread * (long_wh + short_wh)
            # Fills cost at most this; more is the cost of rights that were handed on.
            bound += max(0, line.payable_nano - retail * line.buy_wh + feed_in * line.sell_wh)
            assert bill <= bound, f"bound of a bill in {interval}"


def contract_gains(market: "Trading", interval: int) -> dict[int, int]:
    """By connection, what the contracts of an interval brought against the tariff."""
    config = market.config
    retail, feed_in = config.supplier_price + config.network_fee, config.feed_in_price
    gains: dict[int, int] = {}
    for deal in market.read_deals(interval):
        seller = deal.paid_nano - feed_in * deal.delivered_wh
        buyer = (retail - deal.fee_micro) * deal.delivered_wh - deal.paid_nano
        assert deal.is_firm or min(seller, buyer) >= 0, f"a contract costs a party in {interval}"
        gains[deal.seller] = gains.get(deal.seller, 0) + seller
        gains[deal.buyer] = gains.get(deal.buyer, 0) + buyer
    return gains

"""What holds of pairs, offers, and premiums after every block, asserted in tests."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runtime.pallets.trading.pairing import PAIRS_MAX, merged, named_pairs
from runtime.pallets.trading.provenance import covered, figures, origins_of
from runtime.pallets.trading.records import NO_BOOK, Holding
from runtime.pallets.trading.right_records import GREEN, MIX, NETWORK, Pair

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


def check_rights(market: "Trading", stored: Sequence[int]) -> None:
    """Assert that pairs add up, and that budgets cover what was promised."""
    reserved: dict[int, int] = {}
    for interval in stored:
        pairs = market.pairs[interval] or ()
        check_pairs(market, interval, pairs)
        for each in pairs:
            amount = each.premium_micro * each.wh
            reserved[each.buyer] = reserved.get(each.buyer, 0) + amount
    for number, premium in market.premiums.items():
        if premium is not None:
            assert premium.reserved_nano == reserved.pop(number, 0), f"promised by {number}"
            assert premium.reserved_nano <= premium.budget_nano, f"budget of {number}"
    assert not any(reserved.values()), "a premium without a budget"
    offered = {interval for interval, _ in market.right_offers.keys()}  # noqa: SIM118 - no dict
    for interval in sorted(offered):
        assert interval in stored, f"an offer outlived interval {interval}"
    if market.history_begin.get() == 0:
        check_green(market, stored)


def check_pairs(market: "Trading", interval: int, pairs: Sequence[Pair]) -> None:
    """The pairs of an interval that is not settled are what its fills and flows say."""
    holdings = dict(market.holdings.items_under(interval))
    book = market.books[interval] or NO_BOOK
    sold, bought = sums_of(pairs)
    check_sums(interval, holdings, sold, bought)
    assert bought.get(NETWORK, 0) == book.booked_loss_wh, f"loss of {interval}"
    assert sold.get(MIX, 0) == bought.get(MIX, 0), f"what is mixed of {interval} stays the same"
    assert named_pairs(pairs) <= PAIRS_MAX, f"pairs of {interval} are bounded"
    assert tuple(pairs) == merged(pairs), f"pairs of {interval} are in order, none is empty"
    for each in pairs:
        if each.premium_micro:
            assert each.energy_class in GREEN, f"a premium for what is not green in {interval}"
            seller, buyer = market.account_of(each.seller), market.account_of(each.buyer)
            assert seller != buyer, f"a premium to oneself in {interval}"


def check_green(market: "Trading", stored: Sequence[int]) -> None:
    """The sums are those of all settled intervals, as long as none is forgotten."""
    settled = [pairs for k, pairs in market.pairs.items() if k not in stored and pairs]
    sums = market.green.get()
    for name in sums.__struct_fields__:
        total = sum(getattr(figures(pairs), name) for pairs in settled)
        assert getattr(sums, name) == total, f"{name} of all pairs: {total}"


def check_delivered(market: "Trading", interval: int) -> None:
    """Of a settled interval, no meter gave or took more in its pairs than it measured, and nobody
    had less of them than it could.
    """
    pairs, lines = market.pairs[interval] or (), market.lines[interval] or ()
    given: dict[int, int] = {}
    arrived: dict[int, int] = {}
    delivered: dict[int, int] = {}
    for each in pairs:
        assert each.delivered_wh <= each.given_wh <= each.wh, f"a pair of {interval} grew"
        given[each.seller] = given.get(each.seller, 0) + each.given_wh
        arrived[each.buyer] = arrived.get(each.buyer, 0) + each.given_wh
        delivered[each.buyer] = delivered.get(each.buyer, 0) + each.delivered_wh
    assert given.get(MIX, 0) == delivered.get(MIX, 0), f"the mix of {interval} loses nothing"
    assert arrived.get(NETWORK, 0) == delivered.get(NETWORK, 0)
    sold, _ = sums_of(pairs)
    for number, line in enumerate(lines, start=1):
        import_wh, export_wh = covered(lines, number)
        assert given.get(number, 0) == min(sold.get(number, 0), export_wh), f"given in {interval}"
        taken = min(arrived.get(number, 0), import_wh)
        assert delivered.get(number, 0) == taken, f"taken in {interval}"
        origins = origins_of(market, number, interval)
        assert sum(origin.wh for origin in origins) == line.import_wh, f"origins in {interval}"


def sums_of(pairs: Sequence[Pair]) -> tuple[dict[int, int], dict[int, int]]:
    """What each sold and bought in its pairs."""
    sold: dict[int, int] = {}
    bought: dict[int, int] = {}
    for each in pairs:
        sold[each.seller] = sold.get(each.seller, 0) + each.wh
        bought[each.buyer] = bought.get(each.buyer, 0) + each.wh
    return sold, bought


def check_sums(
    interval: int,
    holdings: Mapping[int, Holding],
    sold: Mapping[int, int],
    bought: Mapping[int, int],
) -> None:
    """Pairs add up to the positions, of everyone and of nobody else."""
    for number, holding in holdings.items():
        assert sold.get(number, 0) == holding.sell_wh, f"pairs of seller {number} in {interval}"
        assert bought.get(number, 0) == holding.buy_wh, f"pairs of buyer {number} in {interval}"
    assert set(sold) <= {*holdings, MIX}, f"unknown sellers in {interval}"
    assert set(bought) <= {*holdings, MIX, NETWORK}, f"unknown buyers in {interval}"

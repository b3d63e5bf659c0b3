"""Network tariffs by time of use: announced before intervals open, then fixed for each of them.

The tree of the grid has one tariff per edge. A tariff book divides the day into bands; in a band
each edge costs its own tariff times the band's factor, or what the band says of that edge. Calls of
the auction and contracts use the tariffs of their interval, which its opening fixes.

The rent of a call beyond these tariffs is what congestion is worth. At settlement it goes to an
account of its own, earmarked: only the members release it, to the grid operator, which forgoes fees
for it. What rounding takes from the rent, the operator bears.

Invariants: books rise by their first interval; no tariff leaves the range of exact clearing; the
earmarked account holds, or is owed, what was earmarked and not released.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    U8,
    U32,
    AccountId,
    Balance,
    BusIndex,
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    Ppm,
    SignedBalance,
    StorageMap,
    StorageValue,
    Struct,
    api,
)
from runtime.kernels.bounds import TARIFF_MAX
from runtime.pallets.grid_balancing import BUSES_MAX
from runtime.pallets.system import CONGESTION_RENT
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.deals import MILLION, SLOTS_PER_DAY
from runtime.pallets.trading.parameters import TooManyChanges, first_unopened, oldest_needed

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

BANDS_MAX = 8  # suppliers' tariff books have two or three
BAND_EDGES_MAX = 32  # edges with a tariff of their own in a band; keeps a proposal small
BOOKS_MAX = 4  # one holds, others are announced
FACTOR_PPM_MAX = 10 * MILLION
AHEAD_MAX = 35_040  # a year

Tariffs = Annotated[tuple[U32, ...], MaxLen(BUSES_MAX)]


class EdgeTariff(Struct):
    """The tariff of one edge in a band."""

    bus: BusIndex
    """The lower end of the edge."""

    tariff: U32


class TariffBand(Struct):
    """What the network costs in some part of the day."""

    factor_ppm: Ppm
    """Of the tariffs in the tree."""

    edges: Annotated[tuple[EdgeTariff, ...], MaxLen(BAND_EDGES_MAX)]
    """Edges that cost something else, by rising bus."""


class TariffBook(Struct):
    """Tariffs by time of use, from an interval on."""

    first: IntervalIndex
    bands: Annotated[tuple[TariffBand, ...], MaxLen(BANDS_MAX)]
    slots: Annotated[tuple[U8, ...], MaxLen(SLOTS_PER_DAY)]
    """Which band each of the 96 quarter hours of a day is in."""


class NetworkIncome(Struct):
    """What the calls of an interval collected for the network."""

    tariff_nano: Balance
    congestion_nano: SignedBalance
    """The rest of the rent; negative when rounding took more than congestion brought."""


class Earmarked(Struct):
    """Congestion rent since the beginning."""

    collected_nano: Balance
    released_nano: Balance


class TariffsAnnounced(frame.Event, index=41):
    """Other network tariffs hold from an interval on."""

    book: TariffBook


class CongestionRentEarmarked(frame.Event, index=42):
    """Congestion rent of a settled interval went to its own account."""

    interval: IntervalIndex
    amount_nano: Balance


class CongestionRentReleased(frame.Event, index=43):
    """The members gave congestion rent to the grid operator, which forgoes fees for it."""

    operator: AccountId
    amount_nano: Balance


class TariffsInvalid(frame.Error, index=48):
    """Not 1 to 8 bands, not 96 quarter hours each in one of them, an edge that is not there or
    listed twice, a tariff of more than 2**24 - 1, a factor above ten, or a beginning more than a
    year away.
    """


class AmountUnavailable(frame.Error, index=49):
    """The account has less than the amount, or the amount is zero."""


class NetworkTariffs(Pallet[Config]):
    """The part of Trading that keeps network tariffs and congestion rent."""

    tariff_books: StorageValue[Annotated[tuple[TariffBook, ...], MaxLen(BOOKS_MAX)]]
    """Tariffs by time of use, rising; before the first one, the tree's tariffs hold."""

    network_income: StorageMap[IntervalIndex, NetworkIncome | None, Identity]
    """Of open and recent intervals in which something traded."""

    earmarked: StorageValue[Earmarked]
    """Congestion rent that was collected, and what of it was released."""

    @api("Trading_tariff_books")
    def list_tariff_books(self) -> list[TariffBook]:
        """Tariffs by time of use that hold or are announced."""
        return list(self.tariff_books.get())

    @api("Trading_tariffs")
    def read_tariffs(self, interval: IntervalIndex) -> list[U32]:
        """The tariff of each edge in an interval, by the bus at its lower end."""
        return list(tariffs_at(self, interval))

    @api("Trading_network_income")
    def read_network_income(self, interval: IntervalIndex) -> NetworkIncome | None:
        """What the calls of an interval collected so far for the network."""
        return self.network_income[interval]

    @api("Trading_earmarked")
    def read_earmarked(self) -> Earmarked:
        """Congestion rent since the beginning."""
        return self.earmarked.get()


def tariffs_at(market: NetworkTariffs, interval: int) -> tuple[int, ...]:
    """The tariff of each edge in an interval, by its bus, as far as it is announced."""
    base = market.config.grid.base_tariffs()
    for book in reversed(market.tariff_books.get()):
        if book.first <= interval:
            slot = (interval - market.config.genesis_interval) % SLOTS_PER_DAY
            return in_band(base, book.bands[book.slots[slot]])
    return tuple(base)


def in_band(base: tuple[int, ...], band: TariffBand) -> tuple[int, ...]:
    """The tariffs of a band."""
    tariffs = [tariff * band.factor_ppm // MILLION for tariff in base]
    for edge in band.edges:
        tariffs[edge.bus] = edge.tariff
    return tuple(tariffs)


def least_path_tariff(market: NetworkTariffs, source: int, target: int) -> int:
    """The least that a path between two buses can cost, whatever the time of day."""
    grid = market.config.grid
    base = grid.base_tariffs()
    known = [base] + [in_band(base, band) for b in market.tariff_books.get() for band in b.bands]
    return min(grid.path_tariff(source, target, tariffs) for tariffs in known)


def fix_tariffs(market: NetworkTariffs, interval: int) -> tuple[int, ...]:
    """Let an interval that opens have its tariffs for good."""
    tariffs = tariffs_at(market, interval)
    if tariffs != tuple(market.config.grid.base_tariffs()):
        market.config.grid.fix_tariffs(interval, tariffs)
    return tariffs


def check_book(market: NetworkTariffs, book: TariffBook) -> None:
    """Refuse a book that leaves a quarter hour without tariffs, or the range of clearing."""
    base = market.config.grid.base_tariffs()
    is_whole = len(book.slots) == SLOTS_PER_DAY and max(book.slots) < len(book.bands)
    for band in book.bands:
        buses = [edge.bus for edge in band.edges]
        in_tree = all(0 < bus < len(base) for bus in buses) and buses == sorted(set(buses))
        if not in_tree or band.factor_ppm > FACTOR_PPM_MAX:
            raise TariffsInvalid
        if max(in_band(base, band)) > TARIFF_MAX:
            raise TariffsInvalid
    if not is_whole:
        raise TariffsInvalid


def announce_tariffs(market: "Trading", book: TariffBook) -> None:
    """Let other tariffs hold from the book's first interval on, or from the first one that is not
    open. Books that would begin later are given up.
    """
    check_book(market, book)
    earliest = first_unopened(market)
    book = replace(book, first=max(book.first, earliest))
    if book.first > earliest + AHEAD_MAX:
        raise TariffsInvalid
    books = [each for each in market.tariff_books.get() if each.first < book.first]
    while len(books) > 1 and books[1].first <= oldest_needed(market):
        del books[0]
    if len(books) >= BOOKS_MAX:
        raise TooManyChanges
    market.tariff_books.set((*books, book))
    market.deposit_event(TariffsAnnounced(book))


def genesis_tariffs(market: NetworkTariffs, entry: Mapping[str, Any]) -> None:
    """A book from the beginning of the chain: `bands`, objects with `factor_ppm` and optionally
    `edges` (object from bus to tariff), and `slots`, 96 numbers of bands.
    """
    bands = [
        TariffBand(
            band["factor_ppm"],
            tuple(EdgeTariff(int(bus), tariff) for bus, tariff in band.get("edges", {}).items()),
        )
        for band in entry["bands"]
    ]
    book = TariffBook(market.config.genesis_interval, tuple(bands), tuple(entry["slots"]))
    try:
        check_book(market, book)
    except TariffsInvalid as error:
        raise ValueError(f"tariffs of the genesis: {error.__doc__}") from error
    market.tariff_books.set((book,))


def note_income(market: NetworkTariffs, interval: int, tariff_nano: int, rent_nano: int) -> None:
    """Add what a call collected: `tariff_nano` by tariffs, the rest of the rent by congestion."""
    before = market.network_income[interval] or NetworkIncome(0, 0)
    market.network_income[interval] = NetworkIncome(
        before.tariff_nano + tariff_nano, before.congestion_nano + rent_nano - tariff_nano
    )


def earmark(
    market: NetworkTariffs, interval: int, net: Mapping[AccountId, int]
) -> dict[AccountId, int]:
    """What accounts receive, with the congestion rent of an interval in its own account."""
    after = dict(net)
    income = market.network_income[interval]
    if income is None or income.congestion_nano <= 0:
        return after
    amount, operator = income.congestion_nano, market.config.registry.operator_account()
    after[operator] -= amount
    after[CONGESTION_RENT] = amount
    totals = market.earmarked.get()
    market.earmarked.set(replace(totals, collected_nano=totals.collected_nano + amount))
    market.deposit_event(CongestionRentEarmarked(interval, amount))
    return after


def release_rent(market: NetworkTariffs, amount_nano: int) -> None:
    """Give earmarked rent to the operator."""
    check_available(market, CONGESTION_RENT, amount_nano)
    operator = market.config.registry.operator_account()
    if not market.config.currency.pay_out(CONGESTION_RENT, operator, amount_nano):
        raise AmountUnavailable
    totals = market.earmarked.get()
    market.earmarked.set(replace(totals, released_nano=totals.released_nano + amount_nano))
    market.deposit_event(CongestionRentReleased(operator, amount_nano))


def check_available(market: NetworkTariffs, account: AccountId, amount_nano: int) -> None:
    """Refuse an amount that an account does not have."""
    if not 0 < amount_nano <= market.config.currency.free_balance(account):
        raise AmountUnavailable


def check_tariffs(market: "Trading") -> None:
    """Assert the invariants."""
    firsts = [book.first for book in market.tariff_books.get()]
    assert firsts == sorted(set(firsts)), "tariff books rise"
    for book in market.tariff_books.get():
        check_book(market, book)
    totals = market.earmarked.get()
    there = market.config.currency.free_balance(CONGESTION_RENT) - market.arrears[CONGESTION_RENT]
    kept = totals.collected_nano - totals.released_nano
    assert there >= kept, f"{there} of congestion rent is there, {kept} is earmarked"

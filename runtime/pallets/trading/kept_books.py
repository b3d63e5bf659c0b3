"""Books kept from call to call, so that a call reads from the state only what changed since.

A cache beside the state, known by the root of the state it describes, which the block's hash
commits to: a block built on another one, a fork, a block that was given up, a restart find what
fits their parent's state, or nothing, and then the book is read from the state.

Invariant: a call clears the same orders to the same integers with and without it.

Which connections' orders have changed is what the block wrote to their holdings: no call has to
tell. Only books that calls have made are kept, and only of the latest states.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from runtime.kernels.auction import OrderArrays, as_array
from runtime.kernels.kept_book import KeptBook
from runtime.pallets.trading.fund import quoting
from runtime.pallets.trading.records import SEQUENCE_BITS
from runtime.primitives.types import Hash
from runtime.state.overlay import Overlay

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

STATES_MAX = 4  # the best block's, its parent's, and those of two forks beside them


class Kept(NamedTuple):
    """A book as a call made it; nobody changes it any more."""

    book: KeptBook
    stale: frozenset[int]
    """Connections whose orders may be others by now."""


class KeptBooks:
    """The books of some states, by state root and interval."""

    def __init__(self) -> None:
        self.states: dict[Hash, dict[int, Kept]] = {}
        """Oldest first."""

        self._made_on: Overlay | None = None
        self._made: dict[int, Kept | None] = {}
        """By the block in the making: the books of its calls, and None of closed ones."""

    def take(self, market: "Trading", interval: int, moment_ms: int) -> KeptBook:
        """The orders that take part in a call begun at `moment_ms`: placed before. Their ids are
        without the interval (`local_id`).
        """
        kept = self._kept(market, interval)
        if kept is None:
            book, stale = KeptBook(), set(market.holdings.keys_under(interval))
        else:
            book, stale = kept.book.copy(), set(kept.stale)
            stale.update(number for k, number in market.holdings.changed_keys() if k == interval)
        late = read_again(market, book, interval, sorted(stale), moment_ms)
        self._made[interval] = Kept(book, late | quoting(market))
        return book

    def close(self, market: "Trading", interval: int) -> None:
        """The gate of an interval has passed: nobody will ask for its book again."""
        self._begin(market.overlay)
        self._made[interval] = None

    def end_block(self, market: "Trading", root: Hash) -> None:
        """The block on the market's state has ended with a state root."""
        overlay = market.overlay
        self._begin(overlay)
        books = dict(self.states.get(overlay.base_root, {}))
        for interval, made in self._made.items():
            books.pop(interval, None)
            if made is not None:
                books[interval] = made
        for interval, number in market.holdings.changed_keys():
            kept = books.get(interval)
            if kept is not None:
                books[interval] = Kept(kept.book, kept.stale | {number})
        self.states.pop(root, None)
        self.states[root] = books
        while len(self.states) > STATES_MAX:
            del self.states[next(iter(self.states))]
        self._made_on, self._made = None, {}

    def forget(self) -> None:
        """Forget all books, as a restart does."""
        self.states.clear()
        self._made_on, self._made = None, {}

    def _kept(self, market: "Trading", interval: int) -> Kept | None:
        self._begin(market.overlay)
        if interval in self._made:
            return self._made[interval]
        return self.states.get(market.overlay.base_root, {}).get(interval)

    def _begin(self, overlay: Overlay) -> None:
        if overlay is not self._made_on:
            self._made_on, self._made = overlay, {}


def read_again(
    market: "Trading", book: KeptBook, interval: int, numbers: list[int], moment_ms: int
) -> frozenset[int]:
    """Replace the orders of some connections by what the state has of them; gives those of which
    it has orders that come too late for the call.
    """
    ids: list[int] = []
    columns: tuple[list[int], ...] = ([], [], [], [])
    late: set[int] = set()
    for number in numbers:
        for order in market.holdings[interval, number].orders:
            if order.placed_ms >= moment_ms:
                late.add(number)
                continue
            ids.append(local_id(number, order.sequence))
            bus = market.connection_at(number).bus
            for column, value in zip(
                columns, (bus, order.price_micro, order.quantity_wh, int(order.side)), strict=True
            ):
                column.append(value)
    gone = np.flatnonzero(np.isin(book.ids >> SEQUENCE_BITS, as_array(numbers)))
    book.change(gone, as_array(ids), OrderArrays.of(*columns))
    return frozenset(late)


def local_id(number: int, sequence: int) -> int:
    """An order's id in the book of its interval."""
    return number << SEQUENCE_BITS | sequence


def parts_of_local_id(order_id: int) -> tuple[int, int]:
    """Connection and sequence of such an id."""
    return divmod(order_id, 1 << SEQUENCE_BITS)

"""What the auction promises of any one result, as assertions. Each message names order or edge."""

from random import Random

from runtime.kernels import auction
from tests.oracles import auction_lp
from tests.oracles import auction_reference as reference
from tests.oracles.auction_reference import Book, Result, Tree
from tests.runtime.kernels.books import order_arrays, plain, tree_arrays


def clear(tree: Tree, book: Book, reference_price: int = 7) -> Result:
    """The kernel's result for a book of prices from 0 on."""
    return plain(auction.clear(tree_arrays(tree), order_arrays(book), reference_price))


def keeps_limits(book: Book, result: Result) -> None:
    """No order trades against its limit, and none left out was in the money.

    For prices from 1 on: 0 stands for "no level".
    """
    for o, bus in enumerate(book.bus):
        price, fill = result.price[bus], result.fill[o]
        gain = book.price[o] - price if book.isbid[o] else price - book.price[o]
        assert fill == 0 or gain >= 0, f"order {o} trades against its limit"
        assert fill == book.qty[o] or gain <= 0, f"order {o} is rejected paradoxically"


def balances(tree: Tree, book: Book, result: Result) -> None:
    """Energy is conserved at every bus, and every flow respects its edge."""
    x, y = result.net_export, result.received_parent
    balance = [0] * len(tree.parent)
    for o, bus in enumerate(book.bus):
        assert 0 <= result.fill[o] <= book.qty[o], f"order {o}"
        balance[bus] += -result.fill[o] if book.isbid[o] else result.fill[o]
    for e in range(1, len(tree.parent)):
        balance[tree.parent[e]] += y[e]
        loss = tree.loss_ppm[e]
        if y[e] >= 0:
            assert result.sent[e] == x[e] <= tree.cap_up[e], f"edge {e}"
            assert y[e] == reference.delivered(x[e], loss), f"edge {e}"
        else:
            assert result.sent[e] == -y[e] <= tree.cap_down[e], f"edge {e}"
            assert -x[e] == reference.delivered(-y[e], loss), f"edge {e}"
    assert balance == x


def pays_exactly(tree: Tree, book: Book, result: Result) -> None:
    """What buyers pay is what sellers and edges get; an edge gets its tariff, within 1 Wh."""
    paid = sum(
        (1 if book.isbid[o] else -1) * result.price[bus] * result.fill[o]
        for o, bus in enumerate(book.bus)
    )
    rents = []
    for e in range(1, len(tree.parent)):
        above, below = result.price[tree.parent[e]], result.price[e]
        y, x = result.received_parent[e], result.net_export[e]
        rents.append(above * y - below * x)
        shortfall = max(abs(below), abs(above) + tree.tariff[e]) if tree.loss_ppm[e] else 0
        assert rents[-1] >= tree.tariff[e] * abs(y) - shortfall, f"edge {e}"
    assert paid == sum(rents)


def ignores_arrival(random: Random, tree: Tree, book: Book, result: Result) -> None:
    """Another canonical order changes neither prices nor flows, and no fill by more than 1 Wh."""
    mixed = random.sample(range(len(book.bus)), len(book.bus))
    fields = (book.bus, book.price, book.qty, book.isbid)
    other = clear(tree, Book(*([field[o] for o in mixed] for field in fields)))
    assert (other.price, other.net_export, other.received_parent) == (
        result.price,
        result.net_export,
        result.received_parent,
    )
    assert all(abs(result.fill[o] - other.fill[i]) <= 1 for i, o in enumerate(mixed))


def is_best(tree: Tree, book: Book, result: Result) -> float:
    """The welfare is the linear program's without losses, and within rounding of it with them.

    Returns how much of the bound is used.
    """
    found, best = auction_lp.welfare(tree, book, result), auction_lp.optimum(tree, book)
    slack = 1e-6 * max(best.welfare, 1)  # the solver's own tolerance
    bound = auction_lp.rounding_bound(tree, book, best) if any(tree.loss_ppm) else 0.0
    gap = best.welfare - found
    assert -slack <= gap <= bound + slack, f"welfare {found}, optimum {best.welfare}, bound {bound}"
    return max(gap - slack, 0.0) / bound if bound else 0.0

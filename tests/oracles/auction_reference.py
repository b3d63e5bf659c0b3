"""The auction of docs/auction.md in plain Python: the twin the kernels are compared with.

Written from the rules alone and kept obvious: one list of steps per bus, sorted; big integers; no
merging of equal steps, no searching, nothing shared with the kernels. Quadratic on deep trees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MILLION = 1_000_000
PRICE_MAX = 2**27 - 1
"""No step is dearer; stands for "no further level" as 0 stands for "no level yet"."""


@dataclass
class Tree:
    parent: Sequence[int]
    cap_up: Sequence[int]
    cap_down: Sequence[int]
    loss_ppm: Sequence[int]
    tariff: Sequence[int]


@dataclass
class Book:
    """Orders in canonical order."""

    bus: Sequence[int]
    price: Sequence[int]
    qty: Sequence[int]
    isbid: Sequence[int]


@dataclass
class Result:
    fill: list[int]
    price: list[int]
    net_export: list[int]
    sent: list[int]
    received_parent: list[int]


@dataclass
class Step:
    """A piece of a bus's supply curve: energy its source exports from this price level on."""

    key: int
    source: tuple[int, int]  # (0, child) or (1, order): children come first
    quantity: int


@dataclass
class Margin:
    """Where the target cuts a bus's curve: steps below `key` are accepted, those at it in part."""

    key: int
    accepted: int
    level: int
    low: int
    high: int


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def delivered(sent: int, loss: int) -> int:
    """D: what arrives of `sent`."""
    return sent - ceil_div(sent * loss, MILLION)


def needed(wanted: int, loss: int) -> int:
    """U: the least that must be sent for `wanted` to arrive."""
    return ceil_div(wanted * MILLION, MILLION - loss)


def at_parent(export: int, loss: int) -> int:
    """T: what the parent receives of an export, or (negative) must send for an import."""
    return delivered(export, loss) if export >= 0 else -needed(-export, loss)


def clear(tree: Tree, book: Book, reference_price: int) -> Result:
    curves, bases, emitted_bases = curves_bottom_up(tree, book)
    return dispatch_top_down(tree, book, reference_price, curves, bases, emitted_bases)


def curves_bottom_up(tree: Tree, book: Book) -> tuple[list[list[Step]], list[int], list[int]]:
    """Per bus: its steps in order, its export when none is accepted, and that at the parent."""
    buses = len(tree.parent)
    curves: list[list[Step]] = [[] for _ in range(buses)]
    bases = [0] * buses
    emitted_bases = [0] * buses
    for order, bus in enumerate(book.bus):
        key = 2 * book.price[order] + book.isbid[order]
        curves[bus].append(Step(key, (1, order), book.qty[order]))
        if book.isbid[order]:
            bases[bus] -= book.qty[order]
    for bus in reversed(range(buses)):
        curves[bus].sort(key=lambda step: (step.key, step.source))
        if bus > 0:
            parent = tree.parent[bus]
            emitted_bases[bus], steps = through_edge(tree, bus, bases[bus], curves[bus])
            bases[parent] += emitted_bases[bus]
            curves[parent] += steps
    return curves, bases, emitted_bases


def through_edge(tree: Tree, bus: int, base: int, curve: list[Step]) -> tuple[int, list[Step]]:
    """The curve of `bus` as its parent sees it: clipped, net of losses, price with the tariff."""
    loss, tariff = tree.loss_ppm[bus], tree.tariff[bus]
    low, high = -delivered(tree.cap_down[bus], loss), tree.cap_up[bus]
    steps: list[Step] = []
    emitted_base = at_parent(min(max(base, low), high), loss)
    export = base
    for step in curve:
        price, side = divmod(step.key, 2)
        before = min(max(export, low), high)
        after = min(max(export + step.quantity, low), high)
        export += step.quantity

        importing = at_parent(min(after, 0), loss) - at_parent(min(before, 0), loss)
        import_price = price * (MILLION - loss) // MILLION - tariff
        if import_price < 0:
            emitted_base += importing
        elif importing > 0:
            steps.append(Step(2 * import_price + side, (0, bus), importing))

        exporting = at_parent(max(after, 0), loss) - at_parent(max(before, 0), loss)
        export_price = ceil_div(price * MILLION, MILLION - loss) + tariff
        if exporting > 0 and export_price <= PRICE_MAX:
            steps.append(Step(2 * export_price + side, (0, bus), exporting))
    return emitted_base, steps


def margin_of(curve: list[Step], base: int, target: int) -> Margin:
    if target == base:
        return Margin(-1, 0, 0, 0, curve[0].key // 2 if curve else PRICE_MAX)
    totals: dict[int, int] = {}
    for step in curve:
        totals[step.key] = totals.get(step.key, 0) + step.quantity
    cumulative = base
    for key in sorted(totals):
        if cumulative + totals[key] >= target:
            accepted = target - cumulative
            if accepted < totals[key]:
                return Margin(key, accepted, totals[key], key // 2, key // 2)
            above = [other for other in totals if other > key]
            high = min(above) // 2 if above else PRICE_MAX
            return Margin(key, accepted, totals[key], key // 2, high)
        cumulative += totals[key]
    raise AssertionError("the target lies outside the curve")


def dispatch_top_down(
    tree: Tree,
    book: Book,
    reference_price: int,
    curves: list[list[Step]],
    bases: list[int],
    emitted_bases: list[int],
) -> Result:
    buses = len(tree.parent)
    result = Result([0] * len(book.bus), [0] * buses, [0] * buses, [0] * buses, list(emitted_bases))
    y, x = result.received_parent, result.net_export
    for bus in range(buses):
        if bus > 0:
            loss = tree.loss_ppm[bus]
            x[bus] = needed(y[bus], loss) if y[bus] >= 0 else -delivered(-y[bus], loss)
            result.sent[bus] = x[bus] if y[bus] >= 0 else -y[bus]
        margin = margin_of(curves[bus], bases[bus], x[bus])
        result.price[bus] = price_of(tree, bus, margin, result, reference_price)
        carry = 0
        for step in curves[bus]:
            if step.key == margin.key:
                given, carry = divmod(margin.accepted * step.quantity + carry, margin.level)
            else:
                given = step.quantity if step.key < margin.key else 0
            kind, source = step.source
            if kind == 0:
                y[source] += given
            else:
                result.fill[source] = step.quantity - given if book.isbid[source] else given
    return result


def price_of(tree: Tree, bus: int, margin: Margin, result: Result, reference_price: int) -> int:
    low, high = margin.low, margin.high
    if bus == 0:
        if low == high:
            return low
        if low > 0 and high < PRICE_MAX:
            return (low + high) // 2
        if low > 0:
            return low
        return high if high < PRICE_MAX else reference_price
    above = result.price[tree.parent[bus]]
    x, y, tariff = result.net_export[bus], result.received_parent[bus], tree.tariff[bus]
    if x > 0:
        target = (above - tariff) * y // x
    elif x < 0:
        target = ceil_div((above + tariff) * -y, -x)
    else:
        target = above
    return min(max(target, low), high)

"""The search for the coupled orders that a call accepts.

Screened on the relaxation of each interval to one bus (`coupled_rooms.py`): the best move is made
until none gains (choose, give up, swap), then vehicles and batteries plan again around the others,
until nothing changes. What was chosen is verified on the tree: each order has to be filled in all
its intervals, at prices within the bounds and at a surplus of at least zero. The worst of those
that fail is banned, or plans with what it learnt, and the search goes on.

Deterministic: ties go by the orders' rank, a hash that nobody knew when they were signed; work is
counted, not timed. When half of the work is spent orders are only taken out; when all of it is,
nothing is accepted. Only what was verified as a whole is ever accepted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.kernels.auction import Clearing, OrderArrays
from runtime.kernels.coupled import Curve, Problem, curve_of
from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.trading.coupled_records import Battery, CoupledTerms, Vehicle
from runtime.pallets.trading.coupled_rooms import Room, arriving
from runtime.pallets.trading.coupled_schedule import (
    STEPS_MAX,
    Node,
    Store,
    plan,
    store_of,
    value_of,
)
from runtime.pallets.trading.coupled_terms import Execution, executions_of, intervals_of
from runtime.pallets.trading.coupled_work import (
    BOOK_INTERVAL_WEIGHT,
    BOOK_ORDER_WEIGHT,
    CURVE_ORDER_WEIGHT,
    CURVE_WEIGHT,
    PLAN_INTERVAL_WEIGHT,
    PLAN_STEP_WEIGHT,
    PLAN_WEIGHT,
    Work,
    WorkExhausted,
)
from runtime.pallets.trading.pairing import pairing_weight

PLANS_PASSES_MAX = 6  # rounds in which vehicles and batteries plan around each other
RETRIES_MAX = 6  # how often one of them plans again after a plan failed on the tree
HURDLE_MIN = 1_000  # micro-DRT per kWh each way: the first hurdle after a plan lost money


class Contender(NamedTuple):
    """A coupled order in a search."""

    order_id: int
    connection: int
    bus: int
    terms: CoupledTerms


class Bounds(NamedTuple):
    """Prices between which a coupled order may be accepted, and the least one that is legal."""

    low: int
    high: int
    floor: int
    """Prices may go down to minus this."""


class Weights(NamedTuple):
    """What a search may take, in picoseconds."""

    search: int
    booking: int
    """Of all intervals in which something is accepted."""


class Accepted(NamedTuple):
    """A coupled order that a search accepts."""

    contender: Contender
    execution: Execution
    surplus_nano: int


class Outcome(NamedTuple):
    """What a search found."""

    accepted: Sequence[Accepted]
    clearings: Mapping[int, Clearing]
    """Per interval that an accepted order trades in; its orders' fills come after the book's, in
    the order of `accepted`, those first that rank first.
    """

    weight: int
    """Picoseconds that the search took."""

    booking_weight: int
    """And that booking the clearings will take."""


class Trader(NamedTuple):
    """What a chosen order trades in an interval."""

    order: int
    """Its rank."""

    wh: int
    """Bought; negative: sold."""

    limit: int | None
    """What it pays at most, or gets at least, per kWh of all it trades; a battery has none."""


class Finding(NamedTuple):
    """What became of a chosen execution on the tree."""

    is_complete: bool
    """Filled in all intervals, at prices within the bounds."""

    surplus_nano: int
    spoilt: int | None
    """The first interval that was not, if any; else the one that cost most."""


@dataclass
class Learnt:
    """What a vehicle or a battery knows from plans that failed."""

    store: Store
    named: Sequence[int]
    hurdle: int = 0
    closed: set[int] = field(default_factory=set[int])
    retries: int = 0


Clear = Callable[[int, OrderArrays], Clearing]
"""Clears an interval with further orders behind its own."""


def search(
    rooms: Sequence[Room],
    contenders: Sequence[Contender],
    clear: Clear,
    bounds: Bounds,
    weights: Weights,
) -> Outcome:
    """The coupled orders to accept. `rooms` rise by interval, `contenders` stand by rank and name
    none but these intervals.
    """
    work = Work(weights.search)
    try:
        work.spend(CURVE_ORDER_WEIGHT * sum(room.orders.bus.size for room in rooms))
        screen = Screen(rooms, contenders, bounds.floor, work)
        trial = Trial(rooms, contenders, clear, bounds, work)
        screen.improve()
        while True:
            chosen = screen.chosen()
            findings = trial.judge(chosen)
            worst = worst_of(findings)
            booking = trial.booking_weight(chosen) if worst is None else 0
            if booking > weights.booking:
                worst = max(chosen, key=lambda order: (first_of(chosen[order]), order))
            if worst is None:
                accepted = [
                    Accepted(contenders[order], chosen[order], findings[order].surplus_nano)
                    for order in sorted(chosen)
                ]
                return Outcome(accepted, trial.clearings_of(chosen), work.spent, booking)
            screen.fail(worst, findings[worst])
            if not work.is_half_spent:
                screen.improve()
    except WorkExhausted:
        return Outcome((), {}, work.spent, 0)


def worst_of(findings: Mapping[int, Finding]) -> int | None:
    """The order that fails most, if any does: not filled, then the greatest loss, then the rank."""
    failing = [
        (found.is_complete, found.surplus_nano, order)
        for order, found in findings.items()
        if not found.is_complete or found.surplus_nano < 0
    ]
    return min(failing)[2] if failing else None


def first_of(execution: Execution) -> int:
    """The first interval of an execution."""
    return execution.energies[0][0]


def booking_weight(room: Room, clearing: Clearing) -> int:
    """What it takes to book a clearing and to pair what it filled."""
    filled = int((clearing.fill > 0).sum())
    booked = BOOK_INTERVAL_WEIGHT + BOOK_ORDER_WEIGHT * room.orders.bus.size
    return booked + pairing_weight(filled, room.pairs, room.buses)


class Screen:
    """The relaxation: curves, alternatives, and which of them are chosen."""

    def __init__(
        self,
        rooms: Sequence[Room],
        contenders: Sequence[Contender],
        price_floor: int,
        work: Work,
    ) -> None:
        self._contenders = contenders
        self._price_floor = price_floor
        self._work = work
        self._intervals = [room.interval for room in rooms]
        self._slot_of = {interval: slot for slot, interval in enumerate(self._intervals)}
        self._curves: list[Curve] = [curve_of(arriving(room)) for room in rooms]
        self._orders = [int(room.orders.bus.size) for room in rooms]
        executions = [executions_of(contender.terms) for contender in contenders]
        self._learnt = {
            order: Learnt(store_of(contender.terms), intervals_of(contender.terms))
            for order, contender in enumerate(contenders)
            if isinstance(contender.terms, Vehicle | Battery)
        }
        sizes = [
            [len(self._learnt[order].named)]
            if order in self._learnt
            else [len(each.energies) for each in executions[order]]
            for order in range(len(contenders))
        ]
        self._problem = Problem(self._curves, sizes)
        self._changes = 0  # of what is chosen
        self._planned: dict[int, int] = {}
        """After which of these a vehicle or a battery planned last."""

        for order, found in enumerate(executions):
            for alternative, each in enumerate(found, start=self._problem.order_start[order]):
                self._problem.offer(alternative, self._in_slots(each.energies), each.value_nano)

    def _in_slots(self, energies: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(self._slot_of[interval], wh) for interval, wh in energies]

    def chosen(self) -> dict[int, Execution]:
        """The executions that are chosen, by the rank of their orders."""
        found: dict[int, Execution] = {}
        for order in range(len(self._contenders)):
            alternative = self._problem.chosen(order)
            if alternative >= 0:
                energies = self._problem.energies(alternative)
                found[order] = Execution(
                    tuple((self._intervals[slot], wh) for slot, wh in energies),
                    self._problem.value(alternative),
                )
        return found

    def improve(self) -> None:
        """Move until no move gains, and plan until no plan does, in turns."""
        self._move()
        for _ in range(PLANS_PASSES_MAX):
            gained = [order for order in self._learnt if self._plan(order)]
            if not gained:
                return
            self._move()

    def _move(self) -> None:
        """Make the best move until none gains, then look for pairs that trade with each other."""
        problem, work = self._problem, self._work
        while True:
            # Each move gains, so this ends; what it may cost at most is known before.
            bound = CURVE_WEIGHT * problem.size()
            work.spend(bound)
            move = problem.best_move()
            work.spent -= bound - CURVE_WEIGHT * move.curves
            if move.gain > 0:
                problem.apply(move)
                self._changes += 1
            elif not self._pair():
                return

    def _pair(self) -> bool:
        """Choose the two orders that gain most together, if that can be found out within half of
        the work that is left; whether there are such.
        """
        problem, work = self._problem, self._work
        bound = CURVE_WEIGHT * problem.pairs_size()
        if 2 * bound > work.weight - work.spent:
            return False
        gain, one, other, curves = problem.best_pair()
        work.spend(CURVE_WEIGHT * curves)
        if gain > 0:
            problem.choose(one)
            problem.choose(other)
            self._changes += 1
        return gain > 0

    def _plan(self, order: int) -> bool:
        """Let a vehicle or a battery plan around the others, if these have changed since it planned
        last; whether it gained.
        """
        if self._planned.get(order) == self._changes:
            return False
        has_gained = self._plan_anew(order)
        self._changes += has_gained
        self._planned[order] = self._changes
        return has_gained

    def _plan_anew(self, order: int) -> bool:
        learnt, problem = self._learnt[order], self._problem
        alternative = problem.order_start[order]
        before = problem.welfare()
        was = problem.energies(alternative) if problem.chosen(order) >= 0 else None
        was_worth = problem.value(alternative)
        self._work.spend(self._plan_weight(learnt))
        if was is not None:
            problem.give_up(order)
        window = [
            Node(self._curves[slot], problem.position(slot), interval in learnt.closed)
            for interval in learnt.named
            for slot in (self._slot_of[interval],)
        ]
        planned = plan(learnt.store, window, learnt.hurdle, self._price_floor)
        if planned is not None:
            energies = [
                (interval, wh)
                for interval, wh in zip(learnt.named, planned, strict=True)
                if wh != 0
            ]
            value = value_of(self._contenders[order].terms, energies)
            problem.offer(alternative, self._in_slots(energies), value)
            problem.choose(alternative)
            if problem.welfare() > before:
                return True
            problem.give_up(order)
        if was is None:
            problem.close(alternative)
        else:
            problem.offer(alternative, was, was_worth)
            problem.choose(alternative)
        return False

    def _plan_weight(self, learnt: Learnt) -> int:
        """What a plan takes: each order is a step up or down, of which a car needs the former."""
        steps_max = STEPS_MAX * (1 + (learnt.store.discharge_wh > 0))
        steps = sum(min(self._orders[self._slot_of[k]], steps_max) for k in learnt.named)
        return PLAN_WEIGHT + PLAN_INTERVAL_WEIGHT * len(learnt.named) + PLAN_STEP_WEIGHT * steps

    def fail(self, order: int, found: Finding) -> None:
        """Take back what was chosen of an order. A vehicle or a battery may plan once more: without
        the interval that was spoilt, or with a hurdle that makes up for what it lost.
        """
        problem = self._problem
        alternative = problem.chosen(order)
        traded_wh = sum(abs(wh) for _, wh in problem.energies(alternative))
        problem.close(alternative)
        self._changes += 1
        learnt = self._learnt.get(order)
        if learnt is None:
            return
        learnt.retries += 1
        if learnt.retries > RETRIES_MAX:
            del self._learnt[order]
        elif isinstance(self._contenders[order].terms, Battery) and found.is_complete:
            lost = -found.surplus_nano // traded_wh + 1
            learnt.hurdle = max(HURDLE_MIN, 2 * learnt.hurdle, learnt.hurdle + lost)
        else:
            assert found.spoilt is not None, "an execution trades in some interval"
            learnt.closed.add(found.spoilt)


class Trial:
    """The tree: what becomes of chosen executions in clearings of their intervals."""

    def __init__(
        self,
        rooms: Sequence[Room],
        contenders: Sequence[Contender],
        clear: Clear,
        bounds: Bounds,
        work: Work,
    ) -> None:
        self._rooms = {room.interval: room for room in rooms}
        self._contenders = contenders
        self._clear = clear
        self._bounds = bounds
        self._work = work
        self._known: dict[tuple[int, tuple[Trader, ...]], Clearing | None] = {}

    def judge(self, chosen: Mapping[int, Execution]) -> dict[int, Finding]:
        """What becomes of each chosen execution."""
        prices: dict[tuple[int, int], int] = {}
        spoilt: dict[int, int] = {}
        for interval, traders in by_interval(chosen).items():
            clearing = self._cleared(interval, traders)
            before = self._rooms[interval].orders.bus.size
            for number, (order, wh, _) in enumerate(traders):
                if clearing is None:
                    price = self._bounds.high if wh > 0 else self._bounds.low
                    is_full = False
                else:
                    price = int(clearing.price[self._contenders[order].bus])
                    is_full = int(clearing.fill[before + number]) == abs(wh)
                prices[order, interval] = price
                if not is_full or not self._bounds.low <= price <= self._bounds.high:
                    spoilt.setdefault(order, interval)
        findings: dict[int, Finding] = {}
        for order, (energies, value_nano) in chosen.items():
            costs = {interval: wh * prices[order, interval] for interval, wh in energies}
            dearest = max(costs, key=lambda interval: (costs[interval], -interval))
            findings[order] = Finding(
                order not in spoilt, value_nano - sum(costs.values()), spoilt.get(order, dearest)
            )
        return findings

    def booking_weight(self, chosen: Mapping[int, Execution]) -> int:
        """What booking a choice takes."""
        clearings = self.clearings_of(chosen)
        return sum(
            booking_weight(self._rooms[interval], clearing)
            for interval, clearing in clearings.items()
        )

    def clearings_of(self, chosen: Mapping[int, Execution]) -> dict[int, Clearing]:
        """The clearings of a choice that was judged and did not fail."""
        found: dict[int, Clearing] = {}
        for interval, traders in by_interval(chosen).items():
            clearing = self._known[interval, tuple(traders)]
            assert clearing is not None, "otherwise its orders were not filled"
            found[interval] = clearing
        return found

    def _cleared(self, interval: int, traders: Sequence[Trader]) -> Clearing | None:
        """The clearing of an interval with chosen energies; None if it would not be exact.

        They bid their limits first, so that a price between two of them is fair. If that does not
        fill them, they come before all orders of connections: their limits are for the total.
        """
        key = (interval, tuple(traders))
        if key not in self._known:
            room = self._rooms[interval]
            total_wh = room.quantity_wh + sum(abs(trader.wh) for trader in traders)
            clearing = None
            if total_wh <= BOOK_WH_MAX:
                clearing = self._clear_with(room, traders, at_limits=True)
                filled = clearing.fill[room.orders.bus.size :].tolist()
                if filled != [abs(trader.wh) for trader in traders]:
                    clearing = self._clear_with(room, traders, at_limits=False)
            self._known[key] = clearing
        return self._known[key]

    def _clear_with(self, room: Room, traders: Sequence[Trader], *, at_limits: bool) -> Clearing:
        """Clear an interval with chosen energies as orders, at their limits or before all others,
        but not beyond prices at which they must not be accepted.
        """
        self._work.count_clearing(room.orders.bus.size + len(traders), room.buses)
        low = max(self._bounds.low - 1, -self._bounds.floor)
        if low < 1 and not room.is_lifted:
            low = 1  # a limit below 1 would raise all prices
        prices = [
            trader.limit
            if at_limits and trader.limit is not None
            else (self._bounds.high + 1 if trader.wh > 0 else low)
            for trader in traders
        ]
        further = OrderArrays.of(
            [self._contenders[trader.order].bus for trader in traders],
            prices if room.is_lifted else [max(price, 1) for price in prices],
            [abs(trader.wh) for trader in traders],
            [int(trader.wh > 0) for trader in traders],
        )
        return self._clear(room.interval, further)


def by_interval(chosen: Mapping[int, Execution]) -> dict[int, list[Trader]]:
    """Per interval, who trades how much in it, by rank."""
    found: dict[int, list[Trader]] = {}
    for order in sorted(chosen):
        limit = limit_of(chosen[order])
        for interval, wh in chosen[order].energies:
            found.setdefault(interval, []).append(Trader(order, wh, limit))
    return dict(sorted(found.items()))


def limit_of(execution: Execution) -> int | None:
    """The limit of an execution that only buys or only sells."""
    energies = [wh for _, wh in execution.energies]
    if min(energies) < 0 < max(energies):
        return None
    return execution.value_nano // sum(energies)

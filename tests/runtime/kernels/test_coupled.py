"""The moves of a search for coupled orders against their twin, and the curves they are made on."""

from itertools import pairwise
from random import Random

import pytest

from runtime.kernels import coupled, coupled_kernel
from runtime.kernels.auction import OrderArrays
from tests.oracles import coupled_reference as reference
from tests.runtime.kernels.books import examples
from tests.runtime.kernels.uncompiled import all_uncompiled


def random_case(
    random: Random,
) -> tuple[list[reference.Book], list[list[reference.Alternative]], list[int | None]]:
    """Books, orders with alternatives, and a choice that the books can serve, or not."""
    books: list[reference.Book] = [
        [
            (random.randrange(1, 60), random.randrange(1, 30), random.randrange(2))
            for _ in range(random.randrange(8))
        ]
        for _ in range(random.randrange(1, 5))
    ]
    orders: list[list[reference.Alternative]] = []
    for _ in range(random.randrange(1, 6)):
        alternatives: list[reference.Alternative] = []
        for _ in range(random.randrange(1, 4)):
            named = sorted(random.sample(range(len(books)), random.randrange(1, len(books) + 1)))
            sign = random.choice((1, -1))
            energies = {interval: sign * random.randrange(1, 40) for interval in named}
            value = sum(energies.values()) * random.randrange(1, 60)
            is_open = random.random() < 0.9
            alternatives.append(reference.Alternative(energies, value, is_open))
        orders.append(alternatives)
    chosen = [
        random.choice([None, *(place for place, each in enumerate(order) if each.is_open)])
        for order in orders
    ]
    return books, orders, chosen


def problem_of(
    books: list[reference.Book],
    orders: list[list[reference.Alternative]],
    chosen: list[int | None],
) -> coupled.Problem:
    """The same case as the kernel sees it."""
    problem = coupled.Problem(
        [coupled.curve_of(arrays(book)) for book in books],
        [[len(each.energies) for each in order] for order in orders],
    )
    for start, order, taken in zip(problem.order_start, orders, chosen, strict=False):
        for alternative, each in enumerate(order, start=start):
            problem.offer(alternative, sorted(each.energies.items()), each.value)
            if not each.is_open:
                problem.close(alternative)
        if taken is not None:
            problem.choose(start + taken)
    return problem


def arrays(book: reference.Book) -> OrderArrays:
    prices, quantities, sides = ([order[part] for order in book] for part in range(3))
    return OrderArrays.of([0] * len(book), prices, quantities, sides)


def test_a_position_costs_what_filling_orders_in_turn_costs() -> None:
    for seed in examples(200):
        (book, *_), _, _ = random_case(Random(seed))
        curve = coupled.curve_of(arrays(book))

        for position in range(-250, 250, 7):
            assert curve.cost_at(position) == reference.cost_of(book, position), f"seed {seed}"


def test_steps_along_a_curve_cost_what_lies_between_their_ends() -> None:
    for seed in examples(200):
        random = Random(seed)
        (book, *_), _, _ = random_case(random)
        curve = coupled.curve_of(arrays(book))
        energy = random.randrange(1, 60)

        up, down = curve.steps_up(0, energy, 64), curve.steps_down(0, energy, 64)

        risen, fallen = (sum(step.quantity_wh for step in steps) for steps in (up, down))
        assert sum(s.price * s.quantity_wh for s in up) == curve.cost_at(risen), f"seed {seed}"
        assert -sum(s.price * s.quantity_wh for s in down) == curve.cost_at(-fallen)
        assert all(one.price <= other.price for one, other in pairwise(up))
        assert all(one.price >= other.price for one, other in pairwise(down))
        assert risen == energy or curve.cost_at(risen + 1) == coupled.UNSERVED
        assert fallen == energy or curve.cost_at(-fallen - 1) == coupled.UNSERVED


@pytest.mark.slow
def test_the_best_move_and_the_best_pair_are_the_twins() -> None:
    gains = pairs = 0
    for seed in examples(400):
        case = random_case(Random(seed))
        problem = problem_of(*case)

        move, (pair_gain, *_) = problem.best_move(), problem.best_pair()

        expected = reference.best_move(*case)
        assert (move.gain, move.added, move.dropped) == expected, f"seed {seed}"
        assert pair_gain >= (0 if expected.gain else reference.best_pair(*case)), f"seed {seed}"
        gains, pairs = gains + (move.gain > 0), pairs + (pair_gain > 0)
    assert gains > len(examples(400)) // 4 < 4 * pairs


@pytest.mark.slow
def test_uncompiled_kernels_find_the_same() -> None:
    for seed in examples(60):
        problem = problem_of(*random_case(Random(seed)))
        compiled = problem.best_move(), problem.best_pair()

        with all_uncompiled(coupled_kernel, "best_move", "best_pair"):
            assert (problem.best_move(), problem.best_pair()) == compiled, f"seed {seed}"


def test_moves_change_welfare_by_their_gain_until_none_gains() -> None:
    for seed in examples(100):
        problem = problem_of(*random_case(Random(seed)))

        while (move := problem.best_move()).gain > 0:
            before = problem.welfare()
            problem.apply(move)
            assert problem.welfare() == before + move.gain, f"seed {seed}"
        assert move.curves <= problem.size()


def test_a_curve_without_orders_has_no_steps_whatever_others_take_or_give() -> None:
    curve = coupled.curve_of(OrderArrays.of([], [], [], []))

    for position_wh in (-100, 0, 100):
        assert curve.steps_up(position_wh, 50, 64) == curve.steps_down(position_wh, 50, 64) == []

"""Books kept between calls change nothing: forks, reverts and restarts clear bit-equal."""

from dataclasses import replace
from random import Random

import pytest

from runtime.pallets.trading import kept_books
from runtime.pallets.trading.kept_books import STATES_MAX
from runtime.pallets.trading.records import Side, order_id_of
from runtime.primitives.block import Block
from runtime.runtime import SignatureCache
from tests.support import ALICE, BOB, MemoryChain, new_runtime

INTERVALS = (1_010, 1_011)
OWNERS = {1: ALICE, 2: BOB}


def order(chain: MemoryChain, number: int, interval: int, side: Side, price: int, wh: int) -> bytes:
    return chain.call(
        "Trading",
        "place_order",
        connection=number,
        interval=interval,
        side=side,
        price_micro=price,
        quantity_wh=wh,
    )


def traffic(random: Random, chain: MemoryChain) -> list[bytes]:
    """At most one signed call of each owner; some are refused when they are applied."""
    extrinsics: list[bytes] = []
    for number, owner in OWNERS.items():
        interval = random.choice(INTERVALS)
        if random.random() < 0.3:
            continue
        if random.random() < 0.25:
            order_id = order_id_of(interval, number, random.randrange(6))
            call = chain.call("Trading", "cancel_order", order_id=order_id)
        else:
            side = random.choice([Side.BID, Side.OFFER])
            price = random.choice([90_000, 100_000, random.randint(90_000, 250_000)])
            call = order(chain, number, interval, side, price, random.randint(10, 300))
        extrinsics.append(chain.sign(owner, call))
    return extrinsics


def reread(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int]]]:
    """From now on, which connections' orders calls read from the state, with the interval."""
    found: list[tuple[int, list[int]]] = []
    original = kept_books.read_again

    def noted(market, book, interval, numbers, moment_ms):
        found.append((interval, numbers))
        return original(market, book, interval, numbers, moment_ms)

    monkeypatch.setattr(kept_books, "read_again", noted)
    return found


def fork_of(chain: MemoryChain) -> MemoryChain:
    """Another chain of the same runtime that goes on from the same head."""
    return replace(
        chain,
        states=list(chain.states),
        headers=list(chain.headers),
        bodies=list(chain.bodies),
    )


def execute_forgetting(chain: MemoryChain) -> None:
    """Import all blocks into a runtime that is started anew for each; a wrong root is refused."""
    other = MemoryChain.new(new_runtime())
    for header, body in zip(chain.headers[1:], chain.bodies, strict=True):
        other.runtime.trading.kept_books.forget()
        other.execute(Block(header, body))
    assert other.head == chain.head


@pytest.mark.slow
def test_calls_clear_the_same_with_kept_books_as_after_restarts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = Random(1)
    chain = MemoryChain.new(new_runtime())
    read = reread(monkeypatch)

    traded = 0
    for _ in range(24):
        chain.build(traffic(random, chain))
        names = [type(event).__name__ for event in chain.runtime.assembly.state.events]
        traded += names.count("OrderFilled")

    assert traded > 4
    assert any(numbers == [1] or numbers == [2] for _, numbers in read), "only what changed is read"
    execute_forgetting(chain)


@pytest.mark.slow
def test_forks_clear_the_same_with_one_runtime_as_with_their_own() -> None:
    random = Random(2)
    runtime = new_runtime()
    first = MemoryChain.new(runtime)
    for _ in range(5):
        first.build(traffic(random, first))
    second = fork_of(first)

    for _ in range(10):
        first.build(traffic(random, first))
        for _ in range(random.randrange(3)):
            second.build(traffic(random, second))
        # A block that is given up, with orders that never were.
        overlay = first.overlay()
        runtime.initialize_block(overlay, first.draft())
        body = [*runtime.inherents(first.time_ms(first.slot + 1)), *traffic(random, first)]
        for extrinsic in body:
            runtime.apply_extrinsic(overlay, extrinsic, SignatureCache())

    assert first.head != second.head
    execute_forgetting(first)
    execute_forgetting(second)


def test_a_fork_clears_its_own_orders_not_those_of_the_latest_block() -> None:
    interval = 1_010
    first = MemoryChain.new(new_runtime())
    first.build([first.sign(BOB, order(first, 2, interval, Side.BID, 250_000, 100))])
    while interval not in first.runtime.trading.kept_books.states[first.head.state_root]:
        first.build()
    second = fork_of(first)
    offer = order(first, 1, interval, Side.OFFER, 100_000, 80)
    order_id = order_id_of(interval, 2, 0)
    cancel = second.call("Trading", "cancel_order", order_id=order_id)

    for in_first, in_second in (
        ([first.sign(ALICE, offer)], [second.sign(ALICE, offer), second.sign(BOB, cancel)]),
        *([([], [])] * 4),
    ):
        second.build(in_second)
        first.build(in_first)

    def bought(chain: MemoryChain) -> int:
        chain.runtime.bind(chain.overlay())
        return chain.runtime.trading.holdings[interval, 2].buy_wh

    assert bought(first) > 0
    assert bought(second) == 0
    execute_forgetting(first)
    execute_forgetting(second)


def test_an_order_that_was_rolled_back_is_in_no_call() -> None:
    chain = MemoryChain.new(new_runtime())
    chain.build([chain.sign(BOB, order(chain, 2, 1_010, Side.BID, 250_000, 100))])
    for _ in range(3):
        chain.build()
    decode = chain.runtime.assembly.types.call_codec.decode
    offers = [order(chain, 1, 1_010, Side.OFFER, 100_000, wh) for wh in (500, 1)]
    calls = [decode(offer) for offer in offers]  # the second is too small
    chain.build([chain.sign(ALICE, chain.call("Utility", "batch_all", calls=calls))])
    for _ in range(4):
        chain.build()

    assert chain.runtime.trading.holdings[1_010, 2].buy_wh == 0
    execute_forgetting(chain)


def test_books_of_the_latest_states_only_are_kept() -> None:
    chain = MemoryChain.new(new_runtime())
    for _ in range(2 * STATES_MAX):
        chain.build([chain.sign(BOB, order(chain, 2, 1_010, Side.BID, 250_000, 100))])

    kept = chain.runtime.trading.kept_books

    assert len(kept.states) == STATES_MAX
    assert list(kept.states)[-1] == chain.head.state_root
    assert list(kept.states[chain.head.state_root]) == [1_010]


def test_the_book_of_a_closed_interval_is_dropped() -> None:
    chain = MemoryChain.new(new_runtime())
    interval = 1_003
    chain.build([chain.sign(BOB, order(chain, 2, interval, Side.BID, 250_000, 100))])
    for _ in range(3):
        chain.build()
    assert interval in chain.runtime.trading.kept_books.states[chain.head.state_root]

    while chain.slot < (interval - 1) * 3 + 1:
        chain.build()

    book = chain.runtime.trading.books[interval]
    assert book is not None
    assert book.is_closed
    assert interval not in chain.runtime.trading.kept_books.states[chain.head.state_root]

"""Calls: who may make them, and what is undone when they fail."""

import pytest

from runtime import frame
from runtime.frame import BadOrigin, Overflow, Pays, PostDispatch, Privilege
from runtime.frame.assembly import ApiError
from runtime.frame.dispatch import LimitReached
from runtime.primitives.scale import DecodeError
from tests.runtime.frame.chain import ALICE, BOB, Chain
from tests.runtime.frame.market import (
    Order,
    OrderCancelled,
    OrderNotFound,
    OrderPlaced,
    Side,
    TooLarge,
)


@pytest.fixture
def chain() -> Chain:
    chain = Chain()
    chain.state  # noqa: B018 - binds a state
    return chain


def test_a_call_writes_and_announces(chain: Chain) -> None:
    call = chain.assembly.make_call("Market", "place", side=Side.SELL, quantity=5)

    outcome = chain.assembly.dispatch(ALICE, call)

    order = Order(ALICE, Side.SELL, 5)
    assert outcome == PostDispatch()
    assert chain.market.orders[0] == order
    assert chain.assembly.state.events == [OrderPlaced(0, order)]


def test_a_failing_call_leaves_neither_values_nor_events(chain: Chain) -> None:
    overlay = chain.assembly.state.overlay
    call = chain.assembly.make_call("Market", "place", side=Side.BUY, quantity=1_001)

    with pytest.raises(TooLarge):
        chain.assembly.dispatch(ALICE, call)

    assert overlay.changes() == {}
    assert chain.assembly.state.events == []
    assert chain.market.next_order_id.get() == 0


def test_a_call_made_directly_is_undone_as_well_when_it_fails(chain: Chain) -> None:
    overlay = chain.assembly.state.overlay

    with pytest.raises(TooLarge):
        chain.market.place(ALICE, side=Side.BUY, quantity=1_001)

    assert overlay.changes() == {}
    assert chain.assembly.state.events == []


@pytest.mark.parametrize("origin", [ALICE, Privilege.NONE])
def test_only_the_chain_itself_makes_calls_of_root(chain: Chain, origin: object) -> None:
    call = chain.assembly.make_call("Market", "set_price", price=9)

    with pytest.raises(BadOrigin):
        chain.assembly.dispatch(origin, call)  # type: ignore[arg-type]

    chain.assembly.dispatch(Privilege.ROOT, call)
    assert chain.market.price.get() == 9


@pytest.mark.parametrize("origin", [Privilege.ROOT, Privilege.NONE])
def test_a_call_of_accounts_needs_an_account(chain: Chain, origin: Privilege) -> None:
    call = chain.assembly.make_call("Market", "place", side=Side.BUY, quantity=1)

    with pytest.raises(BadOrigin):
        chain.assembly.dispatch(origin, call)


@pytest.mark.parametrize("origin", [ALICE, Privilege.ROOT])
def test_an_inherent_is_made_by_nobody(chain: Chain, origin: object) -> None:
    call = chain.assembly.make_call("Timestamp", "set", now=5)

    with pytest.raises(BadOrigin):
        chain.assembly.dispatch(origin, call)  # type: ignore[arg-type]


def test_a_call_that_costs_nothing_says_so(chain: Chain) -> None:
    call = chain.assembly.make_call("Market", "report", quantity=5)

    assert chain.assembly.dispatch(ALICE, call).pays is Pays.NO


def test_a_value_beyond_its_type_fails_the_call_and_not_the_chain(chain: Chain) -> None:
    call = chain.assembly.make_call("Market", "overflow", price=2**40)

    with pytest.raises(Overflow):
        chain.assembly.dispatch(ALICE, call)

    assert chain.market.price.get() == 7


def test_calls_inside_a_call_are_undone_one_by_one(chain: Chain) -> None:
    make = chain.assembly.make_call
    good = make("Market", "place", side=Side.BUY, quantity=1)
    bad = make("Market", "place", side=Side.BUY, quantity=5_000)

    chain.assembly.dispatch(ALICE, make("Market", "batch", calls=[good, bad, good]))

    assert chain.market.next_order_id.get() == 1
    assert len(chain.assembly.state.events) == 1


def test_calls_nest_only_so_deep(chain: Chain) -> None:
    make = chain.assembly.make_call
    call = make("Market", "place", side=Side.BUY, quantity=1)
    for _ in range(9):
        call = make("Market", "batch", calls=[call])

    # The innermost batches hit the limit; the test pallet swallows the error.
    chain.assembly.dispatch(ALICE, call)

    assert chain.market.next_order_id.get() == 0
    failure = chain.assembly.failure_of(LimitReached())
    assert failure.encode() == bytes.fromhex("0900")


def test_bytes_that_nest_too_deeply_are_no_call(chain: Chain) -> None:
    batch_of_one = bytes.fromhex("1e0304")

    with pytest.raises(DecodeError, match="deeper"):
        chain.assembly.decode_call(batch_of_one * 100)


def test_the_weight_of_a_call_may_follow_from_its_arguments(chain: Chain) -> None:
    make = chain.assembly.make_call
    place = make("Market", "place", side=Side.BUY, quantity=1)
    cancel = make("Market", "cancel", order_id=1)

    cost = chain.assembly.cost_of(make("Market", "batch", calls=[place, cancel, cancel]))

    assert cost.weight == 200_000_000
    assert not cost.is_feeless


def test_the_encoding_of_a_call_is_pallet_index_call_index_arguments(chain: Chain) -> None:
    encoded = chain.assembly.encode_call("Market", "place", side=Side.SELL, quantity=100)

    assert encoded == bytes.fromhex("1e00019101")
    decoded = chain.assembly.decode_call(encoded)
    assert decoded == chain.assembly.make_call("Market", "place", side=Side.SELL, quantity=100)


def test_an_unknown_call_cannot_be_decoded(chain: Chain) -> None:
    for encoded in ("1e63", "63", ""):
        with pytest.raises(DecodeError):
            chain.assembly.decode_call(bytes.fromhex(encoded))


def test_errors_are_shown_with_pallet_and_index(chain: Chain) -> None:
    assert chain.assembly.failure_of(TooLarge()).encode() == bytes.fromhex("031e03000000")
    assert chain.assembly.failure_of(OrderNotFound()).encode() == bytes.fromhex("031e00000000")
    assert chain.assembly.failure_of(BadOrigin()).encode() == b"\x02"
    assert chain.assembly.failure_of(Overflow()).encode() == bytes.fromhex("0801")


def test_events_are_encoded_with_phase_and_pallet(chain: Chain) -> None:
    chain.market.deposit_event(OrderCancelled(7))

    (record,) = chain.assembly.state.progress.events
    assert record.encoded == bytes.fromhex("02 1e 04 0700000000000000 00")


def test_an_event_is_what_it_was_when_it_was_announced(chain: Chain) -> None:
    with pytest.raises(KeyError), chain.assembly.state.transaction():
        chain.market.deposit_event(OrderCancelled(7))
        raise KeyError

    assert chain.assembly.state.events == []


def test_api_functions_read_with_scale_arguments(chain: Chain) -> None:
    chain.market.place(BOB, side=Side.BUY, quantity=2)
    overlay = chain.assembly.state.overlay

    found = chain.assembly.call_api(overlay, "MarketApi_order", bytes(8))
    absent = chain.assembly.call_api(overlay, "MarketApi_order", b"\x01" + bytes(7))

    assert found == b"\x01" + Order(BOB, Side.BUY, 2).encode()
    assert absent == b"\x00"


def test_api_functions_keep_nothing_they_write(chain: Chain) -> None:
    overlay = chain.assembly.state.overlay

    for _ in range(2):
        assert chain.assembly.call_api(overlay, "MarketApi_bump", b"") == b"\x01" + bytes(7)

    assert overlay.changes() == {}


def test_an_error_index_fits_in_a_byte() -> None:
    with pytest.raises(TypeError, match="does not fit in a byte"):

        class TooHigh(frame.Error, index=256):
            """It does not."""


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("MarketApi_nothing", "", "Exported method MarketApi_nothing is not found"),
        ("MarketApi_order", "00", "arguments of MarketApi_order"),
        ("MarketApi_order", "00" * 9, "1 bytes left over"),
        ("MarketApi_owner", "00" * 8, "refused its arguments: OrderNotFound"),
    ],
)
def test_an_api_function_that_cannot_be_called_says_why(
    chain: Chain, name: str, data: str, said: str
) -> None:
    with pytest.raises(ApiError, match=said):
        chain.assembly.call_api(chain.state, name, bytes.fromhex(data))

"""Storage items: keys, defaults, iteration, and what transactions undo."""

from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import frame
from runtime.frame import (
    U8,
    U32,
    U64,
    AccountId,
    Blake2_128Concat,
    Default,
    Pallet,
    StorageMap,
    StorageValue,
)
from runtime.frame.assembly import Assembly
from runtime.primitives.hashing import blake2_128, twox_64
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.runtime.frame.chain import ALICE, BOB, Chain
from tests.runtime.frame.market import Market, Order, Side

ORDER = Order(ALICE, Side.SELL, 5)


@pytest.fixture
def chain() -> Chain:
    chain = Chain()
    chain.state  # noqa: B018 - binds a state
    return chain


@pytest.fixture
def market(chain: Chain) -> Market:
    return chain.market


# --- keys


def test_keys_are_those_that_substrate_clients_compute() -> None:
    # From the shared vectors; every Substrate chain has these keys.
    chain = Chain()
    alice = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")

    assert chain.system.account.key_of(alice).hex() == (
        "26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9"
        "de1e86a9a8c739864cf3cc5ec2bea59f" + alice.hex()
    )
    assert chain.system.events.key_of().hex() == (
        "26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7"
    )
    assert chain.system.number.key_of().hex() == (
        "26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac"
    )
    assert chain.timestamp.now.key_of().hex() == (
        "f0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
    )


def test_the_key_of_a_double_map_has_both_keys_behind_their_hashes(market: Market) -> None:
    first = (7).to_bytes(4, "little")

    key = market.grid.key_of((7, ALICE))

    assert key == market.grid.prefix + twox_64(first) + first + ALICE


def test_a_value_is_stored_under_its_key_as_scale(chain: Chain) -> None:
    chain.market.orders[3] = ORDER
    chain.market.counts[BOB] = 258
    overlay = chain.assembly.state.overlay

    assert overlay.get(chain.market.orders.prefix + (3).to_bytes(8, "little")) == ORDER.encode()
    key = chain.market.counts.prefix + blake2_128(BOB) + BOB
    assert overlay.get(key) == bytes.fromhex("02010000")


# --- absence and defaults


def test_what_was_never_written_reads_as_the_default_of_its_type(market: Market) -> None:
    assert market.next_order_id.get() == 0
    assert market.counts[ALICE] == 0
    assert market.lists[1] == []
    assert market.last.get() is None
    assert market.orders[1] is None


def test_a_declared_default_is_read_until_something_is_written(market: Market) -> None:
    assert market.price.get() == 7
    assert not market.price.exists()

    market.price.set(0)

    assert market.price.get() == 0
    assert market.price.exists()


def test_none_deletes_an_optional_value(market: Market) -> None:
    market.orders[1] = ORDER

    market.orders[1] = None

    assert 1 not in market.orders
    assert market.orders[1] is None


def test_an_optional_value_is_stored_without_an_option_byte(chain: Chain) -> None:
    chain.market.last.set(ORDER)

    assert chain.assembly.state.overlay.get(chain.market.last.prefix) == ORDER.encode()


def test_deleting_what_is_absent_changes_nothing(chain: Chain) -> None:
    overlay = chain.state
    del chain.market.orders[5]
    chain.market.last.delete()

    assert overlay.changes() == {}


def test_changing_a_list_that_was_read_changes_nothing_until_it_is_written(market: Market) -> None:
    market.lists[1] = [1, 2]

    read = market.lists[1]
    read.append(3)
    empty = market.lists[2]
    empty.append(9)

    assert market.lists[1] == [1, 2]
    assert market.lists[2] == []


def test_a_list_beyond_its_bound_cannot_be_written(market: Market) -> None:
    with pytest.raises(ValueError, match="5 items, at most 4"):
        market.lists[1] = [1, 2, 3, 4, 5]


# --- iteration


def test_a_map_is_visited_in_the_order_of_its_storage_keys(market: Market) -> None:
    for number in (256, 1, 3):
        market.orders[number] = ORDER

    # Little-endian: 256 is 00 01, and so comes before 1, which is 01 00.
    assert list(market.orders) == list(market.orders.keys()) == [256, 1, 3]
    assert list(market.orders.items()) == [(256, ORDER), (1, ORDER), (3, ORDER)]


def test_keys_are_read_back_from_behind_their_hash(market: Market) -> None:
    market.counts[ALICE] = 1
    market.counts[BOB] = 2

    assert sorted(market.counts.items()) == sorted([(ALICE, 1), (BOB, 2)])


def test_deleting_while_visiting_is_safe(market: Market) -> None:
    for number in range(5):
        market.orders[number] = ORDER

    for number in market.orders:
        del market.orders[number]

    assert list(market.orders.keys()) == []


def test_values_under_a_first_key_are_visited_and_removed_together(market: Market) -> None:
    market.grid[1, ALICE] = 10
    market.grid[1, BOB] = 20
    market.grid[2, ALICE] = 30

    assert dict(market.grid.items_under(1)) == {ALICE: 10, BOB: 20}
    assert dict(market.grid.items()) == {(1, ALICE): 10, (1, BOB): 20, (2, ALICE): 30}

    market.grid.clear_under(1)

    assert list(market.grid.keys()) == [(2, ALICE)]
    assert market.grid[1, ALICE] == 0


def test_a_map_is_cleared_as_a_whole(market: Market) -> None:
    market.counts[ALICE] = 1
    market.counts[BOB] = 2

    market.counts.clear()

    assert list(market.counts.keys()) == []
    assert market.counts[ALICE] == 0


# --- transactions and other overlays


def test_a_rollback_restores_values_read_before_it(chain: Chain) -> None:
    market, state = chain.market, chain.assembly.state
    market.orders[1] = ORDER
    market.counts[ALICE] = 1

    with pytest.raises(KeyError), state.transaction():
        market.orders[1] = None
        market.orders[2] = ORDER
        market.counts[ALICE] = 5
        assert market.counts[ALICE] == 5
        raise KeyError

    assert market.orders[1] == ORDER
    assert market.orders[2] is None
    assert market.counts[ALICE] == 1


def test_an_inner_rollback_keeps_what_the_outer_transaction_wrote(chain: Chain) -> None:
    market, state = chain.market, chain.assembly.state

    with state.transaction():
        market.counts[ALICE] = 1
        with pytest.raises(KeyError), state.transaction():
            market.counts[ALICE] = 2
            raise KeyError
        assert market.counts[ALICE] == 1

    assert market.counts[ALICE] == 1


def test_an_outer_rollback_undoes_what_an_inner_transaction_kept(chain: Chain) -> None:
    market, state = chain.market, chain.assembly.state

    with pytest.raises(KeyError), state.transaction():
        with state.transaction():
            market.counts[ALICE] = 2
        raise KeyError

    assert market.counts[ALICE] == 0


def test_another_overlay_shows_other_values(chain: Chain) -> None:
    first = chain.state
    chain.market.counts[ALICE] = 1
    second = chain.state
    assert chain.market.counts[ALICE] == 0
    chain.market.counts[ALICE] = 2

    chain.assembly.bind(first)
    assert chain.market.counts[ALICE] == 1
    chain.assembly.bind(second)
    assert chain.market.counts[ALICE] == 2


def test_two_runtimes_in_one_process_do_not_see_each_other() -> None:
    one, other = Chain(), Chain()
    one.state, other.state  # noqa: B018 - binds states

    one.market.counts[ALICE] = 1

    assert other.market.counts[ALICE] == 0


def test_a_pallet_without_a_state_says_so() -> None:
    assembly = Assembly({1: Tiny(TinyConfig())})
    tiny = assembly.pallets[0]
    assert isinstance(tiny, Tiny)

    with pytest.raises(AssertionError, match="no state is bound"):
        tiny.values[1]


class TinyConfig(frame.Config):
    """Nothing."""


class Tiny(Pallet[TinyConfig]):
    values: StorageMap[U8, U32, Blake2_128Concat]
    pair: StorageValue[tuple[U8, bool, bytes]]
    starts_high: StorageValue[Annotated[U64, Default(2**63)]]
    owner: StorageValue[AccountId]


def test_defaults_of_compound_types_are_made_of_those_inside() -> None:
    assembly = Assembly({1: Tiny(TinyConfig())})
    assembly.bind(Overlay(MemoryBackend()))
    (tiny,) = assembly.pallets
    assert isinstance(tiny, Tiny)

    assert tiny.pair.get() == (0, False, b"")
    assert tiny.starts_high.get() == 2**63
    assert tiny.owner.get() == bytes(32)


# One step of the next test: what is done, to which key, with which value.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "delete", "read", "begin", "commit", "rollback"]),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    max_size=20,
)


@settings(max_examples=50)
@given(STEPS)
def test_a_map_behaves_as_a_dict_with_nested_copies(steps: list[tuple[str, int, int]]) -> None:
    assembly = Assembly({1: Tiny(TinyConfig())})
    assembly.bind(Overlay(MemoryBackend()))
    (tiny,) = assembly.pallets
    assert isinstance(tiny, Tiny)
    state, model, saved = assembly.state, dict[int, int](), list[dict[int, int]]()

    for action, key, value in steps:
        if action == "set":
            tiny.values[key] = model[key] = value
        elif action == "delete":
            del tiny.values[key]
            model.pop(key, None)
        elif action == "begin":
            state.begin()
            saved.append(dict(model))
        elif action == "commit" and saved:
            state.commit()
            saved.pop()
        elif action == "rollback" and saved:
            state.rollback()
            model = saved.pop()
        else:
            assert tiny.values[key] == model.get(key, 0)
        assert dict(tiny.values.items()) == model

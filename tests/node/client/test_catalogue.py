"""The metadata as a client reads it, held against what the runtime itself encodes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.catalogue import Catalogue, NameUnknown
from node.client.metadata import MapStorage, Metadata, StorageEntry, decode_metadata
from node.client.plain import Json, ValueRefused
from node.client.values import DEPTH_MAX, Types
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.extrinsic import decode_extrinsic
from runtime.primitives.hashing import twox_128
from runtime.primitives.scale import DecodeError
from tests.golden.script import golden_chain
from tests.support.accounts import ALICE
from tests.support.chains import MemoryChain, to
from tests.support.runtimes import new_runtime


@pytest.fixture(scope="module")
def chain() -> MemoryChain:
    return golden_chain()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(decode_metadata(new_runtime().metadata(16)))


def encoded(catalogue: Catalogue, name: str, *arguments: Json) -> bytes:
    return catalogue.encode_call(*catalogue.call(name), arguments)


@pytest.mark.slow
def test_all_that_a_chain_stores_is_decoded_and_encoded_to_the_same_bytes(
    chain: MemoryChain, catalogue: Catalogue
) -> None:
    items: dict[bytes, tuple[Any, StorageEntry]] = {
        catalogue.storage_prefix(pallet, entry): (pallet, entry)
        for pallet in catalogue.metadata.pallets
        for entry in (pallet.storage.entries if pallet.storage else ())
    }
    state = chain.states[-1]
    seen = set[str]()

    for key in state.keys(b""):
        if key[:1] == b":":
            continue
        pallet, entry = items[key[:32]]
        value = state.get(key)
        assert value is not None
        decoded = catalogue.decode_value(entry, value)
        keys = catalogue.keys_of(entry, key)
        assert isinstance(entry.kind.value, int)  # type: ignore[attr-defined]
        again = catalogue.types.encode(entry.kind.value, decoded, entry.name)  # type: ignore[attr-defined]
        assert again == value, f"{pallet.name}.{entry.name}: {decoded}"
        assert catalogue.storage_key(pallet, entry, keys) == key
        seen.add(f"{pallet.name}.{entry.name}")

    assert {"System.Account", "System.Events", "Trading.Lines", "Trading.Totals"} <= seen
    assert len(seen) > 40


@pytest.mark.slow
def test_all_calls_of_a_history_are_decoded_and_composed_to_the_same_bytes(
    chain: MemoryChain, catalogue: Catalogue
) -> None:
    names = set[str]()
    for body in chain.bodies:
        for extrinsic in body:
            call = decode_extrinsic(extrinsic).call
            decoded: Any = catalogue.decode_call(call)
            ((pallet, inner),) = decoded.items()
            ((name, arguments),) = inner.items()

            assert encoded(catalogue, f"{pallet}.{name}", *arguments.values()) == call
            names.add(f"{pallet}.{name}")

    assert {"Timestamp.set", "Utility.batch", "Trading.place_order"} <= names


def test_a_call_is_composed_as_the_runtime_encodes_it(catalogue: Catalogue) -> None:
    assembly = new_runtime().assembly
    address = ss58_encode(ALICE)
    order: dict[str, Json] = {"side": "Bid", "price_micro": 250_000, "quantity_wh": 700}

    transfer = encoded(catalogue, "balances.transferKeepAlive", address, 5)
    hexed = encoded(catalogue, "Balances.transfer_keep_alive", {"id": "0x" + ALICE.hex()}, "5_0")
    orders = encoded(
        catalogue, "trading.place_orders", 3, 1_000, [order, {**order, "side": "offer"}]
    )

    expected = assembly.encode_call("Balances", "transfer_keep_alive", dest=to(ALICE), value=5)
    assert transfer == expected
    assert hexed == expected[:-1] + bytes([50 << 2])
    assert catalogue.decode_call(orders) == {
        "Trading": {
            "place_orders": {
                "connection": 3,
                "interval": 1_000,
                "orders": [order, {**order, "side": "Offer"}],
            }
        }
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("traading.place_order", "Did you mean Trading?"),
        ("trading.plase_order", "Did you mean place_order or place_orders"),
        ("trading", "There is no call of Trading (no name). List them with: dret tx trading"),
        ("balances.xyzzy", "List them with: dret tx balances"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_are_near(
    catalogue: Catalogue, name: str, words: str
) -> None:
    with pytest.raises(NameUnknown) as error:
        catalogue.call(name)

    assert words in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected 5 arguments .connection, interval, side, "),
        ((-1, 1, "Bid", 1, 1), "argument connection: expected u32, 0 to 4294967295, found -1"),
        ((3, True, "Bid", 1, 1), "argument interval: expected u32.* found True"),
        ((3, 1, "Byd", 1, 1), "argument side: expected Bid.* found Byd"),
        ((3, 1, 7, 1, 1), 'argument side: expected Side as "Variant"'),
        ((3, 1, "Bid", 1 << 70, 1), "argument price_micro: expected i"),
        ((3, 1, "Bid", 1, "many"), "argument quantity_wh: expected u.* found many"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected_and_found(
    catalogue: Catalogue, arguments: tuple[Json, ...], words: str
) -> None:
    with pytest.raises(ValueRefused, match=words):
        encoded(catalogue, "trading.place_order", *arguments)


def test_wrong_values_inside_of_values_are_named_by_their_place(catalogue: Catalogue) -> None:
    order: dict[str, Json] = {"side": "Bid", "price_micro": 1, "quantity_wh": 1}

    def refusal(*orders: Json) -> str:
        with pytest.raises(ValueRefused) as error:
            encoded(catalogue, "trading.place_orders", 3, 1, list(orders))
        return str(error.value)

    assert refusal(order, {**order, "quantity_wh": -1}).startswith("argument orders[1].quantity_wh")
    assert "found prize" in refusal({**order, "prize": 1})
    assert "found no side" in refusal({"price_micro": 1, "quantity_wh": 1})
    assert "argument orders[0]: expected an object" in refusal(5)


def test_addresses_and_bytes_are_checked(catalogue: Catalogue) -> None:
    wrong = ss58_encode(ALICE)[:-1] + "1"

    with pytest.raises(ValueRefused, match=r"argument dest.*: expected an address"):
        encoded(catalogue, "balances.transfer_keep_alive", wrong, 5)
    with pytest.raises(ValueRefused, match="expected 32 bytes as 0x…, found 2 bytes"):
        encoded(catalogue, "balances.transfer_keep_alive", "0x1234", 5)


def test_storage_keys_are_those_of_the_pallets(catalogue: Catalogue) -> None:
    pallet, entry = catalogue.item("system.account")
    assert isinstance(entry, StorageEntry)

    key = catalogue.storage_key(pallet, entry, [ss58_encode(ALICE)])

    assert key[:32] == twox_128(b"System") + twox_128(b"Account")
    assert key.endswith(ALICE)
    assert catalogue.keys_of(entry, key) == [ss58_encode(ALICE)]
    assert isinstance(entry.kind, MapStorage)
    with pytest.raises(ValueRefused, match="at most 1 keys, found 2"):
        catalogue.storage_key(pallet, entry, [1, 2])


def test_the_errors_of_pallets_have_names_and_reasons(catalogue: Catalogue) -> None:
    found = catalogue.module_error(22, 0)

    assert found is not None
    assert found[0].startswith("Trading.")
    assert " ".join(found[1]).endswith(".")
    assert catalogue.module_error(22, 250) is None
    assert catalogue.module_error(99, 0) is None


def test_metadata_of_another_version_are_refused() -> None:
    with pytest.raises(DecodeError, match="version 15, expected 16"):
        decode_metadata(new_runtime().metadata(15))


@pytest.fixture(scope="module")
def source() -> Metadata:
    return decode_metadata(new_runtime().metadata(16))


@given(data=st.data())
def test_whatever_the_bytes_decoding_ends_and_what_it_gives_is_encoded_again(
    source: Metadata, data: st.DataObject
) -> None:
    types = Types(source.types, 42)
    type_id = data.draw(st.integers(0, len(source.types) - 1))
    raw = data.draw(st.binary(max_size=80))

    try:
        value, end = types.decode_from(type_id, raw, 0)
    except DecodeError:
        return
    try:
        again = types.encode(type_id, value, "it")
    except ValueRefused:
        # An unordered map or an era: bytes that the runtime refuses and a client shows.
        return

    assert types.decode(type_id, again) == value
    assert len(again) <= end


def test_types_that_contain_themselves_end(catalogue: Catalogue) -> None:
    call = catalogue.metadata.extrinsic.call
    batch = encoded(catalogue, "utility.batch", [])[:2] + b"\x04"

    with pytest.raises(DecodeError, match=f"deeper than {DEPTH_MAX}"):
        catalogue.types.decode(call, batch * 200)

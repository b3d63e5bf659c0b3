"""What a pallet may not declare, and what is said then."""

import pytest

from runtime import frame
from runtime.frame import (
    U8,
    U32,
    Identity,
    Pallet,
    Signed,
    StorageMap,
    StorageValue,
    Unsigned,
    api,
    call,
)
from runtime.frame.declaration import declaration_of
from runtime.frame.storage import pascal_case
from tests.runtime.frame.market import Market, OrderCancelled, OrderNotFound, OrderPlaced, TooLarge


class Config(frame.Config):
    """Nothing."""


def test_a_declaration_lists_what_the_class_has() -> None:
    declaration = declaration_of(Market)

    assert [spec.name for spec in declaration.storage][:3] == ["next_order_id", "price", "last"]
    assert [(spec.index, spec.name) for spec in declaration.calls][:3] == [
        (0, "place"),
        (1, "cancel"),
        (2, "report"),
    ]
    assert declaration.events == (OrderPlaced, OrderCancelled)
    assert declaration.errors == (OrderNotFound, TooLarge)
    assert [spec.name for spec in declaration.apis][:2] == ["MarketApi_order", "MarketApi_bump"]


def test_constants_are_the_fields_of_the_configuration_that_have_a_type() -> None:
    constants = declaration_of(Market).constants

    assert [spec.name_in_metadata for spec in constants] == ["QuantityMax", "FreeQuantity"]


def test_two_calls_with_one_index_are_refused() -> None:
    class Twice(Pallet[Config]):
        @call(0, weight=1)
        def one(self, who: Signed) -> None: ...

        @call(0, weight=1)
        def other(self, who: Signed) -> None: ...

    with pytest.raises(TypeError, match="one and other have index 0"):
        declaration_of(Twice)


def test_a_call_has_to_say_who_may_make_it() -> None:
    class Open(Pallet[Config]):
        @call(0, weight=1)
        def anyone(self, amount: U32) -> None: ...

    with pytest.raises(TypeError, match="must say who may call"):
        declaration_of(Open)


def test_an_unsigned_call_needs_a_tag_and_no_other_call_has_one() -> None:
    def tag(amount: int) -> bytes:
        return bytes([amount])

    class Untagged(Pallet[Config]):
        @call(0, weight=1)
        def report(self, _: Unsigned, amount: U8) -> None: ...

    class Tagged(Pallet[Config]):
        @call(0, weight=1, tag=tag)
        def report(self, who: Signed, amount: U8) -> None: ...

    for pallet in (Untagged, Tagged):
        with pytest.raises(TypeError, match="report: a tag belongs to unsigned calls"):
            declaration_of(pallet)


def test_a_pallet_has_to_name_its_configuration() -> None:
    class Bare(Pallet):
        value: StorageValue[U8]

    with pytest.raises(TypeError, match=r"must be declared as Pallet\[Config\]"):
        declaration_of(Bare)


def test_a_map_key_cannot_be_a_list() -> None:
    class Keyed(Pallet[Config]):
        value: StorageMap[list[U8], U8, Identity]

    with pytest.raises(TypeError, match="cannot change in place"):
        declaration_of(Keyed)


def test_an_api_function_without_a_scale_type_is_refused() -> None:
    class Float(Pallet[Config]):
        @api("Float_value")
        def value(self) -> float:
            return 1.0

    with pytest.raises(TypeError, match="no SCALE form"):
        declaration_of(Float)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("next_bid_id", "NextBidId"),
        ("now", "Now"),
        ("parent_hash_", "ParentHash"),
        ("SS58_prefix", "SS58Prefix"),
    ],
)
def test_names_are_shown_as_clients_expect_them(name: str, shown: str) -> None:
    assert pascal_case(name) == shown

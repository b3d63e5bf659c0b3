"""What metadata is made of: shapes that are equal for equal types, and their descriptions."""

from typing import Annotated, Any

import pytest

from runtime.primitives.extrinsic import MultiAddress, MultiSignature, SignedExtra
from runtime.primitives.scale import (
    I64,
    U8,
    U16,
    U32,
    U64,
    Compact,
    Deferred,
    Doc,
    Enum,
    FixedBytes,
    Kind,
    MaxLen,
    Named,
    Struct,
    TypeDescription,
    UnitEnum,
    describe,
    one_of,
    shape_of,
)
from runtime.primitives.types import AccountId, EnergyWh, Hash, PricePerKwh


class Side(UnitEnum, path="pallet_trading::Side"):
    """Which way energy goes."""

    OFFER = 0
    DEMAND_RESPONSE = 2


class Order(Struct, path="pallet_trading::orders::Order"):
    """What somebody wants to trade.

    Only limit orders.
    """

    owner: AccountId
    quantity_wh: Annotated[Compact[EnergyWh], Doc("Largest quantity.")]
    price: PricePerKwh
    side: Side
    memo: Annotated[bytes, MaxLen(8)]
    parent: U64 | None
    links: list["Order"]
    limits: dict[U16, U32]
    pair: tuple[U8, Hash]


def test_a_struct_is_a_composite_with_path_docs_and_named_fields() -> None:
    order = describe(Order)

    assert order.kind is Kind.COMPOSITE
    assert order.path == ("pallet_trading", "orders", "Order")
    assert order.docs == ("What somebody wants to trade.", "", "Only limit orders.")
    assert [(field.name, field.type_name) for field in order.fields] == [
        ("owner", "AccountId"),
        ("quantity_wh", "Compact<EnergyWh>"),
        ("price", "PricePerKwh"),
        ("side", "Side"),
        ("memo", "Vec<u8>"),
        ("parent", "Option<u64>"),
        ("links", "Vec<Order>"),
        ("limits", "BTreeMap<u16, u32>"),
        ("pair", "(u8, H256)"),
    ]
    assert order.fields[1].docs == ("Largest quantity.",)


def test_a_type_that_contains_itself_refers_to_its_own_shape() -> None:
    links = next(field.shape for field in describe(Order).fields if field.name == "links")

    assert describe(links).items == (shape_of(Order),)


@pytest.mark.parametrize(
    ("tp", "expected"),
    [
        (U64, TypeDescription(Kind.PRIMITIVE, primitive="u64")),
        (PricePerKwh, TypeDescription(Kind.PRIMITIVE, primitive="i64")),
        (bool, TypeDescription(Kind.PRIMITIVE, primitive="bool")),
        (str, TypeDescription(Kind.PRIMITIVE, primitive="str")),
        (bytes, TypeDescription(Kind.SEQUENCE, items=(shape_of(U8),))),
        (Compact[U32], TypeDescription(Kind.COMPACT, items=(shape_of(U32),))),
        (None, TypeDescription(Kind.TUPLE)),
        (
            Annotated[bytes, FixedBytes(4)],
            TypeDescription(Kind.ARRAY, items=(shape_of(U8),), length=4),
        ),
    ],
)
def test_plain_types_describe_themselves(tp: Any, expected: TypeDescription) -> None:
    assert describe(tp) == expected


def test_names_given_to_a_type_are_no_part_of_its_shape() -> None:
    assert shape_of(EnergyWh) == shape_of(U64)
    assert shape_of(PricePerKwh) == shape_of(I64)
    assert shape_of(list[Annotated[U8, Named("Byte")]]) == shape_of(list[U8])
    assert shape_of(AccountId) != shape_of(Hash)


def test_hashes_and_accounts_have_the_paths_that_clients_look_for() -> None:
    assert describe(AccountId).path == ("sp_core", "crypto", "AccountId32")
    assert describe(Hash).path == ("primitive_types", "H256")
    inner = describe(Hash).fields[0]
    assert inner.name is None
    assert describe(inner.shape).length == 32


def test_options_maps_and_bounded_vectors_are_types_with_parameters() -> None:
    option = describe(U32 | None)
    assert (option.kind, option.path) == (Kind.VARIANT, ("Option",))
    assert option.params == (("T", shape_of(U32)),)
    assert [(variant.name, variant.index) for variant in option.variants] == [
        ("None", 0),
        ("Some", 1),
    ]

    mapping = describe(dict[U16, str])
    assert (mapping.kind, mapping.path) == (Kind.COMPOSITE, ("BTreeMap",))
    assert mapping.params == (("K", shape_of(U16)), ("V", shape_of(str)))
    assert shape_of(list[tuple[U16, str]]) == mapping.fields[0].shape

    bounded = describe(Annotated[list[U32], MaxLen(5)])
    assert bounded.path[-1] == "BoundedVec"
    assert bounded.params == (("T", shape_of(U32)), ("S", None))
    assert describe(bounded.fields[0].shape).kind is Kind.SEQUENCE


def test_unit_enumerations_show_their_members_in_camel_case() -> None:
    side = describe(Side)

    assert side.path == ("pallet_trading", "Side")
    assert side.docs == ("Which way energy goes.",)
    assert [(v.name, v.index, v.fields) for v in side.variants] == [
        ("Offer", 0, ()),
        ("DemandResponse", 2, ()),
    ]


class Placed(Struct, index=4):
    """An order stands in the book."""

    order: Order


class Cancelled(Struct, index=1, unnamed=True):
    """An order is gone."""

    order_id: U64


def test_variants_are_listed_by_index_with_their_docs() -> None:
    event = describe(
        one_of(
            "Event", [Placed, Cancelled], path="pallet_trading::pallet::Event", docs=("Events.",)
        )
    )

    assert (event.kind, event.path, event.docs) == (
        Kind.VARIANT,
        ("pallet_trading", "pallet", "Event"),
        ("Events.",),
    )
    assert [(v.name, v.index, v.docs) for v in event.variants] == [
        ("Cancelled", 1, ("An order is gone.",)),
        ("Placed", 4, ("An order stands in the book.",)),
    ]
    assert [field.name for v in event.variants for field in v.fields] == [None, "order"]


def test_a_variant_alone_is_described_by_its_enumeration() -> None:
    class Family(Enum, path="a::Family"):
        """A family."""

    class Only(Family, index=3):
        """A member."""

    assert describe(Only) == describe(Family)
    assert describe(Placed).variants[0].index == 4


def test_a_deferred_type_is_described_by_what_it_stands_for() -> None:
    assert describe(Annotated[object, Deferred(lambda: Order)]) == describe(Order)


def test_addresses_and_signatures_look_as_wallets_demand() -> None:
    address = describe(MultiAddress)
    assert address.path == ("sp_runtime", "multiaddress", "MultiAddress")
    assert address.params == (("AccountId", shape_of(AccountId)), ("AccountIndex", shape_of(None)))
    assert [(v.name, v.index) for v in address.variants] == [
        ("Id", 0), ("Index", 1), ("Raw", 2), ("Address32", 3), ("Address20", 4),
    ]  # fmt: skip
    compact = describe(address.variants[1].fields[0].shape)
    assert compact.kind is Kind.COMPACT
    assert describe(compact.items[0]) == TypeDescription(Kind.TUPLE)

    assert [(v.name, v.index) for v in describe(MultiSignature).variants] == [
        ("Ed25519", 0), ("Sr25519", 1), ("Ecdsa", 2),
    ]  # fmt: skip


def test_the_era_has_one_variant_for_each_first_byte() -> None:
    era = describe(describe(SignedExtra).fields[0].shape)

    assert era.path == ("sp_runtime", "generic", "era", "Era")
    assert [variant.index for variant in era.variants] == list(range(256))
    assert [variant.name for variant in era.variants[:2]] == ["Immortal", "Mortal1"]
    assert len(era.variants[255].fields) == 1

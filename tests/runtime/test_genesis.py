"""The state of block 0 from the sections of a chain specification."""

from typing import Any

import pytest

from runtime.genesis import EMPTY_TRIE_ROOT, genesis_header, genesis_storage
from runtime.pallets.balances import InsufficientBalance
from runtime.primitives.types import ZERO_HASH
from runtime.runtime import CODE_KEY, PALLETS
from tests.support import genesis_sections, new_runtime


def test_the_same_sections_give_the_same_state() -> None:
    first = genesis_storage(new_runtime(), genesis_sections())
    second = genesis_storage(new_runtime(), genesis_sections())

    assert first == second
    assert first[CODE_KEY] == new_runtime().code()


def test_the_header_of_block_0_is_as_clients_expect_it() -> None:
    header = genesis_header(b"\x07" * 32)

    assert (header.parent_hash, header.number, header.digest.logs) == (ZERO_HASH, 0, [])
    assert header.extrinsics_root == EMPTY_TRIE_ROOT
    assert EMPTY_TRIE_ROOT.hex() == (
        "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"
    )


def test_each_pallet_has_a_section() -> None:
    assert set(new_runtime().genesis_sections()) == set(PALLETS)


def test_pallets_have_the_indices_of_the_wire_format() -> None:
    assert {name: index for name, (index, _) in PALLETS.items()} == {
        "system": 0,
        "timestamp": 1,
        "aura": 2,
        "grandpa": 3,
        "session": 4,
        "authorities": 5,
        "balances": 6,
        "transaction_payment": 7,
        "utility": 8,
        "payments": 11,
        "producer_registration": 20,
        "consumption_metering": 21,
        "trading": 22,
        "grid_balancing": 23,
    }


def test_an_unknown_section_is_refused() -> None:
    sections = genesis_sections() | {"balance": {}}

    with pytest.raises(ValueError, match=r"unknown sections \['balance'\]"):
        genesis_storage(new_runtime(), sections)


def bent(section: str, **changes: Any) -> dict[str, Any]:
    """Sections of which one is changed."""
    sections = genesis_sections()
    sections[section] = sections[section] | changes
    return sections


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({}, "section 'session' lacks the field 'validators'"),
        (bent("session", validators=[{"account": "0x00"}]), "section 'session'.*has 1 bytes"),
        (bent("balances", accounts={"nonsense": 10**9}), "section 'balances'"),
        (
            bent("producer_registration", operator="0x" + "zz" * 32),
            "section 'producer_registration'",
        ),
        (
            bent(
                "producer_registration",
                connections=[
                    {
                        "id": 1,
                        "account": "0x" + "05" * 32,
                        "bus": 99,
                        "import_wh_max": 1,
                        "export_wh_max": 1,
                    }
                ],
            ),
            "section 'producer_registration': connection 1: BusNotFound",
        ),
        (
            genesis_sections()
            | {
                "consumption_metering": {
                    "meters": [{"connection": 1, "account": "0x" + "05" * 32}] * 2
                }
            },
            "section 'consumption_metering': meter 0x0505.*is bound twice",
        ),
        (bent("grid_balancing", topology={}), "section 'grid_balancing' lacks the field 'parent'"),
    ],
)
def test_a_section_that_is_wrong_is_named(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        genesis_storage(new_runtime(), sections)


def test_a_pallets_own_error_is_named_with_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = new_runtime()

    def refuse(config: object) -> None:
        raise InsufficientBalance

    monkeypatch.setattr(runtime.balances, "genesis", refuse)

    with pytest.raises(ValueError, match="section 'balances': InsufficientBalance: The free"):
        genesis_storage(runtime, genesis_sections())

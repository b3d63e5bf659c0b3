"""What counts as settled between neighbours."""

from devnet.local_energy import LocalEnergy, added, local_energy
from runtime.pallets.consumption_metering.records import Method
from runtime.pallets.trading.records import SettlementLine


def line(
    imported: int, exported: int, bought: int, sold: int, contract: int = 0, pool: int = 0
) -> SettlementLine:
    """A line; `contract` and `pool` are imports, or exports if negative."""
    return SettlementLine(
        imported,
        exported,
        Method.METERED,
        0,
        bought,
        sold,
        max(contract, 0),
        max(-contract, 0),
        True,
        max(pool, 0),
        max(-pool, 0),
        0,
    )


def test_contracts_pool_and_fills_covered_on_both_sides_are_local() -> None:
    lines = [line(0, 900, 0, 400, -100, -200), line(800, 0, 350, 0, 100, 200)]

    assert local_energy(lines) == LocalEnergy(800, 650, 350)


def test_fills_with_the_outside_are_not_local() -> None:
    assert local_energy([line(500, 0, 400, 0), line(0, 500, 0, 100)]) == LocalEnergy(500, 100, 100)
    assert local_energy([line(500, 0, 400, 0)]) == LocalEnergy(0, 0, 0)


def test_what_was_bought_and_not_used_is_not_local() -> None:
    assert local_energy([line(100, 0, 400, 0), line(0, 500, 0, 400)]) == LocalEnergy(100, 100, 100)


def test_sums_are_by_field() -> None:
    assert added(LocalEnergy(1, 2, 3), LocalEnergy(10, 20, 30)) == LocalEnergy(11, 22, 33)

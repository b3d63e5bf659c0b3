"""`dret market block|flexible|ev|battery|coupled` against a node of plain values."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from devnet import calls
from node.cli import chain_access
from runtime.pallets.trading.coupled_records import (
    Battery,
    Block,
    Blocks,
    CoupledEntry,
    CoupledOrder,
    CoupledTerms,
    Flexible,
    Vehicle,
)
from runtime.pallets.trading.records import Side
from runtime.primitives.scale import U32, codec
from tests.node.test_market_chain_cli import SIGNER, FakeLink, calls_taken, run

NOW, SLOT = 1_000, 84
"""The present interval is the one of 21:00."""

SIX, TEN = NOW + 36, NOW + 4
"""The next 6 and 22 o'clock."""

ENTRIES = codec(list[CoupledEntry])


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeLink]]:
    FakeLink.taken, FakeLink.is_up = [], True
    FakeLink.answers = {
        "Trading_current_interval": codec(U32).encode(NOW),
        "Trading_slot_of_day": codec(U32).encode(SLOT),
        "Trading_coupled_orders": ENTRIES.encode([]),
    }
    monkeypatch.setattr(chain_access, "Link", FakeLink)
    yield FakeLink


def entry_of(terms: CoupledTerms) -> CoupledEntry:
    return CoupledEntry(77, CoupledOrder(3, 1, 1_500_000_000, terms))


CASES: list[tuple[str, CoupledTerms]] = [
    (
        "block +4=200,0,300@0.12 --part 0.5",
        Blocks((Block(Side.BID, 120_000, NOW + 4, (200, 0, 300), 500_000),)),
    ),
    (
        "block --side offer 22:00=200@0.12 1010=300,300@0.2",
        Blocks(
            (
                Block(Side.OFFER, 120_000, TEN, (200,), 10**6),
                Block(Side.OFFER, 200_000, 1_010, (300, 300), 10**6),
            )
        ),
    ),
    (
        "flexible --price 0.15 --energy-wh 5000 --duration 4 --first 22:00 --last 6:00",
        Flexible(Side.BID, 150_000, 5_000, 4, TEN, SIX),
    ),
    (
        "ev --price 0.2 --energy-wh 8000 --power-w 11000 --first 22:00 --last 06:00",
        Vehicle(200_000, 8_000, 11_000, TEN, SIX),
    ),
    (
        "battery --first +2 --last +25 --capacity-wh 9000 --stored-wh 1000 --charge-w 4000 "
        "--discharge-w 3000 --wear 0.01",
        Battery(NOW + 2, NOW + 25, 9_000, 1_000, 1_000, 4_000, 3_000, 950_000, 10_000),
    ),
]


@pytest.mark.parametrize(("command", "terms"), CASES, ids=[case[0].split()[0] for case in CASES])
async def test_an_order_is_signed_as_it_was_written(command: str, terms: CoupledTerms) -> None:
    FakeLink.answers["Trading_coupled_orders"] = ENTRIES.encode([entry_of(terms)])

    result = await run(*command.split(), "--connection", "3", *SIGNER)

    assert calls_taken() == [calls.place_coupled(3, codec(CoupledTerms).encode(terms))]
    assert result.output.startswith("Coupled order 77 waits for the calls until the gate of")
    assert "1.500000000 DRT are kept aside" in result.output


async def test_the_present_quarter_hour_by_the_clock_is_the_one_of_tomorrow() -> None:
    command = "ev --price 0.2 --energy-wh 800 --power-w 11000 --first 21:15 --last 21:15"
    terms = Vehicle(200_000, 800, 11_000, NOW + 97, NOW + 97)
    FakeLink.answers["Trading_coupled_orders"] = ENTRIES.encode([entry_of(terms)])

    result = await run(*command.split(), "--connection", "3", *SIGNER)

    assert result.exit_code == 0, "NOW + 1 is the gate's: too late for it"


async def test_an_order_that_does_not_wait_is_said_to_be_refused_or_accepted() -> None:
    result = await run("block", "+4=200@0.12", "--connection", "3", *SIGNER)

    assert isinstance(result.exception, chain_access.Refused)
    assert len(calls_taken()) == 1


async def test_waiting_orders_are_listed_as_table_and_as_json() -> None:
    entry = entry_of(Vehicle(200_000, 800, 11_000, TEN, SIX))
    FakeLink.answers["Trading_coupled_orders"] = ENTRIES.encode([entry])

    table = await run("coupled", "list")
    found = json.loads((await run("coupled", "list", "-o", "json")).output)

    assert "vehicle" in table.output
    assert found == [
        {
            "order": 77,
            "connection": 3,
            "kind": "vehicle",
            "first": TEN,
            "last": SIX,
            "held_nano": 1_500_000_000,
        }
    ]


async def test_cancelling_is_refused_when_nothing_of_that_number_waits() -> None:
    result = await run("coupled", "cancel", "77", *SIGNER)

    assert isinstance(result.exception, chain_access.Refused)
    assert calls_taken() == []


async def test_cancelling_is_signed_and_said_to_be_refused_while_the_order_waits() -> None:
    entry = entry_of(Vehicle(200_000, 800, 11_000, TEN, SIX))
    FakeLink.answers["Trading_coupled_orders"] = ENTRIES.encode([entry])

    result = await run("coupled", "cancel", "77", *SIGNER)

    assert calls_taken() == [calls.cancel_coupled(77)]
    assert isinstance(result.exception, chain_access.Refused)


@pytest.mark.parametrize(
    "command",
    [
        "block foo",
        "block +4=@0.1",
        "block +4=1,2@x",
        "block +4=100@0.1 --part 0",
        "block +4=100@0.1 --part 1.5",
        "block " + "+4=100@0.1 " * 9,
        "flexible --price 0.1 --energy-wh 100 --first 22:07 --last 6:00",
        "flexible --price 0.1 --energy-wh 100 --first 24:00 --last 6:00",
        "flexible --price 0.1 --energy-wh 100 --duration 97 --first 22:00 --last 6:00",
        "ev --price 0.1 --energy-wh -1 --power-w 100 --first 22:00 --last 6:00",
        "ev --price 0.1 --energy-wh 1 --power-w 100 --first 4294967296 --last 6:00",
        "battery --first 1 --last 2",
        "coupled cancel x",
    ],
)
async def test_wrong_input_is_a_usage_error_and_nothing_is_sent(command: str) -> None:
    more: list[Any] = [] if command.startswith("coupled") else ["--connection", "3"]

    result = await run(*command.split(), *more, *SIGNER)

    assert result.exit_code == 2
    assert calls_taken() == []

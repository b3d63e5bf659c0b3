"""Orders over several intervals on a running devnet: over an SDK, and at the command line.

The wholesale trader sells at bus 0 for every open interval, so a car that may pay the retail price
is charged; one that may pay the feed-in price waits for a neighbour who never comes.
"""

import json
from typing import Any

from tests.live.network import LIVE, Devnet, eventually
from tests.live.sdk import (
    Household,
    attributes,
    error_of,
    interval_now,
    submit,
    succeed,
)

pytestmark = LIVE

RETAIL, FEED_IN = 300_000, 20_000
ENERGY_WH = 900


def vehicle(client: Any, household: Household, price: int, ahead: int = 4) -> Any:
    """A car that needs 900 Wh within three intervals."""
    first = interval_now(client) + ahead
    terms = {
        "price_micro": price,
        "energy_wh": ENERGY_WH,
        "power_w": 2_000,
        "first": first,
        "last": first + 2,
    }
    arguments = {"connection": household.connection, "terms": {"Vehicle": terms}}
    return "Trading", "place_coupled", arguments


def accepted(client: Any, order_id: int, receipt: Any) -> list[Any]:
    """The acceptance of an order since it was placed."""
    first = client.get_block_number(receipt.block_hash)
    return [
        event
        for number in range(first, client.get_block_number(None) + 1)
        for event in attributes(
            client.get_events(client.get_block_hash(number)), "Trading.CoupledAccepted"
        )
        if event["order_id"] == order_id
    ]


def test_a_car_is_charged_over_all_its_intervals_at_once(
    devnet: Devnet, client: Any, household: Household
) -> None:
    receipt = succeed(client, household.owner, vehicle(client, household, RETAIL))
    (placed,) = attributes(receipt.triggered_events, "Trading.CoupledPlaced")

    (event,) = eventually(lambda: accepted(client, placed["order_id"], receipt), 30)

    paid = attributes(receipt.triggered_events, "TransactionPayment.TransactionFeePaid")
    assert [fee["actual_fee"] for fee in paid] == [0]
    assert placed["order"]["held_nano"] == ENERGY_WH * RETAIL
    assert sum(fill["buy_wh"] for fill in event["fills"]) == ENERGY_WH
    assert all(0 < fill["buy_wh"] <= 500 for fill in event["fills"])
    cost_nano = sum(fill["buy_wh"] * fill["price_micro"] for fill in event["fills"])
    assert event["surplus_nano"] == ENERGY_WH * RETAIL - cost_nano >= 0
    assert client.query("Trading", "CoupledOrders", [placed["order_id"]]).value is None
    place = [household.connection, placed["order_id"]]
    schedule = client.query("Trading", "CoupledAccepted", place).value
    assert sum(schedule["energies_wh"]) == ENERGY_WH
    port = str(devnet.port("sunny-street"))
    told = json.loads(
        devnet.dret(
            *("market", "coupled", "schedule", "--connection", str(household.connection)),
            *("-o", "json", "--rpc-port", port),
        )
    )
    assert schedule["energies_wh"] in [row["energies_wh"] for row in told]


def test_a_car_that_pays_too_little_waits_and_is_taken_back(
    client: Any, household: Household
) -> None:
    order = vehicle(client, household, FEED_IN, ahead=30)
    receipt = succeed(client, household.owner, order)
    (placed,) = attributes(receipt.triggered_events, "Trading.CoupledPlaced")
    waiting = client.query("Trading", "CoupledOrders", [placed["order_id"]]).value
    assert waiting["connection"] == household.connection

    cancel = ("Trading", "cancel_coupled", {"order_id": placed["order_id"]})
    receipt = succeed(client, household.owner, cancel)

    assert attributes(receipt.triggered_events, "Trading.CoupledCancelled")
    assert error_of(submit(client, household.owner, cancel)) == "CoupledOrderNotFound"


KINDS = (
    "block +40=200,200,0,300@0.02 --part 0.5",
    "flexible --price 0.02 --energy-wh 900 --duration 2 --first +40 --last +60",
    "ev --price 0.02 --energy-wh 900 --power-w 2000 --first +40 --last +60",
    "battery --first +40 --last +60 --capacity-wh 900 --stored-wh 100 --charge-w 400 "
    "--discharge-w 400 --wear 0.29",
)


def test_each_kind_is_placed_listed_and_cancelled_at_the_command_line(
    devnet: Devnet, household: Household
) -> None:
    node = ["--rpc-port", str(devnet.port("wind-coop"))]
    signer = ["--suri", "//Newcomer"]
    connection = ["--connection", str(household.connection)]

    placed = [devnet.dret("market", *kind.split(), *connection, *signer, *node) for kind in KINDS]
    listed = json.loads(devnet.dret("market", "coupled", "list", "-o", "json", *node))
    own = {row["order"]: row["kind"] for row in listed if row["connection"] == household.connection}
    battery = max(own)  # the latest one
    taken = devnet.dret("market", "coupled", "cancel", str(battery), *signer, *node)

    assert sorted(own.values()) == ["battery", "blocks", "flexible", "vehicle"]
    assert all("waits for the calls until the gate" in said for said in placed)
    assert taken == f"Coupled order {battery} does not wait any more.\n"

"""The market over an SDK: a household moves in, bids, is matched, and is measured.

The wholesale trader sells at bus 0 at spot plus 65 000, so a bid at the retail price is matched
whatever the neighbours do. What becomes of it: test_settlement.py, which comes later.
"""

from typing import Any

from tests.live.network import LIVE, eventually
from tests.live.sdk import (
    BUS,
    REGISTERS,
    WH_MAX,
    Bid,
    Household,
    attributes,
    error_of,
    interval_now,
    pair,
    place_order,
    submit,
    submit_reading,
    succeed,
)

pytestmark = LIVE

RETAIL = 300_000


def test_a_household_is_connected_by_its_own_and_the_operators_call(
    client: Any, household: Household
) -> None:
    connection = client.query("ProducerRegistration", "Connections", [household.connection]).value
    meter = client.query("ConsumptionMetering", "Meters", [household.connection]).value

    assert connection["account"] == household.owner.ss58_address
    assert (connection["bus"], connection["import_wh_max"]) == (BUS, WH_MAX)
    assert meter["account"] == household.meter.ss58_address
    assert (
        client.query("ConsumptionMetering", "ConnectionOf", [meter["account"]]).value
        == household.connection
    )
    assert client.query("ProducerRegistration", "ConnectionCount").value > household.connection


def test_a_bid_is_matched_at_or_below_its_limit(
    client: Any, household: Household, bid: Bid
) -> None:
    position = client.query("Trading", "Holdings", [bid.interval, household.connection]).value

    assert sum(fill["filled_wh"] for fill in bid.fills) == bid.quantity_wh
    assert all(0 < fill["price_micro"] <= RETAIL for fill in bid.fills)
    if client.query("Trading", "Settlements", [bid.interval]).value is None:
        assert position["buy_wh"] == bid.quantity_wh
        assert position["payable_nano"] == bid.cost_nano
        assert position["held_nano"] > 0
        assert position["orders"] == []


def test_an_accepted_order_is_free_and_a_refused_one_is_not(
    client: Any, household: Household, bid: Bid
) -> None:
    refused = submit(client, household.owner, place_order(household.connection, bid.interval - 3))

    paid = attributes(bid.receipt.triggered_events, "TransactionPayment.TransactionFeePaid")
    assert [event["actual_fee"] for event in paid] == [0]
    assert error_of(refused) == "IntervalClosed"
    assert refused.total_fee_amount > 0


def test_a_reading_is_accepted_free_of_charge_and_settled(
    client: Any, household: Household
) -> None:
    interval, energies = interval_now(client) - 1, (420, 0)
    registers = (REGISTERS[0] + energies[0], REGISTERS[1])

    receipt = succeed(client, household.meter, submit_reading(interval, registers, energies))

    (accepted,) = attributes(receipt.triggered_events, "ConsumptionMetering.ReadingAccepted")
    assert accepted == {
        "connection": household.connection,
        "interval": interval,
        "import_wh": 420,
        "export_wh": 0,
    }
    paid = attributes(receipt.triggered_events, "TransactionPayment.TransactionFeePaid")
    assert [event["actual_fee"] for event in paid] == [0]
    lines = eventually(lambda: client.query("Trading", "Lines", [interval]).value, 60)
    line = lines[household.connection - 1]  # the transformer has none
    assert (line["import_wh"], line["export_wh"], line["method"]) == (420, 0, 0)


def test_a_bid_is_taken_back(client: Any, household: Household) -> None:
    interval, owner = interval_now(client) + 40, household.owner
    receipt = succeed(client, owner, place_order(household.connection, interval))
    (placed,) = attributes(receipt.triggered_events, "Trading.OrderPlaced")
    held = client.query("Trading", "Holdings", [interval, household.connection]).value["held_nano"]

    receipt = succeed(client, owner, ("Trading", "cancel_order", {"order_id": placed["order_id"]}))

    (cancelled,) = attributes(receipt.triggered_events, "Trading.OrderCancelled")
    assert cancelled["quantity_wh"] == placed["quantity_wh"]
    holding = client.query("Trading", "Holdings", [interval, household.connection]).value
    assert holding["held_nano"] == 0 < held
    assert holding["orders"] == []


def test_the_trader_sells_for_the_supplier_at_bus_0(client: Any) -> None:
    supplier = client.query("ProducerRegistration", "Supplier").value

    transformer = client.query("ProducerRegistration", "Connections", [0]).value

    assert supplier == transformer["account"] == pair("//Supplier").ss58_address
    assert transformer["bus"] == 0

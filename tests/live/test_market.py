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

RETAIL, FEED_IN = 300_000, 20_000


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


def test_an_order_is_taken_back(client: Any, household: Household) -> None:
    interval, owner = interval_now(client) + 40, household.owner
    # Nobody bids as much, however far ahead the others quote.
    order = place_order(household.connection, interval, side="Offer", price_micro=RETAIL - 1)
    receipt = succeed(client, owner, order)
    (placed,) = attributes(receipt.triggered_events, "Trading.OrderPlaced")
    held = client.query("Trading", "Holdings", [interval, household.connection]).value["held_nano"]

    receipt = succeed(client, owner, ("Trading", "cancel_order", {"order_id": placed["order_id"]}))

    (cancelled,) = attributes(receipt.triggered_events, "Trading.OrderCancelled")
    assert cancelled["quantity_wh"] == placed["quantity_wh"]
    holding = client.query("Trading", "Holdings", [interval, household.connection]).value
    assert holding["held_nano"] == 0 < held
    assert holding["orders"] == []


def test_a_market_order_becomes_a_curve_in_one_call_and_a_step_another_order(
    client: Any, household: Household
) -> None:
    # Nobody has quoted it yet; later, nobody bids as much as these steps ask.
    interval, owner = interval_now(client) + 96, household.owner
    place = {"connection": household.connection, "interval": interval}
    curve = [{"side": "Offer", "price_micro": RETAIL - n, "quantity_wh": 10} for n in range(8)]

    sale = {**place, "side": "Offer", "quantity_wh": 100}
    receipt = succeed(client, owner, ("Trading", "place_market_order", sale))
    (first,) = attributes(receipt.triggered_events, "Trading.OrderPlaced")
    # To this SDK a bounded vector of today's Substrate is a structure with one field.
    revision = {**place, "net_wh": 0, "orders": [curve]}
    receipt = succeed(client, owner, ("Trading", "replace_orders", revision))
    (cancelled,) = attributes(receipt.triggered_events, "Trading.OrderCancelled")
    steps = attributes(receipt.triggered_events, "Trading.OrderPlaced")
    order_id = steps[0]["order_id"]
    change = {"order_id": order_id, "left_wh": 10, "price_micro": RETAIL, "quantity_wh": 30}
    receipt = succeed(client, owner, ("Trading", "replace_order", change))

    assert first["price_micro"] == FEED_IN
    assert cancelled == {"order_id": first["order_id"], "quantity_wh": 100}
    assert [step["price_micro"] for step in steps] == [RETAIL - n for n in range(8)]
    holding = client.query("Trading", "Holdings", [interval, household.connection]).value
    quantities = [order["quantity_wh"] for order in holding["orders"]]
    assert quantities == [10] * 7 + [30]
    assert holding["held_nano"] == 10 * sum(range(1, 8))  # what buying it back could cost more
    assert holding["calls"] == 3


def test_the_trader_sells_for_the_supplier_at_bus_0(client: Any) -> None:
    supplier = client.query("ProducerRegistration", "Supplier").value

    transformer = client.query("ProducerRegistration", "Connections", [0]).value

    assert supplier == transformer["account"] == pair("//Supplier").ss58_address
    assert transformer["bus"] == 0

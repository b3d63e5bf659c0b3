"""Sealed orders on a running devnet, over an SDK and at the command line: from commitment to fill.

The commitment is computed here from the documented bytes, as the author of a wallet would.
"""

import json
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.live.network import LIVE, Devnet, eventually, run_dret
from tests.live.sdk import (
    BUS,
    Household,
    attributes,
    error_of,
    interval_now,
    pair,
    place_order,
    submit,
    submit_all,
)

pytestmark = LIVE

RETAIL, FEED_IN = 300_000, 20_000
AHEAD = 5  # commitments close three ahead
TRIES = 8
CLOSED_AHEAD, GATE_AHEAD = 3, 1
SALT = bytes(range(7, 39))
GATE_S = 90.0  # six intervals, and some for slow machines


def commitment(household: Household, interval: int, quantity_wh: int) -> str:
    """Of a bid at the retail price, by docs/market.md."""
    content = (
        b"dret:sealed:v001"
        + household.owner.public_key
        + household.connection.to_bytes(4, "little")
        + interval.to_bytes(4, "little")
        + BUS.to_bytes(2, "little")
        + b"\x01"
        + RETAIL.to_bytes(8, "little")
        + quantity_wh.to_bytes(4, "little")
        + SALT
    )
    return "0x" + blake2b(content, digest_size=32).hexdigest()


def seal(client: Any, household: Household) -> tuple[int, dict[str, Any]]:
    """Commit over the SDK to a bid for 300 Wh, 400 for others; its interval and event. A busy
    machine may be late.
    """
    for _ in range(TRIES):
        interval = interval_now(client) + AHEAD
        hidden = commitment(household, interval, 300)
        terms = {"connection": household.connection, "interval": interval, "side": "Bid"}
        call = ("Trading", "seal_order", {**terms, "quantity_wh": 400, "commitment": hidden})
        receipt = submit(client, household.owner, call)
        if receipt.is_success:
            (event,) = attributes(receipt.triggered_events, "Trading.OrderSealed")
            return interval, event
        assert error_of(receipt) == "SealingClosed"
    raise AssertionError(f"{TRIES} times late")


def seal_at_the_command_line(devnet: Devnet, household: Household, file: Path) -> dict[str, Any]:
    """Commit to a bid for 200 Wh, 250 for others; its event."""
    for _ in range(TRIES):
        place = ("--connection", str(household.connection), "--interval", f"+{AHEAD}")
        order = ("--wh", "200", "--wh-most", "250", "--price", "0.3", "--file", str(file))
        arguments = ("market", "seal", "buy", *place, *order, "-o", "json", *signer(devnet))
        done = run_dret(devnet.folder, *arguments)
        if done.returncode == 0:
            events = {each["event"]: each["fields"] for each in json.loads(done.stdout)["events"]}
            return dict(events["Trading.OrderSealed"])
        assert "SealingClosed" in done.stderr, done.stderr
    raise AssertionError(f"{TRIES} times late")


def signer(devnet: Devnet) -> tuple[str, ...]:
    return ("--suri", "//Newcomer", "--rpc-port", str(devnet.port("wind-coop")))


def test_sealed_orders_are_revealed_and_filled_at_the_gate_over_sdk_and_command_line(
    client: Any, devnet: Devnet, household: Household, tmp_path: Path
) -> None:
    owner, connection, file = household.owner, household.connection, tmp_path / "order.json"
    start = client.get_block_number(None)
    offer_early(client)
    interval, event = seal(client, household)
    typed = seal_at_the_command_line(devnet, household, file)
    assert event["order"]["deposit_nano"] == 400 * RETAIL
    assert event["fee_nano"] == 10_000_000
    assert typed["order"]["quantity_wh"] == 250

    eventually(lambda: interval_now(client) >= interval - CLOSED_AHEAD, GATE_S)
    known = client.query("Trading", "SealedIntervals", [interval]).value
    terms = {"order_id": event["order_id"], "price_micro": RETAIL, "quantity_wh": 300}
    reveal = ("Trading", "reveal_order", terms | {"salt": "0x" + SALT.hex()})
    receipts = submit_all(client, owner, [place_order(connection, interval), reveal])
    told = devnet.dret("market", "reveal", str(file), "--wait", *signer(devnet))

    assert known["waiting"] >= 1
    assert [error_of(each) for each in receipts] == ["IntervalSealed", ""]
    paid = attributes(receipts[1].triggered_events, "TransactionPayment.TransactionFeePaid")
    assert [fee["actual_fee"] for fee in paid] == [0]
    (released,) = attributes(receipts[1].triggered_events, "Trading.SealedOrderRevealed")
    assert released["released_nano"] == 100 * RETAIL
    assert f"Order {typed['order_id']} stands: buy 200 Wh at 0.300000 DRT/kWh" in told
    for order_id, quantity_wh in ((event["order_id"], 300), (typed["order_id"], 200)):
        fills = eventually(partial(filled, client, order_id, start), GATE_S)
        assert sum(fill["filled_wh"] for fill in fills) == quantity_wh
    assert interval_now(client) >= interval - GATE_AHEAD
    assert client.query("Trading", "SealedIntervals", [interval]).value is None


def offer_early(client: Any) -> None:
    """Let a home that never trades offer energy for the next intervals. On the first day of a
    devnet the others quote three intervals ahead, when those with sealed orders take no quotes.
    """
    number, now = 5, interval_now(client)
    terms = {"side": "Offer", "price_micro": FEED_IN, "quantity_wh": 600}
    intervals = range(now + AHEAD, now + AHEAD + TRIES)
    calls = [place_order(number, interval, **terms) for interval in intervals]
    receipts = submit_all(client, pair(f"//Home//{number}"), calls)
    assert [error_of(receipt) for receipt in receipts] == [""] * TRIES


def filled(client: Any, order_id: int, start: int) -> list[dict[str, Any]]:
    """All fills of an order since a block, once it is filled."""
    found: list[dict[str, Any]] = [
        fill
        for number in range(start, client.get_block_number(None) + 1)
        for fill in attributes(
            client.get_events(client.get_block_hash(number)), "Trading.OrderFilled"
        )
        if fill["order_id"] == order_id
    ]
    return found if found and found[-1]["left_wh"] == 0 else []

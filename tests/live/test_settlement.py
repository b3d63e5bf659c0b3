"""What a settlement does with a bid that was matched, and what it must never do."""

import json
from pathlib import Path
from typing import Any

from tests.live.network import LIVE, Devnet, eventually
from tests.live.sdk import Bid, Household, attributes, interval_now

pytestmark = LIVE

SETTLED_WITHIN_S = 60.0  # the gate, delivery, and two intervals for readings


def test_the_settlement_carries_the_bid_and_moves_what_it_says(
    client: Any, household: Household, bid: Bid
) -> None:
    number = household.connection

    record = eventually(
        lambda: client.query("Trading", "Settlements", [bid.interval]).value, SETTLED_WITHIN_S
    )

    line = client.query("Trading", "Lines", [bid.interval]).value[number - 1]
    assert line["buy_wh"] == bid.quantity_wh
    assert line["payable_nano"] == bid.cost_nano
    assert record["traded_wh"] >= bid.quantity_wh
    assert record["energy_residual_wh"] == 0
    block = block_of_settlement(client, bid.interval)
    parent = client.get_block_header(block)["header"]["parentHash"]
    moved = balance(client, household, block) - balance(client, household, parent)
    assert moved == line["amount_nano"] < 0
    assert client.query("Trading", "Holdings", [bid.interval, number]).value["held_nano"] == 0


def block_of_settlement(client: Any, interval: int) -> str:
    """The block in which a settled interval was settled."""
    for number in range(client.get_block_number(None), 0, -1):
        block: str = client.get_block_hash(number)
        settled = attributes(client.get_events(block), "Trading.IntervalSettled")
        if any(each["interval"] == interval for each in settled):
            return block
    raise AssertionError(f"no block settled interval {interval}")


def balance(client: Any, household: Household, block: str) -> int:
    """All money of the household's owner, free and held."""
    data = client.query("System", "Account", [household.owner.ss58_address], block).value["data"]
    return int(data["free"]) + int(data["reserved"])


def test_homes_trade_whenever_their_book_can_be_cleared(
    client: Any, devnet: Devnet, tmp_path: Path
) -> None:
    records = eventually(lambda: latest(client), SETTLED_WITHIN_S)

    silent = [interval for interval, record in records.items() if not record["traded_wh"]]
    books = placed_orders(client, INTERVALS + QUOTED_AHEAD + SETTLED_BEHIND) if silent else {}
    assert all(record["energy_residual_wh"] == 0 for record in records.values())
    assert len(silent) < len(records), "the trader alone would do"
    for interval in silent:
        assert not fills_of(devnet, tmp_path, client, books.get(interval, [])), interval


INTERVALS, QUOTED_AHEAD, SETTLED_BEHIND, BLOCKS_PER_INTERVAL = 6, 3, 3, 3


def latest(client: Any) -> dict[int, Any]:
    """The latest settled intervals, once some of them have traded."""
    newest = interval_now(client) - SETTLED_BEHIND
    found = {
        interval: client.query("Trading", "Settlements", [interval]).value
        for interval in range(newest - INTERVALS, newest + 1)
    }
    settled = {interval: record for interval, record in found.items() if record}
    return settled if any(record["traded_wh"] for record in settled.values()) else {}


def placed_orders(client: Any, intervals: int) -> dict[int, list[Any]]:
    """What was placed in the latest blocks and not taken back, by the interval it is for."""
    head = client.get_block_number(None)
    orders: dict[int, Any] = {}
    for number in range(max(1, head - intervals * BLOCKS_PER_INTERVAL), head + 1):
        events = client.get_events(client.get_block_hash(number))
        for placed in attributes(events, "Trading.OrderPlaced"):
            orders[placed["order_id"]] = placed
        for cancelled in attributes(events, "Trading.OrderCancelled"):
            orders.pop(cancelled["order_id"], None)
    books: dict[int, list[Any]] = {}
    for order in orders.values():
        books.setdefault(order["interval"], []).append(order)
    return books


def fills_of(devnet: Devnet, folder: Path, client: Any, orders: list[Any]) -> int:
    """What `dret market clear` fills of a whole book at once."""
    topology = json.loads(devnet.spec.read_text())["genesis"]["grid_balancing"]["topology"]
    connections = [order["connection"] for order in orders]
    book = {
        **{name: topology[name] for name in ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")},
        "bus": [
            client.query("ProducerRegistration", "Connections", [number]).value["bus"]
            for number in connections
        ],
        "price": [order["price_micro"] for order in orders],
        "qty": [order["quantity_wh"] for order in orders],
        "isbid": [int(order["side"] == "Bid") for order in orders],
        "reference_price": client.query("Trading", "ReferencePrice").value,
    }
    file = folder / "book.json"
    file.write_text(json.dumps(book))
    cleared = json.loads(devnet.dret("market", "clear", str(file), "--output", "json"))
    return sum(cleared["fill"])


def test_balances_and_issuance_agree(client: Any) -> None:
    block = client.get_chain_head()

    accounts = client.query_map("System", "Account", block_hash=block, page_size=500)

    money = sum(
        account.value["data"]["free"] + account.value["data"]["reserved"] for _, account in accounts
    )
    assert money == client.query("Balances", "TotalIssuance", block_hash=block).value


def test_the_status_tells_the_totals_of_the_chain(client: Any, devnet: Devnet) -> None:
    before = client.query("Trading", "Totals").value

    status = devnet.status()

    assert status["money_residual_nano"] == status["energy_residual_wh"] == 0
    # The status is that of the node that is furthest.
    assert before["intervals_settled"] <= status["intervals_settled"]
    assert before["traded_wh"] <= status["traded_wh"]

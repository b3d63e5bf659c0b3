"""What a settlement does with a bid that was matched, and what it must never do."""

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


def test_homes_trade_and_the_residuals_are_zero(client: Any, devnet: Devnet) -> None:
    settled = eventually(
        lambda: [record for record in latest(client) if record["traded_wh"]], SETTLED_WITHIN_S
    )

    assert all(record["energy_residual_wh"] == 0 for record in settled)
    status = devnet.status()
    assert status["money_residual_nano"] == status["energy_residual_wh"] == 0
    assert status["traded_wh"] > 0


def latest(client: Any) -> list[Any]:
    """The records of the latest settled intervals."""
    newest = interval_now(client) - 3
    found = [client.query("Trading", "Settlements", [newest - back]).value for back in range(4)]
    return [record for record in found if record]


def test_balances_and_issuance_agree(client: Any) -> None:
    block = client.get_chain_head()

    accounts = client.query_map("System", "Account", block_hash=block, page_size=500)

    money = sum(
        account.value["data"]["free"] + account.value["data"]["reserved"] for _, account in accounts
    )
    assert money == client.query("Balances", "TotalIssuance", block_hash=block).value

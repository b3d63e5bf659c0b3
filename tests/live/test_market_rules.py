"""Payments, the fund, tariffs and the rules of the members, from an SDK on a live network."""

import json
from typing import Any

from tests.live.network import LIVE, Devnet, eventually
from tests.live.sdk import DRT, attributes, error_of, pair, submit, succeed

pytestmark = LIVE

RULES = {"dual_imbalance": False, "pool_fee": 40_000, "dispute_intervals": 96}
ACTION = {"DecideOnMarket": {"decision": {"SetParameters": {"parameters": RULES}}}}
TIMELOCK_S = 45  # eight blocks if all agree, and some for slow machines


def deposit_call(reference: str) -> tuple[str, str, dict[str, Any]]:
    arguments = {
        "reference": reference,
        "dest": pair("//Home//1").ss58_address,
        "value_day": 0,
        "amount_nano": DRT,
    }
    return "Payments", "deposit", arguments


def test_money_comes_from_the_bank_and_is_requested_back(client: Any) -> None:
    home = pair("//Home//2")

    receipt = succeed(client, home, ("Payments", "request_payout", {"amount_nano": 2 * DRT}))

    (requested,) = attributes(receipt.triggered_events, "Payments.PayoutRequested")
    assert (requested["account"], requested["amount_nano"]) == (home.ss58_address, 2 * DRT)
    small = submit(client, home, ("Payments", "request_payout", {"amount_nano": 1}))
    assert error_of(small) == "AmountOutOfBounds"
    assert error_of(submit(client, home, deposit_call("0x" + "07" * 32))) == "NotGateway"
    flows = client.query("Payments", "Flows").value
    assert flows["minted_nano"] >= 20 * DRT  # the gateway's agent works off its bank's statement
    assert flows["waiting_nano"] >= 2 * DRT


def test_tariffs_the_fund_and_candles_are_on_the_chain(client: Any) -> None:
    (book,) = client.query("Trading", "TariffBooks").value
    fund = client.query("Trading", "Fund").value
    eventually(lambda: len(list(client.query_map("Trading", "Candles", max_results=1))) == 1, 60)
    _, candle = next(iter(client.query_map("Trading", "Candles", max_results=1)))

    assert len(book["slots"]) == 96 and len(book["bands"]) == 3
    assert fund["terms"] == {"cap_wh": 400, "spread_micro": 20_000}
    assert candle.value["low_micro"] <= candle.value["close_micro"] <= candle.value["high_micro"]


def test_shares_in_the_fund_are_bought_and_on_their_way_out(client: Any) -> None:
    home = pair("//Home//5")
    amount, least = 20 * DRT, 18 * DRT

    bought = succeed(
        client,
        home,
        ("Trading", "buy_fund_shares", {"amount_nano": amount, "shares_min": least}),
    )
    (purchase,) = attributes(bought.triggered_events, "Trading.SharesBought")
    left = succeed(client, home, ("Trading", "redeem_fund_shares", {"shares": purchase["shares"]}))
    (request,) = attributes(left.triggered_events, "Trading.RedemptionRequested")
    again = submit(client, home, ("Trading", "redeem_fund_shares", {"shares": 1_000_000}))

    assert purchase["amount_nano"] == amount
    assert least <= purchase["shares"] <= 22 * DRT
    assert request["redemption"]["shares"] == purchase["shares"]
    assert error_of(again) in ("FundSharesMissing", "FundRedemptionPending")
    issued = client.query("Trading", "FundIssued").value
    holders = [entry.value for _, entry in client.query_map("Trading", "FundHolders")]
    assert 0 < sum(holders) <= issued


def test_shares_in_the_fund_are_bought_at_the_command_line(devnet: Devnet) -> None:
    node = ["--rpc-port", str(devnet.port("wind-coop"))]
    signer = ["--from", "//Home//6"]

    bought = devnet.dret("market", "fund", "buy", "--amount", "5", *signer, *node)
    left = devnet.dret("market", "fund", "redeem", "--all", *signer, *node)
    shown = json.loads(devnet.dret("market", "fund", "-o", "json", *node))

    assert "shares for 5.000000000 DRT" in bought
    assert "shares leave the fund" in left
    assert 0 < shown["redeemed_nano"] <= shown["sold_nano"]


def test_members_change_what_the_market_goes_by(client: Any) -> None:
    receipt = succeed(client, pair("//Alice"), ("Authorities", "propose", {"action": ACTION}))
    (opened,) = attributes(receipt.triggered_events, "Authorities.ProposalOpened")
    for name in ("//Bob", "//Charlie", "//Dave"):
        vote = {"proposal_id": opened["id"], "is_aye": True}
        succeed(client, pair(name), ("Authorities", "vote", vote))

    def changes() -> list[Any]:
        return list(client.query("Trading", "ParameterChanges").value)

    eventually(lambda: [change["parameters"] for change in changes()] == [RULES], TIMELOCK_S)
    assert changes()[0]["first"] > client.query("Trading", "Schedule").value["opened"] - 30


def test_the_status_says_that_every_promise_is_kept(devnet: Devnet) -> None:
    findings = devnet.status()["invariants"]

    assert len(findings) == 11
    assert [finding["promise"] for finding in findings if not finding["is_kept"]] == []

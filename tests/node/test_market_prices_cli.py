"""`dret market prices`, `rules`, and what members propose for the market."""

import json
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner, Result

from devnet import calls
from node.cli import authority, authority_market, market_fund
from node.cli.market import group
from node.errors import ConfigInvalid
from runtime.pallets.authorities.proposals import DecideOnMarket
from runtime.pallets.trading.decisions import (
    ReleaseCongestionRent,
    SetFund,
    SetParameters,
    SetTariffs,
)
from runtime.pallets.trading.fund import Fund, FundQuote, FundTerms, FundView
from runtime.pallets.trading.fund_shares import FundHolding, FundValue, Redemption
from runtime.pallets.trading.parameters import MarketParameters
from runtime.pallets.trading.price_parts import BusPrice, PriceReport, PriceSource
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.reputation import Reputation, Scores, Surcharge
from runtime.pallets.trading.tariffs import (
    Earmarked,
    EdgeTariff,
    NetworkIncome,
    TariffBand,
    TariffBook,
)
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.primitives.scale import U32, codec
from tests.node.test_market_chain_cli import FakeLink, node

__all__ = ["node"]  # the fixture: every test here has its plain node
BUSES = (BusPrice(90_000, 90_000, 0, 0, 0), BusPrice(107_000, 90_000, 1_000, 6_000, 10_000))
BOOK = {"bands": [{"factor_ppm": 500_000, "edges": {"2": 9_000, "1": 7}}], "slots": [0] * 96}


async def market(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


async def test_prices_are_shown_with_their_parts() -> None:
    FakeLink.answers["Trading_current_interval"] = codec(U32).encode(12)
    FakeLink.answers["Trading_price_report"] = PriceReport(PriceSource.AUCTION, BUSES).encode()
    income = codec(NetworkIncome | None)
    FakeLink.answers["Trading_network_income"] = income.encode(NetworkIncome(2_000, 5_000))

    table = (await market("prices")).output
    found = json.loads((await market("prices", "--interval", "12", "-o", "json")).output)

    assert "Interval 12: latest call that traded." in table
    row = "0.107000    0.090000    0.001000    0.006000    0.010000"
    assert row in table
    assert "0.000005000 DRT by congestion" in table
    assert found["source"] == "auction"
    assert found["buses"][1]["congestion_micro"] == 10_000


async def test_rules_are_tariffs_and_parameters() -> None:
    FakeLink.answers["Trading_tariffs"] = codec(list[U32]).encode([0, 5_000])
    books = [TariffBook(9, (TariffBand(500_000, ()),), (0,) * 96)]
    FakeLink.answers["Trading_tariff_books"] = codec(list[TariffBook]).encode(books)
    FakeLink.answers["Trading_parameters"] = MarketParameters(True, 10_000, 96).encode()
    FakeLink.answers["Trading_earmarked"] = Earmarked(10**9, 4 * 10**8).encode()

    table = (await market("rules", "--interval", "12")).output
    found = json.loads((await market("rules", "--interval", "12", "-o", "json")).output)

    assert "deviations have two prices" in table
    assert "50 % for 96 quarter hours" in table
    assert found["congestion_rent_nano"] == 6 * 10**8
    assert found["announced_from"] == [9]


async def test_an_interval_that_is_none_is_refused() -> None:
    result = await market("prices", "--interval", "-1")

    assert result.exit_code == 2


def test_a_file_of_tariffs_becomes_a_book(tmp_path: Path) -> None:
    file = tmp_path / "tariffs.json"
    file.write_text(json.dumps(BOOK | {"first": 77}))

    book = authority_market.read_book(file)

    band = TariffBand(500_000, (EdgeTariff(1, 7), EdgeTariff(2, 9_000)))
    assert book == TariffBook(77, (band,), (0,) * 96)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[", "not JSON"),
        ("[]", "expected an object, found list"),
        (json.dumps(BOOK | {"bands": 3}), "bands: expected an array, found int"),
        (json.dumps(BOOK | {"bands": []}), "0 bands"),
        (json.dumps(BOOK | {"slots": [0] * 95}), "95 slots"),
        (json.dumps(BOOK | {"slots": [1] * 96}), "name band 1, there are 1"),
        (json.dumps(BOOK | {"slots": [True] * 96}), "slots is True"),
        (json.dumps(BOOK | {"bands": [{}]}), r"factor_ppm of bands\[0\] is None"),
        (json.dumps(BOOK | {"bands": [{"factor_ppm": 1, "edges": {"a": 1}}]}), "a bus is 'a'"),
        (json.dumps(BOOK | {"first": -1}), "first is -1"),
    ],
)
def test_files_that_are_no_tariffs_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "tariffs.json"
    file.write_text(content)

    with pytest.raises(ConfigInvalid, match=reason):
        authority_market.read_book(file)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (authority_market.FILE_BYTES_MAX + 1))

    for file, reason in ((tmp_path / "none.json", "cannot be read"), (large, "larger than")):
        with pytest.raises(ConfigInvalid, match=reason):
            authority_market.read_book(file)


def test_decisions_are_told_in_words() -> None:
    book = TariffBook(9, (TariffBand(500_000, ()),), (0,) * 96)
    words = {
        SetParameters(MarketParameters(False, 10_000, 96)): "a pool fee of 0.010000 DRT per kWh",
        SetTariffs(book): "network tariffs in 1 bands from interval 9 on",
        SetFund(FundTerms(400, 20_000)): "a fund of up to 400 Wh with a spread of 0.020000 DRT",
        ReleaseCongestionRent(10**9): "release 1.000000000 DRT of congestion rent",
    }

    for decision, text in words.items():
        assert text in authority.text_of(DecideOnMarket(decision))


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "inf", "1e60", "0.1234567891"])
async def test_amounts_that_are_none_are_refused(amount: str) -> None:
    arguments = ("propose", "release-rent", "--suri", "//Alice", f"--amount={amount}")

    result = await CliRunner().invoke(authority.group, arguments)

    assert result.exit_code == 2


async def test_a_reputation_is_told_with_what_it_costs() -> None:
    known = Reputation(3, 2_000, 700, 0, 0, 5, 5, 0, (Surcharge(3, 1_300_000),))
    scores = Scores(350_000, 10**6, 990_000, 1_300_000, known, 0)
    FakeLink.answers["Trading_reputation"] = codec(Scores | None).encode(scores)

    table = (await market("reputation", "--connection", "3")).output
    found = json.loads((await market("reputation", "--connection", "3", "-o", "json")).output)

    assert "kept 35.0 %" in table
    assert "deviations count 1.30 times" in table
    assert found["delivered_wh"] == 700


async def test_a_connection_that_is_not_there_has_no_reputation() -> None:
    FakeLink.answers["Trading_reputation"] = codec(Scores | None).encode(None)

    result = await market("reputation", "--connection", "3")

    assert "There is no connection 3" in str(result.exception)


async def test_the_fund_is_shown_with_its_quotes() -> None:
    quotes = [FundQuote(Side.OFFER, 205_000, 100), FundQuote(Side.BID, 115_000, 100)]
    view = FundView(Fund(40, FundTerms(400, 20_000)), 9 * 10**9, 10**9, quotes)
    FakeLink.answers["Trading_fund"] = codec(FundView | None).encode(view)
    value = FundValue(5 * 10**12, 9 * 10**9, 11 * 10**9, 2)
    FakeLink.answers["Trading_fund_value"] = codec(FundValue | None).encode(value)
    FakeLink.answers["Trading_current_interval"] = codec(U32).encode(12)

    table = (await market("fund")).output
    found = json.loads((await market("fund", "--interval", "9", "-o", "json")).output)

    assert "Interval 14:" in table
    assert "offer     100 Wh at 0.205000" in table
    assert found["quotes"][1] == {"side": "bid", "price_micro": 115_000, "quantity_wh": 100}
    assert "9.000000000 DRT for who leaves, 11.000000000 DRT for who comes; 2 requests" in table
    assert (found["shares_issued"], found["redemptions_waiting"]) == (5 * 10**12, 2)


async def test_a_chain_without_a_fund_says_so() -> None:
    FakeLink.answers["Trading_fund"] = codec(FundView | None).encode(None)
    FakeLink.answers["Trading_fund_value"] = codec(FundValue | None).encode(None)

    result = await market("fund", "--interval", "9")

    assert "no liquidity fund" in str(result.exception)


async def test_a_holding_is_shown_with_what_leaves() -> None:
    alice = ss58_encode(KeyPair.from_suri("//Alice", Scheme.SR25519).public)
    redemption = Redemption(bytes(32), 40, 99)
    FakeLink.answers["Trading_fund_holding"] = FundHolding(60, redemption, 10**9).encode()

    text = (await market("fund", "holding", "--account", alice)).output
    found = json.loads((await market("fund", "holding", "--account", alice, "-o", "json")).output)

    assert text.splitlines() == [
        "60 shares, with what leaves worth 1.000000000 DRT.",
        "40 more leave when interval 99 is settled.",
    ]
    assert found == {"shares": 60, "value_nano": 10**9, "leaving": {"shares": 40, "until": 99}}


async def test_shares_are_bought_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    async def take(link: object, pair: object, call: bytes) -> None:
        made.append(call)
        after = FundHolding(70, None, 0) if call[1] == 25 else FundHolding(0, leaving, 0)
        FakeLink.answers["Trading_fund_holding"] = after.encode()

    leaving = Redemption(bytes(32), 70, 99)
    monkeypatch.setattr(market_fund, "submit", take)
    FakeLink.answers["Trading_fund_holding"] = FundHolding(20, None, 0).encode()

    bought = await market("fund", "buy", "--amount", "2.5", "--shares-min", "9", "--from", "//Bob")
    left = await market("fund", "redeem", "--all", "--from", "//Bob")

    assert made == [calls.buy_fund_shares(2_500_000_000, 9), calls.redeem_fund_shares(70)]
    assert bought.output == "Bought 50 shares for 2.500000000 DRT; 70 in all.\n"
    assert left.output == ("70 shares leave the fund; they are paid when interval 99 is settled.\n")


async def test_what_the_chain_does_not_do_with_shares_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(link: object, pair: object, call: bytes) -> None:
        return None

    monkeypatch.setattr(market_fund, "submit", refuse)
    FakeLink.answers["Trading_fund_holding"] = FundHolding(20, None, 0).encode()
    bought = await market("fund", "buy", "--amount", "1", "--from", "//Bob")
    left = await market("fund", "redeem", "--shares", "20", "--from", "//Bob")
    more = await market("fund", "redeem", "--shares", "21", "--from", "//Bob")
    waits = FundHolding(20, Redemption(bytes(32), 40, 99), 0)
    FakeLink.answers["Trading_fund_holding"] = waits.encode()
    again = await market("fund", "redeem", "--shares", "20", "--from", "//Bob")

    said = [str(result.exception) for result in (bought, left, more, again)]
    assert "The chain refused: less than 1 DRT" in said[0]
    assert "a rest of fewer than 1 000 000 shares" in said[1]
    assert said[2] == "The account has 20 shares, not 21."
    assert "40 shares of this account wait" in said[3]


@pytest.mark.parametrize(
    "arguments",
    [
        ("buy", "--amount", "0"),
        ("buy", "--amount", "-1"),
        ("buy", "--amount", "much"),
        ("buy", "--amount", "1", "--shares-min", "-1"),
        ("buy",),
        ("redeem",),
        ("redeem", "--shares", "0"),
        ("redeem", "--shares", "5", "--all"),
        ("redeem", "--shares", str(2**96)),
        ("holding", "--account", "nobody"),
    ],
)
async def test_shares_that_cannot_be_are_refused(arguments: tuple[str, ...]) -> None:
    signer = () if arguments[0] == "holding" else ("--from", "//Bob")

    assert (await market("fund", *arguments, *signer)).exit_code == 2

"""`dret market prices`, `rules`, and what members propose for the market."""

import json
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner, Result

from node.cli import authority, authority_market
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
    FakeLink.answers["Trading_current_interval"] = codec(U32).encode(12)

    table = (await market("fund")).output
    found = json.loads((await market("fund", "--interval", "9", "-o", "json")).output)

    assert "Interval 14:" in table
    assert "offer     100 Wh at 0.205000" in table
    assert found["quotes"][1] == {"side": "bid", "price_micro": 115_000, "quantity_wh": 100}


async def test_a_chain_without_a_fund_says_so() -> None:
    FakeLink.answers["Trading_fund"] = codec(FundView | None).encode(None)

    result = await market("fund", "--interval", "9")

    assert "no liquidity fund" in str(result.exception)

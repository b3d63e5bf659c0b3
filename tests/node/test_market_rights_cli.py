"""`dret market right`, `prefer`, `premium`, `pairs` and `provenance`, against a node of values."""

import json
from collections.abc import Mapping

import pytest
from asyncclick.testing import CliRunner, Result

from devnet import right_calls
from node.cli.chain_access import Refused
from node.cli.market import group
from node.cli.market_rights import Offers
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.right_records import (
    NETWORK,
    ClassedRight,
    EnergyClass,
    Origin,
    OriginKind,
    Pair,
    Preferences,
    Premium,
    RightOffer,
)
from runtime.primitives.scale import codec
from tests.node.test_market_chain_cli import SIGNER, FakeLink, calls_taken, node

__all__ = ["node"]  # the fixture: every test here has its plain node
OFFER = RightOffer(Side.OFFER, EnergyClass.SOLAR, 300, 2_000_000, 2)
NOTHING = RightOffer(Side.OFFER, EnergyClass.UNSPECIFIED, 0, 0, None)
TERMS = ("--side", "deliver", "--class", "solar", "--wh", "300", "--price", "0.002", "--to", "2")
PLACE = ("--connection", "1", "--interval", "9")


class AfterCalls(dict[str, bytes]):
    """Answers of a node, other ones once it has taken a call."""

    def __init__(self, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
        super().__init__(before)
        self.after = after

    def __getitem__(self, name: str) -> bytes:
        return self.after[name] if FakeLink.taken else super().__getitem__(name)


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


def state(offers: Offers, *rights: ClassedRight) -> dict[str, bytes]:
    return {
        "Trading_right_offers": codec(Offers).encode(offers),
        "Trading_rights": codec(list[ClassedRight]).encode(list(rights)),
    }


def duty(connection: int, wh: int) -> ClassedRight:
    return ClassedRight(connection, 4, Side.OFFER, EnergyClass.SOLAR, wh)


async def test_rights_and_offers_are_listed() -> None:
    FakeLink.answers = state([(1, OFFER)], duty(1, 900))

    table = (await run("right", "list", "--interval", "9")).output
    found = json.loads((await run("right", "list", "--interval", "9", "-o", "json")).output)

    assert "Connection 1 offers 300 Wh solar to deliver, for 0.002000000 DRT, to connection 2." in (
        table
    )
    assert found["rights"][0] == {
        "connection": 1,
        "bus": 4,
        "side": "deliver",
        "class": "solar",
        "wh": 900,
    }
    assert found["offers"][0]["price_nano"] == 2_000_000


async def test_an_offer_is_signed_and_the_state_asked_for_it() -> None:
    FakeLink.answers = state([(1, OFFER)], duty(1, 900))

    result = await run("right", "offer", *PLACE, *TERMS, *SIGNER)

    assert calls_taken() == [right_calls.offer_right(1, 9, OFFER)]
    assert result.output == (
        "Connection 1 offers 300 Wh solar to deliver, for 0.002000000 DRT, to connection 2.\n"
    )


async def test_an_offer_that_the_state_does_not_show_was_refused() -> None:
    FakeLink.answers = state([])

    result = await run("right", "offer", *PLACE, *TERMS, *SIGNER)

    assert isinstance(result.exception, Refused)


async def test_a_right_is_taken_on_the_terms_of_its_offer() -> None:
    FakeLink.answers = AfterCalls(state([(1, OFFER)], duty(2, 50)), state([], duty(2, 350)))

    result = await run(
        "right", "take", "--connection", "2", "--giver", "1", "--interval", "9", *SIGNER
    )

    assert calls_taken() == [right_calls.take_right(2, 1, 9, OFFER)]
    assert "Connection 2 took over 300 Wh solar to deliver" in result.output


@pytest.mark.parametrize(
    ("offers", "options", "taken"),
    [
        ([(1, OFFER)], (), 1),  # the state stays: the chain refused
        ([], (), 0),
        ([(1, OFFER)], ("--most", "0.001"), 0),
    ],
)
async def test_what_cannot_be_taken_is_refused(
    offers: Offers, options: tuple[str, ...], taken: int
) -> None:
    FakeLink.answers = state(offers, duty(2, 50))

    result = await run(
        "right", "take", "--connection", "2", "--giver", "1", "--interval", "9", *options, *SIGNER
    )

    assert isinstance(result.exception, Refused)
    assert len(calls_taken()) == taken


async def test_an_offer_is_withdrawn() -> None:
    FakeLink.answers = AfterCalls(state([(1, OFFER)]), state([]))

    result = await run("right", "withdraw", *PLACE, *SIGNER)

    assert calls_taken() == [right_calls.offer_right(1, 9, NOTHING)]
    assert result.output == "Connection 1 offers nothing of interval 9 any more.\n"


async def test_wishes_are_declared_and_shown() -> None:
    wishes = Preferences(3, (7,), 60, 20, 20)
    FakeLink.answers = {"Trading_preferences": wishes.encode()}
    options = ("--source", "wind", "--source", "solar", "--partner", "7", "--points")

    declared = await run("prefer", "--connection", "1", *options, "60", "20", "20", *SIGNER)
    shown = await run("prefer", "--connection", "1")
    other = await run("prefer", "--connection", "1", "--points", "1", "2", "3", *SIGNER)

    assert calls_taken()[0] == right_calls.declare_preferences(1, 3, (7,), (60, 20, 20))
    assert shown.output == declared.output
    assert "60 for its sources: solar, wind" in shown.output
    assert "20 for its partners: 7" in shown.output
    assert isinstance(other.exception, Refused)


async def test_a_premium_is_declared_ended_and_shown() -> None:
    FakeLink.answers = {"Trading_premium": Premium(30_000, 5 * 10**9, 10**9).encode()}
    one = ("--connection", "1")

    declared = await run("premium", "set", *one, "--per-kwh", "0.03", "--budget", "5", *SIGNER)
    shown = await run("premium", "show", *one)
    ended = await run("premium", "end", *one, *SIGNER)

    assert calls_taken() == [
        right_calls.declare_premium(1, 30_000, 5 * 10**9),
        right_calls.declare_premium(1, 0, 0),
    ]
    assert shown.output == declared.output
    assert "adds 0.030000 DRT per kWh" in shown.output
    assert "1.000000000 of them promised" in shown.output
    assert isinstance(ended.exception, Refused)  # the state still has it


async def test_pairs_and_origins_are_shown() -> None:
    found = [
        Pair(1, 3, EnergyClass.SOLAR, 30_000, 900, 800, 700),
        Pair(1, NETWORK, EnergyClass.SOLAR, 0, 20, 18, 18),
    ]
    origins = [
        Origin(OriginKind.AUCTION, 1, EnergyClass.SOLAR, 700, 21_000_000),
        Origin(OriginKind.SUPPLIER, None, EnergyClass.UNSPECIFIED, 300, 0),
    ]
    FakeLink.answers = {
        "Trading_pairs": codec(list[Pair]).encode(found),
        "Trading_provenance": codec(list[Origin]).encode(origins),
    }

    table = (await run("pairs", "--interval", "9")).output
    only = json.loads(
        (await run("pairs", "--interval", "9", "--connection", "3", "-o", "json")).output
    )
    came = (await run("provenance", "--connection", "3", "--interval", "9")).output
    rows = json.loads(
        (await run("provenance", "--connection", "3", "--interval", "9", "-o", "json")).output
    )

    assert "network" in table
    assert [(row["buyer"], row["delivered_wh"]) for row in only] == [("3", 700)]
    assert "70.0" in came
    assert "0.021000000 DRT were added for green energy" in came
    assert [row["from"] for row in rows] == ["auction", "supplier"]


async def test_without_origins_it_says_so() -> None:
    FakeLink.answers = {"Trading_provenance": codec(list[Origin]).encode([])}

    result = await run("provenance", "--connection", "3", "--interval", "9")

    assert "not settled" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("right", "offer", *PLACE, "--side", "deliver", "--class", "coal", "--wh", "9", *SIGNER),
        ("right", "offer", *PLACE, "--side", "deliver", "--class", "wind", "--wh", "0", *SIGNER),
        ("prefer", "--connection", "1", "--source", "wind"),
        ("prefer", "--connection", "1", "--points", "60", "40", "1", *SIGNER),
        ("prefer", "--connection", "1", *(17 * ("--partner", "2")), "--points", "0", "0", "9"),
        ("premium", "set", "--connection", "1", "--per-kwh", "0.03", *SIGNER),
        ("premium", "set", "--connection", "1", "--per-kwh", "0", "--budget", "1", *SIGNER),
        ("premium", "end", "--connection", "1", "--budget", "1", *SIGNER),
        ("premium", "set", "--connection", "1", "--per-kwh", "x", "--budget", "1", *SIGNER),
        ("pairs", "--interval", "-1"),
    ],
)
async def test_wrong_input_is_refused_with_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = await run(*arguments)

    assert result.exit_code == 2
    assert calls_taken() == []

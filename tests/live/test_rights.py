"""Energy rights over an SDK: a wish and a premium, pairs after a call, and a right handed on."""

import json
from typing import Any, NamedTuple

import pytest

from tests.live.network import LIVE, Devnet, eventually
from tests.live.sdk import (
    BUS,
    DRT,
    WH_MAX,
    Household,
    attributes,
    error_of,
    interval_now,
    pair,
    place_order,
    submit_all,
    succeed,
    transfer,
)

pytestmark = LIVE

AHEAD = 8  # intervals to delivery: time for a call, an offer and its taking
SOLAR = 1
PREMIUM, BUDGET = 30_000, 2 * DRT
PRICE = 7_000_000


class Neighbour(NamedTuple):
    """Another owner, with panels at the household's bus."""

    owner: Any
    connection: int


@pytest.fixture(scope="module")
def neighbour(client: Any, household: Household) -> Neighbour:
    """A connection and its source, countersigned by the operator."""
    operator, owner = pair("//Operator"), pair("//Neighbour")
    succeed(client, operator, transfer(owner, 1_000 * DRT))
    capacity = {"import_wh_max": WH_MAX, "export_wh_max": WH_MAX}
    wanted = {"metering_point": "Neighbour", "bus": BUS, **capacity}
    receipt = succeed(client, owner, ("ProducerRegistration", "propose_connection", wanted))
    (proposed,) = attributes(receipt.triggered_events, "ProducerRegistration.ConnectionProposed")
    confirmation = {"proposal_id": proposed["proposal_id"]}
    receipt = succeed(
        client, operator, ("ProducerRegistration", "confirm_connection", confirmation)
    )
    (made,) = attributes(receipt.triggered_events, "ProducerRegistration.ConnectionRegistered")
    number = int(made["connection_id"])
    panels = {"technology": "Solar", "rated_w": 5_000, "device": "0x" + "5a" * 32}
    source = {"connection": number, **panels}
    receipt = succeed(client, owner, ("ProducerRegistration", "propose_source", source))
    (declared,) = attributes(receipt.triggered_events, "ProducerRegistration.SourceProposed")
    confirmation = {"source_id": declared["source_id"]}
    succeed(client, operator, ("ProducerRegistration", "confirm_source", confirmation))
    return Neighbour(owner, number)


def test_green_energy_is_bought_from_a_neighbour_who_buys_half_of_it_back(
    client: Any, devnet: Devnet, household: Household, neighbour: Neighbour
) -> None:
    owner, number = household.owner, household.connection
    interval = interval_now(client) + AHEAD
    points = {"source_points": 50, "locality_points": 30, "partner_points": 20}
    wishes = {"sources": SOLAR, "partners": [neighbour.connection], **points}
    bounded = wishes | {"partners": [wishes["partners"]]}  # this SDK wants a BoundedVec so
    premium = {"connection": number, "premium_micro": PREMIUM, "budget_nano": BUDGET}
    sale = {"side": "Offer", "price_micro": 20_000, "quantity_wh": 200}
    receipts = submit_all(
        client,
        owner,
        [
            ("Trading", "declare_preferences", {"connection": number, "preferences": bounded}),
            ("Trading", "declare_premium", premium),
        ],
    )
    # A block was made just now: both orders reach the next one, and so the same call.
    offered_sale = client.create_signed_extrinsic(
        client.compose_call(*place_order(neighbour.connection, interval, **sale)), neighbour.owner
    )
    client.submit_extrinsic(offered_sale)
    receipts += submit_all(client, owner, [place_order(number, interval, quantity_wh=200)])
    assert [error_of(receipt) for receipt in receipts] == ["", "", ""]
    assert client.query("Trading", "Preferences", [number]).value == wishes

    bought = eventually(lambda: bought_in(client, interval, number), 20)

    (sold,) = [each for each in bought if each["seller"] == neighbour.connection]
    assert sold["energy_class"] == "Solar"
    assert (sold["wh"], sold["premium_micro"]) == (200, PREMIUM)
    assert client.query("Trading", "Premiums", [number]).value["reserved_nano"] == 200 * PREMIUM

    terms = {"side": "Bid", "energy_class": "Solar", "wh": 100, "price_nano": PRICE}
    offer = terms | {"taker": neighbour.connection}
    offered = {"connection": number, "interval": interval, "offer": offer}
    succeed(client, owner, ("Trading", "offer_right", offered))
    shown = json.loads(
        devnet.dret(
            *("market", "right", "list", "--interval", str(interval), "-o", "json"),
            *("--rpc-port", str(devnet.port("alice"))),
        )
    )
    assert {each["connection"]: each["wh"] for each in shown["offers"]} == {number: 100}
    taken = {"connection": neighbour.connection, "giver": number, "interval": interval}
    refused, receipt = submit_all(
        client,
        neighbour.owner,
        [
            ("Trading", "take_right", taken | {"offer": offer | {"price_nano": PRICE - 1}}),
            ("Trading", "take_right", taken | {"offer": offer}),
        ],
    )

    assert error_of(refused) == "RightOfferNotFound"
    assert error_of(receipt) == ""
    (moved,) = attributes(receipt.triggered_events, "Trading.RightTransferred")
    assert (moved["giver"], moved["taker"], moved["wh"]) == (number, neighbour.connection, 100)
    paid = attributes(receipt.triggered_events, "Balances.Transfer")
    assert [(each["to"], each["amount"]) for each in paid] == [(owner.ss58_address, PRICE)]
    holding = client.query("Trading", "Holdings", [interval, neighbour.connection]).value
    assert (holding["buy_wh"], holding["sell_wh"]) == (100, 200)
    assert client.query("Trading", "Premiums", [number]).value["reserved_nano"] == 100 * PREMIUM


def bought_in(client: Any, interval: int, number: int) -> list[dict[str, Any]]:
    """The pairs of an interval in which a connection buys."""
    pairs: list[dict[str, Any]] = client.query("Trading", "Pairs", [interval]).value or []
    return [each for each in pairs if each["buyer"] == number]

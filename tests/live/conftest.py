"""The one devnet of this folder, its clients, and a household that moves in."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.network import Devnet, all_gone, eventually
from tests.live.sdk import Bid, Household, bid_until_matched, connect, settle_in


@pytest.fixture(scope="package")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A devnet that may be down. `DRET_SCENARIO` names another grid."""
    scenario = os.environ.get("DRET_SCENARIO", "rural1")
    network = Devnet(tmp_path_factory.mktemp("devnet"), scenario)
    try:
        yield network
    finally:
        pids = list(network.pids().values()) if network.is_running else []
        network.down()
    eventually(lambda: all_gone(pids), 10)


@pytest.fixture
def devnet(network: Devnet) -> Devnet:
    """The devnet, running."""
    return network.ensure_up()


@pytest.fixture(scope="module")
def client(network: Devnet) -> Iterator[Any]:
    """substrate-interface as a newcomer connects it, to a prosumer's node."""
    with connect(network.ensure_up().rpc_url("sunny-street")) as found:
        yield found


@pytest.fixture(scope="package")
def household(network: Devnet) -> Household:
    """A household that was not in the genesis: connected and metered by calls."""
    with connect(network.ensure_up().rpc_url("wind-coop")) as client:
        return settle_in(client, "Newcomer")


@pytest.fixture(scope="package")
def bid(network: Devnet, household: Household) -> Bid:
    """A bid of the household for the next open interval, and its fill."""
    with connect(network.rpc_url("alice")) as client:
        return bid_until_matched(client, household)

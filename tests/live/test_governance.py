"""Validators are rotated, added and removed while real nodes run; a late one follows it all.

The tests stand in their order: the network lives on from one to the next.
"""

import signal
from collections.abc import Iterator

import pytest

from runtime.pallets.authorities.proposals import RemoveMember
from tests.live.governed import MEMBERS, SESSION_BLOCKS, Governed, account, address
from tests.live.network import LIVE, ask, eventually

pytestmark = LIVE

SESSION_S = 2.0 * SESSION_BLOCKS
HANDOFF_S = 5 * SESSION_S
JOIN_S = 10 * SESSION_S


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    """Four validators that are members, on short sessions."""
    network = Governed(tmp_path_factory.mktemp("governed"))
    network.write_spec()
    try:
        for name in MEMBERS:
            network.start(name, f"--{name}")
        eventually(lambda: network.is_final_beyond(1), 60)
        yield network
    finally:
        network.stop_all()


def test_a_validator_votes_and_authors_with_rotated_keys_though_nodes_are_killed(
    governed: Governed,
) -> None:
    before = {entry.who: entry.keys for entry in governed.overview().validators}

    governed.dret("rotate-keys", signer="bob", at="bob")
    for name in ("bob", "charlie"):
        governed.stop(name, signal.SIGKILL)
        governed.start(name, f"--{name}")
    eventually(lambda: keys_of(governed, "bob") != before[account("bob")], HANDOFF_S)
    number, set_id = governed.finalized(), governed.overview().set_id
    eventually(lambda: governed.is_final_beyond(number + 2 * len(MEMBERS)), HANDOFF_S)

    assert set_id == 1
    assert account("bob") in governed.authors(2 * len(MEMBERS))
    assert governed.overview().is_handing_over is False


def test_a_member_joins_when_its_node_has_shown_that_it_runs(governed: Governed) -> None:
    governed.start("eve")
    governed.dret("rotate-keys", signer="eve", at="eve")
    governed.stop("eve")
    governed.start("eve", "--validator")

    governed.decide("add", address("eve"), by=MEMBERS[:3])
    eventually(lambda: account("eve") in governed.validators(), JOIN_S)
    number = governed.finalized()
    eventually(lambda: governed.is_final_beyond(number + 10), HANDOFF_S)

    assert governed.validators()[-1] == account("eve")
    assert account("eve") in governed.authors(10)


def test_a_member_that_is_dead_is_removed_and_finality_goes_on(governed: Governed) -> None:
    governed.stop("dave")

    governed.decide("remove", address("dave"), by=("alice", "bob", "charlie", "eve"))
    eventually(lambda: account("dave") not in governed.validators(), HANDOFF_S)
    number = governed.finalized()
    eventually(lambda: governed.is_final_beyond(number + 5), HANDOFF_S)

    assert [account(name) for name in ("alice", "bob", "charlie", "eve")] == governed.validators()


def test_a_late_node_follows_all_handoffs(governed: Governed) -> None:
    goal = governed.finalized()

    governed.start("frieda")
    eventually(lambda: governed.is_final_beyond(goal, "frieda"), 60)

    hashes = {ask(governed.ports[name], "chain_getBlockHash", goal) for name in ("alice", "frieda")}
    assert len(hashes) == 1
    assert governed.overview("frieda").set_id >= 3


def test_a_key_that_runs_twice_is_reported_and_its_removal_proposed(governed: Governed) -> None:
    governed.start("charlie-again", "--charlie")

    def found() -> list[object]:
        proposals = [proposal for _, proposal in governed.overview().proposals]
        return [p.action for p in proposals if p.proposer is None]

    eventually(lambda: RemoveMember(account("charlie")) in found(), HANDOFF_S)
    governed.stop("charlie-again")
    number = governed.finalized()

    eventually(lambda: governed.is_final_beyond(number + 5), HANDOFF_S)


def keys_of(governed: Governed, name: str) -> object:
    """The keys a validator signs with."""
    return next(e.keys for e in governed.overview().validators if e.who == account(name))

"""`dret authority`: its calls are the runtime's, and what it prints says what stands."""

import pytest

from node.cli import authority
from runtime.pallets.authorities.proposals import (
    Action,
    AddMember,
    AppointGateway,
    AppointOperator,
    CancelUpgrade,
    DecideOnMarket,
    EmergencyDisable,
    Proposal,
    RemoveMember,
    ReplaceKeys,
    ReplaceMember,
    ScheduleUpgrade,
)
from runtime.pallets.trading.decisions import (
    ReleaseCongestionRent,
    SetFund,
    SetParameters,
    SetTariffs,
)
from runtime.pallets.trading.fund import FundTerms
from runtime.pallets.trading.parameters import MarketParameters
from runtime.pallets.trading.tariffs import EdgeTariff, TariffBand, TariffBook
from tests.support import ALICE, BOB, EVE, build_runtime, new_runtime
from tests.support.governance import keys_named, proof_of

ACTIONS: list[Action] = [
    AddMember(EVE),
    RemoveMember(BOB),
    ReplaceMember(BOB, EVE),
    EmergencyDisable(BOB),
    ScheduleUpgrade(2, bytes(32), 1_000),
    CancelUpgrade(),
    AppointOperator(EVE),
    AppointGateway(EVE),
    ReplaceKeys(BOB, keys_named("Bob2"), proof_of("Bob2", BOB)),
    DecideOnMarket(SetParameters(MarketParameters(True, 10_000, 96))),
    DecideOnMarket(SetTariffs(TariffBook(7, (TariffBand(5, (EdgeTariff(1, 2),)),), (0,) * 96))),
    DecideOnMarket(ReleaseCongestionRent(10**9)),
    DecideOnMarket(SetFund(FundTerms(400, 20_000))),
]


@pytest.mark.parametrize("action", ACTIONS)
def test_proposals_are_encoded_as_the_runtime_takes_them(action: Action) -> None:
    expected = new_runtime().assembly.encode_call("Authorities", "propose", action=action)

    assert authority.propose_call(action) == expected


def test_votes_withdrawals_and_peer_ids_are_encoded_as_the_runtime_takes_them() -> None:
    encode = new_runtime().assembly.encode_call
    number = (7).to_bytes(4, "little")

    assert encode("Authorities", "vote", proposal_id=7, is_aye=True) == (
        bytes([authority.AUTHORITIES, authority.VOTE]) + number + b"\x01"
    )
    assert encode("Authorities", "withdraw", proposal_id=7) == (
        bytes([authority.AUTHORITIES, authority.WITHDRAW]) + number
    )
    assert encode("Authorities", "set_peer_id", peer_id=b"12D3")[:2] == bytes(
        [authority.AUTHORITIES, authority.SET_PEER_ID]
    )


def test_session_keys_are_registered_as_the_runtime_takes_them() -> None:
    keys, proof = keys_named("Eve"), proof_of("Eve", EVE)
    expected = new_runtime().assembly.encode_call("Session", "set_keys", keys=keys, proof=proof)

    assert authority.set_keys(keys, proof) == expected


def test_the_storage_keys_are_the_runtimes() -> None:
    runtime = build_runtime()
    stored = runtime.assembly.state.overlay

    key = bytes.fromhex(authority.storage_key("Session", "NextKeys", ALICE)[2:])

    assert stored.get(key) == keys_named("Alice").encode()


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_words(action: Action) -> None:
    proposal = Proposal(action, ALICE, 1, 31, [ALICE], [], None)

    line = authority.describe(3, proposal)

    assert line.startswith("Proposal 3: ")
    assert "does not know" not in line
    assert "1 ayes, 0 nays; open until block 31" in line


def test_an_overview_is_told_to_programs_too() -> None:
    runtime = build_runtime()
    runtime.authorities.propose(ALICE, AddMember(EVE))

    told = authority.as_json(runtime.authorities.overview())

    assert told["session"] == 0
    assert told["members"] == [authority.name_of(who) for who in runtime.authorities.members.get()]
    assert list(told["proposals"]) == ["0"]  # type: ignore[call-overload]

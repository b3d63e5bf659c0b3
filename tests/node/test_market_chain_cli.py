"""`dret market` against a node of plain values: what it asks, what it signs, what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from asyncclick.testing import CliRunner, Result

from devnet import calls
from node.cli import chain_access
from node.cli.market import group
from node.errors import ConfigInvalid, NodeUnreachable
from node.keystore import Keystore
from runtime.pallets.consumption_metering.records import Correction, Metered, Method
from runtime.pallets.trading.contract_records import (
    Contract,
    ContractEntry,
    ContractId,
    ContractProposal,
    ContractTerms,
    PriceRule,
    Shape,
)
from runtime.pallets.trading.records import BillLine, PoolChoice, SettlementLine
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.extrinsic import account_of, decode_extrinsic
from runtime.primitives.scale import codec

GENESIS, FINAL = "0x" + "11" * 32, "0x" + "22" * 32
SIGNER = ("--suri", "//Home//1")


class FakeLink:
    """A node: `answers` by the name of a runtime function, `taken` what was handed in, `asked`
    after which blocks it was asked.
    """

    answers: dict[str, bytes]
    taken: list[bytes]
    asked: list[tuple[str, str | None]]
    is_up = True
    times_connected = 0

    def __init__(self, host: str, port: int) -> None:
        pass

    async def run(self) -> None:
        await trio.sleep_forever()

    async def call(self, method: str, params: Any = ()) -> Any:
        match method:
            case "state_getRuntimeVersion":
                return {"specVersion": 3, "transactionVersion": 1}
            case "chain_getBlockHash":
                return GENESIS
            case "chain_getFinalizedHead":
                return FINAL
            case "chain_getHeader":
                return {"number": "0x40"}
            case "system_accountNextIndex":
                return len(self.taken)
            case "author_submitExtrinsic":
                self.taken.append(bytes.fromhex(params[0][2:]))
                return FINAL
            case "state_call":
                if params[0] == "AccountNonceApi_account_nonce":
                    return "0x" + len(self.taken).to_bytes(4, "little").hex()
                self.asked.append((params[0], params[2]))
                return "0x" + self.answers[params[0]].hex()
        raise AssertionError(method)


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeLink]]:
    FakeLink.answers, FakeLink.taken, FakeLink.asked, FakeLink.is_up = {}, [], [], True
    monkeypatch.setattr(chain_access, "Link", FakeLink)
    yield FakeLink


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


def calls_taken() -> list[bytes]:
    return [decode_extrinsic(extrinsic).call for extrinsic in FakeLink.taken]


async def test_leaving_the_pool_is_signed_and_waited_for() -> None:
    FakeLink.answers["Trading_pool_choice"] = PoolChoice(False, 77).encode()

    result = await run("pool", "leave", "--connection", "3", *SIGNER)

    assert calls_taken() == [calls.choose_pool(3, is_member=False)]
    assert result.output == "Connection 3 is outside of the pool since interval 77.\n"


async def test_a_choice_that_the_state_does_not_show_was_refused() -> None:
    FakeLink.answers["Trading_pool_choice"] = PoolChoice(True, 0).encode()

    result = await run("pool", "leave", "--connection", "3", *SIGNER)

    assert isinstance(result.exception, chain_access.Refused)


async def test_showing_the_pool_signs_nothing() -> None:
    FakeLink.answers["Trading_pool_choice"] = PoolChoice(True, 0).encode()

    result = await run("pool", "show", "--connection", "3")

    assert "is in the pool since interval 0" in result.output
    assert calls_taken() == []


async def test_a_correction_tells_what_stood_there_before() -> None:
    made = Correction(2, Metered(700, 0, Method.METERED), 500, 40, "swapped", 5)
    FakeLink.answers["ConsumptionMetering_corrections"] = codec(list[Correction]).encode([made])
    options = ["--connection", "2", "--interval", "9", "--import-wh", "500", "--export-wh", "40"]

    result = await run("correct", *options, "--reason", "swapped", *SIGNER)
    other = await run("correct", *options, "--reason", "other", *SIGNER)

    assert calls_taken()[0] == calls.correct_reading(2, 9, 500, 40, "swapped")
    assert "700 Wh in and 0 Wh out became 500 and 40" in result.output
    assert isinstance(other.exception, chain_access.Refused)


async def test_a_bill_is_a_table_or_json() -> None:
    line = SettlementLine(700, 0, Method.METERED, 0, 0, 0, 0, 0, True, 200, 0, -190_000_000)
    lines = codec(list[BillLine]).encode([BillLine(9, True, line)])
    FakeLink.answers["Trading_bill"] = lines
    options = ["--connection", "2", "--first", "9", "--last", "12"]

    table = await run("bill", *options)
    rows = json.loads((await run("bill", *options, "-o", "json")).output)

    assert "-0.190000  metered, final" in table.output
    assert rows[0]["pool_import_wh"] == 200
    assert rows[0]["is_final"] is True


async def test_a_node_that_is_not_there_is_named(autojump_clock: trio.abc.Clock) -> None:
    FakeLink.is_up = False

    result = await run("pool", "show", "--connection", "3", "--rpc-port", "9999")

    assert isinstance(result.exception, NodeUnreachable)
    assert "127.0.0.1:9999" in str(result.exception)


TERMS = ContractTerms(
    seller=3,
    buyer=5,
    shape=Shape.AS_PRODUCED,
    volume_wh=0,
    share_ppm=200_000,
    price=PriceRule(110_000, 0, 110_000, 110_000),
    first=1_120,
    last=1_120 + 96 - 1,
    is_firm=False,
    tolerance_ppm=0,
    notice=96,
    termination_fee_max=2_500_000_000,
)
STANDING = Contract(TERMS, 7_000_000_000, 7_000_000_000, False, 900, 99_000_000)


def stand(*contracts: Contract) -> None:
    """Let these contracts stand, and let none wait."""
    entries = [ContractEntry(number, each) for number, each in enumerate(contracts)]
    FakeLink.answers["Trading_contracts"] = codec(list[ContractEntry]).encode(entries)
    FakeLink.answers["Trading_contract_proposals"] = b"\0"


async def test_a_contract_is_proposed_with_amounts_in_drt() -> None:
    waiting = [(4, ContractProposal(bytes(32), TERMS))]
    FakeLink.answers["Trading_current_interval"] = (1_000).to_bytes(4, "little")
    FakeLink.answers["Trading_contract_proposals"] = codec(
        list[tuple[ContractId, ContractProposal]]
    ).encode(waiting)
    options = ["--seller", "3", "--buyer", "5", "--shape", "as-produced", "--price", "0.11"]
    options += ["--share-ppm", "200000", "--days", "1", "--termination-fee-max", "2.5"]

    result = await run("contract", "propose", *options, *SIGNER)
    other = await run("contract", "propose", *options, "--firm", *SIGNER)
    fine = await run("contract", "propose", *options, "--cap", "0.0000001", *SIGNER)

    assert calls_taken()[0] == calls.propose_contract(TERMS)
    assert "Contract 4 waits for the other party; it begins with 1120." in result.output
    assert isinstance(other.exception, chain_access.Refused)
    assert fine.exit_code == 2


async def test_contracts_are_signed_and_shown() -> None:
    stand(STANDING)

    signed = await run("contract", "countersign", "0", *SIGNER)
    late = await run("contract", "countersign", "1", *SIGNER)
    table = await run("contract", "list")
    rows = json.loads((await run("contract", "list", "-o", "json")).output)

    assert calls_taken()[0] == calls.of_contract(calls.COUNTERSIGN_CONTRACT, 0)
    assert "Contract 0 stands; each party keeps 7.000000000 DRT aside." in signed.output
    assert isinstance(late.exception, chain_access.Refused)
    assert "as_produced" in table.output
    assert "0.099000" in table.output
    assert (rows[0]["state"], rows[0]["base_micro"]) == ("stands", 110_000)


async def test_a_contract_that_ends_as_before_was_not_terminated() -> None:
    stand(STANDING)

    same = await run("contract", "terminate", "0", *SIGNER)
    none = await run("contract", "terminate", "9", *SIGNER)

    assert isinstance(same.exception, chain_access.Refused)
    assert "no contract 9" in str(none.exception)


async def test_a_proposal_that_goes_on_waiting_or_never_did_was_not_withdrawn() -> None:
    waiting = [(4, ContractProposal(bytes(32), TERMS))]
    FakeLink.answers["Trading_contract_proposals"] = codec(
        list[tuple[ContractId, ContractProposal]]
    ).encode(waiting)

    refused = await run("contract", "withdraw", "4", *SIGNER)
    none = await run("contract", "withdraw", "5", *SIGNER)

    assert calls_taken() == [calls.of_contract(calls.WITHDRAW_CONTRACT, 4)]
    assert "you are no party" in str(refused.exception)
    assert "no proposal 5" in str(none.exception)


async def test_a_key_of_a_keystore_signs(tmp_path: Path) -> None:
    stand(STANDING)
    folder = tmp_path / "keystore"
    pair = Keystore(folder).insert("gran", "//Utility")
    chosen = ("--keystore-path", str(folder), "--from", ss58_encode(pair.public))

    signed = await run("contract", "countersign", "0", *chosen)
    other = await run("contract", "countersign", "0", *chosen[:-1], "0x" + "07" * 32)
    nobody = await run("contract", "countersign", "0", *chosen[:-2])
    nowhere = await run(
        "contract", "countersign", "0", "--keystore-path", str(tmp_path / "no"), "--from", "0x07"
    )

    assert signed.exit_code == 0
    part = decode_extrinsic(FakeLink.taken[0]).signed
    assert part is not None
    assert account_of(part.address) == pair.public
    assert isinstance(other.exception, ConfigInvalid)
    assert "holds 1 keys" in str(other.exception)
    assert (nobody.exit_code, nowhere.exit_code) == (2, 2)
    assert len(FakeLink.taken) == 1


async def test_a_secret_among_the_arguments_is_warned_about() -> None:
    stand(STANDING)
    secret = "0x" + "12" * 32

    development = await run("contract", "countersign", "0", "--from", "//Home//1")
    own = await run("contract", "countersign", "0", "--from", secret)

    assert "Warning" not in development.stderr
    assert "--suri-file" in own.stderr
    assert secret not in own.stderr

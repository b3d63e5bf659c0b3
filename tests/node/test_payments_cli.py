"""`dret payments` against a node of plain values: what it signs, and what it says of refusals."""

import json

import pytest
from asyncclick.testing import CliRunner, Result

from devnet import calls
from node.cli import chain_access
from node.cli.payments import group
from runtime.pallets.payments import (
    Attestation,
    BankDeposit,
    Flows,
    Overview,
    PayoutView,
    payout_reference,
)
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from tests.node.test_market_chain_cli import FINAL, FakeLink, calls_taken, node

__all__ = ["node"]
SIGNER = ("--suri", "//Home//1")
WHO = KeyPair.from_suri("//Home//1", Scheme.SR25519).public
ADDRESS = ss58_encode(WHO)
DRT = 10**9
FLOWS = Flows(9 * DRT, 2 * DRT, DRT, 5 * DRT, 1)
OVERVIEW = Overview(WHO, 3, FLOWS, 100 * DRT, Attestation(2, 101 * DRT, 100 * DRT), DRT)
WAITING = [PayoutView(3, WHO, 5 * DRT, payout_reference(3, WHO))]
VIEWS = codec(list[PayoutView])


async def payments(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


@pytest.fixture(autouse=True)
def answers(node: type[FakeLink]) -> None:
    node.answers = {
        "Payments_overview": OVERVIEW.encode(),
        "Payments_due": VIEWS.encode(WAITING),
        "Payments_of": VIEWS.encode([]),
        "Payments_deposit": codec(BankDeposit | None).encode(None),
    }


def let_chain_answer(monkeypatch: pytest.MonkeyPatch, name: str, *later: bytes) -> None:
    """After each call that is taken, another answer."""
    first = FakeLink.answers[name]

    class Changing(dict[str, bytes]):
        def __getitem__(self, key: str) -> bytes:
            if key != name:
                return super().__getitem__(key)
            return (first, *later)[min(len(FakeLink.taken), len(later))]

    monkeypatch.setattr(FakeLink, "answers", Changing(FakeLink.answers))


async def test_it_shows_where_payments_stand() -> None:
    table = (await payments("show")).output
    found = json.loads((await payments("show", "-o", "json")).output)

    assert f"Gateway: {ADDRESS}" in table
    assert "1 payouts of 5.000000000 DRT" in table
    assert "1.000000000 DRT more than on the chain" in table
    assert found["surplus_nano"] == DRT
    assert found["payouts"][0]["amount_nano"] == 5 * DRT
    of_account = json.loads((await payments("show", "--account", ADDRESS, "-o", "json")).output)
    assert of_account["payouts"] == []
    assert {at for _, at in FakeLink.asked} == {FINAL}, "a bank pays by it, and takes nothing back"


async def test_a_payout_is_requested_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    let_chain_answer(monkeypatch, "Payments_of", VIEWS.encode(WAITING), VIEWS.encode([]))

    requested = await payments("payout", "--amount", "5", *SIGNER)
    cancelled = await payments("cancel", *SIGNER)

    assert calls_taken() == [calls.request_payout(5 * DRT), calls.cancel_payout()]
    assert "Day 3: 5.000000000 DRT will be paid" in requested.output
    assert "5.000000000 DRT are back" in cancelled.output


async def test_the_gateway_mints_confirms_returns_and_attests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minted = codec(BankDeposit | None).encode(BankDeposit(WHO, DRT, 2))
    let_chain_answer(monkeypatch, "Payments_deposit", minted)
    options = ("--to", ADDRESS, "--amount", "1", "--bank-id", "E2E-77", "--day", "2")
    result = await payments("deposit", *options, *SIGNER)
    assert calls_taken()[-1] == calls.deposit(blake2_256(b"E2E-77"), WHO, 2, DRT)
    assert "1.000000000 DRT minted" in result.output

    executions: list[tuple[str, ...]] = [("confirm",), ("return", "--reason", "closed")]
    for words in executions:
        FakeLink.taken = []
        FakeLink.answers["Payments_of"] = VIEWS.encode(WAITING)
        let_chain_answer(monkeypatch, "Payments_of", VIEWS.encode([]))
        result = await payments(*words, "--day", "3", "--account", ADDRESS, *SIGNER)
        assert result.exception is None
    assert calls_taken() == [calls.return_payout(3, WHO, b"closed")]

    result = await payments("attest", "--day", "2", "--reserve", "101", *SIGNER)
    assert calls_taken()[-1] == calls.attest_reserve(2, 101 * DRT)
    assert "more at the bank" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("payout", "--amount", "5"), "the money is not there"),
        (("cancel",), "Nothing was requested today"),
        (
            ("deposit", "--to", ADDRESS, "--amount", "1", "--bank-id", "x", "--day", "2"),
            "not the gateway",
        ),
        (("confirm", "--day", "1", "--account", ADDRESS), "no payout of day 1"),
        (("attest", "--day", "1", "--reserve", "7"), "not this day"),
    ],
)
async def test_what_the_state_does_not_show_was_refused(
    arguments: tuple[str, ...], reason: str
) -> None:
    result = await payments(*arguments, *SIGNER)

    assert isinstance(result.exception, chain_access.Refused)
    assert reason in str(result.exception)


async def test_a_transfer_that_was_minted_is_not_handed_in_again() -> None:
    minted = codec(BankDeposit | None).encode(BankDeposit(WHO, DRT, 2))
    FakeLink.answers["Payments_deposit"] = minted
    options = ("--to", ADDRESS, "--amount", "1", "--bank-id", "E2E-77", "--day", "2")

    result = await payments("deposit", *options, *SIGNER)

    assert "is on the chain already" in str(result.exception)
    assert calls_taken() == []


async def test_a_payout_that_still_waits_was_not_executed() -> None:
    FakeLink.answers["Payments_of"] = VIEWS.encode(WAITING)

    for arguments in (
        ("confirm", "--day", "3", "--account", ADDRESS),
        ("cancel",),
    ):
        result = await payments(*arguments, *SIGNER)
        assert isinstance(result.exception, chain_access.Refused)


@pytest.mark.parametrize(
    "arguments",
    [
        ("payout", "--amount", "0"),
        ("payout", "--amount", "x"),
        ("deposit", "--to", "no", "--amount", "1", "--bank-id", "x", "--day", "2"),
        ("confirm", "--day", "-1", "--account", ADDRESS),
        ("return", "--day", "1", "--account", ADDRESS, "--reason", "x" * 65),
        ("attest", "--day", "1", "--reserve", "-7"),
        ("show", "--account", "0x12"),
    ],
)
async def test_wrong_input_is_refused(arguments: tuple[str, ...]) -> None:
    signer = () if arguments[0] == "show" else SIGNER

    assert (await payments(*arguments, *signer)).exit_code == 2

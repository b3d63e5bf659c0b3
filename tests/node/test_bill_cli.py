"""`dret bill`: what it shows, and that it believes nothing it can check."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from asyncclick.testing import CliRunner, Result

from node.chain_spec import ChainSpec
from node.cli import chain_access
from node.cli.bill import command
from node.client.finality import ProofRefused
from node.errors import ConfigInvalid
from runtime.constants import Constants
from runtime.primitives.crypto import ss58_encode
from tests.golden.script import golden_chain, key, sections
from tests.node.chain_link import ChainLink
from tests.support.chains import MemoryChain
from tests.support.runtimes import CONSTANTS, hex_of

ALICE = ss58_encode(key("Alice").public)
FIRST = CONSTANTS.genesis_interval
RANGE = ("--first", str(FIRST), "--last", str(FIRST + 6))


@pytest.fixture(scope="module")
def history() -> MemoryChain:
    return golden_chain()


def write_spec(path: Path, genesis: dict[str, Any], constants: Constants = CONSTANTS) -> Path:
    spec = ChainSpec("Test", "test", "Local", (), {}, asdict(constants), genesis)
    path.write_text(spec.encode())
    return path


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spec(tmp_path_factory.mktemp("chain") / "spec.json", sections())


@pytest.fixture(autouse=True)
def chain(history: MemoryChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = history
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    monkeypatch.setattr(ChainLink, "proof_keys_max", 1_024)
    yield history


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(command, arguments)
    return result


async def as_json(*arguments: str) -> Any:
    result = await run(*arguments, "-o", "json")
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout)


async def test_a_bill_names_the_block_and_the_keys_of_each_line(history: MemoryChain) -> None:
    (bill,) = await as_json(ALICE, *RANGE)

    assert bill["block"] == "0x" + history.head.hash().hex()
    assert bill["connections"] == [1]
    assert [line["interval"] for line in bill["lines"]] == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
    for line in bill["lines"]:
        assert line["block"] == bill["block"] and len(line["keys"]) == 2
    assert bill["amount_nano"] == sum(line["amount_nano"] for line in bill["lines"])
    assert bill["not_settled"][0]["from"] == FIRST + 4
    assert bill["refused"] == []


async def test_a_bill_is_verified_by_chain_specification_and_proofs_alone(spec: Path) -> None:
    (bill,) = await as_json(ALICE, *RANGE, "--verify", "--chain", str(spec))
    text = (await run(ALICE, *RANGE, "--verify", "--chain", str(spec))).output

    assert bill["verified"] == {"set_id": 0, "voters": 4, "keys": 3 + 2 * 7}
    assert "Verified: 17 entries of the state of block 20" in text
    assert "Energy in Wh. To receive" in text


async def test_proofs_that_are_too_large_for_a_reply_are_asked_for_in_parts(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChainLink, "proof_keys_max", 3)

    (bill,) = await as_json(ALICE, *RANGE, "--verify", "--chain", str(spec))

    assert bill["verified"]["keys"] == 17


@pytest.mark.parametrize("field", ["lines", "amount_nano", "not_settled", "connections", "refused"])
async def test_a_node_that_lies_in_any_field_is_found_out(
    spec: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    honest = ChainLink.dret_bill

    def lie(self: ChainLink, *arguments: Any) -> Any:
        bill = json.loads(json.dumps(honest(self, *arguments)))
        if field == "lines":
            bill["lines"][2]["amount_nano"] += 1
        elif field == "amount_nano":
            bill[field] += 1
        else:
            bill[field] = bill[field][1:] or [{"from": 1, "to": 2, "reason": "lost"}]
        return bill

    monkeypatch.setattr(ChainLink, "dret_bill", lie)

    result = await run(ALICE, *RANGE, "--verify", "--chain", str(spec))

    assert isinstance(result.exception, ProofRefused)
    assert repr(field) in str(result.exception)
    assert result.exception.exit_code == 11


async def test_a_line_that_is_left_out_with_its_money_is_missed(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = ChainLink.dret_bill

    def omit(self: ChainLink, *arguments: Any) -> Any:
        bill = json.loads(json.dumps(honest(self, *arguments)))
        bill["amount_nano"] -= bill["lines"].pop()["amount_nano"]
        return bill

    monkeypatch.setattr(ChainLink, "dret_bill", omit)

    result = await run(ALICE, *RANGE, "--verify", "--chain", str(spec))

    assert isinstance(result.exception, ProofRefused)


async def test_proofs_of_another_state_are_refused(
    spec: Path, monkeypatch: pytest.MonkeyPatch, history: MemoryChain
) -> None:
    honest, other = ChainLink.state_getReadProof, "0x" + history.headers[9].hash().hex()
    monkeypatch.setattr(
        ChainLink, "state_getReadProof", lambda self, keys, block: honest(self, keys, other)
    )

    result = await run(ALICE, *RANGE, "--verify", "--chain", str(spec))

    assert isinstance(result.exception, ProofRefused)
    assert "does not fit the state root" in str(result.exception)


async def test_too_few_votes_prove_nothing(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChainLink, "voters", ("Alice", "Bob"))

    result = await run(ALICE, *RANGE, "--verify", "--chain", str(spec))

    assert "2 precommits, expected exactly 3" in str(result.exception)


async def test_another_chain_is_named(tmp_path: Path) -> None:
    genesis = sections()
    genesis["balances"]["accounts"][hex_of(bytes(32))] = 10**9
    other = write_spec(tmp_path / "other.json", genesis)

    result = await run(ALICE, *RANGE, "--verify", "--chain", str(other))

    assert isinstance(result.exception, ConfigInvalid)
    assert "Pass the right --chain" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ALICE, "--verify"), "--verify needs --chain"),
        ((ALICE, "--first", "9", "--last", "3"), "--first 9 is behind --last 3"),
        (("5Fxx",), "5Fxx is no address"),
    ],
)
async def test_wrong_input_is_a_usage_error(arguments: tuple[str, ...], words: str) -> None:
    result = await run(*arguments)

    assert result.exit_code == 2
    assert words in result.output

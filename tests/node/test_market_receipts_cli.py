"""`--receipt` and `dret market receipt` on a chain in memory: got, checked and reported."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner, Result

from node.cli import chain_access
from node.cli.chain_access import Refused
from node.cli.market import group
from node.cli.market_receipts import PromiseBroken
from node.client.receipts import Kept, load, store
from node.errors import ConfigInvalid
from runtime.pallets.authorities.events import Offence
from runtime.pallets.authorities.offences import OffenceKind
from tests.node.chain_link import ChainLink
from tests.runtime.pallets.test_receipts import order_of
from tests.support.chains import MemoryChain
from tests.support.receipts import author_at, promise_of
from tests.support.runtimes import genesis_sections, new_runtime

K = 1_010
ORDER = ("order", "buy", "--connection", "1", "--interval", str(K), "--wh", "500")
FROM = ("--from", "//Alice")


@pytest.fixture(autouse=True)
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = MemoryChain.new(new_runtime(), genesis_sections())
    ChainLink.chain.build()
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    yield ChainLink.chain


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "receipt.json"


async def market(*arguments: object) -> Result:
    result: Result = await CliRunner().invoke(group, [str(each) for each in arguments])
    return result


async def done(*arguments: object) -> str:
    result = await market(*arguments)
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def broken(chain: MemoryChain, file: Path) -> Kept:
    """A receipt in the file whose validator leaves the order out."""
    order = order_of(chain)
    kept = Kept(promise_of(chain, author_at(chain.slot + 1), order), order)
    store(file, kept)
    for _ in range(6):
        chain.build()
    while author_at(chain.slot + 1).public == kept.receipt.validator:
        chain.slot += 1  # who is disabled makes no block with the report
    return kept


async def test_an_order_is_promised_and_its_receipt_kept(chain: MemoryChain, file: Path) -> None:
    told = await done(*ORDER, *FROM, "--receipt", file)

    kept = load(file)
    assert f"Promised until block {kept.receipt.promise.last}; the receipt is in {file}." in told
    assert "stands: buy 500 Wh" in told
    assert kept.order in chain.bodies[-1]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_promise_is_kept_as_soon_as_a_block_has_the_order(
    chain: MemoryChain, file: Path
) -> None:
    await done(*ORDER, *FROM, "--receipt", file)

    assert await done("receipt", "check", file) == (
        f"The promise was kept: block {chain.head.number} has the order.\n"
    )


async def test_a_promise_is_open_until_its_last_block_is_behind(
    chain: MemoryChain, file: Path
) -> None:
    order = order_of(chain)
    store(file, Kept(promise_of(chain, author_at(chain.slot + 1), order), order))
    chain.build()

    assert "open until block 5" in await done("receipt", "check", file)


async def test_a_broken_promise_is_told_and_reported(chain: MemoryChain, file: Path) -> None:
    kept = broken(chain, file)

    checked = await market("receipt", "check", file, "-o", "json")
    reported = await done("receipt", "report", file)

    assert isinstance(checked.exception, PromiseBroken)
    assert checked.exception.exit_code == 11
    row = json.loads(checked.output)
    assert (row["fate"], row["block"]) == ("broken", 2)
    assert row["validator"] == "0x" + kept.receipt.validator.hex()
    assert "block 2 left the order out" in reported
    offence = Offence(kept.receipt.validator, OffenceKind.BROKEN_RECEIPT)
    assert offence in chain.runtime.assembly.state.events


async def test_a_promise_in_whose_place_another_order_came_is_excused(
    chain: MemoryChain, file: Path
) -> None:
    order, other = order_of(chain), order_of(chain, quantity_wh=600)
    store(file, Kept(promise_of(chain, author_at(chain.slot + 1), order), order))
    chain.build()
    chain.build([other])
    for _ in range(4):
        chain.build()

    told = await done("receipt", "check", file)

    assert "no block of the validator's proves why: PromiseKept" in told


async def test_a_promise_of_a_validator_that_made_no_block_in_time_is_excused(
    chain: MemoryChain, file: Path
) -> None:
    order = order_of(chain)
    store(file, Kept(promise_of(chain, author_at(chain.slot + 3), order, 2), order))
    for _ in range(5):
        chain.build()

    assert "it made no block in time" in await done("receipt", "check", file)


async def test_a_receipt_of_another_branch_is_void(chain: MemoryChain, file: Path) -> None:
    order = order_of(chain)
    other = MemoryChain.new(new_runtime(), genesis_sections())
    other.slot += 1
    other.build()
    receipt = promise_of(other, author_at(chain.slot + 1), order)
    store(file, Kept(receipt, order))
    for _ in range(6):
        chain.build()

    assert "void on this chain" in await done("receipt", "check", file)


async def test_what_was_kept_is_not_reported(chain: MemoryChain, file: Path) -> None:
    await done(*ORDER, *FROM, "--receipt", file)

    result = await market("receipt", "report", file)

    assert isinstance(result.exception, Refused)
    assert "There is nothing to report. The promise was kept" in str(result.exception)


async def test_a_report_that_was_made_already_is_refused(chain: MemoryChain, file: Path) -> None:
    broken(chain, file)
    await done("receipt", "report", file)

    result = await market("receipt", "report", file)

    assert "DuplicateReport" in str(result.exception) or "Custom error: 14" in str(result.exception)


async def test_a_receipt_is_never_overwritten(file: Path) -> None:
    file.write_text("{}")

    result = await market(*ORDER, *FROM, "--receipt", file)

    assert isinstance(result.exception, ConfigInvalid)
    assert "exists" in str(result.exception)


async def test_a_node_that_promises_nothing_is_quoted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChainLink, "promises", False)

    result = await market(*ORDER, *FROM, "--receipt", file)

    assert "This node makes no blocks." in str(result.exception)
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        ("not json", "is not JSON"),
        ("[]", "expected `receipt` and `order`"),
        ('{"receipt": "0x00", "order": "0x00"}', "is no receipt"),
        ('{"receipt": "zz", "order": "0x00"}', "is no receipt"),
    ],
)
async def test_a_file_that_holds_no_receipt_is_refused(
    file: Path, content: str | None, why: str
) -> None:
    if content is not None:
        file.write_text(content)

    result = await market("receipt", "check", file)

    assert isinstance(result.exception, ConfigInvalid)
    assert why in str(result.exception)


async def test_a_receipt_beside_another_order_is_refused(chain: MemoryChain, file: Path) -> None:
    order, other = order_of(chain), order_of(chain, quantity_wh=600)
    store(file, Kept(promise_of(chain, author_at(chain.slot + 1), order), other))

    result = await market("receipt", "check", file)

    assert "the order beside it is" in str(result.exception)


async def test_the_options_of_the_command_are_told() -> None:
    for arguments in (("receipt", "--help"), ("receipt", "check", "--help")):
        assert "promise" in await done(*arguments)
    assert (await market("receipt", "check")).exit_code == 2

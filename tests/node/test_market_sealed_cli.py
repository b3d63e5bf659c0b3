"""`dret market seal`, `reveal`, `unseal` and `sealed` on a chain in memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
import trio
from asyncclick.testing import CliRunner, Result

from node.cli import chain_access
from node.cli.market import group
from node.cli.sealed_file import FILE_BYTES_MAX, Secret, read_secret
from node.errors import CallFailed, NotFound
from runtime.pallets.trading.records import order_id_of
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.sealed_order import commitment_of
from tests.node.chain_link import ChainLink
from tests.support.accounts import ALICE as ALICES_ACCOUNT
from tests.support.chains import MemoryChain
from tests.support.runtimes import genesis_sections, new_runtime

K = 1_006
ALICE, BOB = ("--from", "//Alice"), ("--from", "//Bob")
PLACE = ("--connection", "1", "--interval", "+6")
ORDER = ("--wh", "500", "--price", "0.12")
NOW = "Trading_current_interval"
ORDER_ID = order_id_of(K, 1, 0)


@pytest.fixture(autouse=True)
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = MemoryChain.new(new_runtime(), genesis_sections())
    ChainLink.chain.build()
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    yield ChainLink.chain


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "order.json"


async def market(*arguments: object) -> Result:
    result: Result = await CliRunner().invoke(group, [str(each) for each in arguments])
    return result


async def done(*arguments: object) -> str:
    result = await market(*arguments)
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


async def seal(path: Path, *more: str) -> str:
    return await done("seal", "buy", *PLACE, *ORDER, "--file", path, *more, *ALICE)


def build_until(chain: MemoryChain, interval: int) -> None:
    """Blocks until the first one of an interval."""
    while int.from_bytes(chain.runtime.call_api(chain.overlay(), NOW, b""), "little") < interval:
        chain.build()


async def waiting() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        await done("sealed", "--account", ss58_encode(ALICES_ACCOUNT), "-o", "json")
    )
    return rows


async def test_an_order_is_sealed_with_its_secret_in_a_file_that_only_the_owner_reads(
    path: Path,
) -> None:
    told = await seal(path, "--wh-most", "800")

    secret = read_secret(path)
    terms = (secret.side, secret.price_micro, secret.quantity_wh)
    assert (secret.connection, secret.interval, *terms) == (1, K, 1, 120_000, 500)
    assert S_IMODE(path.stat().st_mode) == 0o600
    (entry,) = await waiting()
    assert (entry["order_id"], entry["side"], entry["quantity_wh_most"]) == (ORDER_ID, "buy", 800)
    assert entry["commitment"] == "0x" + secret.commitment().hex()
    assert f"Order {ORDER_ID} is sealed for interval {K}; 0.240000000 DRT are kept aside" in told
    assert f"Reveal it in interval {K - 3} or {K - 2}: dret market reveal {path}" in told


async def test_the_commitment_of_a_file_is_that_of_its_bytes(path: Path) -> None:
    await seal(path)
    content = json.loads(path.read_text())

    salt = bytes.fromhex(content["salt"][2:])
    expected = commitment_of(ALICES_ACCOUNT, 1, K, content["bus"], 1, 120_000, 500, salt)

    assert read_secret(path).commitment() == expected
    assert len(set(salt)) > 8


async def test_a_sealed_order_is_revealed_with_its_file_when_reveals_have_begun(
    chain: MemoryChain, path: Path
) -> None:
    await seal(path)
    early = await market("reveal", path, *ALICE)
    build_until(chain, K - 3)
    shown = await done("sealed")

    told = await done("reveal", path, *ALICE)

    assert isinstance(early.exception, chain_access.Refused)
    assert f"Reveals begin with interval {K - 3}, 3 from now" in str(early.exception)
    assert str(K) in shown and "reveals" in shown
    assert f"Order {ORDER_ID} stands: buy 500 Wh at 0.120000 DRT/kWh in interval {K}." in told
    assert await waiting() == []
    again = await market("reveal", path, *ALICE)
    assert isinstance(again.exception, NotFound) and "revealed already" in str(again.exception)


async def test_a_reveal_can_wait_for_its_time(
    chain: MemoryChain, path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    await seal(path)

    async def make_blocks() -> None:
        await trio.sleep(30)
        build_until(chain, K - 3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make_blocks)
        told = await done("reveal", path, "--wait", *ALICE)

    assert f"Order {ORDER_ID} stands" in told


async def test_after_the_gate_a_reveal_is_not_sent(chain: MemoryChain, path: Path) -> None:
    await seal(path)
    build_until(chain, K - 1)
    number = chain.head.number

    result = await market("reveal", path, *ALICE)

    assert isinstance(result.exception, NotFound), "its deposit is the operator's"
    assert "forfeited at its gate" in str(result.exception)
    assert chain.head.number == number


async def test_a_commitment_is_taken_back(path: Path) -> None:
    await seal(path)

    told = await done("unseal", ORDER_ID, *ALICE)

    assert f"Sealed order {ORDER_ID} is taken back" in told
    assert await waiting() == []
    assert "No interval carries sealed orders." in await done("sealed")
    assert "No sealed orders wait." in await done(
        "sealed", "--account", ss58_encode(ALICES_ACCOUNT)
    )


async def test_what_becomes_of_an_order_can_be_read_by_programs(path: Path) -> None:
    placed = json.loads(await seal(path, "-o", "json"))
    taken = json.loads(await done("unseal", ORDER_ID, "-o", "json", *ALICE))

    names = [event["event"] for each in (placed, taken) for event in each["events"]]
    assert {"Trading.OrderSealed", "Trading.SealedOrderWithdrawn"} <= set(names)


async def test_whoever_waits_over_the_gate_is_told_that_it_is_too_late(
    chain: MemoryChain, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seal(path)
    asked = chain.runtime.call_api

    def call_api(overlay: Any, name: str, data: bytes) -> bytes:
        """The chain stands still while the command waits, and goes on after the gate."""
        return (K - 1).to_bytes(4, "little") if name == NOW else asked(overlay, name, data)

    monkeypatch.setattr(chain.runtime, "call_api", call_api)
    result = await market("reveal", path, "--wait", *ALICE)
    listed = await waiting()

    assert isinstance(result.exception, chain_access.Refused)
    assert f"The gate of interval {K} has passed" in str(result.exception)
    assert [row["state"] for row in listed] == ["gate passed"]


async def test_a_file_is_never_written_over(chain: MemoryChain, path: Path) -> None:
    await seal(path)
    before, number = path.read_text(), chain.head.number

    result = await market("seal", "sell", *PLACE, *ORDER, "--file", path, *ALICE)

    assert result.exit_code == 2
    assert "it may be the only key to another sealed order" in result.output
    assert (path.read_text(), chain.head.number) == (before, number)


async def test_what_the_chain_refuses_leaves_no_file(path: Path) -> None:
    late = ("--connection", "1", "--interval", str(K - 3))

    result = await market("seal", "buy", *late, *ORDER, "--file", path, *ALICE)

    assert isinstance(result.exception, CallFailed) and "SealingClosed" in str(result.exception)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--price", "0.31"), "feed-in to retail. Such an order could never be revealed"),
        (("--price", "0.019"), "expected 0.020000 to 0.300000"),
        (("--wh", "9"), "such an order has at least 10 Wh"),
        (("--wh-most", "499"), "--wh 500 is more than --wh-most 499"),
    ],
)
async def test_what_could_not_be_revealed_is_not_sealed(
    path: Path, change: tuple[str, str], words: str
) -> None:
    result = await market("seal", "buy", *PLACE, *ORDER, *change, "--file", path, *ALICE)

    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert not path.exists()


async def test_a_connection_has_to_be_there_and_the_signers(path: Path) -> None:
    other = await market("seal", "buy", *PLACE, *ORDER, "--file", path, *BOB)
    absent = ("--connection", "77", "--interval", "+6")
    none = await market("seal", "buy", *absent, *ORDER, "--file", path, *ALICE)

    assert isinstance(other.exception, chain_access.Refused)
    assert isinstance(none.exception, NotFound) and "connection 77" in str(none.exception)
    assert not path.exists()


async def test_only_the_account_of_a_file_reveals_it(path: Path) -> None:
    await seal(path)

    result = await market("reveal", path, *BOB)

    assert result.exit_code == 2 and "not for the signer's" in " ".join(result.output.split())


async def test_a_secret_of_another_chain_is_not_told_to_this_one(path: Path) -> None:
    await seal(path)
    content = json.loads(path.read_text()) | {"chain": "0x" + "11" * 32}
    path.write_text(json.dumps(content))

    result = await market("reveal", path, *ALICE)

    assert isinstance(result.exception, chain_access.Refused)
    assert "is for the chain 0x1111" in str(result.exception)


GOOD = {
    "chain": "0x" + "01" * 32,
    "account": "0x" + "02" * 32,
    "connection": 1,
    "interval": K,
    "bus": 2,
    "side": 1,
    "price_micro": 120_000,
    "quantity_wh": 500,
    "salt": "0x" + "03" * 32,
}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ("[" * 2_000, "is not JSON"),
        ("[]", "expected an object with chain, account"),
        (json.dumps(GOOD | {"more": 1}), "expected an object with"),
        (json.dumps(GOOD | {"bus": 65_536}), "bus is 65536, expected 0 to 65535"),
        (json.dumps(GOOD | {"side": True}), "side is True, expected 0 to 1"),
        (json.dumps(GOOD | {"price_micro": "1"}), "price_micro is '1'"),
        (json.dumps(GOOD | {"salt": "0x" + "zz" * 32}), "salt is '0xzz"),
        (json.dumps(GOOD | {"salt": "03" * 33}), "expected 0x and 32 bytes"),
        (json.dumps(GOOD | {"account": 5}), "account is 5"),
        (" " * (FILE_BYTES_MAX + 1), "has more than 4096 bytes"),
    ],
)
async def test_a_file_that_is_no_secret_is_refused_with_what_is_wrong(
    path: Path, content: str, words: str
) -> None:
    path.write_text(content)

    result = await market("reveal", path, *ALICE)

    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


async def test_a_lost_file_is_said_to_cost_the_deposit(path: Path) -> None:
    result = await market("reveal", path, *ALICE)

    assert result.exit_code == 2
    assert "Without the file an order cannot be revealed" in " ".join(result.output.split())


async def test_a_folder_that_is_not_there_is_named(path: Path) -> None:
    result = await market("seal", "buy", *PLACE, *ORDER, "--file", path / "x", *ALICE)

    assert result.exit_code == 2
    assert "cannot be written" in " ".join(result.output.split())


def test_a_secret_has_what_a_reveal_needs() -> None:
    assert len(Secret(**GOOD).commitment()) == 32  # type: ignore[arg-type]

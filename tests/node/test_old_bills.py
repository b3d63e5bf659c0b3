"""Bills of intervals that the state has forgotten: proved by the root of their day, or refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from asyncclick.testing import CliRunner, Result

from node.bill_archive import Archived
from node.bills import bill_of, oldest_kept
from node.chain_spec import ChainSpec
from node.cli import chain_access
from node.cli.bill import command
from node.client.finality import ProofRefused
from node.database import Column
from node.errors import NotFound
from runtime.pallets.trading import finality
from runtime.pallets.trading.history import HistoryRecord
from runtime.pallets.trading.records import SettlementLine
from runtime.primitives.crypto import ss58_encode
from runtime.state.overlay import Overlay
from tests.golden.script import BLOCKS, SLOTS_PER_INTERVAL, extrinsics_of, key, sections
from tests.node import chain_link
from tests.node.chain_link import ChainLink
from tests.support.accounts import ALICE as SEALED_ALICE
from tests.support.chains import MemoryChain
from tests.support.runtimes import CONSTANTS, new_runtime
from tests.support.sealed_chain import SealedChain, small_spec

ALICE = ss58_encode(key("Alice").public)
FIRST = CONSTANTS.genesis_interval
KEPT = 4  # settlements that a state holds
PAUSE = 20  # intervals without a block
RANGE = ("--first", str(FIRST - 2), "--last", str(FIRST + PAUSE + 30))

Bill = dict[str, Any]


@pytest.fixture(scope="module")
def history() -> Iterator[MemoryChain]:
    """A chain with trades, a long pause, and so many intervals that the first are forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finality, "HISTORY_INTERVALS", KEPT)
        chain = MemoryChain.new(new_runtime(dispute_intervals=1), sections())
        for number in range(1, BLOCKS + 1):
            chain.build(extrinsics_of(chain, number))
        chain.build(slot=chain.slot + PAUSE * SLOTS_PER_INTERVAL)
        for _ in range(10 * SLOTS_PER_INTERVAL):
            chain.build()
        yield chain


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, history: MemoryChain) -> Path:
    constants = asdict(history.runtime.constants)
    path = tmp_path_factory.mktemp("chain") / "spec.json"
    path.write_text(ChainSpec("Test", "test", "Local", (), {}, constants, sections()).encode())
    return path


@pytest.fixture(autouse=True)
def chain(history: MemoryChain, monkeypatch: pytest.MonkeyPatch) -> MemoryChain:
    ChainLink.chain = history
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    monkeypatch.setattr(ChainLink, "proof_keys_max", 1_024)
    return history


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(command, (ALICE, *RANGE, *arguments))
    return result


async def verified(spec: Path) -> Bill:
    result = await run("--verify", "--chain", str(spec), "-o", "json")
    assert result.exit_code == 0, result.output + str(result.exception)
    (bill,) = json.loads(result.stdout)
    return dict(bill)


def settled_before(chain: MemoryChain) -> dict[int, SettlementLine]:
    """The last line that Alice had in each interval, by the states that held it."""
    found: dict[int, SettlementLine] = {}
    trading = chain.runtime.trading
    for state in chain.states:
        chain.runtime.bind(Overlay(state))
        found |= {interval: lines[0] for interval, lines in trading.lines.items() if lines}
    return found


async def test_lines_that_the_state_has_forgotten_are_proved_by_the_root_of_their_day(
    history: MemoryChain, spec: Path
) -> None:
    bill = await verified(spec)

    lines = {line["interval"]: line for line in bill["lines"]}
    expected = settled_before(history)
    assert lines.keys() == expected.keys()
    for interval, line in expected.items():
        assert lines[interval]["amount_nano"] == line.amount_nano
    old = [line for line in bill["lines"] if "encoded" in line]
    assert len(old) == len(lines) - KEPT and any(line["amount_nano"] for line in old)
    for line in old:
        assert (
            SettlementLine.decode(bytes.fromhex(line["encoded"][2:])) == expected[line["interval"]]
        )
        assert line["is_final"] and line["keys"] == [bill["days"][0]["key"]]
    assert bill["refused"] == []


async def test_intervals_without_a_market_are_told_apart_from_forgotten_ones(spec: Path) -> None:
    bill = await verified(spec)

    ranges = [(entry["from"], entry["to"]) for entry in bill["not_settled"]]
    assert ranges[0] == (FIRST - 2, FIRST - 1), "before the chain"
    paused = ranges[1]
    assert paused[1] - paused[0] > PAUSE // 2
    begin = min(line["interval"] for line in bill["lines"] if "encoded" not in line)
    assert paused[1] < begin, "it is in the part that the state has forgotten"


def raised(bill: Bill) -> None:
    """More money in an old line, in all its forms."""
    line = bill["lines"][1]
    old = SettlementLine.decode(bytes.fromhex(line["encoded"][2:]))
    fields = {name: getattr(old, name) for name in old.__struct_fields__}
    fields["amount_nano"] += 1
    line["encoded"] = "0x" + SettlementLine(**fields).encode().hex()
    line["amount_nano"] += 1
    bill["amount_nano"] += 1


def other_field(bill: Bill) -> None:
    """Figures that are not those of the encoded line."""
    bill["lines"][1]["import_wh"] += 1


def left_out(bill: Bill) -> None:
    """A line is missing, with its money."""
    bill["amount_nano"] -= bill["lines"].pop(1)["amount_nano"]


def record_left_out(bill: Bill) -> None:
    """A whole interval of a day is missing."""
    bill["amount_nano"] -= bill["lines"].pop(1)["amount_nano"]
    del bill["days"][0]["records"][1]


def forged_record(bill: Bill) -> None:
    """A record says that there were no lines."""
    record = HistoryRecord.decode(bytes.fromhex(bill["days"][0]["records"][1][2:]))
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    bill["days"][0]["records"][1] = "0x" + HistoryRecord(**{**fields, "lines": 0}).encode().hex()
    bill["amount_nano"] -= bill["lines"].pop(1)["amount_nano"]


def withheld(bill: Bill) -> None:
    """The day is said not to be here, while other days would be."""
    bill["days"] = []


def unreadable(bill: Bill) -> None:
    """No hexadecimal digits."""
    bill["days"][0]["records"][0] = "0xzz"


@pytest.mark.parametrize(
    "forge", [raised, other_field, left_out, record_left_out, forged_record, withheld, unreadable]
)
async def test_a_node_that_lies_about_old_lines_is_found_out(
    spec: Path, monkeypatch: pytest.MonkeyPatch, forge: Callable[[Bill], None]
) -> None:
    honest = ChainLink.dret_bill

    def lie(self: ChainLink, *arguments: Any) -> Any:
        bill = json.loads(json.dumps(honest(self, *arguments)))
        forge(bill)
        return bill

    monkeypatch.setattr(ChainLink, "dret_bill", lie)

    result = await run("--verify", "--chain", str(spec))

    assert isinstance(result.exception, ProofRefused), result.output + str(result.exception)


async def test_a_node_that_began_later_refuses_what_it_does_not_have_by_name(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_link, "forgotten_intervals", lambda _: {})

    shown = await run()
    checked = await run("--verify", "--chain", str(spec))

    for result in (shown, checked):
        assert isinstance(result.exception, NotFound), result.output + str(result.exception)
        assert f"the intervals {FIRST} to " in str(result.exception)
        assert "ask a node that has followed the chain" in str(result.exception)
    assert "Verified" in checked.output


class TestANode:
    """What a chain on disk keeps."""

    @pytest.fixture
    def sealed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SealedChain]:
        monkeypatch.setattr(finality, "HISTORY_INTERVALS", KEPT)
        chain = SealedChain(tmp_path / "db", small_spec(dispute_intervals=1), pruning=3)
        yield chain
        chain.close()

    def bill(self, sealed: SealedChain) -> Any:
        return bill_of(sealed.chain, SEALED_ALICE, FIRST, FIRST + 40)

    def test_it_keeps_what_the_state_forgets_when_that_is_final(self, sealed: SealedChain) -> None:
        sealed.grow(12 * SLOTS_PER_INTERVAL)
        best = self.stored(sealed)
        sealed.finalize()
        kept = self.stored(sealed)
        sealed.grow(3 * SLOTS_PER_INTERVAL)
        sealed.finalize()

        assert best == [], "nothing is kept of what may be left again"
        assert kept == list(range(FIRST, FIRST + len(kept))) and len(kept) > 2
        bill = self.bill(sealed)
        assert [line["interval"] for line in bill["lines"]][: len(kept)] == kept
        assert bill["refused"] == []

    def test_a_damaged_entry_is_refused_with_its_day_and_not_made_up(
        self, sealed: SealedChain
    ) -> None:
        sealed.grow(12 * SLOTS_PER_INTERVAL)
        sealed.finalize()
        name = FIRST.to_bytes(4, "big")
        data = sealed.database.get(Column.SETTLED, name)
        assert data is not None
        wrong = Archived(0, Archived.decode(data).record[:-1] + b"\1", b"\0")
        for content in (data[:9], wrong.encode()):
            with sealed.database.batch(sync=False) as batch:
                batch.put(Column.SETTLED, name, content)

            bill = self.bill(sealed)

            assert bill["refused"][0]["from"] == FIRST
            assert bill["days"] == []
        sealed.chain.state_at(sealed.chain.finalized_hash_now)
        runtime = sealed.runtime
        runtime.bind(Overlay(sealed.chain.best_state()))
        begin = oldest_kept(runtime)
        assert begin is not None and bill["refused"][-1]["to"] == begin - 1

    def stored(self, sealed: SealedChain) -> list[int]:
        return [int.from_bytes(name, "big") for name, _ in sealed.database.items(Column.SETTLED)]

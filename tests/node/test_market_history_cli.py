"""`dret market history`, `proof` and `verify`: tables, files, and what a wrong file says."""

import json
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner, Result
from msgspec.structs import replace

from node.cli import chain_access, market_history
from node.cli.market import group
from node.cli.market_history import Candles, Days
from node.errors import ConfigInvalid
from runtime.pallets.trading.history import Candle, Day, HistoryRecord, LineProof, RecordProof
from runtime.pallets.trading.records import NOTHING_SETTLED, SettlementLine
from runtime.primitives import merkle
from runtime.primitives.scale import U32, codec
from tests.node.test_market_chain_cli import FakeLink, node

__all__ = ["node"]
CANDLE = Candle(90_000, 120_000, 80_000, 100_000, 2_000, 190_000_000, 4)
LINE = SettlementLine(700, 0, 0, 0, 0, 0, 0, 0, True, 200, 0, -190_000_000)
LINES_ROOT = merkle.node_hash(merkle.leaf_hash(LINE.encode()), bytes(32))
RECORD = HistoryRecord(5_000, CANDLE, NOTHING_SETTLED, 2, LINES_ROOT)
ROOT = merkle.node_hash(merkle.leaf_hash(RECORD.encode()), bytes([7]) * 32)
OF_RECORD = RecordProof(41, 0, 2, RECORD, [bytes([7]) * 32])
OF_LINE = LineProof(1, LINE, [bytes(32)], OF_RECORD)
DAYS: Days = [(41, Day(ROOT, 96, True, CANDLE))]


async def market(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


async def test_history_is_a_table_or_json() -> None:
    FakeLink.answers["Trading_current_interval"] = codec(U32).encode(5_001)
    FakeLink.answers["Trading_candles"] = codec(Candles).encode([(5_000, CANDLE)])

    table = (await market("history")).output
    rows = json.loads((await market("history", "--first", "1", "--last", "9", "-o", "json")).output)

    assert "5000   0.090000   0.120000   0.080000   0.100000   0.095000      2.000" in table
    assert rows[0]["interval"] == 5_000
    assert rows[0]["close_micro"] == 100_000


async def test_days_have_their_roots() -> None:
    more: Days = [*DAYS, (42, Day(bytes(32), 3, False, None))]
    FakeLink.answers["Trading_days"] = codec(Days).encode(more)

    table = (await market("history", "--days")).output
    rows = json.loads((await market("history", "--days", "-o", "json")).output)

    assert "0x" + ROOT.hex() in table
    assert "(goes on)" in table
    assert rows[1]["open_micro"] is None
    assert rows[0]["records"] == 96


@pytest.mark.parametrize("connection", [None, 1])
async def test_a_proof_goes_into_a_file_and_is_verified_without_its_record(
    connection: int | None, tmp_path: Path
) -> None:
    FakeLink.answers["Trading_record_proof"] = codec(RecordProof | None).encode(OF_RECORD)
    FakeLink.answers["Trading_line_proof"] = codec(LineProof | None).encode(OF_LINE)
    FakeLink.answers["Trading_days"] = codec(Days).encode(DAYS)
    which = [] if connection is None else ["--connection", str(connection)]
    file = tmp_path / "proof.json"

    file.write_text((await market("proof", "--interval", "5000", *which)).output)
    by_node = await market("verify", str(file))
    FakeLink.is_up = False
    offline = await market("verify", str(file), "--root", "0x" + ROOT.hex())

    for result in (by_node, offline):
        assert "Proved by the root of day 41" in result.output
        assert "interval 5000: 2000 Wh traded, last at 0.100000" in result.output
        assert ("received -0.190000000 DRT" in result.output) == (connection is not None)


async def test_another_root_a_missing_day_and_a_changed_line_are_not_proved(tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    richer = replace(OF_LINE, line=replace(LINE, amount_nano=0))
    for proof, days, reason in (
        (OF_LINE, [(41, Day(bytes(32), 96, True, None))], "day 41 has the root 0x0000"),
        (OF_LINE, [], "The chain has no day 41"),
        (richer, DAYS, "found nothing"),
    ):
        file.write_text(json.dumps({"kind": "line", "proof": proof.encode().hex()}))
        FakeLink.answers["Trading_days"] = codec(Days).encode(days)

        result = await market("verify", str(file))

        assert isinstance(result.exception, chain_access.Refused)
        assert reason in str(result.exception)


async def test_what_the_chain_cannot_prove_is_said() -> None:
    FakeLink.answers["Trading_line_proof"] = codec(LineProof | None).encode(None)

    result = await market("proof", "--interval", "5000", "--connection", "3")

    assert isinstance(result.exception, chain_access.Refused)
    assert "line of connection 3" in str(result.exception)


async def test_a_root_that_is_no_hash_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text(json.dumps({"kind": "record", "proof": OF_RECORD.encode().hex()}))

    for root in ("0x12", "zz" * 32):
        assert (await market("verify", str(file), "--root", root)).exit_code == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "is no proof: expected `kind`"),
        (json.dumps({"kind": "line"}), "is no proof: expected `kind`"),
        (json.dumps({"kind": "bill", "proof": "00"}), "is no proof: expected `kind`"),
        (json.dumps({"kind": "line", "proof": "xy"}), "is no proof"),
        (json.dumps({"kind": "record", "proof": "0x0011"}), "is no proof"),
    ],
)
def test_files_that_are_no_proofs_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "proof.json"
    file.write_text(content)

    with pytest.raises(ConfigInvalid, match=reason):
        market_history.read_proof(file)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (market_history.FILE_BYTES_MAX + 1))

    for file, reason in ((tmp_path / "none.json", "cannot be read"), (large, "larger than")):
        with pytest.raises(ConfigInvalid, match=reason):
            market_history.read_proof(file)

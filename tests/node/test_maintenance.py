"""Work on a stopped node's chain: export, import, revert, checks, repair."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncclick as click
import pytest
import trio
from asyncclick.testing import CliRunner

from node.block_file import BlockFile
from node.cli.node import group
from node.database import Column, Database
from node.errors import ConfigInvalid, NodeError, StorageLocked, StorageUnusable
from node.maintenance import BlockWrong
from node.offline import BlocksRefused
from tests.support.accounts import BOB
from tests.support.sealed_chain import SealedChain, small_spec

pytestmark = pytest.mark.slow

BLOCKS = 40
FINAL, KEPT = 30, 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's folder with 40 blocks, 30 of them final, and a short branch."""
    folder = tmp_path_factory.mktemp("home")
    chain = fill(folder)
    chain.add(parent=chain.chain.hash_at(BLOCKS - 2))
    chain.close()
    return folder


def fill(folder: Path) -> SealedChain:
    spec = small_spec()
    (folder / "chain-spec.json").write_text(spec.encode())
    chain = SealedChain(folder / "db", spec)
    for number in range(1, BLOCKS + 1):
        chain.add([chain.transfer("Alice", BOB, number)] if number % 7 == 0 else [])
        if number in (KEPT, FINAL):
            chain.finalize(is_kept=True)
    return chain


@pytest.fixture
def fresh(tmp_path: Path, home: Path) -> Path:
    """A folder with the chain specification and no chain."""
    (tmp_path / "chain-spec.json").write_text((home / "chain-spec.json").read_text())
    return tmp_path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder of its own with the 40 blocks."""
    folder = tmp_path / "copy"
    folder.mkdir()
    fill(folder).close()
    return folder


async def dret(*arguments: str) -> Any:
    """Output of `dret node …`; raises what it fails with."""
    result = await CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert isinstance(result.exit_code, int)
    return result


async def told(*arguments: str) -> dict[str, Any]:
    """The JSON that `dret node …` prints."""
    done = await dret(*arguments, "--output", "json")
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


async def exported(home: Path, target: Path, *flags: str) -> Path:
    done = await dret("export-blocks", str(target), "-d", str(home), *flags)
    assert done.exit_code == 0, done.output
    return target


@pytest.mark.parametrize("flags", [(), ("--binary",)])
async def test_exported_blocks_are_imported_with_all_that_was_proved_final(
    home: Path, fresh: Path, flags: tuple[str, ...]
) -> None:
    file = await exported(home, fresh / "blocks", *flags)

    done = await told("import-blocks", str(file), "-d", str(fresh), *flags)

    assert done == {"imported": BLOCKS, "best": BLOCKS, "finalized": FINAL}
    again = await told("import-blocks", str(file), "-d", str(fresh), *flags)
    assert again == {"imported": 0, "best": BLOCKS, "finalized": FINAL}


async def test_a_binary_export_is_what_substrate_writes(home: Path, fresh: Path) -> None:
    file = await exported(home, fresh / "blocks", "--binary", "--from", "30", "--to", "31")
    data = file.read_bytes()

    with BlockFile.open(file, sys.stdin.buffer, is_binary=True) as blocks:
        final, later = blocks.at(FINAL), blocks.at(FINAL + 1)

    assert data[:8] == (2).to_bytes(8, "little")
    assert final is not None and later is not None
    assert data[8:] == final.encode() + later.encode()
    # Option<Justifications>: one, of GRANDPA; and none.
    proof = final.justification
    assert proof is not None
    assert final.encode().split(final.block.encode())[1][:6] == b"\x01\x04FRNK"
    assert later.encode() == later.block.encode() + b"\x00"


async def test_an_import_goes_on_where_an_earlier_one_ended(home: Path, fresh: Path) -> None:
    first = await exported(home, fresh / "first", "--to", "25")
    second = await exported(home, fresh / "second", "--from", "20")

    await told("import-blocks", str(first), "-d", str(fresh))
    done = await told("import-blocks", str(second), "-d", str(fresh))

    assert done == {"imported": BLOCKS - 25, "best": BLOCKS, "finalized": FINAL}


async def test_a_file_that_begins_too_late_says_from_where_to_export(
    home: Path, fresh: Path
) -> None:
    file = await exported(home, fresh / "blocks", "--from", "5")

    with pytest.raises(BlocksRefused, match=r"begins with block 5, .* here --from 1"):
        await dret("import-blocks", str(file), "-d", str(fresh))


def forge(file: Path, what: str) -> None:
    """Change a bit of a block in the middle, of the last seal, or of the last proof."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    if what == "body":
        forged = lines[20]["block"]["extrinsics"]
        forged[0] = forged[0][:-2] + "07"
    elif what == "seal":
        last = lines[-1]["block"]["header"]["digest"]["logs"]
        last[-1] = last[-1][:-2] + "00"
    else:
        _, proof = lines[FINAL - 1]["justifications"][0]
        proof[60] ^= 1
    file.write_text("".join(map(json.dumps, lines)))  # no line ends, as Substrate's


@pytest.mark.parametrize(("what", "reason"), [("body", "block 20 "), ("seal", "seal is not by")])
async def test_an_import_ends_at_the_first_block_that_is_wrong(
    home: Path, fresh: Path, what: str, reason: str
) -> None:
    file = await exported(home, fresh / "blocks")
    forge(file, what)

    with pytest.raises(BlocksRefused, match="What was imported is kept") as caught:
        await dret("import-blocks", str(file), "-d", str(fresh))

    assert reason in str(caught.value)


async def test_a_forged_proof_in_a_file_makes_nothing_final_and_is_told(
    home: Path, fresh: Path
) -> None:
    file = await exported(home, fresh / "blocks")
    forge(file, "proof")

    done = await dret("import-blocks", str(file), "-d", str(fresh), "--output", "json")

    assert json.loads(done.stdout) == {"imported": BLOCKS, "best": BLOCKS, "finalized": KEPT}
    assert f"Refused: justification of block {FINAL}" in done.stderr


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"", ("--binary",), "the number of blocks is missing"),
        (b"\x01" + bytes(7), ("--binary",), "0 blocks, its beginning says 1"),
        (b"\x01" + bytes(40), ("--binary",), "leave out --binary when the file is JSON"),
        (b"{]", (), "no JSON file of blocks: at byte 0"),
        (b'{"block": {}}', (), "KeyError"),
        (b'{"block": 7, "justifications": null}', (), "TypeError"),
    ],
)
async def test_a_file_of_something_else_is_refused_with_the_place(
    fresh: Path, content: bytes, flags: tuple[str, ...], message: str
) -> None:
    file = fresh / "blocks"
    file.write_bytes(content)

    with pytest.raises(ConfigInvalid, match=message.replace("[", r"\[")):
        await dret("import-blocks", str(file), "-d", str(fresh), *flags)


async def test_blocks_that_do_not_follow_each_other_are_refused(home: Path, fresh: Path) -> None:
    file = await exported(home, fresh / "blocks")
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:3] + lines[4:]))

    with pytest.raises(ConfigInvalid, match="expected block 4 on"):
        await dret("import-blocks", str(file), "-d", str(fresh))


async def test_revert_takes_back_only_what_is_not_final(copy: Path) -> None:
    first = await told("revert", "3", "-d", str(copy))
    second = await told("revert", "-d", str(copy))
    third = await told("revert", "-d", str(copy))

    assert first == {"reverted": 3, "best": BLOCKS - 3, "finalized": FINAL}
    assert second == {"reverted": BLOCKS - 3 - FINAL, "best": FINAL, "finalized": FINAL}
    assert third == {"reverted": 0, "best": FINAL, "finalized": FINAL}
    chain = SealedChain(copy / "db", small_spec())
    chain.add()
    assert chain.chain.best.number == FINAL + 1
    chain.close()


async def test_a_stored_block_is_checked_by_height_and_by_hash(home: Path) -> None:
    by_height = await told("check-block", "35", "-d", str(home))
    by_hash = await told("check-block", by_height["hash"], "-d", str(home))

    assert by_height["number"] == by_hash["number"] == 35
    assert by_height["extrinsics"] == 2


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("41", "not in the database, whose best block is 40"),
        ("0x12", "not in the database"),
        ("zz", "expected a height, or a hash"),
        ("0", "genesis block is not executed"),
    ],
)
async def test_a_block_that_cannot_be_checked_is_named(home: Path, block: str, error: str) -> None:
    with pytest.raises(NodeError, match=error):
        await dret("check-block", block, "-d", str(home))


async def test_a_stored_block_with_another_body_is_found_out(copy: Path) -> None:
    database = Database.open(copy / "db")
    hashes = [value for _, value in database.items(Column.NUMBER)]
    body = database.get(Column.BODY, hashes[34])
    assert body is not None
    with database.batch(sync=True) as batch:
        batch.put(Column.BODY, hashes[36], body)
    database.close()

    with pytest.raises(BlockWrong, match="Block 36 is invalid"):
        await dret("check-block", "36", "-d", str(copy))


async def test_a_running_node_keeps_its_database_to_itself(copy: Path) -> None:
    running = Database.open(copy / "db")
    try:
        for command in (("export-blocks",), ("revert",), ("repair",), ("check-block", "1")):
            with pytest.raises(StorageLocked, match="open in another process"):
                await dret(*command, "-d", str(copy))
    finally:
        running.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("export-blocks",),
        ("export-blocks", "-d", "nowhere"),
        ("revert", "0", "-d", "x"),
        ("check-block", "-d", "x"),
        ("import-blocks", "--from", "1", "-d", "x"),
    ],
)
def test_wrong_usage_ends_with_two(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "node", "node", *arguments],
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        check=False,
    )

    assert done.returncode == 2, done.stderr


async def test_heights_that_are_not_there_are_refused(home: Path) -> None:
    with pytest.raises(ConfigInvalid, match="expected --from <= --to <= 40"):
        await dret("export-blocks", "-d", str(home), "--to", "41")


# --- repair ---------------------------------------------------------------------------------------


def delete(folder: Path, *entries: tuple[Column, bytes]) -> None:
    database = Database.open(folder / "db")
    with database.batch(sync=True) as batch:
        for column, key in entries:
            batch.delete(column, key)
    database.close()


def stored(folder: Path, column: Column) -> list[tuple[bytes, bytes]]:
    database = Database.open(folder / "db")
    found = list(database.items(column))
    database.close()
    return found


async def test_a_database_without_its_index_of_files_is_repaired_and_goes_on(copy: Path) -> None:
    (copy / "db" / "CURRENT").unlink()
    with pytest.raises(StorageUnusable, match="Try dret node repair"):
        await dret("revert", "-d", str(copy))

    done = await told("repair", "-d", str(copy))

    assert (done["finalizedBefore"], done["finalized"], done["lowest"]) == (FINAL, FINAL, 1)
    assert done["dropped"] == BLOCKS - FINAL
    assert Path(done["damaged"]).is_dir()
    chain = SealedChain(copy / "db", small_spec())
    chain.grow(3)
    assert chain.finalize().number == FINAL + 3
    chain.close()


async def test_a_final_block_that_was_lost_is_replaced_by_an_earlier_proved_one(
    copy: Path,
) -> None:
    final = dict(stored(copy, Column.META))[b"finalized"]
    delete(copy, (Column.BODY, final))

    done = await told("repair", "-d", str(copy))

    assert (done["finalizedBefore"], done["finalized"]) == (FINAL, KEPT)
    assert not stored(copy, Column.VOTER)
    chain = SealedChain(copy / "db", small_spec())
    assert chain.chain.justification(chain.chain.finalized_hash_now) is not None
    chain.add([chain.transfer("Alice", BOB, 1)])
    chain.close()


async def test_lost_trie_nodes_are_computed_again(copy: Path) -> None:
    nodes = stored(copy, Column.NODE)
    delete(copy, *[(Column.NODE, key) for key, _ in nodes[::2]])

    done = await told("repair", "-d", str(copy))

    assert done["finalized"] == FINAL
    chain = SealedChain(copy / "db", small_spec())
    state = chain.chain.best_state()
    assert len(list(state.keys(b""))) == len(stored_values(chain))
    chain.close()


def stored_values(chain: SealedChain) -> list[bytes]:
    return [key for key, _ in chain.database.items(Column.VALUE)]


async def test_a_missing_old_body_leaves_a_gap_below_it(copy: Path) -> None:
    hashes = dict(stored(copy, Column.NUMBER))
    delete(copy, (Column.BODY, hashes[(7).to_bytes(4, "big")]))

    done = await told("repair", "-d", str(copy))

    assert (done["finalized"], done["lowest"]) == (FINAL, 8)
    with pytest.raises(ConfigInvalid, match="Block 7 is not stored"):
        await dret("export-blocks", str(copy / "out"), "-d", str(copy), "--from", "7")
    assert not (copy / "out").exists()


async def test_a_lost_state_that_nothing_replaces_ends_the_repair_and_changes_nothing(
    copy: Path,
) -> None:
    values = stored(copy, Column.VALUE)
    delete(copy, *[(Column.VALUE, key) for key, _ in values[::3]])

    with pytest.raises(StorageUnusable, match="no state that is whole"):
        await dret("repair", "-d", str(copy))

    assert not (copy / "db.repair").exists()
    assert len(stored(copy, Column.VALUE)) == len(values) - len(values[::3])


DIES_BEFORE_THE_LAST_STEP = """
import os, signal, sys
from pathlib import Path
from node import repair
from node.chain_spec import load_chain_spec

finish, calls = repair.finish_repair, []

def dying(base_path):
    calls.append(base_path)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(base_path)

repair.finish_repair = dying
repair.repair(Path(sys.argv[1]), load_chain_spec(Path(sys.argv[1]) / "chain-spec.json"))
"""


async def test_a_repair_that_was_killed_before_its_last_step_is_finished_by_what_comes_next(
    copy: Path,
) -> None:
    (copy / "db" / "CURRENT").unlink()
    killed = await trio.run_process(
        [sys.executable, "-c", DIES_BEFORE_THE_LAST_STEP, str(copy)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (copy / "db").exists() and (copy / "db.damaged-1").is_dir()

    await dret("revert", "-d", str(copy))

    chain = SealedChain(copy / "db", small_spec())
    assert chain.chain.finalized.number == FINAL
    chain.close()
    assert not (copy / "db.repaired").exists()


async def test_repair_of_nothing_says_so(fresh: Path) -> None:
    with pytest.raises(StorageUnusable, match="nothing to repair"):
        await dret("repair", "-d", str(fresh))


async def test_repair_tells_a_validator_what_it_may_do(copy: Path) -> None:
    (copy / "keystore").mkdir()
    (copy / "keystore" / ("6772616e" + "00" * 32)).write_text('""')

    done = await dret("repair", "-d", str(copy))

    assert "it could vote twice" in done.stdout


def test_group_knows_the_commands() -> None:
    assert isinstance(group, click.Group)
    assert {"export-blocks", "import-blocks", "revert", "check-block", "repair"} <= set(
        group.commands
    )

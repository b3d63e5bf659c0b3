"""The database: order, atomic batches, and what a person is told when it cannot be used."""

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.database import Column, Database
from node.errors import DiskFailed, StorageLocked, StorageUnusable

WRITER = """
import sys
from pathlib import Path
from node.database import Column, Database

database = Database.open(Path(sys.argv[1]))
number = int.from_bytes(database.get(Column.META, b"last") or b"", "big")
while True:
    number += 1
    with database.batch(sync=number % 3 == 0) as batch:
        batch.put(Column.META, b"last", number.to_bytes(4, "big"))
        batch.put(Column.HEADER, number.to_bytes(4, "big"), bytes(2_000))
        batch.put(Column.BODY, number.to_bytes(4, "big"), bytes(3_000))
        batch.delete(Column.BODY, (number - 1).to_bytes(4, "big"))
    print(number, flush=True)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "db")
    yield opened
    opened.close()


def put(database: Database, column: Column, *pairs: tuple[bytes, bytes]) -> None:
    with database.batch(sync=False) as batch:
        for key, value in pairs:
            batch.put(column, key, value)


def test_a_batch_is_seen_when_it_ends_and_not_before(database: Database) -> None:
    with database.batch(sync=True) as batch:
        batch.put(Column.HEADER, b"key", b"value")
        assert database.get(Column.HEADER, b"key") is None

    assert database.get(Column.HEADER, b"key") == b"value"
    assert database.get(Column.BODY, b"key") is None


def test_a_batch_that_raises_writes_nothing(database: Database) -> None:
    put(database, Column.HEADER, (b"old", b"1"))

    with pytest.raises(LookupError), database.batch(sync=True) as batch:
        batch.put(Column.HEADER, b"new", b"2")
        batch.delete(Column.HEADER, b"old")
        raise LookupError

    assert list(database.items(Column.HEADER)) == [(b"old", b"1")]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [b"", b"a", b"ab", b"b", b"\xff", b"\xff\xff"]),
        ({"start": b"a"}, [b"a", b"ab", b"b", b"\xff", b"\xff\xff"]),
        ({"start": b"a", "stop": b"b"}, [b"a", b"ab"]),
        ({"prefix": b"a"}, [b"a", b"ab"]),
        ({"prefix": b"a", "start": b"aa"}, [b"ab"]),
        ({"prefix": b"a", "stop": b"ab"}, [b"a"]),
        ({"prefix": b"\xff"}, [b"\xff", b"\xff\xff"]),
        ({"prefix": b"a", "start": b"b"}, []),
    ],
)
def test_items_come_in_the_order_of_their_keys_within_bounds(
    database: Database, bounds: dict[str, bytes], expected: list[bytes]
) -> None:
    put(database, Column.VOTER, *((k, k) for k in (b"", b"a", b"ab", b"b", b"\xff", b"\xff\xff")))
    put(database, Column.BODY, (b"a", b"of the column before in the alphabet"))

    assert [key for key, _ in database.items(Column.VOTER, **bounds)] == expected  # type: ignore[arg-type]
    backwards = database.items(Column.VOTER, **bounds, reverse=True)
    assert [key for key, _ in backwards] == expected[::-1]


def test_an_iteration_does_not_see_later_writes(database: Database) -> None:
    put(database, Column.VOTER, (b"a", b"1"), (b"b", b"1"))

    items = database.items(Column.VOTER)
    first = next(items)
    put(database, Column.VOTER, (b"b", b"2"), (b"c", b"2"))

    assert [first, *items] == [(b"a", b"1"), (b"b", b"1")]


def test_the_version_valid_at_a_number_is_found(database: Database) -> None:
    put(
        database,
        Column.VALUE,
        *((b"\x02ab" + n.to_bytes(4, "big"), b"%d" % n) for n in (3, 256, 70_000)),
        (b"\x02aa" + bytes(4), b"another key"),
        (b"\x02ac" + bytes(4), b"another key"),
    )

    found = [database.latest(Column.VALUE, b"\x02ab", n) for n in (2, 3, 255, 256, 2**32 - 1)]

    assert found == [None, (3, b"3"), (3, b"3"), (256, b"256"), (70_000, b"70000")]
    with database.seeker() as seeker:
        before = [seeker.entry_before(Column.VALUE, b"\x02ab", n) for n in (3, 4, 2**32 - 1)]
        assert seeker.entry_before(Column.VOTER, b"zz", 5) is None
    assert before == [None, b"\x02ab\0\0\0\x03", b"\x02ab\x00\x01\x11\x70"]


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db")
    put(database, Column.HEADER, (b"key", b"value"))
    database.close()
    database.close()

    database = Database.open(tmp_path / "db")

    assert database.get(Column.HEADER, b"key") == b"value"
    database.close()


def test_a_second_open_names_the_process_that_has_it(database: Database, tmp_path: Path) -> None:
    with pytest.raises(StorageLocked, match=rf"another process \(process {os.getpid()}\)") as said:
        Database.open(tmp_path / "db")

    assert said.value.exit_code == 9


def test_another_schema_is_refused(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db")
    put(database, Column.META, (b"schema", b"0"))
    database.close()

    with pytest.raises(StorageUnusable, match="schema 0, this version of the node reads schema 1"):
        Database.open(tmp_path / "db")
    with pytest.raises(StorageUnusable, match="schema 0"):  # and the lock was released
        Database.open(tmp_path / "db")


def filled(folder: Path) -> None:
    """A database with tables and a log."""
    for _ in range(2):
        database = Database.open(folder)
        put(database, Column.BODY, *((bytes([i]), bytes(1_000)) for i in range(50)))
        database.close()


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "*.ldb"])
def test_a_missing_file_is_told_as_damage_and_nothing_is_begun_anew(
    tmp_path: Path, pattern: str
) -> None:
    folder = tmp_path / "db"
    filled(folder)
    for file in folder.glob(pattern):
        file.unlink()

    for _ in range(2):
        with pytest.raises(StorageUnusable, match="damaged") as said:
            Database.open(folder)
        assert said.value.exit_code == 9


def test_flipped_bits_in_a_table_are_told_as_damage(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    filled(folder)
    for file in folder.glob("*.ldb"):
        data = bytearray(file.read_bytes())
        for at in range(0, len(data), 50):
            data[at] ^= 0x55
        file.write_bytes(bytes(data))

    with pytest.raises(StorageUnusable, match="damaged"):
        database = Database.open(folder)
        try:
            list(database.items(Column.BODY))
        finally:
            database.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageUnusable, match="cannot be opened"):
        Database.open(tmp_path / "file" / "db")


def test_a_lock_that_cannot_be_made_is_not_taken_for_one_that_is_held(tmp_path: Path) -> None:
    (tmp_path / "db" / "LOCK").mkdir(parents=True)

    with pytest.raises(StorageUnusable, match=r"cannot be opened: .* permissions") as said:
        Database.open(tmp_path / "db")

    assert not isinstance(said.value, StorageLocked)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """As a full disk: writes that would make a file longer fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("sync", [True, False])
def test_after_a_refused_write_nothing_is_written_and_all_before_it_is_kept(
    tmp_path: Path, sync: bool
) -> None:
    database = Database.open(tmp_path / "db")
    put(database, Column.BODY, (b"before", b"1"))

    with (
        file_size_limit(10_000),
        pytest.raises(DiskFailed, match="refused") as said,
        database.batch(sync=sync) as batch,
    ):
        batch.put(Column.BODY, b"large", random.Random(1).randbytes(100_000))
    with pytest.raises(DiskFailed, match="earlier write"), database.batch(sync=sync) as batch:
        batch.put(Column.BODY, b"later", b"2")

    assert said.value.exit_code == 74
    database.close()
    database = Database.open(tmp_path / "db")
    assert [key for key, _ in database.items(Column.BODY)] == [b"before"]
    database.close()


@pytest.mark.slow
def test_killing_the_writer_loses_no_batch_and_tears_none(tmp_path: Path) -> None:
    rng = random.Random(20)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            lines = [int(writer.stdout.readline()) for _ in range(rng.randrange(1, 300))]
            writer.send_signal(signal.SIGKILL)
            lines += [int(line) for line in writer.stdout if line.endswith("\n")]

        database = Database.open(tmp_path / "db")
        last = int.from_bytes(database.get(Column.META, b"last") or b"", "big")
        assert last in (lines[-1], lines[-1] + 1)
        assert [key for key, _ in database.items(Column.BODY)] == [last.to_bytes(4, "big")]
        assert len(list(database.items(Column.HEADER))) == last
        database.close()


@pytest.mark.slow
def test_another_process_that_has_the_database_open_is_named(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            with pytest.raises(StorageUnusable, match=rf"\(process {writer.pid}\)"):
                Database.open(tmp_path / "db")
        finally:
            writer.kill()

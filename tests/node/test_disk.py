"""A disk that is full or refuses writes: the node is read-only, and goes on when it takes them."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import plyvel
import pytest
import trio

from devnet.scenario import dev_chain_spec
from node import disk
from node.config import NodeConfig
from node.database import Column, Database
from node.disk import FAULTLESS_PROBES, MIB, DiskWatch
from node.errors import DiskFailed, is_for_want_of_space
from node.pool import ImmediatelyDropped
from node.service import NodeParts, run_node
from tests.live.network import ask

FULL_MIB = 72  # of the small disk; the database needs some 10, and 32 to go on


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; skipped where we may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL_MIB}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def config_of(folder: Path, spec: Path, free_min_mib: int = 0) -> NodeConfig:
    spec.write_text(dev_chain_spec().encode())
    return NodeConfig(
        chain=spec,
        base_path=folder / "node",
        is_validator=True,
        dev_key="//Alice",
        force_authoring=True,
        port=0,
        rpc_port=0,
        prometheus_port=0,
        disk_free_min_mib=free_min_mib,
        disk_period_s=0.1,
    )


def fill(folder: Path) -> Path:
    """Take the last byte of a disk."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return path


async def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.05)


async def rpc(port: int, method: str, *params: object) -> Any:
    return await trio.to_thread.run_sync(ask, port, method, *params)


async def final_height(port: int) -> int:
    header = await rpc(port, "chain_getHeader", await rpc(port, "chain_getFinalizedHead"))
    return int(header["number"], 16)


def alarms(node: NodeParts) -> float:
    found: float = node.instruments.alarms.labels("disk")._value.get()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("free_min_mib", [0, 36])
async def test_a_full_disk_makes_the_node_read_only_until_there_is_space(
    small_disk: Path, tmp_path: Path, free_min_mib: int
) -> None:
    config = config_of(small_disk, tmp_path / "spec.json", free_min_mib)
    async with trio.open_nursery() as nursery:
        node: NodeParts = await nursery.start(run_node, config)
        port = node.server.port
        await until(lambda: node.chain.finalized.number >= 1)

        ballast = fill(small_disk)
        await until(lambda: alarms(node) == 1)

        # What is stored is served; nothing is taken in or made.
        stuck = node.chain.best.number
        assert await final_height(port) == node.chain.finalized.number >= 1
        with pytest.raises(ImmediatelyDropped, match="This node is read-only: "):
            node.pool.submit(b"\x04\x00")
        await trio.sleep(2.2)
        assert node.chain.best.number == stuck

        ballast.unlink()
        went_on = node.chain.finalized.number + 2

        async def goes_on() -> bool:
            try:
                return await final_height(port) >= went_on
            except OSError:
                return False  # between two lives of the node

        with trio.fail_after(30):
            while not await goes_on():
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()

    # And all of it is there after a restart.
    async with trio.open_nursery() as nursery:
        node = await nursery.start(run_node, config)
        assert node.chain.finalized.number >= went_on
        nursery.cancel_scope.cancel()


class Refusing:
    """A batch whose write fails as on a broken disk, as long as `is_broken`."""

    is_broken = False

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)

    def delete(self, key: bytes) -> None:
        self._batch.delete(key)

    def write(self) -> None:
        if Refusing.is_broken:
            raise plyvel.IOError(f"IO error: 000003.log: {os.strerror(errno.EIO)}")
        self._batch.write()


@pytest.mark.slow
async def test_a_node_whose_disk_fails_waits_until_it_is_faultless_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        plyvel, "DB", lambda *args, make=plyvel.DB, **kwargs: Broken(make(*args, **kwargs))
    )
    monkeypatch.setattr(Refusing, "is_broken", False)
    config = config_of(tmp_path, tmp_path / "spec.json")
    async with trio.open_nursery() as nursery:
        node: NodeParts = await nursery.start(run_node, config)
        await until(lambda: node.chain.finalized.number >= 1)
        port, best = node.server.port, node.chain.best.number

        Refusing.is_broken = True
        await until(lambda: alarms(node) == 1)
        Refusing.is_broken = False

        async def goes_on() -> bool:
            try:
                return await final_height(port) > best + 1
            except OSError:
                return False

        with trio.fail_after(30):
            while not await goes_on():
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()


class Broken:
    """A database whose batches may be refused."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def write_batch(self, **options: Any) -> Refusing:
        return Refusing(self._database.write_batch(**options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


@pytest.mark.slow
async def test_a_node_that_starts_on_a_full_disk_serves_what_it_has_and_stops_in_order(
    tmp_path: Path,
) -> None:
    config = config_of(tmp_path, tmp_path / "spec.json")
    async with trio.open_nursery() as nursery:
        node: NodeParts = await nursery.start(run_node, config)
        await until(lambda: node.chain.finalized.number >= 1)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        much = replace(config, disk_free_min_mib=1 << 40)
        node = await nursery.start(run_node, much)

        assert await final_height(node.server.port) == node.chain.finalized.number
        assert alarms(node) == 1
        nursery.cancel_scope.cancel()


def test_a_write_for_which_there_is_no_room_changes_nothing_that_was_stored(
    small_disk: Path,
) -> None:
    database = Database.open(small_disk / "db")
    with database.batch(sync=True) as batch:
        batch.put(Column.META, b"kept", b"1")
    ballast = fill(small_disk)

    with pytest.raises(DiskFailed, match="had been stored before is intact") as failure:
        for number in range(100):
            with database.batch(sync=True) as batch:
                batch.put(Column.META, b"big %d" % number, os.urandom(MIB))
    with (
        pytest.raises(DiskFailed, match="nothing is written any more"),
        database.batch(sync=True) as batch,
    ):
        batch.put(Column.META, b"small", b"2")

    assert failure.value.is_full
    assert database.get(Column.META, b"kept") == b"1"
    database.close()
    ballast.unlink()
    again = Database.open(small_disk / "db")
    assert again.get(Column.META, b"kept") == b"1"
    assert again.get(Column.META, b"small") is None
    again.close()


def test_a_database_on_a_full_disk_is_not_opened_and_not_called_damaged(small_disk: Path) -> None:
    Database.open(small_disk / "db").close()
    ballast = fill(small_disk)

    with pytest.raises(DiskFailed, match="the disk is full") as failure:
        Database.open(small_disk / "db")

    assert failure.value.is_full
    ballast.unlink()
    Database.open(small_disk / "db").close()


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (OSError(errno.EIO, "x"), False),
        (plyvel.IOError("IO error: 7.log: No space left on device"), True),
        (plyvel.IOError("IO error: 7.log: Input/output error"), False),
    ],
)
def test_want_of_space_is_told_from_other_faults(error: Exception, is_full: bool) -> None:
    assert is_for_want_of_space(error) == is_full


async def test_a_faulty_disk_has_to_prove_itself_more_often_than_a_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    faults = ["broken", *[""] * (FAULTLESS_PROBES - 1), "broken", *[""] * FAULTLESS_PROBES]
    monkeypatch.setattr(DiskWatch, "_fault", lambda _: faults.pop(0))
    watch = DiskWatch(tmp_path, 0, 5)

    await watch.until_writable(DiskFailed("broken"))
    assert faults == []
    assert trio.current_time() == (2 * FAULTLESS_PROBES + 1) * 5

    faults += ["full", ""]
    await watch.until_writable(DiskFailed("full", is_full=True))
    assert faults == []


async def test_space_is_looked_at_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    usage = shutil.disk_usage(tmp_path)
    free = iter([200 * MIB, 130 * MIB, 127 * MIB])
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=next(free)))

    with pytest.raises(DiskFailed, match=r"127 MiB are free .* wants 128 MiB"):
        await DiskWatch(tmp_path, 128, 5).watch()

    assert trio.current_time() == 15

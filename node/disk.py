"""Whether the disk takes writes: watched while the node runs, awaited when it does not.

A node whose disk is full, or refuses a write, goes read-only: nothing is authored, voted or
imported, what is stored is served. When the disk takes writes again it begins anew from what is on
disk: not from memory, since nobody knows which pages of a failed write are there. Opening the
database writes what its log still has into new files and syncs them, before anything depends on
it.
"""

import logging
import os
import shutil
from pathlib import Path

import trio

from node.errors import DiskFailed

log = logging.getLogger("node")

MIB = 1 << 20
PROBE_FILE = ".disk-probe"  # below the base path, gone after each probe
PROBE_BYTES = 1 * MIB
ROOM_BYTES = 32 * MIB  # to go on with: the database writes files of up to 8 MiB when it is opened
FAULTLESS_PROBES = 6  # in a row, before a disk that failed without being full is used again


class DiskWatch:
    """Watches the file system of the base path."""

    def __init__(self, folder: Path, free_min_mib: int, period_s: float) -> None:
        """With `free_min_mib` 0 only refused writes count."""
        self._folder = folder
        self._free_min = free_min_mib * MIB
        self._period_s = period_s

    def check(self) -> None:
        """Raises `DiskFailed` when less space is free than the node wants to have."""
        free = shutil.disk_usage(self._folder).free
        if free < self._free_min:
            raise DiskFailed(
                f"{free // MIB} MiB are free on the disk of {self._folder}, the node wants "
                f"{self._free_min // MIB} MiB (--db-storage-threshold). Free some space.",
                is_full=True,
            )

    async def watch(self) -> None:
        """Check now and then, until cancelled. Raises `DiskFailed`."""
        while True:
            await trio.sleep(self._period_s)
            self.check()

    async def until_writable(self, failure: DiskFailed) -> None:
        """Wait until there is room and a file can be written, synced and read again.

        A disk that failed without being full has to do so several times in a row.
        """
        wanted = 1 if failure.is_full else FAULTLESS_PROBES
        faultless, told = 0, ""
        while faultless < wanted:
            await trio.sleep(self._period_s)
            fault = await trio.to_thread.run_sync(self._fault)
            faultless = 0 if fault else faultless + 1
            if fault and fault != told:
                log.warning("The disk still takes no writes: %s", fault)
                told = fault

    def _fault(self) -> str:
        """What is wrong with the disk now; empty when nothing is."""
        path = self._folder / PROBE_FILE
        content = os.urandom(PROBE_BYTES)
        try:
            if shutil.disk_usage(self._folder).free < max(self._free_min, ROOM_BYTES):
                return "too little space is free"
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return "" if path.read_bytes() == content else "it gives back other bytes"
        except OSError as error:
            return str(error.strerror)
        finally:
            path.unlink(missing_ok=True)

"""Child processes that never outlive the supervisor.

Each child inherits the read end of a lifeline pipe and ends when it closes, so a supervisor that
was killed leaves nothing behind. (The parent-death signal of Linux is of no use here: it is tied to
the thread that forked, and trio forks in worker threads.) Children get a session of their own, so
the terminal's Ctrl-C reaches the supervisor alone, which then stops them in order.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import trio

STOP_GRACE_S = 8.0  # what a child may take to close its database before it is killed


@dataclass(frozen=True, slots=True)
class Identity:
    """A process beyond doubt: ids are reused, ids with a start time are not."""

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """The process, or None when it is gone."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return process if alive and abs(process.create_time() - self.started) < 0.01 else None
        except psutil.Error:
            return None


def identify(pid: int) -> Identity | None:
    """The identity of a live process."""
    try:
        return Identity(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


class Lifeline:
    """The pipe that tells children that their supervisor is gone."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()

    def close(self) -> None:
        """Let go: all children that hold the read end are told to stop."""
        os.close(self._write_fd)
        os.close(self.read_fd)


async def start(command: Sequence[str], log: Path, lifeline: Lifeline) -> trio.Process:
    """Start a child with its output appended to `log`; it must understand `--parent-fd`."""
    with log.open("ab") as output:
        return await trio.lowlevel.open_process(
            [*command, "--parent-fd", str(lifeline.read_fd)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lifeline.read_fd,),
            start_new_session=True,
        )


async def stop(process: trio.Process) -> int:
    """Ask a child to end, kill it when it does not, and return its exit code."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_GRACE_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
    return await process.wait()

"""The command line on a machine whose clock is wrong: `python -m tests.live.wrong_clock FILE ARG…`

FILE holds eight bytes, a signed little-endian number of milliseconds by which the wall clock is
ahead. It is read at each look at the clock, so writing it makes the clock of a running node jump,
as NTP or an operator would. The monotonic clock goes on, as the kernel's does.
"""

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

OFFSET = struct.Struct("<q")


def set_offset(file: Path, milliseconds: int) -> None:
    """Set the clock of whoever runs on `file`, which is made when missing."""
    if not file.exists():
        file.write_bytes(bytes(OFFSET.size))
    with file.open("r+b") as opened:
        opened.write(OFFSET.pack(milliseconds))


def main() -> None:
    """Make the clock wrong, then run the command line."""
    with open(sys.argv[1], "rb") as file:
        offset_ms = mmap.mmap(file.fileno(), OFFSET.size, access=mmap.ACCESS_READ)
    true_time_ns = time.time_ns

    def time_ns() -> int:
        return true_time_ns() + OFFSET.unpack(offset_ms)[0] * 1_000_000

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    sys.argv[:] = ["dret", *sys.argv[2:]]
    runpy.run_module("node", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""Has the compiled kernels ready before a node does anything else.

Compiling takes a quarter of a minute and leaves 110 MB with the process that does it: too long
inside a block and too much for a node's life. So on a cold cache a process of its own compiles, one
for all nodes that start at once on the machine, and every node only loads.

Invariant: when `prepare_kernels` returns, the next clearing or sweep compiles nothing.
"""

import fcntl
import logging
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from node.interpreter import module_command
from runtime.kernels.jit import CACHE_FOLDER, warm_up

log = logging.getLogger("node")

COMPILE_COMMAND = module_command("runtime.kernels")


def prepare_kernels() -> None:
    """Compile the kernels if that was never done, and load them."""
    if CACHE_FOLDER:
        ensure_compiled(Path(CACHE_FOLDER), COMPILE_COMMAND)
    warm_up()


def ensure_compiled(folder: Path, command: Sequence[str]) -> None:
    """Run `command`, which compiles into `folder`, unless it has once; one process at a time.

    When that fails we go on: whatever is missing is compiled where it is needed.
    """
    # What is compiled holds for one version of Python and of numba.
    done = folder / f"complete-{sys.implementation.cache_tag}-numba-{version('numba')}"
    if done.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if done.exists():
                return
            log.info("Compiling the kernels, once for this version")
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            done.touch()
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("The kernels could not be compiled ahead: %s", error)

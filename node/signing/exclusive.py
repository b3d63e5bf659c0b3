"""One process at a time signs with the keys of a folder: the system holds the lock, not a file.

The lock is on the folder itself, so copying the folder does not copy it, and a process that is
killed leaves none behind.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from node.errors import StorageLocked, StorageUnusable


@contextmanager
def held(*folders: Path) -> Generator[None]:
    """Keep all others from signing with what is in `folders`. Raises `StorageLocked`."""
    with ExitStack() as stack:
        for folder in dict.fromkeys(path.resolve() for path in folders):
            descriptor = _open(folder)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StorageLocked(
                    f"Another process signs with what is in {folder}. Two with the same keys "
                    "would vote against each other: stop it first, or use other keys."
                ) from error
        yield


def _open(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageUnusable(f"{folder} cannot be opened: {error.strerror}.") from error

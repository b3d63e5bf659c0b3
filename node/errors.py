"""What can go wrong at the command line, and with which exit code a process then ends.

Every message says what happened, why, and what to do next. Exit codes: 0 ok, 1 failed, 2 usage,
3 not found, 4 node unreachable, 5 refused by the pool, 6 included but failed, 7 timed out,
8 configuration or chain specification invalid, 9 database or keystore locked or damaged,
10 port in use, 11 a check failed, 74 the disk refused a write that must not be lost,
130 interrupted.
"""

import errno
import os


class NodeError(Exception):
    """A failure with a message for a person and an exit code for a script."""

    exit_code = 1


class NotFound(NodeError):
    """What was asked for is not there."""

    exit_code = 3


class NodeUnreachable(NodeError):
    """No node answers at the address."""

    exit_code = 4


class PoolRefused(NodeError):
    """The pool did not take an extrinsic, or gave it up."""

    exit_code = 5


class CallFailed(NodeError):
    """A block has the extrinsic, and its call failed there."""

    exit_code = 6


class TimedOut(NodeError):
    """What was awaited did not happen in time."""

    exit_code = 7


class ConfigInvalid(NodeError):
    """A flag, a chain specification or a data folder cannot be used."""

    exit_code = 8


class StorageUnusable(NodeError):
    """The database or the keystore is locked by another process, damaged, or of another chain."""

    exit_code = 9


class StorageLocked(StorageUnusable):
    """Another process has the database open."""


class PortTaken(NodeError):
    """Another process listens on a port the node was told to use."""

    exit_code = 10


class DiskFailed(NodeError):
    """A write that must be durable was refused by the disk; a running node goes read-only."""

    exit_code = 74

    def __init__(self, message: str, is_full: bool = False) -> None:
        """`is_full`: for want of space, and not by a fault of the disk."""
        super().__init__(message)
        self.is_full = is_full


def is_for_want_of_space(error: Exception) -> bool:
    """Whether a write failed because the disk, or the quota, is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))

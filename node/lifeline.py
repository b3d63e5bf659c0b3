"""The child's end of a lifeline: ends this process when the one that started it is gone."""

import os

import trio


async def until_orphaned(parent_fd: int) -> None:
    """Return when the other end of the pipe `parent_fd` closes.

    Raises OSError when the descriptor is not open.
    """
    os.set_inheritable(parent_fd, False)
    async with trio.lowlevel.FdStream(parent_fd) as stream:
        while await stream.receive_some(1):
            pass

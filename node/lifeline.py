"""When a process ends: on a signal, or when the one that started it is gone.

Each of these stops by cancelling the scope it is given, so that what must finish can.
"""

import logging
import os
import signal

import trio

from node.errors import ConfigInvalid

log = logging.getLogger("dret")


async def stop_on_signal(scope: trio.CancelScope) -> None:
    """Cancel `scope` on SIGTERM or SIGINT."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("%s: stopping", signal.Signals(number).name)
            scope.cancel()


async def stop_with_parent(parent_fd: int, scope: trio.CancelScope) -> None:
    """Cancel `scope` when the other end of the pipe `parent_fd` closes: the child's end of a
    lifeline. Raises `ConfigInvalid` when the descriptor is not open.
    """
    try:
        os.set_inheritable(parent_fd, False)
        async with trio.lowlevel.FdStream(parent_fd) as stream:
            while await stream.receive_some(1):
                pass
    except OSError as error:
        raise ConfigInvalid(f"--parent-fd {parent_fd} is not open: {error}") from error
    log.info("The parent is gone: stopping")
    scope.cancel()

"""Runs a call at once where it is, and lets others go on as soon as it has to wait.

Most calls are answered without waiting; a task for each would cost as much as the call. So the
reader of a connection runs a call itself. If the call waits after all, reading passes on to
another task, and this one stays with the call.
"""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any


@coroutine
def run_noticing_waits(
    call: Coroutine[Any, Any, None], on_wait: Callable[[], None]
) -> Generator[Any, Any, bool]:
    """Run a call in this task; `on_wait` is called before its first wait. Whether it waited."""
    try:
        trap = call.send(None)
    except StopIteration:
        return False
    on_wait()
    while True:
        thrown: BaseException | None = None
        answer = None
        try:
            answer = yield trap
        except BaseException as error:
            thrown = error
        try:
            trap = call.send(answer) if thrown is None else call.throw(thrown)
        except StopIteration:
            return True

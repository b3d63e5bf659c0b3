"""How commands reach a running supervisor: one JSON object a line over a local socket.

A request is `{"do": NAME}`, NAME being ping, status, stop, homes-stop or homes-start; the answer is
one object, `{"ok": true, …}` or `{"ok": false, "error": "…"}`.
"""

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from node.errors import NodeUnreachable

SOCKET_NAME = "control.sock"
LINE_BYTES_MAX = 64 << 10
ANSWER_TIMEOUT_S = 30

Answer = dict[str, object]


async def serve(folder: Path, handle: Callable[[str], Awaitable[Answer]]) -> None:
    """Answer commands until cancelled. The socket is the user's alone."""
    path = folder / SOCKET_NAME
    path.unlink(missing_ok=True)
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(_address(path))
    path.chmod(0o600)
    listener.listen(8)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(ANSWER_TIMEOUT_S):
                reply = await _reply_to(await _read_line(stream), handle)
                try:
                    await stream.send_all(json.dumps(reply).encode() + b"\n")
                except trio.BrokenResourceError:
                    return  # whoever asked did not wait for the answer

    try:
        await trio.serve_listeners(answer, [trio.SocketListener(listener)])
    finally:
        path.unlink(missing_ok=True)


async def ask(folder: Path, what: str) -> Answer:
    """Send a command to the supervisor of `folder`. Raises `NodeUnreachable` when none runs."""
    path = folder / SOCKET_NAME
    try:
        stream = await trio.open_unix_socket(_address(path))
    except OSError as error:
        raise NodeUnreachable(
            f"No devnet runs in {folder}: {path} does not answer. Start it with: dret devnet up"
        ) from error
    async with stream:
        try:
            with trio.move_on_after(ANSWER_TIMEOUT_S):
                await stream.send_all(json.dumps({"do": what}).encode() + b"\n")
                answer: Answer = json.loads(await _read_line(stream))
                return answer
        except (trio.BrokenResourceError, ValueError):
            pass  # it ended in the middle of its answer, or before
    raise NodeUnreachable(
        f"The supervisor of {folder} gave no answer: it ended, or took more than "
        f"{ANSWER_TIMEOUT_S} s. See its log, or stop it with Ctrl-C where it runs."
    )


def _address(path: Path) -> str:
    """The shorter way to write a path: a socket's name has room for about 100 bytes."""
    return min(str(path.absolute()), os.path.relpath(path), key=len)


async def _reply_to(line: bytes, handle: Callable[[str], Awaitable[Answer]]) -> Answer:
    try:
        request = json.loads(line)
        what = request["do"]
    except (ValueError, TypeError, KeyError):
        return {"ok": False, "error": 'expected one line like {"do": "status"}'}
    return await handle(str(what))


async def _read_line(stream: trio.SocketStream) -> bytes:
    buffer = b""
    while b"\n" not in buffer and len(buffer) < LINE_BYTES_MAX:
        chunk = await stream.receive_some(4096)
        if not chunk:
            break
        buffer += chunk
    return buffer.partition(b"\n")[0]

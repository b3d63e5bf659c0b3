"""A gate in each connection between nodes of one machine: what goes through may be late, or held.

For whoever may not make network namespaces (`tests.live.places`). Node i is told the gate's port
instead of j's own, so both directions of the connection pass here. A direction that is cut is not
read any more: the sender's buffers fill, as when nothing is acknowledged. Nothing is lost, since
TCP would send it again.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import trio

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16
CHUNKS_MAX = 256  # under way in one direction of a connection
LOOK_EVERY_S = 0.05

Way = tuple[str, str]
"""From whom to whom."""


@dataclass
class Gate:
    """Carries connections between named nodes, from its own thread."""

    targets: dict[str, int]
    """Each node's own port."""

    callers: Iterable[str]
    """Who connects to them."""

    delay_s: float = 0.0
    loss: float = 0.0
    """Not in a gate's power."""

    cut: frozenset[Way] = frozenset()
    ports: dict[Way, int] = field(default_factory=dict[Way, int])
    """Where a caller finds a node."""

    _ready: threading.Event = field(default_factory=threading.Event)
    _is_over: bool = False
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Gate":
        self._thread = threading.Thread(target=trio.run, args=(self._run,), name="gate")
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        if self._thread is not None:
            self._thread.join()

    def heal(self) -> None:
        """Carry everything at once again."""
        self.delay_s, self.cut = 0.0, frozenset()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            for caller in self.callers:
                for name, port in self.targets.items():
                    if name != caller:
                        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
                        self.ports[caller, name] = listener.socket.getsockname()[1]
                        nursery.start_soon(
                            partial(
                                trio.serve_listeners,
                                partial(self._connect, (caller, name), port),
                                [listener],
                            )
                        )
            self._ready.set()
            while not self._is_over:
                await trio.sleep(LOOK_EVERY_S)
            nursery.cancel_scope.cancel()

    async def _connect(self, way: Way, port: int, outer: trio.SocketStream) -> None:
        back = (way[1], way[0])
        try:
            async with (
                outer,
                await trio.open_tcp_stream(HOST, port) as inner,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._carry, outer, inner, way, nursery.cancel_scope)
                nursery.start_soon(self._carry, inner, outer, back, nursery.cancel_scope)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one of the two is down, or has hung up

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, way: Way, scope: trio.CancelScope
    ) -> None:
        send, receive = trio.open_memory_channel[tuple[float, bytes]](CHUNKS_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, receive, sink, way)
            async with send:
                while data := await source.receive_some(CHUNK_BYTES):
                    await self._while_cut(way)
                    await send.send((trio.current_time() + self.delay_s, bytes(data)))
        scope.cancel()

    async def _deliver(
        self,
        receive: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.SocketStream,
        way: Way,
    ) -> None:
        async with receive:
            async for due_s, data in receive:
                await trio.sleep_until(due_s)
                await self._while_cut(way)
                await sink.send_all(data)

    async def _while_cut(self, way: Way) -> None:
        while way in self.cut:
            await trio.sleep(LOOK_EVERY_S)

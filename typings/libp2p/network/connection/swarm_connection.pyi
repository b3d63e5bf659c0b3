import trio

from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.yamux import Yamux

class SwarmConn:
    muxed_conn: Yamux
    streams: set[NetStream]
    event_closed: trio.Event
    async def new_stream(self) -> NetStream: ...
    async def close(self) -> None: ...

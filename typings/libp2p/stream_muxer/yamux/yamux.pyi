from typing import Any

from libp2p.peer.id import ID

PROTOCOL_ID: str

class SecuredConn:
    async def close(self) -> None: ...

class Yamux:
    peer_id: ID
    secured_conn: SecuredConn
    stream_buffers: dict[int, bytearray]
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def get_remote_address(self) -> tuple[str, int] | None: ...

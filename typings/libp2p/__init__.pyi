"""py-libp2p: what p2p/host.py uses of it."""

from collections.abc import Sequence

from libp2p.crypto.ed25519 import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.security.noise.transport import Transport
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

def new_host(
    *,
    key_pair: KeyPair,
    listen_addrs: Sequence[Multiaddr],
    sec_opt: dict[TProtocol, Transport],
    muxer_opt: dict[TProtocol, type[Yamux]],
    disable_identify_address_discovery: bool,
    connection_config: ConnectionConfig,
) -> BasicHost: ...

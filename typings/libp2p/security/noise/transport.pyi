from libp2p.crypto.ed25519 import KeyPair, PrivateKey
from libp2p.custom_types import TProtocol

PROTOCOL_ID: TProtocol

class Transport:
    def __init__(self, libp2p_keypair: KeyPair, noise_privkey: PrivateKey) -> None: ...

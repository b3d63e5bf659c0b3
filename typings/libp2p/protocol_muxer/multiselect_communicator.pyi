from libp2p.network.stream.net_stream import NetStream

class MultiselectCommunicator:
    def __init__(self, read_writer: NetStream) -> None: ...

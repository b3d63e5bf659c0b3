from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

class MultiselectClient:
    async def handshake(self, communicator: MultiselectCommunicator) -> None: ...
    async def try_select(
        self, communicator: MultiselectCommunicator, protocol: TProtocol
    ) -> TProtocol: ...

from collections.abc import Sequence

from libp2p.custom_types import TProtocol
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

class MultiselectClient:
    async def select_one_of(
        self,
        protocols: Sequence[TProtocol],
        communicator: MultiselectCommunicator,
        negotiate_timeout: int = ...,
    ) -> TProtocol: ...

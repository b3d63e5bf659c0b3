"""Between the engine and the network: consensus' values to wire messages and back.

Transactions go to `gossip`; what peers ask for is served by `sync_server`.
"""

import logging

import trio

from consensus import effects, events
from consensus.events import Event, PeerStatus, Role
from node.chain import Chain
from node.clock import Clock
from node.engine import Engine
from node.gossip import TransactionGossip
from node.pool import Pool
from p2p import messages
from p2p.network import MessageReceived, Network, PeerConnected, PeerDisconnected
from p2p.ports import PeerError
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

OUT_OF_PLACE = -128  # a message that this node does not expect of a peer
ENGINE_BUSY_PAUSE_S = 0.05


class NetworkWire:
    """`node.engine.Wire` over the network, and the pump of what the network hears."""

    def __init__(self, network: Network, pool: Pool) -> None:
        self._network = network
        self._gossip = TransactionGossip(network, pool)

    def send(self, peers: tuple[bytes, ...], message: object) -> None:
        """Queue a consensus message or an announce to peers."""
        wire: messages.Message
        if isinstance(message, effects.Announce):
            wire = messages.BlockAnnounce(message.header, message.is_best)
        else:
            wire = messages.Grandpa(message)  # type: ignore[arg-type]
        for peer in peers:
            self._network.send(peer, wire)

    async def request_blocks(self, request: effects.RequestBlocks) -> Event:
        """Ask a peer; its answer or its failure as an event."""
        wire = messages.BlockRequest(
            start_hash=request.start if isinstance(request.start, bytes) else None,
            start_number=request.start if isinstance(request.start, int) else 0,
            is_ascending=request.is_ascending,
            blocks_max=request.blocks_max,
            with_bodies=request.with_bodies,
        )
        try:
            blocks = await self._network.request_blocks(request.peer, wire)
        except PeerError as error:
            return events.RequestFailed(request.request_id, request.peer, str(error))
        return events.BlocksReceived(
            request.request_id,
            request.peer,
            tuple(
                events.SyncBlock(
                    block.header,
                    tuple(block.extrinsics) if block.extrinsics is not None else None,
                    block.justification,
                )
                for block in blocks
            ),
        )

    def report(self, peer: bytes, delta: int, reason: str) -> None:
        """Change a peer's reputation."""
        self._network.report(peer, delta, reason)

    def pass_on(self, digest: Hash, extrinsic: bytes) -> None:
        """Send an extrinsic the pool has taken to the peers."""
        self._gossip.pass_on(digest, extrinsic)

    async def pump(self, engine: Engine) -> None:
        """Hand what the network hears to the engine and the pool, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._gossip.run)
            async for event in self._network.events:
                match event:
                    case PeerConnected(peer=peer):
                        await self._post(engine, events.PeerConnected(peer, _status(event)))
                        self._gossip.peer_connected(peer)
                    case PeerDisconnected(peer=peer):
                        self._gossip.peer_gone(peer)
                        await self._post(engine, events.PeerGone(peer))
                    case MessageReceived(peer=peer, message=message):
                        await self._message(engine, peer, message)

    async def _message(self, engine: Engine, peer: bytes, message: messages.Message) -> None:
        match message:
            case messages.BlockAnnounce():
                await self._post(engine, events.HeaderSeen(peer, message.header, message.is_best))
            case messages.Grandpa():
                await self._post(engine, events.MessageReceived(peer, message.message))
            case messages.Transactions():
                self._gossip.take(peer, message)
            case _:
                self._network.report(peer, OUT_OF_PLACE, "a message out of place")

    async def _post(self, engine: Engine, event: Event) -> None:
        # A full queue stops the pump, and with it the reading of the peers' streams.
        while not engine.post(event):
            await trio.sleep(ENGINE_BUSY_PAUSE_S)


def make_status(chain: Chain, clock: Clock, is_authority: bool) -> messages.Status:
    """What we tell a peer when we meet."""
    return messages.Status(
        genesis=chain.genesis_hash,
        best_hash=chain.best_hash,
        best_number=chain.best.number,
        finalized_hash=chain.finalized_hash_now,
        finalized_number=chain.finalized.number,
        role=messages.Role.AUTHORITY if is_authority else messages.Role.FULL,
        wall_ms=clock.wall_ms(),
    )


def _status(event: PeerConnected) -> PeerStatus:
    status = event.status
    return PeerStatus(
        role=Role(status.role.name.lower()),
        best_hash=status.best_hash,
        best_number=status.best_number,
        finalized_hash=status.finalized_hash,
        finalized_number=status.finalized_number,
        wall_ms=status.wall_ms,
    )

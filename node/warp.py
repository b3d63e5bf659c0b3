"""Begins with the last final state instead of the first block: `dret node run --sync warp`.

Before the node takes part, and only while its database holds no more than the genesis block, by
which RPC answers meanwhile: the proof of all handoffs is asked of the peer that is furthest ahead
and followed from the genesis voters (`consensus.warp`); the block it leads to is fetched, and its
state part by part, each checked against the state root. All of it is written into a database of its
own, which takes the place of the empty one when the last part is on disk. The node then starts as
after any stop; it catches up with the head, and fetches the old blocks when there is nothing else
to fetch.

Invariant: what is not proved from the genesis voters is not written; an interrupted warp leaves the
empty database.
"""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import trio

from consensus.aura import BadHeader
from consensus.grandpa.vote_graph import BlockRef
from consensus.warp import BadWarpProof, Recoveries, WarpPosition, decode_answer, follow
from node.chain import BODY, Chain
from node.checks import NativeChecks
from node.database import NUMBER_BYTES, Column, Database
from node.errors import ConfigInvalid
from node.recoveries import read_signers
from node.state_store import StateStore
from p2p.messages import BlockRequest, Role, Status
from p2p.network import Network, PeerConnected, PeerDisconnected
from p2p.ports import PeerError
from runtime.primitives.block import Header
from runtime.primitives.scale import DecodeError
from runtime.runtime import UnknownVersion
from runtime.state.overlay import Overlay
from runtime.state.range_proof import read_range
from runtime.state.trie import ProofInvalid, extrinsics_root

log = logging.getLogger("sync")

FOLDER = "db.warp"  # beside the database, until it takes its place
WORTH_BLOCKS = 64  # a chain that is shorter is there sooner block by block
PEERS_WAIT_S = 10.0  # for somebody further ahead, after the first peer has come
RETRY_S = 5.0  # after every peer has failed
STATE_TRIES_MAX = 8  # of one part, by different peers in turn
LIE = -5_000  # as an invalid commit


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The final block that the proofs lead to."""

    position: WarpPosition
    header: Header
    extrinsics: list[bytes]


class Warper:
    """One warp, over a network that runs for it alone. `run` raises `ConfigInvalid` when the chain
    runs another version than this program has.
    """

    def __init__(
        self, chain: Chain, network: Network, folder: Path, checkpoint: tuple[int, bytes] | None
    ) -> None:
        self._chain = chain
        self._network = network
        self._folder = folder
        self._checkpoint = checkpoint
        self._peers: dict[bytes, Status] = {}
        self._changed = trio.Event()

    async def run(self) -> bool:
        """Whether the database in the folder is complete; False when it is not worth while."""
        is_done = False
        async with trio.open_nursery() as nursery:
            await nursery.start(self._network.run)
            nursery.start_soon(self._listen)
            is_done = await self._try_peers()
            nursery.cancel_scope.cancel()
        return is_done

    async def _listen(self) -> None:
        async for event in self._network.events:
            match event:
                case PeerConnected():
                    if event.status.role is not Role.LIGHT:
                        self._peers[event.peer] = event.status
                case PeerDisconnected():
                    self._peers.pop(event.peer, None)
                case _:
                    continue  # messages are for a node that knows where the chain stands
            self._changed.set()
            self._changed = trio.Event()

    async def _try_peers(self) -> bool:
        log.info("Warp sync: waiting for peers")
        while not self._peers:
            await self._changed.wait()
        with trio.move_on_after(PEERS_WAIT_S):
            while self._highest() < WORTH_BLOCKS:
                await self._changed.wait()
        tried: set[bytes] = set()
        while True:
            untried = {p: s for p, s in self._peers.items() if p not in tried}
            if not untried:
                tried.clear()
                await trio.sleep(RETRY_S)
                continue
            peer = max(untried, key=lambda p: (untried[p].finalized_number, p))
            if untried[peer].finalized_number < WORTH_BLOCKS:
                log.info("Warp sync: the chain has few blocks yet, they are fetched one by one")
                return False
            tried.add(peer)
            try:
                await self._follow(peer)
                return True
            except PeerError as error:
                log.warning("Warp sync: a peer failed: %s", error)
            except (BadWarpProof, ProofInvalid, BadHeader, DecodeError) as error:
                log.warning("Warp sync: a peer's proof is wrong: %s", error)
                self._network.report(peer, LIE, f"warp sync: {error}")

    def _highest(self) -> int:
        return max((status.finalized_number for status in self._peers.values()), default=0)

    async def _follow(self, peer: bytes) -> None:
        snapshot = await self._snapshot(peer)
        number = snapshot.header.number
        log.info(
            "Warp sync: %d handoffs lead to block %d; fetching its state",
            len(snapshot.position.handoffs),
            number,
        )
        shutil.rmtree(self._folder, ignore_errors=True)
        database = Database.open(self._folder)
        try:
            store = StateStore(database, None)
            entries = await self._copy_state(peer, snapshot, database, store)
            self._check_voters(snapshot, store)
            self._write_blocks(database, snapshot)
        finally:
            database.close()
        log.info("Warp sync: the state of block %d is whole: %d entries", number, entries)

    async def _snapshot(self, peer: bytes) -> Snapshot:
        """The last final block of a peer, proved from the genesis voters."""
        chain, runtime = self._chain, self._chain.runtime
        state = Overlay(chain.best_state())
        position = WarpPosition(
            BlockRef(chain.genesis_hash, 0),
            runtime.grandpa_set_id(state),
            tuple(key for key, _ in runtime.grandpa_authorities(state)),
        )
        checks, is_finished = NativeChecks(), False
        while not is_finished:
            data = await self._network.request_warp_proof(peer, position.block.hash)
            proof, links = decode_answer(data)
            if not proof.proofs and not proof.is_finished:
                raise BadWarpProof("it has no fragment and is not the last")
            recoveries = Recoveries(chain.genesis_hash, links, read_signers)
            position = follow(position, proof, checks, recoveries)
            is_finished = proof.is_finished
        if position.last is None:
            raise BadWarpProof("no voters have made a block final behind it")
        self._check_checkpoint(position.block)
        request = BlockRequest(position.block.hash, 0, False, 1, True)
        blocks = await self._network.request_blocks(peer, request)
        if len(blocks) != 1 or blocks[0].header.hash() != position.block.hash:
            raise BadWarpProof(f"the peer does not give block {position.block.number} itself")
        header, extrinsics = blocks[0].header, blocks[0].extrinsics
        if extrinsics is None or extrinsics_root(extrinsics) != header.extrinsics_root:
            raise BadWarpProof(f"another body for block {header.number}")
        return Snapshot(position, header, extrinsics)

    def _check_checkpoint(self, block: BlockRef) -> None:
        """The proof must reach the checkpoint; what lies below is checked as the gap is filled."""
        if self._checkpoint is None:
            return
        number, block_hash = self._checkpoint
        if block.number < number:
            raise BadWarpProof(f"it ends at block {block.number}, below the checkpoint {number}")
        if block.number == number and block.hash != block_hash:
            raise BadWarpProof(
                f"block {number} is 0x{block.hash.hex()}, the checkpoint says 0x{block_hash.hex()}"
            )

    async def _copy_state(
        self, peer: bytes, snapshot: Snapshot, database: Database, store: StateStore
    ) -> int:
        """Fetch and store the state of the block; says how many entries it has."""
        header, block_hash = snapshot.header, snapshot.position.block.hash
        after: bytes | None = None
        entries, failures = 0, 0
        while True:
            source = peer if peer in self._peers else next(iter(self._peers), peer)
            try:
                items = await self._network.request_state(source, block_hash, after)
                part = read_range(header.state_root, items, after)
            except (PeerError, ProofInvalid, DecodeError) as error:
                failures += 1
                if failures >= STATE_TRIES_MAX or not self._peers:
                    raise
                log.warning("Warp sync: a part of the state did not come: %s", error)
                if not isinstance(error, PeerError):
                    self._network.report(source, LIE, f"a part of a state: {error}")
                others = [other for other in self._peers if other != source]
                peer = others[failures % len(others)] if others else source
                continue
            failures = 0
            entries += len(part.entries)
            with database.batch(sync=part.is_last) as batch:
                store.write_range(batch, header.number, part)
            if part.is_last:
                return entries
            after = part.entries[-1][0]

    def _check_voters(self, snapshot: Snapshot, store: StateStore) -> None:
        """The state must name the voters that the proofs ended with."""
        header, position = snapshot.header, snapshot.position
        view = store.at_finalized(header.number, header.state_root)
        try:
            runtime = self._chain.runtime_of(view)
        except UnknownVersion as error:
            raise ConfigInvalid(
                f"The chain runs another runtime than this program has: {error}. Install the "
                "version of dret that the other nodes run."
            ) from error
        state = Overlay(view)
        voters = tuple(key for key, _ in runtime.grandpa_authorities(state))
        if (runtime.grandpa_set_id(state), voters) != (position.set_id, position.voters):
            raise BadWarpProof(
                f"the state of block {header.number} has other voters than the proof"
            )

    def _write_blocks(self, database: Database, snapshot: Snapshot) -> None:
        """What the node starts from: the final block, the genesis block, and all handoffs."""
        header, position = snapshot.header, snapshot.position
        block_hash, genesis = position.block.hash, self._chain.genesis_hash
        genesis_header = self._chain.header(genesis)
        assert position.last is not None and genesis_header is not None, "there was a proof"
        with database.batch(sync=True) as batch:
            for place, root, body in (
                (genesis, genesis_header, []),
                (block_hash, header, snapshot.extrinsics),
            ):
                batch.put(Column.HEADER, place, root.encode())
                batch.put(Column.BODY, place, BODY.encode(body))
                batch.put(Column.NUMBER, _number(root.number), place)
            for fragment in position.handoffs:
                handoff = fragment.header.hash()
                batch.put(Column.HEADER, handoff, fragment.header.encode())
                batch.put(Column.HANDOFF, _number(fragment.header.number), handoff)
                batch.put(Column.JUSTIFICATION, handoff, fragment.justification.encode())
            for link in position.recoveries:
                start = link.proof.override.start.number
                batch.put(Column.RECOVERY, _number(start), link.encode())
            if header.number > 1:
                gap = _number(header.number - 1) + header.parent_hash
                batch.put(Column.META, b"gap", gap)
            batch.put(Column.META, b"handoffs", b"")
            batch.put(Column.META, b"justification", position.last.justification.encode())
            batch.put(Column.META, b"genesis", genesis)
            batch.put(Column.META, b"best", block_hash)
            batch.put(Column.META, b"finalized", block_hash)


def swap(folder: Path) -> None:
    """Let the complete database take the place of the empty one, which is closed."""
    complete = folder.with_name(FOLDER)
    empty = folder.with_name(folder.name + ".empty")
    shutil.rmtree(empty, ignore_errors=True)
    folder.rename(empty)
    complete.rename(folder)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    shutil.rmtree(empty, ignore_errors=True)


def _number(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")

"""Validators that lie: an honest core whose messages are changed on their way out.

Each lie of `plan.LIES` is a method. What is made up is kept beside the node's disk, so that peers
who believe it can fetch it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from consensus import aura, effects, events
from consensus.effects import SignKind
from runtime.primitives.block import Digest, Header
from runtime.primitives.grandpa import (
    Commit,
    CommitMessage,
    CompactCommit,
    Message,
    NeighbourV2,
    Precommit,
    Prevote,
    RoundVotes,
    SignedMessage,
    SignedPrecommit,
    Vote,
    vote_payload,
)
from runtime.primitives.types import Hash

if TYPE_CHECKING:
    from tests.simulation.sim_node import SimNode
    from tests.simulation.world import SimWorld

PAUSE_MS = (500, 5_000)  # between two lies that answer nothing
WITHHELD_MS = (2_000, 20_000)
FORGED_MAX = 512


class Adversary:
    """What one validator makes of its messages."""

    def __init__(self, world: "SimWorld", node: "SimNode", lies: tuple[str, ...]) -> None:
        self._world = world
        self._node = node
        self._lies = frozenset(lies)
        self.forged: dict[Hash, events.SyncBlock] = {}
        self._twins: dict[tuple[Hash, str], Header | None] = {}

    def begin(self) -> None:
        """Start lying by itself."""
        actions: list[Callable[[], None]] = []
        if "invalid justification" in self._lies:
            actions.append(self._false_commit)
        if "lying neighbour" in self._lies:
            actions.append(self._false_packet)
        if "amnesiac" in self._lies:
            actions.append(self._forget)
        if actions:
            self._later(actions)

    def _later(self, actions: list[Callable[[], None]]) -> None:
        rng = self._world.rng

        def act() -> None:
            if self._node.is_running:
                rng.choice(actions)()
            self._later(actions)

        self._world.at(rng.randint(*PAUSE_MS), act)

    def outgoing(self, to: str, message: object) -> Iterator[object]:
        """What is sent to a peer in place of a message."""
        is_odd = self._world.is_odd(to)
        if isinstance(message, effects.Announce) and self._node.has_made(message.header):
            yield from self._announces(to, message, is_odd)
        elif isinstance(message, Vote) and message.message.id in self._node.vote_keys:
            if "withholder" in self._lies and not self._is_favourite(to):
                self._world.reached["withheld vote"] += 1
                return
            other = self._other_vote(message) if "double voter" in self._lies and is_odd else None
            yield other or message
        else:
            yield message

    def serve(self, request: effects.RequestBlocks) -> Iterator[events.SyncBlock]:
        """Made-up blocks before true ones."""
        forged = self.forged.get(request.start) if isinstance(request.start, bytes) else None
        if forged is not None and forged.header is not None:
            yield forged
            if request.is_ascending or request.blocks_max <= 1:
                return
            below = replace(
                request, start=forged.header.parent_hash, blocks_max=request.blocks_max - 1
            )
            yield from self._node.serve_truly(below)
            return
        for block in self._node.serve_truly(request):
            if "invalid justification" in self._lies and block.justification is not None:
                yield replace(block, justification=block.justification[:-1] + b"\xff")
            else:
                yield block

    def _is_favourite(self, to: str) -> bool:
        return to == min(self._world.nodes)

    # --- blocks

    def _announces(self, to: str, message: effects.Announce, is_odd: bool) -> Iterator[object]:
        header = message.header
        if is_odd and "equivocating author" in self._lies:
            header = self._made_up(header, "twin") or header
        elif is_odd and "invalid block" in self._lies:
            header = self._made_up(header, "invalid") or header
        announce = effects.Announce(header, message.is_best)
        if "withholder" not in self._lies:
            yield announce
            return
        self._world.reached["withheld block"] += 1
        delay_ms = self._world.rng.randint(*WITHHELD_MS)
        self._world.deliver(self._node, to, announce, delay_ms)

    def _made_up(self, header: Header, kind: str) -> Header | None:
        key = (header.hash(), kind)
        if key not in self._twins:
            self._twins[key] = self._twin(header) if kind == "twin" else self._invalid(header)
        return self._twins[key]

    def _twin(self, header: Header) -> Header | None:
        """Another good block of the same slot."""
        build = self._node.made_for(header)
        twin = self._node.ledger.build(replace(build, timestamp_ms=build.timestamp_ms + 1))
        if twin.header is None:
            return None
        return self._keep(twin.header, twin.extrinsics)

    def _invalid(self, header: Header) -> Header:
        """A block with a good seal that breaks the rules of the runtime."""
        body = self._node.disk.now.bodies[header.hash()]
        digest = Digest(header.digest.logs[:-1])
        root, extrinsics_root = header.state_root, header.extrinsics_root
        match self._world.rng.randrange(3):
            case 0:
                root = bytes(32)
            case 1:
                body = body[1:]
            case _:
                extrinsics_root = bytes(32)
        return self._keep(
            Header(header.parent_hash, header.number, root, extrinsics_root, digest), body
        )

    def _keep(self, unsealed: Header, body: tuple[bytes, ...]) -> Header:
        key = self._node.seal_keys[0]
        seal = self._world.ring.sign(SignKind.SEAL, key, aura.pre_hash(unsealed))
        header = aura.sealed(unsealed, seal)
        self.forged[header.hash()] = events.SyncBlock(header, body, None)
        if len(self.forged) > FORGED_MAX:
            del self.forged[next(iter(self.forged))]
        return header

    # --- votes

    def _other_vote(self, vote: Vote) -> Vote | None:
        """A vote of the same stage for a block beside or below the one voted for."""
        message = vote.message.message
        if not isinstance(message, Prevote | Precommit):
            return None
        headers = self._node.disk.now.headers
        header = headers.get(message.target_hash)
        if header is None or header.number == 0:
            return None
        beside = sorted(
            block_hash
            for block_hash, other in headers.items()
            if other.parent_hash == header.parent_hash and block_hash != message.target_hash
        )
        target, number = header.parent_hash, header.number - 1
        if beside:
            target, number = beside[0], header.number
        other = type(message)(target, number)
        return self._signed(other, vote.round, vote.set_id, vote.message.id)

    def _signed(self, message: Message, round_number: int, set_id: int, key: bytes) -> Vote:
        payload = vote_payload(message, round_number, set_id)
        signature = self._world.ring.sign(SignKind.VOTE, key, payload)
        return Vote(round_number, set_id, SignedMessage(message, signature, key))

    def _forget(self) -> None:
        """Crash, and lose all memory of the votes that were cast, the signer's included."""
        world, node = self._world, self._node
        if world.has_healed or world.rng.random() < 0.8:
            return
        world.kill(node.name, kept=world.rng.randrange(3))
        node.forget_votes()
        world.reached["forgotten votes"] += 1
        world.at(1_000, lambda: world.start_stopped([node.name]))

    # --- finality

    def _false_commit(self) -> None:
        """Claim that some block is final, with a proof that is wrong in some way."""
        rng, status = self._world.rng, self._node.live.status
        header = rng.choice(list(self._node.disk.now.headers.values()))
        target = Precommit(header.hash(), header.number)
        key = self._node.vote_keys[0]
        own = self._signed(target, status.round, status.set_id, key).message
        keys = sorted(self._world.voters)[: status.threshold]
        kind = rng.randrange(4)
        votes = {
            0: [(own.signature, key)],  # too few
            1: [(own.signature, key)] * status.threshold,  # the same again and again
            2: [(own.signature, other) for other in keys],  # signed by one
            3: [(own.signature, bytes([i]) * 32) for i in range(status.threshold)],  # by strangers
        }[kind]
        precommits = [
            SignedPrecommit(target.target_hash, target.target_number, signature, voter)
            for signature, voter in votes
        ]
        commit = Commit(target.target_hash, target.target_number, precommits)
        message = CommitMessage(status.round, status.set_id, CompactCommit.from_commit(commit))
        self._tell_somebody(message)

    def _false_packet(self) -> None:
        """A neighbour packet that has nothing to do with where we stand."""
        rng, status = self._world.rng, self._node.live.status
        size = (len(self._world.voters) + 7) // 8
        votes = [
            RoundVotes(*(rng.randbytes(size) if rng.randrange(2) else bytes(size) for _ in "1234"))
            for _ in range(2)
        ]
        packet = NeighbourV2(
            max(1, status.round + rng.randint(-3, 50)),
            status.set_id + rng.choice((0, 0, 0, 1)),
            status.finalized.number + rng.choice((0, 0, 5, 100_000)),
            status.finalized.hash if rng.randrange(2) else rng.randbytes(32),
            *votes,
        )
        self._tell_somebody(packet)

    def _tell_somebody(self, message: object) -> None:
        if self._node.peers:
            to = self._world.rng.choice(sorted(self._node.peers))
            self._world.deliver(self._node, to, message, 10)

"""What outlives a crash: a disk that forgets what was not synced, a signer that never forgets.

A synced batch makes all before it durable. A crash keeps some of the batches that were written
since, the earliest first, as LevelDB's one log does. Signatures are cheap hashes, or real ones.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from consensus import effects, events
from consensus.effects import SignKind
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import SignatureVerifier, SignerMark
from node.checks import NativeChecks
from runtime.primitives.block import Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.grandpa import Message, SignedMessage
from runtime.primitives.hashing import blake2_256
from runtime.primitives.recovery import Override, RecoveryProof
from runtime.primitives.types import Hash


def key_of(name: str) -> bytes:
    """A public key; the same for seals and votes."""
    return blake2_256(b"key of " + name.encode())


def sign(public: bytes, payload: bytes) -> bytes:
    """A signature that anybody could forge and nobody here does by accident."""
    return blake2_256(public + payload) * 2


class CheapSignatures:
    """`SignatureVerifier` of the signatures above; `root_of` says what headers say of bodies."""

    def __init__(self, root_of: Callable[[Sequence[bytes]], Hash] | None = None) -> None:
        self._root_of = root_of or body_root

    def verify_seal(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        return sign(public, payload) == signature

    verify_vote = verify_seal

    def verify_body(self, root: Hash, extrinsics: Sequence[bytes]) -> bool:
        return root == self._root_of(extrinsics)


def body_root(extrinsics: Sequence[bytes]) -> Hash:
    """What a header of a network without a runtime says of its body."""
    return blake2_256(b"".join(extrinsics))


class KeyRing(Protocol):
    """Keys by the names of nodes, and how they sign."""

    verifier: SignatureVerifier
    is_repeatable: bool
    """Whether a payload always gets the same signature."""

    def seal_key(self, name: str) -> bytes: ...
    def vote_key(self, name: str) -> bytes: ...
    def sign(self, kind: SignKind, public: bytes, payload: bytes) -> bytes: ...


class CheapKeys:
    """The same key for seals and votes; a signature is a hash."""

    is_repeatable = True

    def __init__(self, root_of: Callable[[Sequence[bytes]], Hash] | None = None) -> None:
        self.verifier: SignatureVerifier = CheapSignatures(root_of)

    def seal_key(self, name: str) -> bytes:
        return key_of(name)

    vote_key = seal_key

    def sign(self, kind: SignKind, public: bytes, payload: bytes) -> bytes:
        return sign(public, payload)


@functools.cache
def pair_for(name: str, scheme: Scheme) -> KeyPair:
    """The real key pair of a node."""
    return KeyPair.from_suri(f"//{name}", scheme)


class RememberedChecks:
    """The real checks; each is done once for all nodes of the process."""

    def __init__(self) -> None:
        native = NativeChecks()
        self.verify_seal: Callable[[bytes, bytes, bytes], bool] = functools.lru_cache(8_192)(
            native.verify_seal
        )
        self.verify_vote: Callable[[bytes, bytes, bytes], bool] = functools.lru_cache(8_192)(
            native.verify_vote
        )
        self.verify_body = native.verify_body


class RealKeys:
    """sr25519 for seals, ed25519 for votes. With `is_shared` equal checks are done once."""

    is_repeatable = False

    def __init__(self, is_shared: bool = False) -> None:
        self.verifier: SignatureVerifier = RememberedChecks() if is_shared else NativeChecks()
        self._pairs: dict[bytes, KeyPair] = {}

    def seal_key(self, name: str) -> bytes:
        return self._key(name, Scheme.SR25519)

    def vote_key(self, name: str) -> bytes:
        return self._key(name, Scheme.ED25519)

    def sign(self, kind: SignKind, public: bytes, payload: bytes) -> bytes:
        return self._pairs[public].sign(payload)

    def _key(self, name: str, scheme: Scheme) -> bytes:
        pair = pair_for(name, scheme)
        self._pairs[pair.public] = pair
        return pair.public


@dataclass
class Store:
    """What the database holds."""

    finalized: Hash
    best: Hash
    headers: dict[Hash, Header]
    bodies: dict[Hash, tuple[bytes, ...]]
    finals: dict[int, Hash]
    canonical: dict[int, Hash]
    voter: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    justification: bytes | None = None
    kept: dict[Hash, bytes] = field(default_factory=dict[Hash, bytes])
    gap: BlockRef | None = None
    recovery: RecoveryProof | None = None
    """The last override that was taken."""

    @staticmethod
    def new(genesis: Header) -> "Store":
        h = genesis.hash()
        return Store(h, h, {h: genesis}, {h: ()}, {0: h}, {0: h})

    def copy(self) -> "Store":
        return replace(
            self,
            headers=dict(self.headers),
            bodies=dict(self.bodies),
            finals=dict(self.finals),
            canonical=dict(self.canonical),
            voter=dict(self.voter),
            kept=dict(self.kept),
        )

    def apply(self, operation: effects.Operation) -> None:
        match operation:
            case effects.PutBlock():
                assert operation.header.parent_hash in self.headers, "a block without its parent"
                self.headers[operation.block_hash] = operation.header
                self.bodies[operation.block_hash] = operation.extrinsics
            case effects.SetBest():
                for block_hash in operation.retracted:
                    number = self.headers[block_hash].number
                    assert self.canonical.pop(number) == block_hash
                for block_hash in operation.enacted:
                    header = self.headers[block_hash]
                    assert self.canonical[header.number - 1] == header.parent_hash
                    self.canonical[header.number] = block_hash
                self.best = operation.block_hash
            case effects.Finalize():
                self._finalize(operation)
            case effects.Recover():
                self._settle(operation)
                self.recovery = RecoveryProof.decode(operation.proof)
                final = self.recovery.override.finalized.hash
                if self.recovery.justification is not None:
                    self.kept[final] = self.recovery.justification
                self.justification = None
            case effects.PutAncestor():
                self.headers[operation.block_hash] = operation.header
                self.bodies[operation.block_hash] = operation.extrinsics
                self.canonical[operation.header.number] = operation.block_hash
                self.finals[operation.header.number] = operation.block_hash
                self.gap = operation.gap
            case effects.PutVoter():
                self.voter[operation.key] = operation.value
            case effects.DeleteVoter():
                self.voter.pop(operation.key, None)

    @property
    def override(self) -> Override | None:
        """The override that starts from the last final block."""
        override = None if self.recovery is None else self.recovery.override
        is_last = override is not None and override.start.hash == self.finalized
        return override if is_last else None

    def _finalize(self, operation: effects.Finalize) -> None:
        self._settle(operation)
        self.justification = operation.justification
        if operation.is_kept:
            self.kept[operation.block_hash] = operation.justification

    def _settle(self, operation: effects.Finalize | effects.Recover) -> None:
        for block_hash in operation.route:
            header = self.headers[block_hash]
            assert header.parent_hash == self.finalized, "finality jumps"
            assert self.canonical[header.number] == block_hash, "final and not canonical"
            self.finalized = block_hash
            self.finals[header.number] = block_hash
        assert self.finalized == operation.block_hash
        for block_hash in operation.pruned:
            assert self.canonical.get(self.headers[block_hash].number) != block_hash
            del self.headers[block_hash], self.bodies[block_hash]


class SimDisk:
    """Synced batches survive a crash; of the others as many as the crash leaves."""

    def __init__(self, genesis: Header) -> None:
        self.now = Store.new(genesis)
        self.durable = Store.new(genesis)
        self._unsynced: list[effects.Persist] = []

    def write(self, batch: effects.Persist) -> None:
        for operation in batch.operations:
            self.now.apply(operation)
        self._unsynced.append(batch)

    def sync(self, but: int = 0) -> None:
        """All that was written is on disk, but for the last so many batches."""
        count = len(self._unsynced) - but
        for batch in self._unsynced[:count]:
            for operation in batch.operations:
                self.durable.apply(operation)
        self._unsynced = self._unsynced[count:]

    def crash(self, kept: int = 0) -> int:
        """Lose what was not synced, but for the first `kept` batches; how many are lost."""
        lost = len(self._unsynced[kept:])
        self._unsynced = self._unsynced[:kept]
        self.sync()
        self.now = self.durable.copy()
        return lost


@dataclass
class SimSigner:
    """Keys with their mark, by the rule of `SignerMark`."""

    keys: frozenset[bytes]
    ring: KeyRing = field(default_factory=CheapKeys)
    marks: dict[bytes, SignerMark] = field(default_factory=dict[bytes, SignerMark])
    payloads: dict[tuple[bytes, int], tuple[bytes, bytes]] = field(
        default_factory=dict[tuple[bytes, int], tuple[bytes, bytes]]
    )
    """Of the mark's round: by key and stage, payload and signature."""

    seals: dict[bytes, tuple[int, bytes]] = field(default_factory=dict[bytes, tuple[int, bytes]])
    """By key, the highest slot that was sealed and what was signed for it."""

    refused: int = 0

    def sign(self, request: effects.Sign) -> events.Signed:
        assert request.public in self.keys
        signature = self.ring.sign(request.kind, request.public, request.payload)
        if request.kind is SignKind.SEAL:
            slot, payload = self.seals.get(request.public, (-1, b""))
            is_again = request.slot == slot and request.payload == payload
            if request.slot <= slot and not is_again:
                return events.Signed(request.request_id, None, "below the last sealed slot")
            self.seals[request.public] = (request.slot, request.payload)
            return events.Signed(request.request_id, signature)
        mark = self.marks.get(request.public)
        place = (request.set_id, request.round)
        if mark is not None and place == (mark.set_id, mark.round):
            stored = self.payloads.get((request.public, request.stage))
            if stored is not None and stored[0] != request.payload:
                self.refused += 1
                return events.Signed(request.request_id, None, "a different vote was signed")
        elif mark is not None and place < (mark.set_id, mark.round):
            self.refused += 1
            return events.Signed(request.request_id, None, "below the mark")
        else:
            mark = SignerMark(request.public, *place, None, None, None)
            self.payloads = {k: v for k, v in self.payloads.items() if k[0] != request.public}
        message = Message.decode(request.payload[:37])
        signed = SignedMessage(message, signature, request.public)
        match request.stage:
            case 0:
                mark = replace(mark, prevote=signed)
            case 1:
                mark = replace(mark, precommit=signed)
            case _:
                mark = replace(mark, propose=signed)
        self.marks[request.public] = mark
        self.payloads[request.public, request.stage] = (request.payload, signature)
        return events.Signed(request.request_id, signature)

"""What a validator's node says to the chain in its own name: signs of life and reports of offences.

Once a session, at a time drawn from its middle half, the node signs with the Aura key of each
member or candidate whose keys it has that it runs; who has authored in the session needs not.
What consensus sees of others' offences is reported as it is seen. Both are extrinsics that nobody
has to pay for: they prove themselves.

Invariant: nothing here waits, and nothing here can stop the node.
"""

import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

from consensus import effects
from node.chain import UnknownBlock
from node.pool import Pool, PoolError
from node.signing.port import SessionSigner
from node.signing.statements import VERSION_BYTES_MAX, Heartbeat
from node.state_store import StateDiscarded
from runtime.primitives.block import Header
from runtime.primitives.extrinsic import UncheckedExtrinsic
from runtime.primitives.grandpa import (
    EquivocatedVote,
    EquivocationProof,
    Precommit,
    PrecommitEquivocation,
    Prevote,
    PrevoteEquivocation,
    SignedMessage,
)
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import Runtime, UnknownVersion
from runtime.state.backend import Backend
from runtime.state.overlay import Overlay

log = logging.getLogger("duties")


class Head(Protocol):
    """What the duties ask of a chain; the node's and the simulator's."""

    @property
    def runtime(self) -> Runtime:
        """The runtime of the newest version."""
        ...

    @property
    def genesis_hash(self) -> Hash:
        """Hash of block 0."""
        ...

    @property
    def finalized(self) -> Header:
        """The last final block."""
        ...

    def best_state(self) -> Backend:
        """The state after the best block. Raises `UnknownBlock` or `StateDiscarded`."""
        ...

    def runtime_of(self, state: Backend) -> Runtime:
        """The runtime of blocks on a state. Raises `UnknownVersion`."""
        ...


class Duties:
    """Follows the best block and consensus' evidence. `sent` passes extrinsics on to peers."""

    def __init__(
        self,
        chain: Head,
        pool: Pool,
        signer: SessionSigner | None,
        sent: Callable[[Hash, bytes], None],
        rng: random.Random,
        version: str,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._signer = signer
        self._sent = sent
        self._rng = rng
        self._version = version.encode()[:VERSION_BYTES_MAX]
        self._session = -1
        self._due = 0
        """The block of the session after which we give our sign of life."""

    def best(self, effect: effects.NotifyBest) -> None:
        """The best block is another one: perhaps it is time for a sign of life."""
        if self._signer is None:
            return
        length = self._chain.runtime.constants.session_blocks
        session, place = divmod(effect.header.number, length)
        if session != self._session:
            self._session = session
            self._due = self._rng.randint(length // 4, length - 1 - length // 4)
        if 0 <= self._due <= place:
            self._due = -1
            self._give_signs_of_life(self._signer)

    def report(self, offence: effects.Offence) -> None:
        """Consensus has seen somebody sign what excludes each other."""
        found = self._state()
        if found is None:
            return
        runtime, _ = found
        match offence:
            case effects.AuthorEquivocated(slot, first, second):
                set_id = runtime.session.set_of_slot(slot)
                if set_id is None:
                    return
                call = runtime.assembly.encode_call(
                    "Authorities",
                    "report_author",
                    set_id=set_id,
                    first=first.encode(),
                    second=second.encode(),
                )
            case effects.VoterEquivocated():
                proof = proof_of(offence)
                if proof is None:
                    return
                call = runtime.assembly.encode_call(
                    "Authorities", "report_voter", proof=proof.encode()
                )
        self._submit("a report of an offence", call)

    def _give_signs_of_life(self, signer: SessionSigner) -> None:
        found = self._state()
        if found is None:
            return
        runtime, finalized = found
        pallet, session = runtime.authorities, runtime.session.session_index()
        seen = pallet.seen.get()
        due: list[tuple[bytes, Heartbeat]] = []
        for who in [*pallet.members.get(), *pallet.candidates.keys()]:
            public = None if who in seen else self._key_of(runtime, signer, who)
            if public is not None:
                heartbeat = Heartbeat(
                    self._chain.genesis_hash, session, who, finalized, self._version
                )
                due.append((public, heartbeat))
        for public, heartbeat in due:
            signer.sign_heartbeat(public, heartbeat, partial(self._hand_in, runtime, heartbeat))

    def _hand_in(self, runtime: Runtime, heartbeat: Heartbeat, signature: bytes) -> None:
        call = runtime.assembly.encode_call(
            "Authorities",
            "heartbeat",
            session=heartbeat.session,
            who=heartbeat.who,
            finalized=heartbeat.finalized,
            version=heartbeat.version,
            signature=signature,
        )
        self._submit("a sign of life", call)

    def _key_of(self, runtime: Runtime, signer: SessionSigner, who: AccountId) -> bytes | None:
        """The Aura key of an account, if it is ours."""
        ring = signer.ring("aura")
        return next((keys.aura for keys in runtime.session.keys_of(who) if keys.aura in ring), None)

    def _state(self) -> tuple[Runtime, int] | None:
        """The runtime, bound to the best state, and the number of the last final block."""
        try:
            state = self._chain.best_state()
            runtime = self._chain.runtime_of(state)
        except (UnknownBlock, StateDiscarded, UnknownVersion) as error:
            log.debug("the best state cannot be read: %s", error)
            return None
        runtime.bind(Overlay(state))
        return runtime, self._chain.finalized.number

    def _submit(self, what: str, call: bytes) -> None:
        extrinsic = UncheckedExtrinsic(None, call).encode()
        try:
            digest = self._pool.submit(extrinsic)
        except PoolError as error:
            # Another node was first, usually.
            log.debug("%s was not taken: %s", what, error)
            return
        log.info("Handed in %s", what)
        self._sent(digest, extrinsic)


def proof_of(offence: effects.VoterEquivocated) -> EquivocationProof | None:
    """Two votes as the runtime takes them; None for proposals, of which several do no harm."""
    kind: type[PrevoteEquivocation | PrecommitEquivocation]
    match offence.first.message:
        case Prevote():
            kind = PrevoteEquivocation
        case Precommit():
            kind = PrecommitEquivocation
        case _:
            return None
    votes = _vote(offence.first), _vote(offence.second)
    return EquivocationProof(offence.set_id, kind(offence.round, offence.first.id, *votes))


def _vote(signed: SignedMessage) -> EquivocatedVote:
    message = signed.message
    assert isinstance(message, Prevote | Precommit), "there are no other votes"
    return EquivocatedVote(message.target_hash, message.target_number, signed.signature)

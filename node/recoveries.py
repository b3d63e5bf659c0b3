"""What states say of an override, and the link by which it is passed on.

The members who may override are those in the state after the last block that the old voters made
final: what is above it any author could have made up. A link holds the read proof of them, so that
who follows handoffs, and has no state, judges by the same members.
"""

from collections.abc import Sequence
from typing import Protocol

from consensus.aura import BadHeader, is_recovery
from node.state_store import StateDiscarded, StateView
from runtime.primitives.block import Header
from runtime.primitives.recovery import (
    SIGNER_KEYS,
    BadOverride,
    RecoveryLink,
    RecoveryProof,
    Signers,
    check_signatures,
    signers_in,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash
from runtime.runtime import Runtime, UnknownVersion
from runtime.state.overlay import Overlay
from runtime.state.trie import ProofInvalid, verify_proof


class UnknownBlock(Exception):
    """No block of this hash is stored."""


class States(Protocol):
    """The stored blocks and the states after them."""

    @property
    def finalized_hash_now(self) -> Hash:
        """Hash of the last finalized block."""
        ...

    def header(self, block_hash: Hash) -> Header | None:
        """The header of a stored block."""
        ...

    def state_at(self, block_hash: Hash) -> StateView:
        """The state after a block. Raises `UnknownBlock` or `StateDiscarded`."""
        ...

    def runtime_of(self, state: StateView) -> Runtime:
        """The runtime under which blocks on a state run. Raises `UnknownVersion`."""
        ...


def override_fault(chain: States, proof: RecoveryProof) -> str | None:
    """Why states do not allow an override: see `consensus.ports.ChainReader`."""
    override = proof.override
    try:
        final = _final_state(chain, override.finalized.hash)
        signers = chain.runtime_of(final).recovery_signers(Overlay(final))
        check_signatures(proof, signers)
        start = chain.state_at(override.start.hash)
        return chain.runtime_of(start).override_fault(Overlay(start), proof)
    except BadOverride as error:
        return str(error)
    except (UnknownBlock, StateDiscarded, UnknownVersion) as error:
        return f"a state that it is judged by cannot be read: {error}"


def _final_state(chain: States, block_hash: Hash) -> StateView:
    """The state after the block that the override calls final, or after ours if that is pruned."""
    try:
        return chain.state_at(block_hash)
    except (UnknownBlock, StateDiscarded):
        return chain.state_at(chain.finalized_hash_now)


def override_of(header: Header, extrinsics: Sequence[bytes], runtime: Runtime) -> bytes | None:
    """The encoded `RecoveryProof` that a valid block carries."""
    try:
        return runtime.recovery_of(extrinsics) if is_recovery(header) else None
    except BadHeader:
        return None  # of a runtime for tests; consensus imports no such header


def make_link(chain: States, proof: RecoveryProof) -> RecoveryLink:
    """The link of an override, made while its states are at hand.

    Of a final block whose state is pruned nothing can be proved: then the link has no members, and
    who follows it asks another node.
    """
    override = proof.override
    headers: list[Header] = []
    block_hash = override.start.hash
    while block_hash != override.finalized.hash:
        header = chain.header(block_hash)
        if header is None or header.number <= override.finalized.number:
            headers = []
            break
        headers.append(header)
        block_hash = header.parent_hash
    try:
        members = chain.state_at(override.finalized.hash).proof(SIGNER_KEYS)
    except (UnknownBlock, StateDiscarded):
        members = []
    return RecoveryLink(proof, members, headers[::-1])


def read_signers(root: Hash, items: Sequence[bytes]) -> Signers:
    """The members in a state, by a read proof. Raises `BadOverride`."""
    try:
        return signers_in(verify_proof(root, items, SIGNER_KEYS))
    except (ProofInvalid, DecodeError) as error:
        raise BadOverride(f"its proof of the members is wrong: {error}") from error

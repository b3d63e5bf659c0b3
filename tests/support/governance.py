"""Keys, proofs of finality and votes for tests of validators that change."""

from collections.abc import Iterable

from runtime.primitives.block import Block, Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import UncheckedExtrinsic
from runtime.primitives.grandpa import (
    Commit,
    Justification,
    Precommit,
    SignedPrecommit,
    vote_payload,
)
from runtime.primitives.session import SessionKeys, heartbeat_payload, prove_ownership
from runtime.primitives.types import AccountId
from runtime.runtime import Runtime
from tests.support.accounts import pair_named
from tests.support.chains import MemoryChain

DEFAULT = ("Alice", "Bob", "Charlie", "Dave")


def keys_named(name: str) -> SessionKeys:
    """The session keys made of one name."""
    return SessionKeys(pair_named(name).public, pair_named(name, Scheme.ED25519).public)


def proof_of(name: str, owner: AccountId) -> bytes:
    """The proof that those keys go to an account."""
    return prove_ownership(owner, pair_named(name), pair_named(name, Scheme.ED25519))


def register(runtime: Runtime, who: AccountId, name: str) -> None:
    """Let an account register the keys of a name."""
    runtime.session.set_keys(who, keys_named(name), proof_of(name, who))


def prove_final(
    header: Header, set_id: int, names: Iterable[str] = DEFAULT[:3], round_number: int = 5
) -> Justification:
    """Precommits for a block by the voters of these names."""
    block_hash = header.hash()
    pairs = sorted(
        (pair_named(name, Scheme.ED25519) for name in names), key=lambda pair: pair.public
    )
    payload = vote_payload(Precommit(block_hash, header.number), round_number, set_id)
    votes = [
        SignedPrecommit(block_hash, header.number, pair.sign(payload), pair.public)
        for pair in pairs
    ]
    return Justification(round_number, Commit(block_hash, header.number, votes), [])


def heartbeat(chain: MemoryChain, name: str, who: AccountId, session: int) -> bytes:
    """The extrinsic of a node's sign of life."""
    payload = heartbeat_payload(chain.genesis_hash, session, who, 0, b"1.0")
    call = chain.call(
        "Authorities",
        "heartbeat",
        session=session,
        who=who,
        finalized=0,
        version=b"1.0",
        signature=pair_named(name).sign(payload),
    )
    return UncheckedExtrinsic(None, call).encode()


def note_handoff(chain: MemoryChain, header: Header, set_id: int, *names: str) -> bytes:
    """The inherent by which an author proves a handoff."""
    proof = prove_final(header, set_id, names or DEFAULT[:3]).encode()
    call = chain.call("Grandpa", "note_handoff", justification=proof)
    return UncheckedExtrinsic(None, call).encode()


def end_of_session(chain: MemoryChain, extrinsics: Iterable[bytes] = ()) -> Block:
    """Build blocks up to the last one of the session; the first takes the extrinsics."""
    length = chain.runtime.constants.session_blocks
    block = chain.build(extrinsics)
    while block.header.number % length:
        block = chain.build()
    return block


def pairs_of(name: str) -> tuple[KeyPair, KeyPair]:
    """The sr25519 and the ed25519 pair of a name."""
    return pair_named(name), pair_named(name, Scheme.ED25519)

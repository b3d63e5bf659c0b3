"""The members' override: how a chain goes on when more validators are lost than it tolerates.

The voters that are left cannot make anything final, so they cannot hand over either. Instead more
than two thirds of the members sign who takes over, and from which block on. The block that carries
the override is the child of that block: its runtime checks the signatures and changes the
validators at once, and says so in its digest under an engine id of its own. Everybody else checks
the same signatures against the members in the last state that the old voters made final: nodes
before they take the block in, those who follow handoffs by the link that stands in the place of the
proof which nobody can make any more.

What a member signs is `override_payload`: a name, so that no other use of a key can be taken for
it, and the SCALE encoding of the `Override`, which names the chain, the blocks and the sets.

Left out: whether the chain stands still, and who the members are, which depends on a state.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from runtime.primitives.block import Header
from runtime.primitives.extrinsic import MultiSignature, verify_signature
from runtime.primitives.hashing import blake2_256, twox_128
from runtime.primitives.scale import DecodeError, MaxLen, Struct, codec
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import AccountId, BlockNumber, Hash, Moment, SetId

ENGINE_ID = b"OVRD"
"""Addresses the digest item that names the override which a block carries."""

DOMAIN = b"DRET recovery override\x00"
"""What a member signs begins with this."""

VALIDATORS_MAX = 100  # as many as members
VALIDATORS_MIN = 3  # unless the chain began with fewer members
REASON_BYTES_MAX = 256
PATH_MAX = 1_024  # blocks from the last final one to the start: as many as may be unfinalized
PROOF_ITEMS_MAX = 256  # trie nodes that prove two values; some ten in practice

Validators = Annotated[list[tuple[AccountId, SessionKeys]], MaxLen(VALIDATORS_MAX)]
Signers = Sequence[tuple[AccountId, AccountId]]
"""Each member and the account whose key signs overrides for it."""

ReadSigners = Callable[[Hash, Sequence[bytes]], Signers]
"""Who signs, from a state root and trie nodes below it. Raises `BadOverride`."""


class BadOverride(Exception):
    """An override that overrides nothing; the message says which rule it breaks."""


class Block(Struct):
    """A block by hash and number."""

    hash: Hash
    number: BlockNumber


class Override(Struct):
    """What the members decide."""

    genesis: Hash
    finalized: Block
    """The highest block that any of the survivors knows to be final."""

    start: Block
    """Final from now on, with all below it; the block that carries the override is its child."""

    old_set_id: SetId
    """The voters who cannot finalize any more: those who vote above `finalized`."""

    set_id: SetId
    """The number that the new voters sign for; no set before had it."""

    validators: Validators
    """Who takes over; they are the members then."""

    not_before: Moment
    expires: Moment
    """The block that carries the override lies between these times."""

    reason: Annotated[str, MaxLen(REASON_BYTES_MAX)]

    def digest(self) -> Hash:
        """The name of this override in the digest of its block."""
        return blake2_256(self.encode())


class MemberSignature(Struct):
    """One member's consent."""

    member: AccountId
    signature: MultiSignature
    """By the member's recovery key over `override_payload`."""


class RecoveryProof(Struct):
    """An override with all that proves it to somebody who knows a final state."""

    override: Override
    finalized_header: Header
    justification: bytes | None
    """That the old voters made `finalized` final; for those who have not heard of it."""

    signatures: Annotated[list[MemberSignature], MaxLen(VALIDATORS_MAX)]
    """By rising member."""


class RecoveryLink(Struct):
    """A recovery for those who follow handoffs without the blocks in between."""

    proof: RecoveryProof
    members: Annotated[list[bytes], MaxLen(PROOF_ITEMS_MAX)]
    """Trie nodes that prove who the members were in the state after `finalized`."""

    headers: Annotated[list[Header], MaxLen(PATH_MAX)]
    """From the child of `finalized` to `start`."""


def override_payload(override: Override) -> bytes:
    """What a member signs."""
    return DOMAIN + override.encode()


def signatures_needed(members: int) -> int:
    """How many of so many members override: more than two thirds, as for a change of members."""
    return 2 * members // 3 + 1


def check_form(proof: RecoveryProof, genesis: Hash) -> None:
    """The rules of an override that need no state. Raises `BadOverride`."""
    override, header = proof.override, proof.finalized_header
    if override.genesis != genesis:
        raise BadOverride(
            f"it is for the chain 0x{override.genesis.hex()}, this one is 0x{genesis.hex()}"
        )
    if Block(header.hash(), header.number) != override.finalized:
        raise BadOverride(
            f"the header of the final block is that of block {header.number}, "
            f"0x{header.hash().hex()}, expected block {override.finalized.number}, "
            f"0x{override.finalized.hash.hex()}"
        )
    start, finalized = override.start, override.finalized
    distance = start.number - finalized.number
    if not 0 <= distance <= PATH_MAX or (distance == 0 and start != finalized):
        raise BadOverride(
            f"it starts from block {start.number}, expected the final block {finalized.number} "
            f"or one of the {PATH_MAX} above it"
        )
    if override.set_id <= override.old_set_id:
        raise BadOverride(f"set {override.set_id} cannot follow set {override.old_set_id}")
    if override.not_before >= override.expires:
        raise BadOverride(f"it expires at {override.expires}, not after {override.not_before}")
    _check_distinct(override)


def check_signatures(proof: RecoveryProof, signers: Signers) -> None:
    """More than two thirds of the members signed, and nobody else. Raises `BadOverride`."""
    override, keys = proof.override, dict(signers)
    payload = override_payload(override)
    needed, signed = signatures_needed(len(keys)), proof.signatures
    if len(override.validators) < min(VALIDATORS_MIN, len(keys)):
        raise BadOverride(
            f"{len(override.validators)} validators, expected {VALIDATORS_MIN} at least"
        )
    members = [entry.member for entry in signed]
    if members != sorted(set(members)):
        raise BadOverride("its signatures are not by distinct members in rising order")
    for entry in signed:
        key = keys.get(entry.member)
        if key is None:
            raise BadOverride(f"0x{entry.member.hex()} signed and is no member")
        if not verify_signature(entry.signature, payload, key):
            raise BadOverride(f"the signature of the member 0x{entry.member.hex()} is wrong")
    if len({keys[member] for member in members}) < needed:
        raise BadOverride(f"{len(signed)} of {len(keys)} members signed, expected {needed}")


def check_path(link: RecoveryLink) -> None:
    """The headers of a link lead from the final block to the start. Raises `BadOverride`."""
    override, tip = link.proof.override, link.proof.override.finalized
    for header in link.headers:
        if header.parent_hash != tip.hash or header.number != tip.number + 1:
            raise BadOverride(f"header {header.number} of its path is no child of {tip.number}")
        tip = Block(header.hash(), header.number)
    if tip != override.start:
        raise BadOverride(f"its path leads to block {tip.number}, not to its start")


def check_link(link: RecoveryLink, genesis: Hash, set_id: int, read: ReadSigners) -> None:
    """The rules of a link for who knows that its final block is final. Raises `BadOverride`."""
    proof = link.proof
    check_form(proof, genesis)
    if proof.override.old_set_id != set_id:
        raise BadOverride(f"it overrides set {proof.override.old_set_id}, expected {set_id}")
    check_path(link)
    check_signatures(proof, read(proof.finalized_header.state_root, link.members))


def recovery_keys_of(proof: RecoveryProof) -> tuple[bytes, ...]:
    """The voters that take over."""
    return tuple(keys.grandpa for _, keys in proof.override.validators)


# --- who signs, as it stands in a state

MEMBERS_KEY = twox_128(b"Authorities") + twox_128(b"Members")
SIGNERS_KEY = twox_128(b"Authorities") + twox_128(b"RecoveryKeys")
SIGNER_KEYS = (MEMBERS_KEY, SIGNERS_KEY)
"""What a link proves of the state after the final block."""

_MEMBERS = codec(list[AccountId])
_KEYS = codec(list[tuple[AccountId, AccountId]])


def signers_in(values: Mapping[bytes, bytes | None]) -> Signers:
    """The members and their recovery keys, from the values under `SIGNER_KEYS`.

    A member that has registered none signs with the key of its account. Raises `BadOverride`.
    """
    try:
        members = _MEMBERS.decode(values[MEMBERS_KEY] or b"\0")
        registered = dict(_KEYS.decode(values[SIGNERS_KEY] or b"\0"))
    except DecodeError as error:
        raise BadOverride(f"the members cannot be read in the state: {error}") from error
    return signers_of(members, registered)


def signers_of(members: Sequence[AccountId], registered: Mapping[AccountId, AccountId]) -> Signers:
    """Who signs for each member."""
    return [(member, registered.get(member, member)) for member in members]


def key_change_payload(genesis: Hash, member: AccountId, key: AccountId) -> bytes:
    """What a member's recovery key signs when another one takes its place."""
    return b"DRET recovery key\x00" + genesis + member + key


def _check_distinct(override: Override) -> None:
    if not override.validators:
        raise BadOverride("it names no validators")
    for name, values in (
        ("account", [account for account, _ in override.validators]),
        ("aura key", [keys.aura for _, keys in override.validators]),
        ("grandpa key", [keys.grandpa for _, keys in override.validators]),
    ):
        if len(set(values)) < len(values):
            raise BadOverride(f"two of its validators have the same {name}")

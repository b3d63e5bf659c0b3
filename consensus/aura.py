"""Aura: slots, whose turn it is, seal and header checks.

Authors take turns: the slot of a time is `unix_ms // slot_duration_ms` and its author is
`authorities[slot % len(authorities)]`, the authorities in the state after the parent. Bytes as
in Substrate's sc-consensus-aura.

The authorities after a block are those after its parent unless its header carries an
AuthoritiesChange, which the runtime deposits whenever it writes the list; so seals of a chain of
headers can be checked before any of them is executed. That an author is disabled is checked by
the runtime, when the block is executed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.primitives.aura import ENGINE_ID as AURA_ENGINE
from runtime.primitives.block import Consensus, Digest, DigestItem, Header, PreRuntime, Seal
from runtime.primitives.grandpa import ENGINE_ID as GRANDPA_ENGINE
from runtime.primitives.hashing import blake2_256
from runtime.primitives.recovery import ENGINE_ID as RECOVERY_ENGINE
from runtime.primitives.scale import U32, U64, DecodeError, codec
from runtime.primitives.types import AccountId, AuthorityId, Hash

FUTURE_SLOTS_MAX = 1  # more would let an author who stamps ahead hold up all slots in between
HEADER_BYTES_MAX = 8 * 1024
DIGEST_ITEMS_MAX = 16
SEAL_BYTES = 64
HASH_BYTES = 32

PROPOSAL_PPM = 500_000  # of a slot, for applying transactions; the rest is for everyone's import
PROPOSAL_PPM_MAX = 660_000  # even with lenience: later than that the block misses its slot
LENIENCE_DOUBLINGS_MAX = 7

# Back-off while finality lags, with Substrate's values: authoring slows down so that the chain
# nobody has finalized does not outgrow memory.
BACKOFF_SLACK_BLOCKS = 50
BACKOFF_BIAS = 2
BACKOFF_SLOTS_MAX = 100

_AURA_AUTHORITIES_CHANGE = 1
_GRANDPA_SCHEDULED_CHANGE = 1
_GRANDPA_FORCED_CHANGE = 2
_GRANDPA_PAUSE, _GRANDPA_RESUME = 4, 5


class BadHeader(Exception):
    """A header breaks a rule that is a function of the chain alone: it stays bad for ever."""


@dataclass(frozen=True, slots=True)
class AuraDigest:
    """What Aura and GRANDPA read in the digest of a sealed header."""

    slot: int
    seal: bytes
    pre_hash: Hash
    """The hash of the header without its seal: what the seal signs."""

    authorities_change: tuple[bytes, ...] | None
    scheduled_change: tuple[bytes, ...] | None
    """The next authority set of GRANDPA, when the old one's votes hand over to it."""

    recovery: Hash | None = None
    """The override by which the block hands over, when it is not the old set's votes."""


def slot_at(wall_ms: int, slot_duration_ms: int) -> int:
    """The slot of a Unix time."""
    return wall_ms // slot_duration_ms


def author_of(slot: int, authorities: Sequence[bytes]) -> bytes | None:
    """Whose turn a slot is; None when there is nobody."""
    return authorities[slot % len(authorities)] if authorities else None


def pre_digest(slot: int) -> Digest:
    """The digest a block of this slot is built with."""
    return Digest([PreRuntime(AURA_ENGINE, slot.to_bytes(8, "little"))])


def sealed(header: Header, signature: bytes) -> Header:
    """The header with its seal. The seal is last: it signs everything before it."""
    digest = Digest([*header.digest.logs, Seal(AURA_ENGINE, signature)])
    return _with_digest(header, digest)


def pre_hash(header: Header) -> Hash:
    """What the seal of an unsealed header has to sign."""
    return blake2_256(header.encode())


def unsealed(header: Header) -> Header:
    """A sealed header without its seal."""
    return _with_digest(header, Digest(list(header.digest.logs[:-1])))


def slot_of(header: Header) -> int | None:
    """The slot a header says it was authored in; None without one well-formed pre-digest."""
    slots = [
        int.from_bytes(item.data, "little")
        for item in header.digest.logs
        if isinstance(item, PreRuntime) and item.engine == AURA_ENGINE and len(item.data) == 8
    ]
    return slots[0] if len(slots) == 1 else None


def read_header(header: Header) -> AuraDigest:
    """Check the form of a header and its digest (V1, V3); raises `BadHeader`."""
    encoded_bytes = len(header.encode())
    if encoded_bytes > HEADER_BYTES_MAX:
        raise BadHeader(f"header of {encoded_bytes} bytes, at most {HEADER_BYTES_MAX}")
    logs = header.digest.logs
    if len(logs) > DIGEST_ITEMS_MAX:
        raise BadHeader(f"{len(logs)} digest items, at most {DIGEST_ITEMS_MAX}")

    slot = slot_of(header)
    if slot is None:
        raise BadHeader("not exactly one Aura pre-digest of 8 bytes")
    seals = [item for item in logs if isinstance(item, Seal)]
    if len(seals) != 1 or logs[-1] is not seals[0]:
        raise BadHeader(f"{len(seals)} seals, expected exactly one, last")
    if seals[0].engine != AURA_ENGINE or len(seals[0].data) != SEAL_BYTES:
        raise BadHeader(f"seal of engine {seals[0].engine!r} with {len(seals[0].data)} bytes")
    return AuraDigest(
        slot=slot,
        seal=seals[0].data,
        pre_hash=pre_hash(unsealed(header)),
        authorities_change=_authorities_change(logs),
        scheduled_change=scheduled_change_of(header),
        recovery=_recovery(logs),
    )


def scheduled_change_of(header: Header) -> tuple[bytes, ...] | None:
    """The voters that a header hands over to when it is final; raises `BadHeader`.

    None for the header that carries an override: its voters take over by that, with its parent.
    """
    logs = header.digest.logs
    change = _scheduled_change(logs)
    return change if _recovery(logs) is None else None


def is_recovery(header: Header) -> bool:
    """Whether a header names an override that its block carries; raises `BadHeader`."""
    return _recovery(header.digest.logs) is not None


def proposal_window_ms(slot: int, parent_slot: int, slot_duration_ms: int, elapsed_ms: int) -> int:
    """How long, in ms from now, the author of a slot may apply transactions.

    Skipped slots give lenience (doubling per two, as in sc-consensus-slots), so that a stalled
    chain gets its heavy block built; always within PROPOSAL_PPM_MAX of the slot.
    """
    usual_ms = slot_duration_ms * PROPOSAL_PPM // 1_000_000
    longest_ms = slot_duration_ms * PROPOSAL_PPM_MAX // 1_000_000
    skipped = max(0, slot - parent_slot - 1)
    lenience_ms = 0
    if skipped > 0:
        lenience_ms = slot_duration_ms << min(skipped // 2, LENIENCE_DOUBLINGS_MAX)
    until_ms = min(usual_ms + lenience_ms, longest_ms)
    return max(0, until_ms - elapsed_ms)


def is_backing_off(best_number: int, best_slot: int, finalized_number: int, slot: int) -> bool:
    """Whether an author leaves its slot out because finality lags.

    Unlike Substrate, which compares with "now", by the slot of the claim: the same thing.
    """
    lag = best_number - finalized_number
    if lag <= BACKOFF_SLACK_BLOCKS:
        return False
    interval = min(BACKOFF_SLOTS_MAX, (lag - BACKOFF_SLACK_BLOCKS) // BACKOFF_BIAS)
    return slot <= best_slot + interval


def _with_digest(header: Header, digest: Digest) -> Header:
    return Header(
        header.parent_hash, header.number, header.state_root, header.extrinsics_root, digest
    )


def _authorities_change(logs: Sequence[DigestItem]) -> tuple[bytes, ...] | None:
    """The one AuthoritiesChange of Aura: 0x01 and the list of keys."""
    changes = [
        data
        for kind, data in _consensus_logs(logs, AURA_ENGINE)
        if kind == _AURA_AUTHORITIES_CHANGE
    ]
    if len(changes) > 1:
        raise BadHeader(f"{len(changes)} AuthoritiesChange logs, at most one")
    if not changes:
        return None
    try:
        authorities = tuple(codec(list[AccountId]).decode(changes[0]))
    except DecodeError as error:
        raise BadHeader(f"AuthoritiesChange cannot be decoded: {error}") from error
    if not authorities:
        raise BadHeader("AuthoritiesChange to nobody")
    return authorities


def _scheduled_change(logs: Sequence[DigestItem]) -> tuple[bytes, ...] | None:
    """The one ScheduledChange of GRANDPA. The other changes are not part of this protocol."""
    found: tuple[bytes, ...] | None = None
    for kind, data in _consensus_logs(logs, GRANDPA_ENGINE):
        if kind in (_GRANDPA_FORCED_CHANGE, _GRANDPA_PAUSE, _GRANDPA_RESUME):
            raise BadHeader(f"GRANDPA log {kind}: forced changes and pauses are not used")
        if kind == _GRANDPA_SCHEDULED_CHANGE:
            if found is not None:
                raise BadHeader("two ScheduledChange logs, at most one")
            found = _next_set(data)
    return found


def _next_set(data: bytes) -> tuple[bytes, ...]:
    """The keys of a ScheduledChange: at once, each of weight 1."""
    try:
        next_set, delay = codec(tuple[list[tuple[AuthorityId, U64]], U32]).decode(data)
    except DecodeError as error:
        raise BadHeader(f"ScheduledChange cannot be decoded: {error}") from error
    keys = tuple(key for key, _ in next_set)
    if delay != 0 or any(weight != 1 for _, weight in next_set):
        raise BadHeader("ScheduledChange with a delay or with weights other than 1")
    if not keys or len(set(keys)) != len(keys):
        raise BadHeader("ScheduledChange to nobody, or to one key twice")
    return keys


def _recovery(logs: Sequence[DigestItem]) -> Hash | None:
    """The override that the block carries, which tells of the next sets as any handoff does."""
    found = [i.data for i in logs if isinstance(i, Consensus) and i.engine == RECOVERY_ENGINE]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) != HASH_BYTES:
        raise BadHeader(f"{len(found)} overrides, the first of {len(found[0])} bytes")
    if _authorities_change(logs) is None or _scheduled_change(logs) is None:
        raise BadHeader("an override that hands over to nobody")
    return found[0]


def _consensus_logs(logs: Sequence[DigestItem], engine: bytes) -> list[tuple[int, bytes]]:
    """Kind (first byte) and rest of all consensus logs of an engine."""
    found: list[tuple[int, bytes]] = []
    for item in logs:
        if isinstance(item, Consensus) and item.engine == engine:
            if not item.data:
                raise BadHeader("an empty consensus log")
            found.append((item.data[0], item.data[1:]))
    return found

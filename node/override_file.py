"""Overrides as files: what is passed between operators, and what lies in a node's folder.

    {"summary": {…}, "proof": "0x…"}

`proof` is the SCALE encoding of a `RecoveryProof`; the summary is for people and is never read. A
node takes up the file `recovery.json` below its base path when it starts.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from consensus import effects, events
from consensus.core import Core
from consensus.ports import ConsensusConfig
from node.chain import Chain
from node.checks import NativeChecks
from node.clock import Clock
from node.errors import ConfigInvalid, NodeError
from node.keystore import write_private
from runtime.primitives.crypto import KeyPair, ss58_encode
from runtime.primitives.extrinsic import SIGNATURE_FORMS
from runtime.primitives.recovery import MemberSignature, Override, RecoveryProof, override_payload
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import AccountId

INSTALLED_FILE = "recovery.json"  # below the base path
SIGNED_SUFFIX = ".overrides.json"  # behind the name of a file with a secret
FILE_BYTES_MAX = 4 << 20  # a hundred validators, signatures and votes have some 50 kB


class OverrideRefused(NodeError):
    """An override that this node would not take; the message says why."""


def read_override(path: Path) -> RecoveryProof:
    """An override from its file. Raises `ConfigInvalid`."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ValueError(f"it has more than {FILE_BYTES_MAX} bytes")
        return RecoveryProof.decode(bytes.fromhex(json.loads(path.read_bytes())["proof"][2:]))
    except (OSError, ValueError, KeyError, TypeError, DecodeError) as error:
        raise ConfigInvalid(
            f"{path} is no override: {error}. dret authority recovery propose makes one."
        ) from error


def installed(folder: Path) -> RecoveryProof | None:
    """The override that the node of a folder takes up. Raises `ConfigInvalid`."""
    path = folder / INSTALLED_FILE
    return read_override(path) if path.exists() else None


def write_override(path: Path, proof: RecoveryProof) -> None:
    """Write an override's file. Raises `ConfigInvalid`."""
    content = {"summary": summary(proof), "proof": "0x" + proof.encode().hex()}
    try:
        write_private(path, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}.") from error


def summary(proof: RecoveryProof) -> dict[str, Any]:
    """An override for people."""
    override = proof.override
    return {
        "override": "0x" + override.digest().hex(),
        "genesis": "0x" + override.genesis.hex(),
        "finalized": _block(override.finalized.number, override.finalized.hash),
        "start": _block(override.start.number, override.start.hash),
        "old_set_id": override.old_set_id,
        "set_id": override.set_id,
        "validators": [
            {
                "account": ss58_encode(who),
                "aura": "0x" + keys.aura.hex(),
                "grandpa": "0x" + keys.grandpa.hex(),
            }
            for who, keys in override.validators
        ],
        "not_before_ms": override.not_before,
        "expires_ms": override.expires,
        "reason": override.reason,
        "signed_by": [ss58_encode(entry.member) for entry in proof.signatures],
    }


def sign_override(proof: RecoveryProof, member: AccountId, pair: KeyPair) -> RecoveryProof:
    """The override with one more signature."""
    signature = SIGNATURE_FORMS[pair.scheme](pair.sign(override_payload(proof.override)))
    return _with(proof, [MemberSignature(member, signature)])


def combine(proofs: Sequence[RecoveryProof]) -> RecoveryProof:
    """One override with the signatures of several files. Raises `ConfigInvalid`."""
    first = proofs[0]
    for proof in proofs[1:]:
        if proof.override != first.override:
            raise ConfigInvalid(
                f"The files hold two overrides: 0x{first.override.digest().hex()} and "
                f"0x{proof.override.digest().hex()}. Members sign one and the same."
            )
        first = _with(first, proof.signatures)
        if first.justification is None and proof.justification is not None:
            first = replace(first, justification=proof.justification)
    return first


def note_signing(secret: Path, override: Override) -> None:
    """Remember beside a secret what it overrides. Raises `OverrideRefused` for a second override.

    Two overrides of one set could be taken by half of the nodes each.
    """
    path = secret.with_name(secret.name + SIGNED_SUFFIX)
    place = f"0x{override.genesis.hex()} set {override.old_set_id}"
    digest = "0x" + override.digest().hex()
    try:
        known: dict[str, str] = json.loads(path.read_bytes()) if path.exists() else {}
        before = known.get(place)
        if before not in (None, digest):
            raise OverrideRefused(
                f"This key has signed the override {before} of this set already, this one is "
                f"{digest}. If half of the nodes took one and half the other, the chain would "
                f"split for good. Only when no node has taken the first and it has expired: remove "
                f"its line from {path} and sign again."
            )
        write_private(path, json.dumps({**known, place: digest}, indent=1).encode())
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigInvalid(f"{path} cannot be used: {error}.") from error


def judge(chain: Chain, proof: RecoveryProof, clock: Clock) -> str | None:
    """Why the node of a stopped chain would not take an override now; None if it would.

    By the same rules as when it runs.
    """
    constants = chain.runtime.constants
    config = ConsensusConfig(
        chain.genesis_hash,
        constants.slot_duration_ms,
        constants.gossip_duration_ms,
        stall_slots=constants.session_blocks // 2,
    )
    override, now_ms = proof.override, clock.wall_ms()
    if not override.not_before <= now_ms <= override.expires:
        return f"it holds from {override.not_before} to {override.expires} (ms), now is {now_ms}"
    core = Core(config, chain, NativeChecks())
    core.start(clock.monotonic_ms(), now_ms, chain.loaded_state(()))
    given = events.RecoveryGiven(proof.encode())
    for effect in core.handle(clock.monotonic_ms(), now_ms, given):
        if isinstance(effect, effects.Alarm):
            return effect.detail
    return None


def _with(proof: RecoveryProof, more: Sequence[MemberSignature]) -> RecoveryProof:
    by_member = {entry.member: entry for entry in (*proof.signatures, *more)}
    return replace(proof, signatures=[by_member[member] for member in sorted(by_member)])


def _block(number: int, block_hash: bytes) -> dict[str, Any]:
    return {"number": number, "hash": "0x" + block_hash.hex()}

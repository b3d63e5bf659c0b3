"""The high-water marks: what each session key has signed last, in a file of its own.

Of a voting key the votes of the one (set, round) it signed last, of a sealing key the slot and the
header. The file lies outside the database, so a database that is restored from an old backup cannot
make the validator sign something else.

Invariant: a mark is on disk before it is in memory, and only then does a signature leave. After a
write that failed the old marks hold; what may be on disk by then was never given out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consensus.ports import SignerMark
from node.errors import DiskFailed, StorageUnusable, is_for_want_of_space
from node.keystore import write_private
from runtime.primitives.grandpa import SignedMessage

FILE_NAME = "signing_state.json"
MESSAGE_BYTES = 37  # a vote's payload begins with the message; round and set id follow
# Stages in the order of time: propose, prevote, precommit; on the wire they are 2, 0 and 1.
_TIME_OF_STAGE = {2: 0, 0: 1, 1: 2}


@dataclass(frozen=True, slots=True)
class VoteMark:
    """The votes of the last round in which a key has voted."""

    set_id: int = -1
    round: int = -1
    votes: Mapping[int, tuple[bytes, bytes]] = field(default_factory=dict[int, tuple[bytes, bytes]])
    """Stage on the wire to payload and signature."""

    def is_below(self, set_id: int, round_number: int, stage: int) -> bool:
        """Whether a vote comes after all that have been signed."""
        highest = max((_TIME_OF_STAGE[stage] for stage in self.votes), default=-1)
        wanted = (set_id, round_number, _TIME_OF_STAGE[stage])
        return wanted > (self.set_id, self.round, highest)

    def signed(self, stage: int, public: bytes) -> SignedMessage | None:
        """The vote of a stage as it went out."""
        if stage not in self.votes:
            return None
        payload, signature = self.votes[stage]
        return SignedMessage.decode(payload[:MESSAGE_BYTES] + signature + public)


@dataclass(frozen=True, slots=True)
class SealMark:
    """The last block that a key has sealed."""

    slot: int
    pre_hash: bytes
    signature: bytes


class Marks:
    """The marks of all keys. Raises `StorageUnusable` when the file is damaged."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._votes: dict[bytes, VoteMark] = {}
        self._seals: dict[bytes, SealMark] = {}
        if self.path.exists():
            self._load()

    def vote(self, public: bytes) -> VoteMark:
        """The mark of a voting key; below everything when it never voted."""
        return self._votes.get(public, VoteMark())

    def seal(self, public: bytes) -> SealMark | None:
        """The mark of a sealing key, once it has sealed."""
        return self._seals.get(public)

    def put_vote(self, public: bytes, mark: VoteMark) -> None:
        """Make a mark durable. Raises `DiskFailed`."""
        votes = {**self._votes, public: mark}
        self._store(votes, self._seals)
        self._votes = votes

    def put_seal(self, public: bytes, mark: SealMark) -> None:
        """Make a mark durable. Raises `DiskFailed`."""
        seals = {**self._seals, public: mark}
        self._store(self._votes, seals)
        self._seals = seals

    def told(self) -> tuple[SignerMark, ...]:
        """The marks of all keys that have ever voted, as consensus takes them."""
        return tuple(
            SignerMark(
                public=public,
                set_id=mark.set_id,
                round=mark.round,
                propose=mark.signed(2, public),
                prevote=mark.signed(0, public),
                precommit=mark.signed(1, public),
            )
            for public, mark in sorted(self._votes.items())
        )

    def _store(self, votes: Mapping[bytes, VoteMark], seals: Mapping[bytes, SealMark]) -> None:
        content: dict[str, dict[str, Any]] = {
            public.hex(): {
                "set_id": mark.set_id,
                "round": mark.round,
                "votes": {
                    str(stage): [payload.hex(), signature.hex()]
                    for stage, (payload, signature) in mark.votes.items()
                },
            }
            for public, mark in votes.items()
        }
        for public, seal in seals.items():
            content[public.hex()] = {
                "slot": seal.slot,
                "pre_hash": seal.pre_hash.hex(),
                "signature": seal.signature.hex(),
            }
        try:
            write_private(self.path, json.dumps(content).encode())
        except OSError as error:
            raise DiskFailed(
                f"The signing state {self.path} cannot be written: {error}. No signature was given "
                "out. Free space or check the disk.",
                is_for_want_of_space(error),
            ) from error

    def _load(self) -> None:
        try:
            content = json.loads(self.path.read_bytes())
            for name, entry in content.items():
                public = bytes.fromhex(name)
                if "slot" in entry:
                    self._seals[public] = _seal_mark(entry)
                else:
                    self._votes[public] = _vote_mark(entry)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise StorageUnusable(
                f"The signing state {self.path} cannot be read: {error}. Without it the validator "
                "could vote twice, and an older copy is no better. Move it and the keys in the "
                "keystore away for good, start the node without --validator, give it new keys "
                "(dret authority rotate-keys), and start it with --validator again."
            ) from error


def _vote_mark(entry: Mapping[str, Any]) -> VoteMark:
    votes = {
        int(stage): (bytes.fromhex(payload), bytes.fromhex(signature))
        for stage, (payload, signature) in entry["votes"].items()
    }
    if not votes or not votes.keys() <= _TIME_OF_STAGE.keys():
        raise ValueError(f"stages {sorted(votes)}, expected some of 0, 1 and 2")
    return VoteMark(int(entry["set_id"]), int(entry["round"]), votes)


def _seal_mark(entry: Mapping[str, Any]) -> SealMark:
    pre_hash, signature = (bytes.fromhex(entry[name]) for name in ("pre_hash", "signature"))
    return SealMark(int(entry["slot"]), pre_hash, signature)

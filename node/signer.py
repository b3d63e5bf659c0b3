"""Signs seals and votes, and never signs two different votes of one stage.

The high-water mark of each voting key, the votes of the one (set, round) it signed last, is a file
of its own outside the database, written durably before a signature leaves this module. So a
database restored from an old backup cannot make the validator vote twice. A request at or below
the mark is refused unless its payload is the one that was signed; then the stored signature is
returned.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from consensus.effects import Sign, SignKind
from consensus.events import Signed
from consensus.ports import SignerMark
from node.errors import DiskFailed, StorageUnusable, is_for_want_of_space
from node.keystore import Keystore, write_private
from runtime.primitives.grandpa import SignedMessage

FILE_NAME = "signing_state.json"
MESSAGE_BYTES = 37  # a vote's payload begins with the message; round and set id follow
# Stages in the order of time: propose, prevote, precommit; on the wire they are 2, 0 and 1.
_TIME_OF_STAGE = {2: 0, 0: 1, 1: 2}


@dataclass
class _Mark:
    set_id: int = -1
    round: int = -1
    votes: dict[int, tuple[bytes, bytes]] = field(default_factory=dict[int, tuple[bytes, bytes]])
    """Stage on the wire to payload and signature."""

    def signed(self, stage: int, public: bytes) -> SignedMessage | None:
        """The vote of a stage as it went out."""
        if stage not in self.votes:
            return None
        payload, signature = self.votes[stage]
        return SignedMessage.decode(payload[:MESSAGE_BYTES] + signature + public)


class Signer:
    """Holds the keystore and the marks. Raises `StorageUnusable` when the file is damaged."""

    def __init__(self, keystore: Keystore, folder: Path) -> None:
        self._keystore = keystore
        self._path = folder / FILE_NAME
        self._marks: dict[bytes, _Mark] = self._load()

    def marks(self) -> tuple[SignerMark, ...]:
        """The marks of all keys that have ever voted here."""
        return tuple(
            SignerMark(
                public=public,
                set_id=mark.set_id,
                round=mark.round,
                propose=mark.signed(2, public),
                prevote=mark.signed(0, public),
                precommit=mark.signed(1, public),
            )
            for public, mark in sorted(self._marks.items())
            if mark.votes
        )

    def sign(self, request: Sign) -> Signed:
        """Sign, or say why not. Raises `DiskFailed` when the mark cannot be written."""
        key_type = "aura" if request.kind is SignKind.SEAL else "gran"
        pair = self._keystore.get(key_type, request.public)
        if pair is None:
            return Signed(request.request_id, None, "the key is not in the keystore")
        if request.kind is SignKind.SEAL:
            return Signed(request.request_id, pair.sign(request.payload))
        mark = self._marks.setdefault(request.public, _Mark())
        stored = mark.votes.get(request.stage)
        if (mark.set_id, mark.round) == (request.set_id, request.round) and stored is not None:
            if stored[0] == request.payload:
                return Signed(request.request_id, stored[1])
            return Signed(request.request_id, None, "a different vote of this stage was signed")
        if not self._is_above(mark, request):
            return Signed(
                request.request_id,
                None,
                f"set {request.set_id} round {request.round} stage {request.stage} lies below "
                f"the mark (set {mark.set_id}, round {mark.round})",
            )
        signature = pair.sign(request.payload)
        if (mark.set_id, mark.round) != (request.set_id, request.round):
            mark.set_id, mark.round, mark.votes = request.set_id, request.round, {}
        mark.votes[request.stage] = (request.payload, signature)
        self._store()
        return Signed(request.request_id, signature)

    def _is_above(self, mark: _Mark, request: Sign) -> bool:
        highest = max((_TIME_OF_STAGE[stage] for stage in mark.votes), default=-1)
        wanted = (request.set_id, request.round, _TIME_OF_STAGE[request.stage])
        return wanted > (mark.set_id, mark.round, highest)

    def _store(self) -> None:
        content = {
            public.hex(): {
                "set_id": mark.set_id,
                "round": mark.round,
                "votes": {
                    str(stage): [payload.hex(), signature.hex()]
                    for stage, (payload, signature) in mark.votes.items()
                },
            }
            for public, mark in self._marks.items()
        }
        try:
            write_private(self._path, json.dumps(content).encode())
        except OSError as error:
            raise DiskFailed(
                f"The signing state {self._path} cannot be written: {error}. No vote was given "
                "out. Free space or check the disk.",
                is_for_want_of_space(error),
            ) from error

    def _load(self) -> dict[bytes, _Mark]:
        if not self._path.exists():
            return {}
        try:
            content = json.loads(self._path.read_bytes())
            return {
                bytes.fromhex(public): _Mark(
                    int(entry["set_id"]),
                    int(entry["round"]),
                    {
                        int(stage): (bytes.fromhex(payload), bytes.fromhex(signature))
                        for stage, (payload, signature) in entry["votes"].items()
                    },
                )
                for public, entry in content.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise StorageUnusable(
                f"The signing state {self._path} cannot be read: {error}. Without it the validator "
                "could vote twice. Restore the file, or start with a new session key."
            ) from error

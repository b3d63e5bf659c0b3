"""The blocks at which one set of voters hands over to the next, with proofs that they are final.

Who has the set of the genesis follows them to the set that votes now, and trusts nobody on the way.
Where voters could not hand over, the members' override stands in the place of the proof.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from consensus.aura import BadHeader, read_header
from runtime.primitives.block import Header
from runtime.primitives.recovery import RecoveryLink
from runtime.primitives.types import Hash


class Proofs(Protocol):
    """Where the proofs of finality are kept."""

    def kept_justifications(self) -> Iterator[tuple[Hash, bytes]]:
        """Blocks whose proofs are kept for ever, and the proofs; in no order."""
        ...

    def justification(self, block_hash: Hash) -> bytes | None:
        """The proof kept with a block."""
        ...

    def header(self, block_hash: Hash) -> Header | None:
        """The header of a stored block."""
        ...

    def recoveries_after(self, number: int) -> Iterator[RecoveryLink]:
        """The overrides that start above a height, or at it, by rising number."""
        ...


class Handoff(NamedTuple):
    """A block from which on another set votes."""

    header: Header
    proof: bytes
    """The justification by the set that hands over; of an override the encoded `RecoveryLink`."""

    is_recovery: bool = False


class _Place(NamedTuple):
    """A handoff in the order of the chain."""

    set_id: int
    """The set that votes up to it."""

    block_hash: Hash
    recovery: RecoveryLink | None


class Handoffs:
    """Finds the handoffs among the proofs; each header is looked at once."""

    def __init__(self, proofs: Proofs, set_id_now: Callable[[], int]) -> None:
        self._proofs = proofs
        self._set_id_now = set_id_now
        """The set that votes after the last finalized block."""

        self._numbers: dict[Hash, int | None] = {}
        """Of every kept proof seen so far, the number of its block if it hands over."""

        self._found: list[_Place] = []
        self._reached = 0
        """The set to which the last one found hands over."""

    def after(self, set_id: int, count: int) -> list[Handoff]:
        """Up to `count` handoffs, oldest first, the first of them the one that set `set_id` made.

        Sets have rising numbers from 0 on, and each but the last has made one handoff.
        """
        if self._reached < self._set_id_now():
            self._look()
        chosen: list[Handoff] = []
        first = bisect_left([place.set_id for place in self._found], set_id)
        for place in self._found[first : first + count]:
            header = self._proofs.header(place.block_hash)
            if place.recovery is not None:
                final = place.recovery.proof.finalized_header
                proof: bytes | None = place.recovery.encode()
                header = place.recovery.headers[-1] if place.recovery.headers else final
            else:
                proof = self._proofs.justification(place.block_hash)
            if header is None or proof is None:
                break  # what follows could not be checked without it
            chosen.append(Handoff(header, proof, place.recovery is not None))
        return chosen

    def _look(self) -> None:
        for block_hash, _ in self._proofs.kept_justifications():
            if block_hash not in self._numbers:
                self._numbers[block_hash] = self._number_of(block_hash)
        found: list[tuple[int, Hash, RecoveryLink | None]] = [
            (number, each, None) for each, number in self._numbers.items() if number is not None
        ]
        for recovery in self._proofs.recoveries_after(0):
            start = recovery.proof.override.start
            found.append((start.number, start.hash, recovery))
        places: list[_Place] = []
        set_id = 0
        # A block that hands over may be where an override starts: the new voters were lost at once.
        for _, block_hash, link in sorted(found, key=lambda item: (item[0], item[2] is not None)):
            places.append(_Place(set_id, block_hash, link))
            set_id = set_id + 1 if link is None else link.proof.override.set_id
        self._found, self._reached = places, set_id

    def _number_of(self, block_hash: Hash) -> int | None:
        header = self._proofs.header(block_hash)
        if header is None:
            return None
        try:
            change = read_header(header).scheduled_change
        except BadHeader:
            return None  # the genesis has no seal
        return None if change is None else header.number

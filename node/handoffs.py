"""The blocks at which one set of voters hands over to the next, with proofs that they are final.

Who has the set of the genesis follows them to the set that votes now, and trusts nobody on the way.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from consensus.aura import BadHeader, read_header
from runtime.primitives.block import Header
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


class Handoffs:
    """Finds the handoffs among the proofs; each header is looked at once."""

    def __init__(self, proofs: Proofs, set_id_now: Callable[[], int]) -> None:
        self._proofs = proofs
        self._set_id_now = set_id_now
        """The set that votes after the last finalized block: so many handoffs there were."""

        self._numbers: dict[Hash, int | None] = {}
        """Of every kept proof seen so far, the number of its block if it hands over."""

        self._found: list[Hash] = []

    def after(self, set_id: int, count: int) -> list[tuple[Header, bytes]]:
        """Up to `count` handoffs, oldest first, the first of them the one that set `set_id` made.

        Sets have consecutive numbers from 0 on, so the set is the place of its handoff.
        """
        if len(self._found) < self._set_id_now():
            self._look()
        chosen: list[tuple[Header, bytes]] = []
        for block_hash in self._found[set_id : set_id + count]:
            header = self._proofs.header(block_hash)
            justification = self._proofs.justification(block_hash)
            if header is None or justification is None:
                break  # what follows could not be checked without it
            chosen.append((header, justification))
        return chosen

    def _look(self) -> None:
        for block_hash, _ in self._proofs.kept_justifications():
            if block_hash not in self._numbers:
                self._numbers[block_hash] = self._number_of(block_hash)
        found = [(number, each) for each, number in self._numbers.items() if number is not None]
        self._found = [block_hash for _, block_hash in sorted(found)]

    def _number_of(self, block_hash: Hash) -> int | None:
        header = self._proofs.header(block_hash)
        if header is None:
            return None
        try:
            change = read_header(header).scheduled_change
        except BadHeader:
            return None  # the genesis has no seal
        return None if change is None else header.number

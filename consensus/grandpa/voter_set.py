"""The voters of one authority set, all of weight 1, and the numbers that follow from their count.

Leaves out: weights. External verifiers count heads, so any other weight would make our
justifications mean something else to them.
"""

from collections.abc import Sequence


class VoterSet:
    """Voters by rising public key: the index of a voter is its bit in all masks.

    The order is that of the keys' bytes, not the runtime's, so that every node (and every light
    client) derives the same one from the same set.
    """

    __slots__ = ("_index", "faults_max", "keys", "threshold")

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or len(set(keys)) != len(keys):
            raise ValueError(f"an authority set needs distinct keys and at least one: {len(keys)}")
        self.keys = tuple(sorted(keys))
        self._index = {key: index for index, key in enumerate(self.keys)}
        self.faults_max = (len(self.keys) - 1) // 3
        """f: the faulty voters that are tolerated."""

        self.threshold = len(self.keys) - self.faults_max
        """t: the voters that make a decision. Two groups of t share an honest voter."""

    def __len__(self) -> int:
        return len(self.keys)

    def index(self, key: bytes) -> int | None:
        """The bit of a voter, or None for a stranger."""
        return self._index.get(key)

    def primary(self, round_number: int) -> int:
        """The voter that may propose in a round."""
        return round_number % len(self.keys)

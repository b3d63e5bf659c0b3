"""The handoffs of a chain, found among the proofs that a node keeps."""

from collections.abc import Iterator

from node.handoffs import Handoffs
from runtime.primitives.aura import ENGINE_ID as AURA
from runtime.primitives.aura import PreDigest
from runtime.primitives.block import Consensus, Digest, DigestItem, Header, PreRuntime, Seal
from runtime.primitives.crypto import Scheme
from runtime.primitives.grandpa import ENGINE_ID, ScheduledChange
from runtime.primitives.recovery import RecoveryLink
from runtime.primitives.types import ZERO_HASH, Hash
from tests.support.accounts import pair_named


def header(number: int, *, hands_over: bool) -> Header:
    change = ScheduledChange([(pair_named("Alice", Scheme.ED25519).public, 1)], 0)
    logs: list[DigestItem] = [PreRuntime(AURA, PreDigest(number).encode())]
    logs += [Consensus(ENGINE_ID, change.encode())] if hands_over else []
    return Header(ZERO_HASH, number, ZERO_HASH, ZERO_HASH, Digest([*logs, Seal(AURA, bytes(64))]))


class Kept:
    """Proofs of some blocks, given out in the order of their hashes as a database does."""

    def __init__(self) -> None:
        self.headers: dict[Hash, Header] = {}
        self.looks = 0
        self.links: list[RecoveryLink] = []

    def keep(self, number: int, *, hands_over: bool) -> None:
        made = header(number, hands_over=hands_over)
        self.headers[made.hash()] = made

    def kept_justifications(self) -> Iterator[tuple[Hash, bytes]]:
        self.looks += 1
        return iter([(each, b"") for each in sorted(self.headers)])

    def justification(self, block_hash: Hash) -> bytes | None:
        found = self.headers.get(block_hash)
        return None if found is None else b"proof of %d" % found.number

    def header(self, block_hash: Hash) -> Header | None:
        return self.headers.get(block_hash)

    def recoveries_after(self, number: int) -> Iterator[RecoveryLink]:
        return iter([link for link in self.links if link.proof.override.start.number >= number])


def test_they_come_in_the_order_of_their_sets_from_any_set_on() -> None:
    kept = Kept()
    for number in range(0, 60, 5):
        kept.keep(number, hands_over=number % 15 == 0 and number > 0)
    handoffs = Handoffs(kept, lambda: 3)

    every = handoffs.after(0, 10)

    assert [found.number for found, *_ in every] == [15, 30, 45]
    assert [proof for _, proof, _ in every] == [b"proof of 15", b"proof of 30", b"proof of 45"]
    assert handoffs.after(1, 1) == every[1:2]
    assert handoffs.after(3, 10) == []


def test_they_are_looked_for_only_when_there_are_more() -> None:
    kept, sets = Kept(), [1]
    kept.keep(15, hands_over=True)
    handoffs = Handoffs(kept, lambda: sets[0])

    for _ in range(3):
        assert len(handoffs.after(0, 10)) == 1
    assert kept.looks == 1
    kept.keep(30, hands_over=True)
    sets[0] = 2
    assert [found.number for found, *_ in handoffs.after(0, 10)] == [15, 30]
    assert kept.looks == 2


def test_a_gap_ends_the_answer_since_nothing_behind_it_could_be_checked() -> None:
    kept = Kept()
    for number in (15, 30, 45):
        kept.keep(number, hands_over=True)
    handoffs = Handoffs(kept, lambda: 3)
    handoffs.after(0, 1)
    del kept.headers[header(30, hands_over=True).hash()]

    assert [found.number for found, *_ in handoffs.after(0, 10)] == [15]

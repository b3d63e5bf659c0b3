"""The transaction pool, driven with extrinsics of a tiny made-up format.

An extrinsic is sender (32) ++ nonce (1) ++ priority (1) ++ filler; the fake chain keeps a nonce per
sender, and the runtime's verdict is the usual one of nonces.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node import pool as pools
from node.pool import ForgedExtrinsic, InvalidExtrinsic, Pool, Status


def xt(sender: int, nonce: int, priority: int = 1, filler: int = 0) -> bytes:
    return bytes([sender]) * 32 + bytes([nonce, priority]) + bytes(filler)


def tag(sender: int, nonce: int) -> bytes:
    return bytes([sender]) * 32 + nonce.to_bytes(4, "little")


def digest(extrinsic: bytes) -> bytes:
    return blake2b(extrinsic, digest_size=32).digest()


@dataclass
class Valid:
    priority: int
    requires: list[bytes]
    provides: list[bytes]
    longevity: int = 64
    propagate: bool = True


@dataclass
class Chain:
    nonces: Counter[int] = field(default_factory=Counter)
    now: int = 0
    refused: set[bytes] = field(default_factory=set)
    forged: set[bytes] = field(default_factory=set)

    def validate(self, extrinsic: bytes) -> Valid:
        sender, nonce, priority = extrinsic[0], extrinsic[32], extrinsic[33]
        if extrinsic in self.forged:
            raise ForgedExtrinsic("Transaction has a bad signature")
        if nonce < self.nonces[sender] or extrinsic in self.refused:
            raise InvalidExtrinsic("Transaction is outdated")
        requires = [tag(sender, nonce - 1)] if nonce > self.nonces[sender] else []
        return Valid(priority, requires, [tag(sender, nonce)])

    def tags(self, extrinsic: bytes) -> list[bytes]:
        return [tag(extrinsic[0], extrinsic[32])]

    def include(self, pool: Pool, number: int, block: bytes, *body: bytes) -> None:
        for extrinsic in body:
            self.nonces[extrinsic[0]] = max(self.nonces[extrinsic[0]], extrinsic[32] + 1)
        pool.new_best(number, [(block, list(body))], [])


def make(chain: Chain) -> Pool:
    return Pool(chain.validate, digest, chain.tags, lambda: chain.now)


def test_ready_extrinsics_come_by_priority_and_never_before_what_they_require() -> None:
    chain = Chain()
    pool = make(chain)
    for extrinsic in (xt(1, 1, 9), xt(1, 0, 1), xt(2, 0, 5)):
        pool.submit(extrinsic)

    assert pool.pending() == [xt(2, 0, 5), xt(1, 0, 1), xt(1, 1, 9)]


def test_an_extrinsic_with_a_gap_waits_until_the_gap_is_filled() -> None:
    chain = Chain()
    pool = make(chain)
    pool.submit(xt(1, 2))
    assert (pool.ready_count, pool.future_count) == (0, 1)

    pool.submit(xt(1, 0))
    pool.submit(xt(1, 1))

    assert pool.pending() == [xt(1, 0), xt(1, 1), xt(1, 2)]


def test_a_gap_filled_by_the_chain_makes_the_next_one_ready() -> None:
    chain = Chain()
    pool = make(chain)
    pool.submit(xt(1, 1))

    chain.include(pool, 1, b"block", xt(1, 0))

    assert pool.pending() == [xt(1, 1)]


def test_the_same_bytes_twice_are_refused() -> None:
    pool = make(Chain())
    pool.submit(xt(1, 0))

    with pytest.raises(pools.AlreadyImported):
        pool.submit(xt(1, 0))


def test_the_same_nonce_needs_a_higher_priority() -> None:
    pool = make(Chain())
    pool.submit(xt(1, 0, 3))

    with pytest.raises(pools.TooLowPriority, match="priority 3"):
        pool.submit(xt(1, 0, 3, filler=1))
    pool.submit(xt(1, 0, 4))

    assert pool.pending() == [xt(1, 0, 4)]


def test_what_was_invalid_is_banned_for_half_an_hour() -> None:
    chain = Chain(nonces=Counter({1: 5}))
    pool = make(chain)
    with pytest.raises(InvalidExtrinsic):
        pool.submit(xt(1, 0))

    with pytest.raises(pools.TemporarilyBanned):
        pool.submit(xt(1, 0))
    chain.now = pools.BAN_MS
    with pytest.raises(InvalidExtrinsic):
        pool.submit(xt(1, 0))


def test_what_the_operator_removes_leaves_with_its_dependents_and_stays_away() -> None:
    pool = make(Chain())
    heard: list[str] = []
    hashes = [pool.submit(xt(1, nonce)) for nonce in range(3)]
    pool.watch(hashes[2], lambda status: heard.append(status.kind))

    assert pool.remove(hashes[1])
    assert not pool.remove(hashes[1])

    assert pool.pending() == [xt(1, 0)]
    assert heard == ["ready", "invalid"]
    with pytest.raises(pools.TemporarilyBanned):
        pool.submit(xt(1, 1))


def test_one_sender_cannot_fill_the_pool() -> None:
    pool = make(Chain())
    for nonce in range(pools.PER_SENDER_MAX):
        pool.submit(xt(1, nonce))

    with pytest.raises(pools.ImmediatelyDropped, match="sender"):
        pool.submit(xt(1, pools.PER_SENDER_MAX))


def test_a_full_pool_drops_the_lowest_priority_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "READY_MAX", 2)
    pool = make(Chain())
    pool.submit(xt(1, 0, 2))
    pool.submit(xt(2, 0, 3))

    with pytest.raises(pools.ImmediatelyDropped):
        pool.submit(xt(3, 0, 2))
    pool.submit(xt(4, 0, 9))

    assert pool.pending() == [xt(4, 0, 9), xt(2, 0, 3)]


def test_a_watcher_hears_ready_in_block_retracted_and_finalized() -> None:
    chain = Chain()
    pool = make(chain)
    heard: list[Status] = []
    pool.watch(pool.submit(xt(1, 0)), heard.append)

    chain.include(pool, 1, b"A", xt(1, 0))
    chain.nonces.clear()
    pool.new_best(1, [], [(b"A", [xt(1, 0)])])
    chain.include(pool, 2, b"B", xt(1, 0))
    pool.finalized(b"B")

    kinds = [(status.kind, status.block) for status in heard]
    assert kinds == [
        ("ready", None),
        ("inBlock", b"A"),
        ("retracted", b"A"),
        ("ready", None),
        ("inBlock", b"B"),
        ("finalized", b"B"),
    ]


def test_an_extrinsic_usurped_by_an_included_one_leaves_with_word_of_it() -> None:
    chain = Chain()
    pool = make(chain)
    heard: list[Status] = []
    pool.watch(pool.submit(xt(1, 0)), heard.append)

    other = xt(1, 0, 1, filler=3)
    chain.include(pool, 1, b"A", other)

    assert len(pool) == 0
    assert heard[-1] == Status("usurped", digest(other))


def test_an_expired_extrinsic_leaves_and_takes_its_dependents_along() -> None:
    chain = Chain()
    pool = make(chain)
    pool.submit(xt(1, 0))
    pool.submit(xt(1, 1))

    pool.new_best(65, [], [])

    assert len(pool) == 0


def test_what_became_invalid_is_found_when_it_is_looked_at_again() -> None:
    chain = Chain()
    pool = make(chain)
    pool.submit(xt(1, 0))
    chain.refused.add(xt(1, 0))

    pool.new_best(1, [], [])

    assert len(pool) == 0


def test_next_nonce_counts_the_ready_ones_in_a_row() -> None:
    pool = make(Chain())
    for nonce in (0, 1, 3):
        pool.submit(xt(1, nonce))

    assert pool.next_nonce_tag(tag(1, nonce) for nonce in range(10)) == 2


class PoolMachine(RuleBasedStateMachine):
    """Random submissions, blocks and reorganisations keep the pool's invariants."""

    @initialize()
    def start(self) -> None:
        self.chain = Chain()
        self.pool = make(self.chain)
        self.number = 0

    @rule(sender=st.integers(1, 3), nonce=st.integers(0, 6), priority=st.integers(0, 4))
    def submit(self, sender: int, nonce: int, priority: int) -> None:
        try:
            self.pool.submit(xt(sender, nonce, priority))
        except pools.PoolError:
            pass

    @rule(count=st.integers(1, 4))
    def author(self, count: int) -> None:
        self.number += 1
        body = [entry.extrinsic for entry, _ in zip(self.pool.ready(), range(count), strict=False)]
        self.chain.include(self.pool, self.number, self.number.to_bytes(4, "big"), *body)

    @invariant()
    def ready_is_gapless_per_sender(self) -> None:
        if not hasattr(self, "pool"):
            return
        seen = Counter(self.chain.nonces)
        for extrinsic in self.pool.pending():
            assert extrinsic[32] == seen[extrinsic[0]]
            seen[extrinsic[0]] += 1

    @invariant()
    def the_sets_are_disjoint_and_complete(self) -> None:
        if hasattr(self, "pool"):
            assert len(self.pool.pending()) == self.pool.ready_count
            assert len(self.pool) == self.pool.ready_count + self.pool.future_count


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

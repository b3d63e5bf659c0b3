"""Proofs of finality: what is built is canonical, and nothing else is accepted."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import pytest

from consensus.grandpa.justification import (
    BadJustification,
    UnknownBlock,
    build_justification,
    check_commit_form,
    justify,
    verify_justification,
)
from consensus.grandpa.records import VoteRound
from consensus.grandpa.vote_graph import PRECOMMIT, BlockRef
from consensus.grandpa.voter_set import VoterSet
from node.checks import NativeChecks
from runtime.primitives.block import Digest, Header, Other
from runtime.primitives.grandpa import (
    Commit,
    Justification,
    Precommit,
    SignedMessage,
    SignedPrecommit,
    vote_payload,
)
from runtime.primitives.scale import DecodeError
from tests.simulation.disk import CheapSignatures, sign
from tests.vectors.load import load, unhex

ZERO = bytes(32)
ROUND, SET = 5, 2


class Blocks:
    """A tree of headers; block 0 is at height 20."""

    def __init__(self, parent: list[int]) -> None:
        self.headers: list[Header] = []
        for block, below in enumerate(parent):
            above = self.headers[below] if block else None
            number = 20 if above is None else above.number + 1
            parent_hash = ZERO if above is None else above.hash()
            mark = Digest([Other(bytes([block]))])
            self.headers.append(Header(parent_hash, number, ZERO, ZERO, mark))
        self.refs = [BlockRef(header.hash(), header.number) for header in self.headers]
        self._by_hash = {h.hash(): h for h in self.headers}

    def header(self, block_hash: bytes) -> Header | None:
        return self._by_hash.get(block_hash)

    def parent_of(self, block_hash: bytes) -> BlockRef | None:
        header = self._by_hash.get(block_hash)
        return None if header is None else BlockRef(header.parent_hash, header.number - 1)

    def is_on_chain(self, ancestor: BlockRef, descendant: BlockRef) -> bool:
        block: BlockRef | None = descendant
        while block is not None and block.number > ancestor.number:
            block = self.parent_of(block.hash)
        return block == ancestor


def keys(n: int) -> list[bytes]:
    return [bytes([17 * i + 1]) * 32 for i in range(n)]


def signed(key: bytes, target: BlockRef) -> SignedMessage:
    message = Precommit(target.hash, target.number)
    return SignedMessage(message, sign(key, vote_payload(message, ROUND, SET)), key)


def round_with(blocks: Blocks, n: int, votes: list[tuple[int, int]]) -> VoteRound:
    round_ = VoteRound(ROUND, VoterSet(keys(n)), blocks.refs[0])
    for voter, block in votes:
        target = blocks.refs[block]
        vote = signed(round_.voters.keys[voter], target)
        round_.import_vote(PRECOMMIT, voter, target, vote, blocks.parent_of)
    return round_


def verify(proof: Justification, n: int = 4) -> None:
    verify_justification(proof, SET, VoterSet(keys(n)), CheapSignatures())


def canonical_faults(proof: Justification, n: int, blocks: Blocks) -> list[str]:
    """The rules of Substrate, smoldot and the bridge pallet, each stated by itself."""
    precommits = proof.commit.precommits
    target = BlockRef(proof.commit.target_hash, proof.commit.target_number)
    ids = [vote.id for vote in precommits]
    tips = [BlockRef(vote.target_hash, vote.target_number) for vote in precommits]
    above = {
        header.hash()
        for header in blocks.headers
        if header.number > target.number
        and any(blocks.is_on_chain(BlockRef(header.hash(), header.number), t) for t in tips)
    }
    given = [header.hash() for header in proof.votes_ancestries]
    rules = {
        "threshold, no redundant vote": len(ids) == n - (n - 1) // 3,
        "sorted, no duplicate": ids == sorted(set(ids)),
        "no stranger": set(ids) <= set(keys(n)),
        "target is the lowest precommit": target in tips
        and target.number == min(tip.number for tip in tips),
        "all above the target": all(blocks.is_on_chain(target, tip) for tip in tips),
        "on one chain": all(
            blocks.is_on_chain(a, b) or blocks.is_on_chain(b, a) for a in tips for b in tips
        ),
        "exactly the headers used": len(given) == len(set(given)) and set(given) == above,
    }
    return [rule for rule, holds in rules.items() if not holds]


def highest_provable(
    blocks: Blocks, n: int, votes: list[tuple[int, int]], above: BlockRef
) -> int | None:
    """By trying all sets of t precommits of different voters on one chain."""
    best = None
    for chosen in combinations(votes, n - (n - 1) // 3):
        tips = sorted((blocks.refs[block] for _, block in chosen), key=lambda ref: ref.number)
        is_chain = all(blocks.is_on_chain(a, b) for a, b in pairwise(tips))
        if len({voter for voter, _ in chosen}) == len(chosen) and is_chain:
            number = tips[0].number
            if number > above.number and (best is None or number > best):
                best = number
    return best


@pytest.mark.parametrize("seed", range(6))
def test_what_is_built_is_canonical_accepted_and_the_highest_possible(seed: int) -> None:
    rng = random.Random(seed)
    built = 0
    for _ in range(60):
        n, size = rng.randint(1, 7), rng.randint(1, 8)
        # Mostly a chain, so that proofs exist.
        blocks = Blocks([0] + [max(0, b - 1 - (rng.random() < 0.2)) for b in range(1, size)])
        equivocators = rng.sample(range(n), rng.randint(0, (n - 1) // 3))
        votes = [(voter, rng.randrange(size)) for voter in range(n) if rng.random() < 0.95]
        votes += [(voter, rng.randrange(size)) for voter in equivocators]
        votes = list(dict.fromkeys(votes))
        above = blocks.refs[0] if rng.random() < 0.5 else BlockRef(ZERO, 19)

        proof = build_justification(round_with(blocks, n, votes), above, blocks.header)

        expected = highest_provable(blocks, n, votes, above)
        assert (None if proof is None else proof.commit.target_number) == expected
        if proof is not None:
            built += 1
            assert canonical_faults(proof, n, blocks) == []
            verify(Justification.decode(proof.encode()), n)
            tips = [BlockRef(v.target_hash, v.target_number) for v in proof.commit.precommits]
            assert justify(ROUND, proof.commit, blocks.header) == proof
            assert all(blocks.is_on_chain(blocks.refs[0], tip) for tip in tips)
    assert built >= 15


def test_an_equivocators_stray_vote_makes_the_proof_wait_for_the_last_honest_one() -> None:
    blocks = Blocks([0, 0, 0, 1])
    round_ = round_with(blocks, 4, [(0, 1), (1, 3), (2, 2)])

    assert build_justification(round_, blocks.refs[0], blocks.header) is None

    round_ = round_with(blocks, 4, [(0, 1), (1, 3), (2, 2), (3, 3)])
    proof = build_justification(round_, blocks.refs[0], blocks.header)
    assert proof is not None
    assert proof.commit.target_hash == blocks.refs[1].hash
    assert proof.votes_ancestries == [blocks.headers[3]]


# --- tampering

CHAIN = Blocks([0, 0, 1, 2, 1])


@dataclass
class Parts:
    """A proof to be spoilt: precommits for 1, 2 and 3 on a chain; 4 is a fork."""

    target: BlockRef
    precommits: list[SignedPrecommit]
    headers: list[Header]

    def whole(self) -> Justification:
        commit = Commit(self.target.hash, self.target.number, self.precommits)
        return Justification(ROUND, commit, self.headers)


def precommit(voter: int, block: int, number: int | None = None) -> SignedPrecommit:
    ref = CHAIN.refs[block]
    target = ref if number is None else BlockRef(ref.hash, number)
    vote = signed(keys(5)[voter], target)
    return SignedPrecommit(target.hash, target.number, vote.signature, vote.id)


def good() -> Parts:
    precommits = [precommit(0, 1), precommit(1, 2), precommit(2, 3)]
    return Parts(CHAIN.refs[1], precommits, [CHAIN.headers[2], CHAIN.headers[3]])


def test_the_proof_that_is_spoilt_below_is_good() -> None:
    verify(good().whole())


def _wrong_signature(parts: Parts) -> None:
    vote = parts.precommits[1]
    parts.precommits[1] = SignedPrecommit(
        vote.target_hash, vote.target_number, parts.precommits[0].signature, vote.id
    )


def _two_numbers(parts: Parts) -> None:
    parts.precommits[1:] = [precommit(1, 1, 22), precommit(2, 1)]
    parts.headers = []


def _set(name: str, value: object) -> Callable[[Parts], None]:
    return lambda parts: setattr(parts, name, value)


Spoiler = Callable[[Parts], object]
SPOIL: dict[str, tuple[Spoiler, str]] = {
    "too few": (lambda p: p.precommits.pop(), "2 precommits"),
    "too many": (lambda p: p.precommits.append(precommit(3, 3)), "4 precommits"),
    "none": (lambda p: p.precommits.clear(), "0 precommits"),
    "one twice": (_set("precommits", [precommit(0, 1), precommit(1, 2), precommit(1, 2)]), "two"),
    "equivocation": (
        _set("precommits", [precommit(0, 1), precommit(1, 2), precommit(1, 3)]),
        "two precommits",
    ),
    "stranger": (
        _set("precommits", [precommit(0, 1), precommit(1, 2), precommit(4, 3)]),
        "not in the authority set",
    ),
    "signature": (_wrong_signature, "signature"),
    "target too high": (_set("target", CHAIN.refs[2]), "not for a descendant"),
    "target too low": (_set("target", CHAIN.refs[0]), "target itself"),
    "target's number": (_set("target", BlockRef(CHAIN.refs[1].hash, 22)), "target itself"),
    "fork": (
        lambda p: (
            p.precommits.__setitem__(0, precommit(0, 4)),
            p.headers.__setitem__(1, CHAIN.headers[4]),
        ),
        "target itself",
    ),
    "header missing": (lambda p: p.headers.pop(0), "do not lead"),
    "header idle": (lambda p: p.headers.append(CHAIN.headers[4]), "unused"),
    "header twice": (lambda p: p.headers.append(CHAIN.headers[3]), "twice"),
    "target among the headers": (lambda p: p.headers.append(CHAIN.headers[1]), "unused"),
    "wrong number of a precommit": (
        lambda p: p.precommits.__setitem__(2, precommit(2, 3, 24)),
        "is called number",
    ),
    "two numbers of the target": (_two_numbers, "another number"),
}


@pytest.mark.parametrize("name", SPOIL)
def test_a_spoilt_proof_is_refused(name: str) -> None:
    spoil, message = SPOIL[name]
    parts = good()

    spoil(parts)

    with pytest.raises(BadJustification, match=message):
        verify(parts.whole())


def test_a_proof_of_another_round_or_set_is_refused() -> None:
    proof = good().whole()

    for round_number, set_id in ((ROUND + 1, SET), (ROUND, SET + 1)):
        other = Justification(round_number, proof.commit, proof.votes_ancestries)
        with pytest.raises(BadJustification, match="signature"):
            verify_justification(other, set_id, VoterSet(keys(4)), CheapSignatures())


def test_bytes_behind_a_proof_are_refused() -> None:
    with pytest.raises(DecodeError):
        Justification.decode(good().whole().encode() + b"\0")


def test_any_flipped_byte_makes_a_proof_bad() -> None:
    data = good().whole().encode()
    # Past the round: every byte is bound by a signature, a hash or a rule.
    for place in range(8, len(data)):
        spoilt = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises((BadJustification, DecodeError)):
            verify(Justification.decode(spoilt))


def test_a_commit_waits_for_a_block_it_votes_for() -> None:
    commit = good().whole().commit
    known = Blocks([0, 0, 1])

    with pytest.raises(UnknownBlock) as caught:
        justify(ROUND, commit, known.header)

    assert caught.value.block_hash == CHAIN.refs[3].hash


def test_a_commit_whose_target_is_not_its_lowest_precommit_is_malformed() -> None:
    parts = good()
    parts.target = CHAIN.refs[2]

    with pytest.raises(BadJustification, match="lowest precommit"):
        check_commit_form(parts.whole().commit, VoterSet(keys(4)))


def test_a_justification_of_a_public_chain_is_accepted() -> None:
    case: dict[str, Any] = load("grandpa/finality.json")["justification"]
    proof = Justification.decode(unhex(case["hex"]))
    # Five of seven; who the other two were is not recorded and does not matter.
    voters = VoterSet([*(vote.id for vote in proof.commit.precommits), b"x" * 32, b"y" * 32])

    verify_justification(proof, case["set_id"], voters, NativeChecks())

    with pytest.raises(BadJustification, match="signature"):
        verify_justification(proof, case["set_id"] + 1, voters, NativeChecks())

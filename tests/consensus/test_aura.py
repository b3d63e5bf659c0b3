"""Slots, digests and the numbers of authoring."""

import pytest

from consensus import aura
from node.checks import NativeChecks
from runtime.primitives.block import Digest, Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.grandpa import Prevote, vote_payload

ZERO = bytes(32)


def test_the_pre_digest_has_the_bytes_of_substrate() -> None:
    digest = aura.pre_digest(290_000_000)

    assert digest.logs[0].encode().hex() == "066175726120800c491100000000"


def test_a_seal_is_appended_last_and_signs_what_is_before_it() -> None:
    unsealed = Header(ZERO, 1, ZERO, ZERO, aura.pre_digest(7))
    pair = KeyPair.from_suri("//Alice", Scheme.SR25519)

    sealed = aura.sealed(unsealed, pair.sign(aura.pre_hash(unsealed)))

    assert sealed.digest.logs[-1].encode()[:7].hex() == "05" + b"aura".hex() + "0101"
    read = aura.read_header(sealed)
    assert (read.slot, read.pre_hash) == (7, aura.pre_hash(unsealed))
    verifier = NativeChecks()
    assert verifier.verify_seal(pair.public, read.pre_hash, read.seal)
    assert not verifier.verify_seal(pair.public, sealed.hash(), read.seal)


def test_votes_are_checked_with_ed25519() -> None:
    pair = KeyPair.from_suri("//Alice", Scheme.ED25519)
    payload = vote_payload(Prevote(ZERO, 1), 2, 3)

    assert NativeChecks().verify_vote(pair.public, payload, pair.sign(payload))
    assert not NativeChecks().verify_vote(pair.public, payload + b"x", pair.sign(payload))


def test_authors_take_turns() -> None:
    assert aura.slot_at(13_999, 2_000) == 6
    assert [aura.author_of(slot, [b"a", b"b", b"c"]) for slot in range(4)] == [
        b"a",
        b"b",
        b"c",
        b"a",
    ]
    assert aura.author_of(5, []) is None


def test_a_header_without_a_slot_has_none() -> None:
    assert aura.slot_of(Header(ZERO, 0, ZERO, ZERO, Digest([]))) is None


@pytest.mark.parametrize(
    ("slot", "parent", "elapsed", "window"),
    [
        (10, 9, 0, 3_000),  # half of the slot
        (10, 9, 1_000, 2_000),
        (10, 9, 3_500, 0),
        (10, 8, 0, 3_960),  # one slot was skipped: lenience, up to 66 %
        (10, 8, 3_500, 460),
        (1_000, 1, 0, 3_960),
        (1_000, 1, 5_000, 0),
    ],
)
def test_the_proposal_window(slot: int, parent: int, elapsed: int, window: int) -> None:
    assert aura.proposal_window_ms(slot, parent, 6_000, elapsed) == window


@pytest.mark.parametrize(
    ("lag", "slot", "backs_off"),
    [
        (50, 101, False),
        (52, 101, True),
        (52, 102, False),
        (60, 105, True),
        (60, 106, False),
        (1_000, 200, True),
        (1_000, 201, False),
    ],
)
def test_authors_back_off_while_finality_lags(lag: int, slot: int, backs_off: bool) -> None:
    assert aura.is_backing_off(1_000 + lag, 100, 1_000, slot) is backs_off

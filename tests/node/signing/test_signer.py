"""The signer's rules: never two votes of one stage, never two headers of one slot, nothing else."""

import json
from pathlib import Path

import pytest

from node.errors import DiskFailed, StorageUnusable
from node.keystore import Keystore
from node.signing.marks import FILE_NAME, Marks
from node.signing.signer import Signer, SigningRefused
from node.signing.statements import Heartbeat
from runtime.primitives.aura import ENGINE_ID
from runtime.primitives.block import Digest, Header, PreRuntime, Seal
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import Message, Precommit, Prevote, PrimaryPropose, vote_payload
from runtime.primitives.session import SessionKeys, is_owned

MESSAGES: dict[str, type[Prevote] | type[Precommit] | type[PrimaryPropose]] = {
    "propose": PrimaryPropose,
    "prevote": Prevote,
    "precommit": Precommit,
}


class Desk:
    """A signer in a folder, and requests for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keystore = Keystore(folder / "keystore")
        self.public = self.keystore.hold("gran", "//Alice").public
        self.aura = self.keystore.hold("aura", "//Alice").public
        self.signer = Signer(self.keystore, Marks(folder))

    def again(self) -> "Desk":
        """The same folder after a restart."""
        return Desk(self.folder)

    def vote(self, round_: int, stage: str, block: int = 1, set_id: int = 0) -> bytes:
        return self.signer.sign_vote(self.public, message_of(stage, block), round_, set_id)

    def seal(self, slot: int, root: int = 1) -> bytes:
        return self.signer.sign_seal(self.aura, header_of(slot, root))


def message_of(stage: str, block: int) -> Message:
    return MESSAGES[stage](bytes([block]) * 32, block)


def header_of(slot: int, root: int = 1) -> Header:
    digest = Digest([PreRuntime(ENGINE_ID, slot.to_bytes(8, "little"))])
    return Header(bytes(32), 1, bytes([root]) * 32, bytes(32), digest)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_vote_is_signed_with_the_key_asked_for(desk: Desk) -> None:
    signature = desk.vote(1, "prevote")

    payload = vote_payload(message_of("prevote", 1), 1, 0)
    assert verify(Scheme.ED25519, desk.public, payload, signature)


def test_another_vote_of_the_same_stage_is_refused_after_a_restart_too(desk: Desk) -> None:
    first = desk.vote(1, "prevote", block=1)

    for each in (desk, desk.again()):
        with pytest.raises(SigningRefused, match="a different vote of this stage"):
            each.vote(1, "prevote", block=2)
    assert desk.again().vote(1, "prevote", block=1) == first


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ((2, "prevote", 0), (1, "precommit", 0)),
        ((1, "precommit", 0), (1, "prevote", 0)),
        ((1, "prevote", 0), (1, "propose", 0)),
        ((1, "prevote", 1), (9, "precommit", 0)),
    ],
)
def test_what_lies_below_the_mark_is_refused(
    desk: Desk, earlier: tuple[int, str, int], later: tuple[int, str, int]
) -> None:
    desk.vote(earlier[0], earlier[1], set_id=earlier[2])

    with pytest.raises(SigningRefused, match="lies below the mark"):
        desk.vote(later[0], later[1], set_id=later[2])


def test_the_stages_of_a_round_follow_one_another(desk: Desk) -> None:
    for stage in MESSAGES:
        desk.vote(3, stage)


def test_a_new_set_begins_at_its_first_round(desk: Desk) -> None:
    desk.vote(9, "precommit", set_id=0)

    desk.vote(1, "prevote", set_id=1)


def test_the_marks_tell_the_votes_that_went_out(desk: Desk) -> None:
    desk.vote(4, "prevote")
    desk.vote(4, "precommit")

    (mark,) = desk.again().signer.marks()

    assert (mark.public, mark.set_id, mark.round) == (desk.public, 0, 4)
    assert mark.prevote is not None and mark.precommit is not None and mark.propose is None
    assert mark.precommit.message == Precommit(b"\x01" * 32, 1)


def test_the_marks_of_keys_that_are_gone_are_kept_and_not_told(desk: Desk) -> None:
    desk.vote(4, "prevote")
    other = Keystore(desk.folder / "other")
    public = other.hold("gran", "//Bob").public
    signer = Signer(other, Marks(desk.folder))

    signer.sign_vote(public, message_of("prevote", 1), 1, 0)

    assert [mark.public for mark in signer.marks()] == [public]
    with pytest.raises(SigningRefused, match="a different vote"):
        desk.again().vote(4, "prevote", block=2)


def test_a_slot_has_one_header_after_a_restart_too(desk: Desk) -> None:
    signature = desk.seal(7)

    assert verify(Scheme.SR25519, desk.aura, header_of(7).hash(), signature)
    for each in (desk, desk.again()):
        assert each.seal(7) == signature, "sr25519 signatures differ: this is the stored one"
        with pytest.raises(SigningRefused, match="one of slot 7 was sealed"):
            each.seal(7, root=2)
        with pytest.raises(SigningRefused, match="one of slot 7 was sealed"):
            each.seal(6)
    desk.again().seal(8)


@pytest.mark.parametrize(
    "logs",
    [
        [],
        [PreRuntime(ENGINE_ID, b"short")],
        [PreRuntime(b"BABE", bytes(8))],
        [PreRuntime(ENGINE_ID, bytes(8)), PreRuntime(ENGINE_ID, bytes(8))],
        [PreRuntime(ENGINE_ID, bytes(8)), Seal(ENGINE_ID, bytes(64))],
    ],
)
def test_a_header_without_one_slot_or_with_a_seal_is_not_signed(
    desk: Desk, logs: list[PreRuntime | Seal]
) -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), Digest([*logs]))

    with pytest.raises(SigningRefused, match="not a header with one slot and without a seal"):
        desk.signer.sign_seal(desk.aura, header)


def test_a_header_that_no_peer_would_take_is_not_signed(desk: Desk) -> None:
    header = header_of(7)
    header.digest.logs.append(PreRuntime(b"xxxx", bytes(9_000)))

    with pytest.raises(SigningRefused, match="at most 8192"):
        desk.signer.sign_seal(desk.aura, header)


def test_a_key_that_is_not_here_is_refused_by_name(desk: Desk) -> None:
    with pytest.raises(SigningRefused, match=r"the aura key 0x0000.* is not in the keystore"):
        desk.signer.sign_seal(bytes(32), header_of(7))
    with pytest.raises(SigningRefused, match=r"the gran key 0x0000.* is not in the keystore"):
        desk.signer.sign_vote(bytes(32), message_of("prevote", 1), 1, 0)


def test_signs_of_life_and_ownership_are_signed_without_a_mark(desk: Desk) -> None:
    heartbeat = Heartbeat(bytes(32), 4, b"w" * 32, 17, b"1.0")
    keys = SessionKeys(desk.aura, desk.public)

    signature = desk.signer.sign_heartbeat(desk.aura, heartbeat)
    proof = desk.signer.prove_ownership(keys, b"o" * 32)

    assert verify(Scheme.SR25519, desk.aura, heartbeat.payload(), signature)
    assert is_owned(keys, b"o" * 32, proof)
    assert not (desk.folder / FILE_NAME).exists()


def test_nothing_goes_out_when_the_mark_cannot_be_written(desk: Desk) -> None:
    blocker = desk.folder / (FILE_NAME + ".tmp")
    blocker.mkdir()

    with pytest.raises(DiskFailed, match="No signature was given out"):
        desk.vote(1, "prevote")
    with pytest.raises(DiskFailed, match="No signature was given out"):
        desk.seal(7)
    blocker.rmdir()

    desk.vote(1, "prevote", block=2)  # the first was never given out
    desk.seal(7, root=2)


def test_a_damaged_mark_stops_the_signer(desk: Desk) -> None:
    desk.vote(1, "prevote")
    damaged = (
        '{"00": {}}',
        "[]",
        '{"00": {"set_id": 0, "round": 1, "votes": {"7": ["", ""]}}}',
        "",
    )
    for content in damaged:
        (desk.folder / FILE_NAME).write_text(content)

        with pytest.raises(StorageUnusable, match="could vote twice"):
            desk.again()


def test_marks_of_an_earlier_version_without_seals_are_read(desk: Desk) -> None:
    payload = vote_payload(message_of("prevote", 1), 4, 0)
    votes = {"0": [payload.hex(), (b"s" * 64).hex()]}
    content = {desk.public.hex(): {"set_id": 0, "round": 4, "votes": votes}}
    (desk.folder / FILE_NAME).write_text(json.dumps(content))

    desk = desk.again()

    assert desk.vote(4, "prevote") == b"s" * 64
    desk.seal(1)
    assert desk.again().vote(4, "prevote") == b"s" * 64

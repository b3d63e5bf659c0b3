"""The signer's rule: never two different votes of one stage, whatever happened to the database."""

from pathlib import Path

import pytest

from consensus.effects import Sign, SignKind
from node.errors import DiskFailed, StorageUnusable
from node.keystore import Keystore
from node.signer import FILE_NAME, Signer
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import Precommit, Prevote, vote_payload
from runtime.primitives.types import Hash

PREVOTE, PRECOMMIT, PROPOSE = 0, 1, 2


class Desk:
    """A signer in a folder, and requests for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keystore = Keystore(folder / "keystore")
        self.public = self.keystore.hold("gran", "//Alice").public
        self.signer = Signer(self.keystore, folder)

    def again(self) -> "Desk":
        """The same folder after a restart."""
        return Desk(self.folder)

    def vote(self, round_: int, stage: int, block: int = 1, set_id: int = 0) -> bytes | None:
        request = request_for(self.public, round_, stage, block, set_id)
        return self.signer.sign(request).signature


def payload_of(round_: int, stage: int, block: int, set_id: int) -> bytes:
    target: Hash = bytes([block]) * 32
    message = Prevote(target, block) if stage == PREVOTE else Precommit(target, block)
    return vote_payload(message, round_, set_id)


def request_for(public: bytes, round_: int, stage: int, block: int, set_id: int) -> Sign:
    return Sign(
        request_id=1,
        kind=SignKind.VOTE,
        public=public,
        payload=payload_of(round_, stage, block, set_id),
        set_id=set_id,
        round=round_,
        stage=stage,
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_vote_is_signed_with_the_key_asked_for(desk: Desk) -> None:
    signature = desk.vote(1, PREVOTE)

    assert signature is not None
    assert verify(Scheme.ED25519, desk.public, payload_of(1, PREVOTE, 1, 0), signature)


def test_another_vote_of_the_same_stage_is_refused_after_a_restart_too(desk: Desk) -> None:
    first = desk.vote(1, PREVOTE, block=1)

    assert desk.vote(1, PREVOTE, block=2) is None
    assert desk.again().vote(1, PREVOTE, block=2) is None
    assert desk.again().vote(1, PREVOTE, block=1) == first


@pytest.mark.parametrize(
    ("earlier", "later"),
    [((2, PREVOTE, 0), (1, PRECOMMIT, 0)), ((1, PRECOMMIT, 0), (1, PREVOTE, 0))],
)
def test_what_lies_below_the_mark_is_refused(
    desk: Desk, earlier: tuple[int, int, int], later: tuple[int, int, int]
) -> None:
    desk.vote(earlier[0], earlier[1], set_id=earlier[2])

    assert desk.vote(later[0], later[1], set_id=later[2]) is None


def test_a_new_set_begins_at_its_first_round(desk: Desk) -> None:
    desk.vote(9, PRECOMMIT, set_id=0)

    assert desk.vote(1, PREVOTE, set_id=1) is not None


def test_the_marks_tell_the_votes_that_went_out(desk: Desk) -> None:
    desk.vote(4, PREVOTE)
    desk.vote(4, PRECOMMIT)

    (mark,) = desk.again().signer.marks()

    assert (mark.public, mark.set_id, mark.round) == (desk.public, 0, 4)
    assert mark.prevote is not None and mark.precommit is not None and mark.propose is None
    assert mark.precommit.message == Precommit(b"\x01" * 32, 1)


def test_a_seal_needs_no_mark(desk: Desk) -> None:
    public = desk.keystore.hold("aura", "//Alice").public

    answer = desk.signer.sign(Sign(1, SignKind.SEAL, public, b"pre-hash"))

    assert answer.signature is not None
    assert verify(Scheme.SR25519, public, b"pre-hash", answer.signature)
    assert desk.signer.marks() == ()


def test_a_key_that_is_not_here_is_no_reason_to_fail(desk: Desk) -> None:
    answer = desk.signer.sign(Sign(1, SignKind.SEAL, bytes(32), b"pre-hash"))

    assert answer.signature is None
    assert "not in the keystore" in answer.reason


def test_no_vote_goes_out_when_the_mark_cannot_be_written(desk: Desk) -> None:
    (desk.folder / (FILE_NAME + ".tmp")).mkdir()

    with pytest.raises(DiskFailed, match="No vote was given out"):
        desk.vote(1, PREVOTE)


def test_a_damaged_mark_stops_the_node(desk: Desk) -> None:
    desk.vote(1, PREVOTE)
    (desk.folder / FILE_NAME).write_text('{"00": {}}')

    with pytest.raises(StorageUnusable, match="could vote twice"):
        desk.again()

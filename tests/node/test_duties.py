"""What a validator's node says to the chain: signs of life, and reports of offences."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consensus import effects
from consensus.aura import pre_hash, sealed
from node.chain import Chain, extrinsic_hash
from node.database import Database
from node.duties import Duties
from node.keystore import Keystore
from node.pool import Pool
from node.signing.local import LocalSigner
from node.signing.marks import Marks
from node.signing.signer import Signer
from runtime.genesis import genesis_storage
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Digest, Header, PreRuntime
from runtime.primitives.crypto import Scheme
from runtime.primitives.grandpa import Message, Precommit, PrimaryPropose, SignedMessage
from runtime.primitives.grandpa import vote_payload as payload_of
from runtime.primitives.types import ZERO_HASH
from runtime.state.overlay import Overlay
from tests.support import genesis_sections, new_runtime
from tests.support.accounts import pair_named


@dataclass
class Node:
    """A chain at its genesis, a pool that takes everything valid, and the duties over both."""

    chain: Chain
    pool: Pool
    duties: Duties
    sent: list[bytes] = field(default_factory=list[bytes])


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    runtime = new_runtime(invariants=False)
    database = Database.open(tmp_path / "db")
    chain = Chain.open(database, runtime, genesis_storage(runtime, genesis_sections()), None)
    keystore = Keystore(tmp_path / "keys")
    for key_type in ("aura", "gran"):
        keystore.hold(key_type, "//Bob")
    sent: list[bytes] = []

    def validate(extrinsic: bytes) -> object:
        overlay = Overlay(chain.best_state())
        return runtime.validate_transaction(overlay, extrinsic, chain.signatures, chain.best_hash)

    pool = Pool(validate, extrinsic_hash, runtime.tags_of, lambda: 0)  # type: ignore[arg-type]
    duties = Duties(
        chain,
        pool,
        LocalSigner(keystore, Signer(keystore, Marks(tmp_path))),
        lambda _, extrinsic: sent.append(extrinsic),
        random.Random(7),
        "1.2",
    )
    yield Node(chain, pool, duties, sent)
    database.close()


def best(number: int) -> effects.NotifyBest:
    header = Header(ZERO_HASH, number, ZERO_HASH, ZERO_HASH, Digest([]))
    return effects.NotifyBest(header.hash(), header, (), ())


def test_a_validator_gives_one_sign_of_life_in_the_middle_of_a_session(node: Node) -> None:
    counts: list[int] = []
    for number in range(1, 30):
        node.duties.best(best(number))
        counts.append(len(node.sent))

    first = counts.index(1) + 1
    assert 3 <= first <= 11
    assert counts[13] == 1  # a second one in the next session is refused: its block is not real
    assert node.pool.ready_count == 1


def test_a_node_without_keys_says_nothing(node: Node) -> None:
    def sent(digest: bytes, extrinsic: bytes) -> None:
        raise AssertionError("nothing is handed in")

    duties = Duties(node.chain, node.pool, None, sent, random.Random(7), "1.2")

    for number in range(1, 30):
        duties.best(best(number))

    assert node.pool.ready_count == 0


def two_headers(name: str, slot: int) -> effects.AuthorEquivocated:
    headers: list[Header] = []
    for root in (bytes(32), bytes([1]) * 32):
        digest = Digest([PreRuntime(ENGINE_ID, PreDigest(slot).encode())])
        header = Header(ZERO_HASH, 1, root, ZERO_HASH, digest)
        headers.append(sealed(header, pair_named(name).sign(pre_hash(header))))
    return effects.AuthorEquivocated(slot, *headers)


def two_votes(*messages: Message) -> effects.VoterEquivocated:
    pair = pair_named("Dave", Scheme.ED25519)
    first, second = (
        SignedMessage(message, pair.sign(payload_of(message, 3, 0)), pair.public)
        for message in messages
    )
    return effects.VoterEquivocated(0, 3, first, second)


def test_two_blocks_of_an_author_are_reported(node: Node) -> None:
    node.duties.report(two_headers("Bob", 3_001 * 4 + 1))

    assert node.pool.ready_count == 1


def test_two_votes_are_reported_once(node: Node) -> None:
    votes = two_votes(Precommit(bytes(32), 1), Precommit(bytes([1]) * 32, 1))

    node.duties.report(votes)
    node.duties.report(votes)

    assert node.pool.ready_count == 1
    assert len(node.sent) == 1


def test_two_proposals_are_no_offence(node: Node) -> None:
    node.duties.report(two_votes(PrimaryPropose(bytes(32), 1), PrimaryPropose(bytes([1]) * 32, 1)))

    assert node.pool.ready_count == 0

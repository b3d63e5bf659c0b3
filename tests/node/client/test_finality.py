"""Finality checked from the voters of the genesis on, against nodes that lie."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.client.finality import ProofRefused, Voters, final_header, next_voters
from rpc.encoding import header_json
from runtime.primitives.block import Consensus, Digest, Header
from runtime.primitives.crypto import Scheme
from runtime.primitives.grandpa import ENGINE_ID, FinalityProof, ScheduledChange
from runtime.primitives.types import ZERO_HASH
from tests.support.accounts import NAMES, pair_named
from tests.support.governance import prove_final

FIRST, SECOND = NAMES[:4], NAMES[2:]


def keys(names: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(pair_named(name, Scheme.ED25519).public for name in names)


def handoff_log(names: Sequence[str], delay: int = 0, weight: int = 1) -> Consensus:
    change = ScheduledChange([(key, weight) for key in keys(names)], delay)
    return Consensus(ENGINE_ID, change.encode())


@dataclass
class Node:
    """Headers, and the proofs it gives for them."""

    headers: list[Header] = field(default_factory=list)
    handoffs: list[tuple[Header, bytes]] = field(default_factory=list)
    proofs: dict[int, FinalityProof] = field(default_factory=dict)

    def grow(self, *logs: Any) -> Header:
        parent = self.headers[-1].hash() if self.headers else ZERO_HASH
        header = Header(parent, len(self.headers), ZERO_HASH, ZERO_HASH, Digest(list(logs)))
        self.headers.append(header)
        return header

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        match method:
            case "dret_handoffs":
                return [
                    {"header": "0x" + header.encode().hex(), "justification": "0x" + proof.hex()}
                    for header, proof in self.handoffs[params[0] : params[0] + 2]
                ]
            case "chain_getHeader":
                found = [each for each in self.headers if "0x" + each.hash().hex() == params[0]]
                return header_json(found[0]) if found else None
            case "grandpa_proveFinality":
                proof = self.proofs.get(params[0])
                return None if proof is None else "0x" + proof.encode().hex()
        raise AssertionError(method)


@pytest.fixture
def node() -> Node:
    """Five blocks; the third hands over; the second and the last are proved by their sets."""
    node = Node()
    for number in range(5):
        node.grow(*([handoff_log(SECOND)] if number == 2 else []))
    handoff = node.headers[2]
    node.handoffs = [(handoff, prove_final(handoff, 0, FIRST[:3]).encode())]
    node.proofs = {1: proof_of(node, 2, 0, FIRST), 3: proof_of(node, 4, 1, SECOND)}
    return node


def proof_of(node: Node, last: int, set_id: int, names: Sequence[str]) -> FinalityProof:
    """The proof of the block before `last` by that of `last`."""
    tip = node.headers[last]
    return FinalityProof(tip.hash(), prove_final(tip, set_id, names[:3]).encode(), [tip])


async def check(node: Node, number: int) -> Voters:
    voters = Voters(0, keys(FIRST))
    header = node.headers[number]
    assert await final_header(node, voters, header.hash(), number) == header
    return voters


async def test_the_voters_of_the_genesis_prove_the_blocks_before_the_handoff(node: Node) -> None:
    voters = await check(node, 1)

    assert (voters.set_id, voters.voters) == (0, keys(FIRST))


async def test_their_handoff_leads_to_the_voters_after_it(node: Node) -> None:
    voters = await check(node, 3)

    assert (voters.set_id, voters.since, voters.voters) == (1, 2, keys(SECOND))


async def test_many_handoffs_are_followed_answer_by_answer() -> None:
    node = Node()
    node.grow()
    for set_id in range(7):
        header = node.grow(handoff_log(FIRST if set_id % 2 else SECOND))
        before = SECOND if set_id % 2 else FIRST
        node.handoffs.append((header, prove_final(header, set_id, before[:3]).encode()))
    node.grow()
    node.grow()
    node.proofs[8] = proof_of(node, 9, 7, SECOND)

    assert (await check(node, 8)).set_id == 7


async def refused(node: Node, number: int, header: Header | None = None) -> str:
    voters = Voters(0, keys(FIRST))
    header = header or node.headers[number]
    with pytest.raises(ProofRefused) as error:
        await final_header(node, voters, header.hash(), number)
    return str(error.value)


async def test_a_handoff_that_others_signed_is_refused(node: Node) -> None:
    node.handoffs = [(node.headers[2], prove_final(node.headers[2], 0, SECOND[1:]).encode())]

    assert "The handoff in block 2, set 0" in await refused(node, 3)


async def test_a_handoff_to_other_voters_under_an_honest_proof_is_refused(node: Node) -> None:
    forged = Header(
        node.headers[1].hash(), 2, ZERO_HASH, ZERO_HASH, Digest([handoff_log(("Ferdie",))])
    )
    node.handoffs = [(forged, node.handoffs[0][1])]

    assert "not for 0x" in await refused(node, 3)


async def test_the_same_handoff_does_not_count_twice(node: Node) -> None:
    node.handoffs *= 2

    assert "the one before it was in block 2" in await refused(node, 3)


async def test_a_withheld_handoff_is_noticed(node: Node) -> None:
    node.handoffs = []

    assert "Block 3, set 0" in await refused(node, 3)


async def test_proofs_for_another_block_or_for_none_are_refused(node: Node) -> None:
    other = Node()
    other.grow()
    stranger = other.grow(handoff_log(FIRST))
    node.headers[1] = stranger

    assert "no child of the one before" in await refused(node, 1)
    node.proofs[1] = FinalityProof(node.headers[2].hash(), node.proofs[1].justification, [])
    assert "do not lead to the block" in await refused(node, 1)
    node.proofs = {}
    assert "no proof that it is final" in await refused(node, 1)


async def test_a_header_that_is_missing_is_told(node: Node) -> None:
    assert "does not have its header" in await refused(node, 1, Node().grow(handoff_log(FIRST)))


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ([], "hands over to nobody"),
        ([handoff_log(FIRST), handoff_log(SECOND)], "hands over to nobody"),
        ([handoff_log(FIRST, delay=1)], "later"),
        ([handoff_log(FIRST, weight=2)], "unequal weight"),
        ([handoff_log(("Alice", "Alice"))], "hands over to nobody"),
        ([Consensus(ENGINE_ID, b"\xff")], "unknown"),
    ],
)
def test_a_handoff_that_a_light_client_could_not_follow_is_refused(
    logs: list[Consensus], words: str
) -> None:
    node = Node()
    with pytest.raises(ProofRefused, match=words):
        next_voters(node.grow(*logs))

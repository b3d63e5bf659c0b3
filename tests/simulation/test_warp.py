"""S16: a node begins behind fifty handoffs; one of those it asks has tampered with the proof."""

from collections.abc import Callable, Iterator

import pytest

from consensus import aura
from consensus.grandpa.vote_graph import BlockRef
from consensus.warp import BadWarpProof, WarpFragment, WarpPosition, WarpProof, follow
from runtime.primitives.block import Header
from runtime.primitives.grandpa import Justification
from tests.consensus.test_handoffs import ALL, plan
from tests.consensus.test_network import assert_grows
from tests.simulation.disk import Store
from tests.simulation.driver import Network
from tests.simulation.node import Node

pytestmark = pytest.mark.slow

HANDOFFS = 50
EVERY = 4
"""Blocks between two handoffs."""


def proof_of(store: Store) -> WarpProof:
    """What a node proves from its disk: each handoff, then its last final block."""
    heights = sorted(store.finals)
    blocks = [store.finals[number] for number in heights]
    kept = [h for h in blocks if aura.scheduled_change_of(store.headers[h]) is not None]
    assert store.justification is not None, "something is final"
    fragments = [fragment(store.headers[h], store.kept[h]) for h in kept]
    if store.finalized not in kept:
        fragments.append(fragment(store.headers[store.finalized], store.justification))
    return WarpProof(fragments, True)


def fragment(header: Header, justification: bytes) -> WarpFragment:
    return WarpFragment(header, Justification.decode(justification))


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Five validators, one after the other of whom leaves and comes back; an empty node waits."""
    made = Network(validators=5, full=1)
    plan(made, HANDOFFS, EVERY)
    made.start(*ALL)
    assert made.run(600, until=lambda: min(n.live.status.set_id for n in made.running) == HANDOFFS)
    made.run(10)
    yield made


def start_of(network: Network) -> WarpPosition:
    return WarpPosition(BlockRef(network.genesis.hash(), 0), 0, network.voters)


def forged_voters(found: WarpFragment) -> WarpFragment:
    """The header hands over to the forger."""
    digest = type(found.header.digest)(list(found.header.digest.logs[:-1]))
    header = found.header
    forged = Header(
        header.parent_hash, header.number, header.state_root, header.extrinsics_root, digest
    )
    return WarpFragment(forged, found.justification)


def forged_signature(found: WarpFragment) -> WarpFragment:
    data = bytearray(found.justification.encode())
    data[-40] ^= 1
    return WarpFragment(found.header, Justification.decode(bytes(data)))


def forged_round(found: WarpFragment) -> WarpFragment:
    proof = found.justification
    return WarpFragment(
        found.header, Justification(proof.round + 1, proof.commit, proof.votes_ancestries)
    )


@pytest.mark.parametrize("forge", [forged_voters, forged_signature, forged_round])
@pytest.mark.parametrize("place", [0, 25, 49])
def test_s16_a_fragment_that_was_tampered_with_is_found_wherever_it_is(
    network: Network, place: int, forge: Callable[[WarpFragment], WarpFragment]
) -> None:
    proof = proof_of(network["v0"].disk.now)
    assert len(proof.proofs) in (HANDOFFS, HANDOFFS + 1)
    proof.proofs[place] = forge(proof.proofs[place])

    with pytest.raises(BadWarpProof, match=f"fragment {place} of"):
        follow(start_of(network), proof, network.ring.verifier)


def test_s16_a_node_begins_with_the_proof_of_an_honest_peer_and_reaches_the_head(
    network: Network,
) -> None:
    f0, position = network["f0"], start_of(network)
    refused: list[str] = []
    for name in ("v3", "v1"):
        proof = proof_of(network[name].disk.now)
        if name == "v3":
            proof.proofs[25] = forged_signature(proof.proofs[25])
        try:
            position = follow(position, proof, network.ring.verifier)
        except BadWarpProof as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert (position.set_id, len(position.handoffs)) == (HANDOFFS, HANDOFFS)

    begin_at(f0, position)
    network.start("f0")

    assert_grows(network)
    assert network.run(60, until=lambda: f0.disk.now.gap is None)
    assert f0.live.status.set_id == HANDOFFS
    assert sorted(f0.disk.now.finals) == list(range(f0.finalized + 1))
    below = [h for h in f0.executed if f0.disk.now.headers[h].number <= position.block.number]
    assert not below


def begin_at(node: Node, position: WarpPosition) -> None:
    """Put the block that a proof led to on the empty disk of a node, as its final block."""
    assert position.last is not None, "the proof was not empty"
    header, block = position.last.header, position.block
    store = node.disk.now
    store.headers[block.hash], store.bodies[block.hash] = header, ()
    store.canonical[block.number] = store.finals[block.number] = block.hash
    store.finalized = store.best = block.hash
    store.justification = position.last.justification.encode()
    store.gap = BlockRef(header.parent_hash, header.number - 1)
    node.disk.durable = store.copy()

"""Serves blocks, proofs of handoffs and states to peers, from what the database keeps.

Invariant: every answer is bounded in count and bytes, whatever was asked.
"""

from itertools import islice

from consensus.warp import (
    FRAGMENTS_MAX,
    PROOF_BYTES_MAX,
    RECOVERIES_MAX,
    WarpFragment,
    WarpProof,
    encode_answer,
)
from node.chain import Chain, UnknownBlock
from node.state_store import StateDiscarded
from p2p import messages
from runtime.primitives.grandpa import Justification
from runtime.primitives.types import Hash

RESPONSE_BYTES_MAX = 4 << 20
RESPONSE_BLOCKS_MAX = 64
RESPONSE_HEADERS_MAX = 128  # without bodies; some 300 bytes each
STATE_BYTES_MAX = 1 << 20  # some 5 000 entries: a few tens of milliseconds of the serving node


class SyncServer:
    """Answers requests of peers from the chain (`p2p.ports.BlockProvider`)."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def blocks(self, request: messages.BlockRequest) -> list[messages.BlockData]:
        """Up to the bounds of count and bytes; empty when the start is unknown."""
        found: list[messages.BlockData] = []
        size = 0
        for block_hash in self._hashes(request):
            header = self._chain.header(block_hash)
            if header is None:
                break
            body = self._chain.body(block_hash) if request.with_bodies else None
            data = messages.BlockData(header, body, self._chain.justification(block_hash))
            size += sum(map(len, body or ())) + 512
            if found and size > RESPONSE_BYTES_MAX:
                break
            found.append(data)
        return found

    def warp_proof(self, begin: Hash) -> bytes | None:
        """The handoffs after a final block and the last final block, as far as there is room."""
        chain = self._chain
        header = chain.header(begin)
        if header is None:
            return None
        final = chain.finalized_hash(header.number) or chain.handoff_at(header.number)
        if final != begin:
            return None
        proof = WarpProof([], True)
        links = list(islice(chain.recoveries_after(header.number), RECOVERIES_MAX))
        size = sum(len(link.encode()) for link in links)
        handoffs = list(chain.handoffs_after(header.number))
        last = chain.finalized_hash_now
        if last != begin and last not in handoffs:
            handoffs.append(last)
        for block_hash in handoffs:
            found, data = chain.header(block_hash), chain.justification(block_hash)
            if found is None or data is None:
                break
            size += len(data) + len(found.encode())
            if proof.proofs and (size > PROOF_BYTES_MAX or len(proof.proofs) == FRAGMENTS_MAX):
                return encode_answer(WarpProof(proof.proofs, False), links)
            proof.proofs.append(WarpFragment(found, Justification.decode(data)))
        return encode_answer(proof, links)

    def state_range(self, block_hash: Hash, after: bytes | None) -> list[bytes] | None:
        """A part of a kept state, that of a final block."""
        try:
            state = self._chain.state_at(block_hash)
            if state.is_final:
                return state.prove_range(after, STATE_BYTES_MAX)
        except (UnknownBlock, StateDiscarded):
            pass
        return None

    def _hashes(self, request: messages.BlockRequest) -> list[Hash]:
        most = RESPONSE_BLOCKS_MAX if request.with_bodies else RESPONSE_HEADERS_MAX
        count = min(request.blocks_max, most)
        start = (
            request.start_hash
            if request.start_hash is not None
            else self._chain.hash_at(request.start_number)
        )
        header = self._chain.header(start) if start is not None else None
        if start is None or header is None:
            return []
        if not request.is_ascending:
            return self._descending(start, count)
        if self._chain.hash_at(header.number) != start:
            return [start]
        heights = range(header.number, header.number + count)
        hashes = (self._chain.hash_at(height) for height in heights)
        return [block_hash for block_hash in hashes if block_hash is not None]

    def _descending(self, start: Hash, count: int) -> list[Hash]:
        hashes: list[Hash] = []
        current: Hash | None = start
        while current is not None and len(hashes) < count:
            header = self._chain.header(current)
            if header is None:
                break
            hashes.append(current)
            current = header.parent_hash if header.number > 0 else None
        return hashes

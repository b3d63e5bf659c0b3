"""Signed extrinsics of this chain: what all of a moment have in common, and one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.primitives.crypto import KeyPair
from runtime.primitives.extrinsic import Era, SignedExtra, signed_extrinsic, signing_payload

ERA_BLOCKS = 64  # about two minutes of the devnet: an order that is lost does not come back later
IMMORTAL = 0


class Caller(Protocol):
    """A connection to a node."""

    async def call(self, method: str, params: Sequence[object] = ()) -> Any:
        """The result of an RPC method."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What all extrinsics of a moment have in common."""

    genesis_hash: bytes
    spec_version: int
    tx_version: int
    birth_number: int
    birth_hash: bytes


async def read_terms(node: Caller) -> Terms:
    """What must be known of the chain to sign. Raises what `call` raises."""
    version = await node.call("state_getRuntimeVersion")
    genesis = await node.call("chain_getBlockHash", [0])
    birth_hash = await node.call("chain_getFinalizedHead")
    header = await node.call("chain_getHeader", [birth_hash])
    return Terms(
        genesis_hash=bytes.fromhex(genesis[2:]),
        spec_version=version["specVersion"],
        tx_version=version["transactionVersion"],
        birth_number=int(header["number"], 16),
        birth_hash=bytes.fromhex(birth_hash[2:]),
    )


def sign(
    pair: KeyPair,
    call: bytes,
    nonce: int,
    terms: Terms,
    tip: int = 0,
    era_blocks: int = ERA_BLOCKS,
) -> bytes:
    """An extrinsic that is valid for `era_blocks` from the last finalized block, or for ever."""
    if era_blocks == IMMORTAL:
        era, birth_hash = Era.immortal(), terms.genesis_hash
    else:
        # `Terms` knows the hash of one block, so the era begins with that: a period of up to 4 096
        # counts every block.
        era, birth_hash = Era.mortal(era_blocks, terms.birth_number), terms.birth_hash
    extra = SignedExtra(era, nonce, tip)
    payload = signing_payload(
        call, extra, terms.spec_version, terms.tx_version, terms.genesis_hash, birth_hash
    )
    return signed_extrinsic(pair, call, extra, payload)

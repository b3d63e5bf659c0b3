"""Promises of the development validators, and the evidence against them from a chain in memory."""

from runtime.primitives.crypto import KeyPair
from runtime.primitives.extrinsic import account_of, decode_extrinsic, extrinsic_hash
from runtime.primitives.receipts import (
    Absence,
    BrokenReceipt,
    Promise,
    Receipt,
    give,
    hashes_of,
    prove_absence,
)
from tests.support.accounts import pair_named
from tests.support.chains import MemoryChain
from tests.support.runtimes import VALIDATORS

NOTHING = Absence(0, None, None)


def author_at(slot: int) -> KeyPair:
    """Whose turn a slot is while nobody has changed the validators."""
    return pair_named(VALIDATORS[slot % len(VALIDATORS)])


def promise_of(
    chain: MemoryChain,
    validator: KeyPair,
    order: bytes,
    blocks: int = 4,
    after_slot: int | None = None,
) -> Receipt:
    """A validator's receipt for an order, given at the head of the chain."""
    slot = chain.slot if after_slot is None else after_slot
    head = chain.head
    promise = Promise(extrinsic_hash(order), head.number, head.hash(), blocks, slot)
    return give(validator, promise, chain.genesis_hash)


def evidence_of(
    chain: MemoryChain, receipt: Receipt, order: bytes, block: int, last: int | None = None
) -> BrokenReceipt:
    """The evidence that block number `block` should have had an order."""
    last = receipt.promise.last if last is None else last
    signed = decode_extrinsic(order).signed
    assert signed is not None
    who = account_of(signed.address)
    assert who is not None
    key = chain.runtime.system.account_key(who)
    items: dict[bytes, None] = {}
    for number in (block - 1, last):
        items.update(dict.fromkeys(chain.states[number].proof([key])))
    absence = prove_absence(hashes_of(chain.bodies[block - 1]), extrinsic_hash(order))
    return BrokenReceipt(
        receipt,
        order,
        block,
        chain.headers[block - 1].encode(),
        chain.headers[last].encode(),
        list(items),
        NOTHING if absence is None else absence,
    )

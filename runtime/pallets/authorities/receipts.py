"""Inclusion receipts: which blocks there were, and the conviction of who broke a promise.

Of each of the last 256 blocks the state keeps slot, room used, and the root over the hashes of its
signed extrinsics (`primitives.receipts`). With these, a receipt is judged from evidence that the
state itself makes true; whether an order is in never decides over the validity of a block.

A validator is convicted if all of this is proved:

* It signed for the order with the Aura key with which it made the block in question, which is one
  of the blocks after the receipt's head and slot. The head is on this chain; all blocks of the
  promise are.
* In the state before that block the sender's nonce was that of the order and the sender could pay
  the highest fee; the order's signature and era hold in that block; the gate of its interval came
  after that block's slot.
* The block had room for the order when it was finished, in weight and in bytes.
* The block does not have the order.
* After the last block of the promise the sender's nonce is still that of the order: neither the
  order nor another extrinsic in its place is in.

No honest validator is: it gives a receipt only for an order that is valid then, one for a sender's
nonce at a time, writes both to disk before it signs, and puts what it promised right after the
inherents of every block it makes from then on, however often it restarts and whatever its pool has
dropped. There nothing can have happened to the sender's account since the state before the block:
hooks before the extrinsics do not charge anyone, promises are for orders only, which take nothing
from an account but their sender's, and of that one there is one promise for this nonce. So an order
that was valid in that state is applied, unless there was no room for it, and the room of a block
only shrinks until it is finished. A block built before the receipt was given has an earlier slot;
one on a fork without the head is not in this chain, or the head is not. That the proof of absence
is about the very bytes of the order, and not only about the nonce, matters when an account is
removed and comes again: its nonces begin anew.

What cannot be judged, and so convicts nobody: an order behind an earlier one of its sender that was
left out too (the nonce before the block is another one); an order whose sender could pay only
after something in the same block; a promise for which the validator made no block in time; one
under a key that was replaced, since the key no longer makes blocks; one about the block in which
the members put other validators in the place of all; one that is reported when its block is no
longer among the last 256, its set no longer kept, or under another version of the runtime than it
was signed for. Whether the call would have succeeded is not asked, except for the gate: failing, it
would have been in all the same. Two nodes that hold the same key can break each other's promises;
that is for the operator to prevent, as it is with votes.

Constants: a promise is for at most 64 blocks, so a report has 192 blocks left at least.
"""

from typing import TYPE_CHECKING, NamedTuple, cast

from runtime.frame import (
    U8,
    U32,
    U64,
    AccountId,
    BlockNumber,
    DispatchError,
    Hash,
    Identity,
    Pallet,
    Pays,
    SetId,
    Slot,
    StorageMap,
    Struct,
    Unsigned,
    api,
    call,
)
from runtime.frame.dispatch import DispatchClass
from runtime.frame.extensions import BlockLimits
from runtime.pallets.authorities.config import Config
from runtime.pallets.authorities.errors import (
    InvalidEvidence,
    NoRoomForOrder,
    NotInBlocksOfPromise,
    NotPromisedByAuthor,
    OrderNotValidThen,
    PromiseKept,
    PromiseOpen,
    PromiseVoid,
)
from runtime.pallets.authorities.events import ReceiptBroken
from runtime.pallets.authorities.offences import HEADER_BYTES_MAX, OffenceKind
from runtime.pallets.authorities.ports import PastOrder
from runtime.pallets.system import AccountInfo
from runtime.primitives.block import Header
from runtime.primitives.extrinsic import extrinsic_hash
from runtime.primitives.receipts import (
    RECEIPT_BLOCKS_MAX,
    BrokenReceipt,
    hashes_of,
    included_root,
    is_absent,
)
from runtime.primitives.scale import DecodeError
from runtime.state.trie import ProofInvalid, verify_proof

if TYPE_CHECKING:
    from runtime.pallets.authorities import Authorities

BLOCKS_KEPT = 256
"""Four times the longest promise: time to notice, and to report past authors who leave it out."""

PROOF_ITEMS_MAX = 64  # two ways of 16 nodes each would be a trie of more accounts than there are
PROOF_BYTES_MAX = 32 << 10
REPORTS_MAX = 64  # in the pool: they pay nothing

RECEIPT_WEIGHT = 1_500_000_000  # 1.5 ms: two signatures, two headers, two ways through a trie

assert BLOCKS_KEPT == 1 << 8, "places are numbers of one byte"
assert BLOCKS_KEPT > 2 * RECEIPT_BLOCKS_MAX, "the last block of a promise can be reported as well"


class BlockRecord(Struct):
    """What is kept of a block, to judge whether it could have had an order."""

    number: BlockNumber
    slot: Slot
    weight: U64
    """Picoseconds that it used, with what is reserved for hooks."""

    normal_weight: U64
    """What of it normal extrinsics used."""

    length: U32
    """Bytes of all its extrinsics."""

    is_takeover: bool
    """Other validators took over in its course, so the sets do not tell whose it is."""

    included: Hash
    """Root over the hashes of its signed extrinsics."""

    included_count: U32


class Conviction(NamedTuple):
    """What evidence proves."""

    who: AccountId
    set_id: SetId
    slot: Slot


def tag_receipt(evidence: BrokenReceipt) -> bytes:
    """At most 64 reports at a time, whatever receipts a validator signs against itself."""
    return b"receipt" + (evidence.receipt.promise.order[0] % REPORTS_MAX).to_bytes(1, "little")


class Receipts(Pallet[Config]):
    """The part of Authorities with these records and this call."""

    recent_blocks: StorageMap[U8, BlockRecord | None, Identity]
    """The last 256 blocks, by their numbers modulo 256."""

    @property
    def _authorities(self) -> "Authorities":
        return cast("Authorities", self)  # the one pallet that inherits this part

    @call(10, weight=RECEIPT_WEIGHT, tag=tag_receipt)
    def report_receipt(self, _: Unsigned, evidence: BrokenReceipt) -> Pays:
        """Prove that a validator left out an order that it had promised to include.

        Emits `Offence` and `ReceiptBroken`. Fails with `PromiseVoid`, `PromiseOpen`,
        `NotInBlocksOfPromise`, `NotPromisedByAuthor`, `OrderNotValidThen`, `PromiseKept`,
        `NoRoomForOrder`, `InvalidEvidence` or `DuplicateReport`.
        """
        found = convict(self._authorities, evidence)
        self._authorities.note_offence(
            found.set_id, OffenceKind.BROKEN_RECEIPT, found.slot, found.who
        )
        order = evidence.receipt.promise.order
        self.deposit_event(ReceiptBroken(found.who, order, evidence.block))
        return Pays.NO

    @api("Authorities_judge_receipt")
    def judge_receipt(self, evidence: BrokenReceipt) -> str | None:
        """The name of the error with which a report would fail now; none if it would convict."""
        try:
            convict(self._authorities, evidence)
        except DispatchError as error:
            return type(error).__name__
        return None

    @api("Authorities_block_record")
    def read_block_record(self, number: BlockNumber) -> BlockRecord | None:
        """What is kept of one of the last 256 blocks."""
        record = self.recent_blocks[number % BLOCKS_KEPT]
        return record if record is not None and record.number == number else None

    def note_block(self, number: int) -> None:
        """Keep what is known of the block when its extrinsics are all there."""
        progress, session = self._state.progress, self.config.session
        hashes = hashes_of(progress.extrinsics)
        self.recent_blocks[number % BLOCKS_KEPT] = BlockRecord(
            number,
            session.slot(),
            sum(progress.weight),
            progress.weight[DispatchClass.NORMAL],
            sum(progress.length),
            session.has_changed(),
            included_root(hashes),
            len(hashes),
        )


def convict(pallet: "Authorities", evidence: BrokenReceipt) -> Conviction:
    """Who broke its promise. Raises the error that says why the evidence does not prove it."""
    record = block_in_question(pallet, evidence)
    found = author_of(pallet, evidence, record)
    order = order_in(pallet, evidence, record)
    check_accounts(pallet, evidence, order)
    if not has_room(pallet.config.limits, record, order):
        raise NoRoomForOrder
    missing = evidence.receipt.promise.order
    if not is_absent(evidence.absence, missing, record.included, record.included_count):
        raise InvalidEvidence
    return found


def has_room(limits: BlockLimits, record: BlockRecord, order: PastOrder) -> bool:
    """Whether a block had room for an order beside its own, as `extensions.reserve` asks."""
    normal = DispatchClass.NORMAL
    return (
        record.weight + order.weight <= limits.weight_max
        and record.normal_weight + order.weight <= limits.class_weight_max(normal)
        and record.length + order.length <= limits.class_length_max(normal)
    )


def block_in_question(pallet: "Authorities", evidence: BrokenReceipt) -> BlockRecord:
    """The block that should have had the order: one of the promise, which is over."""
    promise, chain = evidence.receipt.promise, pallet.config.chain
    if not 0 < promise.blocks <= RECEIPT_BLOCKS_MAX:
        raise PromiseVoid
    now = chain.block_number()
    if promise.head_number < now and chain.block_hash(promise.head_number) != promise.head_hash:
        raise PromiseVoid
    if promise.last >= now:
        raise PromiseOpen
    if not promise.head_number < evidence.block <= promise.last:
        raise NotInBlocksOfPromise
    record = pallet.read_block_record(evidence.block)
    if record is None or record.is_takeover or record.slot <= promise.after_slot:
        raise NotInBlocksOfPromise
    return record


def author_of(pallet: "Authorities", evidence: BrokenReceipt, record: BlockRecord) -> Conviction:
    """The author of a block, who has to be the one that promised."""
    session, receipt = pallet.config.session, evidence.receipt
    set_id = session.set_of_slot(record.slot)
    kept = None if set_id is None else pallet.kept_set(set_id)
    if set_id is None or kept is None:
        raise NotInBlocksOfPromise
    who, keys = kept.validators[record.slot % len(kept.validators)]
    genesis_hash = pallet.config.chain.block_hash(0) or b""
    if keys.aura != receipt.validator or not receipt.is_signed(genesis_hash):
        raise NotPromisedByAuthor
    return Conviction(who, set_id, record.slot)


def order_in(pallet: "Authorities", evidence: BrokenReceipt, record: BlockRecord) -> PastOrder:
    """The order, if its signature, its era and its gate held in the block."""
    if extrinsic_hash(evidence.order) != evidence.receipt.promise.order:
        raise InvalidEvidence
    order = pallet.config.orders.order_at(evidence.order, record.number)
    if order is None:
        raise OrderNotValidThen
    if order.gate_ms is not None and order.gate_ms < pallet.config.session.end_of_slot(record.slot):
        raise OrderNotValidThen
    return order


def check_accounts(pallet: "Authorities", evidence: BrokenReceipt, order: PastOrder) -> None:
    """Refuse unless the sender could send the order before the block, and still could at last."""
    if len(evidence.accounts) > PROOF_ITEMS_MAX or sum(map(len, evidence.accounts)) > (
        PROOF_BYTES_MAX
    ):
        raise InvalidEvidence
    before = account_after(pallet, evidence, order.who, evidence.parent, evidence.block - 1)
    if before is None or before.nonce != order.nonce:
        raise OrderNotValidThen
    if not pallet.config.orders.can_pay(before, order.fee):
        raise OrderNotValidThen
    last = evidence.receipt.promise.last
    after = account_after(pallet, evidence, order.who, evidence.last, last)
    if after is None or after.nonce != order.nonce:
        raise PromiseKept


def account_after(
    pallet: "Authorities", evidence: BrokenReceipt, who: AccountId, encoded: bytes, number: int
) -> AccountInfo | None:
    """An account in the state after a block, by its header and the proof; none: it was not there.

    Raises `InvalidEvidence`.
    """
    if len(encoded) > HEADER_BYTES_MAX:
        raise InvalidEvidence
    try:
        header = Header.decode(encoded)
    except DecodeError as error:
        raise InvalidEvidence from error
    if header.hash() != pallet.config.chain.block_hash(number):
        raise InvalidEvidence
    key = pallet.config.chain.account_key(who)
    try:
        value = verify_proof(header.state_root, evidence.accounts, [key])[key]
    except ProofInvalid as error:
        raise InvalidEvidence from error
    # The trie holds what this runtime wrote, so it can be read.
    return None if value is None else AccountInfo.decode(value)

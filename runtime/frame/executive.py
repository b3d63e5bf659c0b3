"""Blocks: begun, filled with extrinsics, finished; executed and compared; extrinsics judged.

    initialize_block   digest, number and parent are written; hooks before the extrinsics
    apply_extrinsic    checked, paid for, dispatched in a transaction, announced
    finalize_block     hooks after the extrinsics; events are written; the header follows

Invariants: building a block and executing it are the same steps, so both give the same header; an
extrinsic that is refused leaves no trace; the weight of hooks is reserved before the first
extrinsic, so a block within its limits is a block that can be imported in time.

It knows no clock: whether a block comes from the future is judged by the node, which asks
`timestamp_of`.

Names as in Substrate's `frame_executive`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from runtime.frame.assembly import ApiError, Assembly
from runtime.frame.dispatch import (
    CallCost,
    DispatchClass,
    DispatchError,
    DispatchFailure,
    DispatchInfo,
    InvalidBlock,
    OriginKind,
    Pays,
    PostDispatch,
    Privilege,
    Weight,
)
from runtime.frame.extensions import (
    SIGNED_EXTENSIONS,
    BlockLimits,
    Checked,
    Draft,
    SignedExtension,
    reserve,
)
from runtime.frame.extrinsics import Decoded, ExtrinsicChecker, Versions
from runtime.frame.pallet import Error, Pallet
from runtime.frame.signatures import SignatureCache
from runtime.frame.state import FINALIZATION, State, apply_extrinsic_phase
from runtime.frame.traits import PaymentPallet, SystemPallet
from runtime.frame.validity import (
    BadMandatory,
    CustomReason,
    ExhaustsResources,
    InvalidTransaction,
    MandatoryValidation,
    NoUnsignedValidator,
    Validity,
)
from runtime.primitives.block import Block, Digest, DigestItem, Header, PreRuntime, Seal
from runtime.primitives.extrinsic import BARE
from runtime.primitives.scale import DecodeError, decode_compact, encode_compact
from runtime.primitives.types import Hash
from runtime.state.overlay import Overlay
from runtime.state.trie import extrinsics_root

__all__ = ["ApiError", "Executive", "InvalidBlock", "InvalidTransaction"]

UNSIGNED_PRIORITY = 1 << 63  # they are few, and a report of an offence should not wait
UNSIGNED_LONGEVITY = 64  # blocks
UNNAMED_REASON = 255  # refusals of unsigned calls tell the number of the pallet's error, or this

_WHOLE = PostDispatch()


class Executive:
    """Runs the blocks of an assembly of pallets."""

    def __init__(
        self,
        assembly: Assembly,
        system: SystemPallet,
        payment: PaymentPallet,
        limits: BlockLimits,
        versions: Versions,
        metadata_digest: Callable[[], Hash],
    ) -> None:
        """`metadata_digest` is what signers can commit to; asked for when one does."""
        self.assembly = assembly
        self.limits = limits
        self._state = assembly.state
        self._system = system
        self._payment = payment
        self._checker = ExtrinsicChecker(assembly, system, versions, metadata_digest)
        pallets = assembly.pallets
        self._on_initialize = [p.on_initialize for p in pallets if _has(p, "on_initialize")]
        self._on_finalize = [p.on_finalize for p in pallets if _has(p, "on_finalize")]
        extensions = [kind(system, payment, limits, self._state) for kind in SIGNED_EXTENSIONS]
        self._validate = [e.validate for e in extensions if _has(e, "validate")]
        self._prepare = [e.prepare for e in extensions if _has(e, "prepare")]
        self._settle = [e.settle for e in extensions if _has(e, "settle")]

    # --- blocks

    def execute_block(self, overlay: Overlay, block: Block, signatures: SignatureCache) -> None:
        """Execute a block on its parent's state. Raises `InvalidBlock`; drop the overlay then.

        Whether the header is its author's, and follows the parent it names, others have checked.
        """
        found = _without_seal(block.header)
        self.initialize_block(overlay, found)
        for index, extrinsic in enumerate(block.extrinsics):
            try:
                self.apply_extrinsic(overlay, extrinsic, signatures)
            except InvalidTransaction as error:
                where = f"extrinsic {index} of {len(block.extrinsics)}"
                raise InvalidBlock(f"{where}: {error}") from error
        check_header(found=found, expected=self.finalize_block(overlay))

    def initialize_block(self, overlay: Overlay, header: Header) -> None:
        """Begin a block on its parent's state. Only number, parent and digest of the header count.

        Raises `InvalidBlock`.
        """
        state, system = self._state, self._system
        state.begin_block(overlay)
        expected = system.block_number() + 1
        if header.number != expected:
            raise InvalidBlock(f"block number {header.number}, expected {expected}")
        if system.upgrade_due():
            for pallet in self.assembly.pallets:
                pallet.on_runtime_upgrade()
        logs: list[DigestItem] = [
            item for item in header.digest.logs if isinstance(item, PreRuntime)
        ]
        system.begin_block(header.number, header.parent_hash, Digest(logs))
        for hook in self._on_initialize:
            hook(header.number)
        reserved = sum(pallet.reserved_weight() for pallet in self.assembly.pallets)
        state.progress.weight[DispatchClass.MANDATORY] += reserved

    def finalize_block(self, overlay: Overlay) -> Header:
        """End the block that was begun on `overlay`; its header, without a seal."""
        state, system = self._in_block(overlay), self._system
        progress = state.progress
        progress.phase = FINALIZATION
        number = system.block_number()
        for hook in self._on_finalize:
            hook(number)
        events = b"".join([record.encoded for record in progress.events])
        count = len(progress.events)
        digest = system.end_block(encode_compact(count) + events, count)
        state.end_block()
        return Header(
            system.parent_hash(),
            number,
            overlay.root(),
            extrinsics_root(progress.extrinsics),
            digest,
        )

    # --- extrinsics

    def apply_extrinsic(
        self, overlay: Overlay, extrinsic: bytes, signatures: SignatureCache
    ) -> DispatchFailure | None:
        """Put an extrinsic into the block begun on `overlay`; what its call failed with, if it did.

        Raises `InvalidTransaction`, and nothing has changed then.
        """
        state = self._in_block(overlay)
        progress = state.progress
        before = progress.phase, progress.weight[:], progress.length[:]
        progress.phase = apply_extrinsic_phase(len(progress.extrinsics))
        state.begin()
        try:
            failure = self._apply(extrinsic, signatures)
        except BaseException:
            state.rollback()
            progress.phase, progress.weight, progress.length = before
            raise
        state.commit()
        progress.extrinsics.append(extrinsic)
        return failure

    def _apply(self, extrinsic: bytes, signatures: SignatureCache) -> DispatchFailure | None:
        length = len(extrinsic)
        if length > self.limits.length_max:
            raise InvalidTransaction(ExhaustsResources(), f"{length} bytes")
        decoded = self._checker.decode(extrinsic)
        if decoded.signed is None:
            if self.assembly.origin_of(decoded.call) is OriginKind.UNSIGNED:
                self._apply_unsigned(decoded, length)
            else:
                self._apply_inherent(decoded, length)
            return None
        checked = self._checker.check_signature(decoded, decoded.signed, length, signatures)
        for prepare in self._prepare:
            prepare(checked)
        failure = None
        post = _WHOLE
        try:
            post = self.assembly.dispatch(checked.who, checked.call)
        except DispatchError as error:
            failure = self.assembly.failure_of(error)
        for settle in self._settle:
            settle(checked, post)
        self._state.progress.is_inherent_phase = False
        info = self._dispatch_info(checked.cost, post)
        if failure is None:
            self._system.extrinsic_succeeded(info)
        else:
            self._system.extrinsic_failed(failure, info)
        return failure

    def _apply_inherent(self, decoded: Decoded, length: int) -> None:
        """What nobody signed: only calls made for it, before all others, and they never fail."""
        if self.assembly.origin_of(decoded.call) is not OriginKind.INHERENT:
            raise InvalidTransaction(NoUnsignedValidator())
        progress, cost = self._state.progress, decoded.cost
        if not progress.is_inherent_phase:
            raise InvalidTransaction(BadMandatory(), "an inherent after a signed extrinsic")
        progress.weight[cost.dispatch_class] += cost.weight + self.limits.base_extrinsic_weight
        progress.length[cost.dispatch_class] += length
        try:
            post = self.assembly.dispatch(Privilege.NONE, decoded.call)
        except DispatchError as error:
            raise InvalidTransaction(BadMandatory(), type(error).__name__) from error
        self._system.extrinsic_succeeded(self._dispatch_info(cost, post))

    def _apply_unsigned(self, decoded: Decoded, length: int) -> None:
        """What proves itself: as a signed one it needs room in the block, but it must not fail."""
        cost, progress = decoded.cost, self._state.progress
        reserve(self.limits, progress, cost, length)
        progress.is_inherent_phase = False
        post = self._dispatch_unsigned(decoded)
        self._system.extrinsic_succeeded(self._dispatch_info(cost, post))

    def _dispatch_unsigned(self, decoded: Decoded) -> PostDispatch:
        try:
            return self.assembly.dispatch(Privilege.NONE, decoded.call)
        except DispatchError as error:
            index = error.index if isinstance(error, Error) else UNNAMED_REASON
            raise InvalidTransaction(CustomReason(index), type(error).__name__) from error

    def _validate_unsigned(self, decoded: Decoded) -> Validity:
        origin = self.assembly.origin_of(decoded.call)
        if origin is OriginKind.INHERENT:
            raise InvalidTransaction(MandatoryValidation())
        if origin is not OriginKind.UNSIGNED:
            raise InvalidTransaction(NoUnsignedValidator())
        self._dispatch_unsigned(decoded)
        tags = [self.assembly.tag_of(decoded.call)]
        return Validity(UNSIGNED_PRIORITY, [], tags, UNSIGNED_LONGEVITY, propagate=True)

    def validate_transaction(
        self, overlay: Overlay, extrinsic: bytes, signatures: SignatureCache, block_hash: Hash
    ) -> Validity:
        """Judge an extrinsic for the pool, as if the next block held it. The state stays as it is.

        `block_hash` is the hash of the block whose state `overlay` is. Raises `InvalidTransaction`.
        """
        state = self._state
        self.assembly.bind(overlay)
        state.begin()
        try:
            number = self._system.block_number()
            self._system.begin_block(number + 1, block_hash, Digest([]))
            length = len(extrinsic)
            if length > self.limits.length_max:
                raise InvalidTransaction(ExhaustsResources(), f"{length} bytes")
            decoded = self._checker.decode(extrinsic)
            if decoded.signed is None:
                return self._validate_unsigned(decoded)
            checked = self._checker.check_signature(decoded, decoded.signed, length, signatures)
            draft = Draft()
            for validate in self._validate:
                validate(checked, draft)
            return draft.validity()
        finally:
            state.rollback()

    # --- what others ask about extrinsics

    def decode_extrinsic(self, extrinsic: bytes) -> Decoded:
        """The parts of an extrinsic, nothing checked. Raises `InvalidTransaction`."""
        return self._checker.decode(extrinsic)

    def signed_at(self, extrinsic: bytes, number: int) -> Checked:
        """An extrinsic whose signature and era hold in block `number` of the chain that is bound.

        Under this version of the runtime. Raises `InvalidTransaction`.
        """
        decoded = self._checker.decode(extrinsic)
        if decoded.signed is None:
            raise InvalidTransaction(NoUnsignedValidator(), "nobody signed it")
        checked = self._checker.check_signature(
            decoded, decoded.signed, len(extrinsic), SignatureCache(), number
        )
        checked.fee = self._payment.compute_fee(
            checked.length, checked.cost.weight, checked.cost.pays, checked.extra.tip
        )
        return checked

    def timestamp_of(self, extrinsics: Sequence[bytes]) -> int | None:
        """The time that a block's extrinsics tell, in Unix milliseconds; None if they do not."""
        _, set_time = self.assembly.types.call_classes["Timestamp", "set"]
        for extrinsic in extrinsics:
            try:
                _, start = decode_compact(extrinsic, 0)
                if extrinsic[start : start + 1] != bytes([BARE]):
                    return None
                call = getattr(self.assembly.decode_call(extrinsic[start + 1 :]), "call", None)
            except DecodeError:
                return None
            if isinstance(call, set_time):
                now: int = getattr(call, "now")  # noqa: B009 - its class is made at run time
                return now
        return None

    # --- helpers

    def _in_block(self, overlay: Overlay) -> State:
        self.assembly.bind(overlay)
        assert self._state.is_in_block, "no block was begun on this overlay"
        return self._state

    def _dispatch_info(self, cost: CallCost, post: PostDispatch) -> DispatchInfo:
        weight = cost.weight if post.weight is None else min(post.weight, cost.weight)
        pays = Pays.NO if Pays.NO in (post.pays, cost.pays) else Pays.YES
        total = weight + self.limits.base_extrinsic_weight
        return DispatchInfo(Weight(total, 0), cost.dispatch_class, pays)


def check_header(*, found: Header, expected: Header) -> None:
    """Refuse a header that is not the one its block gives. The seal is not part of either."""
    for name in ("extrinsics_root", "digest", "state_root"):
        one, other = getattr(found, name), getattr(expected, name)
        if one != other:
            raise InvalidBlock(f"{name.replace('_', ' ')} {_shown(one)}, expected {_shown(other)}")
    assert found == expected, "number and parent were taken from the header itself"


def _shown(value: bytes | Digest) -> str:
    return "0x" + (value if isinstance(value, bytes) else value.encode()).hex()


def _without_seal(header: Header) -> Header:
    """The header as its author's runtime made it: the seal came later, and last."""
    logs = header.digest.logs
    if not logs or not isinstance(logs[-1], Seal):
        return header
    return replace(header, digest=Digest(logs[:-1]))


def _has(owner: Pallet[Any] | SignedExtension, step: str) -> bool:
    """Whether an object's class overrides a step; the others cost nothing."""
    base = Pallet if isinstance(owner, Pallet) else SignedExtension
    return getattr(type(owner), step) is not getattr(base, step)

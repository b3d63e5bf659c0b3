"""The signed extensions: what is checked of a signed extrinsic around its call, in a fixed order.

Each has data that the signer sends and an implicit part that is signed without being sent (nonce
and era; genesis hash and versions). The signature covers both, so what `CheckSpecVersion`,
`CheckTxVersion` and `CheckGenesis` promise is kept by checking the signature; they have nothing
else to do. Wallets know this order by heart.

`validate` judges an extrinsic for the pool and writes nothing; `prepare` judges it for the block
and writes; `settle` corrects what `prepare` took, when the call has been dispatched.

Names and rules as in `frame_system::extensions` and `pallet_transaction_payment`.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from runtime.frame.dispatch import CallCost, DispatchClass, DispatchError, Pays, PostDispatch
from runtime.frame.state import Progress, State
from runtime.frame.traits import PaymentPallet, SystemPallet
from runtime.frame.validity import (
    LONGEVITY_MAX,
    PRIORITY_MAX,
    BadSigner,
    ExhaustsResources,
    Future,
    InvalidTransaction,
    MandatoryValidation,
    Payment,
    Stale,
    Validity,
)
from runtime.primitives.extrinsic import EraField, MetadataHashMode, SignedExtra
from runtime.primitives.scale import U32, Compact, FixedBytes, Struct
from runtime.primitives.types import ZERO_HASH, AccountId, Balance, Hash, Nonce

NORMAL_PERCENT = 75  # of a block may be normal extrinsics; operational ones find room in the rest
OPERATIONAL_FEE_MULTIPLIER = 5  # how much an operational extrinsic's fee lifts its priority

__all__ = ["SIGNED_EXTENSIONS", "BlockLimits", "Checked", "InvalidTransaction", "Validity"]


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """How much a block can hold."""

    weight_max: int
    """Picoseconds of all that happens in it."""

    length_max: int
    """Bytes of its extrinsics."""

    base_extrinsic_weight: int
    """Picoseconds of an extrinsic beside its call: decoding, signature, fee, events."""

    def class_weight_max(self, dispatch_class: DispatchClass) -> int:
        """Picoseconds for the extrinsics of a class."""
        if dispatch_class is DispatchClass.NORMAL:
            return self.weight_max * NORMAL_PERCENT // 100
        return self.weight_max

    def class_length_max(self, dispatch_class: DispatchClass) -> int:
        """Bytes for the extrinsics of a class."""
        if dispatch_class is DispatchClass.NORMAL:
            return self.length_max * NORMAL_PERCENT // 100
        return self.length_max


@dataclass(slots=True)
class Checked:
    """A signed extrinsic whose signature is right."""

    who: AccountId
    extra: SignedExtra
    call: Struct
    cost: CallCost
    length: int
    """Bytes, with the compact length in front."""

    fee: Balance = 0
    """What was withdrawn."""


@dataclass(slots=True)
class Draft:
    """What the extensions say about an extrinsic for the pool."""

    priority: int = 0
    requires: list[bytes] = field(default_factory=list[bytes])
    provides: list[bytes] = field(default_factory=list[bytes])
    longevity: int = LONGEVITY_MAX

    def validity(self) -> Validity:
        """The whole."""
        priority = min(self.priority, PRIORITY_MAX)
        return Validity(priority, self.requires, self.provides, self.longevity, True)


class SignedExtension:
    """One check. A subclass overrides the steps in which it has something to do."""

    path: ClassVar[str]
    """The Rust path by which clients know its data."""

    field_name: ClassVar[str | None] = None
    """The name of the data's field, if it has one."""

    data: ClassVar[object] = None
    """Annotation of what the signer sends."""

    implicit: ClassVar[object] = None
    """Annotation of what is signed without being sent."""

    def __init__(
        self, system: SystemPallet, payment: PaymentPallet, limits: BlockLimits, state: State
    ) -> None:
        self.system = system
        self.payment = payment
        self.limits = limits
        self.state = state

    def validate(self, checked: Checked, draft: Draft) -> None:
        """Judge an extrinsic for the pool. Raises `InvalidTransaction`."""

    def prepare(self, checked: Checked) -> None:
        """Judge it for the block and write what precedes its call. Raises `InvalidTransaction`."""

    def settle(self, checked: Checked, post: PostDispatch) -> None:
        """Write what follows its call, whether that succeeded or not."""


class CheckNonZeroSender(SignedExtension):
    """The account of all zeros, which nobody has a key for, cannot sign."""

    path = "frame_system::extensions::check_non_zero_sender::CheckNonZeroSender"

    def validate(self, checked: Checked, draft: Draft) -> None:
        self.prepare(checked)

    def prepare(self, checked: Checked) -> None:
        if checked.who == ZERO_HASH:
            raise InvalidTransaction(BadSigner())


class CheckSpecVersion(SignedExtension):
    """It was signed for this version of the runtime."""

    path = "frame_system::extensions::check_spec_version::CheckSpecVersion"
    implicit = U32


class CheckTxVersion(SignedExtension):
    """It was signed for these meanings of calls."""

    path = "frame_system::extensions::check_tx_version::CheckTxVersion"
    implicit = U32


class CheckGenesis(SignedExtension):
    """It was signed for this chain."""

    path = "frame_system::extensions::check_genesis::CheckGenesis"
    implicit = Hash


class CheckMortality(SignedExtension):
    """It is within its era. Whoever looks up the hash of the era's first block has checked it."""

    path = "frame_system::extensions::check_mortality::CheckMortality"
    data = EraField
    implicit = Hash

    def validate(self, checked: Checked, draft: Draft) -> None:
        current = self.system.block_number()
        death = checked.extra.era.death(current)
        if death is not None:
            draft.longevity = min(draft.longevity, death - current)


class CheckNonce(SignedExtension):
    """An account's extrinsics come in order, each once."""

    path = "frame_system::extensions::check_nonce::CheckNonce"
    data = Compact[Nonce]

    def validate(self, checked: Checked, draft: Draft) -> None:
        who, nonce = checked.who, checked.extra.nonce
        if not self.system.account_exists(who):
            raise InvalidTransaction(Payment())
        expected = self.system.account_nonce(who)
        if nonce < expected:
            raise InvalidTransaction(Stale(), f"nonce {nonce}, expected {expected}")
        draft.provides.append(nonce_tag(who, nonce))
        if nonce > expected:
            draft.requires.append(nonce_tag(who, nonce - 1))

    def prepare(self, checked: Checked) -> None:
        who, nonce = checked.who, checked.extra.nonce
        system = self.system
        if not system.account_exists(who):
            raise InvalidTransaction(Payment())
        expected = system.account_nonce(who)
        if nonce != expected:
            reason = Stale() if nonce < expected else Future()
            raise InvalidTransaction(reason, f"nonce {nonce}, expected {expected}")
        system.increment_nonce(who)


def reserve(limits: BlockLimits, progress: Progress, cost: CallCost, length: int) -> None:
    """Take the room of an extrinsic in the block. Raises `InvalidTransaction` if there is none."""
    dispatch_class = cost.dispatch_class
    if dispatch_class is DispatchClass.MANDATORY:
        raise InvalidTransaction(MandatoryValidation())
    used, lengths = progress.weight, progress.length
    weight = cost.weight + limits.base_extrinsic_weight
    if (
        sum(used) + weight > limits.weight_max
        or used[dispatch_class] + weight > limits.class_weight_max(dispatch_class)
        or sum(lengths) + length > limits.class_length_max(dispatch_class)
    ):
        raise InvalidTransaction(ExhaustsResources())
    used[dispatch_class] += weight
    lengths[dispatch_class] += length


class CheckWeight(SignedExtension):
    """There is room in the block."""

    path = "frame_system::extensions::check_weight::CheckWeight"

    def validate(self, checked: Checked, draft: Draft) -> None:
        limits, cost = self.limits, checked.cost
        dispatch_class = cost.dispatch_class
        if dispatch_class is DispatchClass.MANDATORY:
            raise InvalidTransaction(MandatoryValidation())
        weight = cost.weight + limits.base_extrinsic_weight
        if weight > limits.class_weight_max(dispatch_class):
            raise InvalidTransaction(ExhaustsResources())
        if checked.length > limits.class_length_max(dispatch_class):
            raise InvalidTransaction(ExhaustsResources())

    def prepare(self, checked: Checked) -> None:
        reserve(self.limits, self.state.progress, checked.cost, checked.length)

    def settle(self, checked: Checked, post: PostDispatch) -> None:
        if post.weight is not None:
            unspent = max(0, checked.cost.weight - post.weight)
            self.state.progress.weight[checked.cost.dispatch_class] -= unspent


class ChargeTransactionPayment(SignedExtension):
    """The fee is withdrawn before the call, and corrected after it."""

    path = "pallet_transaction_payment::ChargeTransactionPayment"
    data = Compact[Balance]

    def validate(self, checked: Checked, draft: Draft) -> None:
        fee = self.compute_fee(checked)
        if not self.payment.can_pay(checked.who, fee):
            raise InvalidTransaction(Payment(), f"the fee is {fee}")
        draft.priority += priority(checked, fee, self.limits)

    def prepare(self, checked: Checked) -> None:
        checked.fee = self.compute_fee(checked)
        try:
            self.payment.withdraw(checked.who, checked.fee)
        except DispatchError as error:
            raise InvalidTransaction(Payment(), f"the fee is {checked.fee}") from error

    def settle(self, checked: Checked, post: PostDispatch) -> None:
        cost, tip = checked.cost, checked.extra.tip
        if post.weight is None and post.pays is cost.pays:
            actual = checked.fee
        else:
            weight = cost.weight if post.weight is None else min(post.weight, cost.weight)
            pays = Pays.NO if Pays.NO in (post.pays, cost.pays) else Pays.YES
            actual = self.payment.compute_fee(checked.length, weight, pays, tip)
        self.payment.settle(checked.who, checked.fee, actual, tip)

    def compute_fee(self, checked: Checked) -> Balance:
        """What the extrinsic costs at most."""
        cost = checked.cost
        return self.payment.compute_fee(checked.length, cost.weight, cost.pays, checked.extra.tip)


class CheckMetadataHash(SignedExtension):
    """The signer saw this chain's metadata, if it says so: then the signature covers their digest.
    So its promise, too, is kept by checking the signature."""

    path = "frame_metadata_hash_extension::CheckMetadataHash"
    field_name = "mode"
    data = MetadataHashMode
    implicit = Annotated[bytes, FixedBytes(32)] | None


SIGNED_EXTENSIONS: tuple[type[SignedExtension], ...] = (
    CheckNonZeroSender,
    CheckSpecVersion,
    CheckTxVersion,
    CheckGenesis,
    CheckMortality,
    CheckNonce,
    CheckWeight,
    ChargeTransactionPayment,
    CheckMetadataHash,
)
"""In the order of their data and implicit parts in the signing payload."""


def nonce_tag(who: AccountId, nonce: int) -> bytes:
    """What an extrinsic provides for the account's next one: SCALE of (account, nonce)."""
    return who + nonce.to_bytes(4, "little")


def priority(checked: Checked, fee: Balance, limits: BlockLimits) -> int:
    """What the tip would earn if the whole block were of such extrinsics, as Substrate has it.

    One nano is added to every tip, so that among extrinsics without one those come first of which
    more fit into a block. Feeless calls get none: they come after all that pay, or whoever may make
    them could fill blocks for nothing.
    """
    cost, tip = checked.cost, checked.extra.tip
    weight = min(max(cost.weight, 1), limits.weight_max)
    length_max = limits.class_length_max(cost.dispatch_class)
    length = min(max(checked.length, 1), length_max)
    per_block = min(limits.weight_max // weight, length_max // length)
    if not cost.is_feeless:
        tip += 1
    if cost.dispatch_class is DispatchClass.OPERATIONAL:
        tip += fee * OPERATIONAL_FEE_MULTIPLIER
    return tip * per_block

"""The runtime APIs that every Substrate chain has, beside those that its pallets declare.

Functions take SCALE arguments and give SCALE results, on a state that is dropped afterwards: what
they write is lost. Forms as in `sp_api` of the versions named in `runtime.version`.
"""

from typing import TYPE_CHECKING, Annotated, Any

from runtime.frame.apis import ApiGroup, groups_of
from runtime.frame.assembly import ApiError, decode_arguments
from runtime.frame.declaration import ApiSpec, apis_of
from runtime.frame.dispatch import (
    DispatchClass,
    DispatchFailure,
    InvalidBlock,
    Pays,
    Weight,
)
from runtime.frame.docs import docs_of_type
from runtime.frame.executive import Executive
from runtime.frame.extrinsics import Decoded
from runtime.frame.fees import FeeDetails
from runtime.frame.metadata import METADATA_VERSIONS
from runtime.frame.pallet import api
from runtime.frame.signatures import SignatureCache
from runtime.frame.validity import InvalidTransaction, Validity, ValidityError
from runtime.primitives.block import Block, Extrinsic, Header
from runtime.primitives.scale import (
    U32,
    FixedBytes,
    Struct,
    UnitEnum,
    make_struct,
    one_of,
)
from runtime.primitives.scale.shapes import TupleShape
from runtime.primitives.types import AccountId, Balance, Hash, Nonce
from runtime.state.overlay import Overlay
from runtime.version import API_VERSIONS, RuntimeVersion

if TYPE_CHECKING:
    from runtime.runtime import Runtime

TIMESTAMP_INHERENT = b"timstap0"
InherentId = Annotated[bytes, FixedBytes(8)]

TIMESTAMP_DRIFT_MAX_MS = 30_000  # how far a block's time may be ahead of the importer's clock

TOO_FAR_IN_FUTURE = b"\x01"  # error of the timestamp's inherent

API_DOCS = {
    "AccountNonceApi": ("How many extrinsics an account has signed.",),
    "AuraApi": ("Who authors blocks, and when.",),
    "BlockBuilder": ("Building a block, extrinsic by extrinsic.",),
    "Core": ("What every runtime can do: execute blocks, and tell its version.",),
    "GrandpaApi": ("Who votes on finality, and evidence against voters.",),
    "Metadata": ("What the runtime is made of, for clients.",),
    "SessionKeys": ("The keys of validators.",),
    "TaggedTransactionQueue": ("Judging extrinsics for the pool.",),
    "TransactionPaymentApi": ("What an extrinsic costs.",),
}
"""Of Substrate's; the APIs of our pallets are documented by their pallets."""


class OpaqueMetadata(Struct, path="sp_core::OpaqueMetadata"):
    """Encoded metadata."""

    encoded: bytes


class ExtrinsicInclusionMode(UnitEnum, path="sp_runtime::ExtrinsicInclusionMode"):
    """Which extrinsics a block may hold."""

    ALL_EXTRINSICS = 0
    ONLY_INHERENTS = 1


class TransactionSource(UnitEnum, path="sp_runtime::transaction_validity::TransactionSource"):
    """Where an extrinsic came from; it is judged alike."""

    IN_BLOCK = 0
    LOCAL = 1
    EXTERNAL = 2


class InherentData(Struct, path="sp_inherents::InherentData"):
    """What the importer of a block knows beside the chain."""

    data: dict[InherentId, bytes]


class CheckInherentsResult(Struct, path="sp_inherents::CheckInherentsResult"):
    """Whether a block's inherents fit what the importer knows."""

    okay: bool
    fatal_error: bool
    errors: InherentData


class RuntimeDispatchInfo(Struct, path="pallet_transaction_payment::types::RuntimeDispatchInfo"):
    """What an extrinsic would take and cost, without its tip."""

    weight: Weight
    class_: DispatchClass
    partial_fee: Balance


class _Result:
    """A `Result` of Rust: its type, and how its two kinds of values are made."""

    def __init__(self, ok: object, error: object) -> None:
        self.ok: Any = make_struct("Ok", {"value": ok}, index=0, unnamed=True)
        self.error: Any = make_struct("Err", {"error": error}, index=1, unnamed=True)
        # As a parameter, `None` would say that there is no type.
        params = {"T": TupleShape() if ok is None else ok, "E": error}
        self.type: Any = one_of("Result", [self.ok, self.error], path="Result", params=params)


_DISPATCHED = _Result(None, DispatchFailure)
_APPLIED = _Result(_DISPATCHED.type, ValidityError)
_JUDGED = _Result(Validity, ValidityError)


class RuntimeApis:
    """The functions over one runtime."""

    def __init__(self, runtime: "Runtime", executive: Executive) -> None:
        self._runtime = runtime
        self._executive = executive
        self._specs: dict[str, ApiSpec] = {
            spec.name: spec
            for spec in apis_of(RuntimeApis, skipped=2)  # self and the state
            if spec.lifetime.includes(runtime.version.spec_version)
        }

    def has(self, name: str) -> bool:
        """Whether the function is one of these."""
        return name in self._specs

    def groups(self) -> tuple[ApiGroup, ...]:
        """All runtime APIs of the runtime, those of its pallets included."""
        assembly = self._runtime.assembly
        of_pallets = {
            function.api_name: docs_of_type(type(pallet))[:1]
            for pallet in assembly.pallets
            for function in assembly.declaration_of(pallet).apis
        }
        functions = (*self._specs.values(), *assembly.apis)
        return groups_of(functions, API_VERSIONS, of_pallets | API_DOCS)

    def call(self, overlay: Overlay, name: str, data: bytes) -> bytes:
        """Call a function on a state that is dropped afterwards. Raises `ApiError`."""
        spec = self._specs[name]
        function = getattr(self, spec.method)
        return spec.result.encode(function(overlay, *decode_arguments(spec, data)))

    # --- Core and Metadata

    @api("Core_version")
    def read_version(self, overlay: Overlay) -> RuntimeVersion:
        """The version of the runtime."""
        return self._runtime.version

    @api("Core_execute_block")
    def execute_block(self, overlay: Overlay, block: Block) -> None:
        """Execute a block on its parent's state."""
        try:
            self._executive.execute_block(overlay, block, SignatureCache())
        except InvalidBlock as error:
            raise ApiError(str(error)) from error

    @api("Core_initialize_block")
    def initialize_block(self, overlay: Overlay, header: Header) -> ExtrinsicInclusionMode:
        """Begin a block on its parent's state."""
        try:
            self._executive.initialize_block(overlay, header)
        except InvalidBlock as error:
            raise ApiError(str(error)) from error
        return ExtrinsicInclusionMode.ALL_EXTRINSICS

    @api("Metadata_metadata")
    def read_metadata(self, overlay: Overlay) -> OpaqueMetadata:
        """The metadata of version 14."""
        return OpaqueMetadata(self._runtime.metadata(METADATA_VERSIONS[0]))

    @api("Metadata_metadata_at_version")
    def read_metadata_at(self, overlay: Overlay, version: U32) -> OpaqueMetadata | None:
        """The metadata of a version; none if it is not served."""
        is_served = version in METADATA_VERSIONS
        return OpaqueMetadata(self._runtime.metadata(version)) if is_served else None

    @api("Metadata_metadata_versions")
    def read_metadata_versions(self, overlay: Overlay) -> list[U32]:
        """The versions of metadata that are served."""
        return list(METADATA_VERSIONS)

    # --- BlockBuilder

    def _check_in_block(self, overlay: Overlay) -> None:
        self._runtime.bind(overlay)
        if not self._runtime.assembly.state.is_in_block:
            raise ApiError("no block was begun on this state; call Core_initialize_block first")

    @api("BlockBuilder_apply_extrinsic", result=_APPLIED.type)
    def apply_extrinsic(self, overlay: Overlay, extrinsic: Extrinsic) -> object:
        """Put an extrinsic into the block that was begun; what its call came to."""
        self._check_in_block(overlay)
        try:
            failure = self._executive.apply_extrinsic(overlay, extrinsic, SignatureCache())
        except InvalidTransaction as error:
            return _APPLIED.error(error.error)
        outcome = _DISPATCHED.ok(None) if failure is None else _DISPATCHED.error(failure)
        return _APPLIED.ok(outcome)

    @api("BlockBuilder_finalize_block")
    def finalize_block(self, overlay: Overlay) -> Header:
        """End the block that was begun; its header, without a seal."""
        self._check_in_block(overlay)
        try:
            return self._executive.finalize_block(overlay)
        except InvalidBlock as error:
            raise ApiError(str(error)) from error

    @api("BlockBuilder_inherent_extrinsics")
    def make_inherents(self, overlay: Overlay, inherent: InherentData) -> list[Extrinsic]:
        """The extrinsics that the author of a block puts first."""
        return self._runtime.inherents(_moment(inherent))

    @api("BlockBuilder_check_inherents")
    def check_inherents(
        self, overlay: Overlay, block: Block, data: InherentData
    ) -> CheckInherentsResult:
        """Whether a block's time is not too far ahead of the importer's."""
        told = self._executive.timestamp_of(block.extrinsics)
        errors: dict[bytes, bytes] = {}
        if told is not None and told > _moment(data) + TIMESTAMP_DRIFT_MAX_MS:
            errors[TIMESTAMP_INHERENT] = TOO_FAR_IN_FUTURE
        return CheckInherentsResult(not errors, False, InherentData(errors))

    # --- keys

    @api("SessionKeys_generate_session_keys")
    def generate_session_keys(self, overlay: Overlay, seed: bytes | None) -> bytes:
        """Always refused: a call of a runtime API reaches no keystore.

        A node draws and stores session keys by its method `author_rotateKeys`.
        """
        raise ApiError("no keystore is associated with this call; use author_rotateKeys")

    # --- extrinsics and accounts

    @api("TaggedTransactionQueue_validate_transaction", result=_JUDGED.type)
    def validate_transaction(
        self, overlay: Overlay, source: TransactionSource, tx: Extrinsic, block_hash: Hash
    ) -> object:
        """Judge an extrinsic for the pool, on the state of the block with this hash."""
        try:
            validity = self._executive.validate_transaction(
                overlay, tx, SignatureCache(), block_hash
            )
        except InvalidTransaction as error:
            return _JUDGED.error(error.error)
        return _JUDGED.ok(validity)

    @api("AccountNonceApi_account_nonce")
    def account_nonce(self, overlay: Overlay, account: AccountId) -> Nonce:
        """The nonce of an account's next extrinsic; what waits in the pool does not count."""
        return self._runtime.account_nonce(overlay, account)

    @api("TransactionPaymentApi_query_info")
    def query_info(self, overlay: Overlay, uxt: Extrinsic, len_: U32) -> RuntimeDispatchInfo:
        """What an extrinsic takes and costs; its signature is not checked."""
        decoded = self._decoded(overlay, uxt)
        cost, payment = decoded.cost, self._runtime.transaction_payment
        fee = 0
        if decoded.signed is not None:
            fee = payment.compute_fee(len_, cost.weight, cost.pays, tip=0)
        return RuntimeDispatchInfo(Weight(cost.weight, 0), cost.dispatch_class, fee)

    @api("TransactionPaymentApi_query_fee_details")
    def query_fee_details(self, overlay: Overlay, uxt: Extrinsic, len_: U32) -> FeeDetails:
        """What an extrinsic costs, by its parts; its signature is not checked."""
        decoded = self._decoded(overlay, uxt)
        if decoded.signed is None or decoded.cost.pays is Pays.NO:
            return FeeDetails(None)
        schedule = self._runtime.transaction_payment.schedule
        return FeeDetails(schedule.inclusion_fee(len_, decoded.cost.weight))

    @api("TransactionPaymentApi_query_weight_to_fee")
    def query_weight_to_fee(self, overlay: Overlay, weight: Weight) -> Balance:
        """The fee of a weight."""
        return self._runtime.transaction_payment.schedule.weight_fee(weight.ref_time)

    @api("TransactionPaymentApi_query_length_to_fee")
    def query_length_to_fee(self, overlay: Overlay, length: U32) -> Balance:
        """The fee of a length in bytes."""
        return self._runtime.transaction_payment.schedule.per_byte * length

    def _decoded(self, overlay: Overlay, extrinsic: bytes) -> Decoded:
        # Wallets ask with a signature that only has the right size, so none is checked.
        self._runtime.bind(overlay)
        try:
            return self._executive.decode_extrinsic(extrinsic)
        except InvalidTransaction as error:
            raise ApiError(str(error)) from error


def _moment(inherent: InherentData) -> int:
    """The importer's time among the data for inherents."""
    encoded = inherent.data.get(TIMESTAMP_INHERENT, b"")
    if len(encoded) != 8:
        raise ApiError("the inherent data hold no time under 'timstap0'")
    return int.from_bytes(encoded, "little")

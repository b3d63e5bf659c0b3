"""The runtime APIs that every Substrate chain has, beside those that its pallets declare.

Functions take SCALE arguments and give SCALE results, on a state that is dropped afterwards: what
they write is lost. Forms as in `sp_api` of the versions named in `runtime.version`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from runtime.frame.assembly import ApiError
from runtime.frame.dispatch import (
    DispatchClass,
    DispatchFailure,
    InvalidBlock,
    Pays,
    Weight,
)
from runtime.frame.executive import Executive
from runtime.frame.extrinsics import Decoded
from runtime.frame.fees import FeeDetails
from runtime.frame.signatures import SignatureCache
from runtime.frame.validity import InvalidTransaction
from runtime.primitives.block import Block, Extrinsic, Header
from runtime.primitives.scale import (
    U8,
    U32,
    Codec,
    DecodeError,
    FixedBytes,
    Struct,
    codec,
)
from runtime.primitives.types import AccountId, Balance, Hash, Nonce
from runtime.state.overlay import Overlay
from runtime.version import RuntimeVersion

if TYPE_CHECKING:
    from runtime.runtime import Runtime

METADATA_VERSIONS = (14,)
TIMESTAMP_INHERENT = b"timstap0"
InherentId = Annotated[bytes, FixedBytes(8)]
InherentData = dict[InherentId, bytes]

TIMESTAMP_DRIFT_MAX_MS = 30_000  # how far a block's time may be ahead of the importer's clock

OK, ERR = b"\x00", b"\x01"
ALL_EXTRINSICS = b"\x00"  # a block of this chain may always hold extrinsics of all kinds
TOO_FAR_IN_FUTURE = b"\x01"  # error of the timestamp's inherent


class RuntimeDispatchInfo(Struct, path="pallet_transaction_payment::types::RuntimeDispatchInfo"):
    """What an extrinsic would take and cost, without its tip."""

    weight: Weight
    class_: DispatchClass
    partial_fee: Balance


class CheckInherentsResult(Struct, path="sp_inherents::CheckInherentsResult"):
    """Whether a block's inherents fit what the importer knows."""

    okay: bool
    fatal_error: bool
    errors: InherentData


_VERSION, _METADATA, _ITEMS = codec(RuntimeVersion), codec(bytes), codec(list[Extrinsic])
_OPTIONAL_METADATA, _METADATA_VERSIONS = codec(bytes | None), codec(list[U32])
_NONCE, _BALANCE = codec(Nonce), codec(Balance)
_FAILURE = codec(DispatchFailure)

_Function: TypeAlias = tuple[tuple[Any, ...], Callable[..., bytes]]
"""Annotations of the arguments, and what takes the overlay and them."""


class RuntimeApis:
    """The functions over one runtime."""

    def __init__(self, runtime: "Runtime", executive: Executive) -> None:
        self._runtime = runtime
        self._executive = executive
        functions: dict[str, _Function] = {
            "Core_version": ((), self._version),
            "Core_initialize_block": ((Header,), self._initialize_block),
            "Core_execute_block": ((Block,), self._execute_block),
            "Metadata_metadata": ((), self._metadata),
            "Metadata_metadata_at_version": ((U32,), self._metadata_at_version),
            "Metadata_metadata_versions": ((), self._metadata_versions),
            "BlockBuilder_apply_extrinsic": ((Extrinsic,), self._apply_extrinsic),
            "BlockBuilder_finalize_block": ((), self._finalize_block),
            "BlockBuilder_inherent_extrinsics": ((InherentData,), self._inherent_extrinsics),
            "BlockBuilder_check_inherents": ((Block, InherentData), self._check_inherents),
            "TaggedTransactionQueue_validate_transaction": (
                (U8, Extrinsic, Hash),
                self._validate_transaction,
            ),
            "AccountNonceApi_account_nonce": ((AccountId,), self._account_nonce),
            "TransactionPaymentApi_query_info": ((Extrinsic, U32), self._query_info),
            "TransactionPaymentApi_query_fee_details": ((Extrinsic, U32), self._query_fee_details),
            "TransactionPaymentApi_query_weight_to_fee": ((Weight,), self._query_weight_to_fee),
            "TransactionPaymentApi_query_length_to_fee": ((U32,), self._query_length_to_fee),
        }
        self._functions: dict[str, tuple[tuple[Codec[Any], ...], Callable[..., bytes]]] = {
            name: (tuple(codec(argument) for argument in arguments), run)
            for name, (arguments, run) in functions.items()
        }

    def has(self, name: str) -> bool:
        """Whether the function is one of these."""
        return name in self._functions

    def call(self, overlay: Overlay, name: str, data: bytes) -> bytes:
        """Call a function on a state that is dropped afterwards. Raises `ApiError`."""
        codecs, run = self._functions[name]
        arguments: list[Any] = []
        offset = 0
        try:
            for argument in codecs:
                value, offset = argument.decode_from(data, offset)
                arguments.append(value)
        except (DecodeError, IndexError) as error:
            raise ApiError(f"arguments of {name}: {error}") from None
        if offset != len(data):
            raise ApiError(f"arguments of {name}: {len(data) - offset} bytes left over")
        return run(overlay, *arguments)

    # --- Core and Metadata

    def _version(self, overlay: Overlay) -> bytes:
        return _VERSION.encode(self._runtime.version)

    def _initialize_block(self, overlay: Overlay, header: Header) -> bytes:
        try:
            self._executive.initialize_block(overlay, header)
        except InvalidBlock as error:
            raise ApiError(str(error)) from error
        return ALL_EXTRINSICS

    def _execute_block(self, overlay: Overlay, block: Block) -> bytes:
        try:
            self._executive.execute_block(overlay, block, SignatureCache())
        except InvalidBlock as error:
            raise ApiError(str(error)) from error
        return b""

    def _metadata(self, overlay: Overlay) -> bytes:
        return _METADATA.encode(self._runtime.metadata(METADATA_VERSIONS[0]))

    def _metadata_at_version(self, overlay: Overlay, version: int) -> bytes:
        is_known = version in METADATA_VERSIONS
        return _OPTIONAL_METADATA.encode(self._runtime.metadata(version) if is_known else None)

    def _metadata_versions(self, overlay: Overlay) -> bytes:
        return _METADATA_VERSIONS.encode(list(METADATA_VERSIONS))

    # --- BlockBuilder

    def _check_in_block(self, overlay: Overlay) -> None:
        self._runtime.bind(overlay)
        if not self._runtime.assembly.state.is_in_block:
            raise ApiError("no block was begun on this state; call Core_initialize_block first")

    def _apply_extrinsic(self, overlay: Overlay, extrinsic: bytes) -> bytes:
        self._check_in_block(overlay)
        try:
            failure = self._executive.apply_extrinsic(overlay, extrinsic, SignatureCache())
        except InvalidTransaction as error:
            return ERR + error.encode()
        return OK + (OK if failure is None else ERR + _FAILURE.encode(failure))

    def _finalize_block(self, overlay: Overlay) -> bytes:
        self._check_in_block(overlay)
        try:
            return self._executive.finalize_block(overlay).encode()
        except InvalidBlock as error:
            raise ApiError(str(error)) from error

    def _inherent_extrinsics(self, overlay: Overlay, data: dict[bytes, bytes]) -> bytes:
        return _ITEMS.encode(self._runtime.inherents(_moment(data)))

    def _check_inherents(self, overlay: Overlay, block: Block, data: dict[bytes, bytes]) -> bytes:
        told = self._executive.timestamp_of(block.extrinsics)
        errors: dict[bytes, bytes] = {}
        if told is not None and told > _moment(data) + TIMESTAMP_DRIFT_MAX_MS:
            errors[TIMESTAMP_INHERENT] = TOO_FAR_IN_FUTURE
        return CheckInherentsResult(not errors, False, errors).encode()

    # --- extrinsics and accounts

    def _validate_transaction(
        self, overlay: Overlay, source: int, extrinsic: bytes, block_hash: bytes
    ) -> bytes:
        try:
            validity = self._executive.validate_transaction(
                overlay, extrinsic, SignatureCache(), block_hash
            )
        except InvalidTransaction as error:
            return ERR + error.encode()
        return OK + validity.encode()

    def _account_nonce(self, overlay: Overlay, account: bytes) -> bytes:
        return _NONCE.encode(self._runtime.account_nonce(overlay, account))

    def _query_info(self, overlay: Overlay, extrinsic: bytes, length: int) -> bytes:
        decoded = self._decoded(overlay, extrinsic)
        cost, payment = decoded.cost, self._runtime.transaction_payment
        fee = 0
        if decoded.signed is not None:
            fee = payment.compute_fee(length, cost.weight, cost.pays, tip=0)
        return RuntimeDispatchInfo(Weight(cost.weight, 0), cost.dispatch_class, fee).encode()

    def _query_fee_details(self, overlay: Overlay, extrinsic: bytes, length: int) -> bytes:
        decoded = self._decoded(overlay, extrinsic)
        if decoded.signed is None or decoded.cost.pays is Pays.NO:
            return FeeDetails(None).encode()
        schedule = self._runtime.transaction_payment.schedule
        return FeeDetails(schedule.inclusion_fee(length, decoded.cost.weight)).encode()

    def _query_weight_to_fee(self, overlay: Overlay, weight: Weight) -> bytes:
        return _BALANCE.encode(
            self._runtime.transaction_payment.schedule.weight_fee(weight.ref_time)
        )

    def _query_length_to_fee(self, overlay: Overlay, length: int) -> bytes:
        return _BALANCE.encode(self._runtime.transaction_payment.schedule.per_byte * length)

    def _decoded(self, overlay: Overlay, extrinsic: bytes) -> Decoded:
        # Wallets ask with a signature that only has the right size, so none is checked.
        self._runtime.bind(overlay)
        try:
            return self._executive.decode_extrinsic(extrinsic)
        except InvalidTransaction as error:
            raise ApiError(str(error)) from error


def _moment(data: dict[bytes, bytes]) -> int:
    """The importer's time among the data for inherents."""
    encoded = data.get(TIMESTAMP_INHERENT, b"")
    if len(encoded) != 8:
        raise ApiError("the inherent data hold no time under 'timstap0'")
    return int.from_bytes(encoded, "little")

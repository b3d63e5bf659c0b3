"""What the runtime says of an extrinsic before it is in a block: valid, and how; or not, and why.

Names, indices and texts as in `sp_runtime::transaction_validity`; clients show the texts.
"""

from typing import ClassVar

from runtime.primitives.scale import U8, U64, Enum, Struct, codec

LONGEVITY_MAX = PRIORITY_MAX = 2**64 - 1


class Validity(Struct, path="sp_runtime::transaction_validity::ValidTransaction"):
    """How the pool may treat a valid extrinsic."""

    priority: U64
    """Higher goes first."""

    requires: list[bytes]
    """Tags that extrinsics before it must provide."""

    provides: list[bytes]
    """Tags it provides; no two extrinsics in the pool provide the same."""

    longevity: U64
    """Blocks for which this holds at least."""

    propagate: bool
    """Whether it goes to other nodes."""


class InvalidReason(Enum, path="sp_runtime::transaction_validity::InvalidTransaction"):
    """An extrinsic that no block can include, at least not now."""

    text: ClassVar[str] = "InvalidTransaction"
    """What clients show."""


class Call(InvalidReason, index=0):
    """The call is none of this chain."""

    text: ClassVar[str] = "Transaction call is not expected"


class Payment(InvalidReason, index=1):
    """The fee cannot be paid."""

    text: ClassVar[str] = "Inability to pay some fees (e.g. account balance too low)"


class Future(InvalidReason, index=2):
    """The nonce is too high."""

    text: ClassVar[str] = "Transaction will be valid in the future"


class Stale(InvalidReason, index=3):
    """The nonce was used."""

    text: ClassVar[str] = "Transaction is outdated"


class BadProof(InvalidReason, index=4):
    """The signature is wrong, or signs for another chain or version."""

    text: ClassVar[str] = "Transaction has a bad signature"


class AncientBirthBlock(InvalidReason, index=5):
    """The era began too long ago, or in the future."""

    text: ClassVar[str] = "Transaction has an ancient birth block"


class ExhaustsResources(InvalidReason, index=6):
    """There is no room for it in the block."""

    text: ClassVar[str] = "Transaction would exhaust the block limits"


class CustomReason(InvalidReason, index=7, unnamed=True, name_in_metadata="Custom"):
    """Another reason, by number."""

    code: U8


class BadMandatory(InvalidReason, index=8):
    """What has to be done in every block failed."""

    text: ClassVar[str] = "A call was labelled as mandatory, but resulted in an Error."


class MandatoryValidation(InvalidReason, index=9):
    """What only the author of a block puts in came from elsewhere."""

    text: ClassVar[str] = "Transaction dispatch is mandatory; transactions must not be validated."


class BadSigner(InvalidReason, index=10):
    """The signer cannot sign."""

    text: ClassVar[str] = "Invalid signing address"


class IndeterminateImplicit(InvalidReason, index=11):
    """Part of the enumeration that clients know; never produced here."""

    text: ClassVar[str] = "The implicit data was unable to be calculated"


class UnknownOrigin(InvalidReason, index=12):
    """Part of the enumeration that clients know; never produced here."""

    text: ClassVar[str] = "The transaction extension did not authorize any origin"


class UnknownReason(Enum, path="sp_runtime::transaction_validity::UnknownTransaction"):
    """An extrinsic that cannot be judged."""

    text: ClassVar[str] = "UnknownTransaction"


class CannotLookup(UnknownReason, index=0):
    """Something needed to judge it is not known, such as the account of an address."""

    text: ClassVar[str] = "Could not lookup information required to validate the transaction"


class NoUnsignedValidator(UnknownReason, index=1):
    """It is unsigned, and its call has to be signed."""

    text: ClassVar[str] = "Could not find an unsigned validator for the unsigned transaction"


class CustomUnknown(UnknownReason, index=2, unnamed=True, name_in_metadata="Custom"):
    """Another reason, by number."""

    code: U8


class ValidityError(Enum, path="sp_runtime::transaction_validity::TransactionValidityError"):
    """Why an extrinsic is not valid."""


class Invalid(ValidityError, index=0, unnamed=True):
    """It is invalid."""

    reason: InvalidReason


class Unknown(ValidityError, index=1, unnamed=True):
    """It cannot be judged."""

    reason: UnknownReason


_ERROR = codec(ValidityError)


class InvalidTransaction(Exception):
    """An extrinsic that cannot be included. `detail` says more than the reason where it can."""

    def __init__(
        self, reason: InvalidReason | UnknownReason, detail: str = "", is_malformed: bool = False
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.is_malformed = is_malformed
        """The bytes are no extrinsic of this chain at all."""
        super().__init__(f"{self.code_text}: {detail}" if detail else self.code_text)

    @property
    def code_text(self) -> str:
        """Substrate's text for the reason."""
        match self.reason:
            case CustomReason(code) | CustomUnknown(code):
                return f"Custom error: {code}"
            case _:
                return self.reason.text

    @property
    def exhausts_resources(self) -> bool:
        """The block is full; the extrinsic may fit into another."""
        return isinstance(self.reason, ExhaustsResources)

    @property
    def is_forged(self) -> bool:
        """Its signature is not that of its signer."""
        return isinstance(self.reason, BadProof)

    @property
    def is_future(self) -> bool:
        """It becomes valid when the extrinsics before it are in."""
        return isinstance(self.reason, Future)

    @property
    def is_unknown(self) -> bool:
        """It could not be judged, which is not the same as invalid."""
        return isinstance(self.reason, UnknownReason)

    @property
    def error(self) -> ValidityError:
        """The reason as runtime APIs give it."""
        if isinstance(self.reason, UnknownReason):
            return Unknown(self.reason)
        return Invalid(self.reason)

    def encode(self) -> bytes:
        """The encoded `TransactionValidityError`."""
        return _ERROR.encode(self.error)

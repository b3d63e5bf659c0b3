"""Who calls, what a call may fail with, and what its dispatch costs.

Names and numbers as in Substrate: `sp_runtime::DispatchError`, `frame_support::dispatch`.
"""

import enum
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from runtime.primitives.scale import U8, U64, Compact, Enum, FixedBytes, Struct, UnitEnum
from runtime.primitives.types import AccountId

# --- origins


class Privilege(enum.Enum):
    """An origin that is no account."""

    ROOT = enum.auto()
    """The chain itself: may do everything that asks for it."""

    NONE = enum.auto()
    """Nobody: the block's author put the call in, and every importer checks it."""


Origin: TypeAlias = AccountId | Privilege
"""Who a call comes from."""


class OriginKind(enum.Enum):
    """What the first parameter of a call asks for."""

    SIGNED = enum.auto()
    ROOT = enum.auto()
    INHERENT = enum.auto()
    UNSIGNED = enum.auto()
    ANY = enum.auto()


Signed = Annotated[AccountId, OriginKind.SIGNED]
"""First parameter of a call: the account that signed the extrinsic."""

Root = Annotated[None, OriginKind.ROOT]
"""First parameter of a call that only the chain itself makes."""

Inherent = Annotated[None, OriginKind.INHERENT]
"""First parameter of a call that the author of a block puts in, unsigned."""

Unsigned = Annotated[None, OriginKind.UNSIGNED]
"""First parameter of a call that anyone may hand in unsigned: its arguments prove what they say."""

AnyOrigin = Annotated[Origin, OriginKind.ANY]
"""First parameter of a call that passes its origin on."""


# --- weights and classes


class Weight(Struct, path="sp_weights::weight_v2::Weight"):
    """What a call may take: picoseconds of the bench machine (and bytes of proof, always 0)."""

    ref_time: Compact[U64]
    proof_size: Compact[U64]


class DispatchClass(UnitEnum, path="frame_support::dispatch::DispatchClass"):
    """Which part of a block a call counts against."""

    NORMAL = 0
    OPERATIONAL = 1
    MANDATORY = 2


class Pays(UnitEnum, path="frame_support::dispatch::Pays"):
    """Whether a call costs its fee."""

    YES = 0
    NO = 1


class DispatchInfo(Struct, path="frame_system::DispatchEventInfo"):
    """What dispatching a call took, for events."""

    weight: Weight
    class_: DispatchClass
    pays_fee: Pays


@dataclass(frozen=True, slots=True)
class CallCost:
    """What is known of a call before it is dispatched."""

    weight: int
    """Picoseconds, at most."""

    dispatch_class: DispatchClass = DispatchClass.NORMAL
    pays: Pays = Pays.YES
    is_feeless: bool = False
    """Its fee is withdrawn as any other and given back when the call succeeds."""


@dataclass(frozen=True, slots=True)
class PostDispatch:
    """What a call may return: what it really took (at most what was announced)."""

    weight: int | None = None
    pays: Pays = Pays.YES


CallResult: TypeAlias = PostDispatch | Pays | None
"""What a call returns; None stands for `Pays.YES` and its whole weight."""


# --- dispatch errors


class ModuleError(Struct, path="sp_runtime::ModuleError"):
    """An error of a pallet."""

    index: U8
    """Of the pallet."""

    error: Annotated[bytes, FixedBytes(4)]
    """The first byte is the error's index in the pallet."""


class TokenFailure(UnitEnum, path="sp_runtime::TokenError"):
    """What can go wrong with money, for all pallets alike."""

    FUNDS_UNAVAILABLE = 0
    ONLY_PROVIDER = 1
    BELOW_MINIMUM = 2
    CANNOT_CREATE = 3
    UNKNOWN_ASSET = 4
    FROZEN = 5
    UNSUPPORTED = 6
    CANNOT_CREATE_HOLD = 7
    NOT_EXPENDABLE = 8
    BLOCKED = 9


class ArithmeticFailure(UnitEnum, path="sp_arithmetic::ArithmeticError"):
    """What can go wrong with numbers."""

    UNDERFLOW = 0
    OVERFLOW = 1
    DIVISION_BY_ZERO = 2


class TransactionalFailure(UnitEnum, path="sp_runtime::TransactionalError"):
    """What can go wrong with nested transactions."""

    LIMIT_REACHED = 0
    NO_LAYER = 1


class TrieFailure(UnitEnum, path="sp_runtime::proving_trie::TrieError"):
    """Part of the enumeration that clients know; never produced here."""

    INVALID_STATE_ROOT = 0
    INCOMPLETE_DATABASE = 1
    VALUE_AT_INCOMPLETE_KEY = 2
    DECODER_ERROR = 3
    INVALID_HASH = 4
    DUPLICATE_KEY = 5
    EXTRANEOUS_NODE = 6
    EXTRANEOUS_VALUE = 7
    EXTRANEOUS_HASH_REFERENCE = 8
    INVALID_CHILD_REFERENCE = 9
    VALUE_MISMATCH = 10
    INCOMPLETE_PROOF = 11
    ROOT_MISMATCH = 12
    DECODE_ERROR = 13


class DispatchFailure(Enum, path="sp_runtime::DispatchError"):
    """A dispatch error as events and clients see it."""


class OtherFailure(DispatchFailure, index=0, name_in_metadata="Other"):
    """Something without a name."""


class CannotLookupFailure(DispatchFailure, index=1, name_in_metadata="CannotLookup"):
    """An address names no account."""


class BadOriginFailure(DispatchFailure, index=2, name_in_metadata="BadOrigin"):
    """The caller may not make this call."""


class ModuleFailure(DispatchFailure, index=3, unnamed=True, name_in_metadata="Module"):
    """An error of a pallet."""

    module: ModuleError


class ConsumerRemainingFailure(DispatchFailure, index=4, name_in_metadata="ConsumerRemaining"):
    """Something still needs the account."""


class NoProvidersFailure(DispatchFailure, index=5, name_in_metadata="NoProviders"):
    """The account does not exist."""


class TooManyConsumersFailure(DispatchFailure, index=6, name_in_metadata="TooManyConsumers"):
    """Too many things need the account."""


class TokenErrorFailure(DispatchFailure, index=7, unnamed=True, name_in_metadata="Token"):
    """Something about money."""

    token: TokenFailure


class ArithmeticErrorFailure(DispatchFailure, index=8, unnamed=True, name_in_metadata="Arithmetic"):
    """Something about numbers."""

    arithmetic: ArithmeticFailure


class TransactionalErrorFailure(
    DispatchFailure, index=9, unnamed=True, name_in_metadata="Transactional"
):
    """Something about nested transactions."""

    transactional: TransactionalFailure


class ExhaustedFailure(DispatchFailure, index=10, name_in_metadata="Exhausted"):
    """Resources are used up."""


class CorruptionFailure(DispatchFailure, index=11, name_in_metadata="Corruption"):
    """The state is corrupt."""


class UnavailableFailure(DispatchFailure, index=12, name_in_metadata="Unavailable"):
    """Something is not available now."""


class RootNotAllowedFailure(DispatchFailure, index=13, name_in_metadata="RootNotAllowed"):
    """The chain itself may not make this call."""


class TrieErrorFailure(DispatchFailure, index=14, unnamed=True, name_in_metadata="Trie"):
    """Something about a trie."""

    trie: TrieFailure


class DispatchError(Exception):
    """A call that cannot be done: it is rolled back, its fee is kept, the block goes on."""

    failure: ClassVar[DispatchFailure]
    """As events show it; an `Error` of a pallet gets its own from the runtime."""


class Other(DispatchError):
    """Something without a name."""

    failure = OtherFailure()


class CannotLookup(DispatchError):
    """An address names no account of this chain."""

    failure = CannotLookupFailure()


class BadOrigin(DispatchError):
    """The caller may not make this call."""

    failure = BadOriginFailure()


class NoProviders(DispatchError):
    """The account does not exist."""

    failure = NoProvidersFailure()


class ConsumerRemaining(DispatchError):
    """Something still needs the account."""

    failure = ConsumerRemainingFailure()


class Underflow(DispatchError):
    """A number would fall below what its type holds."""

    failure = ArithmeticErrorFailure(ArithmeticFailure.UNDERFLOW)


class Overflow(DispatchError):
    """A number would leave what its type holds."""

    failure = ArithmeticErrorFailure(ArithmeticFailure.OVERFLOW)


class LimitReached(DispatchError):
    """Calls are nested too deeply."""

    failure = TransactionalErrorFailure(TransactionalFailure.LIMIT_REACHED)


# --- blocks


class InvalidBlock(Exception):
    """A block that breaks a rule; the message says what was found and what was expected."""

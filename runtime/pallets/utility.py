"""Utility: several calls in one, and calls in the name of derived accounts.

Calls, events and their indices as Substrate's `pallet_utility`. A batch pays for its calls, also
for those that alone would be free.

Left out: `dispatch_as` and `with_weight`, which are for root.
"""

from collections.abc import Sequence
from typing import Any

from runtime import frame
from runtime.frame import U16, U32, AccountId, Pallet, Signed, Struct, call
from runtime.frame.dispatch import DispatchError, DispatchFailure
from runtime.frame.types import RuntimeCall
from runtime.primitives.hashing import blake2_256

BASE_WEIGHT = 10_000_000  # 10 us: what a batch itself takes
ITEM_WEIGHT = 10_000_000  # 10 us: the transaction around a call and its event


class BatchInterrupted(frame.Event, index=0):
    """A call of a batch failed; those before it were done, those after it were not."""

    index: U32
    error: DispatchFailure


class BatchCompleted(frame.Event, index=1):
    """All calls of a batch were done."""


class BatchCompletedWithErrors(frame.Event, index=2):
    """All calls of a batch were tried, some failed."""


class ItemCompleted(frame.Event, index=3):
    """A call of a batch was done."""


class ItemFailed(frame.Event, index=4):
    """A call of a batch failed; the next one is tried."""

    error: DispatchFailure


class TooManyCalls(frame.Error, index=0):
    """A batch has at most `batched_calls_limit` calls."""


class Config(frame.Config):
    batched_calls_limit: U32
    """Most calls of one batch."""


def weigh_batch(pallet: Pallet[Any], calls: Sequence[Struct]) -> int:
    """Picoseconds that calls take together."""
    dispatcher = pallet.dispatcher
    return BASE_WEIGHT + sum(ITEM_WEIGHT + dispatcher.cost_of(item).weight for item in calls)


def weigh_derivative(pallet: Pallet[Any], index: int, call: Struct) -> int:
    """Picoseconds of a call in the name of another account."""
    return weigh_batch(pallet, [call])


class Utility(Pallet[Config]):
    @call(0, weight=weigh_batch)
    def batch(self, who: Signed, calls: list[RuntimeCall]) -> None:
        """Do calls one after the other and stop at the first that fails.

        Emits `ItemCompleted` for each, then `BatchCompleted` or `BatchInterrupted`; what was done
        before an interruption stays done. Fails with `TooManyCalls`.
        """
        self.check_count(calls)
        for index, item in enumerate(calls):
            try:
                self.dispatcher.dispatch(who, item)
            except DispatchError as error:
                failure = self.dispatcher.failure_of(error)
                self.deposit_event(BatchInterrupted(index, failure))
                return
            self.deposit_event(ItemCompleted())
        self.deposit_event(BatchCompleted())

    @call(1, weight=weigh_derivative)
    def as_derivative(self, who: Signed, index: U16, call: RuntimeCall) -> None:
        """Make a call in the name of the caller's derived account number `index`.

        Fails as the call does.
        """
        self.dispatcher.dispatch(derivative_account(who, index), call)

    @call(2, weight=weigh_batch)
    def batch_all(self, who: Signed, calls: list[RuntimeCall]) -> None:
        """Do all calls or none.

        Emits `ItemCompleted` for each and `BatchCompleted`. Fails as the first call that fails, or
        with `TooManyCalls`.
        """
        self.check_count(calls)
        for item in calls:
            self.dispatcher.dispatch(who, item)
            self.deposit_event(ItemCompleted())
        self.deposit_event(BatchCompleted())

    @call(4, weight=weigh_batch)
    def force_batch(self, who: Signed, calls: list[RuntimeCall]) -> None:
        """Try all calls, whatever becomes of them.

        Emits `ItemCompleted` or `ItemFailed` for each, then `BatchCompleted` or
        `BatchCompletedWithErrors`. Fails with `TooManyCalls`.
        """
        self.check_count(calls)
        failed = False
        for item in calls:
            try:
                self.dispatcher.dispatch(who, item)
            except DispatchError as error:
                failed = True
                self.deposit_event(ItemFailed(self.dispatcher.failure_of(error)))
            else:
                self.deposit_event(ItemCompleted())
        self.deposit_event(BatchCompletedWithErrors() if failed else BatchCompleted())

    def check_count(self, calls: Sequence[Struct]) -> None:
        """Refuse a batch that is too long."""
        if len(calls) > self.config.batched_calls_limit:
            raise TooManyCalls


def derivative_account(who: AccountId, index: int) -> AccountId:
    """The account number `index` of another account, which signs for it."""
    return blake2_256(b"modlpy/utilisuba" + who + index.to_bytes(2, "little"))

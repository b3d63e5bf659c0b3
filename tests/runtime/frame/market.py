"""A market of a few lines, with one of everything that pallets can declare."""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U8,
    U32,
    U64,
    AccountId,
    AnyOrigin,
    Balance,
    Blake2_128Concat,
    Compact,
    Default,
    DispatchError,
    Identity,
    MaxLen,
    Pallet,
    Pays,
    PostDispatch,
    Root,
    Signed,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    Struct,
    Twox64Concat,
    UnitEnum,
    api,
    call,
)
from runtime.frame.types import RuntimeCall

Price = Annotated[U32, Default(7)]


class Side(UnitEnum):
    """On which side an order is."""

    BUY = 0
    SELL = 1


class Order(Struct):
    """An order."""

    owner: AccountId
    side: Side
    quantity: U64


class OrderPlaced(frame.Event, index=0):
    """An order was placed."""

    order_id: U64
    """Ids are never reused."""

    order: Order


class OrderCancelled(frame.Event, index=4):
    """An order was taken back."""

    order_id: U64


class OrderNotFound(frame.Error, index=0):
    """There is no such order."""


class TooLarge(frame.Error, index=3):
    """The order is too large."""


class MarketConfig(frame.Config):
    clock: object
    """A protocol, no constant."""

    quantity_max: U64
    """Largest quantity."""

    free_quantity: U32 = 3
    """Orders up to it are free."""


class Market(Pallet[MarketConfig]):
    next_order_id: StorageValue[U64]
    """The id the next order gets."""

    price: StorageValue[Price]
    last: StorageValue[Order | None]
    orders: StorageMap[U64, Order | None, Identity]
    """Open orders."""

    counts: StorageMap[AccountId, U32, Blake2_128Concat]
    lists: StorageMap[U32, Annotated[list[U64], MaxLen(4)], Twox64Concat]
    grid: StorageDoubleMap[U32, AccountId, Balance, Twox64Concat, Identity]
    log: StorageValue[list[U8]]

    def on_initialize(self, number: int) -> None:
        """Note the call of the hook."""
        self.log.set([1])

    def on_finalize(self, number: int) -> None:
        """Note the call of the hook."""
        self.log.set([*self.log.get(), 2])

    def reserved_weight(self) -> int:
        """Something."""
        return 1_000_000_000

    @call(0, weight=100_000_000)
    def place(self, who: Signed, side: Side, quantity: Compact[U64]) -> None:
        """Place an order.

        Emits `OrderPlaced`.
        """
        order_id = self.next_order_id.get()
        self.next_order_id.set(order_id + 1)
        order = Order(who, side, quantity)
        self.orders[order_id] = order
        self.counts[who] = self.counts[who] + 1
        self.deposit_event(OrderPlaced(order_id, order))
        # Late on purpose: what was done above has to be undone.
        if quantity > self.config.quantity_max:
            raise TooLarge

    @call(1, weight=50_000_000)
    def cancel(self, who: Signed, order_id: Compact[U64]) -> None:
        """Take back an order."""
        if self.orders[order_id] is None:
            raise OrderNotFound
        del self.orders[order_id]
        self.deposit_event(OrderCancelled(order_id))

    @call(2, weight=100_000_000, feeless=True)
    def report(self, who: Signed, quantity: Compact[U64]) -> Pays:
        """Report something, for free when it is good."""
        if quantity > self.config.quantity_max:
            raise TooLarge
        self.price.set(quantity)
        return Pays.NO

    @call(3, weight=lambda market, calls: sum(market.dispatcher.cost_of(c).weight for c in calls))
    def batch(self, who: AnyOrigin, calls: Annotated[list[RuntimeCall], MaxLen(16)]) -> None:
        """Make several calls; one that fails ends it, and those before it stay done."""
        for inner in calls:
            try:
                self.dispatcher.dispatch(who, inner)
            except DispatchError:
                return

    @call(4, weight=10_000_000)
    def set_price(self, who: Root, price: U32) -> None:
        """Set the price, as the chain itself."""
        self.price.set(price)

    @call(5, weight=300_000_000)
    def work(self, who: Signed, microseconds: U32) -> PostDispatch:
        """Take as long as one says."""
        return PostDispatch(weight=microseconds * 1_000_000)

    @call(6, weight=10_000_000)
    def overflow(self, who: Signed, price: U64) -> None:
        """Store a number that may be beyond the type of the item."""
        self.price.set(price)

    @api("MarketApi_order")
    def read_order(self, order_id: U64) -> Order | None:
        """An order."""
        return self.orders[order_id]

    @api("MarketApi_bump")
    def bump(self) -> U64:
        """Writes, which an API function cannot keep."""
        self.next_order_id.set(self.next_order_id.get() + 1)
        return self.next_order_id.get()

    @api("MarketApi_owner")
    def read_owner(self, order_id: U64) -> AccountId:
        """The owner of an order, which has to be there."""
        order = self.orders[order_id]
        if order is None:
            raise OrderNotFound
        return order.owner

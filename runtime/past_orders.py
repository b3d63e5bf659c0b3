"""Orders in blocks of the past: what inclusion receipts are given for, and judged by.

An order is a call of the market that places, replaces or takes back a single, coupled or sealed
order, or reveals one. Such a call takes nothing from an account but its sender's, which is what
makes a promise to include it one that can be kept (`pallets.authorities.receipts`); a batch or a
call by proxy is none.
"""

from collections.abc import Callable

from runtime.frame.executive import Executive
from runtime.frame.validity import InvalidTransaction
from runtime.pallets.authorities.ports import PastOrder
from runtime.pallets.balances import Balances
from runtime.pallets.system import AccountInfo
from runtime.pallets.trading import Trading
from runtime.pallets.trading.order_gates import ORDER_CALLS, gate_of


class PastOrders:
    """Judges by the state that is bound to the runtime. `executive` is asked for late: it is made
    of the pallets that ask this.
    """

    def __init__(
        self, executive: Callable[[], Executive], trading: Trading, balances: Balances
    ) -> None:
        self._executive = executive
        self._trading = trading
        self._balances = balances

    def order_at(self, extrinsic: bytes, number: int) -> PastOrder | None:
        """An order by its extrinsic; none if signature or era did not hold in block `number`, or it
        is no order.
        """
        executive = self._executive()
        try:
            checked = executive.signed_at(extrinsic, number)
        except InvalidTransaction:
            return None
        pallet, name = executive.assembly.name_of(checked.call)
        if pallet != self._trading.pallet_name or name not in ORDER_CALLS:
            return None
        return PastOrder(
            checked.who,
            checked.extra.nonce,
            checked.fee,
            checked.cost.weight + executive.limits.base_extrinsic_weight,
            checked.length,
            gate_of(self._trading, name, getattr(checked.call, "call", None)),
        )

    def can_pay(self, account: AccountInfo, fee: int) -> bool:
        """Whether an account as it was could pay a fee and live on.

        As `TransactionPayment.withdraw` asks; an account that something else than its money
        provides for is one of a pallet and signs nothing.
        """
        return account.providers > 0 and account.data.free - fee >= (
            self._balances.existential_deposit()
        )

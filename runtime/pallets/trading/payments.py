"""Moving the money of a settlement: one posting per account, through the house.

Whoever owes pays into the house first, then the house pays out, and the supplier of record gives
or takes what is left: it is the other side of everything that cannot be paid. A wallet pays at most
its free money less the existential deposit; the rest stays as arrears, a receivable of the supplier
that is asked for again at every later settlement. Conversely, should the supplier itself be unable
to pay, or the receiver's account not exist and the amount be too small to found it, the amount is
owed by the supplier until a later settlement.

Invariants: no balance is created or destroyed; no wallet is negative; the house ends at zero while
the supplier's account exists, and otherwise keeps the supplier's money for it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runtime.frame import AccountId
from runtime.pallets.system import HOUSE
from runtime.pallets.trading.events import ArrearsChanged

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


def net_amounts(
    market: "Trading", supplier_nano: int, operator_nano: int, amounts_nano: Sequence[int]
) -> dict[AccountId, int]:
    """What each account receives (negative: pays), over all it has in the zone.

    `amounts_nano`: by connection, 1 first.
    """
    registry = market.config.registry
    net = {registry.supplier_account(): supplier_nano}
    operator = registry.operator_account()
    net[operator] = net.get(operator, 0) + operator_nano
    for number, amount in enumerate(amounts_nano, start=1):
        account = market.account_of(number)
        net[account] = net.get(account, 0) + amount
    return net


def pay(market: "Trading", net: Mapping[AccountId, int]) -> None:
    """Settle `net`, what each account is to receive (negative: pay); it sums to zero."""
    assert sum(net.values()) == 0, "every posting has a payer and a payee"
    supplier = market.config.registry.supplier_account()
    due = {
        account: net[account] - market.arrears[account]
        for account in sorted(net)
        if account != supplier
    }
    collect(market, due)
    owed = sum(amount for amount in due.values() if amount > 0)
    fund(market, supplier, owed)
    distribute(market, due)
    rest = market.config.currency.free_balance(HOUSE)
    if rest > 0:
        market.config.currency.pay_out(HOUSE, supplier, rest)


def collect(market: "Trading", due: Mapping[AccountId, int]) -> None:
    """Take from those who owe what their wallets can pay."""
    currency = market.config.currency
    for account, amount in due.items():
        if amount <= 0:
            payable = min(-amount, currency.spendable(account, keep_alive=True))
            if payable > 0:
                currency.charge(account, HOUSE, payable)
            note_arrears(market, account, -amount - payable)


def fund(market: "Trading", supplier: AccountId, owed: int) -> None:
    """Let the supplier add what the house lacks, as far as it can."""
    currency = market.config.currency
    missing = owed - currency.free_balance(HOUSE)
    payable = min(missing, currency.spendable(supplier, keep_alive=True))
    if payable > 0:
        currency.charge(supplier, HOUSE, payable)


def distribute(market: "Trading", due: Mapping[AccountId, int]) -> None:
    """Pay those who are owed, in the order of their accounts."""
    currency = market.config.currency
    for account, amount in due.items():
        if amount > 0:
            given = min(amount, currency.free_balance(HOUSE))
            if given > 0 and not currency.pay_out(HOUSE, account, given):
                given = 0
            note_arrears(market, account, given - amount)


def note_arrears(market: "Trading", account: AccountId, arrears_nano: int) -> None:
    """Keep what an account owes the supplier (negative: is owed), and tell when it changes."""
    before = market.arrears[account]
    if arrears_nano == before:
        return
    if arrears_nano == 0:
        del market.arrears[account]
    else:
        market.arrears[account] = arrears_nano
    market.receivables.set(market.receivables.get() + arrears_nano - before)
    market.deposit_event(ArrearsChanged(account, arrears_nano))

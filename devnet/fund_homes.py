"""Homes that own a part of the liquidity fund: some have shares from the beginning, a few save.

A saver buys shares for some money once a day, and every fourth day it wants a part back. What it
does follows from its number and the interval alone.
"""

from devnet import calls

SLOTS_PER_DAY = 96
HOLDER_EVERY = 4
"""Every fourth home has an equal part of the genesis money of the fund."""

SAVER_EVERY = 7
SAVED_NANO = 10_000_000_000
SAVING_SLOT, LEAVING_SLOT = 60, 66
LEAVING_DAYS = 4
LEAVING_SHARES = 5_000_000_000
"""About a half of what a day's saving buys."""


def is_holder(connection: int) -> bool:
    """Whether a home has shares from the beginning."""
    return connection % HOLDER_EVERY == 0


def share_call_of(connection: int, interval: int, genesis_interval: int) -> bytes | None:
    """What a home does with shares of the fund in an interval, if anything."""
    if connection % SAVER_EVERY:
        return None
    day, slot = divmod(interval - genesis_interval, SLOTS_PER_DAY)
    if slot == SAVING_SLOT:
        return calls.buy_fund_shares(SAVED_NANO, 0)
    if slot == LEAVING_SLOT and day % LEAVING_DAYS == LEAVING_DAYS - 1:
        return calls.redeem_fund_shares(LEAVING_SHARES)
    return None

"""Market intervals as people type them.

An interval is its number, `+N` for N after the present one, or a time of day such as `22:00`, which
is the next interval with that time whose gate is still open.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import asyncclick as click

from devnet.rpc_client import Link
from node.cli.chain_access import ask, u32
from runtime.pallets.trading.orders import INTERVALS_AHEAD
from runtime.primitives.scale import U32

SLOTS_PER_DAY = 96
GATE_AHEAD = 2
"""The first interval whose gate is open for sure, counted from the present one."""

INTERVAL_MAX = 2**32 - 1


class Form(Enum):
    """How an interval was typed, which says what its number counts."""

    NUMBER = "number"
    AHEAD = "ahead"
    TIME = "time"


class When(NamedTuple):
    """An interval as it was typed."""

    form: Form
    number: int
    """Its number, how far it is ahead, or its slot of the day."""


class IntervalText(click.ParamType[When]):
    """An interval by number, distance or time of day."""

    name = "K|+N|HH:MM"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> When:
        """What was typed; times are quarter hours."""
        text = str(value)
        time = re.fullmatch(r"([01]?\d|2[0-3]):(00|15|30|45)", text, re.ASCII)
        if time:
            return When(Form.TIME, int(time[1]) * 4 + int(time[2]) // 15)
        number = re.fullmatch(r"(\+?)(\d{1,10})", text, re.ASCII)
        form = Form.AHEAD if number and number[1] else Form.NUMBER
        most = INTERVALS_AHEAD if form is Form.AHEAD else INTERVAL_MAX
        if not number or int(number[2]) > most:
            self.fail(
                f"{text!r} is no interval: expected its number, +0 to +{INTERVALS_AHEAD} for how "
                "far it is ahead, or a quarter hour such as 22:15",
                param,
                ctx,
            )
        return When(form, int(number[2]))


INTERVAL = IntervalText()
INTERVAL_HELP = "Its number, +4 for four ahead, or 22:00."


async def number_of(link: Link, when: When) -> int:
    """The number of an interval."""
    return (await numbers_of(link, [when]))[0]


async def numbers_of(link: Link, typed: Sequence[When], *, is_window: bool = False) -> list[int]:
    """The numbers of intervals. Times of day come after the present; in a window, its end after
    its beginning.
    """
    if all(when.form is Form.NUMBER for when in typed):
        return [when.number for when in typed]
    now: int = await ask(link, "Trading_current_interval", b"", U32)
    slot: int = await ask(link, "Trading_slot_of_day", u32(now), U32)
    found: list[int] = []
    earliest = now + GATE_AHEAD
    for when in typed:
        match when.form:
            case Form.NUMBER:
                number = when.number
            case Form.AHEAD:
                number = now + when.number
            case Form.TIME:
                number = earliest + (when.number - slot - (earliest - now)) % SLOTS_PER_DAY
        found.append(number)
        if is_window:
            earliest = max(earliest, number)
    return found

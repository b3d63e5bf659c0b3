"""Other markets' clearing of one book without a grid, run in their own environment.

Reads {"market": ..., "price": [...], "qty": [...], "isbid": [...]} and writes {"seconds": ...,
"volume": ...}: CPU time of the clearing alone, after its objects are made, and what it trades.
Prices are micro per kWh, quantities Wh. Knows nothing of our packages.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from time import process_time
from typing import Any

Book = dict[str, list[int]]


def pymarket(mechanism: str, book: Book) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    """A mechanism of pymarket 0.7.6: `p2p`, `muda` or `huang`."""
    import numpy
    import pymarket

    market = pymarket.Market()
    for user, (price, qty, isbid) in enumerate(
        zip(book["price"], book["qty"], book["isbid"], strict=True)
    ):
        market.accept_bid(float(qty), float(price), user, bool(isbid))
    chance = {} if mechanism == "huang" else {"r": numpy.random.RandomState(1)}

    def volume(result: Any) -> float:
        traded = result[0].get_df()
        buyers = [number for number, isbid in enumerate(book["isbid"]) if isbid]
        return float(traded[traded["bid"].isin(buyers)]["quantity"].sum())

    return lambda: market.run(mechanism, **chance), volume


def assume(book: Book) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    """Uniform pricing of assume-framework 0.6.0."""
    from assume.common.market_objects import MarketConfig, MarketProduct
    from assume.markets.clearing_algorithms import clearing_mechanisms
    from dateutil.relativedelta import relativedelta
    from dateutil.rrule import HOURLY, rrule

    start = datetime(2026, 1, 1)
    config = MarketConfig(
        opening_hours=rrule(HOURLY, dtstart=start, until=start + timedelta(days=1)),
        market_products=[MarketProduct(relativedelta(hours=1), 1)],
    )
    role = clearing_mechanisms["pay_as_clear"](config)
    product = (start, start + timedelta(hours=1), None)
    orders = [
        {
            "start_time": product[0],
            "end_time": product[1],
            "only_hours": None,
            "price": price,
            "volume": -qty if isbid else qty,
            "bid_id": str(number),
            "node": "node0",
            "agent_addr": str(number),
        }
        for number, (price, qty, isbid) in enumerate(
            zip(book["price"], book["qty"], book["isbid"], strict=True)
        )
    ]
    return lambda: role.clear(orders, [product]), lambda result: result[2][0]["supply_volume"]


def main() -> None:
    """Clear the book on standard input."""
    book = json.load(sys.stdin)
    package, _, mechanism = book.pop("market").partition(" ")
    run, volume = pymarket(mechanism, book) if package == "pymarket" else assume(book)
    begun = process_time()
    result = run()
    seconds = process_time() - begun
    json.dump({"seconds": seconds, "volume": volume(result)}, sys.stdout)


if __name__ == "__main__":
    main()

"""`dret authority propose` for the market: its parameters, network tariffs, congestion rent."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import asyncclick as click

from node.cli.amounts import MONEY, PRICE
from node.cli.chain_access import NodeAddress, Signer, rpc_options, signer_options
from node.errors import ConfigInvalid
from runtime.pallets.authorities.proposals import DecideOnMarket
from runtime.pallets.trading.deals import MILLION, SLOTS_PER_DAY
from runtime.pallets.trading.decisions import (
    MarketDecision,
    ReleaseCongestionRent,
    SetFund,
    SetParameters,
    SetTariffs,
)
from runtime.pallets.trading.fund import FundTerms
from runtime.pallets.trading.parameters import MarketParameters
from runtime.pallets.trading.tariffs import BANDS_MAX, EdgeTariff, TariffBand, TariffBook
from runtime.primitives.scale import EncodeError

FILE_BYTES_MAX = 1 << 16  # a book of eight bands has a few kilobytes
NANO = 1_000_000_000


def text_of(decision: MarketDecision) -> str:
    """A decision in words."""
    match decision:
        case SetParameters(parameters):
            imbalance = "two prices" if parameters.dual_imbalance else "one price"
            return (
                f"{imbalance} of deviations, a pool fee of {parameters.pool_fee / MILLION:.6f} "
                f"DRT per kWh, corrections for {parameters.dispute_intervals} intervals"
            )
        case SetTariffs(book):
            return f"network tariffs in {len(book.bands)} bands from interval {book.first} on"
        case ReleaseCongestionRent(amount_nano):
            return f"release {amount_nano / NANO:.9f} DRT of congestion rent to the operator"
        case SetFund(terms):
            spread = terms.spread_micro / MILLION
            return f"a fund of up to {terms.cap_wh} Wh with a spread of {spread:.6f} DRT per kWh"
        case _:
            return "a decision about the market that this program does not know"


@click.command("market-parameters")
@click.option("--dual-imbalance/--single-imbalance", required=True, default=None)
@click.option("--pool-fee", type=PRICE, required=True, help="DRT per kWh.")
@click.option("--dispute-intervals", type=click.IntRange(0), required=True)
@signer_options
@rpc_options
async def market_parameters(
    dual_imbalance: bool,
    pool_fee: int,
    dispute_intervals: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Let the market go by other parameters from the first interval on that is not open."""
    parameters = MarketParameters(dual_imbalance, pool_fee, dispute_intervals)
    await propose(SetParameters(parameters), signer, node)


@click.command("tariffs")
@click.argument("file", type=click.Path(path_type=Path))
@signer_options
@rpc_options
async def tariffs(file: Path, signer: Signer, node: NodeAddress) -> None:
    """Announce network tariffs by time of use. FILE holds JSON: `bands`, each with `factor_ppm` of
    the tree's tariffs and optionally `edges` (from bus to micro-DRT per kWh); `slots`, 96 numbers
    of bands, one for each quarter hour; optionally `first`, the interval of the beginning.
    """
    await propose(SetTariffs(read_book(file)), signer, node)


@click.command("release-rent")
@click.option("--amount", type=MONEY, required=True, help="DRT.")
@signer_options
@rpc_options
async def release_rent(amount: int, signer: Signer, node: NodeAddress) -> None:
    """Give earmarked congestion rent to the grid operator, which forgoes fees for it."""
    if amount <= 0:
        raise click.UsageError("--amount has to be more than nothing.")
    await propose(ReleaseCongestionRent(amount), signer, node)


@click.command("fund")
@click.option("--cap-wh", type=click.IntRange(0, 2**32 - 1), required=True, help="0: no quotes.")
@click.option("--spread", type=PRICE, required=True, help="DRT per kWh between bid and offer.")
@signer_options
@rpc_options
async def fund(cap_wh: int, spread: int, signer: Signer, node: NodeAddress) -> None:
    """Let the liquidity fund quote within other bounds."""
    await propose(SetFund(FundTerms(cap_wh, spread)), signer, node)


async def propose(decision: MarketDecision, signer: Signer, node: NodeAddress) -> None:
    """Put a decision to the vote."""
    from node.cli.authority import open_proposal  # which has these commands in its group

    try:
        action = DecideOnMarket(decision)
        decision.encode()
    except EncodeError as error:
        raise click.UsageError(f"The chain has no such value: {error}") from error
    await open_proposal(node, signer.pair(), action)


def read_book(file: Path) -> TariffBook:
    """The tariffs in a file. Raises `ConfigInvalid`."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ConfigInvalid(f"{file} is larger than {FILE_BYTES_MAX} bytes.")
        content: object = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigInvalid(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(f"{file} is not JSON: {error}") from error
    book = object_of(content, str(file))
    bands = [band_of(band, place) for place, band in enumerate(list_of(book, "bands"))]
    slots = [number_of(slot, "slots") for slot in list_of(book, "slots")]
    if not 1 <= len(bands) <= BANDS_MAX or len(slots) != SLOTS_PER_DAY:
        raise ConfigInvalid(
            f"{file} has {len(bands)} bands and {len(slots)} slots, expected 1 to {BANDS_MAX} and "
            f"{SLOTS_PER_DAY}."
        )
    if max(slots) >= len(bands):
        raise ConfigInvalid(f"{file}: slots name band {max(slots)}, there are {len(bands)}.")
    return TariffBook(number_of(book.get("first", 0), "first"), tuple(bands), tuple(slots))


def band_of(content: object, place: int) -> TariffBand:
    """A band of a book."""
    band = object_of(content, f"bands[{place}]")
    edges = object_of(band.get("edges", {}), f"edges of bands[{place}]")
    pairs = [
        (number_of(int(bus) if bus.isdecimal() else bus, "a bus"), number_of(tariff, "a tariff"))
        for bus, tariff in edges.items()
    ]
    factor = number_of(band.get("factor_ppm"), f"factor_ppm of bands[{place}]")
    return TariffBand(factor, tuple(EdgeTariff(*pair) for pair in sorted(pairs)))


def object_of(content: object, where: str) -> Mapping[str, object]:
    """A JSON object. Raises `ConfigInvalid`."""
    if not isinstance(content, dict):
        raise ConfigInvalid(f"{where}: expected an object, found {type(content).__name__}.")
    return cast(Mapping[str, object], content)  # JSON's keys are strings


def list_of(content: Mapping[str, object], name: str) -> list[object]:
    """An array of an object. Raises `ConfigInvalid`."""
    found = content.get(name)
    if not isinstance(found, list):
        raise ConfigInvalid(f"{name}: expected an array, found {type(found).__name__}.")
    return cast(list[object], found)


def number_of(value: object, where: str) -> int:
    """A number of 32 bits. Raises `ConfigInvalid`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ConfigInvalid(f"{where} is {value!r}, expected a number from 0 to {2**32 - 1}.")
    return value

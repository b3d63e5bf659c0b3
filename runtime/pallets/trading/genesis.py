"""Contracts that stand from the beginning of a chain."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime.pallets.trading.contract_records import ContractTerms, PriceRule, Shape
from runtime.pallets.trading.contracts import check_terms, conclude

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

PRICE = ("base_micro", "index_ppm", "floor_micro", "cap_micro")


def genesis_contract(market: "Trading", entry: Mapping[str, Any]) -> None:
    """Conclude one contract, with the checks of the calls: an object with the fields of
    `ContractTerms`, of which `shape` is a name in lower case, `price` an object with those of
    `PriceRule`, and `first` counts from the genesis interval, as `last` does.
    """
    genesis_interval = market.config.genesis_interval
    names = [shape.name.lower() for shape in Shape]
    if entry["shape"] not in names:
        raise ValueError(f"shape is {entry['shape']!r}, expected one of {names}")
    terms = ContractTerms(
        seller=entry["seller"],
        buyer=entry["buyer"],
        shape=Shape(names.index(entry["shape"])),
        volume_wh=entry.get("volume_wh", 0),
        share_ppm=entry.get("share_ppm", 0),
        price=PriceRule(*(entry["price"][name] for name in PRICE)),
        first=genesis_interval + entry.get("first", 0),
        last=genesis_interval + entry["last"],
        is_firm=entry.get("is_firm", False),
        tolerance_ppm=entry.get("tolerance_ppm", 0),
        notice=entry.get("notice", 0),
        termination_fee_max=entry.get("termination_fee_max", 0),
    )
    check_terms(market, terms, genesis_interval)
    contract_id = market.next_contract_id.get()
    market.next_contract_id.set(contract_id + 1)
    conclude(market, contract_id, terms)

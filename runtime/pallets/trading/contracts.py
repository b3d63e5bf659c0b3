"""Contracts between two connections: proposed by one party, countersigned by the other.

Both parties keep one day of contract value aside: energy of a day at the dearest admissible strike.
A party that owes the supplier money loses its collateral to that debt; while a collateral is
missing, the contract is suspended: no interval is opened for it. It goes on by itself once the
money is there. What was opened is settled in any case.

A termination ends a contract after its notice and pays the other party what it loses on the rest:
the gap between strike and index, if that is a loss, up to the fee both agreed on.

Invariants: contracts stand in the order of countersignature; for each, an admissible strike exists.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.frame import AccountId
from runtime.kernels.bounds import PRICE_MAX
from runtime.pallets.producer_registration import TRANSFORMER, Connection
from runtime.pallets.trading.contract_records import (
    CONTRACTS_MAX,
    PROPOSALS_MAX,
    Contract,
    ContractProposal,
    ContractTerms,
    PriceRule,
    Shape,
)
from runtime.pallets.trading.deals import MILLION, SLOTS_PER_DAY, SOLAR_DAY_PPM, solar_ppm
from runtime.pallets.trading.errors import (
    ConnectionNotFound,
    ContractNotFound,
    ContractOver,
    ContractTermsInvalid,
    NotConnectionOwner,
    NotContractParty,
    TooManyContracts,
)
from runtime.pallets.trading.events import (
    ContractCountersigned,
    ContractEnded,
    ContractProposed,
    ContractResumed,
    ContractSuspended,
    ContractTerminated,
    ContractWithdrawn,
)
from runtime.pallets.trading.orders import INTERVALS_AHEAD
from runtime.pallets.trading.tariffs import least_path_tariff

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

YEAR_INTERVALS = 35_040
START_AHEAD_MAX = YEAR_INTERVALS  # a contract for the next year
DURATION_MAX = 10 * YEAR_INTERVALS  # as long as such contracts run
INDEX_PPM_MAX = 10 * MILLION
QUARTERS_PER_HOUR = 4


def volume_of(terms: ContractTerms, slot_of_day: int) -> int:
    """What a contract of fixed volume wants in an interval; zero for pay-as-produced."""
    if terms.shape == Shape.SOLAR:
        return terms.volume_wh * solar_ppm(slot_of_day) // MILLION
    return terms.volume_wh


def day_wh(terms: ContractTerms, seller: Connection) -> int:
    """Energy of a day; of pay-as-produced what the seller's sources give on a clear one."""
    if terms.shape == Shape.BASELOAD:
        return terms.volume_wh * SLOTS_PER_DAY
    if terms.shape == Shape.SOLAR:
        return terms.volume_wh * SOLAR_DAY_PPM // MILLION
    source_wh = seller.source_w // QUARTERS_PER_HOUR
    best_wh = min(source_wh, seller.export_wh_max) if source_wh else seller.export_wh_max
    return best_wh * terms.share_ppm // MILLION * SOLAR_DAY_PPM // MILLION


def strike_of(market: "Trading", rule: PriceRule, index_micro: int, fee_micro: int) -> int:
    """The strike of an interval: by its rule, then within what makes nobody worse off."""
    price = rule.base_micro + index_micro * rule.index_ppm // MILLION
    agreed = min(max(price, rule.floor_micro), rule.cap_micro)
    feed_in, highest = strike_bounds(market, fee_micro)
    return min(max(agreed, feed_in), highest)


def strike_bounds(market: "Trading", fee_micro: int) -> tuple[int, int]:
    """The least and the greatest admissible strike."""
    config = market.config
    return config.feed_in_price, config.supplier_price + config.network_fee - fee_micro


def propose(market: "Trading", who: AccountId, terms: ContractTerms) -> None:
    """Let a contract wait for the other party's signature."""
    seller, buyer = parties_of(market, terms)
    if who not in (seller.account, buyer.account):
        raise NotConnectionOwner
    current = market.config.clock.now() // market.config.market_interval_ms
    opened = max(market.schedule.get().opened, current + INTERVALS_AHEAD)
    check_terms(market, terms, opened + 1)
    waiting = market.proposal_count.get()
    if waiting >= PROPOSALS_MAX:
        raise TooManyContracts
    contract_id = market.next_contract_id.get()

    market.contract_proposals[contract_id] = ContractProposal(who, terms)
    market.proposal_count.set(waiting + 1)
    market.next_contract_id.set(contract_id + 1)
    market.deposit_event(ContractProposed(contract_id, terms))


def parties_of(market: "Trading", terms: ContractTerms) -> tuple[Connection, Connection]:
    """The connections of seller and buyer; the transformer is no party."""
    seller = market.config.registry.connection(terms.seller)
    buyer = market.config.registry.connection(terms.buyer)
    if seller is None or buyer is None or TRANSFORMER in (terms.seller, terms.buyer):
        raise ConnectionNotFound
    return seller, buyer


def check_terms(market: "Trading", terms: ContractTerms, first: int) -> None:
    """Refuse terms that nobody could fulfil, or that begin before interval `first`."""
    seller, buyer = parties_of(market, terms)
    is_produced = terms.shape == Shape.AS_PRODUCED
    volume_max = 0 if is_produced else min(seller.export_wh_max, buyer.import_wh_max)
    rule = terms.price
    feed_in, highest = strike_bounds(market, least_path_tariff(market, seller.bus, buyer.bus))
    is_valid = (
        terms.seller != terms.buyer
        and int(not is_produced) <= terms.volume_wh <= volume_max
        and int(is_produced) <= terms.share_ppm <= MILLION * is_produced
        and first <= terms.first <= first + START_AHEAD_MAX
        and terms.first <= terms.last < terms.first + DURATION_MAX
        and terms.tolerance_ppm <= MILLION
        and terms.notice <= DURATION_MAX
        and max(abs(rule.base_micro), abs(rule.floor_micro), abs(rule.cap_micro)) <= PRICE_MAX
        and rule.index_ppm <= INDEX_PPM_MAX
        and rule.floor_micro <= rule.cap_micro
        and feed_in <= highest
    )
    if not is_valid:
        raise ContractTermsInvalid


def countersign(market: "Trading", who: AccountId, contract_id: int) -> None:
    """Conclude a contract that the other party proposed, and keep both collaterals aside."""
    proposal = take_proposal(market, contract_id)
    terms = proposal.terms
    seller, buyer = parties_of(market, terms)
    others = [seller.account, buyer.account]
    others.remove(proposal.proposer)
    if others != [who]:
        raise NotContractParty
    if terms.first <= market.schedule.get().opened:
        raise ContractTermsInvalid
    conclude(market, contract_id, terms)


def conclude(market: "Trading", contract_id: int, terms: ContractTerms) -> None:
    """Put a contract behind those concluded before it."""
    standing = market.contract_order.get()
    if len(standing) >= CONTRACTS_MAX:
        raise TooManyContracts
    needed = collateral_of(market, terms)
    for number in (terms.seller, terms.buyer):
        market.config.currency.hold(market.account_of(number), needed)
    market.contracts[contract_id] = Contract(terms, needed, needed, False, 0, 0)
    market.contract_order.set((*standing, contract_id))
    market.deposit_event(ContractCountersigned(contract_id, needed))


def collateral_of(market: "Trading", terms: ContractTerms) -> int:
    """One day of contract value, at the dearest strike there can be."""
    seller, buyer = parties_of(market, terms)
    fee_micro = least_path_tariff(market, seller.bus, buyer.bus)
    _, highest = strike_bounds(market, fee_micro)
    dearest = min(highest, max(terms.price.cap_micro, market.config.feed_in_price))
    return day_wh(terms, seller) * max(0, dearest)


def withdraw(market: "Trading", who: AccountId, contract_id: int) -> None:
    """Take back a proposal, or decline it as the other party."""
    proposal = take_proposal(market, contract_id)
    if who not in [party.account for party in parties_of(market, proposal.terms)]:
        raise NotContractParty
    market.deposit_event(ContractWithdrawn(contract_id))


def take_proposal(market: "Trading", contract_id: int) -> ContractProposal:
    """Remove a proposal from those that wait."""
    proposal = market.contract_proposals[contract_id]
    if proposal is None:
        raise ContractNotFound
    del market.contract_proposals[contract_id]
    market.proposal_count.set(market.proposal_count.get() - 1)
    return proposal


def terminate(market: "Trading", who: AccountId, contract_id: int) -> None:
    """End a contract after its notice, and pay the other party what it loses, up to the fee."""
    contract = market.contracts[contract_id]
    if contract is None:
        raise ContractNotFound
    terms = contract.terms
    seller, buyer = parties_of(market, terms)
    if who not in (seller.account, buyer.account):
        raise NotContractParty
    current = market.config.clock.now() // market.config.market_interval_ms
    last = max(market.schedule.get().opened, terms.first - 1, current + terms.notice)
    if last >= terms.last:
        raise ContractOver
    fee_nano = termination_fee(market, contract, who == seller.account, terms.last - last)
    other = buyer.account if who == seller.account else seller.account

    if fee_nano and other != who:
        market.config.currency.transfer(who, other, fee_nano)
    market.contracts[contract_id] = replace(contract, terms=replace(terms, last=last))
    market.deposit_event(ContractTerminated(contract_id, last, fee_nano))


def termination_fee(market: "Trading", contract: Contract, is_seller: bool, intervals: int) -> int:
    """What the other party loses if it has to trade the rest at today's index."""
    terms = contract.terms
    seller, buyer = parties_of(market, terms)
    index_micro = market.reference_price.get()
    fee_micro = least_path_tariff(market, seller.bus, buyer.bus)
    gap = index_micro - strike_of(market, terms.price, index_micro, fee_micro)
    loss_micro = max(0, gap if is_seller else -gap)
    remaining_wh = day_wh(terms, seller) * intervals // SLOTS_PER_DAY
    return min(terms.termination_fee_max, remaining_wh * loss_micro)


def check_collateral(market: "Trading", contract_id: int, contract: Contract) -> Contract:
    """Give a debtor's collateral to its debt, take what is missing, suspend or resume."""
    needed = collateral_of(market, contract.terms)
    held = [
        keep_collateral(market, number, held_nano, needed)
        for number, held_nano in (
            (contract.terms.seller, contract.held_seller_nano),
            (contract.terms.buyer, contract.held_buyer_nano),
        )
    ]
    is_suspended = min(held) < needed
    changed = replace(
        contract,
        held_seller_nano=held[0],
        held_buyer_nano=held[1],
        is_suspended=is_suspended,
    )
    if is_suspended and not contract.is_suspended:
        market.deposit_event(ContractSuspended(contract_id))
    if contract.is_suspended and not is_suspended:
        market.deposit_event(ContractResumed(contract_id))
    if changed != contract:
        market.contracts[contract_id] = changed
    return changed


def keep_collateral(market: "Trading", number: int, held_nano: int, needed: int) -> int:
    """The collateral of a party from now on: all, or nothing while it owes or lacks money."""
    account, currency = market.account_of(number), market.config.currency
    if market.arrears[account] > 0:
        currency.release(account, held_nano)
        return 0
    missing = needed - held_nano
    if missing < 0:  # other tariffs made the dearest strike cheaper
        currency.release(account, -missing)
        return needed
    if missing > currency.spendable(account, keep_alive=True):
        return held_nano
    currency.hold(account, missing)
    return needed


def end(market: "Trading", contract_id: int, contract: Contract) -> None:
    """Give back the collaterals of a contract whose last interval is settled, and forget it."""
    for number, held_nano in (
        (contract.terms.seller, contract.held_seller_nano),
        (contract.terms.buyer, contract.held_buyer_nano),
    ):
        market.release(market.account_of(number), held_nano)
    del market.contracts[contract_id]
    standing = market.contract_order.get()
    market.contract_order.set(tuple(each for each in standing if each != contract_id))
    market.deposit_event(ContractEnded(contract_id, contract.delivered_wh, contract.paid_nano))

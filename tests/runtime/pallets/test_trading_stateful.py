"""Whatever happens, the invariants hold after every block: a machine of random actions."""

import os
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from runtime.frame.declaration import declaration_of
from runtime.pallets.system import LIQUIDITY_FUND
from runtime.pallets.trading import Trading
from runtime.pallets.trading.contract_records import ContractTerms, PriceRule, Shape
from runtime.pallets.trading.records import Terms, order_id_of
from runtime.pallets.trading.right_records import Preferences, RightOffer
from runtime.primitives.sealed_order import commitment_of
from tests.runtime.pallets.coupled_books import random_terms
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    INTERVAL_MS,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    OPERATOR,
    SLOT_MS,
    WEALTH,
    A,
    B,
    C,
    D,
    Side,
    Zone,
    text_of,
)
from tests.support.runtimes import DRT

FUND = 6
FUND_TERMS = {
    "connection": FUND,
    "cap_wh": 400,
    "spread_micro": 20_000,
}
STEPS_LEAST = 10_000
STEPS_EACH = 50
EXAMPLES = STEPS_LEAST // STEPS_EACH * 5 // 4  # an eighth of them end early
FEW = os.environ.get("DRET_EXAMPLES") == "few"
NUMBERS = st.integers(0, 5)
AHEAD = st.integers(2, 4)
PRICES = st.integers(20_000, 300_000) | st.integers(-100_000, 300_000)
SIDES = st.sampled_from((BID, OFFER))
ENERGY = st.integers(0, 1_500)
SALT = bytes(32)
NEIGHBOURS = {1: 2, 2: 4, 3: 5, 4: 2, 5: 3}
"""At the same bus; the first one has none."""


CONTRACT: dict[str, Any] = {
    "seller": 1,
    "buyer": 2,
    "shape": "baseload",
    "volume_wh": 10,
    "price": {"base_micro": 0, "index_ppm": 10**6, "floor_micro": 0, "cap_micro": 80_000},
    "last": 90,
    "notice": 3,
    "termination_fee_max": 10**6,
}
SHARE = CONTRACT | {
    "seller": 5,
    "shape": "as_produced",
    "volume_wh": 0,
    "share_ppm": 2_000,
    "last": 9_000,
}


class Market(RuleBasedStateMachine):
    """Orders, sealed ones, cancels, replacements, readings, transfers and time, in any order."""

    zone: Zone
    ms: int
    secrets: dict[int, tuple[bytes, int, int]]
    """Of sealed orders by their ids: owner, limit, quantity."""

    steps: ClassVar[int] = 0
    done: ClassVar[set[str]] = set()
    """Calls that succeeded at least once."""

    @initialize(
        poor=st.booleans(),
        lossy=st.booleans(),
        cap=st.sampled_from((40, 400, 4_000)),
        has_fund=st.booleans(),
    )
    def begin(self, poor: bool, lossy: bool, cap: int, has_fund: bool) -> None:
        wealth = EXISTENTIAL_DEPOSIT + 300_000_000 if poor else WEALTH
        holders = {} if poor else {"holders": [text_of(A), text_of(C)]}
        self.zone = Zone(
            (LOSSY if lossy else LOSSLESS) | {"cap_up": [0, cap, cap, cap]},
            buses=(1, 2, 3, 2, 3, 1) if has_fund else (1, 2, 3, 2, 3),
            owners=(A, B, C, D, A, LIQUIDITY_FUND),
            without_meter=(FUND,),
            market={"fund": FUND_TERMS | holders} if has_fund else {},
            wealth=wealth,
            supplier_wealth=wealth,
            call_period_ms=SLOT_MS,
            clearing_weight=1 if poor else 10**11,
            dual_imbalance=int(lossy),
            dispute_intervals=6 if poor else 672,
            technologies={1: ["solar"], 2: ["wind"], 3: ["hydro"], 4: ["wind", "storage"]},
            contracts=[CONTRACT, CONTRACT | {"seller": 3, "buyer": 4, "is_firm": True}, SHARE],
        )
        self.ms = K0 * INTERVAL_MS
        self.secrets = {}
        for call in declaration_of(Trading).calls:
            setattr(self.zone.trading, call.name, self.noted(call.name))
        self.zone.block(K0)

    def noted(self, name: str) -> Callable[..., object]:
        """A call of the pallet that is noted when it succeeds."""
        call = getattr(self.zone.trading, name)

        def call_and_note(*args: object, **kwargs: object) -> object:
            result = call(*args, **kwargs)
            self.done.add(name)
            return result

        return call_and_note

    @property
    def interval(self) -> int:
        return self.ms // INTERVAL_MS

    @rule(number=NUMBERS, ahead=AHEAD, side=SIDES, price=PRICES, wh=st.integers(10, 3_000))
    def order(self, number: int, ahead: int, side: Side, price: int, wh: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        zone.tries(lambda: zone.order(number, self.interval + ahead, side, price, wh))

    @rule(
        seller=NUMBERS,
        buyer=NUMBERS,
        ahead=AHEAD,
        price=st.integers(20_000, 200_000),
        surplus=st.integers(0, 100_000),
        wh=st.integers(10, 400),
    )
    def trade(self, seller: int, buyer: int, ahead: int, price: int, surplus: int, wh: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        zone.tries(lambda: zone.order(seller, self.interval + ahead, OFFER, price, wh))
        zone.tries(lambda: zone.order(buyer, self.interval + ahead, BID, price + surplus, wh))
        self.ms += SLOT_MS
        zone.block(0, self.ms)

    @rule(ahead=AHEAD, choice=st.integers(0, 100))
    def cancel(self, ahead: int, choice: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        book = zone.trading.read_order_book(self.interval + ahead)
        if book:
            order = book[choice % len(book)]
            owner = zone.owner[order.connection]
            zone.tries(lambda: zone.trading.cancel_order(owner, order.order_id))

    @rule(
        ahead=AHEAD,
        choice=st.integers(0, 100),
        price=PRICES,
        wh=st.integers(10, 3_000),
        surplus=st.sampled_from((0, 0, 0, 1)),
    )
    def replace(self, ahead: int, choice: int, price: int, wh: int, surplus: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        book = zone.trading.read_order_book(self.interval + ahead)
        if book:
            order = book[choice % len(book)]
            owner, left_wh = zone.owner[order.connection], order.quantity_wh + surplus
            change = partial(zone.trading.replace_order, owner, order.order_id)
            zone.tries(partial(change, left_wh, price, wh))

    @rule(number=NUMBERS, ahead=AHEAD, intervals=st.integers(1, 6), seed=st.integers(0, 2**32))
    def couple(self, number: int, ahead: int, intervals: int, seed: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        terms = random_terms(Random(seed), self.interval + ahead, intervals)
        zone.tries(lambda: zone.trading.place_coupled(zone.owner[number], number, terms))

    @rule(choice=st.integers(0, 100))
    def uncouple(self, choice: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        waiting = zone.trading.list_coupled_orders()
        if waiting:
            entry = waiting[choice % len(waiting)]
            owner = zone.owner[entry.order.connection]
            zone.tries(lambda: zone.trading.cancel_coupled(owner, entry.order_id))

    @rule(
        number=NUMBERS,
        ahead=st.integers(3, 6),
        side=SIDES,
        price=PRICES,
        wh=st.integers(10, 600),
        more=st.integers(0, 100),
    )
    def seal(self, number: int, ahead: int, side: Side, price: int, wh: int, more: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        interval, owner = self.interval + ahead, zone.owner[number]
        bus = zone.trading.connection_at(number).bus
        place = (owner, number, interval, bus)
        commitment = commitment_of(*place, side, price, wh, SALT)
        seal = partial(zone.trading.seal_order, owner, number, interval, side, wh + more)
        sequence = zone.holding(interval, number).next_sequence
        if zone.tries(lambda: seal(commitment)):
            self.secrets[order_id_of(interval, number, sequence)] = (owner, price, wh)

    @rule(choice=st.integers(0, 100))
    def unseal(self, choice: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        if self.secrets:
            order_id = sorted(self.secrets)[-1 - choice % len(self.secrets)]
            owner, _, _ = self.secrets[order_id]
            zone.tries(lambda: zone.trading.withdraw_sealed_order(owner, order_id))

    @rule(slots=st.integers(-1, 6), surplus=st.sampled_from((0, 0, 0, 1)))
    def reveal(self, slots: int, surplus: int) -> None:
        """At some time around the quiet period that comes first, everyone reveals."""
        zone = self.zone
        ahead = zone.trading.sealed_ahead.get()
        if not ahead:
            return
        self.ms = max(self.ms, (ahead[0] - 3) * INTERVAL_MS + slots * SLOT_MS)
        zone.block(0, self.ms)
        for order_id, (owner, price, wh) in sorted(self.secrets.items()):
            call = partial(zone.trading.reveal_order, owner, order_id)
            zone.tries(partial(call, price, wh + surplus, SALT))

    @rule(
        number=NUMBERS,
        ahead=AHEAD,
        curve=st.lists(st.tuples(SIDES, PRICES, st.integers(10, 800)), max_size=8),
    )
    def order_a_curve(self, number: int, ahead: int, curve: list[tuple[Side, int, int]]) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        owner, orders = zone.owner[number], tuple(Terms(*terms) for terms in curve)
        interval = self.interval + ahead
        zone.tries(lambda: zone.trading.place_orders(owner, number, interval, orders))

    @rule(number=NUMBERS, ahead=AHEAD, side=SIDES, wh=st.integers(10, 800))
    def order_at_the_market(self, number: int, ahead: int, side: Side, wh: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        owner, interval = zone.owner[number], self.interval + ahead
        zone.tries(
            lambda: zone.trading.place_market_order(owner, number, interval, side, wh),
        )

    @rule(
        number=NUMBERS,
        ahead=AHEAD,
        curve=st.lists(st.tuples(SIDES, PRICES, st.integers(10, 800)), max_size=8),
        moved=st.sampled_from((0, 0, 0, 1)),
    )
    def revise(
        self, number: int, ahead: int, curve: list[tuple[Side, int, int]], moved: int
    ) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        interval = self.interval + ahead
        bought, sold = zone.position(interval, number)
        orders = tuple(Terms(*terms) for terms in curve)
        net_wh = bought - sold + moved
        zone.tries(
            lambda: zone.trading.replace_orders(
                zone.owner[number], number, interval, net_wh, orders
            )
        )

    @rule(energies=st.lists(st.tuples(ENERGY, ENERGY), max_size=6), back=st.integers(1, 2))
    def read(self, energies: list[tuple[int, int]], back: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        for number, energy in enumerate(energies):
            zone.tries(partial(zone.read, number, self.interval - back, *energy))
        self.ms += SLOT_MS
        zone.block(0, self.ms)

    @rule(
        number=st.integers(1, 5),
        age=st.integers(3, 12),
        energy=st.tuples(ENERGY, ENERGY),
    )
    def correct(self, number: int, age: int, energy: tuple[int, int]) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        interval = self.interval - age
        call = partial(zone.metering.correct_reading, OPERATOR, number, interval, *energy, "why")
        zone.tries(call)

    @rule(number=st.integers(1, 5), is_member=st.booleans())
    def choose_pool(self, number: int, *, is_member: bool) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        owner = zone.owner[number]
        zone.tries(lambda: zone.trading.choose_pool(owner, number, is_member=is_member))

    @rule(
        seller=st.integers(1, 5),
        buyer=st.integers(1, 5),
        wh=st.integers(1, 200),
        ahead=AHEAD,
        second_thoughts=st.sampled_from((False, False, False, True)),
    )
    def agree(self, seller: int, buyer: int, wh: int, ahead: int, *, second_thoughts: bool) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        first = zone.trading.schedule.get().opened + ahead
        terms = ContractTerms(
            seller=seller,
            buyer=buyer,
            shape=Shape.SOLAR,
            volume_wh=wh,
            share_ppm=0,
            price=PriceRule(60_000, 0, 0, 60_000),
            first=first,
            last=first + wh,
            is_firm=wh % 2 == 0,
            tolerance_ppm=50_000,
            notice=wh % 5,
            termination_fee_max=wh * 10**6,
        )
        number = zone.trading.next_contract_id.get()
        zone.tries(lambda: zone.trading.propose_contract(zone.owner[seller], terms))
        if second_thoughts:
            zone.tries(lambda: zone.trading.withdraw_contract(zone.owner[buyer], number))
        zone.tries(lambda: zone.trading.countersign_contract(zone.owner[buyer], number))

    @rule(number=st.integers(0, 5), party=st.integers(1, 5))
    def terminate(self, number: int, party: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        zone.tries(lambda: zone.trading.terminate_contract(zone.owner[party], number))

    @rule(
        number=st.integers(1, 5),
        sources=st.integers(0, 2**11 - 1),
        points=st.tuples(*(st.integers(0, 40) for _ in range(3))),
        partner=st.integers(0, 5),
    )
    def wish(self, number: int, sources: int, points: tuple[int, int, int], partner: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        wishes = Preferences(sources, (partner,), *points)
        owner = zone.owner[number]
        zone.tries(lambda: zone.trading.declare_preferences(owner, number, wishes))

    @rule(
        number=st.integers(0, 5),
        premium=st.sampled_from((0, 1, 5_000, 900_000)),
        budget=st.sampled_from((0, 1, 300_000, 10**7, 2 * 10**8)),
    )
    def add_premium(self, number: int, premium: int, budget: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        owner = zone.owner[number]
        zone.tries(lambda: zone.trading.declare_premium(owner, number, premium, budget))

    @rule(
        giver=st.integers(1, 5),
        part=st.integers(1, 110),
        price=st.integers(-(10**8), 10**8),
    )
    def hand_on(self, giver: int, part: int, price: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        taker = NEIGHBOURS[giver]
        for interval in range(self.interval + 1, self.interval + 5):
            for right in zone.trading.read_rights(interval):
                if right.connection == giver:
                    wh = right.wh * part // 100
                    offer = RightOffer(right.side, right.energy_class, wh, price, taker)
                    trading, owner = zone.trading, zone.owner
                    zone.tries(partial(trading.offer_right, owner[giver], giver, interval, offer))
                    take = partial(trading.take_right, owner[taker], taker)
                    zone.tries(partial(take, giver, interval, offer))

    @rule(number=NUMBERS, amount=st.sampled_from((0, DRT - 1, DRT, 40 * DRT)))
    def buy_shares(self, number: int, amount: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        zone.tries(lambda: zone.trading.buy_fund_shares(zone.owner[number], amount, 0))

    @rule(number=NUMBERS, part=st.integers(0, 4))
    def redeem_shares(self, number: int, part: int) -> None:
        zone = self.zone
        zone.at(0, self.ms)
        owner = zone.owner[number]
        shares = zone.trading.fund_holders[owner] * part // 4
        zone.tries(lambda: zone.trading.redeem_fund_shares(owner, shares))

    @rule(source=NUMBERS, dest=NUMBERS, part=st.integers(0, 100))
    def transfer(self, source: int, dest: int, part: int) -> None:
        zone = self.zone
        payer, payee = zone.owner[source], zone.owner[dest]
        amount = zone.free(payer) * part // 100
        zone.tries(lambda: zone.balances.transfer(payer, payee, amount))

    @rule(slots=st.integers(1, 3))
    def block(self, slots: int) -> None:
        zone = self.zone
        self.ms += slots * SLOT_MS
        zone.block(0, self.ms)

    @rule(intervals=st.sampled_from((1, 1, 1, 2, 3, 5, 300)))
    def stand_still(self, intervals: int) -> None:
        zone = self.zone
        self.ms += intervals * INTERVAL_MS
        zone.block(0, self.ms)

    @invariant()
    def holds(self) -> None:
        Market.steps += 1
        self.zone.check()


@pytest.mark.slow
def test_every_call_keeps_the_invariants_in_ten_thousand_steps() -> None:
    Market.steps, Market.done = 0, set()
    examples = 10 if FEW else EXAMPLES

    run_state_machine_as_test(
        Market,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS_EACH, deadline=None, derandomize=True
        ),
    )

    if not FEW:
        calls = {call.name for call in declaration_of(Trading).calls}
        assert Market.steps >= STEPS_LEAST
        assert sorted(calls - Market.done) == [], "calls that never succeeded: give them a rule"

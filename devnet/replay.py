"""A scenario without a network: the same runtime and the same agents, as fast as they can.

One author makes a block for every slot from a fixed time on; headers carry their slot and no seal;
accounts sign with ed25519, whose signatures are the same each time. So the state root after so many
days is a fingerprint of everything that happened.

In each interval the first block holds the call of the auction; what agents answer to it goes into
the next ones, as on the live network.

`Replay.run` is the top. Energy in Wh, prices in micro-DRT per kWh, money in nano-DRT.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import NamedTuple

from devnet import calls
from devnet.bank import Gateway, Payout
from devnet.chain_view import METERS, NOTHING_SEEN, Schedule, View, counted_by, waiting_in
from devnet.coupled_homes import coupled_orders_of
from devnet.fund_homes import share_call_of
from devnet.homes import (
    CORRECT_BEHIND,
    DECIDE_AHEAD,
    NOTHING,
    READ_BEHIND,
    SLOTS_PER_DAY,
    Agents,
    HomeAgent,
    Quote,
    Standing,
    Trader,
)
from devnet.local_energy import LocalEnergy, added, gain_nano, local_energy
from devnet.plan import NO_DEVICES
from devnet.scenario import (
    DEVNET,
    FEED_IN_PRICE,
    OPERATOR,
    RETAIL_PRICE,
    TRANSFORMER_BUS,
    Scenario,
)
from devnet.sealed_homes import (
    LAST_REVISION_AHEAD,
    SEAL_AHEAD,
    SealedEntry,
    reveals_at,
    reveals_of,
    sealing_of,
)
from devnet.wishes import wishes_of
from node.gateway.strategies import REVISE_AHEAD, Order
from runtime.frame.extensions import InvalidTransaction
from runtime.frame.signatures import SignatureCache
from runtime.genesis import genesis_header
from runtime.kernels.auction import deliver, send_for
from runtime.pallets.consumption_metering.records import Meter
from runtime.pallets.trading.invariants import check_money
from runtime.pallets.trading.records import Side
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Digest, Header, PreRuntime
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import Era, SignedExtra, signed_extrinsic, signing_payload
from runtime.primitives.scale import codec
from runtime.primitives.types import ZERO_HASH, AccountId
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay

GENESIS_MS = 1_767_571_200_000  # Monday, 5 January 2026, 00:00 UTC
SETTLED_BEHIND = 3
"""Interval k is settled in the first block of interval k + 3."""

COUNT_BEHIND = CORRECT_BEHIND + 1
"""Corrections of an interval are settled by then."""

BOOKS_CHECKED_EVERY = 8
"""Intervals between two looks at the whole day ahead, which take longer than all else."""

MILLION = 1_000_000


class EdgeUse(NamedTuple):
    """Edges whose contracted energy is above, or exactly at, what they may carry."""

    over: int
    binding: int


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay says at its end."""

    scenario: str
    window: str
    days: int
    intervals_settled: int
    traded_wh: int
    tradable_wh: int
    local_wh: int
    local_by_auction_wh: int
    homes_worse_off: int
    gain_least_nano: int
    gain_median_nano: int
    gain_most_nano: int
    contract_wh: int
    pool_wh: int
    paired_wh: int
    paired_delivered_wh: int
    green_wh: int
    premium_nano: int
    times_corrected: int
    money_residual_nano: int
    energy_residual_wh: int
    state_root: str
    blocks: int
    edges_over_capacity: int
    edges_binding: int
    metered_overloads: int
    devices: str
    devices_taken_wh: int
    devices_given_wh: int
    sessions_ordered: int
    sessions_accepted: int
    local_share_ppm: int
    mean_price_micro: int
    bill_with_market_nano: int
    bill_tariff_only_nano: int
    seconds: float

    def as_json(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)


class Chain:
    """A chain with one author and no network: the state, and extrinsics on their way into it."""

    def __init__(self, scenario: Scenario, invariants: bool = False) -> None:
        """Make block 0. `invariants` lets the pallets check theirs after each block."""
        self.genesis_interval = GENESIS_MS // DEVNET.interval_ms
        spec = scenario.chain_spec(self.genesis_interval, scheme=Scheme.ED25519)
        self.runtime = spec.runtime(invariants)
        self.state = MemoryBackend(spec.genesis_storage(self.runtime))
        self.header = genesis_header(self.state.root)
        self.genesis_hash = self.header.hash()
        self.now_ms = GENESIS_MS
        self.failed = 0  # calls that changed nothing
        self._queue: deque[tuple[str, bytes]] = deque()
        self._pairs: dict[str, KeyPair] = {}
        self._nonces: dict[str, int] = {}
        self._signatures = SignatureCache()

    def submit(self, suri: str, call: bytes) -> None:
        """Queue a call of an account; calls keep their order."""
        self._queue.append((suri, call))

    def account(self, suri: str) -> AccountId:
        """Whom a secret signs for."""
        return self._pair(suri).account

    def _pair(self, suri: str) -> KeyPair:
        if suri not in self._pairs:
            self._pairs[suri] = KeyPair.from_suri(suri, Scheme.ED25519)
        return self._pairs[suri]

    def sign(self, suri: str, call: bytes) -> bytes:
        """An immortal extrinsic with the account's next nonce."""
        version = self.runtime.version
        extra = SignedExtra(Era.immortal(), self._nonces.get(suri, 0), 0)
        payload = signing_payload(
            call,
            extra,
            version.spec_version,
            version.transaction_version,
            self.genesis_hash,
            self.genesis_hash,
        )
        return signed_extrinsic(self._pair(suri), call, extra, payload)

    def make_block(self) -> Overlay:
        """Make the block of the next slot with what is queued and fits; the state after it."""
        overlay = Overlay(self.state)
        slot = self.now_ms // DEVNET.slot_ms
        digest = Digest([PreRuntime(ENGINE_ID, PreDigest(slot).encode())])
        header = Header(self.header.hash(), self.header.number + 1, ZERO_HASH, ZERO_HASH, digest)
        self.runtime.initialize_block(overlay, header)
        for inherent in self.runtime.inherents(self.now_ms):
            self.runtime.apply_extrinsic(overlay, inherent, self._signatures)
        while self._queue:
            suri, call = self._queue[0]
            extrinsic = self.sign(suri, call)
            try:
                failure = self.runtime.apply_extrinsic(overlay, extrinsic, self._signatures)
                self._nonces[suri] = self._nonces.get(suri, 0) + 1
                self.failed += failure is not None
            except InvalidTransaction as error:
                if error.exhausts_resources:
                    break  # the rest goes into the next block
                self.failed += 1  # an account without money, after many failures of other kinds
            self._queue.popleft()
        self.header = self.runtime.finalize_block(overlay)
        self.state = self.state.child(overlay.commit())
        self.now_ms += DEVNET.slot_ms
        return overlay


class Replay:
    """A scenario over some days."""

    def __init__(
        self,
        scenario: Scenario,
        days: int,
        trader_wh: int,
        invariants: bool = False,
        devices: str = NO_DEVICES,
    ) -> None:
        """`devices`: one of `devnet.plan.DEVICES`; without them, meters show the data."""
        self.scenario = scenario
        self.devices = devices
        self.days = days
        self.chain = Chain(scenario, invariants)
        self.first = self.chain.genesis_interval
        self.end = self.first + days * SLOTS_PER_DAY
        """The first interval that is not replayed any more."""

        self.agents = Agents.of(scenario, self.first, trader_wh, devices=devices)
        self.gateway = Gateway(scenario, self.first, Scheme.ED25519)
        self.local = LocalEnergy()
        self.gains_nano = dict.fromkeys((home.number for home in scenario.homes), 0)
        self.edges_over = self.edges_binding = self.imported_wh = self.overloads = 0
        self.devices_taken_wh = self.devices_given_wh = self.sessions_ordered = 0
        self.sessions_accepted: set[int] = set()

    def run(self, progress: Callable[[int], None] = lambda done: None) -> ReplayResult:
        """Play all intervals and settle them. `progress` is told how many have passed."""
        started = perf_counter()
        last = self.end - 1 + SETTLED_BEHIND
        while self.chain.now_ms < last * DEVNET.interval_ms:
            self.play_interval(self.chain.now_ms // DEVNET.interval_ms)
            progress(self.chain.now_ms // DEVNET.interval_ms - self.first)
        self.chain.make_block()
        for interval in range(last - CORRECT_BEHIND, self.end):
            self.let_operator_correct(interval)
        overlay = self.chain.make_block()
        for interval in range(last - COUNT_BEHIND + 1, self.end):
            self.count_local_energy(overlay, interval)
        return self.result(overlay, perf_counter() - started)

    def play_interval(self, now: int) -> None:
        """All blocks of one interval, and what agents do in it."""
        overlay = self.chain.make_block()
        self.check_market(overlay, now)
        self.count_local_energy(overlay, now - COUNT_BEHIND)
        self.let_agents_act(now)
        for _ in range(DEVNET.interval_ms // DEVNET.slot_ms - 1):
            overlay = self.chain.make_block()
        gate = now + 1
        if gate < self.end:
            self.count_edges(overlay, gate)

    def check_market(self, overlay: Overlay, interval: int) -> None:
        """Assert what the market promises, after a call and a settlement: each interval the money
        and the latest settlements; every two hours the books of the day ahead and all collateral.
        """
        trading = self.chain.runtime.trading
        self.chain.runtime.bind(overlay)
        if (interval - self.first) % BOOKS_CHECKED_EVERY == 0:
            trading.check_invariants()
        else:
            check_money(trading)

    def count_local_energy(self, overlay: Overlay, interval: int) -> None:
        """Add what neighbours settled between them in an interval, corrections included, and what
        each gained.
        """
        self.chain.runtime.bind(overlay)
        lines = self.chain.runtime.trading.read_lines(interval)
        self.local = added(self.local, local_energy(lines))
        for number, line in enumerate(lines[: len(self.gains_nano)], start=1):
            self.gains_nano[number] += gain_nano(line, RETAIL_PRICE, FEED_IN_PRICE)

    def let_agents_act(self, now: int) -> None:
        """Revisions, quotes and readings of an interval; at the beginning everyone's wishes."""
        if now == self.first:
            for home in self.agents.homes:
                for call in wishes_of(home.connection):
                    self.chain.submit(home.suri, call)
        seen = self.look()
        self.let_homes_seal(now)
        if self.is_sealed(now + LAST_REVISION_AHEAD):
            self.let_all_decide(now + LAST_REVISION_AHEAD, max(REVISE_AHEAD), seen)
        for ahead in DECIDE_AHEAD:
            if ahead not in REVISE_AHEAD or not self.is_sealed(now + ahead):
                self.let_all_decide(now + ahead, ahead, seen)
        for home in self.agents.homes:
            for call in coupled_orders_of(home, now, seen, self.end):
                self.chain.submit(home.suri, call)
                self.sessions_ordered += home.device is not None
            saving = share_call_of(home.connection, now, self.first)
            if saving is not None:
                self.chain.submit(home.suri, saving)
        read = now - READ_BEHIND
        if self.first <= read < self.end:
            self.let_meters_report(read, seen)
        self.let_operator_correct(now - CORRECT_BEHIND)
        if now < self.end:
            self.let_gateway_pay(now)

    def let_all_decide(self, interval: int, stage: int, seen: View) -> None:
        """Quotes and revisions for an interval. `stage`: how far ahead such ones are made."""
        if interval >= self.end:
            return
        standings = self.standings(interval)
        deciding: list[HomeAgent | Trader] = [*self.agents.homes, self.agents.trader]
        for agent in deciding:
            standing = standings.get(agent.connection, NOTHING)
            self.send_quote(agent.suri, agent.decide(interval, stage, standing, seen))

    def is_sealed(self, interval: int) -> bool:
        """Whether an interval will be, or is, quiet."""
        self.chain.runtime.bind(Overlay(self.chain.state))
        return self.chain.runtime.trading.read_sealed_interval(interval) is not None

    def let_homes_seal(self, now: int) -> None:
        """Commitments and reveals of an interval."""
        trading = self.chain.runtime.trading
        for home in self.agents.homes:
            account = self.chain.account(home.suri)
            sealing = sealing_of(account, home, now)
            if sealing is not None and now + SEAL_AHEAD < self.end:
                self.chain.submit(home.suri, sealing)
            if reveals_at(home, now):
                self.chain.runtime.bind(Overlay(self.chain.state))
                waiting = [
                    SealedEntry.decode(e.encode()) for e in trading.list_sealed_orders(account)
                ]
                for call in reveals_of(account, home, now, waiting):
                    self.chain.submit(home.suri, call)

    def let_meters_report(self, interval: int, seen: View) -> None:
        """The readings of an interval, of those meters that are not silent."""
        agents = self.agents
        for meter in agents.meters:
            reading = None if meter.is_silent(interval) else agents.reading(meter, interval, seen)
            if reading is not None:
                self.chain.submit(meter.suri, calls.submit_reading(*reading))
        devices_wh = agents.devices_wh(interval, seen)
        self.overloads += agents.operator.with_devices(interval, devices_wh).overloads
        self.devices_taken_wh += sum(max(wh, 0) for wh in devices_wh.values())
        self.devices_given_wh += sum(max(-wh, 0) for wh in devices_wh.values())

    def look(self) -> View:
        """What homes with devices read from the chain; nothing, if there are none."""
        homes = self.agents.with_devices
        if not homes:
            return NOTHING_SEEN
        runtime = self.chain.runtime
        runtime.bind(Overlay(self.chain.state))
        schedules = {
            home.connection: [
                Schedule.decode(entry.encode())
                for entry in runtime.trading.list_coupled_schedules(home.connection)
            ]
            for home in homes
        }
        self.sessions_accepted.update(
            entry.order_id for entries in schedules.values() for entry in entries
        )
        meters = codec(list[Meter | None]).encode(runtime.consumption_metering.list_meters())
        return View(
            schedules,
            waiting_in(runtime.trading.coupled_waiting.get()),
            counted_by(METERS.decode(meters)),
        )

    def let_gateway_pay(self, now: int) -> None:
        """Move money between the simulated bank and the chain."""
        runtime = self.chain.runtime
        runtime.bind(Overlay(self.chain.state))
        due = [Payout.decode(entry.encode()) for entry in runtime.payments.list_due()]
        burnt_nano = runtime.payments.read_overview().flows.burnt_nano
        for call in self.gateway.act(now, due, burnt_nano):
            self.chain.submit(self.gateway.suri, call)
        wish = self.gateway.wish(now)
        if wish is not None:
            self.chain.submit(*wish)

    def let_operator_correct(self, interval: int) -> None:
        """Correct what was settled with estimates."""
        for correction in self.agents.corrections(interval, self.look()):
            self.chain.submit(OPERATOR.suri, calls.correct_reading(*correction))

    def standings(self, interval: int) -> dict[int, Standing]:
        """What everyone has in the market for an interval, by connection."""
        self.chain.runtime.bind(Overlay(self.chain.state))
        holdings = self.chain.runtime.trading.holdings.items_under(interval)
        return {
            number: Standing(
                holding.buy_wh - holding.sell_wh,
                [
                    Order(order.side == Side.BID, order.price_micro, order.quantity_wh)
                    for order in holding.orders
                ],
            )
            for number, holding in holdings
        }

    def send_quote(self, suri: str, quote: Quote | None) -> None:
        """Queue what an agent wants."""
        if quote is not None:
            self.chain.submit(suri, quote.call())

    def count_edges(self, overlay: Overlay, interval: int) -> None:
        """Judge the contracted energy of an interval whose gate has passed."""
        grid = self.chain.runtime.grid_balancing
        self.chain.runtime.bind(overlay)
        topology = grid.topology.get()
        net_export = grid.flows_of(interval).net_export
        used = edge_use(net_export, topology.cap_up, topology.cap_down, topology.loss_ppm)
        self.edges_over += used.over
        self.edges_binding += used.binding
        self.imported_wh += max(0, -net_export[TRANSFORMER_BUS])

    def result(self, overlay: Overlay, seconds: float) -> ReplayResult:
        """The figures at the end."""
        runtime = self.chain.runtime
        status = runtime.market_status(overlay)
        runtime.bind(overlay)
        totals, green = runtime.trading.totals.get(), runtime.trading.read_green()
        gains = sorted(self.gains_nano.values())
        bought = totals.connections_buy_wh
        return ReplayResult(
            scenario=self.scenario.grid.name,
            window=self.scenario.window.name,
            days=self.days,
            intervals_settled=totals.intervals_settled,
            traded_wh=totals.traded_wh,
            tradable_wh=self.local.tradable_wh,
            local_wh=self.local.settled_wh,
            local_by_auction_wh=self.local.by_auction_wh,
            homes_worse_off=sum(gain < 0 for gain in gains),
            gain_least_nano=gains[0],
            gain_median_nano=gains[len(gains) // 2],
            gain_most_nano=gains[-1],
            contract_wh=totals.contract_wh,
            pool_wh=totals.pool_wh,
            paired_wh=green.paired_wh,
            paired_delivered_wh=green.delivered_wh,
            green_wh=green.green_wh,
            premium_nano=green.premium_nano,
            times_corrected=totals.times_corrected,
            money_residual_nano=int(str(status["money_residual_nano"])),
            energy_residual_wh=totals.energy_residual_wh,
            state_root="0x" + self.chain.header.state_root.hex(),
            blocks=self.chain.header.number,
            edges_over_capacity=self.edges_over,
            edges_binding=self.edges_binding,
            metered_overloads=self.overloads,
            devices=self.devices,
            devices_taken_wh=self.devices_taken_wh,
            devices_given_wh=self.devices_given_wh,
            sessions_ordered=self.sessions_ordered,
            sessions_accepted=len(self.sessions_accepted),
            local_share_ppm=MILLION * (bought - self.imported_wh) // bought if bought else 0,
            mean_price_micro=totals.bid_value_nano // totals.traded_wh if totals.traded_wh else 0,
            bill_with_market_nano=-totals.connections_nano,
            bill_tariff_only_nano=-totals.tariff_nano,
            seconds=round(seconds, 3),
        )


def edge_use(
    net_export: Sequence[int],
    cap_up: Sequence[int],
    cap_down: Sequence[int],
    loss_ppm: Sequence[int],
) -> EdgeUse:
    """How many edges carry more than they may, and how many exactly that. Lists by bus."""
    over = binding = 0
    for bus in range(TRANSFORMER_BUS, len(net_export)):
        export, loss = net_export[bus], loss_ppm[bus]
        if export > cap_up[bus] or send_for(max(-export, 0), loss) > cap_down[bus]:
            over += 1
        elif export == cap_up[bus] or (export < 0 and -export == deliver(cap_down[bus], loss)):
            binding += 1
    return EdgeUse(over, binding)

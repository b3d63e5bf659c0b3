"""The process with all homes, their meters, the grid operator's agent and the wholesale trader.

    python -m devnet.agents --chain SPEC --data DIR --scenario NAME --window W --rpc-port P …

`devnet.homes` decides; here it is signed and handed to the prosumer nodes. Each interval begins
once a node has its first block: then meters report, homes revise what the call left open of the
next gates, and everyone quotes ahead. Work that does not fit an interval is dropped, nothing is
piled up; a node that is down is simply not told, and everything begins anew with the next interval.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from devnet import calls
from devnet.bank import Gateway, Payout
from devnet.calls import BID
from devnet.chain_view import View
from devnet.chain_view import read as read_chain
from devnet.coupled_homes import coupled_orders_of
from devnet.fund_homes import share_call_of
from devnet.homes import (
    CORRECT_BEHIND,
    DECIDE_AHEAD,
    NOTHING,
    READ_BEHIND,
    Agents,
    HomeAgent,
    Quote,
    Standing,
    Trader,
)
from devnet.meters import Meter
from devnet.plan import DEVICES, NO_DEVICES
from devnet.rpc_client import Link, RpcFailed
from devnet.scenario import GATEWAY, OPERATOR, load_scenario
from devnet.sealed_homes import (
    LAST_REVISION_AHEAD,
    SEALED_ENTRIES,
    reveals_at,
    reveals_of,
    sealing_of,
)
from devnet.wallet import Account, Wallet
from devnet.wishes import wishes_of
from node.clock import Clock, SystemClock
from node.errors import NodeError, NodeUnreachable
from node.gateway.strategies import REVISE_AHEAD, Order
from node.lifeline import stop_on_signal, stop_with_parent
from node.log import configure_logging
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import DigestItem, PreRuntime
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.scale import U8, U32, Struct, codec
from runtime.primitives.types import (
    AccountId,
    Balance,
    BusIndex,
    ConnectionId,
    EnergyWh,
    OrderId,
    PricePerKwh,
    SignedBalance,
)

PACE_S = 0.01  # between two extrinsics of a node: a burst would hold up its blocks
FIRST_BLOCK_S = 1.5  # how long the first block of an interval is waited for, as it may not come
POLL_S = 0.1
REPORT_INTERVALS = 10  # between two lines of the log

log = logging.getLogger("agents")


class BookEntry(Struct):
    """An open order as the runtime API tells it."""

    order_id: OrderId
    connection: ConnectionId
    bus: BusIndex
    side: U8
    price_micro: PricePerKwh
    quantity_wh: EnergyWh


class RightEntry(Struct):
    """A position as the runtime API tells it."""

    connection: ConnectionId
    buy_wh: EnergyWh
    sell_wh: EnergyWh
    payable_nano: SignedBalance
    held_nano: Balance


class PaymentFlows(Struct):
    """Sums of payments as the runtime API tells them."""

    minted_nano: Balance
    burnt_nano: Balance
    returned_nano: Balance
    waiting_nano: Balance
    waiting: U32


class Attestation(Struct):
    """What the gateway said of its bank account."""

    day: U32
    reserve_nano: Balance
    issuance_nano: Balance


class PaymentsOverview(Struct):
    """Where payments stand, as the runtime API tells it."""

    gateway: AccountId | None
    today: U32
    flows: PaymentFlows
    issuance_nano: Balance
    attestation: Attestation | None
    surplus_nano: SignedBalance


_DUE = codec(list[Payout])
_BOOK = codec(list[BookEntry])
_RIGHTS = codec(list[RightEntry])
NOTHING_SEALED = b"\x00"  # an interval without a commitment, as the runtime API says it


@dataclass(frozen=True, slots=True)
class Timing:
    """The chain's constants that agents live by."""

    slot_ms: int
    interval_ms: int
    genesis_interval: int


class Street:
    """The agents behind one node, and what they have sent."""

    def __init__(
        self,
        link: Link,
        homes: Sequence[HomeAgent],
        meters: Sequence[Meter],
        trader: Trader | None,
        timing: Timing,
        everyone: Agents,
        is_operator: bool = False,
        gateway: Gateway | None = None,
    ) -> None:
        """`everyone`: all agents of the scenario. `is_operator`: the corrections of the operator
        and the calls of the payment gateway are sent to this node. `gateway`: homes' wishes are
        sent by their own street.
        """
        self.wallet = Wallet(link)
        self._link = link
        self._homes = homes
        self._meters = meters
        self._traders: list[HomeAgent | Trader] = [*homes]
        if trader is not None:
            self._traders.append(trader)
        self._timing = timing
        self._everyone = everyone
        self._is_operator = is_operator
        self._gateway = gateway
        own = {home.connection for home in homes}
        self._watched = [
            home.connection
            for home in everyone.with_devices
            if is_operator or home.connection in own
        ]
        """Connections whose devices matter here: the operator's meter shows all of them."""

        signers: list[HomeAgent | Trader | Meter] = [*self._traders, *meters]
        self._accounts = {
            agent.suri: Account(KeyPair.from_suri(agent.suri, Scheme.SR25519)) for agent in signers
        }
        self._accounts[OPERATOR.suri] = Account(KeyPair.from_suri(OPERATOR.suri, Scheme.SR25519))
        self._accounts[GATEWAY.suri] = Account(KeyPair.from_suri(GATEWAY.suri, Scheme.SR25519))
        self._wishes = [(home.suri, call) for home in homes for call in wishes_of(home.connection)]
        self._read_through = dict.fromkeys((meter.connection for meter in meters), -1)

    async def live(self, clock: Clock) -> None:
        """Act in every interval until cancelled."""
        length_ms = self._timing.interval_ms
        while True:
            interval = clock.wall_ms() // length_ms
            end_s = ((interval + 1) * length_ms - clock.wall_ms()) / 1_000
            with trio.move_on_after(end_s):
                await self.act(interval)
                await trio.sleep_forever()  # until the interval is over

    async def act(self, interval: int) -> None:
        """Everything these agents do in an interval."""
        if interval < self._timing.genesis_interval or not await self._first_block(interval):
            return
        if not await self.wallet.look():
            return
        seen = await self._look()
        if seen is None:
            return
        while self._wishes and await self._submit(*self._wishes[0]):
            del self._wishes[0]
        for meter in self._meters:
            await self._report(meter, interval - READ_BEHIND, seen)
        if self._is_operator:
            for correction in self._everyone.corrections(interval - CORRECT_BEHIND, seen):
                await self._submit(OPERATOR.suri, calls.correct_reading(*correction))
        if self._gateway is not None:
            await self._pay(self._gateway, interval)
        for home in self._homes:
            await self._seal(home, interval)
        if await self._is_sealed(interval + LAST_REVISION_AHEAD):
            await self._decide(interval + LAST_REVISION_AHEAD, max(REVISE_AHEAD), seen)
        for ahead in DECIDE_AHEAD:
            if ahead not in REVISE_AHEAD or not await self._is_sealed(interval + ahead):
                await self._decide(interval + ahead, ahead, seen)
        for home in self._homes:
            for call in coupled_orders_of(home, interval, seen):
                await self._submit(home.suri, call)
            saving = share_call_of(home.connection, interval, home.genesis_interval)
            if saving is not None:
                await self._submit(home.suri, saving)
        if interval % REPORT_INTERVALS == 0:
            log.info(
                "interval %d: %d extrinsics sent so far, %d refused",
                interval - self._timing.genesis_interval,
                self.wallet.submitted,
                self.wallet.refused,
            )

    async def _is_sealed(self, interval: int) -> bool:
        """Whether the chain says that an interval will be, or is, quiet."""
        try:
            return await self._ask("Trading_sealed_interval", interval) != NOTHING_SEALED
        except (NodeUnreachable, RpcFailed) as error:
            log.debug("sealed orders cannot be read: %s", error)
            return False

    async def _seal(self, home: HomeAgent, interval: int) -> None:
        """Commit to an order and reveal what was sealed, as far as a home does in an interval."""
        account = self._accounts[home.suri].pair.account
        sealing = sealing_of(account, home, interval)
        if sealing is not None:
            await self._submit(home.suri, sealing)
        if not reveals_at(home, interval):
            return
        try:
            waiting = SEALED_ENTRIES.decode(await self._read("Trading_sealed_orders", account))
        except (NodeUnreachable, RpcFailed) as error:
            log.debug("sealed orders cannot be read: %s", error)
            return
        for call in reveals_of(account, home, interval, waiting):
            await self._submit(home.suri, call)

    async def _pay(self, gateway: Gateway, interval: int) -> None:
        """Move money between the bank and the chain, by what is final: a bank takes nothing back.

        If it cannot be read, the next time.
        """
        wish = gateway.wish(interval)
        if wish is not None and wish.suri in self._accounts:
            await self._submit(*wish)
        if not self._is_operator:
            return
        try:
            final = await self._link.call("chain_getFinalizedHead")
            due = _DUE.decode(await self._read("Payments_due", at=final))
            overview = PaymentsOverview.decode(await self._read("Payments_overview", at=final))
        except (NodeUnreachable, RpcFailed) as error:
            log.debug("payments cannot be read: %s", error)
            return
        for call in gateway.act(interval, due, overview.flows.burnt_nano):
            await self._submit(gateway.suri, call)

    async def _first_block(self, interval: int) -> bool:
        """Wait for the interval's first block, for as long as it may take; False: no node."""
        first_slot = interval * self._timing.interval_ms // self._timing.slot_ms
        with trio.move_on_after(FIRST_BLOCK_S):
            while True:
                try:
                    if slot_of(await self._link.call("chain_getHeader")) >= first_slot:
                        return True
                except (NodeUnreachable, RpcFailed):
                    pass  # it may come up any moment
                await trio.sleep(POLL_S)
        return self._link.is_up

    async def _look(self) -> View | None:
        """What the chain says of devices and their meters; None: it cannot be read now."""
        try:
            return await read_chain(self._link, self._watched)
        except (NodeUnreachable, RpcFailed) as error:
            log.debug("devices cannot be looked after: %s", error)
            return None

    async def _report(self, meter: Meter, interval: int, seen: View) -> None:
        """Hand in the reading of an interval, and the one before it if that was missed."""
        for due in range(interval - 1, interval + 1):
            done = self._read_through[meter.connection]
            if due <= done or due < self._timing.genesis_interval or meter.is_silent(due):
                continue
            reading = self._everyone.reading(meter, due, seen)
            if reading is None or await self._submit(meter.suri, calls.submit_reading(*reading)):
                self._read_through[meter.connection] = due

    async def _decide(self, interval: int, ahead: int, seen: View) -> None:
        """Let everyone say what should rest in an interval; without a look at it, leave it."""
        standings = await self._standings(interval)
        if standings is None:
            return
        for agent in self._traders:
            standing = standings.get(agent.connection, NOTHING)
            await self._place(agent.suri, agent.decide(interval, ahead, standing, seen))

    async def _standings(self, interval: int) -> dict[int, Standing] | None:
        """What everyone has in the market for an interval, by connection."""
        try:
            rights = _RIGHTS.decode(await self._ask("Trading_positions", interval))
            book = _BOOK.decode(await self._ask("Trading_order_book", interval))
        except (NodeUnreachable, RpcFailed) as error:
            log.debug("the book cannot be read: %s", error)
            return None
        resting: dict[int, list[Order]] = {}
        for entry in book:
            order = Order(entry.side == BID, entry.price_micro, entry.quantity_wh)
            resting.setdefault(entry.connection, []).append(order)
        return {
            right.connection: Standing(
                right.buy_wh - right.sell_wh, resting.get(right.connection, [])
            )
            for right in rights
        }

    async def _ask(self, name: str, interval: int) -> bytes:
        """What a function of the runtime answers about an interval."""
        return await self._read(name, interval.to_bytes(4, "little"))

    async def _read(self, name: str, data: bytes = b"", at: str | None = None) -> bytes:
        """What a function of the runtime answers, after the best block or the one named."""
        answer = await self._link.call("state_call", [name, "0x" + data.hex(), at])
        return bytes.fromhex(answer[2:])

    async def _place(self, suri: str, quote: Quote | None) -> None:
        if quote is not None:
            await self._submit(suri, quote.call())

    async def _submit(self, suri: str, call: bytes) -> bool:
        await trio.sleep(PACE_S)
        return await self.wallet.submit(self._accounts[suri], call)


def slot_of(header: Mapping[str, Any]) -> int:
    """The slot of a header as RPC gives it; -1 for genesis."""
    for log_hex in header["digest"]["logs"]:
        item = DigestItem.decode(bytes.fromhex(log_hex[2:]))
        if isinstance(item, PreRuntime) and item.engine == ENGINE_ID:
            return PreDigest.decode(item.data).slot
    return -1


def streets_of(
    agents: Agents, links: Sequence[Link], timing: Timing, gateway: Gateway | None = None
) -> list[Street]:
    """All agents shared out to the nodes; the first has the trader, the transformer's
    meter and the operator.
    """
    count = len(links)
    return [
        Street(
            link,
            [home for home in agents.homes if home.connection % count == place],
            [meter for meter in agents.meters if meter.connection % count == place],
            agents.trader if place == 0 else None,
            timing,
            agents,
            place == 0,
            gateway,
        )
        for place, link in enumerate(links)
    ]


async def run(arguments: argparse.Namespace) -> None:
    """Run the agents until SIGTERM or the end of the lifeline. Raises `NodeError`."""
    constants = json.loads(arguments.chain.read_bytes())["constants"]
    timing = Timing(
        constants["slot_duration_ms"],
        constants["market_interval_ms"],
        constants["genesis_interval"],
    )
    scenario = load_scenario(arguments.data, arguments.scenario, arguments.window)
    agents = Agents.of(
        scenario, timing.genesis_interval, arguments.trader_wh, devices=arguments.devices
    )
    gateway = Gateway(scenario, timing.genesis_interval)
    agents.operator.reading(timing.genesis_interval)  # sweeps the whole week, once
    links = [Link("127.0.0.1", port) for port in arguments.rpc_port]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, nursery.cancel_scope)
        if arguments.parent_fd is not None:
            nursery.start_soon(stop_with_parent, arguments.parent_fd, nursery.cancel_scope)
        for link in links:
            nursery.start_soon(link.run)
        for street in streets_of(agents, links, timing, gateway):
            nursery.start_soon(street.live, SystemClock())
        log.info("%d homes and %d meters act", len(agents.homes), len(agents.meters))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of this process."""
    parser = argparse.ArgumentParser(prog="devnet.agents")
    parser.add_argument("--chain", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--window", required=True)
    parser.add_argument("--trader-wh", type=int, required=True)
    parser.add_argument("--devices", choices=DEVICES, default=NO_DEVICES)
    parser.add_argument("--rpc-port", type=int, action="append", required=True)
    parser.add_argument("--parent-fd", type=int)
    return parser.parse_args(argv)


def main() -> None:
    """The entry point."""
    configure_logging("", "text", None)
    try:
        trio.run(run, parse())
    except NodeError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

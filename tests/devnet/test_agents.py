"""The agents' process: what it sends in an interval, to a node that is written down here."""

from typing import Any, cast

import pytest
import trio

from devnet import agents, calls, sealed_calls
from devnet.agents import Street, Timing, slot_of
from devnet.bank import Payout
from devnet.chain_view import View
from devnet.homes import NOTHING, SEALED_SLOTS, Correction, HomeAgent, Quote, Standing
from devnet.meters import Reading
from devnet.rpc_client import Link, RpcFailed
from devnet.sealed_homes import (
    SEAL_AHEAD,
    SEALED_ENTRIES,
    SealedEntry,
    SealedOrder,
    commitment_to,
    hidden_order,
)
from devnet.wallet import Account, Wallet
from node.client.signing import ERA_BLOCKS
from node.errors import NodeUnreachable
from node.gateway.strategies import Order
from runtime.primitives.aura import PreDigest
from runtime.primitives.block import PreRuntime
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import decode_extrinsic, signing_payload, verify_signature
from runtime.primitives.scale import codec

GENESIS = "0x" + "11" * 32
FINAL = "0x" + "22" * 32
TIMING = Timing(slot_ms=2_000, interval_ms=6_000, genesis_interval=100)
HOME, METER, TRADER = "//Home//1", "//Meter//1", "//Supplier"


class FakeLink(Link):
    """A node that answers from memory and keeps what is submitted."""

    def __init__(self) -> None:
        super().__init__("nowhere", 0)
        self.times_connected = 1
        self.taken: list[bytes] = []
        self.asked: list[str] = []
        self.nonces: dict[str, int] = {}
        self.slot = 10_000_000
        self.book: list[agents.BookEntry] = []
        self.rights: list[agents.RightEntry] = []
        self.is_book_lost = False
        self.sealed: dict[int, list[SealedEntry]] = {}
        """What waits to be revealed, by interval."""

        self.refusals: list[Exception] = []
        self.payments: dict[str, bytes] = {}

    @property
    def is_up(self) -> bool:
        return True

    async def call(self, method: str, params: Any = ()) -> Any:
        self.asked.append(method)
        match method:
            case "state_getRuntimeVersion":
                return {"specVersion": 3, "transactionVersion": 1}
            case "chain_getBlockHash":
                return GENESIS
            case "chain_getFinalizedHead":
                return FINAL
            case "chain_getHeader":
                item = PreRuntime(b"aura", PreDigest(self.slot).encode())
                return {"number": "0x40", "digest": {"logs": ["0x" + item.encode().hex()]}}
            case "system_accountNextIndex":
                return self.nonces.get(params[0], 0)
            case "state_call" if params[0] == "Trading_positions":
                return "0x" + codec(list[agents.RightEntry]).encode(self.rights).hex()
            case "state_call" if params[0] == "Trading_sealed_interval":
                if self.is_book_lost:
                    raise RpcFailed(method, -32_000, "lost", None)
                interval = int.from_bytes(bytes.fromhex(params[1][2:]), "little")
                return "0x01" + "00" * 17 if interval in self.sealed else "0x00"
            case "state_call" if params[0] == "Trading_sealed_orders":
                if self.is_book_lost:
                    raise RpcFailed(method, -32_000, "lost", None)
                assert params[1] == "0x" + KeyPair.from_suri(HOME, Scheme.SR25519).account.hex()
                entries = [entry for each in self.sealed.values() for entry in each]
                return "0x" + SEALED_ENTRIES.encode(entries).hex()
            case "state_call" if params[0] in self.payments:
                assert params[2] == FINAL
                return "0x" + self.payments[params[0]].hex()
            case "state_call":
                assert params[0] == "Trading_order_book"
                if self.is_book_lost:
                    raise RpcFailed(method, -32_000, "lost", None)
                return "0x" + codec(list[agents.BookEntry]).encode(self.book).hex()
            case "author_submitExtrinsic":
                if self.refusals:
                    raise self.refusals.pop(0)
                self.taken.append(bytes.fromhex(params[0][2:]))
                return "0x"
        raise AssertionError(method)


class StubHome:
    connection, suri, genesis_interval = 1, HOME, 100
    device, has_session = None, False

    def decide(self, interval: int, ahead: int, standing: Standing, seen: View) -> Quote | None:
        price_micro = 200_000 + 1_000 * len(standing.resting)
        return Quote(1, interval, standing.position_wh, [Order(True, price_micro, 300 + ahead)])


class StubMeter:
    connection, suri, silent = 1, METER, frozenset[int]()

    def is_silent(self, interval: int) -> bool:
        return interval in self.silent

    def reading(self, interval: int) -> Reading:
        return Reading(interval, 500, 0, 500, 0)


class StubTrader:
    connection, suri = 0, TRADER

    def decide(self, interval: int, ahead: int, standing: Standing, seen: View) -> Quote | None:
        if ahead != 3 or standing != NOTHING:
            return None
        return Quote(0, interval, 0, [Order(False, 65_000, 1_000)])


class StubAgents:
    with_devices = ()

    def reading(self, meter: StubMeter, interval: int, seen: View) -> Reading:
        return meter.reading(interval)

    def corrections(self, interval: int, seen: View) -> list[Correction]:
        return [Correction(1, interval, 40, 0, "read by hand")]


def make_street(link: FakeLink) -> Street:
    homes, meters, trader = cast(Any, ([StubHome()], [StubMeter()], StubTrader()))
    return Street(link, homes, meters, trader, TIMING, cast(Any, StubAgents()))


class StubGateway:
    suri = "//Gateway"

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[Payout], int]] = []

    def wish(self, interval: int) -> None:
        return None

    def act(self, interval: int, due: list[Payout], burnt_nano: int) -> list[bytes]:
        self.seen.append((interval, due, burnt_nano))
        return [calls.confirm_payout(payout.day, payout.account) for payout in due]


async def test_the_gateway_acts_on_what_is_final() -> None:
    link, gateway = FakeLink(), StubGateway()
    payout = Payout(0, b"a" * 32, 5, bytes(32))
    overview = agents.PaymentsOverview(None, 1, agents.PaymentFlows(9, 4, 0, 5, 1), 100, None, 0)
    link.payments = {
        "Payments_due": codec(list[Payout]).encode([payout]),
        "Payments_overview": overview.encode(),
    }
    everyone = cast(Any, StubAgents())
    street = Street(link, [], [], None, TIMING, everyone, True, cast(Any, gateway))

    await street.act(110)

    assert gateway.seen == [(110, [payout], 4)]
    assert calls_in(link)[-1] == calls.confirm_payout(0, b"a" * 32)


async def test_silent_meters_report_nothing_and_the_operator_corrects() -> None:
    link = FakeLink()
    meter = StubMeter()
    meter.silent = frozenset({108, 109})
    everyone = cast(Any, StubAgents())
    street = Street(link, [], cast(Any, [meter]), None, TIMING, everyone, is_operator=True)
    async with trio.open_nursery():
        await street.act(110)

    assert calls_in(link) == [calls.correct_reading(1, 106, 40, 0, "read by hand")]


def calls_in(link: FakeLink) -> list[bytes]:
    return [decode_extrinsic(extrinsic).call for extrinsic in link.taken]


async def test_an_interval_has_readings_first_then_the_next_gates_then_the_day_ahead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = FakeLink()
    link.book = [agents.BookEntry(77, 1, 5, calls.BID, 200_000, 120)]
    link.rights = [agents.RightEntry(1, 90, 20, 0, 0)]

    await make_street(link).act(110)

    assert calls_in(link) == [
        calls.submit_reading(108, 500, 0, 500, 0),
        calls.submit_reading(109, 500, 0, 500, 0),
        calls.replace_orders(1, 112, 70, [calls.Terms(calls.BID, 201_000, 302)]),
        calls.replace_orders(1, 113, 70, [calls.Terms(calls.BID, 201_000, 303)]),
        calls.replace_orders(0, 113, 0, [calls.Terms(calls.OFFER, 65_000, 1_000)]),
        calls.replace_orders(1, 205, 70, [calls.Terms(calls.BID, 201_000, 395)]),
    ]


async def test_an_interval_with_sealed_orders_is_revised_once_before_it_is_quiet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = FakeLink()
    link.sealed = {112: [], 113: [], 114: []}

    await make_street(link).act(110)

    quoted = [call for call in calls_in(link) if call[0] == calls.TRADING]
    assert quoted == [
        calls.replace_orders(1, 114, 0, [calls.Terms(calls.BID, 200_000, 303)]),
        calls.replace_orders(0, 114, 0, [calls.Terms(calls.OFFER, 65_000, 1_000)]),
        calls.replace_orders(1, 205, 0, [calls.Terms(calls.BID, 200_000, 395)]),
    ]


class SealingHome:
    """The sixth home, in an interval before one for which it seals."""

    connection, suri, genesis_interval, bus, wh_max = 6, HOME, 100, 4, 5_000
    device, has_session = None, False

    def decide(self, interval: int, ahead: int, standing: Standing, seen: View) -> Quote | None:
        return None

    def to_trade_wh(self, interval: int) -> int:
        return 270


async def test_a_home_commits_and_reveals_what_the_chain_has_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link, home = FakeLink(), cast(HomeAgent, SealingHome())
    street = Street(link, [home], [], None, TIMING, cast(Any, StubAgents()))
    sealed = 100 + SEALED_SLOTS[0]
    account = KeyPair.from_suri(HOME, Scheme.SR25519).account
    hidden = hidden_order(home, sealed)
    assert hidden is not None
    commitment = commitment_to(account, home, sealed, hidden)

    link.slot = 10**9
    await street.act(sealed - SEAL_AHEAD)
    link.sealed = {sealed: [SealedEntry(77, 6, sealed, SealedOrder(0, 1, 300, commitment, 5))]}
    await street.act(sealed - 4)
    await street.act(sealed - 3)
    link.is_book_lost = True  # nothing is revealed that may have been
    await street.act(sealed - 2)

    terms = (hidden.price_micro, 270, hidden.salt)
    assert calls_in(link) == [
        sealed_calls.seal_order(6, sealed, calls.BID, 300, commitment),
        sealed_calls.reveal_order(77, *terms),
    ]


async def test_homes_that_cannot_see_the_book_leave_it_as_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = FakeLink()
    link.is_book_lost = True

    await make_street(link).act(110)

    assert calls_in(link) == [
        calls.submit_reading(108, 500, 0, 500, 0),
        calls.submit_reading(109, 500, 0, 500, 0),
    ]


async def test_a_reading_is_sent_once_and_none_from_before_the_chain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = FakeLink()
    street = make_street(link)

    await street.act(100)
    assert not any(call.startswith(bytes([calls.CONSUMPTION_METERING])) for call in calls_in(link))
    await street.act(101)
    await street.act(102)

    readings = [call for call in calls_in(link) if call[0] == calls.CONSUMPTION_METERING]
    assert readings == [
        calls.submit_reading(100, 500, 0, 500, 0),
        calls.submit_reading(101, 500, 0, 500, 0),
    ]


async def test_nothing_is_done_before_the_first_block_of_the_interval_or_its_time_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = FakeLink()
    link.slot = 110 * 3 - 1
    start = trio.current_time()

    await make_street(link).act(110)

    assert trio.current_time() - start >= agents.FIRST_BLOCK_S
    assert link.taken != []


async def test_extrinsics_are_mortal_and_signed_over_the_chain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = FakeLink()
    pair = KeyPair.from_suri(HOME, Scheme.SR25519)

    await Wallet(link).submit(Account(pair), b"\x00\x01")

    extrinsic = decode_extrinsic(link.taken[0])
    assert extrinsic.signed is not None
    extra = extrinsic.signed.extra
    payload = signing_payload(
        b"\x00\x01", extra, 3, 1, bytes.fromhex(GENESIS[2:]), bytes.fromhex(FINAL[2:])
    )
    assert verify_signature(extrinsic.signed.signature, payload, pair.public)
    assert (extra.era.period, extra.era.birth(0x40)) == (ERA_BLOCKS, 0x40)


async def test_nonces_count_on_and_are_asked_again_after_a_refusal_or_a_new_connection() -> None:
    link = FakeLink()
    wallet, account = Wallet(link), Account(KeyPair.from_suri(HOME, Scheme.SR25519))
    link.nonces[account.address] = 7

    assert await wallet.submit(account, b"\x00\x00")
    assert await wallet.submit(account, b"\x00\x00")
    link.refusals = [RpcFailed("author_submitExtrinsic", 1010, "Invalid Transaction", "outdated")]
    assert not await wallet.submit(account, b"\x00\x00")
    link.nonces[account.address] = 20
    assert await wallet.submit(account, b"\x00\x00")
    link.times_connected += 1
    link.nonces[account.address] = 5
    assert await wallet.submit(account, b"\x00\x00")

    assert nonces_in(link) == [7, 8, 20, 5]
    assert (wallet.submitted, wallet.refused) == (4, 1)


async def test_a_node_that_goes_away_is_no_failure() -> None:
    link = FakeLink()
    wallet, account = Wallet(link), Account(KeyPair.from_suri(HOME, Scheme.SR25519))
    link.refusals = [NodeUnreachable("gone")]

    assert not await wallet.submit(account, b"\x00\x00")
    assert await wallet.submit(account, b"\x00\x00")


def nonces_in(link: FakeLink) -> list[int]:
    found: list[int] = []
    for extrinsic in link.taken:
        signed = decode_extrinsic(extrinsic).signed
        assert signed is not None
        found.append(signed.extra.nonce)
    return found


def test_the_slot_of_a_header_is_read_from_its_digest() -> None:
    item = PreRuntime(b"aura", PreDigest(5).encode())

    assert slot_of({"digest": {"logs": ["0x" + item.encode().hex()]}}) == 5
    assert slot_of({"digest": {"logs": []}}) == -1


@pytest.mark.parametrize("connection", [0, 1, 40])
def test_calls_are_those_of_the_runtime(connection: int) -> None:
    from devnet.scenario import dev_chain_spec
    from runtime.pallets.trading.contract_records import ContractTerms, PriceRule, Shape
    from runtime.pallets.trading.coupled_records import CoupledTerms, Vehicle
    from runtime.pallets.trading.records import Side
    from runtime.pallets.trading.records import Terms as RuntimeTerms

    encode = dev_chain_spec().runtime().assembly.encode_call
    terms = [calls.Terms(calls.OFFER, -5, 1_000), calls.Terms(calls.BID, 300_000, 10)]
    expected = (
        RuntimeTerms(Side.OFFER, -5, 1_000),
        RuntimeTerms(Side.BID, 300_000, 10),
    )

    assert calls.place_orders(connection, 9, terms) == encode(
        "Trading", "place_orders", connection=connection, interval=9, orders=expected
    )
    assert calls.place_market_order(connection, 9, calls.BID, 10) == encode(
        "Trading",
        "place_market_order",
        connection=connection,
        interval=9,
        side=Side.BID,
        quantity_wh=10,
    )
    assert calls.replace_orders(connection, 9, -7, terms) == encode(
        "Trading", "replace_orders", connection=connection, interval=9, net_wh=-7, orders=expected
    )
    assert calls.replace_order(1 << 40, 20, -5, 30) == encode(
        "Trading", "replace_order", order_id=1 << 40, left_wh=20, price_micro=-5, quantity_wh=30
    )
    assert calls.cancel_order(1 << 40) == encode("Trading", "cancel_order", order_id=1 << 40)
    assert calls.choose_pool(connection, is_member=True) == encode(
        "Trading", "choose_pool", connection=connection, is_member=True
    )
    for number, name in (
        (calls.COUNTERSIGN_CONTRACT, "countersign_contract"),
        (calls.WITHDRAW_CONTRACT, "withdraw_contract"),
        (calls.TERMINATE_CONTRACT, "terminate_contract"),
    ):
        assert calls.of_contract(number, 300) == encode("Trading", name, contract_id=300)
    rule = PriceRule(1, 2, 3, 4)
    contract = ContractTerms(1, 2, Shape.SOLAR, 3, 0, rule, 4, 5, False, 0, 6, 7)
    assert calls.propose_contract(contract) == encode("Trading", "propose_contract", terms=contract)
    car = Vehicle(1, 2, 3, 4, 5)
    assert calls.place_coupled(connection, codec(CoupledTerms).encode(car)) == encode(
        "Trading", "place_coupled", connection=connection, terms=car
    )
    assert calls.cancel_coupled(300) == encode("Trading", "cancel_coupled", order_id=300)
    assert calls.buy_fund_shares(10**12, 7) == encode(
        "Trading", "buy_fund_shares", amount_nano=10**12, shares_min=7
    )
    assert calls.redeem_fund_shares(9) == encode("Trading", "redeem_fund_shares", shares=9)
    assert calls.correct_reading(connection, 9, 1, 2, "why") == encode(
        "ConsumptionMetering",
        "correct_reading",
        connection=connection,
        interval=9,
        import_wh=1,
        export_wh=2,
        reason="why",
    )
    assert calls.submit_reading(9, 1, 2, 3, 4) == encode(
        "ConsumptionMetering",
        "submit_reading",
        interval=9,
        import_register_wh=1,
        export_register_wh=2,
        import_wh=3,
        export_wh=4,
    )


def test_books_and_positions_are_those_of_the_runtime() -> None:
    from runtime.pallets.trading.records import EnergyRight, Side
    from runtime.pallets.trading.records import OpenOrder as RuntimeOrder

    order = RuntimeOrder(1 << 50, 3, 4, Side.BID, -5, 60)
    right = EnergyRight(3, 50, 20, -(10**12), 10**13)

    assert agents.BookEntry.decode(order.encode()) == agents.BookEntry(
        1 << 50, 3, 4, calls.BID, -5, 60
    )
    assert agents.RightEntry.decode(right.encode()) == agents.RightEntry(
        3, 50, 20, -(10**12), 10**13
    )

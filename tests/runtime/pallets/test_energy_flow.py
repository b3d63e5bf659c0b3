"""The flow of energy end to end, in signed extrinsics and blocks: order, fill, reading, money."""

import pytest

from runtime.frame.dispatch import ModuleFailure
from runtime.frame.validity import InvalidTransaction
from runtime.pallets.trading.records import Side, order_id_of
from runtime.primitives.types import AccountId
from runtime.runtime import Runtime, SignatureCache
from tests.support import ALICE, BOB, CHARLIE, DAVE, DRT, EVE, FERDIE, MemoryChain, new_runtime
from tests.support.runtimes import genesis_sections, hex_of

K = 1_003
BLOCKS_PER_INTERVAL = 3
OPERATOR, SUPPLIER = EVE, FERDIE
METERS = {0: EVE, 1: CHARLIE, 2: DAVE}


@pytest.fixture
def chain() -> MemoryChain:
    sections = genesis_sections()
    sections["consumption_metering"] = {
        "operator_meter": hex_of(METERS[0]),
        "meters": [{"connection": number, "account": hex_of(METERS[number])} for number in (1, 2)],
    }
    return MemoryChain.new(new_runtime(), sections)


def order(
    chain: MemoryChain, who: AccountId, number: int, side: Side, price: int, wh: int
) -> bytes:
    """A signed order for interval K."""
    arguments = {"side": side, "price_micro": price, "quantity_wh": wh}
    call = chain.call("Trading", "place_order", connection=number, interval=K, **arguments)
    return chain.sign(who, call)


def reading(chain: MemoryChain, number: int, imported: int, exported: int) -> bytes:
    """A signed first reading of interval K."""
    call = chain.call(
        "ConsumptionMetering",
        "submit_reading",
        interval=K,
        import_register_wh=imported,
        export_register_wh=exported,
        import_wh=imported,
        export_wh=exported,
    )
    return chain.sign(METERS[number], call)


def until(chain: MemoryChain, interval: int) -> None:
    """Empty blocks up to the first one in `interval`."""
    while chain.slot < interval * BLOCKS_PER_INTERVAL:
        chain.build()


def money(chain: MemoryChain, who: AccountId) -> int:
    """All that an account has at the head."""
    chain.runtime.bind(chain.overlay())
    data = chain.runtime.system.info(who).data
    return data.free + data.reserved


def test_neighbours_trade_measure_and_are_settled(chain: MemoryChain) -> None:
    chain.build([order(chain, ALICE, 1, Side.OFFER, 100_000, 1_000)])
    chain.build([order(chain, BOB, 2, Side.BID, 250_000, 800)])
    until(chain, K + 1)
    sold = chain.runtime
    sold.bind(chain.overlay())
    position = sold.trading.holdings[K, 1]
    price = sold.trading.read_prices(K)[2]
    bought = sold.trading.holdings[K, 2].buy_wh
    chain.build(
        [
            reading(chain, 0, 60, 0),
            reading(chain, 1, 0, position.sell_wh),
            reading(chain, 2, 850, 0),
        ]
    )
    until(chain, K + 3)

    assert bought == 800
    assert price == 100_000
    assert money(chain, ALICE) == 1_000 * DRT - position.payable_nano
    lines = chain.runtime.trading.read_lines(K)
    assert money(chain, BOB) == 1_000 * DRT + lines[1].amount_nano
    assert lines[0].amount_nano == -position.payable_nano == price * position.sell_wh
    record = chain.runtime.trading.read_settlement(K)
    assert record is not None
    assert record.estimated == 0
    status = chain.runtime.market_status(chain.overlay())
    assert status["money_residual_nano"] == status["energy_residual_wh"] == 0
    assert status["traded_wh"] == 800
    assert status["intervals_settled"] == 4


def test_an_accepted_order_and_a_reading_cost_nothing(chain: MemoryChain) -> None:
    until(chain, K - 2)
    before = {who: money(chain, who) for who in (ALICE, CHARLIE)}
    chain.build([order(chain, ALICE, 1, Side.OFFER, 100_000, 1_000)])
    until(chain, K + 1)
    chain.build([reading(chain, 1, 0, 900)])

    assert {who: money(chain, who) for who in (ALICE, CHARLIE)} == before


def test_a_refused_order_and_a_refused_reading_keep_their_fees(chain: MemoryChain) -> None:
    before = {who: money(chain, who) for who in (ALICE, CHARLIE)}
    chain.build([order(chain, ALICE, 1, Side.OFFER, 100_000, 9), reading(chain, 1, 0, 900)])

    assert money(chain, ALICE) < before[ALICE]
    assert money(chain, CHARLIE) < before[CHARLIE]


def test_a_batch_of_orders_pays_for_itself(chain: MemoryChain) -> None:
    runtime = chain.runtime
    arguments = {"connection": 1, "interval": K, "side": Side.BID, "quantity_wh": 50}
    calls = [
        runtime.assembly.make_call("Trading", "place_order", price_micro=price, **arguments)
        for price in (100_000, 110_000)
    ]
    before = money(chain, ALICE)
    chain.build([chain.sign(ALICE, chain.call("Utility", "batch_all", calls=calls))])

    runtime.bind(chain.overlay())
    assert len(runtime.trading.holdings[K, 1].orders) == 2
    assert money(chain, ALICE) < before


def test_a_failed_call_names_its_pallet_and_error(chain: MemoryChain) -> None:
    overlay = chain.overlay()
    chain.runtime.initialize_block(overlay, chain.draft())
    signatures = SignatureCache()
    for extrinsic in chain.runtime.inherents(chain.time_ms(chain.slot + 1)):
        chain.runtime.apply_extrinsic(overlay, extrinsic, signatures)
    failures = [
        chain.runtime.apply_extrinsic(overlay, wrong, signatures)
        for wrong in (
            order(chain, BOB, 1, Side.OFFER, 100_000, 100),
            order(chain, ALICE, 1, Side.OFFER, 10, 100),
        )
    ]

    assert [type(failure) for failure in failures] == [ModuleFailure, ModuleFailure]
    modules = [failure.module for failure in failures if isinstance(failure, ModuleFailure)]
    assert [(module.index, module.error[0]) for module in modules] == [(22, 1), (22, 4)]


def test_a_wallet_that_cannot_lend_the_fee_cannot_order(chain: MemoryChain) -> None:
    poor = MemoryChain.new(new_runtime(), genesis_sections({BOB: DRT, EVE: DRT, FERDIE: DRT}))

    with pytest.raises(InvalidTransaction):
        poor.build([order(poor, ALICE, 1, Side.OFFER, 100_000, 100)])


def test_importers_come_to_the_same_state(chain: MemoryChain) -> None:
    importer = MemoryChain(new_runtime(), states=list(chain.states), headers=list(chain.headers))
    blocks = [
        chain.build([order(chain, ALICE, 1, Side.OFFER, 100_000, 1_000)]),
        chain.build([order(chain, BOB, 2, Side.BID, 250_000, 800)]),
    ]
    while chain.slot < (K + 3) * BLOCKS_PER_INTERVAL:
        blocks.append(chain.build())
    for block in blocks:
        importer.execute(block)

    assert importer.head.hash() == chain.head.hash()
    assert importer.states[-1].root == chain.states[-1].root


def test_an_order_can_be_taken_back_for_free(chain: MemoryChain) -> None:
    before = money(chain, ALICE)
    chain.build([order(chain, ALICE, 1, Side.BID, 100_000, 1_000)])
    call = chain.call("Trading", "cancel_order", order_id=order_id_of(K, 1, 0))
    chain.build([chain.sign(ALICE, call)])

    runtime: Runtime = chain.runtime
    runtime.bind(chain.overlay())
    assert runtime.balances.free_balance(ALICE) == before
    assert runtime.balances.reserved_balance(ALICE) == 0

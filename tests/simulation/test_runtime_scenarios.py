"""S17 and S18: blocks that the runtime refuses whatever their author's node says of them."""

from collections.abc import Iterable

import pytest

from consensus import effects
from consensus.events import Built
from runtime.primitives.types import Hash
from runtime.runtime import Runtime
from runtime.state.overlay import Overlay
from tests.simulation.ledger import ACCOUNTS, Ledger, owner_of, runtime_of_tests
from tests.simulation.node import EPOCH_MS
from tests.simulation.plan import RECOVERY_MS, Plan
from tests.simulation.world import SimWorld
from tests.support.runtimes import CONSTANTS, new_runtime

pytestmark = pytest.mark.slow

SECONDS = 60
TRANSFER_WEIGHT = 200_000_000  # of a transfer with what is around its call, in picoseconds
FITTING, TOO_MANY = 10, 30  # transfers in a block


def plan_with(lie: str, has_real_signatures: bool = False) -> Plan:
    """A minute and the recovery, in which v3 lies."""
    seconds = SECONDS + RECOVERY_MS // 1_000
    return Plan(17, 4, seconds, (), lies=(("v3", lie),), has_real_signatures=has_real_signatures)


def tight_runtime() -> Runtime:
    """A block has room for what is reserved and some transfers."""
    usual = runtime_of_tests()
    reserved = sum(pallet.reserved_weight() for pallet in usual.assembly.pallets)
    return new_runtime(
        genesis_interval=EPOCH_MS // CONSTANTS.market_interval_ms,
        block_weight_max=reserved + FITTING * TRANSFER_WEIGHT,
    )


def test_s17_a_block_above_its_budget_is_refused_by_all_and_finality_goes_on() -> None:
    world = SimWorld(plan_with("blocks above the budget"), tight_runtime())
    v3 = world.sims["v3"]
    v3.ledger = Ledger(world.storage, runtime_of_tests())  # it knows no such limit
    pair = owner_of("v0")

    def flood() -> None:
        while v3.is_running and v3.pool.ready_count < TOO_MANY:
            v3.pool.submit(world.signed(v3, pair, world.transfer(ACCOUNTS[0], 1)))
        world.at(1_000, flood)

    world.at(10_000, flood)

    world.run_all()

    assert any("exhaust the block limits" in reason for reason in world.ledger.refusals)
    honest = [node for node in world.honest if node.is_authority]
    assert all(any(is_bad_block_of_v3(report) for report in node.reports) for node in honest)
    final = world["v0"].disk.now
    bodies = [final.bodies[block_hash] for block_hash in final.finals.values()]
    assert max(map(len, bodies)) <= FITTING


def is_bad_block_of_v3(report: effects.Report) -> bool:
    return report.peer == b"v3" and report.reason.startswith("bad block")


def test_s17_a_machine_that_executes_for_longer_than_a_slot_holds_up_nobody_else() -> None:
    world = SimWorld(Plan(17, 4, SECONDS + RECOVERY_MS // 1_000, (), ()))
    v3 = world["v3"]
    world.start()
    world.run_until(10_000)
    v3.execute_ms = 3 * world.slot_ms

    world.run_until(SECONDS * 1_000)

    others = [world[name] for name in ("v0", "v1", "v2")]
    assert min(node.finalized for node in others) >= 15
    assert v3.best < others[0].finalized
    v3.execute_ms = 8
    assert world.run(30, until=lambda: v3.finalized >= others[0].finalized - 1)


class Stubborn(Ledger):
    """Builds as if nobody was disabled."""

    is_building = False

    def build(
        self, build: effects.Build, ready: Iterable[bytes] = (), proof: bytes | None = None
    ) -> Built:
        self.is_building = True
        built = super().build(build, ready, proof)
        self.is_building = False
        return built

    def overlay_on(self, block_hash: Hash) -> Overlay:
        overlay = super().overlay_on(block_hash)
        if self.is_building:
            self.runtime.bind(overlay)
            self.runtime.session.disabled_validators.set([])
        return overlay


def test_s18_a_disabled_author_seals_blocks_that_nobody_takes() -> None:
    world = SimWorld(plan_with("equivocating author", has_real_signatures=True))
    v3 = world.sims["v3"]
    v3.ledger = Stubborn(world.storage)

    world.run_all()

    refused = [reason for reason in world.ledger.refusals if "disabled" in reason]
    assert refused, "it was not disabled, or did not try"
    assert all("validator 3" in reason for reason in refused)

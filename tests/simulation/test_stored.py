"""Nodes on databases of their own: what a crash leaves is what the model of the disk says."""

import pytest

from tests.simulation.ledger import ACCOUNTS
from tests.simulation.plan import Plan
from tests.simulation.world import SimWorld

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_crash_leaves_what_was_synced_and_the_first_batches_since(kept: int) -> None:
    plan = Plan(1, 4, 300, (), (), has_real_signatures=True, is_executed_by_all=True)
    world = SimWorld(plan)
    world.start()
    world.run_until(20_000)
    v1 = world.sims["v1"]
    best, nonces = v1.best, [v1.ledger.nonce(v1.disk.now.best, who) for who in ACCOUNTS]
    v1.sync_ms = 60_000
    world.run(9)
    assert v1.best > best

    world.kill("v1", kept=kept)
    v1.sync_ms = 3
    # Each start compares the database with the model.
    world.start("v1")

    assert world.reached["some batches lost" if kept else "lost batches"] == 1
    after = [v1.ledger.nonce(v1.disk.now.best, who) for who in ACCOUNTS]
    assert sum(nonces) <= sum(after)
    goal = max(node.best for node in world.honest)
    assert world.run(60, until=lambda: min(node.finalized for node in world.honest) >= goal)
    world.close()

"""Whole networks of cores: faults come and go, finality stays safe and comes back.

Safety is checked by the network itself in each of these (see `driver.py`).
"""

import pytest

from consensus.effects import AlarmKind, Announce
from consensus.grandpa.gossip import CROSS_CHECK_ROUNDS
from consensus.sync import MAJOR_SYNC_BLOCKS
from tests.simulation.driver import Link, Network

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)


def median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]


def sample_lag(network: Network, seconds: int) -> list[int]:
    lags: list[int] = []
    for _ in range(seconds):
        network.run(1)
        lags.append(network.lag())
    return lags


def finalized(network: Network) -> int:
    return min(node.finalized for node in network.running)


def assert_grows(network: Network, seconds: int = 40, blocks: int = 8) -> None:
    """Finality of all running nodes goes on and is near the head."""
    target = max(node.finalized for node in network.running) + blocks
    assert network.run(
        seconds, until=lambda: finalized(network) >= target and network.lag() <= 3
    ), [(n.name, n.best, n.finalized, n.live.status) for n in network.running]


def test_a_healthy_network_finalizes_each_block_soon() -> None:
    network = Network(full=2).start()
    network.run(10)

    lags = sample_lag(network, 100)

    assert median(lags) <= 2
    assert max(lags) <= 3
    assert network["v0"].best >= 50
    assert not any(node.alarms or node.reports for node in network.running)


def test_slow_links_delay_finality_by_little() -> None:
    network = Network(full=1)
    for a in network.nodes:
        for b in network.nodes:
            network.links[a, b] = Link(latency_ms=(100, 300))
    network.start().run(10)

    lags = sample_lag(network, 100)

    assert median(lags) <= 3
    assert max(lags) <= 5


def test_one_round_follows_each_block_and_few_messages_each_round() -> None:
    network = Network().start()
    network.run(10)
    before = (network["v0"].best, network["v0"].live.status.round, dict(network.sent))

    network.run(200)

    blocks = network["v0"].best - before[0]
    rounds = network["v0"].live.status.round - before[1]
    votes = network.sent["Vote"] - before[2]["Vote"]
    assert blocks == 100
    assert rounds <= blocks + 5
    # Each of four sends two votes to three; beside that only the cross-checks.
    assert votes <= rounds * 4 * 2 * 3 + rounds // CROSS_CHECK_ROUNDS * 4 * 2 + 30
    assert network["v0"].events_handled <= 45 * network["v0"].best


def test_an_idle_network_is_silent() -> None:
    network = Network().start()
    network.run(20)
    for node in network.running:
        node.live._author.stop()
    network.run(20)
    handled = sum(node.events_handled for node in network.running)

    network.run(100)

    # Per node: a timer each slot, and each 5 s a heartbeat and those of three peers.
    assert sum(node.events_handled for node in network.running) - handled <= 4 * (50 + 80 + 10)
    assert network["v0"].best - network["v0"].finalized <= 1


def test_a_node_without_peers_sleeps() -> None:
    network = Network()
    network.start("v0")
    network.run(4)
    handled = network["v0"].events_handled

    network.run(100)

    assert network["v0"].events_handled - handled <= 50  # one per slot
    assert network["v0"].best == 0


def test_a_single_forced_validator_finalizes_alone() -> None:
    network = Network(validators=1)
    network["v0"].is_forced = True
    network.start()

    network.run(60)

    assert network["v0"].best - network["v0"].finalized <= 2
    assert network["v0"].finalized >= 25


@pytest.mark.parametrize("seed", SEEDS)
def test_three_of_four_go_on_and_the_fourth_rejoins(seed: int) -> None:
    network = Network(seed).start()
    network.run(20)

    network.kill("v3")
    assert_grows(network)
    network.run(60)
    assert network.lag() <= 4
    network.start("v3")
    cast_before = {place for place in network.votes if place[0] == network.authorities[3]}
    network.run(30)

    assert network.lag() <= 3
    cast = {place for place in network.votes if place[0] == network.authorities[3]}
    assert len(cast - cast_before) >= 10
    assert network["v3"].live.status.is_voting


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_two_of_four_stop_finality_and_nothing_else(kept: int) -> None:
    network = Network().start()
    network.run(20)
    network.kill("v2", "v3", kept=kept)

    network.run(60)

    # What was being voted on when they died may still become final.
    assert network["v0"].best - network["v0"].finalized >= 8
    network.start("v2", "v3")
    assert_grows(network)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_at_any_time_never_makes_a_node_vote_twice(seed: int) -> None:
    network = Network(seed).start()
    network.run(7)

    for i in range(60):
        victim = f"v{network.rng.randrange(4)}"
        network.kill(victim, kept=network.rng.randrange(3))
        network.run(0 if i % 3 else 1)
        network.start(victim)
        network.run(1 + network.rng.randrange(2))

    assert_grows(network)
    assert all(node.signer.refused == 0 for node in network.running)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_four_are_killed_again_and_again(seed: int) -> None:
    network = Network(seed, full=1).start()
    network.run(15)

    for _ in range(10):
        before = [node.finalized for node in network.nodes.values()]
        durable = [n.disk.durable.headers[n.disk.durable.finalized] for n in network.nodes.values()]
        network.kill(*network.nodes)
        assert all(
            node.finalized >= header.number
            for node, header in zip(network.nodes.values(), durable, strict=True)
        )
        network.run(network.rng.randrange(4))
        network.start()
        network.run(network.rng.randrange(5, 25))
        assert max(before) <= max(node.finalized for node in network.running)

    assert_grows(network)


def test_a_partition_stops_finality_and_heals() -> None:
    network = Network(full=2).start()
    network.run(20)

    network.part("v0 v1 f0", "v2 v3 f1")
    network.run(100)
    stopped = [node.finalized for node in network.running]
    network.run(10)

    assert stopped == [node.finalized for node in network.running]
    network.heal()
    assert_grows(network, 20)


def test_a_partition_with_a_majority_goes_on_and_the_minority_follows() -> None:
    network = Network(full=1).start()
    network.run(20)

    network.part("v0 v1 v2", "v3 f0")
    network.run(100)

    assert network["v0"].best - network["v0"].finalized <= 3
    assert network["v3"].finalized < 15
    network.heal()
    assert_grows(network, 20)


def test_a_partition_where_messages_vanish_without_a_sign_heals() -> None:
    network = Network().start()
    network.run(20)
    cut = [network.link(a, b) for a in ("v0", "v1") for b in ("v2", "v3")]
    cut += [network.link(b, a) for a in ("v0", "v1") for b in ("v2", "v3")]

    for link in cut:
        link.is_cut = True
    network.run(60)
    for link in cut:
        link.is_cut = False

    assert_grows(network, 60)


def test_s7_one_who_hears_nobody_does_no_harm() -> None:
    network = Network().start()
    network.run(20)
    cut = [network.link(b, "v0") for b in ("v1", "v2", "v3")]

    for link in cut:
        link.is_cut = True
    network.run(60)

    others = [network[name] for name in ("v1", "v2", "v3")]
    assert all(node.best - node.finalized <= 4 for node in others)
    for link in cut:
        link.is_cut = False
    assert_grows(network, 60)


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_and_disorder_slow_finality_but_do_not_stop_it(seed: int) -> None:
    network = Network(seed, full=1)
    for a in network.nodes:
        for b in network.nodes:
            network.links[a, b] = Link((5, 400), loss_percent=15, is_ordered=False)
    network.start()

    network.run(200)

    assert finalized(network) >= 30
    for link in network.links.values():
        link.loss_percent = 0
    assert_grows(network, 60)


def test_a_late_joiner_catches_up() -> None:
    network = Network(full=1)
    network.start("v0", "v1", "v2", "v3")
    network.run(400)
    assert network["v0"].finalized > 190

    network.start("f0")

    assert network.run(10, until=lambda: network.lag() <= 3)
    kinds = [request.is_ascending for request in network["f0"].requests]
    assert kinds.count(True) <= 10
    assert len(network["f0"].disk.durable.kept) >= 1


def test_a_validator_that_starts_late_and_empty_votes_soon() -> None:
    network = Network()
    network.start("v0", "v1", "v2")
    network.run(300)

    network.start("v3")
    network.run(30)

    assert network.lag() <= 3
    rounds = [place[2] for place in network.votes if place[0] == network.authorities[3]]
    assert network["v0"].live.status.round - max(rounds) <= 1


def test_a_network_that_stood_still_for_hours_resumes() -> None:
    network = Network(full=1).start()
    network.run(20)
    network.kill(*network.nodes)
    network.run(5 * 3_600)

    network.start()

    assert_grows(network, 30)


def test_a_network_suspended_for_hours_resumes() -> None:
    network = Network(full=1).start()
    network.run(20)

    # All processes frozen: no event is handled, then all timers come at once.
    network.now_ms += 5 * 3_600_000
    network.run(2)

    assert_grows(network, 40)


@pytest.mark.parametrize("step_s", [5 * 3_600, 45, 3, -3, -45])
def test_a_network_whose_clocks_are_all_set_at_once_goes_on(step_s: int) -> None:
    network = Network(full=1).start()
    network.run(20)

    # A suspended machine wakes up, or is told the time: its monotonic clock knows nothing of it.
    for node in network.nodes.values():
        node.clock_offset_ms += step_s * 1_000
    # Nobody can author before the time of the last block has come again.
    network.run(20 + max(0, -step_s))

    assert_grows(network, 40)


def test_authoring_slows_down_while_nothing_becomes_final() -> None:
    network = Network()
    network.start("v0", "v1")
    network.run(2_000)

    # Half of the slots are theirs: 500 of 1000. They back off above 50 blocks without finality.
    assert 60 <= network["v0"].best <= 250
    assert any(alarm.kind is AlarmKind.LIVENESS for alarm in network["v0"].alarms)
    network.start("v2", "v3")
    assert_grows(network, 250)


def test_a_long_fork_is_replaced_by_a_longer_one() -> None:
    network = Network()
    network.start("v0")
    network["v0"].is_forced = True
    network.kill("v0")
    network.start("v0")
    network.run(200)
    alone = network["v0"].best
    assert alone > MAJOR_SYNC_BLOCKS

    network.start("v1", "v2", "v3")

    assert_grows(network, 60)
    assert len({node.disk.now.canonical[alone] for node in network.running}) == 1


def test_a_clock_that_is_half_a_slot_off_does_not_author() -> None:
    network = Network()
    network["v3"].clock_offset_ms = -1_500
    network.start()

    network.run(40)

    assert [alarm.kind for alarm in network["v3"].alarms] == [AlarmKind.CLOCK]
    assert 14 <= network["v0"].best <= 16
    assert not any(node.alarms for name, node in network.nodes.items() if name != "v3")
    assert network["v0"].best - network["v0"].finalized <= 4


@pytest.mark.parametrize("names", ["v3", "v2 v3"])
def test_s10_a_database_of_last_week_votes_no_more_in_this_set(names: str) -> None:
    network = Network().start()
    network.run(20)
    old = {name: network[name].disk.durable.copy() for name in names.split()}
    network.run(40)

    network.kill(*old)
    for name, store in old.items():
        network[name].disk.durable = store
        network[name].disk.crash()
    network.start(*old)
    cast = len([place for place in network.votes if place[0] == network.authorities[3]])
    network.run(40)

    assert network["v3"].alarms[0].kind is AlarmKind.ROLLED_BACK
    assert not network["v3"].live.status.is_voting
    assert cast == len([place for place in network.votes if place[0] == network.authorities[3]])
    # It follows all the same, and so does finality while enough others vote.
    assert network["v3"].best == network["v0"].best
    if len(old) == 1:
        assert network.lag() <= 3


@pytest.mark.parametrize("seed", [1, 2, 86])
def test_finality_survives_a_long_chain_of_accidents(seed: int) -> None:
    network = Network(seed, validators=(4, 5, 7)[seed % 3], full=1)
    for a in network.nodes:
        for b in network.nodes:
            network.links[a, b] = Link((5, 150), loss_percent=2)
    network.start()
    names = list(network.nodes)
    for _ in range(25):
        match network.rng.randrange(5):
            case 0:
                victims = network.rng.sample(names, network.rng.randint(1, len(names)))
                network.kill(*victims, kept=network.rng.randrange(4))
            case 1:
                cut = network.rng.randint(1, len(names) - 1)
                mixed = network.rng.sample(names, len(names))
                network.part(" ".join(mixed[:cut]), " ".join(mixed[cut:]))
            case 2:
                network.heal()
            case 3:
                network[network.rng.choice(names)].clock_offset_ms = network.rng.randint(-900, 900)
            case _:
                pass
        network.run(network.rng.randrange(8))
        for name in names:
            if not network[name].is_running and network.rng.random() < 0.6:
                network.start(name)

    network.heal()
    for name in names:
        network[name].clock_offset_ms = 0
    for name in names:
        if not network[name].is_running:
            network.start(name)
    assert_grows(network, 90)


def test_s9_a_branch_that_was_withheld_is_released_too_late() -> None:
    network = Network().start()
    network.run(20)
    # v3 keeps its blocks to itself.
    network.filters.append(
        lambda sender, _, message: sender == "v3" and isinstance(message, Announce)
    )
    network.run(60)
    stopped = network["v0"].finalized
    network.filters.clear()

    assert network["v0"].best - stopped <= 3
    assert_grows(network)


def test_clocks_that_differ_by_less_than_half_a_slot_do_no_harm() -> None:
    network = Network()
    for name, offset_ms in (("v0", -800), ("v1", 800), ("v2", 0), ("v3", 300)):
        network[name].clock_offset_ms = offset_ms
    network.start().run(10)

    lags = sample_lag(network, 100)

    assert median(lags) <= 3
    assert max(lags) <= 6


def test_an_author_whose_clock_is_a_minute_ahead_is_parked_and_the_others_go_on() -> None:
    network = Network()
    network["v3"].clock_offset_ms = 60_000
    network.start()

    network.run(100)

    others = [network[name] for name in ("v0", "v1", "v2")]
    assert min(node.finalized for node in others) >= 30
    assert all(node.best - node.finalized <= 4 for node in others)


@pytest.mark.parametrize("behind_s", [40, 3_600])
def test_a_node_whose_clock_was_behind_follows_as_soon_as_it_is_set(behind_s: int) -> None:
    network = Network()
    network.start().run(20)
    network["v3"].clock_offset_ms = -1_000 * behind_s
    network.run(60)
    assert network["v3"].best < network["v0"].finalized - 10

    network["v3"].clock_offset_ms = 0
    network.run(6)

    assert network["v3"].best >= network["v0"].best - 1
    assert network["v3"].finalized >= network["v0"].finalized - 2


def test_memory_is_bounded_over_a_long_run() -> None:
    network = Network(full=1)
    for a in network.nodes:
        for b in network.nodes:
            network.links[a, b] = Link((5, 300), loss_percent=5)
    network.start()
    sizes: list[dict[str, int]] = []
    for _ in range(4):
        network.run(50)
        sizes.append(measure(network))

    for name, size in sizes[-1].items():
        earlier = max(part.get(name, 0) for part in sizes[:2])
        assert size <= max(2 * earlier, 64) or name in GROWING, (name, [s.get(name) for s in sizes])


# Bounded by constants that a run of minutes does not reach.
GROWING = {"BlockTree._final_parents", "BlockTree._final_hashes", "Pipeline._authored"}


def measure(network: Network) -> dict[str, int]:
    """The sizes of all collections reachable from the cores, by class and attribute."""
    sizes: dict[str, int] = {}
    for node in network.running:
        seen: set[int] = set()
        stack: list[object] = [node.live]
        while stack:
            thing = stack.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            for name, value in attributes(thing):
                if isinstance(value, dict | list | set | tuple):
                    label = f"{type(thing).__name__}.{name}"
                    sizes[label] = max(sizes.get(label, 0), len(value))
                    items = value.values() if isinstance(value, dict) else value
                    stack.extend(items)
                    for item in items:
                        if isinstance(item, list | tuple | dict):
                            stack.extend(item.values() if isinstance(item, dict) else item)
                else:
                    stack.append(value)
    return sizes


def attributes(thing: object) -> list[tuple[str, object]]:
    if not type(thing).__module__.startswith("consensus"):
        return []
    names = [*getattr(thing, "__dict__", {})]
    for base in type(thing).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return [(name, getattr(thing, name)) for name in names if hasattr(thing, name)]

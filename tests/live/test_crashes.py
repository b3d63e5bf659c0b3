"""`kill -9`: of a validator, and of all nodes at once. `DRET_ROUNDS` says how often the latter."""

import os
import signal
import time

import pytest

from tests.live.network import LIVE, VALIDATORS, Devnet, eventually, grandpa_key

pytestmark = LIVE

ROUNDS = int(os.environ.get("DRET_ROUNDS", "2"))
VOTES_AGAIN_S = 30.0
RESUMES_S = 90.0
VICTIM = "charlie"


def test_a_killed_validator_is_not_missed_and_votes_again(devnet: Devnet) -> None:
    eventually(lambda: min(devnet.finalized_number(name) for name in VALIDATORS) >= 2, 60)
    pid = devnet.pids()[VICTIM]

    os.kill(pid, signal.SIGKILL)
    killed_at = devnet.finalized_number()

    # The others finalize without it …
    eventually(lambda: devnet.finalized_number() >= killed_at + 3, 60)
    # … and once it runs again, it votes with them.
    eventually(lambda: devnet.pids().get(VICTIM, pid) != pid, 30)
    started, restarted_at = time.monotonic(), devnet.finalized_number()

    def votes() -> bool:
        number, voters = devnet.voters()
        return number > restarted_at and grandpa_key(VICTIM) in voters

    eventually(votes, VOTES_AGAIN_S)
    print(f"votes again {time.monotonic() - started:.1f} s after its start")
    eventually(lambda: devnet.finalized_number(VICTIM) >= devnet.finalized_number() - 3, 30)
    assert devnet.node(VICTIM)["peers"] == 5


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_all_nodes_killed_at_once_lose_nothing_that_was_final(devnet: Devnet, turn: int) -> None:
    names = devnet.names
    eventually(lambda: min(devnet.finalized_number(name) for name in names) >= 2, 60)
    pids = devnet.pids()
    final = {name: devnet.finalized(name) for name in names}

    for name in names:
        os.kill(pids[name], signal.SIGKILL)
    killed = time.monotonic()

    highest = max(number for number, _ in filter(None, final.values()))
    eventually(
        lambda: all(devnet.finalized_number(name) > highest + 1 for name in names), RESUMES_S
    )
    print(f"round {turn}: goes on {time.monotonic() - killed:.1f} s after the kill")
    for number, block_hash in filter(None, final.values()):
        assert {devnet.hash_at(name, number) for name in names} == {block_hash}
    now = devnet.pids()
    assert not {now[name] for name in names} & {pids[name] for name in names}
    status = devnet.status()
    assert status["money_residual_nano"] == status["energy_residual_wh"] == 0

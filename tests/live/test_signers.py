"""The devnet's validator whose keys are in a process of their own, when that process is killed."""

import json
import os
import signal
import urllib.request
from typing import Any

from tests.live.network import ANSWER_S, LIVE, REMOTE_SIGNER, Devnet, eventually, grandpa_key

pytestmark = LIVE

SIGNER = f"{REMOTE_SIGNER}-signer"
VOTES_AGAIN_S = 60.0


def has_signer(devnet: Devnet) -> bool:
    url = f"http://127.0.0.1:{devnet.port(REMOTE_SIGNER)}/health"
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
        health: Any = json.loads(answer.read())
    found: bool = health["hasSigner"]
    return found


def votes(devnet: Devnet, after: int) -> bool:
    number, voters = devnet.voters()
    return number > after and grandpa_key(REMOTE_SIGNER) in voters


def test_a_validator_without_its_signer_observes_until_it_is_back(devnet: Devnet) -> None:
    eventually(lambda: votes(devnet, 0), VOTES_AGAIN_S)
    pids = devnet.pids()

    os.kill(pids[SIGNER], signal.SIGKILL)
    eventually(lambda: not has_signer(devnet), VOTES_AGAIN_S)
    killed_at = devnet.finalized_number()

    # The others finalize without it, and it follows them.
    eventually(lambda: devnet.finalized_number(REMOTE_SIGNER) >= killed_at + 2, VOTES_AGAIN_S)
    eventually(lambda: has_signer(devnet), VOTES_AGAIN_S)
    back_at = devnet.finalized_number()
    eventually(lambda: votes(devnet, back_at), VOTES_AGAIN_S)
    now = devnet.pids()
    assert now[REMOTE_SIGNER] == pids[REMOTE_SIGNER], "the node ran on"
    assert now[SIGNER] != pids[SIGNER]

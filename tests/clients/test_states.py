"""Every one of the last 256 states of a live node is read and proved, and none before them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from runtime.primitives.hashing import twox_128
from runtime.state.trie import verify_proof
from tests.clients.conftest import DevNode, run_node
from tests.clients.node import run_script
from tests.live.network import RpcFailed, ask
from tests.support.sealed_chain import SealedChain, small_spec

pytestmark = pytest.mark.slow

BLOCKS = 300
STATES_KEPT = 256
UNFINALIZED = 2  # their states are kept as well
NOW = "0x" + (twox_128(b"Timestamp") + twox_128(b"Now")).hex()
ABSENT = NOW[:-2] + "00"


@dataclass(frozen=True)
class Kept:
    """A running node, and what was stored before it started."""

    node: DevNode
    hashes: list[str]
    """By height."""

    slot_ms: int
    first_slot: int

    def ask(self, method: str, *params: object) -> Any:
        return ask(self.node.port, method, *params)

    def now_at(self, number: int) -> int:
        """What the state after a block says of the time."""
        return (self.first_slot + number) * self.slot_ms


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A node that keeps 256 states, started on a chain of 300 final blocks and two more."""
    folder = tmp_path_factory.mktemp("states")
    spec = small_spec()
    path = folder / "chain.json"
    path.write_text(spec.encode())
    (folder / "node").mkdir()
    chain = SealedChain(folder / "node" / "db", spec)
    first_slot = chain.slot
    for _ in range(BLOCKS):
        chain.finalize(header=chain.add())
    chain.grow(UNFINALIZED)
    hashes = [chain.chain.hash_at(number) for number in range(BLOCKS + UNFINALIZED + 1)]
    chain.close()
    with run_node(folder, ["--chain", str(path)], " runs: RPC ") as node:
        texts = ["0x" + each.hex() for each in hashes if each is not None]
        yield Kept(node, texts, chain.slot_ms, first_slot)


def oldest(kept: Kept) -> int:
    """The height of the oldest of the last 256 final states."""
    final = kept.ask("chain_getHeader", kept.ask("chain_getFinalizedHead"))
    assert int(final["number"], 16) == BLOCKS
    return BLOCKS - STATES_KEPT + 1


def test_each_state_is_read_and_proved_by_plain_calls(kept: Kept) -> None:
    numbers = range(oldest(kept), BLOCKS + UNFINALIZED + 1)

    for number in numbers:
        block = kept.hashes[number]
        header = kept.ask("chain_getHeader", block)
        answer = kept.ask("state_getReadProof", [NOW, ABSENT], block)
        items = [bytes.fromhex(item[2:]) for item in answer["proof"]]
        keys = [bytes.fromhex(key[2:]) for key in (NOW, ABSENT)]
        proven = verify_proof(bytes.fromhex(header["stateRoot"][2:]), items, keys)
        value = kept.ask("state_getStorage", NOW, block)

        assert answer["at"] == block
        assert proven[keys[1]] is None
        assert proven[keys[0]] == bytes.fromhex(value[2:])
        assert int.from_bytes(bytes.fromhex(value[2:]), "little") == kept.now_at(number)


def test_polkadot_js_reads_each_state_and_its_proofs_lead_to_the_root(kept: Kept) -> None:
    """All but the oldest: for a block it asks the state of the parent, on any chain."""
    numbers = list(range(oldest(kept) + 1, BLOCKS + UNFINALIZED + 1))
    request = {"url": kept.node.url, "hashes": [kept.hashes[number] for number in numbers]}

    found = run_script("states", request, timeout_s=120)

    assert found == [
        {"number": number, "now": kept.now_at(number), "isProved": True} for number in numbers
    ]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("state_getStorage", [NOW]),
        ("state_getStorageHash", [NOW]),
        ("state_getStorageSize", [NOW]),
        ("state_getKeysPaged", [NOW, 1, None]),
        ("state_queryStorageAt", [[NOW]]),
        ("state_getReadProof", [[NOW]]),
        ("state_call", ["AuraApi_slot_duration", "0x"]),
        ("state_getMetadata", []),
        ("state_getRuntimeVersion", []),
    ],
)
def test_the_257th_state_is_refused_in_substrates_words(
    kept: Kept, method: str, params: list[Any]
) -> None:
    number = oldest(kept)
    kept.ask(method, *params, kept.hashes[number])

    with pytest.raises(RpcFailed) as refused:
        kept.ask(method, *params, kept.hashes[number - 1])

    assert refused.value.code == 4003
    before = kept.hashes[number - 1]
    assert refused.value.message == (
        f"Client error: UnknownBlock: State already discarded for {before}"
    )


def test_blocks_without_a_state_are_there_all_the_same(kept: Kept) -> None:
    header = kept.ask("chain_getHeader", kept.hashes[1])
    block = kept.ask("chain_getBlock", kept.hashes[1])

    assert header["number"] == "0x1" and block["block"]["header"] == header
    assert "archive_v1_storage" not in kept.ask("rpc_methods")["methods"]

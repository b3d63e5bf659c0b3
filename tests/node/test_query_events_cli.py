"""`dret query events`, of one block and of all that follow, along branches that come and go."""

import csv
import io
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from asyncclick.testing import CliRunner, Result

from devnet.rpc_client import Link
from node.cli import chain_access, query_events
from node.cli.chain_access import Refused
from node.cli.query import group
from node.cli.query_events import Walk
from node.errors import NodeUnreachable
from rpc.encoding import header_json
from runtime.primitives.block import Digest, Header
from tests.golden.script import golden_chain
from tests.node.chain_link import ChainLink
from tests.support.chains import MemoryChain

NONE = bytes(32)


class HeadsLink(ChainLink):
    """Tells the heads of the chain from `begin` on, and ends."""

    begin = 1
    asked: str

    @asynccontextmanager
    async def subscribe(
        self, method: str, params: Sequence[Any], unsubscribe: str
    ) -> AsyncGenerator[Any]:
        HeadsLink.asked = method
        send, receive = trio.open_memory_channel[Any](64)
        for header in self.chain.headers[self.begin :]:
            send.send_nowait(header_json(header))
        send.close()
        yield receive


@pytest.fixture(scope="module")
def history() -> MemoryChain:
    return golden_chain()


@pytest.fixture(autouse=True)
def chain(history: MemoryChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = history
    monkeypatch.setattr(chain_access, "Link", HeadsLink)
    yield history


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, ["events", *arguments])
    return result


async def test_events_are_followed_from_a_block_on_without_gaps(
    history: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadsLink, "begin", 7)

    result = await run("--at", "3", "-f", "-o", "jsonl")

    blocks = [json.loads(line) for line in result.stdout.splitlines()]
    assert [block["number"] for block in blocks] == list(range(3, history.head.number + 1))
    assert blocks[4]["block"] == "0x" + history.headers[7].hash().hex()
    assert all(block["events"][0]["event"] for block in blocks)
    assert isinstance(result.exception, NodeUnreachable), "the node went away"
    assert HeadsLink.asked == "chain_subscribeNewHeads"


async def test_a_number_of_blocks_and_a_filter_bound_what_is_shown(history: MemoryChain) -> None:
    result = await run("--at", "1", "-f", "--blocks", "19", "--filter", "trading.*")
    final = await run("--at", "finalized", "-f", "--blocks", "1", "-o", "yaml")

    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("Block ")
    names = [line.split()[1] for line in lines if not line.startswith("Block")]
    assert names and all(name.startswith("Trading.") for name in names)
    assert HeadsLink.asked == "chain_subscribeFinalizedHeads"
    assert final.output.startswith(f'---\nblock: "0x{history.head.hash().hex()}"\n')


async def test_rows_of_csv_have_the_same_columns_in_all_blocks() -> None:
    followed = await run("--at", "1", "-f", "--blocks", "6", "-o", "csv")
    one = await run("--at", "1", "-o", "csv")

    rows = list(csv.DictReader(io.StringIO(followed.stdout)))
    assert {row["number"] for row in rows} == {str(number) for number in range(1, 7)}
    assert all(None not in row and row["fields"] for row in rows)
    assert followed.stdout.startswith(one.stdout)


async def test_blocks_without_following_are_a_usage_error() -> None:
    result = await run("--blocks", "3")

    assert result.exit_code == 2
    assert "add --follow" in result.output


# --- branches


def child(parent: Header, salt: int = 0) -> Header:
    return Header(parent.hash(), parent.number + 1, salt.to_bytes(32, "big"), NONE, Digest([]))


class HeaderLink:
    """Knows every header."""

    def __init__(self, known: Sequence[Header]) -> None:
        self.known = {"0x" + header.hash().hex(): header for header in known}

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        assert method == "chain_getHeader"
        header = self.known.get(params[0])
        return None if header is None else header_json(header)


async def told(known: Sequence[Header], first: Header, heads: Sequence[Header]) -> list[Any]:
    walk = Walk(cast(Link, HeaderLink(known)), "0x" + first.hash().hex(), first)
    return [
        -step.header.number if step.is_left else step.header.hash()
        for head in heads
        for step in await walk.to(head)
    ]


async def test_blocks_that_the_best_chain_leaves_are_told_newest_first() -> None:
    genesis = Header(NONE, 0, NONE, NONE, Digest([]))
    one = child(genesis)
    a2, b2 = child(one, 1), child(one, 2)
    a3, b3 = child(a2), child(b2)
    b4 = child(b3)
    known = [genesis, one, a2, a3, b2, b3, b4]

    steps = await told(known, one, [one, a2, a3, a3, b4, genesis])

    hashes = [header.hash() for header in (a2, a3, b2, b3, b4)]
    assert steps == [*hashes[:2], -3, -2, *hashes[2:]]


async def test_the_first_block_may_be_left_too() -> None:
    genesis = Header(NONE, 0, NONE, NONE, Digest([]))
    one, other = child(genesis, 1), child(genesis, 2)
    two = child(other)

    steps = await told([genesis, one, other, two], one, [one, two])

    assert steps == [-1, other.hash(), two.hash()]


async def test_a_head_that_is_too_far_ahead_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_events, "BEHIND_MAX", 2)
    chain = [Header(NONE, 0, NONE, NONE, Digest([]))]
    for _ in range(3):
        chain.append(child(chain[-1]))

    with pytest.raises(Refused, match="more than 2 blocks ahead"):
        await told(chain, chain[0], [chain[-1]])

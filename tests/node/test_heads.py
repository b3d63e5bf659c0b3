"""Who listens to the chain hears of each block once, and of a new best block that was not new."""

from pathlib import Path

import pytest

from consensus import effects
from node.heads import Heads
from node.pool import Pool
from rpc.ports import BestChanged, BlockImported, BlocksFinalized, ChainEvent
from runtime.frame.validity import Validity
from runtime.primitives.types import Hash
from tests.node.key_value_runtime import ChainHarness, open_chain


class Told:
    """A chain with a pool that holds nothing, and what a listener was told."""

    def __init__(self, chain: ChainHarness) -> None:
        self.chain = chain
        pool = Pool(lambda _: pytest.fail("not asked"), bytes, lambda _: [], lambda: 0)
        self.heads = Heads(chain.chain, pool)
        self.events: list[ChainEvent] = []
        self.stop = self.heads.subscribe(self.events.append)

    def import_block(self, parent: Hash, slot: int, is_best: bool) -> Hash:
        """Import a block as the engine does, with its notifications."""
        block = self.chain.import_block(parent, {}, slot)
        header = self.chain.chain.header(block)
        assert header is not None
        if is_best:
            change = self.chain.set_best(block)
            self.chain.write(change)
        self.heads.imported(effects.NotifyImported(block, header, is_best))
        if is_best:
            self.heads.best(effects.NotifyBest(block, header, change.retracted, change.enacted))
        return block


def test_an_import_is_told_once_and_finality_with_its_justification(tmp_path: Path) -> None:
    with open_chain(tmp_path / "db") as chain:
        told = Told(chain)
        block = told.import_block(chain.genesis_hash, 1, is_best=True)
        fork = told.import_block(chain.genesis_hash, 2, is_best=False)
        chain.finalize(block, pruned=(fork,))
        header = chain.chain.header(block)
        assert header is not None
        told.heads.finalized(effects.NotifyFinalized(block, header, (block,), (fork,)))

    first, second, last = told.events
    assert first == BlockImported(block, header, is_best=True)
    assert isinstance(second, BlockImported)
    assert not second.is_best
    assert last == BlocksFinalized([(block, header)], (fork,), b"justification " + block)


def test_a_best_block_that_finality_chose_is_told(tmp_path: Path) -> None:
    with open_chain(tmp_path / "db") as chain:
        told = Told(chain)
        told.import_block(chain.genesis_hash, 1, is_best=True)
        fork = told.import_block(chain.genesis_hash, 2, is_best=False)
        told.events.clear()
        change = chain.set_best(fork)
        chain.write(change)
        header = chain.chain.header(fork)
        assert header is not None
        told.heads.best(effects.NotifyBest(fork, header, change.retracted, change.enacted))

        assert told.events == [BestChanged(fork, header)]


def test_transactions_of_a_branch_that_finality_deleted_go_back_to_the_pool(tmp_path: Path) -> None:
    with open_chain(tmp_path / "db") as chain:
        pool = Pool(
            lambda extrinsic: Validity(0, [], [extrinsic], 64, True),
            bytes,
            lambda extrinsic: [extrinsic],
            lambda: 0,
        )
        heads = Heads(chain.chain, pool)
        lost = chain.import_block(chain.genesis_hash, {b"paid": b"1"}, 1)
        chain.write(chain.set_best(lost))
        body = chain.chain.body(lost)
        assert body is not None
        final = chain.import_block(chain.genesis_hash, {}, 2)
        change = chain.set_best(final)
        chain.write(change)
        chain.finalize(final, pruned=(lost,))
        header = chain.chain.header(final)
        assert header is not None
        heads.best(effects.NotifyBest(final, header, change.retracted, change.enacted))

        assert chain.chain.body(lost) is None
        assert pool.contains(body[-1])


def test_a_listener_that_fails_or_left_keeps_nothing_from_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_event: ChainEvent) -> None:
        raise RuntimeError("a listener's fault")

    with open_chain(tmp_path / "db") as chain:
        told = Told(chain)
        told.stop()
        told.heads.subscribe(fail)
        heard: list[ChainEvent] = []
        told.heads.subscribe(heard.append)
        told.import_block(chain.genesis_hash, 1, is_best=True)

    assert told.events == []
    assert len(heard) == 1
    assert "a listener's fault" in caplog.text

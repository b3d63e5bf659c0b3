"""The chain: blocks built and executed, batches that change disk and memory together, recovery."""

import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus import effects
from consensus.events import Built, Verdict
from consensus.ports import LoadedState
from node.chain import (
    CHANGED_KEPT,
    TIMESTAMP_DRIFT_MAX_MS,
    Chain,
    ProofTooLong,
    UnknownBlock,
)
from node.database import Column
from node.errors import DiskFailed, StorageUnusable
from node.filling import SKIPPED_MAX
from node.state_store import StateDiscarded
from runtime.frame.validity import ExhaustsResources, Future
from runtime.primitives.block import Digest, Header
from runtime.primitives.grandpa import FinalityProof
from runtime.primitives.hashing import blake2_256
from runtime.state.overlay import Overlay
from tests.node.key_value_runtime import (
    GENESIS,
    LATER_CODE,
    TIME,
    ChainHarness,
    KeyValueRuntime,
    extrinsic_of,
    open_chain,
)

WRITER = """
import sys
from pathlib import Path
from tests.node.key_value_runtime import ChainHarness

chain = ChainHarness(Path(sys.argv[1]), 4)
while True:
    number = chain.chain.best.number + 1
    block = chain.import_block(
        chain.chain.best_hash, {b"number": b"%d" % number, b"k%d" % (number % 9): bytes(40)}, number
    )
    chain.write(chain.set_best(block))
    if number % 3 == 0:
        chain.finalize(chain.chain.hash_at(number - 1))
        print(number - 1, flush=True)
"""


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[ChainHarness]:
    with open_chain(tmp_path / "db") as harness:
        yield harness


def sealed(chain: ChainHarness, *extrinsics: bytes) -> effects.Execute:
    return chain.seal(chain.build(chain.chain.best_hash, list(extrinsics)))


# --- building and executing ---------------------------------------------------------------------


def test_a_built_block_holds_the_inherents_and_then_what_is_ready(chain: ChainHarness) -> None:
    ready = [extrinsic_of({b"a": b"%d" % n}) for n in range(3)]

    built = chain.build(chain.genesis_hash, ready, time=77)

    assert built.header is not None
    assert built.extrinsics == (extrinsic_of({TIME: (77).to_bytes(8, "big")}), *ready)
    assert built.header.parent_hash == chain.genesis_hash
    assert built.header.number == 1


def test_our_own_block_is_not_executed_again_when_it_is_sealed(chain: ChainHarness) -> None:
    request = sealed(chain, extrinsic_of({b"a": b"1"}))

    assert chain.execute(request).verdict is Verdict.VALID
    assert chain.runtime.executed == 0


def test_another_body_under_our_own_header_is_executed_and_refused(chain: ChainHarness) -> None:
    request = sealed(chain, extrinsic_of({b"a": b"1"}))
    forged = effects.Execute(request.block_hash, request.header, (extrinsic_of({b"a": b"2"}),))

    assert chain.execute(forged).verdict is Verdict.INVALID
    assert chain.execute(request).verdict is Verdict.VALID


def test_a_block_of_somebody_else_is_executed(chain: ChainHarness) -> None:
    request = sealed(chain, extrinsic_of({b"a": b"1"}))
    chain.restart()

    assert chain.execute(request).verdict is Verdict.VALID
    assert chain.runtime.executed == 1


def test_a_state_of_a_later_version_stops_the_chain_and_says_why(chain: ChainHarness) -> None:
    upgraded = chain.import_block(chain.genesis_hash, {b":code": LATER_CODE})

    built = chain.build(upgraded, [], slot=2)
    header = Header(upgraded, 2, bytes(32), bytes(32), Digest([]))
    executed = chain.execute(effects.Execute(header.hash(), header, ()))

    assert (built.header, built.reason) == (None, "a later version is asked for")
    assert executed.verdict is Verdict.FAILED
    assert executed.reason == "a later version is asked for"


def test_a_wrong_state_root_is_invalid_and_says_why(chain: ChainHarness) -> None:
    request = sealed(chain, extrinsic_of({b"a": b"1"}))
    header = request.header
    wrong = Header(header.parent_hash, 1, bytes(32), header.extrinsics_root, header.digest)

    answer = chain.execute(effects.Execute(wrong.hash(), wrong, request.extrinsics))

    assert (answer.verdict, answer.reason) == (Verdict.INVALID, "state root")


def test_a_block_on_an_unknown_parent_is_our_own_trouble(chain: ChainHarness) -> None:
    request = sealed(chain)
    header = request.header
    orphan = Header(bytes(32), 1, header.state_root, header.extrinsics_root, header.digest)

    answer = chain.execute(effects.Execute(orphan.hash(), orphan, request.extrinsics))

    assert answer.verdict is Verdict.FAILED


def test_a_time_too_far_ahead_of_our_clock_is_early_and_not_wrong(chain: ChainHarness) -> None:
    time = 1_000_000
    request = chain.seal(chain.build(chain.genesis_hash, [], time=time))
    chain.restart()

    early = chain.chain.execute(request, time - TIMESTAMP_DRIFT_MAX_MS - 1)
    later = chain.chain.execute(request, time - TIMESTAMP_DRIFT_MAX_MS)

    assert (early.verdict, later.verdict) == (Verdict.TOO_EARLY, Verdict.VALID)
    assert early.reason == "30001 ms ahead of our clock, expected 30000 at most"


def test_a_fault_of_our_own_code_is_not_taken_for_an_invalid_block(
    chain: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = sealed(chain)
    chain.restart()
    monkeypatch.setattr(KeyValueRuntime, "execute_block", lambda *_: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        chain.execute(request)


def test_invalid_extrinsics_are_left_out_and_reported(chain: ChainHarness) -> None:
    bad, good = extrinsic_of({b"invalid": None}), extrinsic_of({b"a": b"1"})

    built = chain.build(chain.genesis_hash, [bad, good])

    assert built.extrinsics[1:] == (good,)
    assert chain.rejected == [blake2_256(bad)]


def test_an_extrinsic_of_the_future_is_left_out_and_kept(
    chain: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.node.key_value_runtime.BadProof", Future)

    built = chain.build(chain.genesis_hash, [extrinsic_of({b"invalid": None})])

    assert len(built.extrinsics) == 1
    assert chain.rejected == []


def test_a_few_extrinsics_that_do_not_fit_do_not_end_a_block(
    chain: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.node.key_value_runtime.BadProof", ExhaustsResources)
    large, good = extrinsic_of({b"invalid": None}), extrinsic_of({b"a": b"1"})

    few = chain.build(chain.genesis_hash, [*[large] * SKIPPED_MAX, good])
    many = chain.build(chain.genesis_hash, [*[large] * (SKIPPED_MAX + 1), good])

    assert few.extrinsics[1:] == (good,)
    assert many.extrinsics[1:] == ()
    assert chain.rejected == []


def test_building_ends_at_the_deadline(chain: ChainHarness) -> None:
    request = effects.Build(
        1, chain.genesis_hash, 1, chain.chain.finalized.digest, timestamp_ms=0, deadline_ms=100
    )
    ready = iter([(bytes(32), extrinsic_of({b"a": b"%d" % n})) for n in range(100)])
    clock = iter(range(70, 1000, 10))

    built = chain.chain.build(request, ready, lambda _: None, lambda: next(clock))

    assert len(built.extrinsics) == 1 + 3 * 8


def test_a_clock_behind_the_parent_gives_no_block_and_the_reason(chain: ChainHarness) -> None:
    chain.write(chain.set_best(chain.import_block(chain.genesis_hash, {}, slot=10)))

    built = chain.build(chain.chain.best_hash, [], slot=11, time=9)

    assert built == Built(11, chain.chain.best_hash, None, (), "time runs backwards")


# --- storing ------------------------------------------------------------------------------------


def test_a_block_its_best_and_its_finality_may_come_in_one_batch(chain: ChainHarness) -> None:
    request = sealed(chain, extrinsic_of({b"a": b"1"}))
    chain.execute(request)
    block = request.block_hash

    chain.write(
        effects.PutBlock(block, request.header, request.extrinsics),
        effects.SetBest(block, (), (block,)),
        effects.Finalize(block, 1, (block,), (), b"proof", is_kept=True),
        sync=True,
    )

    assert chain.chain.best_hash == chain.chain.finalized_hash_now == block
    assert chain.chain.state_at(block).get(b"a") == b"1"
    assert chain.chain.justification(block) == b"proof"


def test_a_refused_write_leaves_memory_as_the_disk_is(chain: ChainHarness) -> None:
    request = sealed(chain, extrinsic_of({b"a": random.Random(3).randbytes(200_000)}))
    chain.execute(request)
    block = request.block_hash
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(DiskFailed):
            chain.write(
                effects.PutBlock(block, request.header, request.extrinsics),
                effects.SetBest(block, (), (block,)),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert chain.chain.header(block) is None
    assert chain.chain.best_hash == chain.genesis_hash
    with pytest.raises(UnknownBlock):
        chain.chain.state_at(block)


def test_the_numbers_follow_the_best_chain(chain: ChainHarness) -> None:
    a1 = chain.import_block(chain.genesis_hash, {b"a": b"1"}, 1)
    a2 = chain.import_block(a1, {}, 2)
    b1 = chain.import_block(chain.genesis_hash, {b"b": b"1"}, 3)
    chain.write(chain.set_best(a2))
    assert [chain.chain.hash_at(n) for n in range(4)] == [chain.genesis_hash, a1, a2, None]

    chain.write(chain.set_best(b1))

    assert [chain.chain.hash_at(n) for n in range(3)] == [chain.genesis_hash, b1, None]
    assert chain.chain.finalized_hash(1) is None
    assert chain.chain.hash_at(-1) is chain.chain.hash_at(2**32) is None
    assert chain.chain.state_at(a2).get(b"a") == b"1"


def test_a_pruned_state_is_said_to_be_discarded_and_a_pruned_fork_unknown(tmp_path: Path) -> None:
    with open_chain(tmp_path / "db", pruning=2) as chain:
        lost = chain.import_block(chain.genesis_hash, {b"lost": b""}, 99)
        for number in range(1, 6):
            block = chain.import_block(chain.chain.best_hash, {b"a": b"%d" % number}, number)
            chain.write(chain.set_best(block))
            chain.finalize(block, pruned=(lost,) if number == 1 else ())

        with pytest.raises(StateDiscarded):
            chain.chain.state_at(chain.genesis_hash)
        with pytest.raises(UnknownBlock):
            chain.chain.state_at(lost)
        assert chain.chain.header(chain.genesis_hash) is not None
        assert chain.chain.best_state().get(b"a") == b"5"


def test_justifications_are_kept_for_the_last_block_and_where_asked_for(
    chain: ChainHarness,
) -> None:
    blocks = []
    for number in range(1, 4):
        blocks.append(chain.import_block(chain.chain.best_hash, {}, number))
        chain.write(chain.set_best(blocks[-1]))
        chain.finalize(blocks[-1], kept=number == 1)

    assert [chain.chain.justification(block) for block in blocks] == [
        b"justification " + blocks[0],
        None,
        b"justification " + blocks[2],
    ]


def test_a_block_is_proved_final_by_the_next_justification(chain: ChainHarness) -> None:
    blocks = [chain.genesis_hash]
    for number in range(1, 6):
        blocks.append(chain.import_block(chain.chain.best_hash, {}, number))
        chain.write(chain.set_best(blocks[-1]))
        chain.finalize(blocks[-1], kept=number == 3)
    headers = [chain.chain.header(block) for block in blocks]

    for number, proved in ((1, 3), (3, 3), (4, 5), (5, 5)):
        proof = chain.chain.finality_proof(number)
        assert proof is not None
        assert proof.block == blocks[proved]
        assert proof.justification == b"justification " + blocks[proved]
        assert proof.unknown_headers == headers[number + 1 : proved + 1]
        assert FinalityProof.decode(proof.encode()) == proof
    assert chain.chain.finality_proof(6) is None


def test_a_proof_of_too_many_headers_is_not_given(
    chain: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.chain.PROOF_HEADERS_MAX", 2)
    for number in range(1, 5):
        block = chain.import_block(chain.chain.best_hash, {}, number)
        chain.write(chain.set_best(block))
        chain.finalize(block)

    with pytest.raises(ProofTooLong, match="within 2 blocks from block 1 on"):
        chain.chain.finality_proof(1)


def test_a_pruned_block_stays_readable_for_clients_while_its_state_can_be(tmp_path: Path) -> None:
    with open_chain(tmp_path / "db", pruning=3) as chain:
        lost = chain.import_block(chain.genesis_hash, {b"lost": b"here"}, 99)
        for number in range(1, 7):
            block = chain.import_block(chain.chain.best_hash, {b"a": b"%d" % number}, number)
            chain.write(chain.set_best(block))
            chain.finalize(block, pruned=(lost,) if number == 1 else ())
            retired = chain.chain.retired(lost)
            if number == 2:
                assert retired is not None
                assert retired.header.hash() == lost
                assert len(retired.extrinsics) == 2
                assert retired.state.get(b"lost") == b"here"
                assert chain.chain.header(lost) is None

        assert chain.chain.retired(lost) is None


def test_unfinalized_blocks_come_parents_first(chain: ChainHarness) -> None:
    a1 = chain.import_block(chain.genesis_hash, {b"a": b"1"}, 1)
    a2 = chain.import_block(a1, {}, 2)
    b1 = chain.import_block(chain.genesis_hash, {b"b": b"1"}, 3)

    assert [block for block, _ in chain.chain.unfinalized()] == [a1, b1, a2]

    chain.write(chain.set_best(a2))
    chain.finalize(a1, pruned=(b1,))

    assert [block for block, _ in chain.chain.unfinalized()] == [a2]


def test_consensus_starts_from_what_was_stored(chain: ChainHarness) -> None:
    chain.write(effects.PutVoter(b"round", b"1"), effects.PutVoter(b"vote", b"2"), sync=True)
    chain.write(effects.DeleteVoter(b"vote"), effects.DeleteVoter(b"absent"), sync=True)
    a1 = chain.import_block(chain.genesis_hash, {}, 1)
    a2 = chain.import_block(a1, {}, 2)
    chain.write(chain.set_best(a2))
    chain.finalize(a1)
    header = chain.chain.header(a2)
    assert header is not None

    chain.restart()

    assert chain.chain.loaded_state(()) == LoadedState(
        finalized=chain.chain.finalized,
        aura_authorities=(b"A",),
        grandpa_authorities=(b"G",),
        set_id=7,
        unfinalized=(header,),
        best_hash=a2,
        voter={b"round": b"1"},
        justification=b"justification " + a1,
        signer_marks=(),
    )


def test_the_keys_a_recent_block_wrote_are_known_for_a_while(
    chain: ChainHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHANGED_KEPT > 2
    monkeypatch.setattr("node.chain.CHANGED_KEPT", 2)
    blocks = [chain.import_block(chain.genesis_hash, {b"k%d" % n: b""}, n) for n in range(1, 4)]

    known = [chain.chain.changed_keys(block) for block in blocks]

    assert known == [None, {TIME, b"k2"}, {TIME, b"k3"}]


# --- opening ------------------------------------------------------------------------------------


def test_another_genesis_is_refused(chain: ChainHarness) -> None:
    with pytest.raises(StorageUnusable, match="the chain specification describes"):
        Chain.open(chain.database, KeyValueRuntime(), {b"other": b""}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("column", [Column.HEADER, Column.BODY, Column.NODE])
def test_a_finalized_block_that_is_missing_is_told_as_damage(
    chain: ChainHarness, column: Column
) -> None:
    with chain.database.batch(sync=True) as batch:
        for key, _ in list(chain.database.items(column)):
            batch.delete(column, key)

    with pytest.raises(StorageUnusable, match="damaged"):
        chain.restart()
    chain.database = type(chain.database).open(chain.folder / "other")  # for the fixture to close


def test_changes_that_lead_elsewhere_are_told_as_damage(chain: ChainHarness) -> None:
    chain.import_block(chain.genesis_hash, {b"a": b"1"}, 1)
    with chain.database.batch(sync=True) as batch:
        for key, _ in list(chain.database.items(Column.JOURNAL)):
            batch.put(Column.JOURNAL, key, b"\x00")

    with pytest.raises(StorageUnusable, match="changes stored for block 1 lead to"):
        Chain.open(chain.database, KeyValueRuntime(), GENESIS, None)  # type: ignore[arg-type]


def test_a_block_without_its_parent_is_dropped_and_the_best_chain_found_again(
    chain: ChainHarness,
) -> None:
    a1 = chain.import_block(chain.genesis_hash, {b"a": b"1"}, 1)
    a2 = chain.import_block(a1, {}, 2)
    b1 = chain.import_block(chain.genesis_hash, {b"b": b"1"}, 3)
    chain.write(chain.set_best(a2))
    with chain.database.batch(sync=True) as batch:
        batch.delete(Column.HEADER, a1)

    chain.restart()

    assert (chain.chain.best_hash, chain.chain.hash_at(1), chain.chain.hash_at(2)) == (b1, b1, None)
    assert chain.chain.header(a2) is None
    assert chain.chain.body(a1) is None
    assert len(list(chain.database.items(Column.JOURNAL))) == 1
    assert Overlay(chain.chain.best_state()).get(b"b") == b"1"


@pytest.mark.slow
def test_killing_the_node_loses_nothing_that_was_finalized(tmp_path: Path) -> None:
    rng = random.Random(21)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            lines = [int(writer.stdout.readline()) for _ in range(rng.randrange(1, 60))]
            writer.send_signal(signal.SIGKILL)
            lines += [int(line) for line in writer.stdout if line.endswith("\n")]

        with open_chain(tmp_path / "db", pruning=4) as chain:
            assert chain.chain.finalized.number >= lines[-1]
            assert chain.chain.best.number - chain.chain.finalized.number <= 4
            for number in range(chain.chain.finalized.number - 3, chain.chain.best.number + 1):
                block = chain.chain.hash_at(number)
                assert block is not None
                view, header = chain.chain.state_at(block), chain.chain.header(block)
                assert header is not None
                assert view.root == header.state_root
                assert view.get(b"number") == b"%d" % number
                assert view.storage_root({}).root == header.state_root

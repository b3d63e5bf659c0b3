"""Random imports, forks, finalizations and restarts on a real database, against plain dicts."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus import effects
from node.chain import UnknownBlock
from node.database import Column
from node.state_store import StateDiscarded, StateView
from runtime.state.node import decode_node
from runtime.state.trie import Trie, verify_proof
from tests.node.key_value_runtime import GENESIS, TIME, ChainHarness, Changes, open_chain
from tests.oracles.trie_reference import reference_root
from tests.runtime.state.strategies import CHANGES, present

PRUNING = 3
Step = tuple[str, int, Changes]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["import", "import", "import", "fork", "best", "finalize", "restart"]),
        st.integers(0, 50),
        CHANGES,
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class Model:
    """What a chain should know, without any sharing."""

    states: dict[bytes, dict[bytes, bytes]]
    finalized: list[bytes]
    unfinalized: list[bytes] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    held: list[tuple[bytes, StateView]] = field(default_factory=list)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_every_kept_state_is_that_of_a_dict_through_forks_finality_and_restarts(
    steps: list[Step],
) -> None:
    with tempfile.TemporaryDirectory() as folder, open_chain(Path(folder) / "db", PRUNING) as chain:
        model = Model({chain.genesis_hash: dict(GENESIS)}, [chain.genesis_hash])

        for slot, (action, choice, changes) in enumerate(steps, start=1):
            take_step(chain, model, slot, action, choice, changes)
        check(chain, model)
        chain.restart()
        model.held.clear()
        check(chain, model)
        check_nothing_is_left_over(chain, model)


def take_step(
    chain: ChainHarness, model: Model, slot: int, action: str, choice: int, changes: Changes
) -> None:
    """One thing that happens to a node."""
    alive = [model.finalized[-1], *model.unfinalized]
    chosen = alive[-1 - choice % len(alive)]
    match action:
        case "import" | "fork":
            parent = alive[-1] if action == "import" else chosen
            block_hash = chain.import_block(parent, changes, slot)
            told: Changes = {TIME: slot.to_bytes(8, "big")}
            model.states[block_hash] = present(model.states[parent], {**told, **changes})
            model.unfinalized.append(block_hash)
            model.held.append((block_hash, chain.chain.state_at(block_hash)))
        case "best":
            chain.write(chain.set_best(chosen))
            assert chain.chain.best_hash == chosen
        case "finalize" if chosen != model.finalized[-1]:
            finalize(chain, model, chosen)
        case "restart":
            chain.restart()
            model.held.clear()


def finalize(chain: ChainHarness, model: Model, chosen: bytes) -> None:
    """Finalize a block, after the best chain was led to it."""
    if chosen not in chain.ancestors(chain.chain.best_hash):
        chain.write(chain.set_best(chosen))
    route = chain.path(model.finalized[-1], chosen)
    kept = [block for block in model.unfinalized if chosen in chain.ancestors(block)]
    pruned = tuple(block for block in model.unfinalized if block not in kept and block not in route)
    chain.finalize(chosen, pruned)
    model.finalized += route
    model.unfinalized = [block for block in kept if block != chosen]
    model.dropped += pruned


def check(chain: ChainHarness, model: Model) -> None:
    """All that can be asked of the chain agrees with the model."""
    oldest = max(0, len(model.finalized) - PRUNING)
    for number, block_hash in enumerate(model.finalized):
        assert chain.chain.hash_at(number) == block_hash
        header = chain.chain.header(block_hash)
        assert header is not None
        assert header.number == number
        if number >= oldest:
            check_view(chain.chain.state_at(block_hash), model.states[block_hash])
    for block_hash in model.unfinalized:
        check_view(chain.chain.state_at(block_hash), model.states[block_hash])
    for block_hash in model.dropped:
        assert chain.chain.body(block_hash) is None
        with pytest.raises(UnknownBlock):
            chain.chain.state_at(block_hash)
    for block_hash, view in model.held:
        try:
            check_view(view, model.states[block_hash])
        except StateDiscarded:
            assert view.number < len(model.finalized) - 1
    best = chain.chain.best_hash
    assert best in (model.finalized[-1], *model.unfinalized)
    assert model.finalized[-1] in chain.ancestors(best)
    loaded = chain.chain.loaded_state(())
    assert loaded.finalized.hash() == model.finalized[-1]
    assert {header.hash() for header in loaded.unfinalized} == set(model.unfinalized)


def check_view(view: StateView, values: dict[bytes, bytes]) -> None:
    """A state shows these values, and proves them."""
    assert view.root == reference_root(values, 1)
    assert list(view.keys(b"")) == sorted(values)
    assert {key: view.get(key) for key in values} == values
    asked = [*sorted(values)[:3], b"absent", b"\x00\x01\x10"]
    expected = {key: values.get(key) for key in asked}
    assert verify_proof(view.root, view.proof(asked), asked) == expected
    assert view.get(b"absent") is None


def check_nothing_is_left_over(chain: ChainHarness, model: Model) -> None:
    """Every stored value and node is read by a kept state."""
    oldest = next(
        number
        for number, block_hash in enumerate(model.finalized)
        if is_readable(chain, block_hash)
    )
    window = range(oldest, len(model.finalized))
    states = [model.states[block_hash] for block_hash in model.finalized]
    nodes = [Trie.empty(1).update(state).nodes for state in states]
    for entry, value in chain.database.items(Column.VALUE):
        key, version = entry[4:-4], int.from_bytes(entry[-4:], "big")
        expected = value[1:] if value else None
        assert any(
            states[number].get(key) == expected
            and latest(chain, Column.VALUE, entry, number) == version
            for number in window
        ), f"value of {key!r} at {version}, window {window}"
    for entry, encoded in chain.database.items(Column.NODE):
        path, version = path_of(entry), int.from_bytes(entry[-4:], "big")
        assert any(
            (node := nodes[number].get(path)) is not None
            and node.encode() == encoded
            and latest(chain, Column.NODE, entry, number) == version
            for number in window
        ), f"node at {path} of {version}, window {window}: {decode_node(encoded).partial}"
    records = [int.from_bytes(key, "big") for key, _ in chain.database.items(Column.SUPERSEDED)]
    assert records == [
        number for number in range(len(model.finalized)) if number > oldest or not number
    ]
    journal = [key[4:] for key, _ in chain.database.items(Column.JOURNAL)]
    assert sorted(journal) == sorted(model.unfinalized)
    bodies = [key for key, _ in chain.database.items(Column.BODY)]
    assert sorted(bodies) == sorted([*model.finalized, *model.unfinalized])


def is_readable(chain: ChainHarness, block_hash: bytes) -> bool:
    """Whether the state of a finalized block is kept."""
    try:
        chain.chain.state_at(block_hash)
    except StateDiscarded:
        return False
    return True


def latest(chain: ChainHarness, column: Column, entry: bytes, number: int) -> int | None:
    """The version of an entry's key that is valid at a height."""
    found = chain.database.latest(column, entry[:-4], number)
    return found[0] if found is not None else None


def path_of(entry: bytes) -> str:
    """The path of nibbles in the key of a node."""
    length = int.from_bytes(entry[:4], "big")
    return entry[4:-4].hex()[length % 2 :]


def test_the_model_finalizes_as_consensus_does(tmp_path: Path) -> None:
    """A check of the test itself: a finalization that leaves a fork behind drops it."""
    with open_chain(tmp_path / "db", PRUNING) as chain:
        model = Model({chain.genesis_hash: dict(GENESIS)}, [chain.genesis_hash])
        take_step(chain, model, 1, "import", 0, {b"a": b"1"})
        take_step(chain, model, 2, "fork", 1, {b"a": b"2"})
        assert isinstance(chain.set_best(model.unfinalized[1]), effects.SetBest)

        finalize(chain, model, model.unfinalized[1])

        assert len(model.dropped) == 1
        check(chain, model)

"""States on disk: what is kept, what is pruned when, and what a view shows meanwhile."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from node.database import Column, Database
from node.errors import StorageUnusable
from node.state_store import (
    RECORDS_PRUNED_PER_BLOCK,
    StateDiscarded,
    StateStore,
    StateView,
    decode_delta,
    encode_delta,
)
from runtime.state.trie import EMPTY_ROOT, verify_proof

Changes = Mapping[bytes, bytes | None]
LONG = bytes(range(100))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "db")
    yield opened
    opened.close()


def begin(
    database: Database, values: dict[bytes, bytes], pruning: int | None = None
) -> tuple[StateStore, StateView]:
    """A store with a genesis state, and the view of it."""
    store = StateStore(database, pruning)
    commit = store.genesis_commit(values)
    with database.batch(sync=False) as batch:
        store.write_genesis(batch, commit)
    return store, store.at_finalized(0, commit.root)


def finalize(store: StateStore, database: Database, *route: StateView) -> None:
    with database.batch(sync=False) as batch:
        settle = store.finalize(batch, route)
    settle()


def grow(
    store: StateStore, database: Database, view: StateView, *blocks: Changes
) -> list[StateView]:
    """Finalize a block for each of the changes, one after the other."""
    views = []
    for changes in blocks:
        view = view.child(view.storage_root(changes))
        finalize(store, database, view)
        views.append(view)
    return views


def entries(database: Database) -> int:
    return sum(1 for column in (Column.VALUE, Column.NODE) for _ in database.items(column))


def test_an_archive_keeps_every_state(database: Database) -> None:
    store, start = begin(database, {b"a": b"0"})

    views = grow(store, database, start, *({b"a": b"%d" % n} for n in range(1, 50)))

    assert store.oldest == 0
    for number in range(1, 50):
        again = store.at_finalized(number, views[number - 1].root)
        assert again.get(b"a") == b"%d" % number


def test_states_older_than_the_kept_ones_are_refused_with_their_height(database: Database) -> None:
    store, start = begin(database, {b"a": b"0"}, 4)

    views = grow(store, database, start, *({b"a": b"%d" % n} for n in range(1, 20)))

    assert store.oldest == 16
    assert store.at_finalized(16, views[15].root).get(b"a") == b"16"
    with pytest.raises(StateDiscarded, match="state of block 15 was discarded"):
        store.at_finalized(15, views[14].root)
    with pytest.raises(StateDiscarded):
        views[3].get(b"a")
    with pytest.raises(StateDiscarded):
        start.get(b"b")


def test_pruning_leaves_as_much_as_a_state_that_was_written_at_once(database: Database) -> None:
    store, start = begin(database, {b"a%d" % n: LONG for n in range(20)}, 1)
    before = entries(database)

    grow(
        store,
        database,
        start,
        *({b"a%d" % n: None, b"b%d" % n: LONG} for n in range(20)),
        *({b"b%d" % n: None, b"a%d" % n: LONG} for n in range(20)),
        {},
        {},
    )

    assert entries(database) == before


def test_a_backlog_is_pruned_a_few_blocks_at_a_time(database: Database) -> None:
    archive, start = begin(database, {b"a": b"0"})
    views = grow(archive, database, start, *({b"a": b"%d" % n} for n in range(1, 31)))
    store = StateStore(database, 5)
    last = store.at_finalized(30, views[-1].root)

    oldest = []
    for number in range(31, 65):
        (last,) = grow(store, database, last, {b"a": b"%d" % number})
        oldest.append(store.oldest)

    steps = [after - before for before, after in zip([0, *oldest], oldest, strict=False)]
    assert max(steps) == RECORDS_PRUNED_PER_BLOCK
    assert oldest[-1] == 60
    assert StateStore(database, 5).oldest == 60


def test_a_route_of_many_blocks_is_written_in_one_batch(database: Database) -> None:
    store, start = begin(database, {b"a": b"0", b"b": LONG}, 3)
    route = [start]
    for number in range(1, 11):
        changes: Changes = {b"a": b"%d" % number, b"b": None if number % 2 else LONG}
        route.append(route[-1].child(route[-1].storage_root(changes)))

    finalize(store, database, *route[1:])

    assert store.oldest == 0  # what this batch superseded goes with a later one
    for number in range(1, 11):
        view = store.at_finalized(number, route[number].root)
        assert (view.get(b"a"), view.get(b"b")) == (
            b"%d" % number,
            None if number % 2 else LONG,
        )
    grow(store, database, route[-1], *({b"a": b"later"} for _ in range(8)))
    assert store.oldest == 16


def test_a_view_shows_the_same_state_when_its_block_and_those_above_become_final(
    database: Database,
) -> None:
    store, start = begin(database, {b"a": b"0", b"long": LONG})
    first = start.child(start.storage_root({b"a": b"1"}))
    second = first.child(first.storage_root({b"a": b"2", b"long": None}))
    iteration = first.keys(b"")
    assert next(iteration) == b"a"

    finalize(store, database, first, second)

    assert first.is_final
    assert [start.get(b"a"), first.get(b"a"), second.get(b"a")] == [b"0", b"1", b"2"]
    assert [start.get(b"long"), first.get(b"long"), second.get(b"long")] == [LONG, LONG, None]
    assert list(iteration) == [b"long"]


def test_a_fork_that_lost_still_shows_its_state(database: Database) -> None:
    store, start = begin(database, {b"a%d" % n: LONG for n in range(30)})
    lost = start.child(start.storage_root({b"a1": b"lost", b"a2": None}))

    grow(store, database, start, *({b"a%d" % n: b"won", b"x%d" % n: b"won"} for n in range(30)))

    assert lost.get(b"a1") == b"lost"
    assert lost.get(b"a3") == LONG
    assert list(lost.keys(b"")) == sorted(b"a%d" % n for n in range(30) if n != 2)


def test_an_old_state_proves_its_values(database: Database) -> None:
    store, start = begin(database, {b"a%d" % n: LONG for n in range(30)})
    grow(store, database, start, *({b"a%d" % n: b"new"} for n in range(30)))

    old = store.at_finalized(0, start.root)

    assert verify_proof(start.root, old.proof([b"a7", b"z"]), [b"a7", b"z"]) == {
        b"a7": LONG,
        b"z": None,
    }


def test_a_value_that_was_deleted_and_written_again_reads_right_in_each_state(
    database: Database,
) -> None:
    store, start = begin(database, {b"a": b"0"})

    views = grow(store, database, start, {b"a": None}, {b"b": b""}, {b"a": b""}, {b"a": b"4"})

    fresh = [store.at_finalized(view.number, view.root) for view in views]
    assert [view.get(b"a") for view in fresh] == [None, None, b"", b"4"]


def test_an_empty_state_is_a_state(database: Database) -> None:
    _, start = begin(database, {})

    assert start.root == EMPTY_ROOT
    assert list(start.keys(b"")) == []
    assert start.get(b"a") is None


def test_a_missing_node_is_told_as_damage(database: Database) -> None:
    _, start = begin(database, {b"a": LONG, b"b": LONG})
    with database.batch(sync=True) as batch:
        for key, _ in list(database.items(Column.NODE)):
            batch.delete(Column.NODE, key)

    with pytest.raises(StorageUnusable, match=r"the trie node 0x.* at the root is missing"):
        start.check_stored()


def test_a_changed_value_is_told_as_damage_when_it_is_proved(database: Database) -> None:
    _, start = begin(database, {b"a": LONG})
    with database.batch(sync=True) as batch:
        for key, _ in list(database.items(Column.VALUE)):
            batch.put(Column.VALUE, key, b"\x01something else")

    with pytest.raises(StorageUnusable, match="the value of 0x61 is missing"):
        start.proof([b"a"])


def test_a_missing_record_of_what_was_superseded_is_told_as_damage(database: Database) -> None:
    store, start = begin(database, {b"a": b"0"}, 1)
    views = grow(store, database, start, {b"a": b"1"})
    with database.batch(sync=True) as batch:
        batch.delete(Column.SUPERSEDED, (1).to_bytes(4, "big"))

    with pytest.raises(StorageUnusable, match="what block 1 superseded"):
        grow(store, database, views[-1], {b"a": b"2"})


def test_stored_changes_lead_to_the_same_state(database: Database) -> None:
    _, start = begin(database, {b"a": b"0", b"b": LONG})
    commit = start.storage_root({b"a": None, b"c": LONG, b"d": b""})

    again = start.storage_root(decode_delta(encode_delta(commit)))

    assert again.root == commit.root


def test_states_are_read_from_disk_when_the_cache_of_nodes_is_tiny(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.state_store.NODES_CACHED_MAX", 2)
    store, start = begin(database, {b"a%d" % n: LONG for n in range(40)})

    view = start
    for n in range(40):
        view = view.child(view.storage_root({b"a%d" % n: b"%d" % n}))
        finalize(store, database, view)

    assert list(view.keys(b"")) == sorted(b"a%d" % n for n in range(40))
    assert [view.get(b"a%d" % n) for n in range(40)] == [b"%d" % n for n in range(40)]


def test_each_of_the_last_256_states_proves_what_is_and_what_is_not_there(
    database: Database,
) -> None:
    kept, keys = 256, [b"a", b"b7", b"nothing"]
    store, start = begin(database, {b"a": b"0", **{b"b%d" % n: LONG for n in range(20)}}, kept)

    views = grow(
        store,
        database,
        start,
        *({b"a": b"%d" % n, b"b7": LONG if n % 3 else None} for n in range(1, 300)),
    )

    assert store.oldest == 299 - kept + 1
    for number in range(store.oldest, 300):
        root = views[number - 1].root
        proof = store.at_finalized(number, root).proof(keys)
        assert verify_proof(root, proof, keys) == {
            b"a": b"%d" % number,
            b"b7": LONG if number % 3 else None,
            b"nothing": None,
        }
    with pytest.raises(StateDiscarded):
        store.at_finalized(store.oldest - 1, views[store.oldest - 2].root).proof(keys)

"""Nested transactions over a state: kept writes are seen, undone ones never were."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.state.backend import MemoryBackend, ReadCache
from runtime.state.overlay import TRANSACTION_DEPTH_MAX, Overlay
from tests.oracles.trie_reference import reference_root
from tests.runtime.state.strategies import CHANGES, KEYS, VALUES, present

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, VALUES),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.sampled_from(["begin", "commit", "rollback"])),
    ),
    max_size=30,
)


@pytest.mark.slow
@given(CHANGES, STEPS, KEYS, st.none() | KEYS)
def test_reads_and_keys_are_those_of_a_dict_that_is_copied_for_each_transaction(
    before: dict[bytes, bytes | None], steps: list[tuple[object, ...]], prefix: bytes, start: bytes
) -> None:
    overlay = Overlay(MemoryBackend(present({}, before)))
    stack = [present({}, before)]
    for step in steps:
        match step:
            case ("set", bytes(key), bytes(value)):
                overlay.set(key, value)
                stack[-1][key] = value
            case ("delete", bytes(key)):
                overlay.delete(key)
                stack[-1].pop(key, None)
            case ("begin",):
                overlay.begin()
                stack.append(dict(stack[-1]))
            case ("commit",) if len(stack) > 1:
                overlay.commit_transaction()
                after = stack.pop()
                stack[-1] = after
            case ("rollback",) if len(stack) > 1:
                overlay.rollback()
                stack.pop()
        model = stack[-1]
        assert list(overlay.keys(b"")) == sorted(model)
        assert [overlay.get(key) for key in model] == list(model.values())
    while len(stack) > 1:
        overlay.rollback()
        stack.pop()

    model = stack[0]
    assert list(overlay.keys(prefix, start)) == [
        key for key in sorted(model) if key.startswith(prefix) and (start is None or key > start)
    ]
    assert overlay.root() == reference_root(model, 1)
    assert present(present({}, before), overlay.changes()) == model


def test_a_transaction_that_is_rolled_back_never_was() -> None:
    overlay = Overlay(MemoryBackend({b"a": b"1"}))

    overlay.begin()
    overlay.set(b"a", b"2")
    overlay.set(b"b", b"2")
    overlay.rollback()

    assert overlay.get(b"a") == b"1"
    assert overlay.get(b"b") is None
    assert overlay.changes() == {}


def test_an_inner_transaction_that_was_kept_is_undone_with_the_outer_one() -> None:
    overlay = Overlay(MemoryBackend())

    overlay.begin()
    overlay.begin()
    overlay.set(b"a", b"1")
    overlay.commit_transaction()
    overlay.rollback()

    assert overlay.get(b"a") is None


def test_keys_may_be_deleted_while_they_are_listed() -> None:
    overlay = Overlay(MemoryBackend({b"a1": b"", b"a2": b"", b"b": b""}))
    overlay.set(b"a3", b"")

    for key in overlay.keys(b"a"):
        overlay.delete(key)

    assert list(overlay.keys(b"")) == [b"b"]


def test_changes_leave_out_what_ends_as_it_was() -> None:
    overlay = Overlay(MemoryBackend({b"a": b"1"}))

    overlay.set(b"a", b"2")
    overlay.set(b"a", b"1")
    overlay.set(b"b", b"1")
    overlay.delete(b"b")

    assert overlay.changes() == {}


def test_the_commit_is_computed_once_until_something_is_written() -> None:
    overlay = Overlay(MemoryBackend())
    overlay.set(b"a", b"1")

    first = overlay.commit()
    assert overlay.commit() is first
    overlay.set(b"a", b"2")

    assert overlay.commit().root != first.root


def test_transactions_nested_too_deeply_stop_the_program() -> None:
    overlay = Overlay(MemoryBackend())
    for _ in range(TRANSACTION_DEPTH_MAX):
        overlay.begin()

    with pytest.raises(AssertionError, match="too deeply"):
        overlay.begin()


def test_the_state_before_can_be_read_after_its_child_was_made() -> None:
    before = MemoryBackend({b"a": b"1"})
    assert before.get(b"a") == b"1"

    after = before.child(before.storage_root({b"a": b"2"}))

    assert (before.get(b"a"), after.get(b"a")) == (b"1", b"2")
    assert before.root != after.root


def test_the_read_cache_forgets_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.state.backend.READS_MAX", 2)
    cache = ReadCache()
    asked: list[bytes] = []
    read: Callable[[bytes], bytes | None] = lambda key: asked.append(key)  # noqa: E731

    for key in (b"a", b"b", b"b", b"c", b"a"):
        cache.get(key, read)

    assert asked == [b"a", b"b", b"c", b"a"]

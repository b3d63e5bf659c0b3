"""Parts of a trie proved against its root."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.state.range_proof import prove_range, read_range
from runtime.state.trie import EMPTY_ROOT, ProofInvalid, Trie

values = st.binary(min_size=0, max_size=40) | st.just(bytes(100))
tries = st.dictionaries(st.binary(max_size=4), values, max_size=40)


def trie_of(content: Mapping[bytes, bytes]) -> Trie:
    return Trie.empty(1).update(dict(content)).trie


def copied(trie: Trie, bytes_max: int) -> tuple[dict[bytes, bytes], dict[str, bytes], int]:
    """All of a trie, part by part."""
    entries: dict[bytes, bytes] = {}
    nodes: dict[str, bytes] = {}
    after: bytes | None = None
    for count in range(1, 1_000):
        part = read_range(trie.root, prove_range(trie, after, bytes_max), after)
        assert [key for key, _ in part.entries] == sorted(key for key, _ in part.entries)
        assert not entries.keys() & dict(part.entries).keys()
        entries.update(part.entries)
        nodes.update(part.nodes)
        if part.is_last:
            return entries, nodes, count
        after = part.entries[-1][0]
    raise AssertionError("no end")


@given(tries, st.sampled_from([0, 60, 300, 1 << 20]))
def test_parts_of_any_size_make_the_whole_trie(content: dict[bytes, bytes], size: int) -> None:
    trie = trie_of(content)

    entries, nodes, count = copied(trie, size)

    assert entries == content
    stored = {
        path: node.encode()
        for path, node in Trie.empty(1).update(dict(content)).nodes.items()
        if node is not None
    }
    assert nodes == stored
    assert count <= len(content) + 1


@given(tries, st.binary(max_size=4))
def test_a_part_may_begin_behind_any_key(content: dict[bytes, bytes], after: bytes) -> None:
    trie = trie_of(content)

    part = read_range(trie.root, prove_range(trie, after, 1 << 20), after)

    assert part.is_last
    assert dict(part.entries) == {key: value for key, value in content.items() if key > after}


def test_what_is_left_out_or_changed_ends_the_part_there() -> None:
    rng = random.Random(4)
    content = {rng.randbytes(8): rng.randbytes(rng.choice((3, 50))) for _ in range(60)}
    trie = trie_of(content)
    items = prove_range(trie, None, 1 << 20)
    keys = sorted(content)
    for place in range(1, len(items)):
        for forged in (b"", bytes([items[place][0] ^ 1]) + items[place][1:]):
            try:
                part = read_range(trie.root, [*items[:place], forged, *items[place + 1 :]], None)
            except ProofInvalid:
                continue
            assert not part.is_last
            # No key is passed over and no value is another one.
            found = [key for key, _ in part.entries]
            assert found == keys[: len(found)]
            assert all(content[key] == value for key, value in part.entries)


def test_a_part_of_another_trie_proves_nothing() -> None:
    trie, other = trie_of({b"a": b"1", b"b": b"2"}), trie_of({b"a": b"1", b"b": b"3"})

    with pytest.raises(ProofInvalid, match="no key behind 0x is proved"):
        read_range(trie.root, prove_range(other, None, 1 << 20), None)
    with pytest.raises(ProofInvalid, match="no key behind 0x61 is proved"):
        read_range(trie.root, [], b"a")


def test_a_part_is_no_longer_than_it_may_be_by_one_entry() -> None:
    trie = trie_of({bytes([n]) * 8: bytes([n]) * 100 for n in range(100)})

    sizes = {sum(map(len, prove_range(trie, bytes([n]) * 8, 1_500))) for n in range(80)}

    assert max(sizes) < 1_500 + 100 + 3 * 600


def test_the_empty_trie_has_one_empty_part() -> None:
    part = read_range(EMPTY_ROOT, prove_range(trie_of({}), None, 100), None)

    assert (part.entries, part.nodes, part.is_last) == ([], {}, True)

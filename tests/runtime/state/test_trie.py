"""The trie against a twin that computes roots from scratch, and against a plain dict."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError
from runtime.state.node import decode_node, encode_node
from runtime.state.trie import EMPTY_ROOT, ProofInvalid, Trie, extrinsics_root, verify_proof
from tests.oracles.trie_reference import reference_root
from tests.runtime.state.strategies import CHANGES, KEYS, NodeFolder, present

ROUNDS = st.lists(CHANGES, min_size=1, max_size=6)
VERSIONS = st.sampled_from([0, 1])


@pytest.mark.slow
@given(ROUNDS, VERSIONS)
def test_the_root_depends_on_keys_and_values_alone(
    rounds: list[dict[bytes, bytes | None]], version: int
) -> None:
    trie, values = Trie.empty(version), dict[bytes, bytes]()

    for changes in rounds:
        trie, values = trie.update(changes).trie, present(values, changes)

        assert trie.root == reference_root(values, version)
        assert {key: trie.get(key) for key in trie.keys(b"")} == values
        assert [trie.get(key) for key, value in changes.items() if value is None] == [
            None for value in changes.values() if value is None
        ]


@pytest.mark.slow
@given(ROUNDS)
def test_a_trie_is_not_changed_by_updating_it(rounds: list[dict[bytes, bytes | None]]) -> None:
    tries, states = [Trie.empty(1)], [dict[bytes, bytes]()]
    for changes in rounds:
        tries.append(tries[-1].update(changes).trie)
        states.append(present(states[-1], changes))

    for trie, values in zip(tries, states, strict=True):
        assert {key: trie.get(key) for key in trie.keys(b"")} == values


@pytest.mark.slow
@given(ROUNDS, VERSIONS)
def test_a_commit_names_exactly_the_nodes_to_store_and_to_drop(
    rounds: list[dict[bytes, bytes | None]], version: int
) -> None:
    folder, root = NodeFolder(), EMPTY_ROOT

    for changes in rounds:
        commit = folder.trie(root, version).update(changes)
        folder.apply(commit)
        root = commit.root

        reopened = folder.trie(root, version)
        assert {key: reopened.get(key) for key in reopened.keys(b"")} == folder.values
        assert root == reference_root(folder.values, version)
        rebuilt = Trie.empty(version).update(folder.values).nodes
        stored = {path for path, node in rebuilt.items() if node is not None}
        assert set(folder.nodes) == stored


@pytest.mark.slow
@given(ROUNDS)
def test_forgetting_what_is_stored_loses_nothing(rounds: list[dict[bytes, bytes | None]]) -> None:
    folder, trie = NodeFolder(), Trie.empty(1)

    for changes in rounds:
        commit = trie.update(changes)
        folder.apply(commit)
        for node in commit.nodes.values():
            if node is not None:
                node.forget()
        trie = commit.trie.backed_by(folder)

        assert {key: trie.get(key) for key in trie.keys(b"")} == folder.values


@given(CHANGES, KEYS, st.none() | KEYS)
def test_keys_come_in_order_from_a_prefix_and_after_a_start(
    changes: dict[bytes, bytes | None], prefix: bytes, start: bytes | None
) -> None:
    values = present({}, changes)
    trie = Trie.empty(1).update(values).trie

    for wanted in (prefix, prefix[:1], b""):
        assert list(trie.keys(wanted, start)) == [
            key
            for key in sorted(values)
            if key.startswith(wanted) and (start is None or key > start)
        ]


@given(CHANGES, st.lists(KEYS, max_size=4), VERSIONS)
def test_a_proof_shows_values_and_absences(
    changes: dict[bytes, bytes | None], others: list[bytes], version: int
) -> None:
    values = present({}, changes)
    trie = Trie.empty(version).update(values).trie
    asked = [*list(values)[::2], *others]

    proof = trie.proof(asked)

    assert len(set(proof)) == len(proof)
    assert verify_proof(trie.root, proof, asked) == {key: values.get(key) for key in asked}


@pytest.mark.slow
@given(CHANGES.filter(lambda changes: any(changes.values())), st.data())
def test_a_proof_with_a_changed_item_is_refused(
    changes: dict[bytes, bytes | None], data: st.DataObject
) -> None:
    values = present({}, changes)
    trie = Trie.empty(1).update(values).trie
    key = data.draw(st.sampled_from(sorted(values)))
    proof = trie.proof([key])
    index = data.draw(st.integers(0, len(proof) - 1))
    item = proof[index]
    at = data.draw(st.integers(0, len(item) - 1))
    proof[index] = item[:at] + bytes([item[at] ^ 1]) + item[at + 1 :]

    with pytest.raises(ProofInvalid):
        verify_proof(trie.root, proof, [key])


@given(CHANGES, CHANGES, KEYS)
def test_the_merkle_value_of_a_prefix_changes_whenever_a_key_under_it_does(
    before: dict[bytes, bytes | None], changes: dict[bytes, bytes | None], prefix: bytes
) -> None:
    first, second = present({}, before), present(present({}, before), changes)
    found = [Trie.empty(1).update(values).trie.merkle_value(prefix) for values in (first, second)]

    under = [
        {key: value for key, value in values.items() if key.startswith(prefix)}
        for values in (first, second)
    ]
    assert [value is None for value in found] == [not values for values in under]
    if under[0] != under[1]:
        assert found[0] != found[1]


@given(CHANGES, KEYS)
def test_the_merkle_value_of_a_prefix_stands_in_the_proof_of_the_prefix(
    changes: dict[bytes, bytes | None], prefix: bytes
) -> None:
    trie = Trie.empty(1).update(present({}, changes)).trie

    value = trie.merkle_value(prefix)

    if value is not None:
        proof = trie.proof([prefix])
        hashes = {blake2_256(item) for item in proof}
        assert value in hashes if len(value) == 32 else any(value in item for item in proof)


def test_the_merkle_value_of_all_keys_is_the_root() -> None:
    trie = Trie.empty(1).update({b"abc": b"1", b"abd": b"2"}).trie

    assert trie.merkle_value(b"") == trie.merkle_value(b"ab") == trie.root
    assert trie.merkle_value(b"ac") is None
    assert Trie.empty(1).merkle_value(b"") is None


def test_a_long_value_is_an_item_of_its_own_in_a_proof() -> None:
    values = {b"long": bytes(33), b"short": bytes(32)}
    trie = Trie.empty(1).update(values).trie

    assert bytes(33) in trie.proof([b"long"])
    assert bytes(33) not in trie.proof([b"short"])


def test_deleting_what_is_absent_changes_nothing() -> None:
    trie = Trie.empty(1).update({b"abc": b"1", b"abd": b"2"}).trie

    commit = trie.update({b"a": None, b"abce": None, b"b": None, b"abe": None})

    assert commit.root == trie.root
    assert not commit.nodes


def test_an_empty_value_is_a_value() -> None:
    trie = Trie.empty(1).update({b"key": b""}).trie

    assert trie.get(b"key") == b""
    assert trie.root != EMPTY_ROOT


def test_a_node_that_is_missing_from_a_proof_is_named() -> None:
    trie = Trie.empty(1).update({bytes([i]) * 20: bytes(40) for i in range(40)}).trie
    proof = trie.proof([bytes(20)])

    with pytest.raises(ProofInvalid, match="the node at 0 is missing"):
        verify_proof(trie.root, [proof[0], *proof[2:]], [bytes(20)])


def test_the_extrinsics_root_depends_on_the_order() -> None:
    bodies = [bytes([size * 4]) + bytes(size) for size in range(40)]

    assert extrinsics_root([]) == EMPTY_ROOT
    assert extrinsics_root(bodies) != extrinsics_root(bodies[::-1])


@given(st.binary(max_size=80) | st.binary(min_size=1, max_size=4).map(lambda b: b + bytes(64)))
def test_arbitrary_bytes_are_a_node_or_refused(data: bytes) -> None:
    try:
        node = decode_node(data)
    except DecodeError:
        return
    again = encode_node(node.partial, node.value, node.value_hash, node.children)
    assert decode_node(again).reference == decode_node(data).reference or len(again) < len(data)
    assert node.hash == blake2_256(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "ends after 0 bytes"),
        ("00", "no trie node begins with 0x00"),
        ("0f", "no trie node begins with 0x0f"),
        ("41f000", "padding nibble f"),
        ("800000", "a branch without children"),
        ("8001000c", "in the middle"),
        ("80010084" + "00" * 33, "child reference"),
        ("8001000500" + "00" * 33, "child reference"),
        ("42aa04bb00", "1 bytes after a trie node"),
        ("42aa08bb", "in the middle"),
        ("7f" + "ff" * 300, "more than 65536 nibbles"),
        ("21aa", "padding nibble a"),
    ],
)
def test_a_malformed_node_is_refused_with_the_reason(data: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_node(bytes.fromhex(data))


@pytest.mark.slow
@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_many_changes_at_once_agree_with_the_twin(seed: int) -> None:
    rng = random.Random(seed)
    trie, values = Trie.empty(1), dict[bytes, bytes]()
    for _ in range(5):
        changes: dict[bytes, bytes | None] = {
            rng.randbytes(rng.choice([1, 2, 8])): rng.randbytes(rng.choice([1, 32, 33]))
            for _ in range(200)
        }
        changes.update(dict.fromkeys(rng.sample(sorted(values), len(values) // 2)))
        trie, values = trie.update(changes).trie, present(values, changes)

        assert trie.root == reference_root(values, 1)

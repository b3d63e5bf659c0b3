"""Keys and values that meet each other: short alphabets, shared beginnings, keys inside keys."""

from hypothesis import strategies as st

from runtime.state.node import Node, decode_node
from runtime.state.trie import Trie, TrieCommit

KEYS = st.one_of(
    st.binary(max_size=3),
    st.lists(st.sampled_from([b"\x00", b"\x01", b"\x10", b"\x11", b"\xff"]), max_size=5).map(
        b"".join
    ),
    st.builds(
        bytes.__add__, st.sampled_from([b"system" * 5, b"market" * 5]), st.binary(max_size=2)
    ),
)
VALUES = st.one_of(st.binary(max_size=3), st.binary(min_size=30, max_size=36))
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=12)


def present(values: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    """The naive model: `values` after `changes`."""
    after = {**values, **changes}
    return {key: value for key, value in after.items() if value is not None}


class NodeFolder:
    """Nodes by path and values by key, as a database would keep those of one state."""

    def __init__(self) -> None:
        self.nodes: dict[str, bytes] = {}
        self.values: dict[bytes, bytes] = {}

    def apply(self, commit: TrieCommit) -> None:
        """Follow a commit."""
        for path, node in commit.nodes.items():
            if node is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = node.encode()
        self.values = present(self.values, dict(commit.values))

    def node(self, path: str, node_hash: bytes) -> Node:
        """The node at a path; it has to be the one asked for."""
        node = decode_node(self.nodes[path])
        assert node.hash == node_hash
        return node

    def value(self, key: bytes, value_hash: bytes) -> bytes:
        """The value of a key."""
        return self.values[key]

    def trie(self, root: bytes, version: int) -> Trie:
        """A trie of which nothing is in memory yet."""
        return Trie(root, version, None, self)

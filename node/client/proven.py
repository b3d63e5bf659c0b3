"""A state of which only what was proved by read proofs can be read."""

from collections.abc import Iterator, Mapping, Sequence

from node.client.finality import ProofRefused
from node.client.signing import Caller
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash
from runtime.state.trie import ProofInvalid, TrieCommit, verify_proof

KEYS_AT_ONCE = 256  # a node proves 1 024; the values of a large zone fill its reply sooner
OVERSIZED = -32008
"""JSON-RPC code of a reply that would be larger than the node gives."""


class ProvenState:
    """The state under a root, key by key. A `Backend` that refuses what was not proved."""

    def __init__(self, root: Hash, block: Hash) -> None:
        self._root = root
        self._block = block
        self._values: dict[bytes, bytes | None] = {}

    async def prove(self, node: Caller, keys: Sequence[bytes]) -> None:
        """Have a node prove what is, or is not, under keys. Raises `ProofRefused`."""
        waiting = [keys[at : at + KEYS_AT_ONCE] for at in range(0, len(keys), KEYS_AT_ONCE)]
        while waiting:
            part = waiting.pop()
            items = await self._proof(node, part)
            if items is None:
                middle = len(part) // 2
                waiting += [part[:middle], part[middle:]]
                continue
            try:
                self._values.update(verify_proof(self._root, items, part))
            except (ProofInvalid, DecodeError) as error:
                raise ProofRefused(f"A read proof does not fit the state root: {error}.") from error

    async def _proof(self, node: Caller, keys: Sequence[bytes]) -> list[bytes] | None:
        """The items of a proof; None when they would be too many for one reply."""
        params = [["0x" + key.hex() for key in keys], "0x" + self._block.hex()]
        try:
            answer = await node.call("state_getReadProof", params)
        except Exception as error:
            if getattr(error, "code", None) == OVERSIZED and len(keys) > 1:
                return None
            raise
        try:
            return [bytes.fromhex(item[2:]) for item in answer["proof"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ProofRefused(f"A read proof cannot be read: {error}.") from error

    # --- `runtime.state.backend.Backend`

    @property
    def root(self) -> Hash:
        """The root that everything is proved against."""
        return self._root

    def get(self, key: bytes) -> bytes | None:
        """The proved value under a key, or its proved absence."""
        if key not in self._values:
            raise ProofRefused(f"0x{key.hex()} was read, and not proved.")
        return self._values[key]

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """No proof tells all keys of a prefix."""
        raise ProofRefused(f"The keys under 0x{prefix.hex()} were read, and not proved.")

    def storage_root(self, changes: Mapping[bytes, bytes | None]) -> TrieCommit:
        """Nothing is written to a proved state."""
        raise ProofRefused("A proved state cannot be changed.")

"""The genesis state from a chain specification, and the header of block 0.

The state is what the pallets write from their sections, and `:code`, by which a node sees whether
it runs the chain's version.
"""

from collections.abc import Mapping
from typing import Any

from runtime.frame.dispatch import DispatchError
from runtime.primitives.block import Digest, Header
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import ZERO_HASH, Hash
from runtime.runtime import CODE_KEY, Runtime
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay

EMPTY_TRIE_ROOT = blake2_256(b"\0")


def genesis_storage(runtime: Runtime, sections: Mapping[str, Any]) -> dict[bytes, bytes]:
    """The state of block 0. `sections` has one section per pallet, by its name in the runtime.

    Raises a `ValueError` that names the section which is wrong.
    """
    known = runtime.genesis_sections()
    unknown = sorted(set(sections) - set(known))
    if unknown:
        raise ValueError(f"unknown sections {unknown}, expected some of {sorted(known)}")
    overlay = Overlay(MemoryBackend())
    runtime.bind(overlay)
    for name, pallet in known.items():
        try:
            pallet.genesis(sections.get(name, {}))
        except KeyError as error:
            raise ValueError(f"section {name!r} lacks the field {error}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"section {name!r}: {error}") from error
        except DispatchError as error:
            reason = f"{type(error).__name__}: {type(error).__doc__}"
            raise ValueError(f"section {name!r}: {reason}") from error
    overlay.set(CODE_KEY, runtime.code())
    runtime.check_invariants(overlay)
    return {key: value for key, value in overlay.changes().items() if value is not None}


def genesis_header(root: Hash) -> Header:
    """The header of block 0 over a state."""
    return Header(ZERO_HASH, 0, root, EMPTY_TRIE_ROOT, Digest([]))

"""Chain specification files: who a chain is, its constants, and its state at the beginning.

    {"name": …, "id": …, "chainType": "Local", "bootNodes": […], "properties": {…},
     "constants": {"slot_duration_ms": …, …}, "genesis": {"balances": {…}, "trading": {…}, …}}

`constants` are the runtime's (see `runtime.runtime.Constants`); they are part of the metadata and,
through its hash, of the genesis block, so nodes with other constants are on another chain.
`genesis` has one section per pallet. `checkpoint`, which may be left out, is a block that the chain
has to contain: {"number": 4711, "hash": "0x…"}; it is no part of the genesis.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from node.errors import ConfigInvalid
from rpc.ports import Json

if TYPE_CHECKING:
    from runtime.runtime import Runtime

FILE_BYTES_MAX = 64 << 20  # a genesis of 100 000 accounts has some 10 MB
_FIELDS = ("name", "id", "chainType", "bootNodes", "properties", "constants", "genesis")


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A chain specification whose form has been checked."""

    name: str
    id: str
    chain_type: str
    boot_nodes: tuple[str, ...]
    properties: Mapping[str, Json]
    constants: Mapping[str, Any]
    genesis: Mapping[str, Any]
    checkpoint: tuple[int, bytes] | None = None
    """Height and hash of a block that is part of the chain."""

    def runtime(self, invariants: bool = False) -> "Runtime":
        """The runtime with this chain's constants. Raises `ConfigInvalid`."""
        # Imported here: whoever only writes or reads a specification needs no compiled kernels.
        from runtime.runtime import Constants, Runtime

        known = set(Constants.__annotations__)
        unknown, missing = set(self.constants) - known, known - set(self.constants)
        if unknown or missing:
            raise ConfigInvalid(
                f"The constants of chain {self.name!r} do not fit this runtime: "
                f"unknown {sorted(unknown)}, missing {sorted(missing)}. Build the chain "
                "specification with this version: dret chain-spec build"
            )
        try:
            return Runtime(Constants(**self.constants), invariants=invariants)
        except (TypeError, ValueError) as error:
            raise ConfigInvalid(f"The constants of chain {self.name!r}: {error}") from error

    def genesis_storage(self, runtime: "Runtime") -> dict[bytes, bytes]:
        """The state of block 0. Raises `ConfigInvalid` naming the section that is wrong."""
        from runtime.genesis import genesis_storage

        try:
            return genesis_storage(runtime, self.genesis)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigInvalid(f"The genesis of chain {self.name!r}: {error}") from error

    def encode(self) -> str:
        """The file's text; keys in a fixed order, so that equal specifications are equal bytes."""
        content = {
            "name": self.name,
            "id": self.id,
            "chainType": self.chain_type,
            "bootNodes": list(self.boot_nodes),
            "properties": dict(self.properties),
            "constants": dict(self.constants),
            "genesis": dict(self.genesis),
        }
        if self.checkpoint is not None:
            number, block_hash = self.checkpoint
            content["checkpoint"] = {"number": number, "hash": "0x" + block_hash.hex()}
        return json.dumps(content, indent=1) + "\n"


def load_chain_spec(path: Path) -> ChainSpec:
    """Read a chain specification. Raises `ConfigInvalid` with file, field, found and expected."""
    try:
        with path.open("rb") as file:
            # Not by what the file system says: a device has no size and no end.
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigInvalid(
            f"The chain specification {path} cannot be read: {error.strerror}. "
            "Pass --chain FILE; dret chain-spec build makes one."
        ) from error
    if len(text) > FILE_BYTES_MAX:
        raise ConfigInvalid(
            f"{path} has more than {FILE_BYTES_MAX} bytes, the most that a chain specification may "
            "have. Is it another file?"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(
            f"The chain specification {path} is not JSON: {error}. Get it again from somebody on "
            "the chain: dret chain-spec build makes a new one, which is another chain."
        ) from error
    return parse_chain_spec(content, str(path))


def parse_chain_spec(content: Any, origin: str) -> ChainSpec:
    """Check the form of a chain specification that was read from `origin`."""
    if not isinstance(content, dict):
        raise ConfigInvalid(f"{origin}: expected an object, found {type(content).__name__}")
    fields = cast(Mapping[str, Any], content)
    kinds: dict[str, type] = {"bootNodes": list, "properties": dict, "constants": dict}
    kinds["genesis"] = dict
    for name in _FIELDS:
        kind = kinds.get(name, str)
        if not isinstance(fields.get(name), kind):
            found = type(fields[name]).__name__ if name in fields else "nothing"
            raise ConfigInvalid(
                f"{origin}: field {name!r}: expected {kind.__name__}, found {found}"
            )
    return ChainSpec(
        name=fields["name"],
        id=fields["id"],
        chain_type=fields["chainType"],
        boot_nodes=tuple(str(address) for address in fields["bootNodes"]),
        properties=fields["properties"],
        constants=fields["constants"],
        genesis=fields["genesis"],
        checkpoint=_checkpoint(fields.get("checkpoint"), origin),
    )


def parse_checkpoint(text: str) -> tuple[int, bytes]:
    """`NUMBER:0xHASH`. Raises `ConfigInvalid`."""
    number, _, block_hash = text.partition(":")
    match = re.fullmatch("0x([0-9a-fA-F]{64})", block_hash)
    if match is None or not number.isdecimal() or not 0 < int(number) < 1 << 32:
        raise ConfigInvalid(
            f"--checkpoint {text}: expected NUMBER:0xHASH, height and hash of a final block."
        )
    return int(number), bytes.fromhex(match[1])


def _checkpoint(found: Any, origin: str) -> tuple[int, bytes] | None:
    if found is None:
        return None
    try:
        return parse_checkpoint(f"{found['number']}:{found['hash']}")
    except (ConfigInvalid, KeyError, TypeError) as error:
        raise ConfigInvalid(
            f"{origin}: field 'checkpoint': expected number and hash (0x…), found {found}"
        ) from error

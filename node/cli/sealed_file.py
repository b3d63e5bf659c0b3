"""The file with the secret of a sealed order: all that its reveal needs.

A JSON object, readable by its owner only, written before the commitment is sent and never written
over: whoever loses it cannot reveal the order and loses the deposit, whoever else reads it knows
the order before the others do.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import asyncclick as click

from runtime.primitives.sealed_order import SALT_BYTES, commitment_of

FILE_BYTES_MAX = 4_096  # one that is written here has about 500
HASH_BYTES = 32


class SecretError(click.ClickException):
    """A file that is no secret of a sealed order, or could not be written."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Secret:
    """A sealed order with its salt, and where it belongs. Byte strings in hex."""

    chain: str
    """Hash of the genesis block."""

    account: str
    connection: int
    interval: int
    bus: int
    side: int
    """0 an offer, 1 a bid."""

    price_micro: int
    quantity_wh: int
    salt: str

    def commitment(self) -> bytes:
        """What hides it."""
        return commitment_of(
            bytes.fromhex(self.account[2:]),
            self.connection,
            self.interval,
            self.bus,
            self.side,
            self.price_micro,
            self.quantity_wh,
            bytes.fromhex(self.salt[2:]),
        )


LIMITS = {
    "connection": range(2**32),
    "interval": range(2**32),
    "bus": range(2**16),
    "side": range(2),
    "price_micro": range(-(2**63), 2**63),
    "quantity_wh": range(2**32),
}
HEX_BYTES = {"chain": HASH_BYTES, "account": HASH_BYTES, "salt": SALT_BYTES}


def write_secret(path: Path, secret: Secret) -> None:
    """Write a new file, on the disk when this returns. Raises `SecretError`."""
    content = json.dumps(asdict(secret), indent=1) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        raise SecretError(
            f"{path} is there: it may be the only key to another sealed order. Name another file."
        ) from error
    except OSError as error:
        raise SecretError(f"{path} cannot be written: {error.strerror}.") from error


def read_secret(path: Path) -> Secret:
    """The secret in a file. Raises `SecretError` saying what is wrong of it."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SecretError(
            f"{path} cannot be read: {error.strerror}. Without the file an order cannot be "
            "revealed, and its deposit goes to the grid operator."
        ) from error
    if len(raw) > FILE_BYTES_MAX:
        raise SecretError(f"{path} has more than {FILE_BYTES_MAX} bytes: not of a sealed order.")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise SecretError(f"{path} is not JSON: {error}") from error
    names = [field.name for field in fields(Secret)]
    if not isinstance(content, dict) or sorted(cast("dict[str, object]", content)) != sorted(names):
        raise SecretError(f"{path}: expected an object with {', '.join(names)}.")
    values = cast("dict[str, object]", content)
    for name, limits in LIMITS.items():
        value = values[name]
        if not isinstance(value, int) or isinstance(value, bool) or value not in limits:
            raise SecretError(
                f"{path}: {name} is {value!r}, expected {limits.start} to {limits.stop - 1}."
            )
    for name, size in HEX_BYTES.items():
        if not is_hex(values[name], size):
            raise SecretError(f"{path}: {name} is {values[name]!r}, expected 0x and {size} bytes.")
    return Secret(**cast("dict[str, Any]", values))  # each was checked


def is_hex(value: object, size: int) -> bool:
    """Whether a value is a text of so many bytes in hex."""
    if not isinstance(value, str) or not value.startswith("0x"):
        return False
    try:
        return len(bytes.fromhex(value[2:])) == size and len(value) == 2 + 2 * size
    except ValueError:
        return False

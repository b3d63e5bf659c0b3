"""Reads the vector files; `substrate/README.md` says where each comes from."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def load(name: str) -> Any:
    """The JSON file `name` below this folder."""
    return json.loads((FOLDER / name).read_text())


def unhex(text: str) -> bytes:
    """The bytes of `0x…` or plain hexadecimal."""
    return bytes.fromhex(text.removeprefix("0x"))

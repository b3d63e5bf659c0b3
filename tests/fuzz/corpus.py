"""The inputs worth keeping: one file for each target, one input a line, in hex.

A run begins with them and with seeds made from known answers; `python -m tests.fuzz keep` lets
libFuzzer choose those that reach what no other reaches.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.targets import method_names, scale_kinds
from tests.rpc.fake_node import ALICE, VECTORS
from tests.support import new_runtime

FOLDER = Path(__file__).parent / "corpus"
TEXT_BYTES_MAX = 1_000  # of a seed; longer ones only make a run slower


def load(target: str) -> list[bytes]:
    """What is kept for a target."""
    path = FOLDER / f"{target}.hex"
    return [bytes.fromhex(line) for line in path.read_text().split()] if path.exists() else []


def save(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these and no others; short ones first."""
    lines = sorted({data.hex() for data in inputs}, key=lambda line: (len(line), line))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{target}.hex").write_text("\n".join(lines) + "\n")


def seeds(target: str) -> list[bytes]:
    """Inputs that mean something."""
    made = {"scale": _scale_seeds, "rpc": _rpc_seeds, "frames": _frame_seeds}[target]()
    return [data for data in made if len(data) <= TEXT_BYTES_MAX]


def _scale_seeds() -> list[bytes]:
    found: list[bytes] = []
    client_vectors = json.loads((VECTORS / "client_vectors.json").read_text())
    texts = [text for text in _texts(client_vectors) if text.startswith("0x")]
    for text in texts:
        try:
            data = bytes.fromhex(text[2:])
        except ValueError:
            continue
        found += [bytes([kind]) + data for kind in range(len(scale_kinds()))]
    remark = new_runtime().assembly.encode_call("System", "remark", remark=b"remark")
    return [*found, b"\x01" + remark]


def _rpc_seeds() -> list[bytes]:
    found: list[bytes] = []
    for log in sorted(VECTORS.glob("rpclog_*.jsonl")):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if "m" in entry:
                call = {"jsonrpc": "2.0", "id": 1, "method": entry["m"], "params": entry["p"]}
                found.append(json.dumps(call).encode())
    return [*found, b"[" + b",".join(found[:3]) + b"]"]


def _frame_seeds() -> list[bytes]:
    mask = bytes(4)
    text, ping = b"\x81\x85" + mask + b"hello", b"\x89\x82" + mask + b"hi"
    parts = b"\x01\x82" + mask + b"he" + ping + b"\x80\x83" + mask + b"llo"
    large = b"\x82\xfe\x00\x80" + mask + bytes(128)
    close = b"\x88\x82" + mask + b"\x03\xe8"
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 5\r\nOrigin: http://localhost:1\r\nConnection: keep-alive\r\n\r\n"
    )
    streams = [text, ping, parts, large, text + parts + large + close]
    return [*(b"\x07" + stream for stream in streams), b"\xff" + head]


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


def words(target: str) -> list[str]:
    """What libFuzzer may put into an input besides bytes."""
    if target != "rpc":
        return []
    texts = [*method_names(), "jsonrpc", "params", "method", "key", "type", "hash", "0x"]
    return [*texts, "descendantsValues", "closestDescendantMerkleValue", ALICE.hex()]

"""Validators of a local network whose keys are in a signer process of their own.

Everything of a signer is in `signers/NAME` of the network's folder: its keystore with the public
development key, what it has signed, and its socket.
"""

from collections.abc import Sequence
from pathlib import Path

from devnet.plan import NodePlan
from node.interpreter import module_command
from node.keystore import KEY_TYPES, Keystore

SIGNERS = "signers"
KEYSTORE = "keystore"


def process_name(node: str) -> str:
    """What the signer of a node is called among the network's processes."""
    return f"{node}-signer"


def socket_path(folder: Path, node: str) -> Path:
    """Where a node finds its signer."""
    return folder / SIGNERS / node / "socket"


def make_keystores(folder: Path, nodes: Sequence[NodePlan], names: Sequence[str]) -> None:
    """Give each of the named validators' signers its keys."""
    for node in nodes:
        if node.name in names:
            assert node.suri is not None, "only validators can be named"
            keystore = Keystore(folder / SIGNERS / node.name / KEYSTORE)
            for key_type in KEY_TYPES:
                keystore.insert(key_type, node.suri)


def command(folder: Path, node: str) -> list[str]:
    """How the signer of a node is started."""
    return [
        *module_command("node", "signer", "run"),
        *("--keystore", str(folder / SIGNERS / node / KEYSTORE)),
        *("--socket", str(socket_path(folder, node))),
    ]

"""Which processes a local network has, where they live and which ports they take.

Everything here follows from the options alone: the same options give the same names, keys, ports
and folders. The keys are publicly known development keys; a network with them is worth nothing.
"""

import hashlib
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from devnet.dataset import BUNDLED, grids_in
from node.errors import ConfigInvalid, PortTaken

RPC_PORT, P2P_PORT, METRICS_PORT = 9944, 30333, 9615
GUARD_PORT = 9943  # held by the supervisor, below the nodes' RPC ports
PORT_BLOCK_STEP = 100
PORT_BLOCKS_MAX = 20  # how many blocks of ports are tried before giving up
WINDOWS = ("spring", "summer", "winter")
NO_DEVICES, DEVICES_ALONE, DEVICES_IN_MARKET = DEVICES = ("none", "own-rule", "market")
"""Whether homes have flexible devices, and whether these have coupled orders or only own rules."""

TRADER_WH_MAX = 2**26 - 1  # of one order, as the market has it; numpy is not loaded for that
VALIDATORS = (
    ("alice", "Utility North", "//Alice"),
    ("bob", "Utility South", "//Bob"),
    ("charlie", "Utility East", "//Charlie"),
    ("dave", "Utility West", "//Dave"),
)
PROSUMERS = (("sunny-street", "Sunny Street"), ("wind-coop", "Wind Co-op"))
HOMES = "homes"


class Account(NamedTuple):
    """An account of a network with its public secret."""

    name: str
    address: str
    suri: str


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """What `dret devnet up` was asked for."""

    scenario: str = "semiurb4"
    window: str = "spring"
    data: Path = BUNDLED
    trader_wh: int = 60_000
    devices: str = DEVICES_IN_MARKET
    root: Path = Path(".devnet")
    fresh: bool = False
    remote_signers: tuple[str, ...] = ()
    """Validators whose keys are in a process of their own."""

    @property
    def folder(self) -> Path:
        """Where everything of this network is kept."""
        return self.root / self.scenario


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node process."""

    name: str
    title: str
    role: str
    """authority or full."""
    rpc_port: int
    p2p_port: int
    metrics_port: int
    suri: str | None
    """The development key of a validator."""

    @property
    def rpc_url(self) -> str:
        """The WebSocket address of the node."""
        return f"ws://127.0.0.1:{self.rpc_port}"

    @property
    def node_seed(self) -> bytes:
        """The seed of the network identity: 32 bytes that follow from the name."""
        return node_seed(self.name)


def node_seed(name: str) -> bytes:
    """The seed of the network identity of a node of this name."""
    return hashlib.sha256(f"dret devnet/node/{name}/p2p".encode()).digest()


def plan_nodes(shift: int = 0) -> list[NodePlan]:
    """The six nodes with their ports moved by `shift`."""
    people = [(name, title, "authority", suri) for name, title, suri in VALIDATORS]
    people += [(name, title, "full", None) for name, title in PROSUMERS]  # type: ignore[misc]
    return [
        NodePlan(
            name,
            title,
            role,
            RPC_PORT + shift + index,
            P2P_PORT + shift + index,
            METRICS_PORT + shift + index,
            suri,
        )
        for index, (name, title, role, suri) in enumerate(people)
    ]


def reserve_nodes() -> tuple[list[NodePlan], socket.socket]:
    """The six nodes on the first block of ports that is free, and what keeps it ours.

    The socket holds the block's guard port until it is closed: so two networks that are started at
    the same moment do not choose the same block. Raises `PortTaken`.
    """
    taken: list[int] = []
    for block in range(PORT_BLOCKS_MAX):
        shift = block * PORT_BLOCK_STEP
        nodes = plan_nodes(shift)
        ports = [
            port for node in nodes for port in (node.rpc_port, node.p2p_port, node.metrics_port)
        ]
        taken = [port for port in ports if not is_port_free(port)]
        guard = None if taken else _bind(GUARD_PORT + shift)
        if guard is not None:
            return nodes, guard
    raise PortTaken(
        f"No free block of ports: {PORT_BLOCKS_MAX} blocks from {RPC_PORT} on were tried, in the "
        f"last one {taken or 'the guard port'} is in use. Stop what listens there "
        "(dret devnet down)."
    )


def is_port_free(port: int) -> bool:
    """Whether a process could listen on this port of the loopback interface now."""
    probe = _bind(port)
    if probe is None:
        return False
    probe.close()
    return True


def _bind(port: int) -> socket.socket | None:
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
        # Two sockets may be bound to one port as long as none of them listens.
        holder.listen(1)
    except OSError:
        holder.close()
        return None
    return holder


def check_options(options: DevnetOptions) -> None:
    """Raise `ConfigInvalid` for an option that cannot work."""
    if options.window not in WINDOWS:
        raise ConfigInvalid(
            f"There is no window {options.window!r}; choose one of {', '.join(WINDOWS)}."
        )
    if not 0 <= options.trader_wh <= TRADER_WH_MAX:
        raise ConfigInvalid(
            f"--trader-wh is {options.trader_wh}; it must be from 0 (off) to {TRADER_WH_MAX} Wh."
        )
    if options.devices not in DEVICES:
        raise ConfigInvalid(
            f"--devices is {options.devices!r}; choose one of {', '.join(DEVICES)}."
        )
    grids = grids_in(options.data)
    if options.scenario not in grids:
        raise ConfigInvalid(
            f"There is no grid {options.scenario!r} in {options.data}: found "
            f"{', '.join(grids) or 'no grid_NAME.csv at all'}."
        )


def as_json(node: NodePlan) -> dict[str, object]:
    """A node for `state.json`."""
    return asdict(node)

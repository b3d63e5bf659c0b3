"""All settings of a node, in one frozen record. Names and defaults are Substrate's flags."""

from dataclasses import dataclass, field
from pathlib import Path

from rpc.config import DEFAULT_ORIGINS, Limits


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What `dret node run` was told. Ports of 0 let the system choose (tests)."""

    chain: Path
    """The chain specification file."""

    base_path: Path
    name: str = "node"
    is_validator: bool = False
    dev_key: str | None = None
    """A development key (//Alice …) held in memory for this run."""

    force_authoring: bool = False

    listen_address: str = "127.0.0.1"
    port: int = 30333
    node_key: bytes | None = None
    """Seed of the network identity; None: the one stored under base_path, made when missing."""

    reserved_nodes: tuple[str, ...] = ()
    bootnodes: tuple[str, ...] = ()
    in_peers: int = 25
    out_peers: int = 15

    rpc_port: int = 9944
    rpc_address: str = "127.0.0.1"
    rpc_methods: str = "auto"
    rpc_cors: tuple[str, ...] | None = DEFAULT_ORIGINS
    """Origins of web pages that may call; None allows all."""

    rpc_limits: Limits = field(default_factory=Limits)

    prometheus_port: int | None = 9615
    prometheus_address: str = "127.0.0.1"
    state_pruning: int | None = 256
    """How many finalized states are kept; None is `archive`."""

    sync: str = "full"
    """full: every block from the first on; warp: the last final state first, old blocks later."""

    checkpoint: tuple[int, bytes] | None = None
    """Height and hash of a block that the chain has to contain; before that of the chain's file."""

    disk_free_min_mib: int = 128
    """With less space the node is read-only; 0 waits for the disk to refuse a write."""

    disk_period_s: float = 5.0
    keystore_path: Path | None = None
    remote_signer: Path | None = None
    """The socket of the process that holds the session keys; then the node has none itself."""

    password: str | None = None
    parent_fd: int | None = None
    """Lifeline: the node ends when the other end of this pipe closes."""

    wall_clock_offset_ms: int = 0
    """For drills with a wrong clock."""

    @property
    def is_single(self) -> bool:
        """Whether the node is meant to run without peers, as with `--dev`."""
        return self.force_authoring and not (self.reserved_nodes or self.bootnodes)

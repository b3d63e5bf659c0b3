"""Builds a node from its settings and runs everything in one nursery. Read this first.

    network ──▶ wire ──▶ engine ──▶ core          the core decides,
                  │         │  ▲                  the engine carries out:
                  ▼         ▼  │
                pool ◀── heads chain ──▶ database
                  ▲         │
                  └── rpc ◀─┘

Whatever fails here ends the node in order: the database is closed, the ports are free, and the
error says what to do. Nothing is half done, since only atomic batches change the disk.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from importlib.metadata import version
from typing import TypeVar, cast

import trio

from consensus import effects, events
from consensus.core import Core
from consensus.effects import AlarmKind
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import ConsensusConfig
from node.chain import Chain, extrinsic_hash
from node.chain_spec import ChainSpec, load_chain_spec
from node.checks import NativeChecks
from node.clock import Clock, SystemClock
from node.config import NodeConfig
from node.database import Database
from node.disk import DiskWatch
from node.dret_port import DretAdapter
from node.duties import Duties
from node.engine import Engine, Notifications
from node.errors import ConfigInvalid, DiskFailed, NodeError, PortTaken, StorageUnusable
from node.file_limit import raise_file_limit
from node.finality_report import stopped_set
from node.heads import Heads
from node.kernels import prepare_kernels
from node.keystore import draw_seed, parse_node_key, write_private
from node.lifeline import stop_on_signal, stop_with_parent
from node.market_view import MarketView
from node.metrics import Instruments, MetricsServer
from node.override_file import installed
from node.pool import (
    ForgedExtrinsic,
    InvalidExtrinsic,
    MalformedExtrinsic,
    Pool,
    UnknownValidity,
    Validity,
)
from node.port_holder import describe_taken
from node.readings import read_node
from node.receipts import Receipts
from node.repair import finish_repair
from node.rpc_ports import (
    ChainAdapter,
    KeysAdapter,
    NetworkView,
    PoolAdapter,
    StateAdapter,
    SystemAdapter,
)
from node.signing.opening import keys_held, open_signer
from node.signing.port import SessionSigner
from node.sync_server import SyncServer
from node.warp import FOLDER, Warper, swap
from node.wire import NetworkWire, make_status
from p2p.network import Network, NetworkConfig
from p2p.ports import AddressInvalid, ListenError
from rpc import ports
from rpc.config import MethodSet, RpcConfig
from rpc.listener import PortInUse
from rpc.server import Server
from rpc.stats import RpcStats
from runtime.frame.extensions import InvalidTransaction
from runtime.runtime import UnknownVersion
from runtime.state.overlay import Overlay

log = logging.getLogger("node")

NODE_KEY_FILE = "network/secret_ed25519"  # below the base path, as Substrate names it
NODE_VERSION = version("dret")

Found = TypeVar("Found", bound=BaseException)


@dataclass
class NodeParts:
    """What a running node is made of; tests look inside."""

    config: NodeConfig
    spec: ChainSpec
    chain: Chain
    pool: Pool
    network: Network
    wire: NetworkWire
    engine: Engine
    server: Server
    metrics: MetricsServer
    instruments: Instruments
    disk: DiskWatch
    prometheus_port: int | None = None


async def run_node(
    config: NodeConfig, task_status: trio.TaskStatus[NodeParts] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a node until it is told to stop. Raises `NodeError` with an exit code."""
    spec = load_chain_spec(config.chain)
    try:
        config.base_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigInvalid(
            f"The base path {config.base_path} cannot be made: {error.strerror}. "
            "Pass another one with --base-path."
        ) from error
    raise_file_limit(config.rpc_limits.connections_max)
    # A kernel that is compiled inside a block would hold up everything else for many seconds.
    prepare_kernels()
    clock, started = SystemClock(config.wall_clock_offset_ms), _Once(task_status)
    ending = _Ending.AGAIN
    while ending is not _Ending.STOPPED:
        finish_repair(config.base_path)
        database = Database.open(config.base_path / "db")
        try:
            with keys_held(config):
                parts = _build(config, spec, clock, database)
                ending = await _run(parts, started)
        finally:
            database.close()
            log.info("The database is closed")
        if ending is _Ending.WARPED:
            swap(config.base_path / "db")
        # On the same ports again, also when the system chose them.
        config = replace(
            config,
            sync="full" if ending in (_Ending.WARPED, _Ending.NOT_WARPED) else config.sync,
            port=parts.network.port,
            rpc_port=parts.server.port,
            prometheus_port=parts.prometheus_port,
        )


class _Ending(Enum):
    """Why a node's parts have ended, and so what comes next."""

    STOPPED = auto()
    """It was told to."""

    AGAIN = auto()
    """The disk takes writes again: all is to be built anew from what is stored."""

    WARPED = auto()
    """The last final state is there, in a database of its own."""

    NOT_WARPED = auto()
    """A warp is not worth while: block by block."""


class _Once:
    """Tells that the node runs, the first time it does."""

    def __init__(self, task_status: trio.TaskStatus[NodeParts]) -> None:
        self._task_status: trio.TaskStatus[NodeParts] | None = task_status

    def __call__(self, parts: NodeParts) -> None:
        if self._task_status is not None:
            self._task_status.started(parts)
            self._task_status = None


def _build(config: NodeConfig, spec: ChainSpec, clock: Clock, database: Database) -> NodeParts:
    runtime = spec.runtime()
    chain = Chain.open(database, runtime, spec.genesis_storage(runtime), config.state_pruning)
    _refuse_other_code(chain)
    checkpoint = config.checkpoint or spec.checkpoint
    _refuse_other_history(chain, checkpoint)
    signer = open_signer(config)
    rng = random.Random(draw_seed())
    pool = Pool(_validator(chain), extrinsic_hash, runtime.tags_of, clock.monotonic_ms)
    network = _network(config, spec, chain, clock, rng)
    wire = NetworkWire(network, pool)
    heads = Heads(chain, pool)
    instruments = Instruments()
    receipts = Receipts(
        chain,
        pool,
        signer if config.is_validator else None,
        clock,
        config.base_path,
        wire.pass_on,
    )
    duties = Duties(
        chain, pool, signer if config.is_validator else None, wire.pass_on, rng, NODE_VERSION
    )

    def follow_best(effect: effects.NotifyBest) -> None:
        heads.best(effect)
        duties.best(effect)

    engine = Engine(
        _core(config, chain, signer, checkpoint),
        chain,
        pool,
        signer,
        wire,
        clock,
        Notifications(
            heads.imported, follow_best, heads.finalized, instruments.alarm, duties.report
        ),
        rng,
        instruments,
        receipts.due,
    )
    view = NetworkView(network, config.is_single)
    market = MarketView(chain)
    sync_target = _sync_target(chain, view)
    stats = RpcStats()
    server = Server(
        _rpc_config(config),
        ports.Node(
            chain=ChainAdapter(chain, heads, engine.core),
            state=StateAdapter(chain),
            pool=PoolAdapter(chain, pool, wire.pass_on),
            system=SystemAdapter(
                spec,
                NODE_VERSION,
                config.is_validator,
                chain.best.number,
                chain,
                view,
                sync_target,
                lambda: not engine.core.is_started or engine.core.status.is_major_syncing,
                lambda: not signer.is_away if config.remote_signer is not None else None,
            ),
            keys=KeysAdapter(signer),
            dret=DretAdapter(chain, pool, config.name, config.is_validator, view, market, receipts),
            is_archive=config.state_pruning is None,
        ),
        stats,
    )
    metrics = MetricsServer(
        instruments,
        lambda: read_node(chain, pool, view, sync_target, engine.core, market, signer),
        stats,
        network.counters,
        {"name": config.name, "version": NODE_VERSION, "chain": spec.id},
    )
    disk = DiskWatch(config.base_path, config.disk_free_min_mib, config.disk_period_s)
    return NodeParts(
        config, spec, chain, pool, network, wire, engine, server, metrics, instruments, disk
    )


async def _run(parts: NodeParts, started: _Once) -> _Ending:
    """Answer by RPC, and warp or take part, until told to stop or until all is to be built anew."""
    config, ending = parts.config, _Ending.STOPPED
    is_warp_wanted = config.sync == "warp"
    if is_warp_wanted and parts.chain.best.number > 0:
        log.info("The database has %d blocks: it goes on from there", parts.chain.best.number)
        is_warp_wanted = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signal, nursery.cancel_scope)
            if config.parent_fd is not None:
                nursery.start_soon(stop_with_parent, config.parent_fd, nursery.cancel_scope)
            # Ports first: a node that cannot have them should not begin to author.
            await nursery.start(parts.server.run)
            if config.prometheus_port is not None:
                parts.prometheus_port = await nursery.start(
                    parts.metrics.run, config.prometheus_address, config.prometheus_port
                )
            ending = await (_warp(parts) if is_warp_wanted else _live(parts, started))
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _cause(group, config) from group
    return ending


async def _warp(parts: NodeParts) -> _Ending:
    """Fetch the last final state into a database of its own."""
    config = parts.config
    parts.pool.close("This node has no state yet: it fetches the last final one (--sync warp)")
    folder, checkpoint = config.base_path / FOLDER, config.checkpoint or parts.spec.checkpoint
    warper = Warper(parts.chain, parts.network, folder, checkpoint)
    return _Ending.WARPED if await warper.run() else _Ending.NOT_WARPED


async def _live(parts: NodeParts, started: _Once) -> _Ending:
    """Take part until the disk refuses a write, then answer by RPC until it takes them again."""
    failure = await _take_part(parts, started)
    reason = f"This node is read-only: {failure}"
    parts.pool.close(reason)
    parts.instruments.alarm(effects.Alarm(AlarmKind.DISK, reason))
    started(parts)
    await parts.disk.until_writable(failure)
    log.info("The disk takes writes again: the node goes on from what is stored")
    return _Ending.AGAIN


async def _take_part(parts: NodeParts, started: _Once) -> DiskFailed:
    """Take part in the network until the disk refuses a write; says what it refused."""
    failure: DiskFailed | None = None
    try:
        async with trio.open_nursery() as nursery:
            parts.disk.check()
            nursery.start_soon(parts.disk.watch)
            await nursery.start(parts.network.run)
            await nursery.start(parts.engine.run)
            nursery.start_soon(parts.wire.pump, parts.engine)
            override = installed(parts.config.base_path)
            if override is not None:
                parts.engine.post(events.RecoveryGiven(override.encode()))
            log.info(
                "%s runs: RPC %d, p2p %d, best #%d, finalized #%d",
                parts.config.name,
                parts.server.port,
                parts.network.port,
                parts.chain.best.number,
                parts.chain.finalized.number,
            )
            started(parts)
    except BaseExceptionGroup as group:
        failure = _first(group, DiskFailed)
        if failure is None:
            raise
    assert failure is not None, "it only ends by a failure"
    return failure


# --- building -------------------------------------------------------------------------------------


def _refuse_other_code(chain: Chain) -> None:
    """`:code` names the runtime that made the state; another one would compute other states."""
    try:
        chain.runtime_of(chain.best_state())
    except UnknownVersion as error:
        raise ConfigInvalid(
            f"The chain runs another runtime than this program has: {error}. Run the version of "
            "dret that made the chain, or begin a new one with another --base-path."
        ) from error


def _refuse_other_history(chain: Chain, checkpoint: tuple[int, bytes] | None) -> None:
    """A database that has another final block at the checkpoint's height is of another history."""
    if checkpoint is None:
        return
    number, block_hash = checkpoint
    stored = chain.finalized_hash(number)
    if stored is not None and stored != block_hash:
        raise StorageUnusable(
            f"The database has block 0x{stored.hex()} at height {number}, the checkpoint says "
            f"0x{block_hash.hex()}. If the checkpoint is right, this node followed a forged past: "
            "remove its folder db and let it fetch the chain again."
        )


def _validator(chain: Chain) -> Callable[[bytes], Validity]:
    """What the pool asks: is this extrinsic valid at the best block?"""

    def validate(extrinsic: bytes) -> Validity:
        state, best = chain.best_state(), chain.best_hash
        runtime, overlay = chain.runtime_of(state), Overlay(state)
        try:
            return runtime.validate_transaction(overlay, extrinsic, chain.signatures, best)
        except InvalidTransaction as error:
            if error.is_malformed:
                raise MalformedExtrinsic(error.code_text) from error
            if error.is_unknown:
                raise UnknownValidity(error.code_text) from error
            if error.is_forged:
                raise ForgedExtrinsic(error.code_text) from error
            raise InvalidExtrinsic(error.code_text) from error

    return validate


def _network(
    config: NodeConfig, spec: ChainSpec, chain: Chain, clock: Clock, rng: random.Random
) -> Network:
    settings = NetworkConfig(
        seed=_node_key(config),
        genesis_hash=chain.genesis_hash,
        listen_address=config.listen_address,
        port=config.port,
        reserved=config.reserved_nodes,
        bootnodes=(*config.bootnodes, *spec.boot_nodes),
        in_peers=config.in_peers,
        out_peers=config.out_peers,
        is_authority=config.is_validator,
    )
    try:
        return Network(
            settings,
            SyncServer(chain),
            lambda: make_status(chain, clock, config.is_validator),
            rng,
        )
    except AddressInvalid as error:
        raise ConfigInvalid(f"--bootnodes or --reserved-nodes: {error}.") from error


def _node_key(config: NodeConfig) -> bytes:
    """The seed of the network identity: given, stored below the base path, or drawn and stored."""
    if config.node_key is not None:
        return config.node_key
    path = config.base_path / NODE_KEY_FILE
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, draw_seed().hex().encode())
        return parse_node_key(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"The network key {path} cannot be used: {error}. Restore it, or remove it and let "
            "the node make a new identity."
        ) from error


def _core(
    config: NodeConfig, chain: Chain, signer: SessionSigner, checkpoint: tuple[int, bytes] | None
) -> Core:
    constants = chain.runtime.constants
    is_authority, stopped = config.is_validator, stopped_set(config.base_path)
    if is_authority and stopped >= 0:
        log.warning("This node votes in no set up to %d: it has reported its finality", stopped)
    return Core(
        ConsensusConfig(
            genesis_hash=chain.genesis_hash,
            slot_duration_ms=constants.slot_duration_ms,
            gossip_duration_ms=constants.gossip_duration_ms,
            aura_keys=signer.ring("aura") if is_authority else (),
            grandpa_keys=signer.ring("gran") if is_authority else (),
            may_get_keys=config.remote_signer is not None,
            is_authoring_forced=config.force_authoring,
            checkpoint=None if checkpoint is None else BlockRef(checkpoint[1], checkpoint[0]),
            stall_slots=constants.session_blocks // 2,
            frozen_set=stopped,
        ),
        chain,
        NativeChecks(),
    )


def _rpc_config(config: NodeConfig) -> RpcConfig:
    return RpcConfig(
        host=config.rpc_address,
        port=config.rpc_port,
        methods=cast(MethodSet, config.rpc_methods),  # the command line offers these three only
        origins=config.rpc_cors,
        limits=config.rpc_limits,
    )


def _sync_target(chain: Chain, view: NetworkView) -> Callable[[], int]:
    def target() -> int:
        best_of_peers = max((peer.best_number for peer in view.peers()), default=0)
        return max(chain.best.number, best_of_peers)

    return target


# --- ending ---------------------------------------------------------------------------------------


def _cause(group: BaseExceptionGroup[BaseException], config: NodeConfig) -> BaseException:
    """What to tell of several failures: ours with an exit code before a stranger's."""
    taken = _first(group, PortInUse)
    if taken is not None:
        flags = {config.rpc_port: "--rpc-port", config.prometheus_port: "--prometheus-port"}
        return PortTaken(describe_taken(taken.port, flags.get(taken.port, "--port")))
    if _first(group, ListenError) is not None:
        return PortTaken(describe_taken(config.port, "--port"))
    return _first(group, NodeError) or group


def _first(group: BaseExceptionGroup[BaseException], kind: type[Found]) -> Found | None:
    for error in group.exceptions:
        if isinstance(error, kind):
            return error
        if isinstance(error, BaseExceptionGroup):
            found = _first(cast(BaseExceptionGroup[BaseException], error), kind)
            if found is not None:
                return found
    return None

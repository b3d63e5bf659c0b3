"""A local network from its options to its end. `run_network` is the top.

The folder of a network is kept between runs: a network that was stopped goes on where it was. What
the chain was made of is written beside it, so that a run with other options is refused rather than
mixed into a chain of other data.
"""

import hashlib
import json
import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio
from rich.console import Console

from devnet import control, display, signers, status, supervisor
from devnet.plan import (
    HOMES,
    NO_DEVICES,
    PROSUMERS,
    Account,
    DevnetOptions,
    NodePlan,
    check_options,
    reserve_nodes,
)
from devnet.status import Board
from devnet.supervisor import Supervisor
from node.errors import ConfigInvalid, NodeError, NodeUnreachable, StorageUnusable
from node.interpreter import module_command

READY_S = 120.0  # a cold machine compiles kernels first
POLL_S = 0.2
ACCOUNTS_SHOWN = 8
SPEC_FILE, OPTIONS_FILE = "chain-spec.json", "options.json"

log = logging.getLogger("devnet")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network's folder when its processes can start."""

    accounts: list[Account]
    genesis_interval: int
    is_resumed: bool


async def run_network(
    options: DevnetOptions, config_out: Path | None, console: Console, is_live: bool
) -> None:
    """Run a network until it is told to stop. Raises `NodeError` when it cannot run on."""
    check_options(options)
    if config_out is not None and not config_out.resolve().parent.is_dir():
        raise ConfigInvalid(f"--config-out {config_out}: there is no folder of this file.")
    await clear_remains(options.folder)
    prepared = prepare(options)
    nodes, guard = reserve_nodes()
    board, ready = Board.of(nodes), trio.Event()
    keeper = Supervisor(options, nodes, lambda keeper: answer_status(keeper, board, ready))
    signers.make_keystores(options.folder, nodes, options.remote_signers)
    for name in options.remote_signers:
        keeper.add(signers.process_name(name), signers.command(options.folder, name))
    for node in nodes:
        keeper.add(
            node.name,
            supervisor.node_command(node, nodes, options.folder, options.remote_signers),
        )
    for view in board.views:
        view.pid = keeper.children[view.plan.name].current_pid
    # The homes need nodes to talk to; until then they would only slow those down.
    homes = keeper.add(HOMES, homes_command(options, nodes))
    homes.wanted = False
    console.print(display.banner(options, nodes, prepared.accounts, ACCOUNTS_SHOWN))
    if prepared.is_resumed:
        console.print("The network goes on with the data it kept; --fresh begins a new one.")

    async def meanwhile() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(board.run)
            await wait_until_ready(board)
            ready.set()
            homes.want(True)
            if config_out is not None:
                nursery.start_soon(keep_config, config_out, keeper, board, prepared.accounts)
            if is_live:
                await display.show_live(
                    console, board, lambda: states(keeper), prepared.genesis_interval
                )
            else:
                console.print("The network runs: all nodes answer and blocks are made.")
                await display.show_lines(
                    lambda line: console.print(line, highlight=False, soft_wrap=True), board
                )

    with guard:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signals, keeper)
            await keeper.run(meanwhile)
            nursery.cancel_scope.cancel()
    if keeper.failure is not None:
        hint = (
            f" A chain that another version of dret made is kept in {options.folder}? "
            "--fresh removes it and begins a new one."
            if prepared.is_resumed
            else ""
        )
        raise NodeError(f"The network was stopped: {keeper.failure}{hint}")


async def clear_remains(folder: Path) -> None:
    """Refuse a network that runs; end what a killed supervisor may have left."""
    try:
        await control.ask(folder, "ping")
    except NodeUnreachable:
        ended = await supervisor.kill_recorded(folder)
        if ended:
            log.warning("ended what an earlier run had left: %s", ", ".join(ended))
        return
    raise StorageUnusable(
        f"This network is running already in {folder}. Stop it with: dret devnet down"
    )


def prepare(options: DevnetOptions) -> Prepared:
    """Make the network's folder, or check that the one from before is of the same options.

    The old one is removed, if that is wanted, once the new one is sure to work.
    """
    from devnet.scenario import load_scenario

    folder = options.folder
    scenario = load_scenario(options.data, options.scenario, options.window)
    text = scenario.chain_spec().encode()
    if options.fresh:
        supervisor.purge(folder)
    spec_path, options_path = folder / SPEC_FILE, folder / OPTIONS_FILE
    wanted = {
        "window": options.window,
        "data": digest_of_data(options),
        "remote_signers": " ".join(options.remote_signers),
        "devices": options.devices,
    }
    is_resumed = spec_path.exists()
    if is_resumed:
        _refuse_other_options(folder, options_path, wanted)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        options_path.write_text(json.dumps(wanted, indent=1) + "\n")
        spec_path.write_text(text)
    spec = json.loads(spec_path.read_bytes())
    return Prepared(
        scenario.accounts(),
        spec["constants"]["genesis_interval"],
        is_resumed,
    )


def digest_of_data(options: DevnetOptions) -> str:
    """What the data are, wherever they lie: a hash of the files of the grid and the window."""
    grid, window = options.scenario, options.window
    names = (
        f"grid_{grid}.csv",
        f"transformer_{grid}.json",
        f"assets_{grid}.csv",
        f"profiles_{grid}_{window}.csv",
        f"market_{window}.csv",
    )
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        digest.update((options.data / name).read_bytes())
    return digest.hexdigest()


def _refuse_other_options(folder: Path, path: Path, wanted: Mapping[str, str]) -> None:
    kept: dict[str, str] = {}
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        pass  # then it is of unknown options, which are not these
    if kept.get("window") != wanted["window"]:
        reason = f"--window {kept.get('window', 'unknown')} (now {wanted['window']})"
    elif kept.get("data") != wanted["data"]:
        reason = "other data of the same names"
    elif kept.get("remote_signers", "") != wanted["remote_signers"]:
        # What a validator has signed stays with who signed it.
        reason = f"--remote-signer {kept.get('remote_signers') or 'for nobody'}"
    elif kept.get("devices", NO_DEVICES) != wanted["devices"]:
        # Registers of meters would run backwards.
        reason = f"--devices {kept.get('devices', NO_DEVICES)} (now {wanted['devices']})"
    else:
        return
    raise ConfigInvalid(
        f"The chain kept in {folder} was made with {reason}. Use the same to go on with it, or "
        "--fresh to remove it and begin a new one."
    )


def homes_command(options: DevnetOptions, nodes: list[NodePlan]) -> list[str]:
    """How the process with all agents is started."""
    prosumers = [node for node in nodes if node.name in dict(PROSUMERS)]
    return [
        *module_command("devnet.agents"),
        *("--chain", str(options.folder / SPEC_FILE)),
        *("--data", str(options.data)),
        *("--scenario", options.scenario),
        *("--window", options.window),
        *("--trader-wh", str(options.trader_wh)),
        *("--devices", options.devices),
        *(part for node in prosumers for part in ("--rpc-port", str(node.rpc_port))),
    ]


async def stop_on_signals(keeper: Supervisor) -> None:
    """The first signal stops the network in order, the second at once."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with trio.open_signal_receiver(*wanted) as signals:
        is_second = False
        async for _ in signals:
            if is_second:
                keeper.kill()
            keeper.stop()
            is_second = True


async def wait_until_ready(board: Board) -> None:
    """Until all nodes answer and a block was made. Raises `NodeError` when that takes too long."""
    start = None
    with trio.move_on_after(READY_S):
        while True:
            await board.refresh()
            if board.is_complete:
                start = board.best if start is None else start
                if board.best > start:
                    return
            await trio.sleep(POLL_S)
    down = [view.plan.name for view in board.views if view.answer is None]
    raise NodeError(
        f"After {READY_S:.0f} s "
        + (f"these nodes do not answer: {', '.join(down)}." if down else "no block was made.")
        + " See their logs."
    )


def states(keeper: Supervisor) -> dict[str, str]:
    """What the keeper knows of each process, in a word or two."""
    words: dict[str, str] = {}
    for name, child in keeper.children.items():
        word = "up" if child.process is not None else "down" if child.wanted else "stopped"
        words[name] = word if child.restarts == 0 else f"{word}, restarted {child.restarts}x"
    return words


async def answer_status(keeper: Supervisor, board: Board, ready: trio.Event) -> control.Answer:
    """The answer to the status command."""
    await board.refresh()
    return {
        "is_ready": ready.is_set(),
        "pid": keeper.identity.pid,
        "status": status.status_json(
            board,
            {name: child.pid for name, child in keeper.children.items()},
            await status.ask_audit(board),
        ),
        "states": states(keeper),
        "line": display.status_line(board),
    }


async def keep_config(
    path: Path, keeper: Supervisor, board: Board, accounts: list[Account]
) -> None:
    """Write the file of `--config-out`, and again whenever a process has another id."""
    genesis = await board.views[0].link.call("chain_getBlockHash", [0])
    written: dict[str, int | None] = {}
    while True:
        pids = {name: child.pid for name, child in keeper.children.items()}
        if pids != written:
            content = {
                "genesis": genesis,
                "nodes": [
                    {
                        "name": view.plan.name,
                        "role": view.plan.role,
                        "rpc": view.plan.rpc_url,
                        "p2p": supervisor.multiaddress(view.plan),
                        "pid": pids[view.plan.name],
                        "log": str(keeper.children[view.plan.name].log.absolute()),
                    }
                    for view in board.views
                ],
                "accounts": [
                    {"name": account.name, "address": account.address, "suri": account.suri}
                    for account in accounts
                ],
            }
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text(json.dumps(content, indent=1) + "\n")
            temporary.replace(path)
            written = pids
        await trio.sleep(1)

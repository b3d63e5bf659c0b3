"""`dret devnet`: a whole network on this machine, on real data."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import asyncclick as click
import trio
from rich.console import Console

from devnet import control, processes, supervisor
from devnet.network import READY_S, run_network
from devnet.plan import DEVICES, TRADER_WH_MAX, VALIDATORS, WINDOWS, DevnetOptions
from node.errors import NodeError, NodeUnreachable, TimedOut
from node.interpreter import module_command
from node.log import configure_logging

ROOT = DevnetOptions().root


@click.group()
def group() -> None:
    """A local network: four utilities, two prosumer nodes, and the homes of a real grid."""


@group.command()
@click.option("--detach", is_flag=True, help="Return when the network runs; it goes on.")
@click.option("--fresh", is_flag=True, help="Remove the kept chain and begin a new one.")
@click.option("--scenario", default="semiurb4", show_default=True, help="A grid of the data.")
@click.option("--window", type=click.Choice(WINDOWS), default="spring", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="A folder in the data's format.")
@click.option(
    "--trader-wh", type=click.IntRange(0, TRADER_WH_MAX), default=60_000, show_default=True
)
@click.option(
    "--remote-signer",
    "remote_signers",
    type=click.Choice([name for name, _, _ in VALIDATORS]),
    multiple=True,
    help="A validator whose keys are in a process of their own; repeat.",
)
@click.option(
    "--devices",
    type=click.Choice(DEVICES),
    default=DevnetOptions().devices,
    show_default=True,
    help="Cars, loads and batteries of homes: none, on their own, or with coupled orders.",
)
@click.option("--config-out", type=click.Path(path_type=Path), help="Writes nodes and accounts.")
@click.option("--no-tui", is_flag=True, help="Lines instead of a live table.")
async def up(
    detach: bool,
    fresh: bool,
    scenario: str,
    window: str,
    data: Path | None,
    trader_wh: int,
    remote_signers: tuple[str, ...],
    devices: str,
    config_out: Path | None,
    no_tui: bool,
) -> None:
    """Start the network, or go on with the one that was stopped."""
    options = DevnetOptions(
        scenario=scenario,
        window=window,
        data=(data or DevnetOptions().data).resolve(),
        trader_wh=trader_wh,
        devices=devices,
        fresh=fresh,
        remote_signers=tuple(sorted(set(remote_signers))),
    )
    if detach:
        await _detach(options, config_out)
        return
    console = Console()
    is_live = console.is_terminal and not no_tui
    options.root.mkdir(exist_ok=True)
    configure_logging("", "text", options.root / "supervisor.log" if is_live else None)
    await run_network(options, config_out, console, is_live)


@group.command()
@click.option("--scenario", help="Which network, when several run.")
async def down(scenario: str | None) -> None:
    """Stop the network; its chain is kept."""
    folder = _folder(scenario)
    try:
        await control.ask(folder, "stop")
    except NodeUnreachable:
        ended = await supervisor.kill_recorded(folder)
        click.echo(f"Ended: {', '.join(ended)}" if ended else f"No devnet runs in {folder}.")
        return
    with trio.move_on_after(2 * processes.STOP_GRACE_S):
        while (folder / "state.json").exists():
            await trio.sleep(0.05)
        click.echo("The network has stopped.")
        return
    raise TimedOut(f"The network in {folder} did not stop; see {folder / 'logs'}.")


@group.command()
@click.option("--scenario", help="Which network, when several run.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
async def status(scenario: str | None, output: str) -> None:
    """How the network is: each node, the lag of finality, the market's totals, and whether the
    settlement keeps its promises; if it does not, the command fails.
    """
    answer = await control.ask(_folder(scenario), "status")
    if output == "json":
        click.echo(json.dumps(answer["status"], indent=2))
        findings = cast(dict[str, Any], answer["status"])["invariants"]
        if not all(finding["is_kept"] for finding in findings or ()):
            raise NodeError("The market breaks promises of docs/settlement.md; see `invariants`.")
        return
    # The supervisor is of this version and says what `devnet.network.answer_status` says.
    content = cast(dict[str, Any], answer["status"])
    states = cast(dict[str, str], answer["states"])
    click.echo(answer["line"])
    for node in content["nodes"]:
        values = (
            f"{name} {node[name] if node[name] is not None else '-'}"
            for name in ("best", "finalized", "peers", "pool", "pid")
        )
        click.echo(f"{node['name']:<14} {states.pop(node['name'], ''):<8} {'  '.join(values)}")
    for name, state in states.items():
        click.echo(f"{name:<14} {state}")
    report_invariants(content["invariants"])


def report_invariants(findings: list[dict[str, Any]] | None) -> None:
    """Say whether the settlement's promises are kept. Raises `NodeError` if one is broken."""
    if findings is None:
        click.echo("invariants     unknown: no node answers")
        return
    broken = [finding for finding in findings if not finding["is_kept"]]
    click.echo(f"invariants     {len(findings) - len(broken)} of {len(findings)} kept")
    for finding in broken:
        click.echo(f"BROKEN         {finding['promise']}: {'; '.join(finding['details'])}")
    if broken:
        raise NodeError("The market breaks promises of docs/settlement.md; see above.")


@group.group()
def homes() -> None:
    """The process with all homes, the operator's agent and the trader."""


@homes.command("stop")
@click.option("--scenario", help="Which network, when several run.")
async def homes_stop(scenario: str | None) -> None:
    """Stop the homes; the nodes go on."""
    await _tell(scenario, "homes-stop")
    click.echo("The homes have been told to stop.")


@homes.command("start")
@click.option("--scenario", help="Which network, when several run.")
async def homes_start(scenario: str | None) -> None:
    """Start the homes again."""
    await _tell(scenario, "homes-start")
    click.echo("The homes have been told to start.")


async def _tell(scenario: str | None, what: str) -> None:
    answer = await control.ask(_folder(scenario), what)
    if not answer["ok"]:
        raise NodeError(str(answer["error"]))


def _folder(scenario: str | None) -> Path:
    """The folder of the network that is meant: the named one, or the one that runs."""
    if scenario is not None:
        return DevnetOptions(scenario=scenario).folder
    running = sorted(path.parent for path in ROOT.glob("*/state.json"))
    if len(running) > 1:
        names = ", ".join(folder.name for folder in running)
        raise click.UsageError(f"Several networks run ({names}): say which with --scenario.")
    return running[0] if running else DevnetOptions().folder


async def _detach(options: DevnetOptions, config_out: Path | None) -> None:
    """Start a supervisor of its own and wait until the network runs."""
    options.root.mkdir(exist_ok=True)
    path = options.root / "supervisor.log"
    command = [
        *module_command("node", "devnet", "up", "--no-tui"),
        *("--scenario", options.scenario),
        *("--window", options.window),
        *("--data", str(options.data)),
        *("--trader-wh", str(options.trader_wh)),
        *("--devices", options.devices),
        *(("--fresh",) if options.fresh else ()),
        *(part for name in options.remote_signers for part in ("--remote-signer", name)),
        *(("--config-out", str(config_out)) if config_out is not None else ()),
    ]
    with path.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with trio.move_on_after(READY_S):
        while process.poll() is None:
            if await _is_ready(options.folder, process.pid):
                click.echo(path.read_text(errors="replace"))
                click.echo("It goes on in the background; stop it with: dret devnet down")
                return
            await trio.sleep(0.2)
        click.echo(path.read_text(errors="replace"), err=True)
        raise click.exceptions.Exit(process.returncode)
    process.terminate()
    raise TimedOut(f"The network did not come up within {READY_S:.0f} s; see {path}.")


async def _is_ready(folder: Path, pid: int) -> bool:
    try:
        answer = await control.ask(folder, "status")
    except NodeUnreachable:
        return False
    return answer.get("pid") == pid and answer.get("is_ready") is True

"""`dret node`: run a node. Flags have Substrate's names, types and defaults."""

import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncclick as click

from node.chain_spec import parse_checkpoint
from node.cli.maintenance import COMMANDS
from node.cli.rpc_flags import check_rpc_flags, rpc_limit_options, rpc_limits
from node.config import NodeConfig
from node.errors import ConfigInvalid
from node.keystore import parse_node_key, read_secret_file
from node.log import configure_logging
from rpc.config import DEFAULT_ORIGINS

DEV_ACCOUNTS = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
DATA_FOLDER = ".dret"  # below the home folder, when --base-path is left out
ALL_ADDRESSES = "0.0.0.0"
LOCAL_ADDRESS = "127.0.0.1"
PRUNING_MIN = 16  # fewer states and a client reads behind the tip in vain


@click.group()
def group() -> None:
    """Run and look after a node."""


for _command in COMMANDS:
    group.add_command(_command)


def _options(command: Any) -> Any:
    """All flags of `run`, in the order of the help."""
    path, port = click.Path(path_type=Path), click.IntRange(0, 65_535)
    flags = [
        # the chain and where it is kept
        click.option(
            "--dev",
            is_flag=True,
            help="A chain of one node: --alice, --force-authoring, and --tmp or a --base-path.",
        ),
        click.option("--tmp", is_flag=True, help="Keep nothing: a folder that goes at the end."),
        click.option("--base-path", "-d", type=path, help="Where chain, keys and state are kept."),
        click.option("--chain", type=path, help="The chain specification file."),
        click.option("--name", help="A name for people."),
        click.option("--validator", is_flag=True, help="Author blocks and vote."),
        *[
            click.option(f"--{name}", is_flag=True, help=f"Validate with the key //{name.title()}.")
            for name in DEV_ACCOUNTS
        ],
        click.option("--force-authoring", is_flag=True, help="Author even without peers."),
        click.option(
            "--sync",
            type=click.Choice(["full", "warp"]),
            default="full",
            show_default=True,
            help="warp: begin with the last final state, proved by the handoffs; old blocks later.",
        ),
        click.option("--checkpoint", help="NUMBER:0xHASH of a block the chain has to contain."),
        click.option("--state-pruning", default="256", show_default=True, help="N or archive."),
        click.option(
            "--db-storage-threshold",
            type=click.IntRange(0),
            default=128,
            show_default=True,
            help="MiB: with less free space the node is read-only until there is more. 0: off.",
        ),
        click.option(
            "--db-storage-polling-period",
            type=click.IntRange(1),
            default=5,
            show_default=True,
            help="Seconds between two looks at the free space.",
        ),
        # keys
        click.option("--keystore-path", type=path, help="Default: keystore below the base path."),
        click.option("--password-filename", type=path, help="Opens an encrypted keystore."),
        click.option(
            "--remote-signer",
            type=path,
            help="Validate with keys that dret signer run holds; its socket.",
        ),
        # the network
        click.option("--port", type=port, default=30333, show_default=True),
        click.option("--listen-addr", help="/ip4/ADDRESS/tcp/PORT; loopback by default."),
        click.option("--bootnodes", multiple=True, help="Multiaddress; repeat for several."),
        click.option("--reserved-nodes", multiple=True, help="Always kept connected; repeat."),
        click.option("--in-peers", type=click.IntRange(0, 1_000), default=25, show_default=True),
        click.option("--out-peers", type=click.IntRange(0, 1_000), default=15, show_default=True),
        click.option("--node-key", help="Seed of the network identity: 32 bytes in hex."),
        click.option("--node-key-file", type=path, help="The same, from a file."),
        # RPC
        click.option("--rpc-port", type=port, default=9944, show_default=True),
        click.option("--rpc-external", is_flag=True, help="Listen on all interfaces."),
        click.option("--unsafe-rpc-external", is_flag=True, help="The same, on a validator too."),
        click.option(
            "--rpc-methods", type=click.Choice(["auto", "safe", "unsafe"]), default="auto"
        ),
        click.option("--rpc-cors", multiple=True, help="Origin that may call, or all; repeat."),
        *rpc_limit_options(),
        # watching
        click.option("--prometheus-port", type=port, default=9615, show_default=True),
        click.option("--prometheus-external", is_flag=True),
        click.option("--no-prometheus", is_flag=True),
        click.option("--log", "-l", "log_filters", default="", help="warn,p2p=debug"),
        click.option("--log-format", type=click.Choice(["text", "json"]), default="text"),
        click.option("--log-file", type=path),
        click.option("--parent-fd", type=int, hidden=True),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


@group.command()
@_options
async def run(**flags: Any) -> None:
    """Run a node until SIGTERM or Ctrl-C; it then closes its database and exits with 0."""
    try:
        configure_logging(flags["log_filters"], flags["log_format"], flags["log_file"])
    except (ValueError, OSError) as error:
        raise click.UsageError(f"--log: {error}") from error
    check_flags(flags)
    is_temporary = flags["tmp"] or (flags["dev"] and flags["base_path"] is None)
    with _temporary_folder(is_temporary) as temporary:
        config = make_config(flags, temporary)
        # Imported here, so that --help and refusals need neither libp2p nor compiled kernels.
        from node.service import run_node

        await run_node(config)


def check_flags(flags: dict[str, Any]) -> None:
    """Refuse flags that contradict each other. Raises `click.UsageError`."""
    named = [f"--{name}" for name in DEV_ACCOUNTS if flags[name]]
    if len(named) > 1:
        raise click.UsageError(f"A node has one development key; given: {', '.join(named)}.")
    has_signer = flags["remote_signer"] is not None
    is_validator = flags["validator"] or flags["dev"] or bool(named) or has_signer
    if flags["rpc_external"] and is_validator:
        raise click.UsageError(
            "--rpc-external option shouldn't be used if the node is running as a validator. "
            "Use --unsafe-rpc-external if you understand the risks. See the options description "
            "for more information."
        )
    if has_signer and (named or flags["dev"]):
        raise click.UsageError(
            f"--remote-signer and {named[0] if named else '--dev'} exclude each other: the signer "
            "holds the keys."
        )
    for one, other in (
        ("tmp", "base_path"),
        ("node_key", "node_key_file"),
        ("no_prometheus", "prometheus_external"),
    ):
        if flags[one] and flags[other]:
            names = (f"--{name.replace('_', '-')}" for name in (one, other))
            raise click.UsageError(" and ".join(names) + " exclude each other.")
    check_rpc_flags(flags)
    if flags["chain"] is None and not flags["dev"]:
        raise click.UsageError("Pass --chain FILE (dret chain-spec build makes one), or --dev.")


def make_config(flags: dict[str, Any], temporary: Path | None) -> NodeConfig:
    """The settings that flags stand for. Raises `ConfigInvalid` naming the flag."""
    is_dev = bool(flags["dev"])
    dev_name = next((name for name in DEV_ACCOUNTS if flags[name]), "alice" if is_dev else None)
    base_path = temporary or flags["base_path"] or Path.home() / DATA_FOLDER
    is_external = flags["rpc_external"] or flags["unsafe_rpc_external"]
    origins = tuple(flags["rpc_cors"])
    listen_address, port = _listen(flags["listen_addr"], flags["port"])
    return NodeConfig(
        chain=flags["chain"] or _dev_chain(base_path),
        base_path=base_path,
        name=flags["name"] or (dev_name.title() if dev_name else "node"),
        is_validator=bool(flags["validator"] or dev_name or flags["remote_signer"]),
        dev_key=f"//{dev_name.title()}" if dev_name else None,
        force_authoring=bool(flags["force_authoring"] or is_dev),
        listen_address=listen_address,
        port=port,
        node_key=_node_key(flags["node_key"], flags["node_key_file"]),
        reserved_nodes=tuple(flags["reserved_nodes"]),
        bootnodes=tuple(flags["bootnodes"]),
        in_peers=flags["in_peers"],
        out_peers=flags["out_peers"],
        rpc_port=flags["rpc_port"],
        rpc_address=ALL_ADDRESSES if is_external else LOCAL_ADDRESS,
        rpc_methods=flags["rpc_methods"],
        rpc_cors=None
        if "all" in origins or (is_dev and not origins)
        else origins or DEFAULT_ORIGINS,
        rpc_limits=rpc_limits(flags),
        prometheus_port=None if flags["no_prometheus"] else flags["prometheus_port"],
        prometheus_address=ALL_ADDRESSES if flags["prometheus_external"] else LOCAL_ADDRESS,
        state_pruning=_pruning(flags["state_pruning"]),
        sync=flags["sync"],
        checkpoint=None if flags["checkpoint"] is None else parse_checkpoint(flags["checkpoint"]),
        disk_free_min_mib=flags["db_storage_threshold"],
        disk_period_s=flags["db_storage_polling_period"],
        keystore_path=flags["keystore_path"],
        remote_signer=flags["remote_signer"],
        password=_secret(flags["password_filename"], "--password-filename"),
        parent_fd=flags["parent_fd"],
    )


def _listen(multiaddress: str | None, port: int) -> tuple[str, int]:
    if multiaddress is None:
        return LOCAL_ADDRESS, port
    match = re.fullmatch(r"/ip4/(\d+\.\d+\.\d+\.\d+)/tcp/(\d{1,5})", multiaddress)
    if match is None or int(match[2]) > 65_535:
        raise ConfigInvalid(
            f"--listen-addr {multiaddress}: expected /ip4/ADDRESS/tcp/PORT, for instance "
            "/ip4/0.0.0.0/tcp/30333."
        )
    return match[1], int(match[2])


def _pruning(text: str) -> int | None:
    if text == "archive":
        return None
    if not text.isdecimal() or not PRUNING_MIN <= int(text) < 1 << 31:
        raise ConfigInvalid(
            f"--state-pruning {text}: expected archive or a number from {PRUNING_MIN} on."
        )
    return int(text)


def _node_key(text: str | None, file: Path | None) -> bytes | None:
    flag = "--node-key" if text is not None else "--node-key-file"
    given = text if text is not None else _secret(file, flag)
    if given is None:
        return None
    try:
        return parse_node_key(given)
    except ValueError as error:
        raise ConfigInvalid(f"{flag}: {error}.") from error


def _secret(path: Path | None, flag: str) -> str | None:
    return None if path is None else read_secret_file(path, flag)


@contextmanager
def _temporary_folder(is_wanted: bool) -> Generator[Path | None]:
    if not is_wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dret-") as name:
        yield Path(name)


def _dev_chain(base_path: Path) -> Path:
    """The specification of a chain with Alice as its one authority; made once per base path."""
    from devnet.scenario import dev_chain_spec

    path = base_path / "chain-spec.json"
    if not path.exists():
        base_path.mkdir(parents=True, exist_ok=True)
        path.write_text(dev_chain_spec().encode())
    return path

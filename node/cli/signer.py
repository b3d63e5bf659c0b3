"""`dret signer`: the process that holds a validator's session keys, apart from its node."""

from pathlib import Path

import asyncclick as click

from node.errors import ConfigInvalid
from node.keystore import read_secret_file
from node.log import configure_logging
from runtime.primitives.crypto import ss58_decode


@click.group()
def group() -> None:
    """Hold a validator's keys in a process of their own."""


@group.command()
@click.option(
    "--keystore-path",
    "--keystore",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder with the keys; signing_state.json, what they have signed, lies beside it.",
)
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    required=True,
    help="Where the node finds the signer: dret node run --remote-signer PATH.",
)
@click.option("--password-filename", type=click.Path(path_type=Path), help="Opens the keystore.")
@click.option("--user", help="Whose processes are served, by name or number; default: one's own.")
@click.option("--group", "group_name", help="The group that may open the socket; default: nobody.")
@click.option("--owner", help="The one account that the keys may be registered for.")
@click.option("--log", "-l", "log_filters", default="", help="warn,signer=debug")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text")
@click.option("--log-file", type=click.Path(path_type=Path))
@click.option("--parent-fd", type=int, hidden=True)
async def run(
    keystore_path: Path,
    socket_path: Path,
    password_filename: Path | None,
    user: str | None,
    group_name: str | None,
    owner: str | None,
    log_filters: str,
    log_format: str,
    log_file: Path | None,
    parent_fd: int | None,
) -> None:
    """Sign for one node on this machine until SIGTERM or Ctrl-C.

    Signs votes, block seals, signs of life and proofs of ownership, and nothing else; of each vote
    and each slot one only, whatever the node asks for. Needs neither the chain nor the network.
    """
    from node.signing.process import SignerConfig, run_signer

    try:
        configure_logging(log_filters, log_format, log_file)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"--log: {error}") from error
    password = None
    if password_filename is not None:
        password = read_secret_file(password_filename, "--password-filename")
    config = SignerConfig(
        keystore_path, socket_path, password, user, group_name, _account(owner), parent_fd
    )
    await run_signer(config)


def _account(address: str | None) -> bytes | None:
    if address is None:
        return None
    try:
        return ss58_decode(address)
    except ValueError as error:
        raise ConfigInvalid(f"--owner {address}: {error}.") from error

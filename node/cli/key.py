"""`dret key`: keys as Substrate's subkey makes and shows them."""

import json
from pathlib import Path

import asyncclick as click

from node.keystore import KEY_TYPES, Keystore, draw_seed, read_secret_file
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode

SCHEMES = [scheme.value for scheme in Scheme]
PREFIX = 42


@click.group()
def group() -> None:
    """Make, inspect and insert keys."""


@group.command()
@click.option("--scheme", type=click.Choice(SCHEMES), default="sr25519", show_default=True)
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def generate(scheme: str, output: str) -> None:
    """Make a new random key and print its secret seed. Keep the seed; nothing else restores it."""
    show("0x" + draw_seed().hex(), Scheme(scheme), output)


@group.command()
@click.argument("suri", required=False)
@click.option("--suri-file", type=click.Path(path_type=Path), help="Read the secret from a file.")
@click.option("--scheme", type=click.Choice(SCHEMES), default="sr25519", show_default=True)
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def inspect(suri: str | None, suri_file: Path | None, scheme: str, output: str) -> None:
    """Show the public key and address of a secret: //Alice, 0x… seed, phrase//path///password."""
    show(read_suri(suri, suri_file), Scheme(scheme), output)


@group.command()
@click.option("--base-path", "-d", type=click.Path(path_type=Path), help="The node's folder.")
@click.option(
    "--keystore-path", type=click.Path(path_type=Path), help="Default: keystore below -d."
)
@click.option("--key-type", type=click.Choice(list(KEY_TYPES)), required=True)
@click.option("--suri", help="The secret; on a shared machine use --suri-file.")
@click.option("--suri-file", type=click.Path(path_type=Path))
@click.option("--password-filename", type=click.Path(path_type=Path), help="Encrypts the key.")
def insert(
    base_path: Path | None,
    keystore_path: Path | None,
    key_type: str,
    suri: str | None,
    suri_file: Path | None,
    password_filename: Path | None,
) -> None:
    """Store a session key in the keystore of a node or a signer, which reads it when it starts."""
    folder = keystore_path if base_path is None else keystore_path or base_path / "keystore"
    if folder is None:
        raise click.UsageError("Say where: the node's --base-path, or a --keystore-path.")
    password = None
    if password_filename is not None:
        password = read_secret_file(password_filename, "--password-filename")
    keystore = Keystore(folder, password)
    try:
        pair = keystore.insert(key_type, read_suri(suri, suri_file))
    except ValueError as error:
        raise click.UsageError(f"The secret cannot be used: {error}") from error
    click.echo(f"Inserted {key_type} key 0x{pair.public.hex()}")


def show(suri: str, scheme: Scheme, output: str) -> None:
    """Print a key pair as subkey does."""
    try:
        pair = KeyPair.from_suri(suri, scheme)
    except ValueError as error:
        raise click.UsageError(f"The secret cannot be used: {error}") from error
    fields = {
        "secretKeyUri": suri,
        "scheme": scheme.value,
        "publicKey": "0x" + pair.public.hex(),
        "accountId": "0x" + pair.account.hex(),
        "ss58Address": ss58_encode(pair.account, PREFIX),
    }
    if output == "json":
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        click.echo(f"{name + ':':<14} {value}")


def read_suri(suri: str | None, suri_file: Path | None) -> str:
    """The secret from the argument or from a file; exactly one must be given."""
    if suri is not None and suri_file is None:
        return suri
    if suri_file is not None and suri is None:
        return read_secret_file(suri_file, "--suri-file")
    raise click.UsageError("Give the secret either as an argument or with --suri-file.")

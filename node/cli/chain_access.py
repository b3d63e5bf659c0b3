"""A running node at the command line: where it is, who signs, asking it, and handing calls in.

Every group of commands that talks to a node takes its options from here, so that they have the
same names, defaults and refusals everywhere.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncclick as click
import trio

from devnet.rpc_client import Link, RpcFailed
from devnet.wallet import Account, Wallet
from node.cli.key import read_suri
from node.errors import ConfigInvalid, NodeError, NodeUnreachable, TimedOut
from node.keystore import KEY_TYPES, Keystore, read_secret_file
from runtime.primitives.crypto import KeyPair, Scheme, ss58_decode
from runtime.primitives.scale import U32, codec

if TYPE_CHECKING:
    from typing_extensions import TypeForm

CONNECT_S = 5.0
INCLUDED_S = 60.0  # ten blocks of the slowest chain
POLL_S = 0.5
OUTPUT = click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")

T = TypeVar("T")


class Refused(NodeError):
    """The chain has the call, but it did not do what was asked."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node listens for RPC."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, as the options say; the secret is read when it is needed."""

    suri: str | None
    suri_file: Path | None
    scheme: Scheme
    keystore: Path | None
    password_file: Path | None

    def pair(self) -> KeyPair:
        """The key pair. Raises `click.UsageError`, or `NodeError` for a file that is no good."""
        if self.keystore is not None:
            return self._pair_of_keystore(self.keystore)
        if self.password_file is not None:
            raise click.UsageError("--password-filename opens a keystore: add --keystore-path.")
        try:
            secret = read_suri(self.suri, self.suri_file)
            pair = KeyPair.from_suri(secret, self.scheme)
        except ValueError as error:
            raise click.UsageError(f"The secret cannot be used: {error}") from error
        if self.suri is not None and not self.suri.startswith("//"):
            click.echo(
                "Warning: a secret among the arguments can be read by everyone on this machine; "
                "use --suri-file.",
                err=True,
            )
        return pair

    def _pair_of_keystore(self, folder: Path) -> KeyPair:
        if self.suri is None or self.suri_file is not None:
            raise click.UsageError("With --keystore-path, name the account that signs with --from.")
        account = account_of_text(self.suri)
        if not folder.is_dir():
            raise ConfigInvalid(f"--keystore-path {folder}: there is no such folder.")
        password = None
        if self.password_file is not None:
            password = read_secret_file(self.password_file, "--password-filename")
        keystore = Keystore(folder, password)
        for key_type in KEY_TYPES:
            pair = keystore.get(key_type, account)
            if pair is not None:
                return pair
        held = sum(len(keystore.publics(key_type)) for key_type in KEY_TYPES)
        raise ConfigInvalid(
            f"The keystore {folder} holds {held} keys, none of them of {self.suri}. "
            "Insert it with dret key insert."
        )


def rpc_options(
    command: Callable[..., Awaitable[T]],
) -> Callable[..., Awaitable[T]]:
    """Where the node is: the command gets it as `node`."""

    @wraps(command)
    async def located(*args: Any, rpc_host: str, rpc_port: int, **options: Any) -> T:
        return await command(*args, node=NodeAddress(rpc_host, rpc_port), **options)

    options = [
        click.option("--rpc-host", default="127.0.0.1", show_default=True),
        click.option("--rpc-port", type=click.IntRange(1, 65_535), default=9944, show_default=True),
    ]
    return _with_options(located, options)


def signer_options(command: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Who signs: the command gets it as `signer`."""

    @wraps(command)
    async def signing(
        *args: Any,
        suri: str | None,
        suri_file: Path | None,
        scheme: str,
        keystore_path: Path | None,
        password_filename: Path | None,
        **options: Any,
    ) -> T:
        signer = Signer(suri, suri_file, Scheme(scheme), keystore_path, password_filename)
        return await command(*args, signer=signer, **options)

    path = click.Path(path_type=Path)
    options = [
        click.option(
            "--from",
            "--suri",
            "suri",
            help="The secret that signs (//Alice); with --keystore-path the account's address.",
        ),
        click.option("--suri-file", type=path, help="A file with the secret."),
        click.option(
            "--scheme",
            type=click.Choice([scheme.value for scheme in Scheme]),
            default="sr25519",
            show_default=True,
        ),
        click.option("--keystore-path", type=path, help="Sign with a key of a node's keystore."),
        click.option("--password-filename", type=path, help="Opens an encrypted keystore."),
    ]
    return _with_options(signing, options)


def account_of_text(text: str) -> bytes:
    """The account of an address, or of 32 bytes in hex. Raises `click.UsageError`."""
    try:
        if text.startswith("0x"):
            account = bytes.fromhex(text[2:])
            if len(account) != 32:
                raise ValueError(f"{len(account)} bytes, expected 32")
            return account
        return ss58_decode(text)
    except ValueError as error:
        raise click.UsageError(f"{text} is no address: {error}") from error


@asynccontextmanager
async def node_at(address: NodeAddress) -> AsyncGenerator[Link]:
    """A connection to a node. Raises `NodeUnreachable`."""
    link = Link(address.host, address.port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        with trio.move_on_after(CONNECT_S):
            while not link.is_up:
                await trio.sleep(0.05)
        failure: Exception | None = None
        try:
            if not link.is_up:
                raise NodeUnreachable(f"No node answers at {address}. Is it running?")
            yield link
        except RpcFailed as error:
            failure = Refused(f"The node refused: {error.reason}")
        except Exception as error:
            failure = error  # raised as it is, not in a group of the nursery's
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def ask(link: Link, name: str, data: bytes, form: "TypeForm[T]", at: str | None = None) -> T:
    """What a function of the runtime answers, after the best block or the one named."""
    answer = await link.call("state_call", [name, "0x" + data.hex(), at])
    return codec(form).decode(bytes.fromhex(answer[2:]))


async def submit(link: Link, pair: KeyPair, call: bytes) -> None:
    """Sign a call, hand it in, and wait until a block has it. Raises `NodeError`."""
    wallet, account = Wallet(link), Account(pair)
    if not await wallet.look():
        raise NodeUnreachable("The node does not answer what is needed for signing.")
    await wallet.hand_in(account, call)
    nonce = account.nonce
    assert nonce is not None, "it was just used"
    with trio.move_on_after(INCLUDED_S):
        while await ask(link, "AccountNonceApi_account_nonce", pair.account, U32) < nonce:
            await trio.sleep(POLL_S)
        return
    raise TimedOut(f"No block has taken the call within {INCLUDED_S:.0f} s; it may still come.")


def u32(number: int) -> bytes:
    """An argument of a runtime function."""
    return number.to_bytes(4, "little")


def _with_options(
    command: Callable[..., Awaitable[T]], options: list[Callable[[Any], Any]]
) -> Callable[..., Awaitable[T]]:
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)

"""The signer process: holds the session keys alone, and signs for one node on this machine.

It listens on a Unix socket that only its own user can open, or one group (`SignerConfig.group`),
asks the system who is at the other end, and serves one connection at a time. What it signs and what
it refuses is `signer.py`; the marks lie beside the keystore, and both folders are locked while it
runs, so that no second process signs with the same keys.

Invariant: whatever comes over the socket, a secret never leaves, and a mark never goes back.
"""

import grp
import logging
import os
import pwd
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.errors import ConfigInvalid, DiskFailed, StorageUnusable
from node.keystore import KEY_TYPES, Keystore
from node.lifeline import stop_on_signal, stop_with_parent
from node.signing import protocol
from node.signing.exclusive import held
from node.signing.marks import Marks
from node.signing.protocol import (
    KEYS_MAX,
    PROTOCOL_VERSION,
    Answer,
    Connection,
    ConnectionBroken,
    Request,
    reason_of,
)
from node.signing.signer import Signer, SigningRefused
from runtime.primitives.scale import DecodeError
from runtime.primitives.session import SessionKeys

log = logging.getLogger("signer")

HELLO_S = 5.0  # whoever connects says what it is at once
CONNECTIONS_MAX = 8  # one is served; the others are told so and go
SOCKET_PATH_BYTES_MAX = 107  # of Linux
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


@dataclass(frozen=True, slots=True)
class SignerConfig:
    """What `dret signer run` was told."""

    keystore_path: Path
    socket_path: Path
    password: str | None = None
    user: str | None = None
    """The user, by name or number, whose processes are served; None is the signer's own."""

    group: str | None = None
    """The group that may open the socket beside the signer's user."""

    owner: bytes | None = None
    """The one account for which ownership of the keys is proved; None is any."""

    parent_fd: int | None = None
    """Lifeline: the signer ends when the other end of this pipe closes."""


async def run_signer(
    config: SignerConfig, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until told to stop. Raises `NodeError`; started when the socket can be opened."""
    uid = os.getuid() if config.user is None else _user_id(config.user)
    keystore = _keystore(config)
    folder = config.keystore_path.resolve().parent
    with held(config.keystore_path, folder):
        desk = Desk(keystore, Signer(keystore, Marks(folder)), uid, config.owner)
        with _listening(config) as listener:
            log.info(
                "The signer runs: socket %s, user %d, %s",
                config.socket_path,
                uid,
                ", ".join(
                    f"{key_type} 0x{public.hex()}"
                    for key_type in KEY_TYPES
                    for public in keystore.publics(key_type)
                ),
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop_on_signal, nursery.cancel_scope)
                if config.parent_fd is not None:
                    nursery.start_soon(stop_with_parent, config.parent_fd, nursery.cancel_scope)
                task_status.started()
                await trio.serve_listeners(desk.serve, [listener])


class Desk:
    """Where requests are answered, one connection at a time."""

    def __init__(
        self, keystore: Keystore, signer: Signer, user_id: int, owner: bytes | None
    ) -> None:
        self._keystore = keystore
        self._signer = signer
        self._user_id = user_id
        self._owner = owner
        self._connections = 0
        self._served_pid: int | None = None

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one connection until it ends."""
        self._connections += 1
        try:
            async with stream:
                await self._converse(stream)
        except (ConnectionBroken, DecodeError) as error:
            log.info("A connection ended: %s", error)
        finally:
            self._connections -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        pid, uid = _peer(stream)
        connection = Connection(stream)
        if self._connections > CONNECTIONS_MAX:
            return
        hello: Request | None = None
        with trio.move_on_after(HELLO_S):
            hello = await connection.request()
        refusal = self._refusal(hello, uid)
        if refusal is not None:
            log.warning("Process %d of user %d is not served: %s", pid, uid, refusal)
            await connection.send(protocol.Refused(reason_of(refusal)))
            return
        self._served_pid = pid
        log.info("Process %d is served", pid)
        try:
            await connection.send(self._welcome())
            while True:
                await connection.send(self._answer(await connection.request()))
        finally:
            self._served_pid = None

    def _refusal(self, hello: Request | None, uid: int) -> str | None:
        """Why a connection is not served."""
        if uid != self._user_id:
            return f"user {uid} may not use this signer, only user {self._user_id} (--user)"
        if not isinstance(hello, protocol.Hello):
            return f"expected Hello within {HELLO_S:.0f} s"
        if hello.version != PROTOCOL_VERSION:
            return f"protocol version {hello.version}, this signer speaks {PROTOCOL_VERSION}"
        if self._served_pid is not None:
            return f"process {self._served_pid} is served already; one node has one signer"
        return None

    def _welcome(self) -> protocol.Welcome:
        return protocol.Welcome(
            PROTOCOL_VERSION,
            self._keystore.publics("aura"),
            self._keystore.publics("gran"),
            [protocol.Mark.of(mark) for mark in self._signer.marks()],
        )

    def _answer(self, request: Request) -> Answer:
        try:
            return self._judged(request)
        except SigningRefused as error:
            log.warning("Refused %s: %s", type(request).__name__, error)
            return protocol.Refused(reason_of(error))
        except (DiskFailed, StorageUnusable, OSError) as error:
            log.error("%s failed: %s", type(request).__name__, error)
            return protocol.Failed(reason_of(error))

    def _judged(self, request: Request) -> Answer:
        match request:
            case protocol.SignVote():
                signature = self._signer.sign_vote(
                    request.public, request.message, request.round, request.set_id
                )
            case protocol.SignSeal():
                signature = self._signer.sign_seal(request.public, request.header)
            case protocol.SignHeartbeat():
                signature = self._signer.sign_heartbeat(request.public, request.heartbeat)
            case protocol.SignPledge():
                signature = self._signer.sign_pledge(request.public, request.pledge)
            case protocol.ProveOwnership():
                if self._owner not in (None, request.owner):
                    raise SigningRefused("the keys are for another account (--owner)")
                return protocol.Proof(self._signer.prove_ownership(request.keys, request.owner))
            case protocol.DrawKeys():
                return protocol.Drawn(self._draw())
            case _:
                raise SigningRefused(f"{type(request).__name__} is nothing to sign")
        return protocol.Signed(signature)

    def _draw(self) -> SessionKeys:
        if any(len(self._keystore.publics(key_type)) >= KEYS_MAX for key_type in KEY_TYPES):
            raise SigningRefused(f"the keystore holds {KEYS_MAX} keys: remove those not in use")
        keys = SessionKeys.decode(self._keystore.rotate())
        log.info("Drew aura 0x%s and grandpa 0x%s", keys.aura.hex(), keys.grandpa.hex())
        return keys


def _keystore(config: SignerConfig) -> Keystore:
    if not config.keystore_path.is_dir():
        raise ConfigInvalid(
            f"There is no keystore {config.keystore_path}. Make one with dret key insert "
            f"--keystore-path {config.keystore_path}, or move a node's there."
        )
    keystore = Keystore(config.keystore_path, config.password)
    for key_type in KEY_TYPES:
        count = len(keystore.publics(key_type))
        if not 0 < count <= KEYS_MAX:
            raise ConfigInvalid(
                f"The keystore {config.keystore_path} holds {count} keys of type {key_type}, "
                f"expected 1 to {KEYS_MAX}. Insert one with dret key insert, or remove old ones."
            )
    return keystore


def _peer(stream: trio.SocketStream) -> tuple[int, int]:
    """Process and user at the other end, as the system knows them."""
    size = _CREDENTIALS.size
    data = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return pid, uid


@contextmanager
def _listening(config: SignerConfig) -> Generator[trio.SocketListener]:
    """The socket, which is gone afterwards. Raises `ConfigInvalid`."""
    path = config.socket_path
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise ConfigInvalid(
            f"--socket {path} has {length} bytes, the system takes {SOCKET_PATH_BYTES_MAX}: "
            "choose a shorter path."
        )
    group_id = None if config.group is None else _group_id(config.group)
    _refuse_in_use(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(before)
        if group_id is not None:
            os.chown(path, -1, group_id)
            path.chmod(0o660)
        listening.listen(CONNECTIONS_MAX)
    except OSError as error:
        listening.close()
        raise ConfigInvalid(
            f"--socket {path} cannot be made: {error.strerror}. Its folder has to exist and to "
            "belong to the signer's user."
        ) from error
    try:
        yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    finally:
        listening.close()
        path.unlink(missing_ok=True)


def _refuse_in_use(path: Path) -> None:
    """Remove what a killed signer left; refuse what is something else."""
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise ConfigInvalid(f"--socket {path} is something else than a socket: choose another.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(os.fspath(path)) == 0:
            raise ConfigInvalid(f"--socket {path}: another signer listens there; stop it first.")
    path.unlink()


def _user_id(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ConfigInvalid(f"--user {user}: this machine has no such user.") from None


def _group_id(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigInvalid(f"--group {group}: this machine has no such group.") from None

"""Network namespaces: places with their own interfaces, joined by a switch that we write.

`enter` starts the program again in namespaces of its own, which vanish with it, and with them all
that is made or mounted there. A `Place` is a thread in a further network namespace; what it starts
lives there. Its only way out is a TUN device whose packets the `Switch` carries: late, lost, or not
at all, for each direction. Root may do this, and whoever may make user namespaces and open
/dev/net/tun. The kernel's own `netem` would do less, and is not built into every kernel.
"""

import ctypes
import fcntl
import heapq
import os
import random
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ENTERED = "DRET_PLACES"
"""Set in the environment of a program that `enter` has started again."""

SUBNET = "10.77.0."
MASK = "255.255.255.0"
INTERFACE = b"wire"
TUN = "/dev/net/tun"
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
IFF_UP = 0x1
PACKET_BYTES_MAX = 1 << 16
PACKETS_MAX = 20_000  # under way; then they are lost, as in a router whose queue is full


class NotPermitted(Exception):
    """The machine does not let us make namespaces; says which permission is missing."""


def is_entered() -> bool:
    """Whether this program runs in namespaces of its own."""
    return bool(os.environ.get(ENTERED))


def enter() -> None:
    """Start this program again in namespaces of its own. Raises `NotPermitted`."""
    if is_entered():
        return
    flags = ["--net", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-root-user"]
    refuse_without_permission(flags)
    os.environ[ENTERED] = "1"
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.orig_argv[1:]])


def refuse_without_permission(flags: Iterable[str]) -> None:
    """Raise `NotPermitted` unless namespaces and TUN devices can be made."""
    if shutil.which("unshare") is None:
        raise NotPermitted("unshare is missing; on Debian: apt install util-linux")
    done = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPermitted(
            f"namespaces cannot be made: {done.stderr.strip()}. Run as root, in a container with "
            "CAP_SYS_ADMIN, or allow user namespaces (sysctl kernel.unprivileged_userns_clone)."
        )
    if not os.access(TUN, os.R_OK | os.W_OK):
        raise NotPermitted(f"{TUN} cannot be opened: run as root, or allow it to this user.")


class Place:
    """A network namespace, and a thread that lives in it."""

    def __init__(self, number: int) -> None:
        """`number` is the last part of its address."""
        self.address = f"{SUBNET}{number}"
        self._thread = ThreadPoolExecutor(1, f"place-{number}")
        self.wire = self.do(_new_namespace, self.address)

    def do(self, what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in there, and wait for it."""
        return self._thread.submit(what, *args, **kwargs).result()

    def close(self) -> None:
        """Let the thread end; the namespace ends with its last process."""
        self._thread.shutdown()
        os.close(self.wire)


class Here:
    """As a `Place`, for nodes that share the machine's own network."""

    address = "127.0.0.1"

    def do(self, what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something, and wait for it."""
        return what(*args, **kwargs)


def here(address: str) -> int:
    """Give the namespace that we are in an address on the switch; its wire."""
    return _plug_in(address)


def _new_namespace(address: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise NotPermitted(f"unshare(CLONE_NEWNET): {os.strerror(number)}")
    return _plug_in(address)


def _plug_in(address: str) -> int:
    wire = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(wire, TUNSETIFF, struct.pack("16sH22x", INTERFACE, IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, MASK)):
            inet = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, request, struct.pack("16s16s8x", INTERFACE, inet))
        for name in (INTERFACE, b"lo"):
            asked = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH22x", name, 0))
            (flags,) = struct.unpack_from("H", asked, 16)
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name, flags | IFF_UP))
    return wire


@dataclass
class Switch:
    """Carries packets between wires, from its own thread."""

    wires: dict[str, tuple[str, int]]
    """Name to address, and to the wire that leads there."""

    delay_s: float = 0.0
    loss: float = 0.0
    cut: frozenset[tuple[str, str]] = frozenset()
    """From whom to whom nothing gets through."""

    carried: int = 0
    dropped: int = 0
    _rng: random.Random = field(default_factory=lambda: random.Random(1))
    _late: list[tuple[float, int, bytes]] = field(default_factory=list[tuple[float, int, bytes]])
    _names: dict[bytes, str] = field(default_factory=dict[bytes, str])
    _to: dict[bytes, int] = field(default_factory=dict[bytes, int])
    _is_over: bool = False
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Switch":
        for name, (address, wire) in self.wires.items():
            self._names[socket.inet_aton(address)] = name
            self._to[socket.inet_aton(address)] = wire
        self._thread = threading.Thread(target=self._run, name="switch")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        if self._thread is not None:
            self._thread.join()

    def heal(self) -> None:
        """Carry everything at once again."""
        self.delay_s, self.loss, self.cut = 0.0, 0.0, frozenset()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for wire in self._to.values():
                selector.register(wire, selectors.EVENT_READ)
            while not self._is_over:
                wait_s = 0.1 if not self._late else self._late[0][0] - time.monotonic()
                for key, _ in selector.select(min(0.1, max(0.0, wait_s))):
                    self._take(key.fd)
                now_s = time.monotonic()
                while self._late and self._late[0][0] <= now_s:
                    self._deliver(heapq.heappop(self._late)[2])

    def _take(self, wire: int) -> None:
        try:
            while packet := os.read(wire, PACKET_BYTES_MAX):
                self._accept(packet)
        except BlockingIOError:
            return

    def _accept(self, packet: bytes) -> None:
        if packet[0] >> 4 != 4:
            return  # the kernel also says hello in IPv6, to nobody
        source, target = (self._names.get(packet[at : at + 4]) for at in (12, 16))
        is_cut = (source, target) in self.cut
        if is_cut or len(self._late) >= PACKETS_MAX or self._rng.random() < self.loss:
            self.dropped += 1
            return
        self.carried += 1
        if self.delay_s == 0.0:
            self._deliver(packet)
        else:
            due_s = time.monotonic() + self.delay_s
            heapq.heappush(self._late, (due_s, self.carried, packet))

    def _deliver(self, packet: bytes) -> None:
        wire = self._to.get(packet[16:20])
        if wire is None:
            return
        try:
            os.write(wire, packet)
        except OSError:
            self.dropped += 1  # its queue is full, or nobody is there any more


def mount_memory(folder: Path, mebibytes: int) -> None:
    """A file system of so much space at `folder`, in our mount namespace. Raises `NotPermitted`."""
    _mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder))


def mount_image(image: Path, folder: Path, mebibytes: int) -> None:
    """An ext2 file system in the sparse file `image`. Raises `NotPermitted`."""
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    subprocess.run(["mkfs.ext2", "-q", "-F", str(image)], check=True)
    _mount("-o", "loop", str(image), str(folder))


def _mount(*arguments: str) -> None:
    if not is_entered():
        raise NotPermitted("nothing is mounted outside a mount namespace of our own")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPermitted(f"mount {' '.join(arguments)}: {done.stderr.strip()}")

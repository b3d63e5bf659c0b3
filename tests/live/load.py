"""A load for a network of real nodes: transfers, readers that stay, and clients that come and go.

Everything is at a fixed rate, so that what a node holds for it does not grow either.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from devnet.rpc_client import Link, RpcClient, RpcFailed
from devnet.wallet import Account, Wallet
from node.errors import NodeUnreachable
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import AddressId, MultiAddress
from runtime.primitives.scale import Compact, Struct
from runtime.primitives.types import Balance
from tests.live.rpc_soak import UPGRADE, masked, request

BALANCES, TRANSFER_ALLOW_DEATH = 6, 0
CLOSE = 0x88  # of a WebSocket, opcode and last fragment
HOST = "127.0.0.1"
TRANSFER_EVERY_S = 1.0  # of each sender
TERMS_EVERY = 20  # transfers: they live for 64 blocks
RECEIVERS = 50  # accounts; more would only make the state grow
AMOUNT_NANO = 20_000_000
ASK_EVERY_S = 0.4  # of each reader that polls
COME_AND_GO_EVERY_S = 1.0
PATIENCE_S = 20.0
NETWORK_FAULTS = (NodeUnreachable, RpcFailed, OSError, trio.BrokenResourceError)

SUBSCRIPTIONS: tuple[tuple[str, tuple[object, ...], str], ...] = (
    ("chain_subscribeNewHeads", (), "chain_unsubscribeNewHeads"),
    ("chain_subscribeFinalizedHeads", (), "chain_unsubscribeFinalizedHeads"),
    ("grandpa_subscribeJustifications", (), "grandpa_unsubscribeJustifications"),
    ("dret_subscribeMarket", (), "dret_unsubscribeMarket"),
    ("state_subscribeRuntimeVersion", (), "state_unsubscribeRuntimeVersion"),
)
QUESTIONS: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("dret_status", ()),
    ("system_health", ()),
    ("chain_getBlock", ()),
    ("state_call", ("AuthoritiesApi_overview", "0x")),
    ("author_pendingExtrinsics", ()),
    ("state_getKeysPaged", ("0x", 100)),
    ("grandpa_roundState", ()),
    ("state_getMetadata", ()),
    ("chain_getBlockHash", (1,)),
    ("state_getReadProof", (["0x3a636f6465"],)),  # :code
)


class _Transfer(Struct):
    dest: MultiAddress
    value: Compact[Balance]


@dataclass
class Load:
    """What was done to the nodes, counted, and by what it was refused."""

    ports: Sequence[int]
    """For RPC, of the nodes that bear it."""

    senders: Sequence[str]
    """Secrets of accounts with money, which nobody else signs for."""

    done: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])

    async def run(self) -> None:
        """Load them until cancelled."""
        async with trio.open_nursery() as nursery:
            for number, suri in enumerate(self.senders):
                nursery.start_soon(self._send, suri, self.ports[number % len(self.ports)])
            for number, port in enumerate(self.ports):
                nursery.start_soon(self._listen, port)
                nursery.start_soon(self._ask, port, number)
            nursery.start_soon(self._come_and_go)

    async def _send(self, suri: str, port: int) -> None:
        """One transfer after the other, to some of a few accounts."""
        link = Link(HOST, port)
        wallet, account = Wallet(link), Account(KeyPair.from_suri(suri, Scheme.SR25519))
        receivers = [
            KeyPair.from_suri(f"//Soak//{number}", Scheme.SR25519).public
            for number in range(RECEIVERS)
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            sent = 0
            while True:
                if sent % TERMS_EVERY == 0:
                    await wallet.look()
                call = _Transfer(AddressId(receivers[sent % RECEIVERS]), AMOUNT_NANO).encode()
                is_taken = await wallet.submit(
                    account, bytes([BALANCES, TRANSFER_ALLOW_DEATH]) + call
                )
                self._count("transfer", is_taken)
                sent += 1
                await trio.sleep(TRANSFER_EVERY_S)

    async def _listen(self, port: int) -> None:
        """All subscriptions on one connection, read as they come, for as long as it lasts."""
        while True:
            try:
                client = await RpcClient.open(HOST, port)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_until_the_end, client, nursery.cancel_scope)
                    for method, params, unsubscribe in SUBSCRIPTIONS:
                        nursery.start_soon(self._read, client, method, params, unsubscribe)
            except* NETWORK_FAULTS:
                self._count("listen", False)
            await trio.sleep(1)

    async def _read(
        self, client: RpcClient, method: str, params: Sequence[object], unsubscribe: str
    ) -> None:
        async with client.subscribe(method, params, unsubscribe) as notifications:
            async for _ in notifications:
                self._count(method, True)

    async def _ask(self, port: int, seed: int) -> None:
        """Questions of all kinds, in turn."""
        rng, link = random.Random(seed), Link(HOST, port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            while True:
                await trio.sleep(ASK_EVERY_S)
                method, params = rng.choice(QUESTIONS)
                try:
                    await link.call(method, params)
                except NETWORK_FAULTS:
                    self._count(method, False)
                else:
                    self._count(method, True)

    async def _come_and_go(self) -> None:
        """Clients that connect, want something, and leave: in order, or in the middle of it."""
        rng = random.Random(1)
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(COME_AND_GO_EVERY_S)
                nursery.start_soon(self._visit, rng.choice(self.ports), rng.random() < 0.5)

    async def _visit(self, port: int, leaves_in_order: bool) -> None:
        try:
            with trio.fail_after(PATIENCE_S):
                async with await trio.open_tcp_stream(HOST, port) as stream:
                    await stream.send_all(UPGRADE)
                    await _until(stream, b"101")
                    await stream.send_all(request("chain_subscribeNewHeads"))
                    await _until(stream, b"chain_newHead")
                    if leaves_in_order:
                        await stream.send_all(masked(b"", CLOSE))
                        await _until(stream, b"")
        except (OSError, trio.BrokenResourceError, trio.TooSlowError):
            self._count("visit", False)
        else:
            self._count("visit", True)

    def _count(self, what: str, is_done: bool) -> None:
        (self.done if is_done else self.failed)[what] += 1


async def _until_the_end(client: RpcClient, scope: trio.CancelScope) -> None:
    await client.run()
    scope.cancel()


async def _until(stream: trio.SocketStream, text: bytes) -> None:
    """Read until a text has come; until the end for none. Raises `BrokenResourceError`."""
    received = b""
    while data := await stream.receive_some():
        received += data
        if text and text in received:
            return
    if text:
        raise trio.BrokenResourceError(f"{text!r} did not come")

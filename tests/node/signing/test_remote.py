"""A node and a signer over a real socket: service, loss, return, and who is refused."""

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus.aura import pre_hash
from consensus.effects import Sign, SignKind
from consensus.events import Event, Signed, SignerLost, SignerReached
from node.errors import ConfigInvalid, StorageLocked
from node.keystore import Keystore
from node.signing import protocol, remote
from node.signing.marks import FILE_NAME
from node.signing.port import KeysUnusable
from node.signing.process import SignerConfig, run_signer
from node.signing.protocol import Connection
from node.signing.remote import RemoteSigner
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.crypto import KeyPair, Scheme, verify
from runtime.primitives.grandpa import Message, Prevote, vote_payload
from runtime.primitives.receipts import Promise
from runtime.primitives.session import SessionKeys, is_owned
from tests.node.signing.test_signer import header_of

AURA = KeyPair.from_suri("//Alice", Scheme.SR25519)
GRANDPA = KeyPair.from_suri("//Alice", Scheme.ED25519)
KEYS = SessionKeys(AURA.public, GRANDPA.public)
OWNER = b"o" * 32
PLEDGE = Pledge(bytes(32), Promise(b"o" * 32, 7, b"h" * 32, 16, 99))
HEARTBEAT = Heartbeat(bytes(32), 4, b"w" * 32, 17, b"1.0")
WAIT_S = 20.0


def vote(block: int, round_number: int = 1, stage: type[Message] = Prevote) -> Sign:
    message = stage(bytes([block]) * 32, block)
    index = 0 if stage is Prevote else 1
    payload = vote_payload(message, round_number, 0)
    return Sign(
        block, SignKind.VOTE, GRANDPA.public, payload, set_id=0, round=round_number, stage=index
    )


def seal(slot: int, root: int = 1) -> Sign:
    header = header_of(slot, root)
    return Sign(slot, SignKind.SEAL, AURA.public, pre_hash(header), slot=slot, header=header)


@dataclass
class Place:
    """A signer's folder, and the node's side of it with what it told the core."""

    folder: Path
    told: list[Event] = field(default_factory=list[Event])
    news: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        keystore = Keystore(self.folder / "keystore")
        keystore.insert("aura", "//Alice")
        keystore.insert("gran", "//Alice")
        self.socket = self.folder / "socket"
        self.node = RemoteSigner(self.socket)

    def config(self, **changes: Any) -> SignerConfig:
        settings: dict[str, Any] = {
            "keystore_path": self.folder / "keystore",
            "socket_path": self.socket,
        }
        return SignerConfig(**(settings | changes))

    def tell(self, event: Event) -> None:
        self.told.append(event)
        self.news.set()
        self.news = trio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        with trio.fail_after(WAIT_S):
            while not is_so():
                await self.news.wait()

    async def next(self, kind: type[Event]) -> Event:
        """The next event of a kind; those before it are dropped."""
        await self.until(lambda: any(isinstance(event, kind) for event in self.told))
        place = next(i for i, event in enumerate(self.told) if isinstance(event, kind))
        event = self.told[place]
        del self.told[: place + 1]
        return event

    async def ask(self, request: Sign) -> Signed:
        self.node.sign(request, self.tell)
        answer = await self.next(Signed)
        assert isinstance(answer, Signed)
        return answer


@asynccontextmanager
async def signing(place: Place, **changes: Any) -> AsyncIterator[trio.CancelScope]:
    """The signer, in this process."""
    async with trio.open_nursery() as nursery:
        scope = await nursery.start(run_in_scope, place.config(**changes))
        yield scope
        nursery.cancel_scope.cancel()


async def run_in_scope(
    config: SignerConfig, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(run_signer, config)
        task_status.started(nursery.cancel_scope)


@asynccontextmanager
async def listening(place: Place) -> AsyncIterator[None]:
    """The node's side, in this process."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.node.run, place.tell)
        yield
        nursery.cancel_scope.cancel()


async def answered(place: Place) -> None:
    """Wait until the node's side knows more than at its start."""
    with trio.fail_after(WAIT_S):
        while "not reached" in place.node.reason:
            await trio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE_S", 0.01)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_signer_signs_what_a_validator_has_to_sign(place: Place) -> None:
    signatures: list[bytes] = []
    async with signing(place), listening(place):
        await place.next(SignerReached)
        voted, sealed = await place.ask(vote(1)), await place.ask(seal(7))
        place.node.sign_heartbeat(AURA.public, HEARTBEAT, signatures.append)
        promised = await place.node.sign_pledge(AURA.public, PLEDGE)
        proof = await place.node.prove_ownership(KEYS, OWNER)

    assert verify(Scheme.SR25519, AURA.public, PLEDGE.payload(), promised)
    assert voted.signature and sealed.signature
    assert verify(Scheme.ED25519, GRANDPA.public, vote(1).payload, voted.signature)
    assert verify(Scheme.SR25519, AURA.public, seal(7).payload, sealed.signature)
    assert verify(Scheme.SR25519, AURA.public, HEARTBEAT.payload(), signatures[0])
    assert is_owned(KEYS, OWNER, proof)


async def test_what_the_signer_refuses_is_refused_and_not_lost(place: Place) -> None:
    async with signing(place), listening(place):
        await place.next(SignerReached)
        await place.ask(vote(1))
        answer = await place.ask(vote(2))
        again = await place.ask(vote(1))

    assert (answer.signature, answer.is_lost) == (None, False)
    assert "a different vote of this stage" in answer.reason
    assert again.signature is not None


async def test_keys_are_known_while_the_signer_is_there_and_afterwards(place: Place) -> None:
    ring = place.node.ring("gran")
    assert (len(ring), place.node.is_away) == (0, True)

    async with listening(place):
        async with signing(place):
            await place.next(SignerReached)
            assert (list(ring), place.node.is_away) == ([GRANDPA.public], False)
        await place.next(SignerLost)

    assert GRANDPA.public in ring and place.node.is_away
    assert list(place.node.ring("other")) == []


async def test_a_signer_that_returns_brings_its_marks(place: Place) -> None:
    async with listening(place):
        async with signing(place):
            first = await place.next(SignerReached)
            await place.ask(vote(5, round_number=3))
        lost = await place.ask(vote(6, round_number=4))
        async with signing(place):
            second = await place.next(SignerReached)
            assert place.node.losses == 1

    assert isinstance(first, SignerReached) and first.marks == ()
    assert (lost.signature, lost.is_lost) == (None, True)
    assert isinstance(second, SignerReached)
    (mark,) = second.marks
    assert (mark.public, mark.set_id, mark.round) == (GRANDPA.public, 0, 3)
    assert mark.prevote is not None and mark.prevote.message == Prevote(b"\x05" * 32, 5)


async def test_a_second_node_is_refused_while_the_first_is_served(place: Place) -> None:
    other = Place(place.folder)
    async with signing(place), listening(place):
        await place.next(SignerReached)
        async with listening(other):
            await answered(other)
        assert f"process {os.getpid()} is served already" in other.node.reason
        assert other.told == []
        assert (await place.ask(vote(1))).signature is not None


async def test_another_user_is_refused_by_what_the_system_says(place: Place) -> None:
    async with signing(place, user=str(os.getuid() + 1)), listening(place):
        await answered(place)

    assert f"user {os.getuid()} may not use this signer" in place.node.reason


async def test_the_socket_is_for_its_user_alone_unless_a_group_is_named(place: Place) -> None:
    async with signing(place):
        assert place.socket.stat().st_mode & 0o777 == 0o600
    assert not place.socket.exists()
    async with signing(place, group=str(os.getgid())):
        assert place.socket.stat().st_mode & 0o777 == 0o660


async def test_two_signers_never_hold_the_same_keys(place: Place) -> None:
    async with signing(place):
        with pytest.RaisesGroup(StorageLocked, flatten_subgroups=True):
            async with signing(place, socket_path=place.folder / "other"):
                pass


async def test_a_socket_in_use_or_a_file_in_its_place_is_refused(place: Place) -> None:
    copy = place.folder / "copy"
    Keystore(copy / "keystore").insert("aura", "//Bob")
    Keystore(copy / "keystore").insert("gran", "//Bob")
    place.socket.write_text("a file")
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigInvalid, match="else than a socket"), flatten_subgroups=True
    ):
        async with signing(place):
            pass
    place.socket.unlink()
    async with signing(place):
        with pytest.RaisesGroup(
            pytest.RaisesExc(ConfigInvalid, match="another signer listens"), flatten_subgroups=True
        ):
            async with signing(place, keystore_path=copy / "keystore"):
                pass


async def test_keys_are_drawn_by_the_signer_and_proved_for_their_owner_only(place: Place) -> None:
    async with signing(place, owner=OWNER), listening(place):
        await place.next(SignerReached)
        keys = await place.node.draw()
        proof = await place.node.prove_ownership(keys, OWNER)
        with pytest.raises(KeysUnusable, match="for another account"):
            await place.node.prove_ownership(keys, b"x" * 32)
        with pytest.raises(KeysUnusable, match="insert this one there"):
            place.node.insert("aura", "//Bob", bytes(32))

    assert is_owned(keys, OWNER, proof)
    assert keys.aura in place.node.ring("aura") and keys.grandpa in place.node.ring("gran")
    assert Keystore(place.folder / "keystore").get("aura", keys.aura) is not None


async def test_without_a_signer_everything_is_lost_at_once_and_says_so(place: Place) -> None:
    signatures: list[bytes] = []

    place.node.sign(vote(1), place.tell)
    place.node.sign_heartbeat(AURA.public, HEARTBEAT, signatures.append)
    with pytest.raises(KeysUnusable, match="does not answer"):
        await place.node.sign_pledge(AURA.public, PLEDGE)
    with pytest.raises(KeysUnusable, match="does not answer"):
        await place.node.draw()

    assert place.told == [Signed(1, None, "it was not reached yet", is_lost=True)]
    assert signatures == []


async def test_a_disk_that_takes_no_mark_is_a_loss_and_not_a_refusal(place: Place) -> None:
    async with signing(place), listening(place):
        await place.next(SignerReached)
        blocker = place.folder / (FILE_NAME + ".tmp")
        blocker.mkdir()
        answer = await place.ask(vote(1))
        assert answer.is_lost and "it cannot sign" in answer.reason
        blocker.rmdir()
        await place.next(SignerReached)
        assert (await place.ask(vote(1))).signature is not None


@asynccontextmanager
async def scripted(place: Place, *answers: protocol.Answer | None) -> AsyncIterator[None]:
    """A signer that greets well and then answers by a script; None is silence."""

    async def serve(stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        try:
            await connection.request()
            await connection.send(protocol.Welcome(1, [AURA.public], [GRANDPA.public], []))
            for answer in answers:
                await connection.request()
                if answer is None:
                    await trio.sleep_forever()
                else:
                    await connection.send(answer)
            await connection.request()
        except protocol.ConnectionBroken:
            pass

    listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listener.bind(str(place.socket))
    listener.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listener)])
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (protocol.Signed(bytes(64)), "signature under 0x.* is wrong"),
        (protocol.Drawn(KEYS), "answers SignVote with Drawn"),
        (protocol.Failed("no space"), "cannot sign: no space"),
        (None, "no answer within"),
    ],
)
async def test_a_signer_that_misbehaves_is_lost(
    place: Place, answer: protocol.Answer | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ANSWER_S", 0.2)
    async with scripted(place, answer), listening(place):
        await place.next(SignerReached)
        place.node.sign(vote(1), place.tell)
        place.node.sign(seal(7), place.tell)
        await place.until(lambda: len(place.told) >= 3)

    lost, first, second = place.told[:3]
    assert isinstance(lost, SignerLost)
    assert re.search(reason, lost.reason)
    for event, request_id in ((first, 1), (second, 7)):
        assert isinstance(event, Signed)
        assert (event.request_id, event.signature, event.is_lost) == (request_id, None, True)


async def test_a_signer_that_is_gone_is_asked_for_less_and_less_often(
    place: Place, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PAUSE_S", 0.25)
    times: list[float] = []

    async def unreachable(name: str) -> trio.SocketStream:
        times.append(trio.current_time())
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(trio, "open_unix_socket", unreachable)
    with trio.move_on_after(600):
        await place.node.run(place.tell)

    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert pauses[:6] == pytest.approx([0.25, 0.5, 1, 2, 4, 8])
    assert len(times) < 85
    assert place.told == []
    assert "Connection refused" in place.node.reason

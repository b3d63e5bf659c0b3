"""The node's side of a signer in another process: one connection, kept and made again.

While the signer is away the node observes: nothing waits for it. A request that was under way when
the connection broke is answered as lost; the marks that come with the next connection tell what
became of it. Attempts to connect come slower and slower, so a signer that is gone for good costs
nothing.

Invariant: each request has one answer, and all have it before `SignerReached` is told.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from consensus.aura import pre_hash
from consensus.effects import Sign, SignKind
from consensus.events import Signed, SignerLost, SignerReached
from consensus.ports import SignerMark
from node.signing import protocol
from node.signing.marks import MESSAGE_BYTES
from node.signing.port import KeysUnusable, Tell
from node.signing.protocol import Answer, Connection, ConnectionBroken, Request
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import Message, vote_payload
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import AccountId

log = logging.getLogger("signer")

ANSWER_S = 5.0  # a signature takes milliseconds; a disk that syncs for longer is no disk to vote on
PAUSE_S, PAUSE_MAX_S = 0.25, 8.0  # between attempts to connect, doubled each time
STABLE_S = 10.0  # a connection that held so long was good: the pauses begin small again
OTHERS_MAX = 64  # requests that are not the core's, in the queue: signs of life, and RPC's

Done = Callable[[Answer | None], None]
"""Takes the answer; None when there is none."""

AnswerKind = TypeVar("AnswerKind", bound=Answer)


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    done: Done


class RemoteSigner:
    """`SessionSigner` over the socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, tuple[bytes, ...]] = {"aura": (), "gran": ()}
        self._queue: trio.MemorySendChannel[_Asked] | None = None
        """None while the signer is away."""

        self._requests: trio.MemoryReceiveChannel[_Asked] | None = None
        self._under_way: _Asked | None = None
        self.reason = "it was not reached yet"
        """Why it is away, or was the last time."""

        self.losses = 0
        """How often it was lost since the node started."""

    @property
    def is_away(self) -> bool:
        """Whether there is no connection."""
        return self._queue is None

    def ring(self, key_type: str) -> Collection[bytes]:
        """The public keys that the signer said it holds, when it was last reached."""
        return _Ring(self._keys, key_type)

    def marks(self) -> tuple[SignerMark, ...]:
        """Nothing: they come with `SignerReached`."""
        return ()

    # --- requests

    def sign(self, request: Sign, tell: Tell) -> None:
        """Ask for a signature. The answer is lost when the signer is away, or does not answer.

        Never dropped, since the core has few under way: a vote of each set, a seal of each slot.
        """

        def done(answer: Answer | None) -> None:
            match answer:
                case protocol.Signed():
                    tell(Signed(request.request_id, answer.signature))
                case protocol.Refused():
                    tell(Signed(request.request_id, None, answer.reason))
                case _:
                    tell(Signed(request.request_id, None, self.reason, is_lost=True))

        self._ask(_Asked(_signing_request(request), done))

    def sign_heartbeat(
        self, public: bytes, heartbeat: Heartbeat, then: Callable[[bytes], None]
    ) -> None:
        """Ask for the signature of a sign of life; without one, the next session has its own."""

        def done(answer: Answer | None) -> None:
            match answer:
                case protocol.Signed():
                    then(answer.signature)
                case protocol.Refused():
                    log.warning("The signer refused a sign of life: %s", answer.reason)
                case _:
                    log.debug("A sign of life was not signed: %s", self.reason)

        self._ask_if_idle(_Asked(protocol.SignHeartbeat(public, heartbeat), done))

    async def sign_pledge(self, public: bytes, pledge: Pledge) -> bytes:
        """Ask for the signature of a promise. Raises `KeysUnusable`."""
        answer = await self._answer(protocol.SignPledge(public, pledge), protocol.Signed)
        return answer.signature

    def insert(self, key_type: str, suri: str, public: bytes) -> None:
        """Raises `KeysUnusable`: a secret does not travel to the signer through the node."""
        raise KeysUnusable(
            f"The keys are held by the signer at {self._path}: insert this one there with "
            "dret key insert --keystore-path, and start the signer again."
        )

    async def draw(self) -> SessionKeys:
        """Let the signer draw new session keys. Raises `KeysUnusable`."""
        drawn = await self._answer(protocol.DrawKeys(), protocol.Drawn)
        self._add("aura", drawn.keys.aura)
        self._add("gran", drawn.keys.grandpa)
        return drawn.keys

    async def prove_ownership(self, keys: SessionKeys, owner: AccountId) -> bytes:
        """The signer's proof that its keys go to an account. Raises `KeysUnusable`."""
        answer = await self._answer(protocol.ProveOwnership(keys, owner), protocol.Proof)
        return answer.proof

    async def _answer(self, request: Request, kind: type[AnswerKind]) -> AnswerKind:
        got, answers = trio.Event(), list[Answer | None]()

        def done(answer: Answer | None) -> None:
            answers.append(answer)
            got.set()

        self._ask_if_idle(_Asked(request, done))
        await got.wait()
        (answer,) = answers
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, protocol.Refused):
            raise KeysUnusable(f"The signer refused: {answer.reason}.")
        raise KeysUnusable(f"The signer at {self._path} does not answer: {self.reason}.")

    def _ask_if_idle(self, asked: _Asked) -> None:
        queue = self._queue
        if queue is not None and queue.statistics().current_buffer_used >= OTHERS_MAX:
            log.warning("The signer is slow: %d requests wait, another is dropped", OTHERS_MAX)
            asked.done(None)
            return
        self._ask(asked)

    def _ask(self, asked: _Asked) -> None:
        if self._queue is None:
            asked.done(None)
        else:
            self._queue.send_nowait(asked)

    # --- the connection

    async def run(self, tell: Tell) -> None:
        """Connect, serve requests, and connect again, until cancelled."""
        pause_s = PAUSE_S
        while True:
            began = trio.current_time()
            try:
                async with await self._connect() as stream:
                    connection = Connection(stream)
                    self._begin(await _greet(connection), tell)
                    await self._serve(connection)
            except ConnectionBroken as error:
                self._lose(str(error), tell)
            if trio.current_time() - began >= STABLE_S:
                pause_s = PAUSE_S
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _connect(self) -> trio.SocketStream:
        try:
            return await trio.open_unix_socket(str(self._path))
        except OSError as error:
            raise ConnectionBroken(f"{self._path}: {error.strerror}") from error

    def _begin(self, welcome: protocol.Welcome, tell: Tell) -> None:
        self._keys.update(aura=tuple(welcome.aura), gran=tuple(welcome.grandpa))
        self._queue, self._requests = trio.open_memory_channel[_Asked](math.inf)
        log.info(
            "The signer at %s is there: it holds %d keys for blocks and %d for votes",
            self._path,
            len(welcome.aura),
            len(welcome.grandpa),
        )
        tell(SignerReached(tuple(mark.told() for mark in welcome.marks)))

    async def _serve(self, connection: Connection) -> None:
        """Pass requests on, one after the other. Ends by `ConnectionBroken`."""
        assert self._requests is not None, "the connection has begun"
        while True:
            asked = self._under_way = await _next_request(self._requests, connection)
            await connection.send(asked.request)
            answer = await _in_time(connection)
            if isinstance(answer, protocol.Failed):
                raise ConnectionBroken(f"it cannot sign: {answer.reason}")
            _check(asked.request, answer)
            self._under_way = None
            asked.done(answer)

    def _lose(self, reason: str, tell: Tell) -> None:
        requests, self._requests, self._queue = self._requests, None, None
        if requests is None:
            if reason != self.reason:
                log.warning("The signer is away: %s", reason)
            self.reason = reason
            return
        self.reason = reason
        self.losses += 1
        log.warning("The signer is lost: %s. This node observes until it is back", reason)
        tell(SignerLost(reason))
        unanswered = [] if self._under_way is None else [self._under_way]
        self._under_way = None
        while requests.statistics().current_buffer_used:
            unanswered.append(requests.receive_nowait())
        for asked in unanswered:
            asked.done(None)

    def _add(self, key_type: str, public: bytes) -> None:
        self._keys[key_type] = tuple(sorted({*self._keys[key_type], public}))


class _Ring(Collection[bytes]):
    """The public keys of a type, as the signer had them when it was last reached."""

    def __init__(self, keys: Mapping[str, tuple[bytes, ...]], key_type: str) -> None:
        self._keys = keys
        self._key_type = key_type

    def _held(self) -> tuple[bytes, ...]:
        return self._keys.get(self._key_type, ())

    def __contains__(self, public: object) -> bool:
        return public in self._held()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._held())

    def __len__(self) -> int:
        return len(self._held())


async def _greet(connection: Connection) -> protocol.Welcome:
    await connection.send(protocol.Hello(protocol.PROTOCOL_VERSION))
    answer = await _in_time(connection)
    match answer:
        case protocol.Welcome():
            return answer
        case protocol.Refused() | protocol.Failed():
            raise ConnectionBroken(f"it does not serve us: {answer.reason}")
        case _:
            raise ConnectionBroken(f"it greets with {type(answer).__name__}")


async def _next_request(
    requests: "trio.MemoryReceiveChannel[_Asked]", connection: Connection
) -> _Asked:
    """The next request; `ConnectionBroken` when the signer goes away while there is none."""
    found: list[_Asked] = []
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            # It never speaks unasked: what can be read is the end.
            await connection.wait_until_readable()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        found.append(await requests.receive())
        nursery.cancel_scope.cancel()
    if not found:
        raise ConnectionBroken("the connection was closed")
    return found[0]


async def _in_time(connection: Connection) -> Answer:
    with trio.move_on_after(ANSWER_S):
        return await connection.answer()
    raise ConnectionBroken(f"no answer within {ANSWER_S:.0f} s")


def _signing_request(request: Sign) -> Request:
    if request.kind is SignKind.SEAL:
        assert request.header is not None, "a seal is asked for with its header"
        return protocol.SignSeal(request.public, request.header)
    message = Message.decode(request.payload[:MESSAGE_BYTES])
    return protocol.SignVote(request.public, message, request.round, request.set_id)


def _check(request: Request, answer: Answer) -> None:
    """Whether this answers that. A wrong signature would be sent in our name."""
    match request, answer:
        case (_, protocol.Refused()):
            return
        case (protocol.DrawKeys(), protocol.Drawn()) | (
            protocol.ProveOwnership(),
            protocol.Proof(),
        ):
            return
        case (protocol.SignVote(), protocol.Signed()):
            scheme = Scheme.ED25519
            payload = vote_payload(request.message, request.round, request.set_id)
        case (protocol.SignSeal(), protocol.Signed()):
            scheme, payload = Scheme.SR25519, pre_hash(request.header)
        case (protocol.SignHeartbeat(), protocol.Signed()):
            scheme, payload = Scheme.SR25519, request.heartbeat.payload()
        case (protocol.SignPledge(), protocol.Signed()):
            scheme, payload = Scheme.SR25519, request.pledge.payload()
        case _:
            raise ConnectionBroken(
                f"it answers {type(request).__name__} with {type(answer).__name__}"
            )
    if not verify(scheme, request.public, payload, answer.signature):
        raise ConnectionBroken(f"its signature under 0x{request.public.hex()} is wrong")

"""The transaction pool: extrinsics that wait for a block, ready or still in the future.

A plain class without awaits: the node and the simulator drive it alike. It holds what the runtime
calls valid, ordered by the tags the runtime gives: an extrinsic is *ready* when all tags it
requires are provided by ready ones, and *future* otherwise.

Invariants: every tag is provided by at most one extrinsic of the ready set; an extrinsic is in one
of the two sets only; both stay within their bounds of count and bytes.

Names and defaults as in Substrate's pool. Left out: views per fork; after a reorganisation the
extrinsics of the retracted blocks come back and are validated at the new best block.
"""

import heapq
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

READY_MAX, READY_BYTES_MAX = 8_192, 20 << 20  # Substrate's defaults
FUTURE_MAX, FUTURE_BYTES_MAX = 512, 1 << 20
PER_SENDER_MAX = 64  # one account cannot crowd out the others
EXTRINSIC_BYTES_MAX = 64 << 10
BAN_MS = 30 * 60 * 1_000  # what was invalid is not looked at again for half an hour
BANNED_MAX = 4_096  # about half a full pool of rubbish
RETRACTED_BYTES_MAX = 4 << 20  # what one reorganisation may bring back
REVALIDATE_PER_BLOCK = 16  # keeps the cost of a block bounded; the whole pool turns over in minutes
WATCHERS_MAX = 4_096


class Validity(Protocol):
    """What the runtime says of a valid extrinsic (Substrate's `ValidTransaction`)."""

    @property
    def priority(self) -> int: ...
    @property
    def requires(self) -> list[bytes]: ...
    @property
    def provides(self) -> list[bytes]: ...
    @property
    def longevity(self) -> int: ...
    @property
    def propagate(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Status:
    """A step in the life of a watched extrinsic, named as `author_extrinsicUpdate` names it."""

    kind: str
    """future, ready, broadcast, inBlock, retracted, finalized, usurped, dropped or invalid."""
    block: bytes | None = None
    """The block's hash for inBlock, retracted and finalized; the usurper's for usurped."""


class PoolError(Exception):
    """An extrinsic the pool does not take; `code` is Substrate's author error."""

    code = 1010


class TemporarilyBanned(PoolError):
    """The same bytes were invalid a short while ago."""

    code = 1012


class AlreadyImported(PoolError):
    """The pool holds these very bytes."""

    code = 1013


class TooLowPriority(PoolError):
    """Another extrinsic with the same sender and nonce has at least this priority."""

    code = 1014


class ImmediatelyDropped(PoolError):
    """The pool is full of extrinsics of higher priority, or the sender has too many in it."""

    code = 1016


class InvalidExtrinsic(PoolError):
    """The runtime refuses the extrinsic at the best block; the cause says why."""


class MalformedExtrinsic(InvalidExtrinsic):
    """The bytes are no extrinsic of this chain."""

    code = 1001


class ForgedExtrinsic(InvalidExtrinsic):
    """The signature is wrong, which unlike other reasons holds on every block (of a branch)."""


class UnknownValidity(PoolError):
    """The runtime cannot tell whether the extrinsic is valid; it may be later, so no ban."""

    code = 1011


@dataclass(frozen=True, slots=True)
class Entry:
    """An extrinsic in the pool. `order` is its arrival, kept when a reorganisation returns it."""

    hash: bytes
    extrinsic: bytes
    validity: Validity
    order: int
    expires_at: int
    """The first block number at which it is no longer valid."""


class Pool:
    """`validate` judges at the best block and raises `InvalidExtrinsic` (or another `PoolError`).

    `hash_of` gives an extrinsic's hash, `tags_of` the tags that an included extrinsic provided
    (empty for inherents). `now_ms` is the monotonic clock.
    """

    def __init__(
        self,
        validate: Callable[[bytes], Validity],
        hash_of: Callable[[bytes], bytes],
        tags_of: Callable[[bytes], list[bytes]],
        now_ms: Callable[[], int],
    ) -> None:
        self._validate = validate
        self._hash_of = hash_of
        self._tags_of = tags_of
        self._now_ms = now_ms
        self._ready: dict[bytes, Entry] = {}
        self._future: dict[bytes, Entry] = {}
        self._provider: dict[bytes, bytes] = {}
        self._requirers: defaultdict[bytes, dict[bytes, None]] = defaultdict(dict)
        self._bytes = {"ready": 0, "future": 0}
        self._closed: str | None = None
        self._banned: OrderedDict[bytes, int] = OrderedDict()
        self._senders: defaultdict[bytes, int] = defaultdict(int)
        self._watchers: defaultdict[bytes, list[Callable[[Status], None]]] = defaultdict(list)
        self._watched_in: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._order = 0
        self._best_number = 0
        self._revalidation: list[bytes] = []

    def __len__(self) -> int:
        return len(self._ready) + len(self._future)

    @property
    def ready_count(self) -> int:
        """How many could go into the next block."""
        return len(self._ready)

    @property
    def future_count(self) -> int:
        """How many wait for an extrinsic that is not here."""
        return len(self._future)

    def submit(self, extrinsic: bytes) -> bytes:
        """Take an extrinsic in and return its hash. Raises `PoolError`; then nothing changed."""
        if self._closed is not None:
            raise ImmediatelyDropped(self._closed)
        digest = self._hash_of(extrinsic)
        if digest in self._ready or digest in self._future:
            raise AlreadyImported(f"The pool already holds extrinsic 0x{digest.hex()}.")
        until = self._banned.get(digest)
        if until is not None and until > self._now_ms():
            raise TemporarilyBanned(
                f"Extrinsic 0x{digest.hex()} was invalid; it is refused for another "
                f"{(until - self._now_ms()) // 1_000} s. Sign it anew."
            )
        if len(extrinsic) > EXTRINSIC_BYTES_MAX:
            raise ImmediatelyDropped(
                f"The extrinsic has {len(extrinsic)} bytes, at most {EXTRINSIC_BYTES_MAX} are "
                "taken. Split it."
            )
        try:
            validity = self._validate(extrinsic)
        except InvalidExtrinsic:
            self._ban(digest)
            raise
        self._order += 1
        self._insert(self._entry(digest, extrinsic, validity, self._order))
        return digest

    def close(self, reason: str) -> None:
        """Take nothing in any more; whoever tries is told why."""
        self._closed = reason

    def contains(self, digest: bytes) -> bool:
        """Whether the extrinsic of this hash waits here."""
        return digest in self._ready or digest in self._future

    def is_ready(self, digest: bytes) -> bool:
        """Whether the extrinsic of this hash could go into the next block."""
        return digest in self._ready

    def get(self, digest: bytes) -> Entry | None:
        """The entry of this hash, ready or future."""
        return self._ready.get(digest) or self._future.get(digest)

    def pending(self) -> list[bytes]:
        """All ready extrinsics in the order a block would take them."""
        return [entry.extrinsic for entry in self.ready()]

    def ready(self) -> Iterator[Entry]:
        """Ready entries, highest priority first, never before what they require."""
        waiting: dict[bytes, int] = {}
        dependents: defaultdict[bytes, list[Entry]] = defaultdict(list)
        heap: list[tuple[int, int, bytes]] = []
        for entry in list(self._ready.values()):
            providers = {self._provider[tag] for tag in entry.validity.requires}
            if providers:
                waiting[entry.hash] = len(providers)
                for provider in providers:
                    dependents[provider].append(entry)
            else:
                heapq.heappush(heap, (-entry.validity.priority, entry.order, entry.hash))
        while heap:
            _, _, digest = heapq.heappop(heap)
            current = self._ready.get(digest)
            if current is None:  # removed by the caller while it iterated
                continue
            yield current
            for entry in dependents[digest]:
                waiting[entry.hash] -= 1
                if waiting[entry.hash] == 0:
                    heapq.heappush(heap, (-entry.validity.priority, entry.order, entry.hash))

    def next_nonce_tag(self, tags: Iterator[bytes]) -> int:
        """How many of the successive `tags` are provided by ready extrinsics, from the first on."""
        count = 0
        for tag in tags:
            if tag not in self._provider:
                break
            count += 1
        return count

    def reject(self, digest: bytes) -> None:
        """Remove what failed while a block was built, and what depends on it."""
        self._remove_with_dependents(digest, Status("invalid"))
        self._ban(digest)

    def remove(self, digest: bytes) -> bool:
        """Drop an extrinsic, and what depends on it, because the operator says so."""
        if not self.contains(digest):
            return False
        self.reject(digest)
        return True

    def new_best(
        self,
        number: int,
        enacted: Iterable[tuple[bytes, list[bytes]]],
        retracted: Iterable[tuple[bytes, list[bytes]]],
    ) -> None:
        """Follow the chain: pairs of block hash and body, retracted newest first."""
        self._best_number = number
        returning = self._retract(retracted)
        for block, body in enacted:
            for extrinsic in body:
                self._include(block, extrinsic)
        self._return(returning)
        self._expire()
        self._revalidate_some()

    def finalized(self, block: bytes) -> None:
        """Tell watchers of the extrinsics in a block that it is final."""
        for digest in self._watched_in.pop(block, []):
            self._notify(digest, Status("finalized", block))
            self._watchers.pop(digest, None)

    def watch(self, digest: bytes, listener: Callable[[Status], None]) -> None:
        """Call `listener` for each step of an extrinsic; at once with where it stands now."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise ImmediatelyDropped(f"{WATCHERS_MAX} extrinsics are watched already.")
        self._watchers[digest].append(listener)
        if digest in self._ready:
            listener(Status("ready"))
        elif digest in self._future:
            listener(Status("future"))

    def unwatch(self, digest: bytes, listener: Callable[[Status], None]) -> None:
        """Stop calling `listener`; nothing happens when it does not watch."""
        listeners = self._watchers.get(digest)
        if listeners and listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._watchers[digest]

    def broadcast(self, digest: bytes) -> None:
        """Tell watchers that peers were sent the extrinsic."""
        self._notify(digest, Status("broadcast"))

    def _entry(self, digest: bytes, extrinsic: bytes, validity: Validity, order: int) -> Entry:
        return Entry(digest, extrinsic, validity, order, self._best_number + validity.longevity + 1)

    def _insert(self, entry: Entry) -> None:
        sender = _sender(entry)
        if self._senders[sender] >= PER_SENDER_MAX:
            raise ImmediatelyDropped(
                f"The sender has {PER_SENDER_MAX} extrinsics in the pool; wait for a block."
            )
        if any(tag not in self._provider for tag in entry.validity.requires):
            self._insert_future(entry)
        else:
            self._insert_ready(entry)

    def _insert_future(self, entry: Entry) -> None:
        rivals = [
            other
            for other in self._future.values()
            if set(other.validity.provides) & set(entry.validity.provides)
        ]
        self._refuse_unless_higher(entry, rivals)
        size = self._bytes["future"] + len(entry.extrinsic)
        if not rivals and (len(self._future) >= FUTURE_MAX or size > FUTURE_BYTES_MAX):
            raise ImmediatelyDropped("Too many extrinsics wait for an earlier nonce.")
        for rival in rivals:
            self._drop(rival, Status("usurped", entry.hash))
        self._future[entry.hash] = entry
        self._bytes["future"] += len(entry.extrinsic)
        self._count(entry)
        self._notify(entry.hash, Status("future"))

    def _insert_ready(self, entry: Entry) -> None:
        rival_hashes = {self._provider.get(tag) for tag in entry.validity.provides} - {None}
        rivals = [self._ready[digest] for digest in rival_hashes if digest is not None]
        self._refuse_unless_higher(entry, rivals)
        if not rivals:
            self._make_room(entry)
        for rival in rivals:
            self._drop(rival, Status("usurped", entry.hash))
        self._ready[entry.hash] = entry
        self._bytes["ready"] += len(entry.extrinsic)
        self._count(entry)
        for tag in entry.validity.provides:
            self._provider[tag] = entry.hash
        self._notify(entry.hash, Status("ready"))
        self._promote()

    def _count(self, entry: Entry) -> None:
        self._senders[_sender(entry)] += 1
        for tag in entry.validity.requires:
            self._requirers[tag][entry.hash] = None

    def _refuse_unless_higher(self, entry: Entry, rivals: list[Entry]) -> None:
        highest = max((rival.validity.priority for rival in rivals), default=-1)
        if entry.validity.priority <= highest:
            raise TooLowPriority(
                f"An extrinsic with the same nonce has priority {highest}; this one has "
                f"{entry.validity.priority}. Add a tip, or use the next nonce."
            )

    def _make_room(self, entry: Entry) -> None:
        size = self._bytes["ready"] + len(entry.extrinsic)
        if len(self._ready) < READY_MAX and size <= READY_BYTES_MAX:
            return
        lowest = min(
            self._ready.values(), key=lambda other: (other.validity.priority, -other.order)
        )
        if lowest.validity.priority >= entry.validity.priority:
            raise ImmediatelyDropped(
                "The pool is full of extrinsics of at least this priority. Add a tip or wait."
            )
        self._remove_with_dependents(lowest.hash, Status("dropped"))

    def _promote(self) -> None:
        moved = True
        while moved:
            moved = False
            for entry in list(self._future.values()):
                if all(tag in self._provider for tag in entry.validity.requires):
                    self._forget(entry)
                    try:
                        self._insert_ready(entry)
                    except PoolError:
                        self._notify(entry.hash, Status("dropped"))
                    moved = True
                    break

    def _include(self, block: bytes, extrinsic: bytes) -> None:
        digest = self._hash_of(extrinsic)
        tags = self._tags_of(extrinsic)
        rivals = {self._provider.get(tag) for tag in tags} - {None, digest}
        for rival in rivals:
            if rival is not None:
                self._drop(self._ready[rival], Status("usurped", digest))
        entry = self.get(digest)
        if entry is not None:
            self._forget(entry)
        self._satisfy(tags)
        if digest in self._watchers:
            self._watched_in[block].append(digest)
            self._notify(digest, Status("inBlock", block))

    def _satisfy(self, tags: list[bytes]) -> None:
        """What required these tags needs them no longer: the chain provides them."""
        done = set(tags)
        for digest in [digest for tag in tags for digest in self._requirers.pop(tag, ())]:
            entry = self.get(digest)
            if entry is not None:
                entries = self._ready if digest in self._ready else self._future
                left = [tag for tag in entry.validity.requires if tag not in done]
                entries[digest] = replace(entry, validity=_Relieved(entry.validity, left))
        self._promote()

    def _retract(self, retracted: Iterable[tuple[bytes, list[bytes]]]) -> list[tuple[bytes, bytes]]:
        returning: list[tuple[bytes, bytes]] = []
        size = 0
        for block, body in retracted:
            for digest in self._watched_in.pop(block, []):
                self._notify(digest, Status("retracted", block))
            for extrinsic in body:
                size += len(extrinsic)
                if self._tags_of(extrinsic) and size <= RETRACTED_BYTES_MAX:
                    returning.append((self._hash_of(extrinsic), extrinsic))
        return returning

    def _return(self, returning: list[tuple[bytes, bytes]]) -> None:
        """Take back what a retracted block held, ahead of everything that arrived since."""
        for position, (digest, extrinsic) in enumerate(returning):
            if self.contains(digest):
                continue
            try:
                validity = self._validate(extrinsic)
                self._insert(self._entry(digest, extrinsic, validity, position - len(returning)))
            except PoolError:
                continue  # it is in the new branch already, or no longer valid there

    def _expire(self) -> None:
        for entry in [*self._ready.values(), *self._future.values()]:
            if entry.expires_at <= self._best_number and self.contains(entry.hash):
                self._remove_with_dependents(entry.hash, Status("invalid"))

    def _revalidate_some(self) -> None:
        if not self._revalidation:
            self._revalidation = list(self._ready)
        batch, self._revalidation = (
            self._revalidation[:REVALIDATE_PER_BLOCK],
            self._revalidation[REVALIDATE_PER_BLOCK:],
        )
        for digest in batch:
            entry = self._ready.get(digest)
            if entry is None or entry.validity.requires:
                continue
            try:
                self._validate(entry.extrinsic)
            except InvalidExtrinsic:
                self.reject(digest)

    def _remove_with_dependents(self, digest: bytes, status: Status) -> None:
        stack = [digest]
        while stack:
            entry = self.get(stack.pop())
            if entry is None:
                continue
            dependents = [
                other for tag in entry.validity.provides for other in self._requirers.get(tag, ())
            ]
            self._drop(entry, status)
            stack += [other for other in dependents if other in self._ready]

    def _drop(self, entry: Entry, status: Status) -> None:
        self._forget(entry)
        self._notify(entry.hash, status)
        self._watchers.pop(entry.hash, None)

    def _forget(self, entry: Entry) -> None:
        name, entries = (
            ("ready", self._ready)
            if entry.hash in self._ready
            else (
                "future",
                self._future,
            )
        )
        del entries[entry.hash]
        self._bytes[name] -= len(entry.extrinsic)
        sender = _sender(entry)
        self._senders[sender] -= 1
        if not self._senders[sender]:
            del self._senders[sender]
        for tag in entry.validity.requires:
            if tag in self._requirers:
                self._requirers[tag].pop(entry.hash, None)
                if not self._requirers[tag]:
                    del self._requirers[tag]
        if name == "ready":
            for tag in entry.validity.provides:
                if self._provider.get(tag) == entry.hash:
                    del self._provider[tag]

    def _ban(self, digest: bytes) -> None:
        self._banned[digest] = self._now_ms() + BAN_MS
        self._banned.move_to_end(digest)
        while len(self._banned) > BANNED_MAX:
            self._banned.popitem(last=False)

    def _notify(self, digest: bytes, status: Status) -> None:
        for listener in list(self._watchers.get(digest, ())):
            listener(status)


@dataclass(frozen=True, slots=True)
class _Relieved:
    """A validity whose requirements the chain has met in part."""

    inner: Validity
    requires: list[bytes]

    @property
    def priority(self) -> int:
        return self.inner.priority

    @property
    def provides(self) -> list[bytes]:
        return self.inner.provides

    @property
    def longevity(self) -> int:
        return self.inner.longevity

    @property
    def propagate(self) -> bool:
        return self.inner.propagate


def _sender(entry: Entry) -> bytes:
    """The account part of the first tag: tags are account ++ nonce (32 + 4 bytes)."""
    return entry.validity.provides[0][:32] if entry.validity.provides else b""

"""Extrinsics at the command line: signing, what they would cost and come to, and their life.

A failure says what happened, why, and what to do next. Exit codes: `node.errors`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import trio

from devnet.rpc_client import Link, Notifications, RpcFailed
from node.cli.chain_access import Refused
from node.cli.chain_view import (
    Event,
    block_named,
    catalogue_of,
    events_of,
    failure_of,
)
from node.client.catalogue import Catalogue
from node.client.plain import Json
from node.client.signing import read_terms, sign
from node.errors import CallFailed, NodeUnreachable, PoolRefused, TimedOut
from runtime.primitives.crypto import KeyPair, ss58_encode
from runtime.primitives.hashing import blake2_256

POOL_CODES = range(1000, 1041)
"""Of errors with which a node refuses an extrinsic."""

EXTENSIONS = (
    "CheckNonZeroSender",
    "CheckSpecVersion",
    "CheckTxVersion",
    "CheckGenesis",
    "CheckMortality",
    "CheckNonce",
    "CheckWeight",
    "ChargeTransactionPayment",
    "CheckMetadataHash",
)
"""What this program signs, in this order."""

GONE = ("dropped", "invalid", "usurped", "finalityTimeout")
LOOK_BACK_BLOCKS = 256  # as many states as a node keeps: older events cannot be read anyway


@dataclass
class Outcome:
    """What became of an extrinsic."""

    hash: str
    status: str
    """pool, block or final."""

    block: str | None = None
    number: int | None = None
    index: int | None = None
    """Its place in the block."""

    events: list[Event] = field(default_factory=list[Event])
    error: str | None = None
    """Name of the error its call failed with."""

    error_docs: str = ""

    def as_json(self) -> dict[str, Json]:
        """For other programs."""
        return {
            "hash": self.hash,
            "status": self.status,
            "block": self.block,
            "number": self.number,
            "index": self.index,
            "events": [event.as_json() for event in self.events],
            "error": self.error,
            "error_docs": self.error_docs,
        }

    def check(self) -> None:
        """Raise `CallFailed` if its call failed."""
        if self.error is not None:
            why = f": {self.error_docs}" if self.error_docs else "."
            raise CallFailed(
                f"Block {self.number} has the extrinsic, but its call failed with {self.error}{why}"
            )


async def signed(
    link: Link,
    catalogue: Catalogue,
    pair: KeyPair,
    call: bytes,
    nonce: int | None,
    tip: int,
    era_blocks: int,
) -> bytes:
    """The extrinsic of a call; its nonce is the account's next one unless it is given."""
    found = tuple(each.identifier for each in catalogue.metadata.extrinsic.extensions)
    if found != EXTENSIONS:
        raise Refused(
            f"The chain wants the signed extensions {', '.join(found)}; this program signs "
            f"{', '.join(EXTENSIONS)}."
        )
    terms = await read_terms(link)
    following = nonce
    if following is None:
        address = ss58_encode(pair.account)
        following = cast(int, await link.call("system_accountNextIndex", [address]))
    return sign(pair, call, following, terms, tip, era_blocks)


async def fee_of(link: Link, catalogue: Catalogue, extrinsic: bytes) -> dict[str, Json]:
    """What an extrinsic takes and costs, without its tip."""
    function = catalogue.function("TransactionPaymentApi_query_info")
    data = extrinsic + len(extrinsic).to_bytes(4, "little")
    answer = await link.call("state_call", [function.name, "0x" + data.hex()])
    info = catalogue.types.decode(function.function.output, bytes.fromhex(answer[2:]))
    return cast("dict[str, Json]", info)


async def dry_run(link: Link, catalogue: Catalogue, extrinsic: bytes) -> Json:
    """What an extrinsic would come to in a block on the best one, nothing being handed in."""
    function = catalogue.function("BlockBuilder_apply_extrinsic")
    answer = await link.call("system_dryRun", ["0x" + extrinsic.hex()])
    return catalogue.types.decode(function.function.output, bytes.fromhex(answer[2:]))


def dry_run_failure(catalogue: Catalogue, result: Json) -> tuple[str, str] | None:
    """Name and explanation of what a dry run failed with; None when it would succeed."""
    outer = cast("dict[str, Any]", result)
    if "Err" in outer:
        return f"not valid: {outer['Err']}", ""
    inner = outer["Ok"]
    if isinstance(inner, dict) and "Err" in inner:
        return failure_of(catalogue, cast("dict[str, Json]", inner)["Err"])
    return None


async def hand_in(link: Link, extrinsic: bytes) -> str:
    """Put an extrinsic into the pool; its hash. Raises `PoolRefused`."""
    try:
        return cast(str, await link.call("author_submitExtrinsic", ["0x" + extrinsic.hex()]))
    except RpcFailed as error:
        raise refused(error) from error


async def follow(
    link: Link, extrinsic: bytes, until: str, seconds: float, tell: Callable[[str], None]
) -> Outcome:
    """Hand an extrinsic in and follow it until it is in the pool, in a block, or final.

    Raises `PoolRefused`, `TimedOut` or `NodeUnreachable`; a call that failed in its block does not
    raise here.
    """
    digest = "0x" + blake2_256(extrinsic).hex()
    params = ["0x" + extrinsic.hex()]
    try:
        with trio.fail_after(seconds):
            async with link.subscribe(
                "author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic"
            ) as statuses:
                block = await reached(statuses, until, tell)
    except RpcFailed as error:
        raise refused(error) from error
    except trio.TooSlowError as error:
        raise TimedOut(
            f"The extrinsic {digest} did not get as far as {until} within {seconds:.0f} s. "
            f"It may still come: dret tx status {digest}"
        ) from error
    if block is None:
        return Outcome(digest, "pool")
    return await outcome_in(link, digest, block, until)


async def reached(statuses: Notifications, until: str, tell: Callable[[str], None]) -> str | None:
    """Read the steps of an extrinsic; the block in which it is where it should be."""
    async for status in statuses:
        kind, block = (status, None) if isinstance(status, str) else next(iter(status.items()))
        if kind in GONE:
            raise PoolRefused(f"The pool gave the extrinsic up: {kind}. {ADVICE[kind]}")
        if kind == "inBlock":
            tell(f"in block {block}")
            if until == "block":
                return cast(str, block)
        elif kind == "retracted":
            tell(f"block {block} was left; waiting for another one")
        elif kind == "finalized":
            tell("final")
            return cast(str, block)
        elif kind in ("ready", "future", "broadcast"):
            tell("in the pool" if kind != "future" else "in the pool, waiting for an earlier one")
            if until == "pool":
                return None
    raise NodeUnreachable("The connection ended before the extrinsic got so far.")


ADVICE = {
    "dropped": "The pool is full of extrinsics that pay more: add --tip, or try later.",
    "invalid": "The chain has changed since it was signed: sign it again.",
    "usurped": "Another extrinsic with its nonce took its place.",
    "finalityTimeout": "It is in a block that no validators have made final: look at dret_status.",
}


async def outcome_in(link: Link, digest: str, block: str, status: str) -> Outcome:
    """What an extrinsic came to in a block."""
    content = (await link.call("chain_getBlock", [block]))["block"]
    hashes = ["0x" + blake2_256(bytes.fromhex(raw[2:])).hex() for raw in content["extrinsics"]]
    index = hashes.index(digest)
    # The parent's runtime made the block, and so its events.
    parent = content["header"]["parentHash"]
    catalogue = await catalogue_of(link, parent)
    events = [e for e in await events_of(link, catalogue, block) if e.extrinsic == index]
    outcome = Outcome(digest, status, block, int(content["header"]["number"], 16), index, events)
    for event in events:
        if event.name == "System.ExtrinsicFailed":
            fields = cast("dict[str, Json]", event.fields)
            outcome.error, outcome.error_docs = failure_of(catalogue, fields["dispatch_error"])
    return outcome


async def find(link: Link, digest: str) -> Outcome | None:
    """Where an extrinsic is: in the pool or in one of the latest blocks; None: in neither."""
    for raw in await link.call("author_pendingExtrinsics"):
        if "0x" + blake2_256(bytes.fromhex(raw[2:])).hex() == digest:
            return Outcome(digest, "pool")
    finalized = await link.call("chain_getHeader", [await block_named(link, "finalized")])
    block = await block_named(link, "latest")
    for _ in range(LOOK_BACK_BLOCKS):
        found = await link.call("chain_getBlock", [block])
        content = found["block"]
        number = int(content["header"]["number"], 16)
        hashes = ["0x" + blake2_256(bytes.fromhex(x[2:])).hex() for x in content["extrinsics"]]
        if digest in hashes:
            is_final = number <= int(finalized["number"], 16)
            return await outcome_in(link, digest, block, "final" if is_final else "block")
        if number == 0:
            return None
        block = content["header"]["parentHash"]
    return None


def refused(error: RpcFailed) -> Exception:
    """A refusal of the pool as ours, with advice; another failure stays what it is."""
    if error.code not in POOL_CODES:
        return error
    advice = next((text for words, text in REFUSALS.items() if words in error.reason), "")
    return PoolRefused(f"Refused ({error.code}): {error.reason}.{advice}")


REFUSALS = {
    "outdated": " The nonce was used already: leave out --nonce to take the next one.",
    "in the future": " An earlier extrinsic of the account is missing: leave out --nonce.",
    "pay some fees": " The account cannot pay the fee: look with dret query account ADDRESS.",
    "bad signature": " It was signed for another chain, another version, or another call.",
    "ancient birth": " It was signed too long ago: sign it again.",
    "exhaust": " It does not fit into a block.",
}

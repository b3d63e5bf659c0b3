"""What became of an inclusion receipt, asked of any node, and the evidence if it was broken.

The chain judges (`runtime.pallets.authorities.receipts`); here the blocks are looked through, the
evidence is put together from what every node serves (headers, bodies, read proofs), and a node is
asked what a report would come to. A node that lies can hide a broken promise, so ask another one
than the validator's; it cannot make one up, for the report is judged by the chain.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from node.client.finality import header_from
from node.client.signing import Caller
from node.errors import ConfigInvalid
from node.keystore import write_private
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Header, PreRuntime
from runtime.primitives.extrinsic import (
    UncheckedExtrinsic,
    account_of,
    decode_extrinsic,
    extrinsic_hash,
)
from runtime.primitives.hashing import blake2_128_concat, twox_128
from runtime.primitives.receipts import (
    BrokenReceipt,
    Receipt,
    hashes_of,
    prove_absence,
)
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import AccountId, AuthorityId, Hash

FILE_BYTES_MAX = 1 << 20
AUTHORITIES, REPORT_RECEIPT = 5, 10
_AUTHORITIES = codec(list[AuthorityId])
_VERDICT = codec(str | None)


class Fate(StrEnum):
    """What became of a promise."""

    OPEN = "open"
    """Its last block is not final yet."""

    KEPT = "kept"
    """The order is in one of its blocks."""

    BROKEN = "broken"
    """It can be proved that the validator left the order out."""

    EXCUSED = "excused"
    """The order is not in, and it cannot be proved that the validator could have included it."""

    VOID = "void"
    """Its head is not on the chain."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt with the order it is for, as its holder keeps it."""

    receipt: Receipt
    order: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a promise, and why."""

    fate: Fate
    block: int | None = None
    """The one that has the order, or should have had it."""

    reason: str = ""
    evidence: BrokenReceipt | None = None


def store(path: Path, kept: Kept) -> None:
    """Write a receipt to a file, which nobody else may read. Raises `ConfigInvalid`."""
    content = {"receipt": _hex(kept.receipt.encode()), "order": _hex(kept.order)}
    try:
        write_private(path, json.dumps(content, indent=1).encode() + b"\n")
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be written: {error.strerror}.") from error


def load(path: Path) -> Kept:
    """The receipt in a file. Raises `ConfigInvalid`."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigInvalid(f"{path} is larger than {FILE_BYTES_MAX} bytes: no receipt.")
        content: object = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(f"{path} is not JSON: {error}") from error
    fields = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    receipt, order = fields.get("receipt"), fields.get("order")
    if not isinstance(receipt, str) or not isinstance(order, str):
        raise ConfigInvalid(f"{path} is no receipt: expected `receipt` and `order` in hexadecimal.")
    try:
        kept = Kept(Receipt.decode(_bytes(receipt)), _bytes(order))
        sender_of(kept.order)
    except (ValueError, DecodeError) as error:
        raise ConfigInvalid(f"{path} is no receipt: {error}") from error
    if extrinsic_hash(kept.order) != kept.receipt.promise.order:
        raise ConfigInvalid(
            f"{path}: the receipt is for the order {_hex(kept.receipt.promise.order)}, the order "
            f"beside it is {_hex(extrinsic_hash(kept.order))}."
        )
    return kept


async def ask_receipt(node: Caller, order: bytes, blocks: int | None) -> Kept:
    """Hand an order in at a validator's node, for its promise. Raises what `call` raises."""
    params: list[object] = [_hex(order), *(() if blocks is None else (blocks,))]
    answer = await node.call("dret_submitWithReceipt", params)
    return Kept(Receipt.decode(_bytes(answer["receipt"])), order)


async def fate_of(node: Caller, kept: Kept) -> Found:
    """What became of a promise on the final chain. Raises what `call` raises."""
    promise = kept.receipt.promise
    final = await _header(node, await node.call("chain_getFinalizedHead"))
    if final.number < promise.head_number:
        return Found(Fate.OPEN, reason="its head is not final yet")
    if await _hash_at(node, promise.head_number) != promise.head_hash:
        return Found(Fate.VOID, reason=f"block {promise.head_number} is another one than its head")
    for number in range(promise.head_number + 1, min(promise.last, final.number) + 1):
        if promise.order in hashes_of(await _body(node, await _hash_at(node, number))):
            return Found(Fate.KEPT, number)
    if final.number <= promise.last:
        return Found(Fate.OPEN, reason=f"block {promise.last + 1} is not final yet")
    return await _judge(node, kept)


async def _judge(node: Caller, kept: Kept) -> Found:
    """Whether one of the validator's blocks breaks the promise; what the chain says of the last."""
    promise = kept.receipt.promise
    found = Found(Fate.EXCUSED, reason="it made no block in time that counts")
    for number in range(promise.head_number + 1, promise.last + 1):
        header = await _header(node, await _hash_at(node, number))
        slot = _slot_of(header)
        if slot <= promise.after_slot:
            continue
        at = [_hex(header.parent_hash)]
        answer = await node.call("state_call", ["AuraApi_authorities", "0x", *at])
        authorities = _AUTHORITIES.decode(_bytes(answer))
        if authorities[slot % len(authorities)] != kept.receipt.validator:
            continue
        evidence = await _evidence(node, kept, number, header)
        if evidence is None:
            continue
        data = _hex(evidence.encode())
        answer = await node.call("state_call", ["Authorities_judge_receipt", data])
        verdict = _VERDICT.decode(_bytes(answer))
        if verdict is None:
            return Found(Fate.BROKEN, number, "it left the order out", evidence)
        found = Found(Fate.EXCUSED, number, verdict)
    return found


async def _evidence(node: Caller, kept: Kept, number: int, header: Header) -> BrokenReceipt | None:
    """The evidence that a block should have had the order; none if it has it."""
    promise = kept.receipt.promise
    hashes = hashes_of(await _body(node, header.hash()))
    absence = prove_absence(hashes, promise.order)
    if absence is None:
        return None
    who, _ = sender_of(kept.order)
    last_hash = await _hash_at(node, promise.last)
    parent = await _header(node, _hex(header.parent_hash))
    items: dict[str, None] = {}
    for block_hash in (header.parent_hash, last_hash):
        params = [[_hex(account_key(who))], _hex(block_hash)]
        proof = await node.call("state_getReadProof", params)
        items.update(dict.fromkeys(cast("list[str]", proof["proof"])))
    return BrokenReceipt(
        kept.receipt,
        kept.order,
        number,
        parent.encode(),
        (await _header(node, _hex(last_hash))).encode(),
        [_bytes(item) for item in items],
        absence,
    )


async def report(node: Caller, evidence: BrokenReceipt) -> str:
    """Hand evidence in; the hash of the report. Raises what `call` raises."""
    call = bytes([AUTHORITIES, REPORT_RECEIPT]) + evidence.encode()
    extrinsic = UncheckedExtrinsic(None, call).encode()
    digest: str = await node.call("author_submitExtrinsic", [_hex(extrinsic)])
    return digest


def sender_of(order: bytes) -> tuple[AccountId, int]:
    """Who signed an order, and its nonce. Raises `ValueError` or `DecodeError`."""
    signed = decode_extrinsic(order).signed
    who = None if signed is None else account_of(signed.address)
    if signed is None or who is None:
        raise ValueError("nobody signed the order")
    return who, signed.extra.nonce


def account_key(who: AccountId) -> bytes:
    """The storage key of an account."""
    return twox_128(b"System") + twox_128(b"Account") + blake2_128_concat(who)


async def _hash_at(node: Caller, number: int) -> Hash:
    return _bytes(await node.call("chain_getBlockHash", [number]))


async def _header(node: Caller, block_hash: str | Hash) -> Header:
    asked = block_hash if isinstance(block_hash, str) else _hex(block_hash)
    return header_from(await node.call("chain_getHeader", [asked]), asked)


async def _body(node: Caller, block_hash: Hash) -> list[bytes]:
    answer: Any = await node.call("chain_getBlock", [_hex(block_hash)])
    return [_bytes(extrinsic) for extrinsic in answer["block"]["extrinsics"]]


def _slot_of(header: Header) -> int:
    for item in header.digest.logs:
        if isinstance(item, PreRuntime) and item.engine == ENGINE_ID:
            return PreDigest.decode(item.data).slot
    return -1


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))

"""`dret_*`: what this chain's own tools ask."""

from rpc.author import refusal
from rpc.jsonrpc import RpcError
from rpc.market import market
from rpc.methods import invalid_params, method
from rpc.params import Account, HexBytes, Number, to_hex
from rpc.ports import Json, Node, PortError, SubmissionRefused
from runtime.primitives.receipts import RECEIPT_BLOCKS_MAX

__all__ = ["bill", "handoffs", "market", "status", "submit_with_receipt"]

BILL_INTERVALS_MAX = 672  # a week; the lines of an account's 64 connections fill a few MiB
RECEIPT_BLOCKS = 16  # several turns of each of four validators, and half a minute of the devnet
NO_RECEIPT = 1041  # after Substrate's errors of submissions
HANDOFFS_MAX = 128  # of 30 KiB each with a hundred voters


@method("dret_status")
async def status(node: Node) -> Json:
    """The node in one object: heads, peers, pool, process, settled intervals."""
    return await node.dret.status()


@method("dret_bill")
async def bill(node: Node, account: Account, from_: Number, to: Number) -> Json:
    """The settled intervals of an account, each line with the storage keys that prove it."""
    if not from_ <= to < 1 << 32:
        raise invalid_params(f"from {from_} to {to}: expected rising numbers of intervals")
    if to - from_ >= BILL_INTERVALS_MAX:
        asked = to - from_ + 1
        raise invalid_params(f"{asked} intervals, at most {BILL_INTERVALS_MAX} in one bill")
    return await node.dret.bill(account, from_, to)


@method("dret_submitWithReceipt")
async def submit_with_receipt(node: Node, extrinsic: HexBytes, blocks: Number | None) -> Json:
    """Put an order into the pool; the validator's signed promise to include it soon."""
    wanted = RECEIPT_BLOCKS if blocks is None else blocks
    if not 0 < wanted <= RECEIPT_BLOCKS_MAX:
        raise invalid_params(f"{wanted} blocks: expected 1 to {RECEIPT_BLOCKS_MAX}")
    try:
        return await node.dret.submit_with_receipt(extrinsic, wanted)
    except SubmissionRefused as refused:
        raise refusal(refused) from None
    except PortError as error:
        raise RpcError(NO_RECEIPT, str(error)) from None


@method("dret_handoffs")
async def handoffs(node: Node, set_id: Number) -> Json:
    """The blocks at which sets of voters handed over, from that of a set on, with their proofs.

    The proof is a justification, or the recovery by which the members went on without the set.
    """
    return [
        {"header": to_hex(header), "recovery" if is_recovery else "justification": to_hex(proof)}
        for header, proof, is_recovery in await node.dret.handoffs(set_id, HANDOFFS_MAX)
    ]

"""`dret_*`: what this chain's own tools ask."""

from rpc.market import market
from rpc.methods import invalid_params, method
from rpc.params import Account, Number, to_hex
from rpc.ports import Json, Node

__all__ = ["bill", "handoffs", "market", "status"]

BILL_INTERVALS_MAX = 672  # a week; the lines of an account's 64 connections fill a few MiB
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


@method("dret_handoffs")
async def handoffs(node: Node, set_id: Number) -> Json:
    """The blocks at which sets of voters handed over, from that of a set on, with their proofs.

    The proof is a justification, or the recovery by which the members went on without the set.
    """
    return [
        {"header": to_hex(header), "recovery" if is_recovery else "justification": to_hex(proof)}
        for header, proof, is_recovery in await node.dret.handoffs(set_id, HANDOFFS_MAX)
    ]

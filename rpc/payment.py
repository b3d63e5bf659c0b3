"""`payment_*`: fees, for clients that do not use `state_call`.

The runtime API answers; this only gives its SCALE result the legacy JSON form.
"""

from rpc.methods import method
from rpc.params import BlockHash, HexBytes
from rpc.ports import Json, Node
from rpc.state import answer
from runtime.primitives.scale import U8, U64, U128, Compact, Struct

CLASSES = ("normal", "operational", "mandatory")


class Weight(Struct):
    """Time in picoseconds, and bytes of proof."""

    ref_time: Compact[U64]
    proof_size: Compact[U64]


class RuntimeDispatchInfo(Struct):
    """What `TransactionPaymentApi_query_info` returns."""

    weight: Weight
    dispatch_class: U8
    partial_fee: U128


class InclusionFee(Struct):
    """The parts of a fee."""

    base_fee: U128
    len_fee: U128
    adjusted_weight_fee: U128


class FeeDetails(Struct):
    """What `TransactionPaymentApi_query_fee_details` returns; the tip is not on the wire."""

    inclusion_fee: InclusionFee | None


@method("payment_queryInfo")
async def query_info(node: Node, extrinsic: HexBytes, at: BlockHash | None) -> Json:
    """Weight, class and fee of an extrinsic."""
    data = await _ask(node, "TransactionPaymentApi_query_info", extrinsic, at)
    info = RuntimeDispatchInfo.decode(data)
    return {
        "weight": {"ref_time": info.weight.ref_time, "proof_size": info.weight.proof_size},
        "class": CLASSES[info.dispatch_class],
        "partialFee": str(info.partial_fee),
    }


@method("payment_queryFeeDetails")
async def query_fee_details(node: Node, extrinsic: HexBytes, at: BlockHash | None) -> Json:
    """The parts of an extrinsic's fee; null for one that pays none."""
    data = await _ask(node, "TransactionPaymentApi_query_fee_details", extrinsic, at)
    fee = FeeDetails.decode(data).inclusion_fee
    if fee is None:
        return {"inclusionFee": None}
    return {
        "inclusionFee": {
            "baseFee": hex(fee.base_fee),
            "lenFee": hex(fee.len_fee),
            "adjustedWeightFee": hex(fee.adjusted_weight_fee),
        }
    }


async def _ask(node: Node, name: str, extrinsic: bytes, at: bytes | None) -> bytes:
    # The extrinsic as it is, prefix included, then the number of its bytes.
    data = extrinsic + len(extrinsic).to_bytes(4, "little")
    return await answer(node.state.call(name, data, at), at)

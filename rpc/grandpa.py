"""`grandpa_*`: proofs of finality, byte for byte Substrate's."""

from collections.abc import Sequence

from rpc.jsonrpc import RpcError
from rpc.methods import method, subscription
from rpc.params import Number, to_hex, to_hex_or_none
from rpc.ports import BlocksFinalized, ChainEvent, Json, Node, PortError, RoundVotes
from rpc.subscriptions import Sink

NOT_READY = 1  # polkadot-sdk's code for a node without a voter
NOT_PROVED = 2  # polkadot-sdk's code for a proof that cannot be given


@method("grandpa_roundState")
def round_state(node: Node) -> Json:
    """Whose votes the rounds under way wait for."""
    rounds = node.chain.finality_rounds()
    if rounds is None:
        raise RpcError(NOT_READY, "GRANDPA RPC endpoint not ready")
    return {
        "setId": rounds.set_id,
        "best": _round_json(rounds.best),
        "background": [_round_json(each) for each in rounds.background],
    }


@method("grandpa_proveFinality")
async def prove_finality(node: Node, block: Number) -> Json:
    """A proof that the block of a height is final; null when it is not."""
    try:
        return to_hex_or_none(await node.chain.finality_proof(block))
    except PortError as error:
        raise RpcError(NOT_PROVED, f"Prove finality rpc failed: {error}") from None


@subscription(
    "grandpa_subscribeJustifications",
    notification="grandpa_justifications",
    unsubscribe=("grandpa_unsubscribeJustifications",),
)
def justifications(_node: Node, sink: Sink) -> None:
    """The justification of each block that finality was proved for, as it happens."""

    def tell(event: ChainEvent) -> None:
        if isinstance(event, BlocksFinalized) and event.justification is not None:
            sink.send(to_hex(event.justification))

    sink.on_close(sink.feed.follow(tell))


def _round_json(votes: RoundVotes) -> Json:
    def stage(missing: Sequence[str]) -> Json:
        return {"currentWeight": votes.voters - len(missing), "missing": list(missing)}

    return {
        "round": votes.number,
        "totalWeight": votes.voters,
        "thresholdWeight": votes.threshold,
        "prevotes": stage(votes.missing_prevotes),
        "precommits": stage(votes.missing_precommits),
    }

"""What a scrape of the metrics reads of a node's parts."""

from collections.abc import Callable

from consensus.core import Core
from node.chain import Chain
from node.market_view import MarketView
from node.metrics import Reading, SignerReading
from node.pool import Pool
from node.rpc_ports import NetworkView
from node.signing.port import SessionSigner
from node.signing.remote import RemoteSigner
from runtime.state.overlay import Overlay


def read_node(
    chain: Chain,
    pool: Pool,
    view: NetworkView,
    sync_target: Callable[[], int],
    core: Core,
    market: MarketView,
    signer: SessionSigner,
) -> Reading:
    """Where the node stands, also before consensus has started."""
    status = core.status if core.is_started else None
    return Reading(
        best=chain.best.number,
        finalized=chain.finalized.number,
        sync_target=sync_target(),
        peers=len(view.peers()),
        is_major_syncing=status is None or status.is_major_syncing,
        ready_transactions=pool.ready_count,
        future_transactions=pool.future_count,
        grandpa_round=0 if status is None else status.round,
        is_voting=status is not None and status.is_voting,
        clock_offset_ms=0 if status is None else status.clock_offset_ms,
        pending_set_sessions=_pending_set_sessions(chain),
        market=market.status(),
        signer=None
        if not isinstance(signer, RemoteSigner)
        else SignerReading(not signer.is_away, signer.losses),
    )


def _pending_set_sessions(chain: Chain) -> int:
    """How many sessions ago the validators changed, while the old ones' proof is still awaited."""
    state = chain.best_state()
    handoff = chain.runtime_of(state).open_handoff(Overlay(state))
    length = chain.runtime.constants.session_blocks
    return 0 if handoff is None else (chain.best.number - handoff) // length

"""What `/metrics` says, in Prometheus' text form, under the names that Substrate's dashboards know.

Counters and histograms are kept where things happen (`Instruments`); all else is read at the moment
of a scrape, so that a node nobody scrapes pays nothing. Names beginning with `dret_` are ours.

Left out: per-house series (their number is unbounded), pushing, and TLS.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import psutil
import trio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consensus.effects import Alarm
from rpc.config import Timeouts
from rpc.http import Disconnected, HttpConnection, HttpError
from rpc.listener import open_listeners
from rpc.stats import RpcStats

log = logging.getLogger("consensus")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CONNECTIONS_MAX = 16  # a few scrapers; more is a mistake of somebody
GAUGES_OF_NETWORK = ("peers", "inbound", "outbound")  # the other counts only grow
LAG_PERIOD_S = 5.0  # how often the event loop's lateness is looked at
TIME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class Instruments:
    """What is counted while the node runs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.block_constructed = Histogram(
            "substrate_proposer_block_constructed",
            "Seconds taken to build a block.",
            buckets=TIME_BUCKETS,
            registry=self.registry,
        )
        self.block_executed = Histogram(
            "substrate_block_verification_and_import_time",
            "Seconds taken to execute a block of another author.",
            buckets=TIME_BUCKETS,
            registry=self.registry,
        )
        self.transactions = Histogram(
            "substrate_proposer_number_of_transactions",
            "Extrinsics in blocks of our own.",
            buckets=(1, 4, 16, 64, 256, 1_024, 4_096),
            registry=self.registry,
        )
        self.alarms = Counter(
            "dret_alarms", "Alarms raised by consensus.", ("kind",), registry=self.registry
        )
        self.loop_lag_s = 0.0

    def alarm(self, effect: Alarm) -> None:
        """Consensus raised an alarm: say it loudly and count it."""
        log.error("ALARM (%s): %s", effect.kind.value, effect.detail)
        self.alarms.labels(effect.kind.value.replace(" ", "_")).inc()


@dataclass(frozen=True, slots=True)
class SignerReading:
    """How it stands with a signer in another process."""

    is_connected: bool
    losses: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scrape reads of the node."""

    best: int
    finalized: int
    sync_target: int
    peers: int
    is_major_syncing: bool
    ready_transactions: int
    future_transactions: int
    grandpa_round: int
    is_voting: bool
    clock_offset_ms: int
    pending_set_sessions: int
    market: Mapping[str, object]
    signer: SignerReading | None
    """None when the node signs itself, or not at all."""


class _NodeCollector(Collector):
    """Gauges that are read from the node when somebody asks."""

    def __init__(
        self,
        read: Callable[[], Reading],
        rpc: RpcStats,
        network: Callable[[], Mapping[str, int]],
        instruments: Instruments,
        labels: Mapping[str, str],
        started_s: float,
    ) -> None:
        self._read = read
        self._rpc = rpc
        self._network = network
        self._instruments = instruments
        self._labels = labels
        self._started_s = started_s

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        info = GaugeMetricFamily(
            "substrate_build_info", "Name and version of the node.", labels=list(self._labels)
        )
        info.add_metric(list(self._labels.values()), 1)
        yield info
        height = GaugeMetricFamily(
            "substrate_block_height", "Block height of the chain.", labels=["status", "chain"]
        )
        chain = self._labels["chain"]
        height.add_metric(["best", chain], reading.best)
        height.add_metric(["finalized", chain], reading.finalized)
        height.add_metric(["sync_target", chain], reading.sync_target)
        yield height
        for name, text, value in self._gauges(reading):
            yield GaugeMetricFamily(name, text, value=value)
        if reading.signer is not None:
            yield from _signer(reading.signer)
        yield from self._market(reading.market)
        yield from self._calls()
        yield from self._traffic()

    def _gauges(self, reading: Reading) -> Iterator[tuple[str, str, float]]:
        yield (
            "substrate_process_start_time_seconds",
            "Unix time at which the process started.",
            self._started_s,
        )
        yield "substrate_sub_libp2p_peers_count", "Connected peers.", reading.peers
        yield (
            "substrate_sub_libp2p_is_major_syncing",
            "Whether the node is far behind its peers.",
            int(reading.is_major_syncing),
        )
        yield (
            "substrate_ready_transactions_number",
            "Extrinsics that could go into the next block.",
            reading.ready_transactions,
        )
        yield (
            "dret_future_transactions_number",
            "Extrinsics that wait for an earlier one.",
            reading.future_transactions,
        )
        yield (
            "substrate_finality_grandpa_round",
            "The GRANDPA round in progress.",
            reading.grandpa_round,
        )
        yield "dret_is_voting", "Whether this node votes on finality.", int(reading.is_voting)
        yield (
            "dret_clock_offset_ms",
            "How far our clock is ahead of our peers' (median).",
            reading.clock_offset_ms,
        )
        yield (
            "dret_pending_set_age_sessions",
            "Sessions for which a change of validators has waited for the proof that it is final.",
            reading.pending_set_sessions,
        )
        yield (
            "dret_finality_lag_blocks",
            "Blocks between the best and the last finalized one.",
            reading.best - reading.finalized,
        )
        yield (
            "dret_event_loop_lag_seconds",
            "How late the event loop last woke a sleeping task.",
            self._instruments.loop_lag_s,
        )
        yield "dret_rpc_ws_clients", "Open WebSockets.", self._rpc.ws_clients

    def _market(self, market: Mapping[str, object]) -> Iterator[Metric]:
        names = {
            "intervals_settled": ("dret_intervals_settled", "Market intervals settled."),
            "traded_wh": ("dret_traded_wh", "Energy bought by matched bids, in Wh."),
            "money_residual_nano": (
                "dret_money_residual_nano",
                "Sum of all balances minus the issuance; anything but 0 is a bug.",
            ),
            "energy_residual_wh": (
                "dret_energy_residual_wh",
                "Energy that settlement could not account for; anything but 0 is a bug.",
            ),
        }
        for key, (name, text) in names.items():
            value = market.get(key)
            if isinstance(value, int):
                yield GaugeMetricFamily(name, text, value=value)

    def _traffic(self) -> Iterator[Metric]:
        counts = self._network()
        for name, value in counts.items():
            if name not in GAUGES_OF_NETWORK:
                yield CounterMetricFamily(f"dret_p2p_{name}", f"Network: {name}.", value=value)

    def _calls(self) -> Iterator[Metric]:
        stats = self._rpc
        started = CounterMetricFamily(
            "substrate_rpc_calls_started", "RPC calls received.", labels=["protocol", "method"]
        )
        for (protocol, method), count in sorted(stats.calls_started.items()):
            started.add_metric([protocol, method], count)
        yield started
        finished = CounterMetricFamily(
            "substrate_rpc_calls_finished",
            "RPC calls answered.",
            labels=["protocol", "method", "is_error"],
        )
        for (protocol, method, is_error), count in sorted(stats.calls_finished.items()):
            finished.add_metric([protocol, method, str(is_error).lower()], count)
        yield finished
        yield CounterMetricFamily(
            "substrate_rpc_sessions_opened", "WebSockets opened.", value=stats.sessions_opened
        )
        yield CounterMetricFamily(
            "substrate_rpc_sessions_closed", "WebSockets closed.", value=stats.sessions_closed
        )
        yield CounterMetricFamily(
            "dret_rpc_slow_consumers_dropped",
            "Clients cut because they did not read.",
            value=stats.slow_consumers_dropped,
        )


def _signer(signer: SignerReading) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "dret_signer_connected",
        "Whether the signer in another process is there; without it this node observes.",
        value=int(signer.is_connected),
    )
    yield CounterMetricFamily(
        "dret_signer_losses", "How often the signer was lost.", value=signer.losses
    )


class MetricsServer:
    """Serves `/metrics` of one node."""

    def __init__(
        self,
        instruments: Instruments,
        read: Callable[[], Reading],
        rpc: RpcStats,
        network: Callable[[], Mapping[str, int]],
        labels: Mapping[str, str],
    ) -> None:
        self._instruments = instruments
        self._connections = 0
        instruments.registry.register(
            _NodeCollector(
                read, rpc, network, instruments, labels, started_s=psutil.Process().create_time()
            )
        )
        ProcessCollector(registry=instruments.registry)
        PlatformCollector(registry=instruments.registry)

    def render(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self._instruments.registry)

    async def run(
        self, host: str, port: int, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled. Raises `rpc.listener.PortInUse`. Started with the port it took."""
        listeners = await open_listeners(host, port, "--prometheus-port")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_loop)
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def _watch_loop(self) -> None:
        while True:
            due = trio.current_time() + LAG_PERIOD_S
            await trio.sleep_until(due)
            self._instruments.loop_lag_s = trio.current_time() - due

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        connection = HttpConnection(stream, Timeouts())
        try:
            async with stream:
                try:
                    await self._answer(connection)
                except HttpError as error:
                    await connection.refuse(error)
        except Disconnected:
            pass  # there is nobody left to tell
        finally:
            self._connections -= 1

    async def _answer(self, connection: HttpConnection) -> None:
        if self._connections > CONNECTIONS_MAX:
            raise HttpError(429, "Too many connections.")
        while (request := await connection.next_request()) is not None:
            if request.method != "GET":
                raise HttpError(405, "Used HTTP Method is not allowed. GET is required.")
            await connection.read_body(0)
            if request.path != "/metrics":
                raise HttpError(404, "Nothing here. GET /metrics.")
            await connection.respond(200, self.render(), CONTENT_TYPE)
            if not connection.can_go_on:
                return

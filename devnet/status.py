"""What the nodes of a local network say of themselves, asked over RPC, and the totals over all.

One call per node and question; nobody is asked unless somebody wants to know.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import trio

from devnet.plan import NodePlan
from devnet.rpc_client import Link, RpcFailed
from node.errors import NodeUnreachable
from runtime.primitives.scale import Struct, codec

ANSWER_S = 3.0  # a node that takes longer is shown as not answering
AUDIT_S = 10.0  # it reads the books of the day ahead
TOTALS = ("intervals_settled", "traded_wh", "money_residual_nano", "energy_residual_wh")


class Finding(Struct):
    """Whether a promise of the settlement is kept, as the runtime API tells it."""

    promise: str
    is_kept: bool
    details: list[str]


_FINDINGS = codec(list[Finding])


@dataclass
class NodeView:
    """A node, the connection to it, and what it said last. `answer` is None while it is down."""

    plan: NodePlan
    link: Link
    pid: Callable[[], int | None] = lambda: None
    """Of the process under the supervisor; an answer of another one is none."""

    answer: Mapping[str, Any] | None = None

    def number(self, name: str) -> int | None:
        """A number of the last answer."""
        value = self.answer.get(name) if self.answer is not None else None
        return value if isinstance(value, int) else None


@dataclass
class Board:
    """All nodes of one network."""

    views: list[NodeView] = field(default_factory=list[NodeView])

    @classmethod
    def of(cls, nodes: Sequence[NodePlan]) -> "Board":
        """A board for the nodes of a plan."""
        return cls([NodeView(node, Link("127.0.0.1", node.rpc_port)) for node in nodes])

    async def run(self) -> None:
        """Keep the connections to the nodes until cancelled."""
        async with trio.open_nursery() as nursery:
            for view in self.views:
                nursery.start_soon(view.link.run)

    async def refresh(self) -> None:
        """Ask all nodes at once."""
        async with trio.open_nursery() as nursery:
            for view in self.views:
                nursery.start_soon(_ask, view)

    @property
    def is_complete(self) -> bool:
        """Whether all nodes answered the last time."""
        return all(view.answer is not None for view in self.views)

    @property
    def best(self) -> int:
        """The highest best block."""
        return max((view.number("best") or 0 for view in self.views), default=0)

    @property
    def finality_lag(self) -> int | None:
        """Blocks above the last finalized one, on the node where they are most."""
        lags = [
            view.answer["best"] - view.answer["finalized"]
            for view in self.views
            if view.answer is not None
        ]
        return max(lags, default=None)

    @property
    def market(self) -> Mapping[str, Any]:
        """The market's totals, of the node that is furthest."""
        answers = [view.answer for view in self.views if view.answer is not None]
        furthest = max(answers, key=lambda answer: answer["best"], default=None)
        return furthest.get("market", {}) if furthest is not None else {}


async def ask_audit(board: Board) -> list[Finding] | None:
    """Whether the settlement's promises are kept, by the node that is furthest; None: unknown."""
    views = [view for view in board.views if view.answer is not None]
    furthest = max(views, key=lambda view: view.number("best") or 0, default=None)
    if furthest is None:
        return None
    try:
        with trio.fail_after(AUDIT_S):
            answer = await furthest.link.call("state_call", ["Trading_audit", "0x"])
    except (NodeUnreachable, RpcFailed, trio.TooSlowError):
        return None
    return _FINDINGS.decode(bytes.fromhex(answer[2:]))


async def _ask(view: NodeView) -> None:
    try:
        with trio.fail_after(ANSWER_S):
            answer = await view.link.call("dret_status")
        view.answer = answer if view.pid() in (None, answer["pid"]) else None
    except (NodeUnreachable, RpcFailed, trio.TooSlowError):
        view.answer = None


def status_json(
    board: Board, pids: Mapping[str, int | None], audit: Sequence[Finding] | None = None
) -> dict[str, object]:
    """What `dret devnet status --output json` prints; None where a node does not answer."""
    return {
        "nodes": [
            {
                "name": view.plan.name,
                "role": view.plan.role,
                "best": view.number("best"),
                "finalized": view.number("finalized"),
                "peers": view.number("peers"),
                "pool": view.number("pool"),
                "pid": pids.get(view.plan.name),
                **memory_of(pids.get(view.plan.name)),
            }
            for view in board.views
        ],
        "finality_lag_blocks": board.finality_lag,
        **{name: board.market.get(name) for name in TOTALS},
        "invariants": None
        if audit is None
        else [
            {"promise": each.promise, "is_kept": each.is_kept, "details": each.details}
            for each in audit
        ],
    }


def memory_of(pid: int | None) -> dict[str, int | None]:
    """Resident and proportional memory of a process, in bytes."""
    try:
        if pid is not None:
            memory = psutil.Process(pid).memory_full_info()
            return {"rss_bytes": memory.rss, "pss_bytes": getattr(memory, "pss", None)}
    except psutil.Error:
        pass  # it ended meanwhile
    return {"rss_bytes": None, "pss_bytes": None}

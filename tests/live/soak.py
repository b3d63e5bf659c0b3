"""Half an hour of a loaded devnet: does any of its processes grow, and does finality keep up?

`make soak` starts the seven processes of the devnet with all homes of its grid, and beside these
a stream of transfers and RPC clients that stay, ask, come and go (`tests.live.load`). Each process
is looked at every few seconds; after a warm-up, memory, handles, threads and what is not final have
to be flat (`tests.live.growth`). The report and all samples go to a folder.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import trio

from devnet.plan import VALIDATORS
from devnet.rpc_client import RpcClient, RpcFailed
from node.errors import NodeUnreachable
from tests.live.growth import Growth, Sample, growth_of, take
from tests.live.load import HOST, Load
from tests.live.network import ROOT, Devnet

SAMPLE_EVERY_S = 5.0
WARM_UP_S = 480.0
TELL_EVERY = 12  # samples
ANSWER_S = 4.0  # of a node that is asked for its heights
LAG_BLOCKS_MAX = 60  # never so many that finality has stopped for two minutes


@dataclass
class Soak:
    """The network, and what was seen of it."""

    network: Devnet
    seconds: float
    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])
    pids: dict[str, int] = field(default_factory=dict[str, int])
    restarts: list[str] = field(default_factory=list[str])

    async def run(self, load: Load) -> None:
        """Load the network and look at it until the time is over."""
        self.pids = self.network.pids()
        ports = {name: self.network.port(name) for name in self.network.names}
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            while (at_s := trio.current_time() - began) < self.seconds:
                await self._look(at_s, ports)
                if len(self.samples["supervisor"]) % TELL_EVERY == 0:
                    print(self.line(at_s), flush=True)
                await trio.sleep(SAMPLE_EVERY_S)
            nursery.cancel_scope.cancel()

    async def _look(self, at_s: float, ports: dict[str, int]) -> None:
        heights: dict[str, tuple[int, int]] = {}
        async with trio.open_nursery() as nursery:
            for name, port in ports.items():
                nursery.start_soon(ask_heights, name, port, heights)
        pids = self.network.pids()
        for name, pid in pids.items():
            if pid != self.pids.get(name, pid):
                self.restarts.append(f"{name} was started again after {at_s:.0f} s")
        self.pids |= pids
        for name, pid in pids.items():
            database = self.network.spec.parent / "nodes" / name / "db" if name in ports else None
            try:
                sample = take(pid, at_s, database)
            except OSError:
                self.restarts.append(f"{name} was gone after {at_s:.0f} s")
                continue
            best, finalized = heights.get(name, (None, None))
            self.samples.setdefault(name, []).append(
                replace(sample, best=best, finalized=finalized)
            )

    def line(self, at_s: float) -> str:
        """How it stands: anonymous memory, handles and lag of each process."""
        parts = [
            f"{name} {sample.anonymous_kib / 1_024:.1f} MiB {sample.handles} h"
            + ("" if sample.lag is None else f" #{sample.best} -{sample.lag}")
            for name, sample in ((name, found[-1]) for name, found in self.samples.items())
        ]
        return f"{at_s:5.0f} s  " + "  ".join(parts)

    def growths(self, warm_up_s: float) -> list[Growth]:
        """What each process came to."""
        return [growth_of(name, found, warm_up_s) for name, found in self.samples.items()]

    def faults(self, growths: Sequence[Growth]) -> list[str]:
        """All that speaks against a flat half hour."""
        found = [*self.restarts, *(fault for growth in growths for fault in growth.faults())]
        found += [
            f"{growth.name}: {growth.lag[1]} blocks were not final, at most {LAG_BLOCKS_MAX} may be"
            for growth in growths
            if growth.lag is not None and growth.lag[1] > LAG_BLOCKS_MAX
        ]
        status = self.network.status()
        for name in ("money_residual_nano", "energy_residual_wh"):
            if status[name] != 0:
                found.append(f"{name} is {status[name]}, expected 0")
        return found


async def ask_heights(name: str, port: int, heights: dict[str, tuple[int, int]]) -> None:
    """Enter best and final height of a node, if it answers in time."""
    with trio.move_on_after(ANSWER_S):
        try:
            client = await RpcClient.open(HOST, port)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.run)
                status = await client.call("dret_status")
                heights[name] = status["best"], status["finalized"]
                nursery.cancel_scope.cancel()
        except* (NodeUnreachable, RpcFailed, OSError):
            pass  # the sample then has no heights


def report(soak: Soak, load: Load, growths: Sequence[Growth], faults: Sequence[str]) -> str:
    """What the half hour showed, for people."""
    lines = [
        f"{soak.seconds / 60:.0f} minutes at commit {commit()}, {soak.network.scenario}; "
        f"load: {sum(load.done.values())} done, {sum(load.failed.values())} failed",
        "  ".join(f"{what} {count}" for what, count in sorted(load.done.items())),
        "failed: " + ("  ".join(f"{w} {c}" for w, c in sorted(load.failed.items())) or "nothing"),
        "",
        "| process | memory MiB, first and last tenth | slope KiB / 10 min | most PSS MiB "
        "| handles | slope | threads | tables | database MiB | blocks not final, median, most |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for growth in growths:
        first, last = (kib / 1_024 for kib in growth.anonymous_kib)
        lag = "–" if growth.lag is None else f"{growth.lag[0]:.0f}, {growth.lag[1]}"
        begin, end = (kib / 1_024 for kib in growth.database_kib)
        lines.append(
            f"| {growth.name} | {first:.1f}, {last:.1f} | {growth.memory_slope_kib:.0f} "
            f"| {growth.pss_kib_max / 1_024:.0f} | {growth.handles[0]}-{growth.handles[1]} "
            f"| {growth.handles_slope:.2f} | {growth.threads_max} | {growth.tables_max} "
            f"| {begin:.1f}, {end:.1f} | {lag} |"
        )
    return "\n".join([*lines, "", *(faults or ["flat: nothing grew"])])


def commit() -> str:
    """The commit that is checked out."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def write_samples(path: Path, soak: Soak) -> None:
    """All samples as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["process", *(entry.name for entry in fields(Sample))])
        for name, samples in soak.samples.items():
            writer.writerows([name, *asdict(sample).values()] for sample in samples)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--warm-up-minutes", type=float, default=WARM_UP_S / 60)
    parser.add_argument("--scenario", default="rural1")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache" / "soak")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dret-soak-") as folder:
        network = Devnet(Path(folder), arguments.scenario)
        network.up()
        try:
            ports = [network.port(name) for name in network.names]
            load = Load(ports, [suri for _, _, suri in VALIDATORS])
            soak = Soak(network, arguments.minutes * 60)
            trio.run(soak.run, load)
            growths = soak.growths(arguments.warm_up_minutes * 60)
            faults = soak.faults(growths)
        finally:
            network.down()
    write_samples(output / "samples.csv", soak)
    text = report(soak, load, growths, faults)
    (output / "report.md").write_text(text + "\n")
    print(f"{text}\n\n{output / 'report.md'}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

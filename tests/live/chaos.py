"""What real validators live through: networks, clocks, disks and processes that fail.

`make chaos` runs four validators with sessions of 12 s in network namespaces of their own, a
witness that hears their votes, and one fault after the other. After each, all have to finalize the
same new blocks again, and nobody may ever have voted twice. `--short` is what the tests run.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from tests.live.crash_soak import witnessed
from tests.live.damages import DAMAGES, HARMLESS
from tests.live.governed import MEMBERS
from tests.live.lab import Lab, seconds
from tests.live.network import eventually, grandpa_key, run_dret
from tests.live.places import NotPermitted, enter, mount_image, mount_memory

ALICE, BOB, CHARLIE, DAVE = MEMBERS
SLOT_S = 2.0
RESUMES_S = 30.0
"""After the return of validators, by which all goes on (the goal of the project)."""

LOADED_S = 90.0
"""The same on a machine that does much else: what the scenarios insist on."""

UNDER_WAY = 2
"""Blocks that may still become final of what was sent before a cut."""

NOT_PERMITTED, STORAGE_UNUSABLE = 77, 9
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
DISK_MIB = 96
IMAGE_MIB, BACKING_MIB = 256, 64


@dataclass(frozen=True)
class Run:
    """A lab and how long to look."""

    lab: Lab
    is_short: bool

    def last(self, long_s: float, short_s: float) -> None:
        """Let a fault last."""
        time.sleep(short_s if self.is_short else long_s)


Scenario = Callable[[Run], str]
"""Does its worst and says what came of it, in figures. AssertionError when that is not good."""


def late_and_lossy(run: Run) -> str:
    """200 ms on each way and a packet in twenty lost: finality goes on."""
    lab = run.lab
    lab.between.delay_s, lab.between.loss = 0.2, 0.05
    run.last(5, 2)
    first, began = lab.finalized(), time.monotonic()
    wanted = 4 if run.is_short else 25
    eventually(lambda: lab.is_final_beyond(first + wanted - 1), wanted * 4 * SLOT_S + 30)
    took_s = time.monotonic() - began
    lag = lab.best(ALICE) - lab.finalized()
    return f"{wanted} blocks final in {took_s:.0f} s, {lag} not final at the end"


def halves(run: Run) -> str:
    """Two and two: nothing becomes final on either side, and all of it after they meet again."""
    lab = run.lab
    lab.part((ALICE, BOB), (CHARLIE, DAVE))
    before = max(lab.heights().values())
    run.last(60, 8)
    during = max(lab.heights().values())
    assert during <= before + UNDER_WAY, f"final on a side: {before}, then {during}"
    best = {name: lab.best(name) for name in (ALICE, CHARLIE)}
    lab.heal()
    took_s = seconds(lambda: min_final(lab) > during + 1, LOADED_S)
    return (
        f"final stood at {during} (best {best[ALICE]} and {best[CHARLIE]}), on after {took_s:.0f} s"
    )


def one_alone(run: Run) -> str:
    """Three and one: three go on, one stands still, and it follows when it is back."""
    lab = run.lab
    lab.part((ALICE, BOB, CHARLIE), (DAVE,))
    before = lab.finalized()
    stood = lab.finalized(DAVE)
    run.last(60, 10)
    eventually(lambda: lab.finalized() > before + 2, LOADED_S)
    during = lab.finalized(DAVE)
    assert during <= stood + UNDER_WAY, f"dave alone finalized from {stood} to {during}"
    goal = lab.finalized()
    lab.heal()
    took_s = seconds(lambda: lab.finalized(DAVE) >= goal, LOADED_S)
    votes_s = lab.votes_again(DAVE, LOADED_S)
    return (
        f"three came to {goal}; the fourth was there after {took_s:.0f} s, voted {votes_s:.0f} s on"
    )


def heard_by_nobody(run: Run) -> str:
    """One direction only: alice hears the others, and they do not hear her."""
    lab = run.lab
    lab.mute(ALICE)
    before = lab.finalized(BOB)
    run.last(45, 10)
    eventually(lambda: lab.finalized(BOB) > before + 2, LOADED_S)
    during = lab.finalized(BOB)
    lab.heal()
    votes_s = lab.votes_again(ALICE, LOADED_S)
    return f"the others came from {before} to {during}; alice voted again after {votes_s:.0f} s"


def one_link(run: Run) -> str:
    """Two validators do not reach each other; both reach the others: nobody is missed."""
    lab = run.lab
    lab.between.cut = frozenset({(ALICE, DAVE), (DAVE, ALICE)})
    first, began = lab.finalized(), time.monotonic()
    wanted = 3 if run.is_short else 20
    eventually(lambda: min_final(lab) > first + wanted - 1, wanted * 4 * SLOT_S + LOADED_S)
    return f"{wanted} blocks final everywhere in {time.monotonic() - began:.0f} s"


def paused(run: Run) -> str:
    """SIGSTOP: a validator stands still with all its timers, and wakes up in another time."""
    lab = run.lab
    lab.processes[CHARLIE].send_signal(signal.SIGSTOP)
    before = lab.finalized()
    run.last(60, 8)
    eventually(lambda: lab.finalized() > before + 1, LOADED_S)
    goal = lab.finalized()
    lab.processes[CHARLIE].send_signal(signal.SIGCONT)
    took_s = seconds(lambda: lab.finalized(CHARLIE) >= goal, LOADED_S)
    votes_s = lab.votes_again(CHARLIE, LOADED_S)
    return f"caught up to {goal} in {took_s:.0f} s and voted {votes_s:.0f} s on"


def two_gone(run: Run) -> str:
    """Two of four are killed: finality stops, and all resumes when they are back."""
    lab = run.lab
    for name in (CHARLIE, DAVE):
        lab.stop(name, signal.SIGKILL)
    eventually(lambda: lab.best(ALICE) > lab.finalized() + 1, LOADED_S)
    stood = lab.finalized()
    first, began = lab.best(ALICE), time.monotonic()
    run.last(90, 6)
    rate = (lab.best(ALICE) - first) / (time.monotonic() - began) * SLOT_S
    assert lab.finalized() <= stood + UNDER_WAY
    for name in (CHARLIE, DAVE):
        lab.launch(name)
    took_s = seconds(lambda: min_final(lab) > stood + UNDER_WAY, LOADED_S + 60)
    return (
        f"{rate:.2f} blocks a slot while two were gone; "
        f"finality went on {took_s:.0f} s after they were started"
    )


def storm(run: Run) -> str:
    """Everybody is killed and started again, in all orders, before anything has settled."""
    lab, kills = run.lab, 0
    for turn in range(3 if run.is_short else 12):
        for name in MEMBERS[turn % 4 :] + MEMBERS[: turn % 4]:
            lab.stop(name, signal.SIGKILL)
            kills += 1
            if turn % 3 == 2:
                lab.launch(name)
        if turn % 3 != 2:
            for name in MEMBERS:
                lab.launch(name)
        time.sleep(0.5 + turn % 4)
    for name in MEMBERS:
        eventually(partial(lab.ask, name, "system_health"), 150)
    began = time.monotonic()
    goal = max(lab.heights().values()) + 2
    eventually(lambda: min_final(lab) > goal, LOADED_S)
    return f"{kills} kills; new blocks final {time.monotonic() - began:.0f} s after all answered"


def wrong_clocks(run: Run) -> str:
    """A clock that jumps by up to 40 s, forward and back, and is set right again."""
    lab, notes = run.lab, list[str]()
    for offset_ms in (-20_000,) if run.is_short else (700, 3_000, -3_000, 40_000, -40_000):
        since = lab.said_until_now(BOB)
        lab.set_clock(BOB, offset_ms)
        before = lab.finalized()
        eventually(partial(lab.is_final_beyond, before + 3), LOADED_S)
        if abs(offset_ms) > SLOT_S * 500:
            eventually(partial(lab.has_said, BOB, "ALARM (clock)", since), LOADED_S)
        lab.set_clock(BOB, 0)
        goal = lab.finalized()
        took_s = seconds(partial(lab.is_final_beyond, goal, BOB), LOADED_S)
        votes_s = lab.votes_again(BOB, LOADED_S)
        notes.append(
            f"{offset_ms:+} ms (set right, follows in {took_s:.0f} s, votes {votes_s:.0f} s on)"
        )
    return "the others went on at " + ", ".join(notes)


def writes_refused(run: Run) -> str:
    """The kernel refuses every write to a file: read-only, and back by itself."""
    lab = run.lab
    lab.refuse_writes(DAVE, True)
    return read_only_and_back(run, DAVE, lambda: lab.refuse_writes(DAVE, False))


def disk_full(run: Run) -> str:
    """The last byte of a small disk is taken (ENOSPC), and given back."""
    lab = run.lab
    with_disk(run, partial(mount_memory, mebibytes=DISK_MIB))
    ballast = lab.folder / DAVE / "ballast"
    fill(ballast)
    said = read_only_and_back(run, DAVE, ballast.unlink)
    without_disk(run)
    return said


def disk_broken(run: Run) -> str:
    """The device under a file system fails (EIO at fsync), and works again."""
    lab = run.lab
    backing = lab.folder / "backing"
    lab.mount(backing, partial(mount_memory, mebibytes=BACKING_MIB))
    with_disk(run, partial(mount_image, backing / "image", mebibytes=IMAGE_MIB))
    ballast = backing / "ballast"
    fill(ballast)
    said = read_only_and_back(run, DAVE, ballast.unlink)
    without_disk(run)
    lab.unmount(backing)
    return said


def disk_hangs(run: Run) -> str:
    """Writes do not fail and do not end, until the file system is thawed."""
    lab = run.lab
    image = lab.folder / "image"
    with_disk(run, partial(mount_image, image, mebibytes=IMAGE_MIB))
    folder = os.open(lab.folder / DAVE, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, FIFREEZE, 0)
        before = lab.finalized()
        run.last(20, 8)
        fcntl.ioctl(folder, FITHAW, 0)
    finally:
        os.close(folder)
    eventually(lambda: lab.finalized() > before + 1, LOADED_S)
    goal = lab.finalized()
    took_s = seconds(lambda: lab.finalized(DAVE) >= goal, LOADED_S)
    votes_s = lab.votes_again(DAVE, LOADED_S)
    without_disk(run)
    image.unlink()
    return f"at block {goal} {took_s:.0f} s after it was thawed, votes {votes_s:.0f} s on"


def read_only_and_back(run: Run, name: str, mend: Callable[[], object]) -> str:
    """A node whose disk takes nothing is read-only; the others go on; it goes on when mended."""
    lab = run.lab

    def is_read_only() -> bool:
        answer = lab.refusal(name)
        return answer is not None and "read-only" in answer

    noticed_s = seconds(is_read_only, LOADED_S)
    before, stood = lab.finalized(), lab.finalized(name)
    run.last(15, 2)
    eventually(lambda: lab.finalized() > before + 1, LOADED_S)
    assert lab.finalized(name) == stood, "what is stored is served, and nothing is added"
    mend()
    back_s = seconds(lambda: lab.finalized(name) > max(stood, before), LOADED_S)
    votes_s = lab.votes_again(name, LOADED_S)
    return (
        f"read-only after {noticed_s:.0f} s, follows {back_s:.0f} s after it was mended, "
        f"votes {votes_s:.0f} s on"
    )


def with_disk(run: Run, mount: Callable[[Path], object]) -> None:
    """Give dave a disk of his own, with all that he has."""
    lab, home = run.lab, run.lab.folder / DAVE
    lab.stop(DAVE)
    aside = lab.folder / "aside"
    shutil.move(home, aside)
    lab.mount(home, mount)
    shutil.copytree(aside, home, dirs_exist_ok=True)
    shutil.rmtree(aside)
    lab.start(DAVE)
    lab.votes_again(DAVE, LOADED_S)


def without_disk(run: Run) -> None:
    """Bring dave's things back to the common disk."""
    lab, home = run.lab, run.lab.folder / DAVE
    lab.stop(DAVE)
    aside = lab.folder / "aside"
    shutil.copytree(home, aside)
    lab.unmount(home)
    shutil.rmtree(home)
    shutil.move(aside, home)
    lab.start(DAVE)


def fill(ballast: Path) -> None:
    """Take all space of a disk."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def old_backup(run: Run) -> str:
    """A database from an old backup: the validator observes until the next set, then votes."""
    lab, home = run.lab, run.lab.folder / CHARLIE
    lab.stop(CHARLIE)
    backup = lab.folder / "backup"
    shutil.copytree(home / "db", backup)
    lab.start(CHARLIE)
    lab.votes_again(CHARLIE, LOADED_S)
    lab.stop(CHARLIE)
    shutil.rmtree(home / "db")
    shutil.move(backup, home / "db")
    set_id, since = lab.overview().set_id, lab.said_until_now(CHARLIE)
    lab.start(CHARLIE)
    eventually(partial(lab.has_said, CHARLIE, "ALARM (rolled back)", since), LOADED_S)
    time.sleep(1)  # what was under way
    silent, before = lab.votes(CHARLIE), lab.finalized()
    eventually(lambda: lab.finalized(CHARLIE) > before + 2, LOADED_S)
    assert lab.votes(CHARLIE) == silent, "it votes in the set of which its signer knows more"
    if run.is_short:
        return f"follows and is silent in set {set_id}"
    lab.dret("rotate-keys", signer=BOB, at=BOB)
    key = grandpa_key(CHARLIE)

    def votes_in_next_set() -> bool:
        return any(k[0] > set_id and k[2] == key for k in list(lab.witness.votes))

    took_s = seconds(votes_in_next_set, 240)
    return f"silent in set {set_id}, votes in the next one {took_s:.0f} s after bob's new keys"


def damaged(run: Run) -> str:
    """A database damaged in each way: refused with what to do, repaired, and whole again."""
    lab, home, notes = run.lab, run.lab.folder / DAVE, list[str]()
    for kind, damage in DAMAGES.items():
        stop_with_tables(lab, home / "db")
        damage(home / "db")
        since = lab.said_until_now(DAVE)
        lab.launch(DAVE)
        if kind in HARMLESS:
            eventually(partial(lab.ask, DAVE, "system_health"), LOADED_S + 60)
            notes.append(f"{kind}: harmless")
        else:
            code = lab.processes.pop(DAVE).wait(LOADED_S)
            assert code == STORAGE_UNUSABLE, f"{kind}: code {code}"
            assert lab.has_said(DAVE, "dret node repair", since), f"{kind}: no advice"
            note = repaired(lab, home)
            lab.start(DAVE)
            notes.append(f"{kind}: {note}")
        goal = lab.finalized()
        eventually(partial(lab.is_final_beyond, goal, DAVE), LOADED_S)
        if lab.has_said(DAVE, "ALARM (rolled back)", since):
            # Anybody's new keys bring about the next set.
            lab.dret("rotate-keys", signer=CHARLIE, at=CHARLIE)
            notes[-1] += " (and silent until the next set)"
            lab.votes_again(DAVE, 240)
        else:
            lab.votes_again(DAVE, LOADED_S)
    return "; ".join(notes)


def stop_with_tables(lab: Lab, database: Path) -> None:
    """Stop a node whose database has tables: LevelDB makes one of its log when it opens again."""
    lab.stop(DAVE)
    if not any(database.glob("*.ldb")):
        lab.start(DAVE)
        lab.stop(DAVE)


def repaired(lab: Lab, home: Path) -> str:
    """Repair a database as its message says, or, where the repair says so, begin without it."""
    done = run_dret(lab.folder, "node", "repair", "-d", str(home), "--chain", str(lab.spec))
    if done.returncode == 0:
        return done.stdout.splitlines()[0].removesuffix(".")
    assert done.returncode == STORAGE_UNUSABLE, done.stderr
    assert "remove the folder db" in done.stderr, done.stderr
    shutil.rmtree(home / "db")
    return "beyond repair, fetched anew from the peers"


def min_final(lab: Lab) -> int:
    """The lowest last final block of all four; -1 while one does not answer."""
    heights = lab.heights()
    return min(heights.values()) if len(heights) == len(MEMBERS) else -1


SCENARIOS: dict[str, Scenario] = {
    "late": late_and_lossy,
    "halves": halves,
    "alone": one_alone,
    "mute": heard_by_nobody,
    "link": one_link,
    "paused": paused,
    "two-gone": two_gone,
    "storm": storm,
    "clocks": wrong_clocks,
    "refused": writes_refused,
    "full": disk_full,
    "broken": disk_broken,
    "hung": disk_hangs,
    "backup": old_backup,
    "damaged": damaged,
}


async def chaos(lab: Lab, names: Sequence[str], is_short: bool) -> list[str]:
    """Run scenarios one after the other; what failed."""
    failed: list[str] = []
    async with witnessed(lab) as (witness, _):
        lab.witness = witness
        for name in names:
            began = time.monotonic()
            try:
                said = await trio.to_thread.run_sync(
                    partial(play, lab, name, is_short), abandon_on_cancel=True
                )
            except NotPermitted as reason:
                said = f"NOT RUN: {reason}"
            except AssertionError as error:
                said = f"FAILED: {error}\n{lab.ends()}"
                failed.append(name)
            print(f"{name:9} {time.monotonic() - began:5.0f} s  {said}", flush=True)
            if failed:
                break
        print(f"{len(witness.votes)} votes heard, {len(witness.double)} double", flush=True)
    return failed


def play(lab: Lab, name: str, is_short: bool) -> str:
    """One scenario, and that all is well after it."""
    said = SCENARIOS[name](Run(lab, is_short))
    settled_s = lab.settle()
    return f"{said}; all agree {settled_s:.0f} s later"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="what the tests run")
    parser.add_argument("--gate", action="store_true", help="without network namespaces")
    arguments = parser.parse_args()
    unknown = set(arguments.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    names: list[str] = arguments.scenarios or list(SCENARIOS)
    try:
        if arguments.gate:
            print("on the loopback interface, with a gate in each connection", flush=True)
        else:
            enter()
            print("in network namespaces, joined by a switch", flush=True)
    except NotPermitted as reason:
        print(f"Not in namespaces: {reason} Or pass --gate.", file=sys.stderr)
        sys.exit(NOT_PERMITTED)
    with tempfile.TemporaryDirectory(prefix="dret-chaos-") as folder, Lab(Path(folder)) as lab:
        for name in MEMBERS:
            lab.launch(name)
        for name in MEMBERS:
            eventually(partial(lab.ask, name, "system_health"), 150)
        eventually(lambda: lab.is_final_beyond(1), 90)
        failed = trio.run(chaos, lab, names, arguments.short)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

"""Fuzz the targets with atheris (libFuzzer): `make fuzz`, and a minute of it in `make test`.

python -m tests.fuzz [--runs N] [--seconds S] [--jobs J] [TARGET ...]
python -m tests.fuzz keep [--seconds S] [TARGET ...]

Our modules and the generated codecs are instrumented, so that inputs which reach new branches are
kept and varied. A run stops at its number of inputs or after its seconds, whichever is first. An
input that breaks something is printed in hex; put it into the corpus when it is mended. `keep`
replaces the corpus by what a longer run found.
"""

import argparse
import importlib
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trio

NAMES = ("scale", "rpc", "frames")
RUNS = 1_000_000
INPUT_BYTES_MAX = {"scale": 4_096, "rpc": 4_096, "frames": 512}
"""Frames have heads of 14 bytes and may be cut anywhere: long streams show nothing that short ones
do not, and take as much longer.
"""

INPUT_SECONDS_MAX = 20  # an input that takes longer is a failure; the machine may be busy
MEMORY_MIB_MAX = 2_048
CRASH = "crash"
PROGRAM = "DRET_FUZZ_PROGRAM"  # tells libFuzzer how it is started
INSTRUMENTED = ["rpc", "p2p.messages", "runtime.primitives"]
"""What is tested; wsproto, by which frames are checked, would take most of the time."""


def fuzz_here(target: str, arguments: list[str]) -> None:
    """Become the fuzzer of one target. Does not return."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        compiler: Any = importlib.import_module("runtime.primitives.scale.compiler")
        make = compiler._function
        # Before anything asks for a codec: a generated function is compiled once and kept.
        compiler._function = lambda *parts: atheris.instrument_func(make(*parts))
        targets: Any = importlib.import_module("tests.fuzz.targets")
        # Before the clock of an input runs: on a busy machine this takes many seconds.
        targets.prepare(target)

    async def run() -> None:
        program = os.environ.get(PROGRAM, sys.argv[0])
        atheris.Setup([program, *arguments], targets.TARGETS[target])
        atheris.Fuzz()

    trio.run(run)


def command(target: str, arguments: list[str]) -> list[str]:
    """How the fuzzer of a target is started."""
    return [sys.executable, "-m", "tests.fuzz", "--here", target, *arguments]


def run(target: str, runs: int, seconds: int, folder: Path) -> str | None:
    """Fuzz one target from its corpus. What went wrong, None for nothing."""
    from tests.fuzz import corpus

    found = folder / target
    found.mkdir()
    for number, data in enumerate([*corpus.load(target), *corpus.seeds(target)]):
        (found / f"{number:05}").write_bytes(data)
    arguments = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX[target]}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={folder}/{target}-{CRASH}-",
        f"-report_slow_units={INPUT_SECONDS_MAX}",
        "-print_final_stats=1",
        "-seed=1",
    ]
    words = corpus.words(target)
    if words:
        dictionary = folder / f"{target}.dict"
        dictionary.write_text("".join(f'"{word}"\n' for word in words))
        arguments.append(f"-dict={dictionary}")
    done = subprocess.run(
        command(target, [*arguments, str(found)]), capture_output=True, text=True, check=False
    )
    executed = "0"
    for line in done.stderr.splitlines():
        if line.startswith("stat::number_of_executed_units:"):
            executed = line.rpartition(" ")[2]
    crashes = sorted(folder.glob(f"{target}-{CRASH}-*"))
    if done.returncode != 0 or crashes or int(executed) == 0:
        inputs = "".join(f"\ninput {crash.read_bytes().hex()}" for crash in crashes)
        return f"{target} failed{inputs}\n{done.stdout[-3_000:]}\n{done.stderr[-1_500:]}"
    print(f"fuzz: {target} took {int(executed):,} inputs without a failure", flush=True)
    return None


def keep(target: str, folder: Path) -> None:
    """Replace the corpus of a target by the inputs of a run that reach the most."""
    from tests.fuzz import corpus

    chosen = folder / f"{target}-chosen"
    chosen.mkdir()
    most = f"-max_len={INPUT_BYTES_MAX[target]}"
    arguments = ["-merge=1", most, str(chosen), str(folder / target)]
    program = folder / f"{target}.sh"  # libFuzzer starts itself once more to merge
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command(target, []))} "$@"\n')
    program.chmod(0o700)
    subprocess.run(
        command(target, arguments),
        capture_output=True,
        check=True,
        env={**os.environ, PROGRAM: str(program)},
    )
    inputs = [path.read_bytes() for path in chosen.iterdir()]
    corpus.save(target, inputs)
    print(f"fuzz: {len(inputs):,} inputs of {target} are kept")


def main() -> None:
    """The command line."""
    if sys.argv[1:2] == ["--here"]:
        fuzz_here(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("words", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=RUNS, help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=0, help="for each target; 0 is no limit")
    parser.add_argument("--jobs", type=int, default=2, help="targets at once")
    given = parser.parse_args()
    keeps = given.words[:1] == ["keep"]
    targets = given.words[keeps:] or list(NAMES)
    if unknown := set(targets) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        print("fuzz: atheris has wheels for Linux on x86-64 only; the corpus is tested anyway")
        return
    with tempfile.TemporaryDirectory(prefix="dret-fuzz-") as name:
        folder = Path(name)
        with ThreadPoolExecutor(given.jobs) as pool:
            results = pool.map(lambda one: run(one, given.runs, given.seconds, folder), targets)
            failures = [failure for failure in results if failure is not None]
        if keeps and not failures:
            for target in targets:
                keep(target, folder)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()

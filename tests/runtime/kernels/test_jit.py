"""Compiled kernels are kept where the next process finds them, and all are loaded at once."""

import subprocess
import sys
from pathlib import Path

import pytest

import runtime.kernels

pytestmark = pytest.mark.slow

READ_TWICE = """
import importlib
from runtime.kernels import jit
before = jit.CACHE_FOLDER, jit.config.CACHE_DIR
importlib.reload(jit)
assert (jit.CACHE_FOLDER, jit.config.CACHE_DIR) == before, (before, jit.CACHE_FOLDER)
"""

COMPILED_WHEN_USED = """
import sys
from numba.core import event
from runtime.kernels import auction, jit, tree_flow

class Compiled(event.Listener):
    def on_start(self, event):
        print("compiled", event.data["dispatcher"].py_func.__name__)

    def on_end(self, event):
        pass

jit.warm_up()
event.register("numba:compile", Compiled())
tree = auction.TreeArrays.of([0, 0, 1], [0, 9, 9], [0, 9, 9], [0, 10, 10], [0, 1, 1])
orders = auction.OrderArrays.of([1, 0, 2], [10, 99, -5], [5, 7, 20], [0, 1, 0])
auction.clear_signed(tree, orders, 0, 100, latched=False)
for name in sorted(name for name in sys.modules if name.startswith("runtime.kernels.")):
    print("loaded", name)
"""


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


def test_the_cache_folder_does_not_depend_on_how_often_the_module_is_read() -> None:
    run_python(READ_TWICE)


def test_after_the_warm_up_all_kernels_are_loaded_and_none_is_compiled() -> None:
    folder = Path(runtime.kernels.__file__).parent
    kernels = [f"runtime.kernels.{path.stem}" for path in sorted(folder.glob("*_kernel.py"))]

    told = [line.split() for line in run_python(COMPILED_WHEN_USED).splitlines()]

    assert [name for what, name in told if what == "compiled"] == []
    assert set(kernels) <= {name for what, name in told if what == "loaded"}

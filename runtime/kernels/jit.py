"""The one decorator of compiled kernels, with the one set of compiler flags.

Invariant: a kernel computes the same integers compiled and uncompiled. Signatures are exact, so
nothing is compiled a second time for another integer type in the middle of a block; no fastmath and
no parallel loops, whose results may depend on the machine; nogil, so that a thread may clear while
the event loop runs. `.py_func` is the same function uncompiled, also under `NUMBA_DISABLE_JIT=1`.

Compiled code is kept below `NUMBA_CACHE_DIR`, or in a checkout without that setting below
`.cache/numba`, in a folder named by a digest of all kernel sources: numba itself looks at a
function's own file only, so a changed callee would live on inside a cached caller.

Importing this module costs about 0.3 s and 90 MB (numba). `python -m runtime.kernels` compiles
everything once: 15 s, and 110 MB that stay with the process which does it.
"""

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar, cast

from numba import config, njit

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

HERE = Path(__file__).parent


def cache_folder() -> str:
    """Where compiled code of exactly these sources is kept; empty: wherever numba likes."""
    # Not numba's own setting, which is this folder once the module was read.
    root = os.environ.get("NUMBA_CACHE_DIR", "")
    checkout = HERE.parents[1]
    if not root and checkout.joinpath("pyproject.toml").exists():
        root = str(checkout.joinpath(".cache", "numba"))
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(HERE.glob("*.py")):
        digest.update(source.read_bytes())
    return str(Path(root).joinpath(digest.hexdigest())) if root else ""


CACHE_FOLDER = cache_folder()
config.CACHE_DIR = CACHE_FOLDER

KERNEL_MODULES = (
    "runtime.kernels.auction",
    "runtime.kernels.coupled",
    "runtime.kernels.pairing",
    "runtime.kernels.tree_flow",
)


class Kernel(Protocol[P, R]):
    """A compiled function."""

    @property
    def py_func(self) -> Callable[P, R]:
        """The same function, uncompiled."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the compiled function: arguments exactly as in its signature."""
        ...


def kernel(signature: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Compile a function of 64-bit integers for exactly `signature` (numba's notation)."""

    def compiled(function: Callable[P, R]) -> Kernel[P, R]:
        if config.DISABLE_JIT:
            function.py_func = function  # type: ignore[attr-defined]
            return cast(Kernel[P, R], function)
        # The error model of numpy leaves out the test for division by zero: callers rule it out.
        compile_exactly = njit(
            signature, nogil=True, cache=True, error_model="numpy", boundscheck=False
        )
        return cast(Kernel[P, R], compile_exactly(function))

    return compiled


def warm_up() -> None:
    """Load or compile every kernel and call it once on a tiny instance.

    A node does this before it joins consensus: about 0.5 s from the cache, some 15 s without.
    """
    for name in KERNEL_MODULES:
        importlib.import_module(name).warm_up()

"""Kernels as plain Python, together with all kernels they call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import pytest


def uncompiled(
    kernel: Any, done: dict[str, Callable[..., Any]] | None = None
) -> Callable[..., Any]:
    """`kernel.py_func`, whose callees are uncompiled as well."""
    done = {} if done is None else done
    function = kernel.py_func
    if function.__name__ not in done:
        names = dict(function.__globals__)
        plain = FunctionType(function.__code__, names, function.__name__)
        done[function.__name__] = plain
        for name in function.__code__.co_names:
            if hasattr(names.get(name), "py_func"):
                names[name] = uncompiled(names[name], done)
    return done[function.__name__]


@contextmanager
def all_uncompiled(module: ModuleType, *names: str) -> Iterator[None]:
    """For a while, `names` of a kernel module are plain Python."""
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(module, name, uncompiled(getattr(module, name)))
        yield

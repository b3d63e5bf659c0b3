"""What this project uses of numba."""

from collections.abc import Callable
from typing import Any

class _Config:
    CACHE_DIR: str
    DISABLE_JIT: int

config: _Config

def njit(
    signature: str,
    *,
    nogil: bool = ...,
    cache: bool = ...,
    error_model: str = ...,
    boundscheck: bool = ...,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

"""Compiles every kernel into the cache: `python -m runtime.kernels`."""

from runtime.kernels.jit import warm_up

warm_up()

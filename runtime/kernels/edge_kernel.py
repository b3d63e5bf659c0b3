"""What an edge makes of energy: the maps D, U and T of docs/auction.md, compiled.

Invariant: all three are monotone, and `deliver(send_for(d)) == d`: energy is never created, and
what arrives is exactly what was asked for.
"""

from runtime.kernels.arrays import INT
from runtime.kernels.bounds import MILLION
from runtime.kernels.jit import kernel


@kernel(f"{INT}({INT}, {INT})")
def deliver(sent: int, loss_ppm: int) -> int:
    """What arrives of `sent` >= 0."""
    return sent - (sent * loss_ppm + MILLION - 1) // MILLION


@kernel(f"{INT}({INT}, {INT})")
def send_for(wanted: int, loss_ppm: int) -> int:
    """The least that must be sent for `wanted` >= 0 to arrive."""
    if loss_ppm == 0:
        return wanted
    return (wanted * MILLION + MILLION - loss_ppm - 1) // (MILLION - loss_ppm)


@kernel(f"{INT}({INT}, {INT})")
def export_map(export: int, loss_ppm: int) -> int:
    """What the parent receives of an export; negative: what it must send for an import."""
    if export >= 0:
        return deliver(export, loss_ppm)
    return -send_for(-export, loss_ppm)

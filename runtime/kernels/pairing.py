"""The pairing's typed door: who bought from whom, once quantities and flows are fixed.

A clearing says what each sells and buys and what each edge carries. Which seller's energy reaches
which buyer is left open: any pairing is as good as another that respects the flows. This one makes
the sum of weights greatest, where a weight says what a Wh is worth to a pair. Small instances are
solved exactly, larger ones by handing energy on from the leaves to the root; both are functions of
the input alone. Weights and rules: docs/market.md.

Invariant: each seller's pairs sum to what it sold, each buyer's to what it bought, and no energy
goes against a flow.

The compiled part is loaded by the first pairing, or by `warm_up()`.
"""

from dataclasses import dataclass

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import as_array

EXACT_CELLS_MAX = 4_096
"""Sellers times buyers up to which the pairing is exact; 2 ms at worst."""

EXACT_PATHS_PER_PARTY = 4
"""Usual instances take one path per party; one that takes more is handed over instead."""

CELLS_MAX = 2**16
"""Sellers times buyers of any pairing: 256 of each; 3 ms at worst."""

PARTIES_MAX = 2**12
WEIGHT_MAX = 2**30
TOTAL_MAX = 2**35


class PairingError(ValueError):
    """Quantities that do not fit the flows, or an entry outside the range."""


@dataclass(frozen=True, slots=True)
class Parties:
    """One side: the bus and the Wh of each."""

    bus: Int64Array
    energy_wh: Int64Array


@dataclass(frozen=True, slots=True)
class Pairing:
    """Who bought how much from whom."""

    pairs_wh: Int64Array
    """Sellers by rows, buyers by columns."""

    is_exact: bool
    """The sum of weights is the greatest there is."""


def pair(
    parent: Int64Array, flow: Int64Array, sellers: Parties, buyers: Parties, weight: Int64Array
) -> Pairing:
    """Pair all that was sold with all that was bought.

    `flow`: by bus, Wh over the edge to its parent, up positive, down negative. `weight`: a table,
    sellers by rows, from 0 to 2**30; equal ones are decided by the order of the parties. Raises
    `PairingError`.
    """
    from runtime.kernels import pairing_kernel  # numba: only when something is paired

    check(parent, flow, sellers, buyers, weight)
    shape = weight.shape
    pairs = np.zeros(weight.size, np.int64)
    allowed = weight.flatten()
    if weight.size <= EXACT_CELLS_MAX:
        pairing_kernel.forbid(parent, flow, sellers.bus, buyers.bus, allowed)
        paths_max = EXACT_PATHS_PER_PARTY * (shape[0] + shape[1])
        paths = pairing_kernel.transport(
            sellers.energy_wh, buyers.energy_wh, allowed, paths_max, pairs
        )
        if paths >= 0:
            return Pairing(pairs.reshape(shape), True)
    rest = pairing_kernel.hand_over(
        parent,
        sellers.bus,
        sellers.energy_wh,
        buyers.bus,
        buyers.energy_wh,
        weight.flatten(),
        pairs,
    )
    if rest:
        raise PairingError(f"{rest} Wh stay without a partner, expected none")
    return Pairing(pairs.reshape(shape), False)


def check(
    parent: Int64Array, flow: Int64Array, sellers: Parties, buyers: Parties, weight: Int64Array
) -> None:
    """Refuse what is out of range, or does not add up to the flows at some bus."""
    shape = (sellers.bus.size, buyers.bus.size)
    if weight.shape != shape or weight.size > CELLS_MAX or sum(shape) > PARTIES_MAX:
        raise PairingError(f"a table of {weight.shape} for {shape} parties")
    if weight.size and not 0 <= int(weight.min()) <= int(weight.max()) <= WEIGHT_MAX:
        raise PairingError(f"weights up to {int(weight.max())}, expected 0 to {WEIGHT_MAX}")
    balance = flow.copy()
    balance[0] = 0
    np.subtract.at(balance, parent[1:], flow[1:])
    for parties, sign in ((sellers, -1), (buyers, 1)):
        total = int(parties.energy_wh.sum())
        if total > TOTAL_MAX or (parties.energy_wh < 1).any():
            raise PairingError(f"{total} Wh, expected positive ones up to {TOTAL_MAX} together")
        np.add.at(balance, parties.bus, sign * parties.energy_wh)
    if balance.any():
        bus = int(np.flatnonzero(balance)[0])
        raise PairingError(f"bus {bus} has {int(balance[bus])} Wh too few, expected none")


def warm_up() -> None:
    """Load the kernels and pair two with two."""
    parties = Parties(as_array([0, 1]), as_array([1, 2]))
    pair(as_array([0, 0]), as_array([0, 0]), parties, parties, np.zeros((2, 2), np.int64))
    from runtime.kernels import pairing_kernel

    pairs = np.zeros(4, np.int64)
    pairing_kernel.hand_over(
        as_array([0, 0]),
        parties.bus,
        parties.energy_wh,
        parties.bus,
        parties.energy_wh,
        np.zeros(4, np.int64),
        pairs,
    )

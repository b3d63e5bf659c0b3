"""Intervals as a search for coupled orders sees them, and their relaxation to one bus.

The relaxation has neither capacities nor tariffs. Of what is offered it has what is sure to arrive
wherever it goes, so that a plan that takes all of it is not spoilt by a lost Wh on the tree.
"""

from typing import NamedTuple

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import OrderArrays, TreeArrays, as_array
from runtime.kernels.bounds import MILLION


class Room(NamedTuple):
    """An interval of a search."""

    interval: int
    orders: OrderArrays
    quantity_wh: int
    """Of all its open orders."""

    lost_ppm: Int64Array
    """By bus, what is lost between it and the root."""

    is_lifted: bool
    """Prices are raised, whatever comes: some limit is or was below 1."""

    pairs: int
    """That earlier calls made."""

    @property
    def buses(self) -> int:
        """How many there are."""
        return int(self.lost_ppm.size)


def lost_to_root(tree: TreeArrays) -> Int64Array:
    """By bus, the sum of the losses of the edges to the root, which are the same at all times."""
    lost = tree.loss_ppm.tolist()
    for bus, parent in enumerate(tree.parent.tolist()):
        if bus:  # parents come before their children
            lost[bus] += lost[parent]
    return as_array(lost)


def arriving(room: Room) -> OrderArrays:
    """The orders of an interval as the relaxation sees them: of an offer, what is sure to arrive
    wherever it goes. So a plan that takes all of it can be filled on the tree as well.
    """
    lost_ppm = room.lost_ppm
    most_ppm = int(lost_ppm.max())
    if most_ppm == 0:
        return room.orders
    bus, price, quantity, isbid = (
        room.orders.bus,
        room.orders.price,
        room.orders.qty,
        room.orders.isbid,
    )
    kept_ppm = np.where(isbid == 1, MILLION, np.maximum(MILLION - lost_ppm[bus] - most_ppm, 0))
    left = quantity * kept_ppm // MILLION
    some = left > 0
    return OrderArrays(bus[some], price[some], left[some], isbid[some])

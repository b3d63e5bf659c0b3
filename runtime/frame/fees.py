"""What an extrinsic costs: a base, so much per byte, so much per weight, and a tip.

The arithmetic is that of Substrate's `pallet_transaction_payment` with a linear weight fee and a
multiplier of 1: the coefficient is a `Perbill`, whose products are rounded to the nearest integer,
halves down.
"""

from dataclasses import dataclass

from runtime.frame.dispatch import Pays
from runtime.primitives.scale import Struct
from runtime.primitives.types import Balance

PICOSECONDS_PER_MICROSECOND = 1_000_000


class InclusionFee(Struct, path="pallet_transaction_payment::types::InclusionFee"):
    """What it costs to be in a block."""

    base_fee: Balance
    len_fee: Balance
    adjusted_weight_fee: Balance


class FeeDetails(Struct, path="pallet_transaction_payment::types::FeeDetails"):
    """What an extrinsic costs without its tip; None for one that pays nothing."""

    inclusion_fee: InclusionFee | None


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """The prices of a chain, in nano-DRT."""

    base: int
    """Of every extrinsic."""

    per_byte: int
    per_microsecond: int
    """Of weight, which is 10^6 picoseconds."""

    def inclusion_fee(self, length: int, weight: int) -> InclusionFee:
        """The fee of an extrinsic of `length` bytes and `weight` picoseconds, by its parts."""
        return InclusionFee(self.base, self.per_byte * length, self.weight_fee(weight))

    def weight_fee(self, weight: int) -> Balance:
        """The fee of a weight, to the nearest nano."""
        whole, rest = divmod(weight * self.per_microsecond, PICOSECONDS_PER_MICROSECOND)
        return whole + (2 * rest > PICOSECONDS_PER_MICROSECOND)

    def compute_fee(self, length: int, weight: int, pays: Pays, tip: int) -> Balance:
        """The whole fee; an extrinsic that pays nothing still pays its tip."""
        if pays is Pays.NO:
            return tip
        return self.base + self.per_byte * length + self.weight_fee(weight) + tip

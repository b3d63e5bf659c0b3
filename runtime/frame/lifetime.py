"""In which versions of the runtime a declaration holds, and whether it is on its way out.

A program holds several versions of its runtime, since blocks are executed under the version that
their parent's state names. What a version adds or drops says so where it is declared:

    @call(3, weight=40_000)
    @Lifetime(until=2)
    def place_bid(self, who: Signed, quantity_wh: EnergyWh) -> None: ...

    @call(3, weight=50_000)
    @Lifetime(since=2, name="place_bid")
    def place_bid_on(self, who: Signed, quantity_wh: EnergyWh, bus: BusIndex) -> None: ...

    @Lifetime(deprecated="read `BidFilled` instead")
    class BidDone(frame.Event, index=4): ...

    fee: Annotated[Balance, Lifetime(since=2)]
    bids: StorageMap[BidId, Annotated[Bid | None, Lifetime(until=3)], Identity]

Calls, runtime API functions, events and errors carry it as a decorator, storage items and constants
in their annotation. Storage that is no longer shown can still be read: migrations have to.
"""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

T = TypeVar("T")
_ATTRIBUTE = "__lifetime__"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Versions are those of `spec_version`."""

    since: int = 1
    """The first version that has the declaration."""

    until: int | None = None
    """The first version that has it no longer."""

    deprecated: str = ""
    """What to use instead, for clients; empty if it is not deprecated."""

    name: str = ""
    """The name that clients know, if Python needs another because two versions differ."""

    def __post_init__(self) -> None:
        if self.until is not None and self.until <= self.since:
            raise TypeError(f"declared since {self.since} and only until {self.until}")

    def __call__(self, declared: T) -> T:
        """Decorate a method or a class with it."""
        setattr(declared, _ATTRIBUTE, self)
        return declared

    def includes(self, spec_version: int) -> bool:
        """Whether the version has the declaration."""
        return self.since <= spec_version and (self.until is None or spec_version < self.until)

    def overlaps(self, other: "Lifetime") -> bool:
        """Whether some version has both."""
        ends_before = self.until is not None and self.until <= other.since
        begins_behind = other.until is not None and other.until <= self.since
        return not ends_before and not begins_behind


ALWAYS = Lifetime()


def lifetime_of(declared: object) -> Lifetime:
    """What a method or a class was decorated with."""
    found: Any = getattr(declared, _ATTRIBUTE, ALWAYS)
    return found if isinstance(found, Lifetime) else ALWAYS


def lifetime_in(annotation: object) -> Lifetime:
    """What stands in an annotation."""
    if get_origin(annotation) is Annotated:
        for marker in get_args(annotation)[1:]:
            if isinstance(marker, Lifetime):
                return marker
    return ALWAYS

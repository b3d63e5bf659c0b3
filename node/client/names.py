"""Names of types, variants and fields: how people give them, and which may have been meant."""

from collections.abc import Sequence
from difflib import get_close_matches

from node.client.metadata import TypeInfo, Variant

ACCOUNT = "AccountId32"
ADDRESS = "MultiAddress"


def loose(name: str) -> str:
    """A name without case and underscores: `placeOrder`, `place_order`."""
    return name.replace("_", "").replace("-", "").lower()


def near(name: str, names: Sequence[str]) -> str:
    """Which names may have been meant; empty without any."""
    by_loose = {loose(each): each for each in names}
    found = get_close_matches(loose(name), list(by_loose), n=3, cutoff=0.6)
    return " or ".join(by_loose[each] for each in found)


def find(variants: Sequence[Variant], name: str) -> Variant | None:
    """The variant of a name, exactly or, if only one fits, loosely."""
    exact = [each for each in variants if each.name == name]
    found = exact or [each for each in variants if loose(each.name) == loose(name)]
    return found[0] if len(found) == 1 else None


def last(info: TypeInfo) -> str:
    """The last name of a type's path; empty without a path."""
    return info.path[-1] if info.path else ""


def name_of(info: TypeInfo) -> str:
    """What people call a type."""
    return last(info) or type(info.definition).__name__.lower()


def is_option(info: TypeInfo) -> bool:
    """Whether it is Rust's `Option`."""
    return info.path == ["Option"]


def is_account(info: TypeInfo) -> bool:
    """Whether it is an account."""
    return last(info) == ACCOUNT

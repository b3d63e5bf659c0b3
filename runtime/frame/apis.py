"""Runtime APIs as the metadata shows them: functions by the API they belong to.

A function is a method under `@api("Trait_function")`; its annotations are its types. The functions
of one API may lie in several places.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.frame.declaration import ApiSpec

FIRST_VERSION = 1
"""Of an API that nobody gave a version."""


@dataclass(frozen=True, slots=True)
class ApiGroup:
    """An API: clients know it, and which functions it has, by its name and version."""

    name: str
    version: int
    functions: tuple[ApiSpec, ...]
    docs: tuple[str, ...]


def groups_of(
    functions: Iterable[ApiSpec],
    versions: Mapping[str, int],
    docs: Mapping[str, tuple[str, ...]],
) -> tuple[ApiGroup, ...]:
    """The functions by their APIs, in the order of the names of these."""
    by_name: dict[str, list[ApiSpec]] = {}
    for function in functions:
        by_name.setdefault(function.api_name, []).append(function)
    return tuple(
        ApiGroup(name, versions.get(name, FIRST_VERSION), tuple(found), docs.get(name, ()))
        for name, found in sorted(by_name.items())
    )

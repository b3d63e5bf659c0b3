"""The development accounts, which everybody knows the keys of."""

import functools

from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.types import AccountId

NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")


@functools.cache
def pair_named(name: str, scheme: Scheme = Scheme.SR25519) -> KeyPair:
    """The key pair of a development account."""
    return KeyPair.from_suri(f"//{name}", scheme)


def pair_of(account: AccountId) -> KeyPair:
    """The key pair of one of the accounts below."""
    return _PAIRS[account]


_PAIRS = {pair.public: pair for pair in map(pair_named, NAMES)}

ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE = _PAIRS

"""The version of the runtime: what it is called and what it offers.

`spec_version` rises with every change of what blocks mean or of the metadata; the golden files of
`tests/golden` change only together with it. `transaction_version` rises when calls that were
signed before would mean something else.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Annotated

from runtime.primitives.scale import U8, U32, FixedBytes, Struct

SPEC_NAME = "dret"
IMPL_NAME = "dret-python"
SPEC_VERSION = 1
SPEC_VERSIONS = range(1, SPEC_VERSION + 1)
"""Those that this program has: blocks are executed under the version that their parent's state
names, and declarations say in which versions they hold (`runtime.frame.lifetime`)."""

TRANSACTION_VERSION = 1
SYSTEM_VERSION = 1
"""State tries of version 1, extrinsics tries of version 0."""

TOKEN_SYMBOL, TOKEN_DECIMALS = "DRT", 9
"""As wallets show money; part of the digest that signers can commit to, so a chain
specification cannot choose others."""

ApiId = Annotated[bytes, FixedBytes(8)]

API_VERSIONS = {
    "Core": 5,
    "Metadata": 2,
    "BlockBuilder": 6,
    "TaggedTransactionQueue": 3,
    "AccountNonceApi": 1,
    "TransactionPaymentApi": 4,
    "AuraApi": 1,
    "GrandpaApi": 3,
    "SessionKeys": 1,
}
"""Of Substrate's runtime APIs, those whose forms clients know by name and version."""


class RuntimeVersion(Struct, path="sp_version::RuntimeVersion"):
    """What clients ask first; a new `spec_version` makes them fetch the metadata again."""

    spec_name: str
    impl_name: str
    authoring_version: U32
    spec_version: U32
    impl_version: U32
    apis: list[tuple[ApiId, U32]]
    transaction_version: U32
    system_version: U8


CODE_KEY = b":code"
"""Where the state says under which version of the runtime it lives."""


class CodeInfo(Struct):
    """What stands under `:code` instead of a program."""

    spec_name: str
    spec_version: U32
    metadata_hash: Annotated[bytes, FixedBytes(32)]
    """Of the metadata without documentation."""


def api_id(name: str) -> bytes:
    """By which number clients know a runtime API."""
    return blake2b(name.encode(), digest_size=8).digest()


def runtime_version(
    own_apis: Iterable[str] = (), spec_version: int = SPEC_VERSION
) -> RuntimeVersion:
    """A version, with the runtime APIs of pallets, which are all of version 1."""
    versions = dict.fromkeys(own_apis, 1) | API_VERSIONS
    return RuntimeVersion(
        spec_name=SPEC_NAME,
        impl_name=IMPL_NAME,
        authoring_version=1,
        spec_version=spec_version,
        impl_version=1,
        apis=[(api_id(name), number) for name, number in sorted(versions.items())],
        transaction_version=TRANSACTION_VERSION,
        system_version=SYSTEM_VERSION,
    )

"""JSON forms of chain values, as Substrate's RPC gives them.

Clients encode the header back to SCALE and hash it, so every field must survive the round trip.
Hex is lower case with 0x; block numbers are hex quantities without leading zeros.
"""

from collections.abc import Sequence

from rpc.params import to_hex
from rpc.ports import Json, RuntimeVersion
from runtime.primitives.block import DigestItem, Header
from runtime.primitives.scale import codec

GRANDPA_ENGINE_ID = b"FRNK"

_digest_item = codec(DigestItem)


def header_json(header: Header) -> Json:
    """A header; `logs` are SCALE digest items."""
    return {
        "parentHash": to_hex(header.parent_hash),
        "number": hex(header.number),
        "stateRoot": to_hex(header.state_root),
        "extrinsicsRoot": to_hex(header.extrinsics_root),
        "digest": {"logs": [to_hex(_digest_item.encode(log)) for log in header.digest.logs]},
    }


def block_json(header: Header, body: Sequence[bytes], justification: bytes | None) -> Json:
    """A signed block; a justification is a pair of engine id and bytes, both lists of numbers."""
    justifications: Json = None
    if justification is not None:
        justifications = [[list(GRANDPA_ENGINE_ID), list(justification)]]
    block: Json = {
        "header": header_json(header),
        "extrinsics": [to_hex(extrinsic) for extrinsic in body],
    }
    return {"block": block, "justifications": justifications}


def runtime_version_json(version: RuntimeVersion) -> Json:
    """A runtime version; the state version is the system version's other name."""
    return {
        "specName": version.spec_name,
        "implName": version.impl_name,
        "authoringVersion": version.authoring_version,
        "specVersion": version.spec_version,
        "implVersion": version.impl_version,
        "apis": [[to_hex(api), number] for api, number in version.apis],
        "transactionVersion": version.transaction_version,
        "systemVersion": version.system_version,
        "stateVersion": version.system_version,
    }


def runtime_json(version: RuntimeVersion) -> Json:
    """A runtime version in the form of `chainHead_v1`, where `apis` is an object."""
    return {
        "specName": version.spec_name,
        "implName": version.impl_name,
        "specVersion": version.spec_version,
        "implVersion": version.impl_version,
        "transactionVersion": version.transaction_version,
        "apis": {to_hex(api): number for api, number in version.apis},
    }

"""Extrinsics that an unmodified polkadot.js built and signed (spec 100, transaction version 1)."""

from typing import Any

import pytest

from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import (
    AddressId,
    SignedExtra,
    account_of,
    decode_extrinsic,
    extrinsic_hash,
    signed_extrinsic,
    signing_payload,
    verify_signature,
)
from tests.vectors.load import load, unhex

CLIENT = load("substrate/client_vectors.json")
ALICE = KeyPair.from_suri("//Alice", Scheme.ED25519)

cases = pytest.mark.parametrize("case", CLIENT["cases"], ids=lambda case: case["name"])


def payload_of(case: dict[str, Any], extra: SignedExtra) -> bytes:
    genesis, checkpoint = unhex(CLIENT["genesis"]), unhex(case["blockHash"])
    return signing_payload(unhex(case["call"]), extra, 100, 1, genesis, checkpoint)


@cases
def test_a_signed_extrinsic_is_taken_apart_and_put_together_again(case: dict[str, Any]) -> None:
    data = unhex(case["extrinsic"])

    extrinsic = decode_extrinsic(data)

    assert extrinsic.signed is not None
    assert extrinsic.call == unhex(case["call"])
    assert extrinsic.signed.address == AddressId(ALICE.public)
    assert extrinsic.signed.signature.signature == unhex(case["signature"])  # type: ignore[attr-defined]
    assert extrinsic.signed.extra.era.encode() == unhex(case["era"])
    assert extrinsic.signed.extra.nonce == case["nonce"]
    assert extrinsic.signed.extra.tip == case["tip"]
    assert extrinsic.encode() == data
    assert extrinsic_hash(data) == unhex(case["hash"])


@cases
def test_the_signing_payload_is_what_polkadot_js_signed(case: dict[str, Any]) -> None:
    signed = decode_extrinsic(unhex(case["extrinsic"])).signed
    assert signed is not None

    payload = payload_of(case, signed.extra)

    assert payload == unhex(case["signed"])
    assert verify_signature(signed.signature, payload, account_of(signed.address) or b"")


@cases
def test_the_extrinsic_we_sign_is_the_one_polkadot_js_signed(case: dict[str, Any]) -> None:
    era = decode_extrinsic(unhex(case["extrinsic"])).signed.extra.era  # type: ignore[union-attr]
    extra = SignedExtra(era, case["nonce"], case["tip"])

    ours = signed_extrinsic(ALICE, unhex(case["call"]), extra, payload_of(case, extra))

    assert ours == unhex(case["extrinsic"])


def test_the_inherent_of_a_block_is_a_bare_extrinsic() -> None:
    (data,) = CLIENT["block1xts"]

    extrinsic = decode_extrinsic(unhex(data))

    assert extrinsic.signed is None
    assert extrinsic.call[:2] == bytes([1, 0])
    assert extrinsic.encode() == unhex(data)

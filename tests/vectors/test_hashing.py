"""Hashes as the Polkadot host computes them, and storage keys as polkadot.js asks for them."""

import pytest

from runtime.primitives.hashing import (
    blake2_128,
    blake2_128_concat,
    blake2_256,
    identity,
    twox_64,
    twox_64_concat,
    twox_128,
)
from tests.vectors.load import load, unhex

CLIENT = load("substrate/client_vectors.json")
ALICE = unhex(CLIENT["accounts"][0]["sr25519"])


def test_hashes_of_a_word_are_those_of_the_host_api() -> None:
    # w3f/polkadot-tests, host-api hashing.
    blake = "2c5774435a18ac7aa03d294838bafb5fc05181252adc4f56d4d2771f7346788c"
    assert blake2_256(b"static").hex() == blake
    assert twox_64(b"static").hex() == "50946b0f6af893d8"
    assert twox_128(b"static").hex() == "50946b0f6af893d85f16c85eb1eb1724"


def test_short_blake2_is_a_hash_of_its_own_and_not_a_part_of_the_long_one() -> None:
    # The hasher of System.Account in every Substrate chain.
    assert blake2_128(ALICE).hex() == "de1e86a9a8c739864cf3cc5ec2bea59f"
    assert not blake2_256(ALICE).startswith(blake2_128(ALICE))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (
            "system_account_alice",
            twox_128(b"System") + twox_128(b"Account") + blake2_128_concat(ALICE),
        ),
        ("events", twox_128(b"System") + twox_128(b"Events")),
        ("number", twox_128(b"System") + twox_128(b"Number")),
        ("now", twox_128(b"Timestamp") + twox_128(b"Now")),
        (
            "offers_1",
            twox_128(b"Energy") + twox_128(b"Offers") + twox_64_concat((1).to_bytes(8, "little")),
        ),
        (
            "bySeller_alice_1",
            twox_128(b"Energy")
            + twox_128(b"BySeller")
            + blake2_128_concat(ALICE)
            + twox_64_concat((1).to_bytes(8, "little")),
        ),
    ],
)
def test_storage_keys_are_those_of_polkadot_js(name: str, key: bytes) -> None:
    assert key == unhex(CLIENT["keys"][name])


def test_the_identity_hasher_keeps_the_key() -> None:
    assert identity(b"key") == b"key"

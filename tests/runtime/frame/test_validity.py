"""The reasons that clients know by number and text."""

import pytest

from runtime.frame import validity
from runtime.frame.signatures import SignatureCache
from runtime.frame.validity import InvalidReason, InvalidTransaction, UnknownReason, Validity
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import Ed25519Signature

# Indices and texts of sp_runtime::transaction_validity.
REASONS: list[tuple[InvalidReason | UnknownReason, str, str]] = [
    (validity.Call(), "0000", "Transaction call is not expected"),
    (validity.Payment(), "0001", "Inability to pay some fees (e.g. account balance too low)"),
    (validity.Future(), "0002", "Transaction will be valid in the future"),
    (validity.Stale(), "0003", "Transaction is outdated"),
    (validity.BadProof(), "0004", "Transaction has a bad signature"),
    (validity.AncientBirthBlock(), "0005", "Transaction has an ancient birth block"),
    (validity.ExhaustsResources(), "0006", "Transaction would exhaust the block limits"),
    (validity.CustomReason(9), "000709", "Custom error: 9"),
    (
        validity.BadMandatory(),
        "0008",
        "A call was labelled as mandatory, but resulted in an Error.",
    ),
    (
        validity.MandatoryValidation(),
        "0009",
        "Transaction dispatch is mandatory; transactions must not be validated.",
    ),
    (validity.BadSigner(), "000a", "Invalid signing address"),
    (
        validity.CannotLookup(),
        "0100",
        "Could not lookup information required to validate the transaction",
    ),
    (
        validity.NoUnsignedValidator(),
        "0101",
        "Could not find an unsigned validator for the unsigned transaction",
    ),
    (validity.CustomUnknown(3), "010203", "Custom error: 3"),
]


@pytest.mark.parametrize(("reason", "encoded", "text"), REASONS)
def test_reasons_have_substrates_numbers_and_texts(
    reason: InvalidReason | UnknownReason, encoded: str, text: str
) -> None:
    error = InvalidTransaction(reason)

    assert error.encode().hex() == encoded
    assert error.code_text == str(error) == text
    assert error.is_unknown == encoded.startswith("01")


def test_a_detail_stands_behind_the_text() -> None:
    error = InvalidTransaction(validity.Stale(), "nonce 1, expected 2")

    assert str(error) == "Transaction is outdated: nonce 1, expected 2"
    assert error.code_text == "Transaction is outdated"


def test_a_validity_is_encoded_as_clients_read_it() -> None:
    found = Validity(1, [], [b"\x01\x02"], 2**64 - 1, True).encode()

    assert found.hex() == "01000000000000000004080102ffffffffffffffff01"


def test_a_signature_cache_forgets_the_oldest() -> None:
    pair = KeyPair.from_suri("//Alice", Scheme.ED25519)
    cache = SignatureCache(size_max=2)

    for message in (b"1", b"2", b"3"):
        signature = Ed25519Signature(pair.sign(message))
        assert cache.is_valid(signature, signature.encode(), message, pair.public)

    assert len(cache) == 2


def test_a_wrong_signature_is_not_remembered() -> None:
    pair = KeyPair.from_suri("//Alice", Scheme.ED25519)
    cache = SignatureCache()
    signature = Ed25519Signature(pair.sign(b"1"))

    assert not cache.is_valid(signature, signature.encode(), b"2", pair.public)
    assert len(cache) == 0

"""Eras, addresses and extrinsics; exact bytes of wallets are in tests/vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import (
    SIGNATURE_FORMS,
    Address20,
    Address32,
    AddressId,
    AddressIndex,
    AddressRaw,
    EcdsaSignature,
    Ed25519Signature,
    Era,
    EraField,
    MetadataHashMode,
    MultiAddress,
    MultiSignature,
    SignedExtra,
    SignedPart,
    Sr25519Signature,
    UncheckedExtrinsic,
    account_of,
    decode_extrinsic,
    signed_extrinsic,
    signing_payload,
    verify_signature,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, EncodeError, codec

HASH_A, HASH_B, HASH_C = b"a" * 32, b"b" * 32, b"c" * 32


# --- era


@given(st.integers(0, 1 << 17), st.integers(0, 1 << 32))
def test_a_mortal_era_round_trips_and_covers_its_first_block(period: int, current: int) -> None:
    era = Era.mortal(period, current)

    assert codec(EraField).decode(era.encode()) == era
    assert era.period >= min(period, 1 << 16)
    assert era.birth(current) <= current < era.birth(current) + era.period
    assert era.death(current) == era.birth(current) + era.period


@given(st.integers(0, 1 << 17), st.integers(0, 1 << 32), st.integers(0, 1 << 16))
def test_an_era_has_the_same_birth_all_its_life(period: int, current: int, later: int) -> None:
    era = Era.mortal(period, current)
    birth = era.birth(current)

    assert era.birth(birth + later % era.period) == birth
    assert era.birth(birth + era.period) == birth + era.period


@given(st.binary(min_size=2, max_size=2))
def test_two_bytes_are_an_era_or_refused(data: bytes) -> None:
    exponent = data[0] & 15
    phase = int.from_bytes(data, "little") >> 4
    is_valid = exponent > 0 and phase * max((2 << exponent) >> 12, 1) < 2 << exponent

    if data[0] == 0 or not is_valid:
        with pytest.raises(DecodeError):
            codec(EraField).decode(data)
    else:
        assert codec(EraField).decode(data).encode() == data


def test_an_immortal_era_is_one_zero_byte_and_was_always_born() -> None:
    era = Era.immortal()

    assert era.encode() == b"\0"
    assert codec(EraField).decode(b"\0").is_immortal
    assert (era.birth(1_000), era.death(1_000)) == (0, None)


def test_half_an_era_is_refused() -> None:
    for data in (b"", b"\x05"):
        with pytest.raises(DecodeError):
            codec(EraField).decode(data)


@pytest.mark.parametrize(
    "era",
    [Era(3, 0), Era(2, 0), Era(64, 64), Era(64, -1), Era(1 << 17, 0), Era(8_192, 1), Era(0, 1)],
)
def test_eras_that_do_not_exist_are_not_encoded(era: Era) -> None:
    with pytest.raises(EncodeError, match="no era"):
        era.encode()


# --- addresses and signatures


@pytest.mark.parametrize(
    ("address", "encoded", "account"),
    [
        (AddressId(HASH_A), "00" + HASH_A.hex(), HASH_A),
        (AddressIndex(None), "01", None),
        (AddressRaw(HASH_A), "0280" + HASH_A.hex(), HASH_A),
        (AddressRaw(b"name"), "0210" + b"name".hex(), None),
        (Address32(HASH_A), "03" + HASH_A.hex(), HASH_A),
        (Address20(b"a" * 20), "04" + "61" * 20, None),
    ],
)
def test_every_form_of_address_decodes_and_names_an_account_or_nobody(
    address: MultiAddress, encoded: str, account: bytes | None
) -> None:
    assert address.encode().hex() == encoded
    assert MultiAddress.decode(bytes.fromhex(encoded)) == address
    assert account_of(address) == account


@pytest.mark.parametrize(
    "signature",
    [Ed25519Signature(b"e" * 64), Sr25519Signature(b"s" * 64), EcdsaSignature(b"c" * 65)],
)
def test_every_form_of_signature_decodes(signature: MultiSignature) -> None:
    assert MultiSignature.decode(signature.encode()) == signature


@pytest.mark.parametrize("scheme", Scheme)
def test_a_signature_says_its_scheme(scheme: Scheme) -> None:
    pair = KeyPair.from_suri("//Alice", scheme)
    signature = pair.sign(b"x")

    for form in Scheme:
        is_valid = verify_signature(SIGNATURE_FORMS[form](signature), b"x", pair.account)
        assert is_valid is (form is scheme)
    assert not verify_signature(SIGNATURE_FORMS[scheme](signature), b"y", pair.account)
    assert not verify_signature(SIGNATURE_FORMS[scheme](signature), b"x", HASH_A)


# --- extrinsics

ADDRESSES = st.one_of(
    st.builds(AddressId, st.binary(min_size=32, max_size=32)),
    st.builds(AddressRaw, st.binary(max_size=40)),
)
SIGNATURES = st.one_of(
    st.builds(Sr25519Signature, st.binary(min_size=64, max_size=64)),
    st.builds(EcdsaSignature, st.binary(min_size=65, max_size=65)),
)
EXTRAS = st.builds(
    SignedExtra,
    st.builds(Era.mortal, st.integers(4, 1 << 16), st.integers(0, 1 << 32)) | st.just(Era(0, 0)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**128 - 1),
    st.sampled_from(MetadataHashMode),
)
SIGNED_PARTS = st.builds(SignedPart, ADDRESSES, SIGNATURES, EXTRAS)


@given(st.none() | SIGNED_PARTS, st.binary(max_size=100))
def test_extrinsics_round_trip(signed: SignedPart | None, call: bytes) -> None:
    extrinsic = UncheckedExtrinsic(signed, call)

    assert decode_extrinsic(extrinsic.encode()) == extrinsic


@given(st.binary(max_size=120))
def test_any_bytes_are_an_extrinsic_or_a_decode_error(data: bytes) -> None:
    for candidate in (data, codec(bytes).encode(data), codec(bytes).encode(b"\x84" + data)):
        try:
            extrinsic = decode_extrinsic(candidate)
        except DecodeError:
            continue
        assert extrinsic.encode() == candidate


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "ends before"),
        ("00", "announces 0 bytes"),
        ("0c04", "announces 3 bytes and has 1"),
        ("04040000", "announces 1 bytes and has 3"),
        ("0805ff", "format 0x05"),
        ("0885ff", "format 0x85"),
        ("0884ff", "MultiAddress has no variant 255"),
    ],
)
def test_what_is_no_extrinsic_of_format_4_is_refused_with_the_reason(
    data: str, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_extrinsic(bytes.fromhex(data))


@pytest.mark.parametrize("scheme", Scheme)
def test_a_signed_extrinsic_verifies_under_the_payload_it_was_signed_for(scheme: Scheme) -> None:
    pair = KeyPair.from_suri("//Alice", scheme)
    extra = SignedExtra(Era.mortal(64, 100), 7, 0)
    payload = signing_payload(b"call", extra, 1, 2, HASH_A, HASH_B)

    signed = decode_extrinsic(signed_extrinsic(pair, b"call", extra, payload)).signed

    assert signed is not None
    assert account_of(signed.address) == pair.account
    assert verify_signature(signed.signature, payload, pair.account)
    for other in (
        signing_payload(b"cell", extra, 1, 2, HASH_A, HASH_B),
        signing_payload(b"call", SignedExtra(extra.era, 8, 0), 1, 2, HASH_A, HASH_B),
        signing_payload(b"call", extra, 2, 2, HASH_A, HASH_B),
        signing_payload(b"call", extra, 1, 1, HASH_A, HASH_B),
        signing_payload(b"call", extra, 1, 2, HASH_B, HASH_B),
        signing_payload(b"call", extra, 1, 2, HASH_A, HASH_C),
    ):
        assert not verify_signature(signed.signature, other, pair.account)


def test_a_payload_is_hashed_only_above_256_bytes() -> None:
    extra = SignedExtra(Era.immortal(), 0, 0)
    rest = len(signing_payload(b"", extra, 1, 1, HASH_A, HASH_A))
    longest = bytes(256 - rest)

    assert len(signing_payload(longest, extra, 1, 1, HASH_A, HASH_A)) == 256
    whole = longest + b"\0" + signing_payload(b"", extra, 1, 1, HASH_A, HASH_A)
    assert signing_payload(longest + b"\0", extra, 1, 1, HASH_A, HASH_A) == blake2_256(whole)


def test_a_metadata_hash_is_signed_exactly_when_the_mode_says_so() -> None:
    plain = SignedExtra(Era.immortal(), 0, 0)
    checked = SignedExtra(Era.immortal(), 0, 0, MetadataHashMode.ENABLED)

    payload = signing_payload(b"", checked, 1, 1, HASH_A, HASH_A, HASH_C)

    assert payload.startswith(bytes.fromhex("00000001"))
    assert payload.endswith(b"\1" + HASH_C)
    with pytest.raises(ValueError, match="mode ENABLED"):
        signing_payload(b"", checked, 1, 1, HASH_A, HASH_A)
    with pytest.raises(ValueError, match="mode ENABLED"):
        signing_payload(b"", plain, 1, 1, HASH_A, HASH_A, HASH_C)

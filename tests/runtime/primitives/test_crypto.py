"""Key pairs, signatures and addresses behave; exact keys are in tests/vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.crypto import (
    DEV_PHRASE,
    SIGNATURE_SIZES,
    KeyPair,
    Scheme,
    SecretError,
    recover_ecdsa,
    ss58_decode,
    ss58_encode,
    verify,
)
from runtime.primitives.hashing import blake2_256

ALICE = {scheme: KeyPair.from_suri("//Alice", scheme) for scheme in Scheme}
BOB = {scheme: KeyPair.from_suri("//Bob", scheme) for scheme in Scheme}


@pytest.mark.parametrize("scheme", Scheme)
def test_a_signature_is_valid_for_its_key_and_message_alone(scheme: Scheme) -> None:
    signature = ALICE[scheme].sign(b"message")

    assert len(signature) == SIGNATURE_SIZES[scheme]
    assert verify(scheme, ALICE[scheme].public, b"message", signature)
    assert not verify(scheme, ALICE[scheme].public, b"massage", signature)
    assert not verify(scheme, BOB[scheme].public, b"message", signature)


@pytest.mark.parametrize("scheme", Scheme)
def test_a_signature_of_another_scheme_is_not_valid(scheme: Scheme) -> None:
    signature = ALICE[scheme].sign(b"message")

    for other in Scheme:
        is_valid = verify(other, ALICE[scheme].public, b"message", signature)
        assert is_valid is (other is scheme)


def test_an_ecdsa_signature_tells_its_key_as_ethereum_counts_too() -> None:
    pair = ALICE[Scheme.ECDSA]
    signature = pair.sign(b"message")

    assert recover_ecdsa(b"message", signature) == pair.public
    assert recover_ecdsa(b"message", signature[:64] + bytes([signature[64] + 27])) == pair.public
    assert recover_ecdsa(b"message", signature[:64] + b"\x04") is None
    assert recover_ecdsa(b"message", bytes(65)) is None
    assert recover_ecdsa(b"message", b"\xff" * 65) is None
    assert recover_ecdsa(b"message", signature[:64]) is None


def test_the_account_of_an_ecdsa_key_is_its_hash() -> None:
    pair = ALICE[Scheme.ECDSA]

    assert len(pair.public) == 33
    assert pair.account == blake2_256(pair.public)
    assert ALICE[Scheme.SR25519].account == ALICE[Scheme.SR25519].public


@pytest.mark.parametrize("seed", [bytes(32), b"\xff" * 32])
def test_a_seed_that_is_no_ecdsa_key_is_refused(seed: bytes) -> None:
    with pytest.raises(SecretError, match="no secret key of secp256k1"):
        KeyPair.from_seed(seed, Scheme.ECDSA)


@given(st.sampled_from(Scheme), st.binary(max_size=33), st.binary(max_size=65), st.binary())
def test_verifying_anything_gives_an_answer(
    scheme: Scheme, public: bytes, signature: bytes, message: bytes
) -> None:
    assert verify(scheme, public, message, signature) is False
    assert (
        verify(scheme, public.ljust(32, b"\1"), message, signature.ljust(64, b"\1")[:64]) is False
    )


@given(st.sampled_from(Scheme), st.integers(0, 511))
def test_one_flipped_bit_makes_a_signature_invalid(scheme: Scheme, bit: int) -> None:
    signature = bytearray(ALICE[scheme].sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8

    assert not verify(scheme, ALICE[scheme].public, b"message", bytes(signature))


def test_sr25519_signatures_differ_and_ed25519_signatures_do_not() -> None:
    sr25519, ed25519 = ALICE[Scheme.SR25519], ALICE[Scheme.ED25519]

    assert sr25519.sign(b"x") != sr25519.sign(b"x")
    assert ed25519.sign(b"x") == ed25519.sign(b"x")


@pytest.mark.parametrize("scheme", Scheme)
def test_the_development_phrase_is_the_default_root(scheme: Scheme) -> None:
    assert KeyPair.from_suri(f"{DEV_PHRASE}//Alice", scheme).public == ALICE[scheme].public
    assert KeyPair.from_suri("", scheme).public == KeyPair.from_suri(DEV_PHRASE, scheme).public


@pytest.mark.parametrize("scheme", Scheme)
def test_a_password_belongs_to_the_phrase(scheme: Scheme) -> None:
    plain = KeyPair.from_suri("//Alice", scheme)
    protected = KeyPair.from_suri("//Alice///pass/word//with slashes", scheme)

    assert protected.public != plain.public
    assert protected == KeyPair.from_suri(f"{DEV_PHRASE}//Alice///pass/word//with slashes", scheme)


def test_numbers_and_texts_are_different_junctions() -> None:
    keys = {
        KeyPair.from_suri(suri, Scheme.SR25519).public
        for suri in ("//1", "//01x", "/1", "//1//1", "//18446744073709551616", "//" + "long" * 20)
    }

    assert len(keys) == 6
    assert (
        KeyPair.from_suri("//1", Scheme.ED25519).public
        == KeyPair.from_suri("//001", Scheme.ED25519).public
    )


@pytest.mark.parametrize(
    ("suri", "reason"),
    [
        ("bottom drive", "not a valid English BIP39 mnemonic"),
        (DEV_PHRASE.replace("walk", "drive"), "not a valid English BIP39 mnemonic"),
        ("0x1234", "a seed has 32 bytes, not 2"),
        ("0x" + "zz" * 32, "not hexadecimal"),
        ("//Alice//", "a secret URI is"),
        ("/", "a secret URI is"),
        ("/soft", "ed25519 has no soft junctions"),
    ],
)
def test_secrets_that_cannot_be_used_are_refused_without_being_repeated(
    suri: str, reason: str
) -> None:
    with pytest.raises(SecretError, match=reason) as caught:
        KeyPair.from_suri(suri, Scheme.ED25519)

    assert len(suri) < 6 or suri not in str(caught.value)


def test_a_key_pair_does_not_print_its_secret() -> None:
    pair = KeyPair.from_seed(b"\xab" * 32, Scheme.ED25519)

    assert "secret" not in repr(pair)
    assert "\\xab\\xab" not in repr(pair)


@given(
    st.binary(min_size=32, max_size=32), st.integers(0, 16_383).filter(lambda n: n not in (46, 47))
)
def test_addresses_round_trip(account: bytes, prefix: int) -> None:
    text = ss58_encode(account, prefix)

    assert ss58_decode(text) == account
    assert ss58_decode(text, prefix) == account
    with pytest.raises(ValueError, match=f"is for network {prefix}, expected {prefix ^ 1}"):
        ss58_decode(text, prefix ^ 1)


@given(st.text(max_size=70))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        account = ss58_decode(text)
    except ValueError:
        return
    assert len(account) == 32


def test_a_mistyped_letter_is_noticed() -> None:
    address = ss58_encode(ALICE[Scheme.SR25519].public)

    for place in range(len(address)):
        other = "A" if address[place] != "A" else "B"
        with pytest.raises(ValueError, match="address"):
            ss58_decode(address[:place] + other + address[place + 1 :])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "32-byte account"),
        ("5Grwva0", "'0', which is not in base 58"),
        ("1" * 65, "too long"),
        ("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ", "checksum"),
    ],
)
def test_addresses_that_are_none_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ss58_decode(text)


@pytest.mark.parametrize("prefix", [-1, 46, 47, 16_384])
def test_reserved_address_prefixes_are_refused(prefix: int) -> None:
    with pytest.raises(ValueError, match="SS58 prefix"):
        ss58_encode(bytes(32), prefix)


def test_seeds_and_accounts_of_another_length_are_refused() -> None:
    with pytest.raises(SecretError, match="a seed has 32 bytes, not 31"):
        KeyPair.from_seed(bytes(31), Scheme.SR25519)
    with pytest.raises(ValueError, match="an account has 32 bytes, not 33"):
        ss58_encode(bytes(33))

"""Keys, signatures and addresses as subkey, polkadot.js and substrate-interface have them."""

from typing import Any

import pytest
from substrateinterface import Keypair, KeypairType

from runtime.primitives.crypto import KeyPair, Scheme, ss58_decode, ss58_encode, verify
from tests.vectors.load import load, unhex

ACCOUNTS = load("substrate/client_vectors.json")["accounts"]

# substrate-interface signs with ecdsa as Ethereum does; ours is compared with polkadot.js.
THEIR_TYPE = {Scheme.SR25519: KeypairType.SR25519, Scheme.ED25519: KeypairType.ED25519}


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account["uri"])
@pytest.mark.parametrize("scheme", THEIR_TYPE)
def test_development_accounts_have_their_known_keys(
    account: dict[str, str], scheme: Scheme
) -> None:
    assert KeyPair.from_suri(account["uri"], scheme).public == unhex(account[scheme])


def test_the_ecdsa_key_of_alice_is_the_known_one() -> None:
    # subkey inspect --scheme ecdsa //Alice
    pair = KeyPair.from_suri("//Alice", Scheme.ECDSA)

    assert pair.public.hex() == "020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1"
    assert ss58_encode(pair.account) == "5C7C2Z5sWbytvHpuLTvzKunnnRwQxft1jiqrLD5rhucQ5S9X"


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account["uri"])
@pytest.mark.parametrize("prefix", [0, 42, 7391])
def test_development_accounts_have_their_known_addresses(
    account: dict[str, Any], prefix: int
) -> None:
    public, text = unhex(account["sr25519"]), account[f"ss58_{prefix}"]

    assert ss58_encode(public, prefix) == text
    assert ss58_decode(text, prefix) == public


def test_the_seed_of_ed25519_alice_is_the_known_one() -> None:
    seed = unhex("abf8e5bdbe30c65656c0a3cbd181ff8a56294a69dfedd27982aace4a76909115")

    assert KeyPair.from_seed(seed, Scheme.ED25519) == KeyPair.from_suri("//Alice", Scheme.ED25519)
    assert KeyPair.from_suri("0x" + seed.hex(), Scheme.ED25519).public.hex() == ACCOUNTS[0][
        "ed25519"
    ].removeprefix("0x")


def test_the_development_phrase_has_its_known_mini_secret() -> None:
    # sp-core, DEV_PHRASE: the account without derivation.
    seed = unhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
    public = "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a"

    assert KeyPair.from_seed(seed, Scheme.SR25519) == KeyPair.from_suri("", Scheme.SR25519)
    assert KeyPair.from_suri("", Scheme.SR25519).public.hex() == public


@pytest.mark.parametrize(
    ("suri", "public"),
    [
        # sp-core, sr25519.rs: derive_soft_known_pair_should_work, sr_test_vector_should_work and
        # seeded_pair_should_work.
        ("/Alice", "d6c71059dbbe9ad2b0ed3f289738b800836eb425544ce694825285b958ca755e"),
        (
            "0x9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "44a996beb1eef7bdcab976ab6d2ca26104834164ecf28fb375600576fcc6eb0f",
        ),
        (
            "0x" + b"12345678901234567890123456789012".hex(),
            "741c08a06f41c596608f6774259bd9043304adfa5d3eea62760bd9be97634d63",
        ),
    ],
)
def test_sr25519_keys_are_those_of_sp_core(suri: str, public: str) -> None:
    assert KeyPair.from_suri(suri, Scheme.SR25519).public.hex() == public


def test_a_hard_ed25519_junction_derives_the_seed_of_sp_core() -> None:
    # sp-core, ed25519.rs: seed_and_derive_should_work. The junction there is 32 zero bytes, which
    # is the number 0 in a path.
    root = "0x9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    seed = unhex("ede3354e133f9c8e337ddd6ee5415ed4b4ffe5fc7d21e933f4930a3730e5b21c")

    derived = KeyPair.from_suri(f"{root}//0", Scheme.ED25519)

    assert derived == KeyPair.from_seed(seed, Scheme.ED25519)


@pytest.mark.parametrize(
    ("phrase", "seed"),
    [
        # substrate-bip39, src/lib.rs: the password is "Substrate", the seed the first half.
        (
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
            "abandon about",
            "44e9d125f037ac1d51f0a7d3649689d422c2af8b1ec8e00d71db4d7bf6d127e3",
        ),
        (
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            "4313249608fe8ac10fd5886c92c4579007272cb77c21551ee5b8d60b78041685",
        ),
        (
            "gravity machine north sort system female filter attitude volume fold club stay "
            "feature office ecology stable narrow fog",
            "fbcc5229ade0c0ff018cb7a329c5459f91876e4dde2a97ddf03c832eab7f2612",
        ),
        (
            "void come effort suffer camp survey warrior heavy shoot primary clutch crush open "
            "amazing screen patrol group space point ten exist slush involve unfold",
            "938ba18c3f521f19bd4a399c8425b02c716844325b1a65106b9d1593fbafe5e0",
        ),
    ],
)
@pytest.mark.parametrize("scheme", THEIR_TYPE)
def test_phrases_and_passwords_are_stretched_as_by_substrate(
    phrase: str, seed: str, scheme: Scheme
) -> None:
    ours = KeyPair.from_suri(f"{phrase}///Substrate", scheme)

    assert ours == KeyPair.from_seed(unhex(seed), scheme)


PHRASE = "scheme spot photo card baby mountain device kick cradle pact join borrow"
SURIS = [
    "//Alice",
    "//Alice//stash",
    "//1",
    "//1//2//three",
    "//a long junction that is longer than thirty-two bytes",
    PHRASE,
    f"{PHRASE}//hard",
    f"{PHRASE}//Ünïcode",
]


@pytest.mark.parametrize("suri", [*SURIS, "/soft", "//hard/soft//hard", "/1/2", f"{PHRASE}/soft"])
def test_sr25519_derivation_agrees_with_substrate_interface(suri: str) -> None:
    theirs = Keypair.create_from_uri(suri, crypto_type=KeypairType.SR25519)

    assert KeyPair.from_suri(suri, Scheme.SR25519).public == theirs.public_key


@pytest.mark.parametrize("scheme", THEIR_TYPE)
def test_signatures_are_accepted_across_implementations(scheme: Scheme) -> None:
    seed = bytes(range(32))
    ours = KeyPair.from_seed(seed, scheme)
    theirs = Keypair.create_from_seed(seed.hex(), crypto_type=THEIR_TYPE[scheme])

    assert theirs.public_key == ours.public
    assert theirs.verify(b"energy", ours.sign(b"energy"))
    assert verify(scheme, ours.public, b"energy", theirs.sign(b"energy"))


@pytest.mark.parametrize(
    ("seed", "message", "signature"),
    [
        # RFC 8032, 7.1, tests 1 to 3.
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_ed25519_signatures_are_those_of_the_rfc(seed: str, message: str, signature: str) -> None:
    pair = KeyPair.from_seed(unhex(seed), Scheme.ED25519)

    assert pair.sign(unhex(message)) == unhex(signature)
    assert verify(Scheme.ED25519, pair.public, unhex(message), unhex(signature))


@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        # sp-core, sr25519.rs: verify_known_old_message_should_work and
        # verify_from_old_wasm_works. Made before schnorrkel marked its signatures.
        (
            "b4bfa1f7a5166695eb75299fd1c4c03ea212871c342f2c5dfea0902b2c246918",
            "Verifying that I am the owner of 5G9hQLdsKQswNPgB499DeA5PkFBbgkLPJWkkS6FAM6xGQ8xD. "
            "Hash: 221455a3\n",
            "5a9755f069939f45d96aaf125cf5ce7ba1db998686f87f2fb3cbdea922078741"
            "a73891ba265f70c31436e18a9acd14d189d73c12317ab6c313285cd938453202",
        ),
        (
            KeyPair.from_seed(bytes(32), Scheme.SR25519).public.hex(),
            "SUBSTRATE",
            "28a854d54903e056f89581c691c1f7d2ff39f8f896c9e9c22475e60902cc2b35"
            "47199e0e91fa32902028f2ca2355e8cdd16cfe19ba5e8b658c94aa80f3b81a00",
        ),
    ],
)
def test_sr25519_signatures_of_the_first_format_are_refused(
    public: str, message: str, signature: str
) -> None:
    assert not verify(Scheme.SR25519, unhex(public), message.encode(), unhex(signature))

"""Peer ids and addresses agree with libp2p's, and malformed ones are named."""

import pytest

from p2p import fastecdsa_shim
from p2p.identity import (
    parse_address,
    parse_peer_id,
    peer_bytes_of,
    peer_id_of,
    peer_text,
)
from p2p.ports import AddressInvalid

fastecdsa_shim.install()

from libp2p.crypto.ed25519 import create_new_key_pair  # noqa: E402
from libp2p.peer.id import ID  # noqa: E402

PEER = peer_id_of(bytes(32))


@pytest.mark.parametrize("number", range(5))
def test_the_peer_id_of_a_seed_is_libp2ps(number: int) -> None:
    seed = bytes([number]) * 32

    theirs = ID.from_pubkey(create_new_key_pair(seed).public_key)

    assert peer_id_of(seed) == str(theirs)
    assert peer_bytes_of(seed) == theirs.to_bytes()
    assert parse_peer_id(peer_id_of(seed)) == theirs.to_bytes()


def test_the_peer_id_of_a_known_key_is_the_published_one() -> None:
    # libp2p's specs, peer-ids.md: the ed25519 test vector's public key.
    public = bytes.fromhex("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")

    assert peer_text(bytes.fromhex("002408011220") + public) == (
        "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/127.0.0.1/tcp/30333/p2p/{PEER}",
        f"/ip6/::1/tcp/1/p2p/{PEER}",
        f"/dns4/node.example/tcp/65535/p2p/{PEER}",
    ],
)
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected /ip4/HOST"),
        ("/ip4/127.0.0.1/tcp/30333", "expected /ip4/HOST"),
        (f"/ip4/127.0.0.1/udp/30333/p2p/{PEER}", "expected /ip4/HOST"),
        (f"/ip4/127.0.0.256/tcp/30333/p2p/{PEER}", "127.0.0.256"),
        (f"/ip4/::1/tcp/30333/p2p/{PEER}", "no host of kind 'ip4'"),
        (f"/ip5/127.0.0.1/tcp/30333/p2p/{PEER}", "ip5"),
        (f"/dns4/a b/tcp/30333/p2p/{PEER}", "a b"),
        (f"/ip4/127.0.0.1/tcp/0/p2p/{PEER}", "port '0'"),
        (f"/ip4/127.0.0.1/tcp/65536/p2p/{PEER}", "65536"),
        (f"/ip4/127.0.0.1/tcp/-1/p2p/{PEER}", "-1"),
        (f"/ip4/127.0.0.1/tcp/²/p2p/{PEER}", "port"),
        ("/ip4/127.0.0.1/tcp/1/p2p/12D3KooW0", "base 58"),
        ("/ip4/127.0.0.1/tcp/1/p2p/12D3KooW", "not that of an ed25519 key"),
        ("/ip4/127.0.0.1/tcp/1/p2p/" + "1" * 500, "too long"),
    ],
)
def test_a_malformed_address_is_refused_with_its_fault(text: str, complaint: str) -> None:
    with pytest.raises(AddressInvalid, match=complaint):
        parse_address(text)

"""Reputation, bans, slots and addresses."""

import pytest

from p2p.identity import PeerAddress
from p2p.peers import (
    ADDRESSES_KNOWN_MAX,
    BAN_BELOW,
    BAN_SECONDS,
    PER_SUBNET_MAX,
    REMEMBERED_MAX,
    REPUTATION_MAX,
    AddressBook,
    Reputations,
    Slots,
    is_reachable,
    own_address_seen,
)
from tests.p2p.nets import peer_of

ALICE, BOB = peer_of(1), peer_of(2)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_reputation_decays_towards_zero() -> None:
    clock = Clock()
    reputations = Reputations((), clock)
    reputations.report(ALICE, -1_000)
    reputations.report(BOB, 1_000)

    clock.now += 35.0

    assert -500 < reputations.reputation(ALICE) < -490
    assert 490 < reputations.reputation(BOB) < 500
    clock.now += 600.0
    assert reputations.reputation(ALICE) == 0


def test_a_peer_is_banned_for_an_hour_when_offences_add_up() -> None:
    clock = Clock()
    reputations = Reputations((), clock)

    assert not reputations.report(ALICE, BAN_BELOW)
    assert reputations.report(ALICE, -1)
    assert reputations.is_banned(ALICE)
    assert not reputations.report(ALICE, -1)  # banned already

    clock.now += BAN_SECONDS
    assert not reputations.is_banned(ALICE)


def test_slow_offences_are_forgiven() -> None:
    clock = Clock()
    reputations = Reputations((), clock)

    for _ in range(100):
        assert not reputations.report(ALICE, -5_000)
        clock.now += 40.0


def test_good_conduct_buys_no_more_than_a_bound() -> None:
    reputations = Reputations((), Clock())
    for _ in range(10):
        reputations.report(ALICE, 5_000)

    assert reputations.reputation(ALICE) == REPUTATION_MAX


def test_a_reserved_peer_is_never_banned() -> None:
    reputations = Reputations([ALICE], Clock())

    assert not reputations.report(ALICE, -1_000_000)
    assert not reputations.is_banned(ALICE)


def test_reputations_are_bounded_and_bans_are_remembered_longest() -> None:
    reputations = Reputations((), Clock())
    reputations.report(ALICE, BAN_BELOW - 1)

    for number in range(REMEMBERED_MAX + 10):
        reputations.report(number.to_bytes(38, "big"), -10)

    assert reputations.is_banned(ALICE)
    assert reputations.reputation((0).to_bytes(38, "big")) == 0
    assert reputations.reputation((REMEMBERED_MAX + 9).to_bytes(38, "big")) == -10


def test_inbound_slots_are_limited() -> None:
    slots = Slots(in_peers=2, out_peers=1)

    assert slots.refusal(["10.0.0.1"], "10.0.0.2") is None
    assert "2 inbound slots" in (slots.refusal(["10.0.0.1", None], "10.0.0.2") or "")


@pytest.mark.parametrize(
    ("ips", "ip", "is_refused"),
    [
        (["8.8.8.1", "8.8.8.2", "8.8.8.3"], "8.8.8.4", True),
        (["8.8.8.1", "8.8.8.2", "8.8.8.3"], "8.8.9.4", False),
        (["127.0.0.1"] * 5, "127.0.0.1", False),
        (["192.168.0.1"] * 5, "192.168.0.2", False),
        (["2600:1:2:3::1", "2600:1:2:4::1", "2600:1:2:5::1"], "2600:1:2:6::1", True),
        ([None] * 5, None, False),
        (["nonsense"] * 5, "nonsense", False),
    ],
)
def test_few_inbound_peers_of_one_public_subnet(
    ips: list[str | None], ip: str | None, is_refused: bool
) -> None:
    assert len(ips) >= PER_SUBNET_MAX
    assert (Slots(25, 15).refusal(ips, ip) is not None) == is_refused


def test_an_address_is_replaced_only_by_the_peers_own_word() -> None:
    book = AddressBook(BOB)
    first = PeerAddress(ALICE, "ip4", "10.0.0.1", 1)
    other = PeerAddress(ALICE, "ip4", "10.0.0.2", 1)

    assert book.add(first, is_own_word=False)
    assert not book.add(first, is_own_word=True)
    assert not book.add(other, is_own_word=False)
    assert book.get(ALICE) == first
    assert book.add(other, is_own_word=True)
    assert book.get(ALICE) == other


def test_the_address_book_is_bounded_and_never_holds_ourselves() -> None:
    book = AddressBook(ALICE)
    assert not book.add(PeerAddress(ALICE, "ip4", "10.0.0.1", 1), is_own_word=True)

    for number in range(ADDRESSES_KNOWN_MAX + 5):
        book.add(PeerAddress(peer_of(number + 10), "ip4", "10.0.0.1", 1), is_own_word=False)

    assert len(book.known()) == ADDRESSES_KNOWN_MAX
    assert book.get(peer_of(10)) is None


@pytest.mark.parametrize(
    ("host", "remote_ip", "found"),
    [
        ("0.0.0.0", "10.1.2.3", "10.1.2.3"),
        ("::", "10.1.2.3", "10.1.2.3"),
        ("0.0.0.0", None, None),
        ("10.0.0.1", "10.1.2.3", "10.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.1.2.3", None),
        ("224.0.0.1", "10.1.2.3", None),
    ],
)
def test_a_peers_own_address_is_read_as_seen_from_here(
    host: str, remote_ip: str | None, found: str | None
) -> None:
    address = PeerAddress(ALICE, "ip6" if ":" in host else "ip4", host, 30333)

    seen = own_address_seen(address, remote_ip)

    assert (seen.host if seen else None) == found
    assert seen is None or seen.kind == "ip4"


def test_others_may_not_send_us_to_our_own_machine() -> None:
    loopback = PeerAddress(ALICE, "ip4", "127.0.0.1", 22)
    anywhere = PeerAddress(ALICE, "ip4", "0.0.0.0", 22)

    assert not is_reachable(loopback, "10.0.0.1")
    assert not is_reachable(loopback, None)
    assert not is_reachable(anywhere, "127.0.0.1")
    assert is_reachable(loopback, "127.0.0.1")
    assert is_reachable(PeerAddress(ALICE, "dns4", "node.example", 22), "10.0.0.1")

"""Wire messages: what is encoded is decoded, and nothing else is accepted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.messages import (
    ADDRESSES_MAX,
    BLOCKS_MAX,
    KEY_BYTES_MAX,
    NOTIFICATION_BYTES_MAX,
    REQUEST_BYTES_MAX,
    TRANSACTIONS_MAX,
    Addresses,
    Answer,
    BlockAnnounce,
    BlockData,
    BlockRequest,
    Grandpa,
    Message,
    Ping,
    Pong,
    Refusal,
    Request,
    Role,
    StateAnswer,
    StateRequest,
    Status,
    SyncMessage,
    Transactions,
    WarpAnswer,
    WarpRequest,
    protocol_ids,
)
from runtime.primitives.grandpa import (
    CatchUp,
    CatchUpRequest,
    CatchUpResponse,
    SignedPrecommit,
    SignedPrevote,
)
from runtime.primitives.scale import DecodeError, EncodeError, encode_compact
from tests.p2p.nets import GENESIS, OTHER_GENESIS, make_header, make_status

HASH = bytes(range(32))


def extrinsic(payload: bytes) -> bytes:
    return encode_compact(len(payload)) + payload


hashes = st.binary(min_size=32, max_size=32)
u32 = st.integers(0, 2**32 - 1)
extrinsics = st.lists(st.binary(max_size=40).map(extrinsic), max_size=5)
headers = u32.map(make_header)
notifications = st.one_of(
    st.builds(
        Status, hashes, hashes, u32, hashes, u32, st.sampled_from(Role), st.integers(0, 2**64 - 1)
    ),
    st.builds(BlockAnnounce, headers, st.booleans()),
    st.builds(Transactions, extrinsics),
    st.builds(Grandpa, st.builds(CatchUpRequest, st.integers(0, 2**64 - 1), u32)),
    st.builds(Ping, u32),
    st.builds(Pong, u32),
    st.builds(Addresses, st.lists(st.text(max_size=20), max_size=4), st.lists(st.text(max_size=9))),
)
block_data = st.builds(
    BlockData, headers, st.none() | extrinsics, st.none() | st.binary(max_size=30)
)
requests = st.builds(BlockRequest, st.none() | hashes, u32, st.booleans(), u32, st.booleans())
sync_messages = st.one_of(
    st.builds(Request, u32, requests),
    st.builds(Answer, u32, st.lists(block_data, max_size=3)),
    st.builds(Refusal, u32, st.text(max_size=20)),
    st.builds(WarpRequest, u32, hashes),
    st.builds(WarpAnswer, u32, st.binary(max_size=30)),
    st.builds(StateRequest, u32, hashes, st.none() | st.binary(max_size=30)),
    st.builds(StateAnswer, u32, st.lists(st.binary(max_size=30), max_size=3)),
)


@given(notifications)
@settings(derandomize=True)
def test_a_notification_survives_the_wire(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(sync_messages)
@settings(derandomize=True)
def test_a_request_or_answer_survives_the_wire(message: SyncMessage) -> None:
    assert SyncMessage.decode(message.encode()) == message


@pytest.mark.slow
@given(st.binary(max_size=400))
@settings(max_examples=300, derandomize=True)
def test_garbage_is_refused_or_is_exactly_a_message(data: bytes) -> None:
    for kind in (Message, SyncMessage):
        try:
            message = kind.decode(data)
        except DecodeError:
            continue

        assert message.encode() == data


@pytest.mark.slow
@given(notifications | sync_messages, st.data())
@settings(max_examples=150, derandomize=True)
def test_a_damaged_message_is_refused_or_is_exactly_another(
    message: Message | SyncMessage, data: st.DataObject
) -> None:
    damaged = bytearray(message.encode())
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    kind = Message if isinstance(message, Message) else SyncMessage

    try:
        again = kind.decode(cut)
    except DecodeError:
        return

    assert again.encode() == cut


def test_variants_keep_their_place_on_the_wire() -> None:
    header = make_header(7)

    assert make_status().encode()[0] == 0
    assert BlockAnnounce(header, True).encode() == b"\x01" + header.encode() + b"\x01"
    assert Transactions([extrinsic(b"ab")]).encode() == b"\x02\x04\x08ab"
    assert Grandpa(CatchUpRequest(1, 2)).encode()[:2] == b"\x03\x03"
    assert Ping(5).encode() == b"\x04\x05\0\0\0"
    assert Pong(5).encode() == b"\x05\x05\0\0\0"
    assert Addresses([], []).encode() == b"\x06\0\0"
    assert Refusal(1, "no").encode() == b"\x02\x01\0\0\0\x08no"


def test_lists_longer_than_their_bound_are_refused() -> None:
    too_many = Transactions([extrinsic(b"")] * (TRANSACTIONS_MAX + 1))
    blocks = [BlockData(make_header(1), None, None)] * (BLOCKS_MAX + 1)

    with pytest.raises(EncodeError):
        too_many.encode()
    with pytest.raises(EncodeError):
        Answer(1, blocks).encode()
    with pytest.raises(DecodeError):
        Message.decode(b"\x06\0" + encode_compact(ADDRESSES_MAX + 1) + bytes(100))
    with pytest.raises(DecodeError):
        Message.decode(b"\x02" + encode_compact(2**30))


def test_an_extrinsic_must_be_as_long_as_it_says() -> None:
    with pytest.raises(DecodeError):
        Message.decode(b"\x02\x04\x0cab")


def test_the_largest_messages_fit_into_their_frames() -> None:
    voters = 1_024
    prevotes = [SignedPrevote(HASH, 1, bytes(64), HASH)] * (2 * voters)
    precommits = [SignedPrecommit(HASH, 1, bytes(64), HASH)] * (2 * voters)
    catch_up = CatchUpResponse(1, CatchUp(1, prevotes, precommits, HASH, 1))

    assert len(Grandpa(catch_up).encode()) <= NOTIFICATION_BYTES_MAX
    assert len(Request(1, BlockRequest(HASH, 1, True, 64, True)).encode()) <= REQUEST_BYTES_MAX
    longest = StateRequest(1, HASH, bytes(KEY_BYTES_MAX))
    assert len(longest.encode()) <= REQUEST_BYTES_MAX


def test_protocols_of_different_chains_have_different_names() -> None:
    ours, theirs = protocol_ids(GENESIS), protocol_ids(OTHER_GENESIS)

    assert GENESIS.hex() in ours[0]
    assert GENESIS.hex() in ours[1]
    assert not set(ours) & set(theirs)

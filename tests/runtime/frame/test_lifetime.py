"""What a version of the runtime has of declarations that say in which versions they hold."""

import pytest

from runtime import frame
from runtime.frame import Lifetime, Pallet, Signed, call
from runtime.frame.apis import groups_of
from runtime.frame.assembly import ApiError, Assembly
from runtime.frame.declaration import declaration_of
from runtime.frame.metadata import encode_metadata
from runtime.primitives.scale import DecodeError
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.runtime.frame.board import Board, Config, Illegible, Posted, PostedLong, TooLong
from tests.runtime.frame.chain import ALICE


def assembly_of(spec_version: int, overlay: Overlay | None = None) -> Assembly:
    """The pallet alone, in a version."""
    made = Assembly({9: Board(Config(200, 70_000, 3))}, spec_version)
    made.bind(Overlay(MemoryBackend()) if overlay is None else overlay)
    return made


@pytest.mark.parametrize(
    ("lifetime", "version", "expected"),
    [
        (Lifetime(), 1, True),
        (Lifetime(since=2), 1, False),
        (Lifetime(since=2), 2, True),
        (Lifetime(until=2), 1, True),
        (Lifetime(until=2), 2, False),
        (Lifetime(since=2, until=4), 3, True),
        (Lifetime(since=2, until=4), 4, False),
    ],
)
def test_a_lifetime_begins_with_its_first_version_and_ends_before_its_last(
    lifetime: Lifetime, version: int, expected: bool
) -> None:
    assert lifetime.includes(version) is expected


def test_a_lifetime_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(TypeError, match="since 3 and only until 3"):
        Lifetime(since=3, until=3)


def test_calls_under_one_index_mean_what_the_version_says() -> None:
    first, second = assembly_of(1), assembly_of(2)

    assert first.encode_call("Board", "post", length=7) == bytes([9, 0, 7])
    assert second.encode_call("Board", "post", length=7) == bytes([9, 0, 7, 0, 0, 0])
    second.dispatch(ALICE, second.decode_call(bytes([9, 0, 0, 0, 1, 0])))
    assert second.call_api(Overlay(MemoryBackend()), "Board_long_length", b"") == bytes(4)
    with pytest.raises(DecodeError):
        first.decode_call(bytes([9, 1]))


def test_a_call_is_gone_in_the_version_that_no_longer_has_it() -> None:
    assembly_of(2).decode_call(bytes([9, 1]))

    with pytest.raises(DecodeError):
        assembly_of(3).decode_call(bytes([9, 1]))


def test_events_and_errors_are_those_of_the_version() -> None:
    declared = declaration_of(Board)

    assert declared.at(1).events == (Posted,)
    assert declared.at(2).events[0] is PostedLong
    assert declared.at(1).errors == (TooLong,)
    assert declared.at(2).errors == (Illegible,)


def test_runtime_apis_are_those_of_the_version() -> None:
    first, second = assembly_of(1), assembly_of(2)
    overlay = Overlay(MemoryBackend())

    assert first.call_api(overlay, "Board_length", b"") == b"\x00"
    with pytest.raises(ApiError, match="Board_long_length is not found"):
        first.call_api(overlay, "Board_long_length", b"")
    with pytest.raises(ApiError, match="Board_length is not found"):
        second.call_api(overlay, "Board_length", b"")


def test_a_migration_reads_what_the_new_version_no_longer_shows() -> None:
    overlay = Overlay(MemoryBackend())
    old = assembly_of(1, overlay)
    old.dispatch(ALICE, old.make_call("Board", "post", length=9))
    new = assembly_of(2, overlay)
    (board,) = new.pallets

    board.on_runtime_upgrade()

    assert new.call_api(overlay, "Board_long_length", b"") == bytes([9, 0, 0, 0])


def test_metadata_show_what_the_version_has() -> None:
    first, second = (
        encode_metadata(made, 16, groups_of(made.apis, {}, {}))
        for made in (assembly_of(1), assembly_of(2))
    )

    for word in (b"TooLong", b"\x18Length"):
        assert word in first
        assert word not in second
    for word in (b"Illegible", b"LongLength", b"wipe", b"post nothing", b"read `Posted`"):
        assert word in second
        assert word not in first
    for word in (b"Posted", b"post", b"LengthMax", b"there is one colour"):
        assert word in first
        assert word in second


def test_notes_on_what_is_deprecated_are_documentation() -> None:
    made = assembly_of(2)
    apis = groups_of(made.apis, {}, {})

    bare = encode_metadata(made, 16, apis, with_docs=False)

    for note in (b"post nothing", b"read `Posted`", b"one colour", b"always one line"):
        assert note not in bare
        assert note in encode_metadata(made, 16, apis)
        assert note not in encode_metadata(made, 15, apis)


def test_two_calls_with_one_index_in_one_version_are_refused() -> None:
    class Nothing(frame.Config):
        """Nothing."""

    class Twice(Pallet[Nothing]):
        @call(0, weight=1)
        @Lifetime(until=3)
        def one(self, who: Signed) -> None: ...

        @call(0, weight=1)
        @Lifetime(since=2)
        def other(self, who: Signed) -> None: ...

    with pytest.raises(TypeError, match="Twice: one and other have index 0"):
        declaration_of(Twice)

"""A pallet that has changed from version to version of its runtime, in all that it declares."""

from typing import Annotated

from runtime import frame
from runtime.frame import U8, U32, Lifetime, Pallet, Signed, StorageValue, api, call

GONE, NEW = Lifetime(until=2), Lifetime(since=2)


@GONE
class Posted(frame.Event, index=0):
    """Something was written."""

    length: U8


@NEW
class PostedLong(frame.Event, index=0, name_in_metadata="Posted"):
    """Something was written; it may be long now."""

    length: U32


@Lifetime(since=2, deprecated="read `Posted`")
class Wiped(frame.Event, index=1):
    """The board was wiped."""


@GONE
class TooLong(frame.Error, index=0):
    """Longer than 255."""


@Lifetime(since=2, deprecated="never given")
class Illegible(frame.Error, index=0):
    """Nobody can read this."""


class Config(frame.Config):
    """Limits."""

    length_max: Annotated[U8, GONE]
    length_limit: Annotated[U32, Lifetime(since=2, name="length_max")]
    colours: Annotated[U8, Lifetime(deprecated="there is one colour")]


class Board(Pallet[Config]):
    """A board to write on."""

    length: StorageValue[Annotated[U8, GONE]]
    long_length: StorageValue[Annotated[U32, NEW]]
    colour: StorageValue[Annotated[U8, Lifetime(deprecated="there is one colour")]]

    @call(0, weight=1)
    @GONE
    def post(self, who: Signed, length: U8) -> None:
        """Write a line."""
        self.length.set(length)
        self.deposit_event(Posted(length))

    @call(0, weight=1)
    @Lifetime(since=2, name="post")
    def post_long(self, who: Signed, length: U32) -> None:
        """Write a line, however long."""
        self.long_length.set(length)
        self.deposit_event(PostedLong(length))

    @call(1, weight=1)
    @Lifetime(since=2, until=3, deprecated="post nothing")
    def wipe(self, who: Signed) -> None:
        """Wipe the board."""
        self.long_length.delete()
        self.deposit_event(Wiped())

    @api("Board_length")
    @GONE
    def read_length(self) -> U8:
        """How long the line is."""
        return self.length.get()

    @api("Board_long_length")
    @Lifetime(since=2, deprecated="it is always one line")
    def read_long_length(self) -> U32:
        """How long the line is."""
        return self.long_length.get()

    def on_runtime_upgrade(self) -> None:
        """The old length goes on as the new one."""
        self.long_length.set(self.length.get())
        self.length.delete()

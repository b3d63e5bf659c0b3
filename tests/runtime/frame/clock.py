"""A clock that believes what it is told."""

from runtime import frame
from runtime.frame import Compact, Inherent, Moment, Pallet, StorageValue, call


class SetTwice(frame.Error, index=0):
    """The time was told already."""


class TimestampConfig(frame.Config):
    """Nothing."""


class Timestamp(Pallet[TimestampConfig]):
    now: StorageValue[Moment]
    did_update: StorageValue[bool]

    def on_finalize(self, number: int) -> None:
        """Forget the mark."""
        self.did_update.delete()

    @call(0, weight=20_000_000)
    def set(self, who: Inherent, now: Compact[Moment]) -> None:
        """Tell the time."""
        if self.did_update.get():
            raise SetTwice
        self.now.set(now)
        self.did_update.set(True)

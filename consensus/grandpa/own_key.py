"""The key of ours that votes in one set, if there is one, and whether it may vote there.

Whoever signs for us keeps its own marks, outside our database. They are compared when the node
starts, and again each time a signer in another process is reached, which may have signed what we
never heard of.

Invariant: with a mark above what the database knows of, the key does not vote in this set again.
"""

from collections.abc import Callable, Iterable, Mapping

from consensus.effects import AlarmKind
from consensus.grandpa.context import AuthoritySet, Surroundings
from consensus.grandpa.own_votes import OwnVoteBook
from consensus.ports import SignerMark


class OwnKey:
    """Our key in one set. `count` takes in the votes of a round that are stored."""

    def __init__(
        self,
        around: Surroundings,
        authorities: AuthoritySet,
        count: Callable[[OwnVoteBook, int], None],
    ) -> None:
        self._around = around
        self._authorities = authorities
        self._count = count
        self._column: Mapping[bytes, bytes] = {}
        """What was stored when the node started: our votes, should the key come later."""

        self._is_rolled_back = False
        self.book: OwnVoteBook | None = self._open()
        """The votes of the key; None when it is not in the set, or may not vote in it."""

    def load(self, column: Mapping[bytes, bytes]) -> None:
        """Take in what is stored."""
        self._column = column
        self.book = self._open()

    def heed(self, marks: Iterable[SignerMark], round_number: int) -> None:
        """Compare what the signer has signed with what the database knows of, and count it.

        The keys that it holds may be others than before.
        """
        if self._is_rolled_back:
            return
        if self.book is None or self.book.public != self._find():
            self.book = self._open()
        book = self.book
        if book is None:
            return
        for mark in marks:
            if mark.public == book.public and not self._is_known(book, mark, round_number):
                self.book, self._is_rolled_back = None, True
                return
        if not book.is_busy:
            self._count(book, round_number)

    def _find(self) -> bytes | None:
        config, voters = self._around.config, self._authorities.voters
        if self._authorities.set_id <= config.frozen_set:
            return None  # we have reported, and others plan on it that we do not vote any more
        keys = config.grandpa_keys
        return next((key for key in keys if voters.index(key) is not None), None)

    def _open(self) -> OwnVoteBook | None:
        key = self._find()
        if key is None:
            return None
        book = OwnVoteBook(self._around.out, key, self._authorities.set_id)
        book.load(self._column)
        return book

    def _is_known(self, book: OwnVoteBook, mark: SignerMark, round_number: int) -> bool:
        """False when the database is older than the signer: it was rolled back."""
        ours = (self._authorities.set_id, round_number)
        if (mark.set_id, mark.round) > ours:
            self._around.out.alarm(
                AlarmKind.ROLLED_BACK,
                f"the signer's mark is set {mark.set_id} round {mark.round}, the database has set "
                f"{ours[0]} round {ours[1]}: 0x{book.public.hex()} votes again in the next set",
            )
            return False
        if (mark.set_id, mark.round) == ours:
            operation = book.adopt(mark)
            if operation is not None:
                book.is_busy = True

                def durable(_: int) -> None:
                    book.is_busy = False
                    self._count(book, round_number)

                # Counted, and so sent to peers that lack them, only when they are on our disk.
                self._around.out.persist_synced([operation], durable)
        return True

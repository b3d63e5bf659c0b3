"""How an author fills a block: what it promised first, then what waits, until late or full."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence

from runtime.frame.extensions import InvalidTransaction
from runtime.primitives.types import Hash

SLICE_CHECK = 8  # extrinsics applied between two looks at the clock while a block is built
SKIPPED_MAX = 8  # extrinsics too large for the rest of a block before it counts as full

log = logging.getLogger("chain")

Apply = Callable[[bytes], object]
"""Puts an extrinsic into the block. Raises `InvalidTransaction`; then nothing has changed."""

Named = tuple[Hash, bytes]
"""An extrinsic with its hash."""


def fill_promised(apply: Apply, promised: Sequence[Named]) -> dict[Hash, bytes]:
    """Put in what was promised, whatever the time is. What is not valid now stays promised."""
    included: dict[Hash, bytes] = {}
    for digest, extrinsic in promised:
        try:
            apply(extrinsic)
        except InvalidTransaction as error:
            log.debug("the promised order 0x%s is not valid now: %s", digest.hex(), error)
            continue
        included[digest] = extrinsic
    return included


def fill_ready(
    apply: Apply,
    ready: Iterator[Named],
    promised: Collection[Hash],
    reject: Callable[[Hash], None],
    is_late: Callable[[], bool],
) -> list[bytes]:
    """Put in what is ready beside what was `promised` and is in; `reject` drops what is invalid.

    Ends when it is late, or the block is full.
    """
    included: list[bytes] = []
    skipped = 0
    for count, (digest, extrinsic) in enumerate(ready):
        if count % SLICE_CHECK == 0 and is_late():
            break
        if digest in promised:
            continue
        try:
            apply(extrinsic)
        except InvalidTransaction as error:
            if error.exhausts_resources:
                skipped += 1
                if skipped > SKIPPED_MAX:
                    break
            elif not error.is_future:
                reject(digest)
            continue
        included.append(extrinsic)
    return included

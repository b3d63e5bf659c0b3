"""Work on the chain of a stopped node: export, import, revert, check a block.

The database allows one process at a time, so a running node refuses all of this.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

from consensus import aura, effects
from consensus.aura import BadHeader
from consensus.events import Verdict
from node.block_file import Progress, write_block, write_count
from node.chain import Chain
from node.chain_spec import load_chain_spec
from node.checks import NativeChecks
from node.clock import Clock
from node.database import Column, Database
from node.errors import ConfigInvalid, NodeError
from node.kernels import prepare_kernels
from node.repair import finish_repair
from node.state_store import StateDiscarded
from runtime.primitives.types import Hash
from runtime.runtime import UnknownVersion
from runtime.state.overlay import Overlay

STATES_KEPT = 256  # the default of --state-pruning


class BlockWrong(NodeError):
    """A stored block breaks a rule of the chain, or cannot be checked here."""


@contextmanager
def open_chain(chain_spec: Path, base_path: Path) -> Generator[Chain]:
    """The chain of a node that does not run; the database is closed at the end.

    How many states are kept is as it was: a chain that still has all of them goes on keeping them.
    """
    folder = base_path / "db"
    spec = load_chain_spec(chain_spec)
    prepare_kernels()
    runtime = spec.runtime()
    finish_repair(base_path)
    database = Database.open(folder)
    try:
        yield Chain.open(database, runtime, spec.genesis_storage(runtime), _states_kept(database))
    finally:
        database.close()


def _states_kept(database: Database) -> int | None:
    oldest = database.get(Column.META, b"oldest")
    finalized = database.get(Column.META, b"finalized")
    later = database.get(Column.SUPERSEDED, (STATES_KEPT + 1).to_bytes(4, "big"))
    is_archive = finalized is not None and oldest == bytes(4) and later is not None
    return None if is_archive else STATES_KEPT


def export_blocks(
    chain: Chain,
    first: int,
    last: int | None,
    output: BinaryIO,
    is_binary: bool,
    progress: Progress,
) -> int:
    """Write the best chain's blocks of these heights, to the best one by default; says how many."""
    last = chain.best.number if last is None else last
    if not 0 <= first <= last <= chain.best.number:
        raise ConfigInvalid(
            f"Blocks {first} to {last} cannot be exported: expected --from <= --to <= "
            f"{chain.best.number}, the best block."
        )
    if is_binary:
        write_count(output, last - first + 1)
    for number in range(first, last + 1):
        block_hash = chain.hash_at(number)
        header = None if block_hash is None else chain.header(block_hash)
        body = None if block_hash is None else chain.body(block_hash)
        if block_hash is None or header is None or body is None:
            raise ConfigInvalid(
                f"Block {number} is not stored: this node has not fetched the blocks before its "
                "first state yet. Let it run until it has, or begin at a later block: --from."
            )
        write_block(output, header, body, chain.justification(block_hash), is_binary)
        progress(number)
    return last - first + 1


def revert(chain: Chain, count: int) -> tuple[int, int]:
    """Take the newest `count` blocks back, at most those that are not final.

    Says how many blocks are gone, on all branches, and the number of the best one now.
    """
    number = max(chain.finalized.number, chain.best.number - count)
    return chain.revert_to(number), number


@dataclass(frozen=True, slots=True)
class Checked:
    """A stored block that was executed again."""

    number: int
    block_hash: Hash
    extrinsics: int
    milliseconds: int


def find_block(chain: Chain, text: str) -> Hash:
    """The block that a person names by hash or by height. Raises `ConfigInvalid`."""
    if text.isdecimal():
        found = chain.hash_at(int(text))
    else:
        try:
            found = bytes.fromhex(text.removeprefix("0x"))
        except ValueError as error:
            raise ConfigInvalid(
                f"{text!r} is no block: expected a height, or a hash of 64 hex digits."
            ) from error
    if found is None or chain.header(found) is None:
        raise ConfigInvalid(
            f"Block {text} is not in the database, whose best block is {chain.best.number}."
        )
    return found


def check_block(chain: Chain, block_hash: Hash, clock: Clock) -> Checked:
    """Check seal, slot, body and all roots of a stored block by executing it again.

    Raises `BlockWrong` when it breaks a rule, or when its parent's state is not kept any more.
    """
    header, body = chain.header(block_hash), chain.body(block_hash)
    assert header is not None, "the block was found"
    if header.number == 0:
        raise BlockWrong("The genesis block is not executed; its hash is checked at each start.")
    if body is None:
        raise BlockWrong(f"The body of block {header.number} is not stored.")
    try:
        state = chain.state_at(header.parent_hash)
        runtime = chain.runtime_of(state)
        authorities = runtime.aura_authorities(Overlay(state))
        digest = aura.read_header(header)
    except (StateDiscarded, UnknownVersion, BadHeader) as error:
        raise BlockWrong(f"Block {header.number} cannot be checked: {error}") from error
    author = aura.author_of(digest.slot, authorities)
    if author is None or not NativeChecks().verify_seal(author, digest.pre_hash, digest.seal):
        raise BlockWrong(f"Block {header.number} is not sealed by the author of its slot.")
    started = perf_counter()
    executed = chain.execute(effects.Execute(block_hash, header, tuple(body)), clock.wall_ms())
    if executed.verdict is not Verdict.VALID:
        raise BlockWrong(f"Block {header.number} is {executed.verdict}: {executed.reason}")
    taken_ms = round((perf_counter() - started) * 1_000)
    return Checked(header.number, block_hash, len(body), taken_ms)

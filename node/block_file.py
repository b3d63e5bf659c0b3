"""Files of blocks, in the two forms that Substrate's `export-blocks` writes and reads.

Binary: the number of blocks as eight bytes, little-endian, then each signed block in SCALE. JSON:
one object for each block as `chain_getBlock` gives it, one after the other (a line each when we
write). A file is read by an index of where each block begins, so that it may be longer than memory;
nothing in it is trusted but its form, which `BlockFile.open` checks from end to end.
"""

import json
import mmap
import tempfile
from array import array
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from node.errors import ConfigInvalid
from rpc.encoding import block_json
from runtime.primitives.block import Block, DigestItem, Extrinsic, Header
from runtime.primitives.block import Digest as BlockDigest
from runtime.primitives.grandpa import ENGINE_ID
from runtime.primitives.scale import DecodeError, Struct, codec
from runtime.primitives.types import EngineId, Hash

BLOCK_TEXT_BYTES_MAX = 32 << 20  # a block of 4 MiB is 8 MiB of hex, and a proof is lists of numbers
_TEXT_WINDOW_BYTES = 64 << 10  # most blocks are shorter; the window doubles for one that is not
_COUNT_BYTES = 8
_HASH_BYTES = 32
_WHITE = b" \t\r\n"


class SignedBlock(Struct):
    """A block and the proofs of its finality, as sp_runtime::generic::SignedBlock."""

    block: Block
    justifications: list[tuple[EngineId, bytes]] | None

    @property
    def justification(self) -> bytes | None:
        """The proof by GRANDPA, when there is one."""
        found = [data for engine, data in self.justifications or () if engine == ENGINE_ID]
        return found[0] if found else None


_SIGNED = codec(SignedBlock)
_LOG = codec(DigestItem)
_EXTRINSIC = codec(Extrinsic)


def write_count(output: BinaryIO, count: int) -> None:
    """What a binary file begins with."""
    output.write(count.to_bytes(_COUNT_BYTES, "little"))


def write_block(
    output: BinaryIO, header: Header, body: list[bytes], proof: bytes | None, is_binary: bool
) -> None:
    """Add a block to a file."""
    if is_binary:
        proofs = None if proof is None else [(ENGINE_ID, proof)]
        output.write(SignedBlock(Block(header, body), proofs).encode())
    else:
        text = json.dumps(block_json(header, body, proof), separators=(",", ":"))
        output.write(text.encode("ascii") + b"\n")


class BlockFile:
    """Blocks of rising numbers, each the parent of the next. Made by `BlockFile.open`."""

    def __init__(self, data: mmap.mmap | bytes, origin: str, is_binary: bool) -> None:
        self._data = cast(bytes, data)  # indexed and sliced only, which a map does as bytes do
        self._origin = origin
        self._decode = self._decode_binary if is_binary else self._decode_json
        self._offsets = array("Q")
        self._hashes = bytearray()
        self.first: Header | None = None
        """The first block's header; None when the file has no blocks."""

        self.last: Header | None = None
        self._scan(self._begin_binary() if is_binary else (0, None))

    @classmethod
    @contextmanager
    def open(cls, path: Path | None, standard: BinaryIO, is_binary: bool) -> Generator["BlockFile"]:
        """The file at `path`, or what comes from `standard` until its end.

        Raises `ConfigInvalid` when it is not a file of blocks of this form.
        """
        if path is None:
            with tempfile.TemporaryFile(prefix="dret-blocks-") as spool:
                while piece := standard.read(1 << 20):
                    spool.write(piece)
                spool.flush()
                with _mapped(spool) as data:
                    yield cls(data, "standard input", is_binary)
            return
        try:
            file = path.open("rb")
        except OSError as error:
            raise ConfigInvalid(f"{path} cannot be read: {error.strerror}.") from error
        with file, _mapped(file) as data:
            yield cls(data, str(path), is_binary)

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def last_hash(self) -> Hash:
        """Hash of the last block."""
        return bytes(self._hashes[-_HASH_BYTES:])

    def at(self, number: int) -> SignedBlock | None:
        """The block of a height; None when it is not in the file."""
        index = -1 if self.first is None else number - self.first.number
        return self._decode(self._offsets[index])[0] if 0 <= index < len(self) else None

    def number_of(self, block_hash: Hash) -> int | None:
        """The height of a block of the file."""
        # From the end: what is asked for by hash is near the last one.
        place = self._hashes.rfind(block_hash)
        while place >= 0 and place % _HASH_BYTES:
            place = self._hashes.rfind(block_hash, 0, place + _HASH_BYTES - 1)
        if place < 0 or self.first is None:
            return None
        return self.first.number + place // _HASH_BYTES

    def _begin_binary(self) -> tuple[int, int]:
        if len(self._data) < _COUNT_BYTES:
            raise self._wrong(0, "the number of blocks is missing")
        return _COUNT_BYTES, int.from_bytes(self._data[:_COUNT_BYTES], "little")

    def _scan(self, begin: tuple[int, int | None]) -> None:
        """Find where the blocks are, and check that each is the next one's parent."""
        offset, count = begin
        while (offset := self._skip_white(offset)) < len(self._data):
            block, end = self._decode(offset)
            header = block.block.header
            if self.last is None:
                self.first = header
            elif header.number != self.last.number + 1 or header.parent_hash != self.last_hash:
                raise self._wrong(
                    offset,
                    f"block {header.number} on 0x{header.parent_hash.hex()}, expected block "
                    f"{self.last.number + 1} on 0x{self.last_hash.hex()}",
                )
            self.last = header
            self._offsets.append(offset)
            self._hashes += header.hash()
            offset = end
        if count is not None and count != len(self):
            raise self._wrong(offset, f"{len(self)} blocks, its beginning says {count}")

    def _skip_white(self, offset: int) -> int:
        if self._decode == self._decode_binary:
            return offset
        while offset < len(self._data) and self._data[offset] in _WHITE:
            offset += 1
        return offset

    def _decode_binary(self, offset: int) -> tuple[SignedBlock, int]:
        try:
            return _SIGNED.decode_from(self._data, offset)
        except DecodeError as error:
            raise self._wrong(offset, str(error)) from error

    def _decode_json(self, offset: int) -> tuple[SignedBlock, int]:
        size = _TEXT_WINDOW_BYTES
        while True:
            text = self._data[offset : offset + size].decode("latin-1")
            try:
                value, used = json.JSONDecoder().raw_decode(text)
                return _block_of(value), offset + used
            except json.JSONDecodeError as error:
                if len(text) < size or size >= BLOCK_TEXT_BYTES_MAX:
                    raise self._wrong(offset, str(error)) from error
                size *= 2
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise self._wrong(offset, f"{type(error).__name__}: {error}") from error

    def _wrong(self, offset: int, what: str) -> ConfigInvalid:
        if self._decode == self._decode_binary:
            form, other = "binary", "leave out --binary when the file is JSON"
        else:
            form, other = "JSON", "pass --binary when the file is binary"
        return ConfigInvalid(
            f"{self._origin} is no {form} file of blocks: at byte {offset}: {what}. Export it "
            f"again with dret node export-blocks, or {other}."
        )


@contextmanager
def _mapped(file: Any) -> Generator[mmap.mmap | bytes]:
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        yield b""  # an empty file cannot be mapped
        return
    except OSError as error:
        raise ConfigInvalid(f"{file.name} cannot be read: {error.strerror}.") from error
    with mapped:
        yield mapped


def _block_of(value: Any) -> SignedBlock:
    """A block from its JSON form; raises as wrong data does."""
    header, proofs = value["block"]["header"], value["justifications"]
    block = Block(
        Header(
            _bytes(header["parentHash"]),
            int(header["number"], 16),
            _bytes(header["stateRoot"]),
            _bytes(header["extrinsicsRoot"]),
            BlockDigest([_LOG.decode(_bytes(log)) for log in header["digest"]["logs"]]),
        ),
        [_EXTRINSIC.decode(_bytes(extrinsic)) for extrinsic in value["block"]["extrinsics"]],
    )
    pairs = None if proofs is None else [(bytes(engine), bytes(data)) for engine, data in proofs]
    block.header.encode()  # refuses what has the wrong width
    return SignedBlock(block, pairs)


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(f"expected hex that begins with 0x, found {text[:20]!r}")
    return bytes.fromhex(text[2:])


Progress = Callable[[int], None]
"""Told the number of the block that was dealt with last."""

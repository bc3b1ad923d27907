"""The `.mez` file: a header, the pictures' index in blocks, their bytes. What is damaged costs only what it holds.

docs/compress.md gives the format to the byte. This file knows nothing of how a picture is coded.
"""

import hashlib
import json
import lzma
import shutil
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mezzotint.errors import UserError

MAGIC = b"\x89MEZ\r\n\x1a\n"
FORMAT = 1
"""Number of the format; a newer one is refused in one sentence."""
BLOCK = 1024
"""Pictures whose names and facts lie in one block of the index, which is damaged or whole as one."""
LARGEST_BLOCK = 1 << 26
"""Bytes that a block of the index may unpack to."""
MOST_PICTURES = 1 << 24

_HEADER = struct.Struct("<8sHHIQIIII32s")
"""Magic, format, flags, blocks, model's bytes and CRC, shared block's bytes packed and raw and CRC; model's hash."""
_ROW = struct.Struct("<IIIIQ")
"""Of a block of the index: pictures, bytes packed and raw, CRC; bytes of its pictures."""
_MODEL_INSIDE = 1


@dataclass(frozen=True)
class Entry:
    """What the index says of a picture."""

    name: str
    """Path relative to the folder that was compressed, with slashes."""
    facts: dict[str, Any]
    """How it is coded and what it was: see `pictures`."""
    crc: int
    """CRC-32 of the decoded pixels, or of the bytes."""
    length: int
    """Bytes that it takes."""


@dataclass(frozen=True)
class Stored:
    """An entry and where its bytes lie."""

    entry: Entry
    offset: int


@dataclass(frozen=True)
class Contents:
    """What could be read of an archive without decoding a picture."""

    stored: tuple[Stored, ...]
    model: str
    """Hex SHA-256 of the packed model that the pictures were coded with."""
    shared: tuple[bytes, ...] | None
    """Color profiles, to which facts refer; None where they are damaged."""
    nameless: int
    """Pictures whose block of the index is damaged."""
    size: int
    """Bytes of the file."""
    model_bytes: int
    """0 where the model is not inside."""
    index_bytes: int


@dataclass
class Writer:
    """Collects pictures and then writes the file; their bytes lie in a temporary file until then."""

    path: Path
    entries: list[Entry] = field(default_factory=list[Entry])

    def __enter__(self) -> "Writer":
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=self.path.parent)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._spool.close()

    def add(self, name: str, facts: dict[str, Any], crc: int, data: bytes) -> None:
        """Another picture."""
        self._spool.write(data)
        self.entries.append(Entry(name, facts, crc, len(data)))

    def write(self, model_digest: str, model: bytes = b"", shared: Sequence[bytes] = ()) -> int:
        """Write the archive, whole or not at all; its size in bytes. `model` is its packed copy, or nothing."""
        packed_shared, raw_shared = _packed(_pack_shared(shared))
        blocks = [self.entries[i : i + BLOCK] for i in range(0, len(self.entries), BLOCK)]
        packed = [_packed(_pack_block(block)) for block in blocks]
        header = _HEADER.pack(
            *(MAGIC, FORMAT, _MODEL_INSIDE if model else 0, len(blocks), len(model), zlib.crc32(model)),
            *(len(packed_shared), raw_shared, zlib.crc32(packed_shared), bytes.fromhex(model_digest)),
        )
        rows = [
            _ROW.pack(len(block), len(data), raw, zlib.crc32(data), sum(e.length for e in block))
            for block, (data, raw) in zip(blocks, packed, strict=True)
        ]
        head = header + b"".join(rows)
        head += struct.pack("<I", zlib.crc32(head))
        new = self.path.with_name(f".{self.path.name}.new")
        try:
            with new.open("wb") as file:
                for part in (head, packed_shared, model, *(data for data, _ in packed)):
                    file.write(part)
                self._spool.seek(0)
                shutil.copyfileobj(self._spool, file, 1 << 20)
                file.write(head + struct.pack("<I", len(head)))
                size = file.tell()
            new.replace(self.path)
        finally:
            new.unlink(missing_ok=True)
        return size


def read(path: Path) -> Contents:
    """What is in an archive; raises UserError for what is none, is newer, or has lost its header at both ends."""
    try:
        with path.open("rb") as file:
            return _contents(file, path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from None


def model_of(path: Path, contents: Contents) -> bytes | None:
    """The packed model inside, or None where there is none or it is damaged."""
    if not contents.model_bytes:
        return None
    with path.open("rb") as file:
        head = _head(file, path, contents.size)
        file.seek(head.length + head.fields[6])
        model = file.read(contents.model_bytes)
    return model if hashlib.sha256(model).hexdigest() == contents.model else None


def bytes_of(file: IO[bytes], stored: Stored) -> bytes | None:
    """The bytes of a picture, or None where the file ends before them."""
    file.seek(stored.offset)
    data = file.read(stored.entry.length)
    return data if len(data) == stored.entry.length else None


@dataclass(frozen=True)
class _Head:
    fields: tuple[Any, ...]
    rows: list[tuple[int, int, int, int, int]]
    length: int


def _contents(file: IO[bytes], path: Path) -> Contents:
    size = path.stat().st_size
    head = _head(file, path, size)
    _, _, _, _, model_bytes, _, shared_bytes, shared_raw, shared_crc, digest = head.fields
    file.seek(head.length)
    shared = _unpacked(file.read(shared_bytes), shared_raw, shared_crc)
    at = head.length + shared_bytes + model_bytes
    offset = at + sum(packed for _, packed, _, _, _ in head.rows)
    stored, nameless = list[Stored](), 0
    for count, packed, raw, crc, payload in head.rows:
        file.seek(at)
        entries = _entries(_unpacked(file.read(packed), raw, crc), count, payload)
        if entries is None:
            nameless += count
        else:
            stored += _placed(entries, offset)
        at, offset = at + packed, offset + payload
    profiles = None if shared is None else _unpack_shared(shared)
    index_bytes = sum(packed for _, packed, _, _, _ in head.rows)
    return Contents(tuple(stored), digest.hex(), profiles, nameless, size, model_bytes, index_bytes)


def _placed(entries: list[Entry], offset: int) -> Iterator[Stored]:
    for entry in entries:
        yield Stored(entry, offset)
        offset += entry.length


def _head(file: IO[bytes], path: Path, size: int) -> _Head:
    """The header at the front, or its copy at the end; raises UserError where neither is whole."""
    file.seek(0)
    front = file.read(_HEADER.size)
    found = _parsed(file, 0, size)
    if found is None and size > 4:
        file.seek(size - 4)
        (length,) = struct.unpack("<I", file.read(4))
        found = _parsed(file, size - 4 - length, size) if length <= size - 4 else None
    if found is None:
        if front[:8] != MAGIC:
            raise UserError(f"{path} is not an archive of mezzotint (.mez)")
        (number,) = struct.unpack("<H", front[8:10].ljust(2, b"\0"))
        if number > FORMAT:
            raise UserError(f"{path} has format {number}, newer than this version reads ({FORMAT}); update mezzotint")
        raise UserError(f"{path} is damaged where it says what is in it: no picture can be saved; copy it again")
    return found


def _parsed(file: IO[bytes], start: int, size: int) -> _Head | None:
    file.seek(start)
    raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        return None
    fields = _HEADER.unpack(raw)
    magic, number, blocks = fields[0], fields[1], fields[3]
    if magic != MAGIC or number != FORMAT or blocks * _ROW.size > size:
        return None
    table = file.read(blocks * _ROW.size)
    check = file.read(4)
    if len(check) < 4 or struct.unpack("<I", check)[0] != zlib.crc32(raw + table):
        return None
    return _Head(fields, list(_ROW.iter_unpack(table)), _HEADER.size + len(table) + 4)


def _packed(raw: bytes) -> tuple[bytes, int]:
    """LZMA in its plainest container, and the length before."""
    return (lzma.compress(raw, lzma.FORMAT_ALONE, preset=9 | lzma.PRESET_EXTREME) if raw else b""), len(raw)


def _unpacked(packed: bytes, raw: int, crc: int) -> bytes | None:
    """The inverse, or None for what is damaged or unpacks to more than it says or is allowed."""
    if zlib.crc32(packed) != crc or raw > LARGEST_BLOCK:
        return None
    if not raw:
        return b""
    try:
        data = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=1 << 28).decompress(packed, raw + 1)
    except (lzma.LZMAError, EOFError, MemoryError):
        return None
    return data if len(data) == raw else None


def _pack_shared(shared: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in shared)


def _unpack_shared(raw: bytes) -> tuple[bytes, ...] | None:
    parts, at = list[bytes](), 0
    while at + 4 <= len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        parts.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return tuple(parts) if at == len(raw) else None


def _pack_block(entries: Sequence[Entry]) -> bytes:
    """Names and facts as JSON, in which each fact that most share is said once; then lengths and CRCs in columns."""
    common = {
        key: json.loads(Counter(json.dumps(e.facts.get(key)) for e in entries).most_common(1)[0][0])
        for key in sorted({key for e in entries for key in e.facts})
    }
    special = {
        i: odd
        for i, e in enumerate(entries)
        if (odd := {k: e.facts.get(k) for k in common if e.facts.get(k) != common[k]})
    }
    said = {"names": [e.name for e in entries], "common": common, "special": special}
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=True).encode()
    lengths = [struct.pack("<Q", e.length) for e in entries]
    columns = b"".join(bytes(length[i] for length in lengths) for i in range(8))
    return struct.pack("<I", len(text)) + text + columns + b"".join(struct.pack("<I", e.crc) for e in entries)


def _entries(raw: bytes | None, count: int, payload: int) -> list[Entry] | None:
    """The inverse of `_pack_block`, or None for what does not hang together."""
    if raw is None or count > MOST_PICTURES or len(raw) < 4 + 12 * count:
        return None
    (said,) = struct.unpack_from("<I", raw)
    if len(raw) != 4 + said + 12 * count:
        return None
    try:
        told = json.loads(raw[4 : 4 + said])
        names, common, special = told["names"], told["common"], told["special"]
        facts = [{**common, **special.get(str(i), {})} for i in range(count)]
        if len(names) != count or not all(isinstance(name, str) for name in names):
            return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    columns = raw[4 + said : 4 + said + 8 * count]
    lengths = [int.from_bytes(columns[i::count], "little") for i in range(count)]
    if sum(lengths) != payload:
        return None
    crcs = struct.unpack_from(f"<{count}I", raw, 4 + said + 8 * count)
    known = ({k: v for k, v in own.items() if v is not None} for own in facts)
    return [Entry(*row) for row in zip(names, known, crcs, lengths, strict=True)]

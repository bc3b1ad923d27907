import struct
import zlib
from pathlib import Path

import pytest

from mezzotint import archive
from mezzotint.archive import Writer
from mezzotint.errors import UserError

DIGEST = "ab" * 32


def written(path: Path, count: int = 5, model: bytes = b"") -> Path:
    with Writer(path) as writer:
        for i in range(count):
            writer.add(f"folder/picture {i}.png", {"mode": "L", "odd": i % 3 or None}, i * 77, bytes([i]) * (i + 1))
        writer.write(DIGEST, model, [b"profile", b""])
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mez", model=b"model")
    contents = archive.read(path)
    assert [s.entry.name for s in contents.stored] == [f"folder/picture {i}.png" for i in range(5)]
    assert [s.entry.facts for s in contents.stored[:3]] == [
        {"mode": "L"},
        {"mode": "L", "odd": 1},
        {"mode": "L", "odd": 2},
    ]
    assert [s.entry.crc for s in contents.stored] == [0, 77, 154, 231, 308]
    assert contents.shared == (b"profile", b"")
    assert contents.model == DIGEST
    assert contents.nameless == 0
    with path.open("rb") as file:
        assert [archive.bytes_of(file, s) for s in contents.stored] == [bytes([i]) * (i + 1) for i in range(5)]


def test_a_model_inside_is_only_given_where_it_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mez", model=b"model")
    assert archive.model_of(path, archive.read(path)) is None  # its hash is another one
    assert archive.model_of(path, archive.read(written(tmp_path / "b.mez"))) is None


def test_nothing_is_written_where_something_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="non-hexadecimal"), Writer(tmp_path / "a.mez") as writer:
        writer.write("not a hash")
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_is_damaged_in_front_is_read_at_the_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mez")
    data = bytearray(path.read_bytes())
    data[3:30] = bytes(27)
    path.write_bytes(data)
    assert len(archive.read(path).stored) == 5


def test_a_damaged_block_of_the_index_costs_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "BLOCK", 2)
    path = written(tmp_path / "a.mez")
    data = bytearray(path.read_bytes())
    contents = archive.read(path)
    payload = len(data) - contents.stored[0].offset
    data[-payload - contents.index_bytes + 20] ^= 1
    path.write_bytes(data)
    read = archive.read(path)
    assert read.nameless == 2
    assert read.stored == contents.stored[2:]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is not an archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not an archive"),
        (archive.MAGIC + struct.pack("<H", 2) + bytes(100), "newer than this version"),
        (archive.MAGIC + struct.pack("<H", 1), "is damaged"),
        (archive.MAGIC + struct.pack("<HHI", 1, 0, 2**32 - 1) + bytes(200), "is damaged"),
    ],
)
def test_what_is_no_archive_is_refused_in_a_sentence(data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mez"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        archive.read(path)


def test_a_block_that_says_it_unpacks_to_much_is_not_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mez")
    data = bytearray(path.read_bytes())
    size, row = archive._HEADER.size, archive._ROW.size
    count, packed, _, crc, payload = archive._ROW.unpack(data[size : size + row])
    data[size : size + row] = archive._ROW.pack(count, packed, 2**32 - 1, crc, payload)
    data[size + row : size + row + 4] = struct.pack("<I", zlib.crc32(data[: size + row]))
    path.write_bytes(data[: -size - row - 8])
    assert archive.read(path).nameless == 5

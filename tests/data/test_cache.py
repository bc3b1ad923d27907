import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mezzotint.data import cache, dataset
from mezzotint.data.dataset import load
from mezzotint.errors import UserError


def entries(place: Path) -> list[Path]:
    """What was decoded; an entry's other names do not count."""
    return sorted(path for path in (place / "decoded").iterdir() if not path.is_symlink())


@pytest.fixture
def no_decoding(monkeypatch):
    """Call it, and decoding is an error from then on."""

    def forbid() -> None:
        def decoded(*_: object) -> None:
            raise AssertionError("decoded again")

        monkeypatch.setattr(cache, "decode_files", decoded)

    return forbid


def test_what_is_known_is_not_decoded_again(folder, tmp_path, no_decoding):
    root = folder(range(5))
    first = load(root, size=8, cache_folder=tmp_path / "c")
    no_decoding()
    second = load(root, size=8, cache_folder=tmp_path / "c")
    assert np.array_equal(first.images, second.images)
    assert first.digest == second.digest
    assert isinstance(second.images, np.memmap)


@pytest.mark.parametrize("other", [{"size": 16}, {"channels": 1}, {"crop": "fit"}, {"max_pixels": 99_999}])
def test_each_shape_has_its_own_entry(folder, tmp_path, other):
    root = folder(range(5))
    load(root, size=8, cache_folder=tmp_path / "c")
    load(root, **{"size": 8, **other}, cache_folder=tmp_path / "c")
    assert len(entries(tmp_path / "c")) == 2


def test_a_changed_file_is_noticed(folder, tmp_path):
    root = folder(range(5))
    before = load(root, size=8, cache_folder=tmp_path / "c").images.copy()
    (root / "2.png").write_bytes((root / "3.png").read_bytes())
    after = load(root, size=8, cache_folder=tmp_path / "c").images
    assert np.array_equal(after[2], before[3])


def test_folders_of_equal_names_sizes_and_times_are_told_apart(tmp_path, draw):
    from PIL import Image

    for i, root in enumerate((tmp_path / "one", tmp_path / "two")):
        root.mkdir()
        for j in range(4):
            Image.fromarray(draw(10 * i + j)).save(root / f"{j}.bmp")
            os.utime(root / f"{j}.bmp", ns=(0, 0))
    one, two = (load(tmp_path / name, size=8, cache_folder=tmp_path / "c").images for name in ("one", "two"))
    assert not np.array_equal(one, two)


def test_what_is_in_memory_is_not_written_back(folder, tmp_path):
    root = folder(range(5))
    found = load(root, size=8, cache_folder=tmp_path / "c")
    kept = found.images.copy()
    found.images[:] = 0
    assert np.array_equal(load(root, size=8, cache_folder=tmp_path / "c").images, kept)


@pytest.mark.parametrize("name", ["facts.json", "pixels.npy", "arrays.npz"])
@pytest.mark.parametrize("damage", ["cut", "empty", "junk", "gone", "half"])
def test_a_damaged_entry_is_made_anew(folder, tmp_path, name, damage):
    root = folder(range(5))
    whole = load(root, size=8, cache_folder=tmp_path / "c")
    kept, digest = whole.images.copy(), whole.digest
    path = entries(tmp_path / "c")[0] / name
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        damaged = {"cut": data[:-1], "empty": b"", "junk": b"\0" * len(data), "half": data[: len(data) // 2]}[damage]
        path.write_bytes(damaged)
    again = load(root, size=8, cache_folder=tmp_path / "c")
    assert np.array_equal(again.images, kept)
    assert again.digest == digest
    assert len(entries(tmp_path / "c")) == 1


@pytest.mark.parametrize("facts", ["[]", "null", "3", '{"shape": [1]}'])
def test_facts_of_another_form_are_damage(folder, tmp_path, facts):
    root = folder(range(5))
    load(root, size=8, cache_folder=tmp_path / "c")
    (entries(tmp_path / "c")[0] / "facts.json").write_text(facts)
    assert len(load(root, size=8, cache_folder=tmp_path / "c").images) == 5


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["_reserve", "_replace"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(folder, tmp_path, monkeypatch, where):
    monkeypatch.setattr(cache, where, full_disk)
    with pytest.raises(UserError, match=r"the disk is full.*MEZZOTINT_CACHE"):
        load(folder(range(5)), size=8, cache_folder=tmp_path / "c")
    assert entries(tmp_path / "c") == []


def test_a_file_that_may_not_grow_is_one_sentence_and_leaves_nothing(tmp_path):
    """The kernel's limit on file sizes stands in for a full disk: writes really fail here."""
    np.savez(tmp_path / "x.npz", images=np.zeros((100, 40, 40, 3), np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(UserError, match=r"cannot be written"):
            load(tmp_path / "x.npz", cache_folder=tmp_path / "c")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert entries(tmp_path / "c") == []


def test_a_cache_folder_that_cannot_be_made_is_one_sentence(folder, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot be written.*MEZZOTINT_CACHE"):
        load(folder(range(5)), size=8, cache_folder=tmp_path / "file" / "c")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_folder_without_permission_is_one_sentence(folder, tmp_path):
    (tmp_path / "c").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"Permission denied.*MEZZOTINT_CACHE"):
        load(folder(range(5)), size=8, cache_folder=tmp_path / "c")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_nothing(folder, tmp_path, interruption):
    def stop(done: int, of: int) -> None:
        if done == 3:
            raise interruption

    root = folder(range(5))
    with pytest.raises(interruption):
        load(root, size=8, cache_folder=tmp_path / "c", progress=stop)
    assert entries(tmp_path / "c") == []
    assert len(load(root, size=8, cache_folder=tmp_path / "c").images) == 5


KILLED = """
import os, signal, sys
from pathlib import Path
from mezzotint.data.dataset import load
def die(done, of):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
load(sys.argv[1], size=8, cache_folder=Path(sys.argv[2]), progress=die)
"""


def test_a_kill_leaves_no_half_entry(folder, tmp_path):
    root = folder(range(5))
    done = subprocess.run([sys.executable, "-c", KILLED, str(root), str(tmp_path / "c"), "3"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(entry.name.startswith(".new-") for entry in entries(tmp_path / "c"))
    assert len(load(root, size=8, cache_folder=tmp_path / "c").images) == 5


def test_what_a_kill_left_is_cleared_in_time(folder, tmp_path):
    left = tmp_path / "c" / "decoded" / ".new-left"
    left.mkdir(parents=True)
    (left / "pixels.npy").write_bytes(b"x" * 100)
    young = left.with_name(".new-young")
    young.mkdir()
    os.utime(left, (0, 0))
    load(folder(range(5)), size=8, cache_folder=tmp_path / "c")
    assert not left.exists()
    assert young.exists()


def test_the_second_of_two_writers_gives_way(folder, tmp_path, monkeypatch):
    root = folder(range(5))
    decode_files = cache.decode_files

    def overtaken(*arguments: object) -> object:
        monkeypatch.setattr(cache, "decode_files", decode_files)
        load(root, size=8, cache_folder=tmp_path / "c")
        return decode_files(*arguments)

    monkeypatch.setattr(cache, "decode_files", overtaken)
    assert len(load(root, size=8, cache_folder=tmp_path / "c").images) == 5
    assert len(entries(tmp_path / "c")) == 1


def test_worker_processes_decode_what_one_does(folder, tmp_path, monkeypatch):
    root = folder(range(30))
    (root / "17.png").write_bytes(b"junk")
    alone = load(root, size=8, cache_folder=tmp_path / "one")
    monkeypatch.setattr(cache, "FEW", 10)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "json.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(tmp_path / "elsewhere")
    told: list[tuple[int, int]] = []
    together = load(root, size=8, cache_folder=tmp_path / "many", progress=lambda *at: told.append(at))
    assert np.array_equal(alone.images, together.images)
    assert alone.digest == together.digest
    assert alone.skipped == together.skipped
    assert told == [(i, 30) for i in range(1, 31)]
    assert not list((tmp_path / "many").rglob("job-*"))


def test_a_worker_that_dies_is_one_sentence_and_leaves_nothing(folder, tmp_path, monkeypatch):
    (tmp_path / "dies.py").write_text("import os; os.abort()")
    monkeypatch.setattr(cache, "FEW", 2)
    monkeypatch.setattr(cache.decode, "__file__", str(tmp_path / "dies.py"))
    with pytest.raises(UserError, match="a decoding process died"):
        load(folder(range(5)), size=8, cache_folder=tmp_path / "c")
    assert entries(tmp_path / "c") == []


def test_the_place_is_as_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MEZZOTINT_CACHE", str(tmp_path / "a"))
    assert cache.folder() == tmp_path / "a"
    monkeypatch.delenv("MEZZOTINT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache.folder() == tmp_path / "b" / "mezzotint"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "mezzotint"


def test_the_format_is_part_of_the_key(folder, tmp_path, monkeypatch):
    root = folder(range(5))
    load(root, size=8, cache_folder=tmp_path / "c")
    monkeypatch.setattr(dataset, "FORMAT", -1)
    load(root, size=8, cache_folder=tmp_path / "c")
    assert len(entries(tmp_path / "c")) == 2


def test_an_entry_that_was_copied_is_still_good(folder, tmp_path, no_decoding):
    root = folder(range(5))
    load(root, size=8, cache_folder=tmp_path / "c")
    os.utime(entries(tmp_path / "c")[0] / "pixels.npy", ns=(0, 0))
    no_decoding()
    assert len(load(root, size=8, cache_folder=tmp_path / "c").images) == 5


def test_a_file_in_the_place_of_an_entry_is_replaced(folder, tmp_path):
    root = folder(range(5))
    load(root, size=8, cache_folder=tmp_path / "c")
    entry = entries(tmp_path / "c")[0]
    shutil.rmtree(entry)
    entry.write_text("not a folder")
    assert len(load(root, size=8, cache_folder=tmp_path / "c").images) == 5
    assert entries(tmp_path / "c") == [entry]


FRAGILE = """
import os, sys
sys.path.insert(0, {place!r})
import decode
whole = decode.decode_into
def fragile(rows, job, index, path):
    return os.abort() if path.endswith("7.png") else whole(rows, job, index, path)
decode.decode_into = fragile
decode._work(sys.argv[1])
"""


def test_a_file_that_crashes_its_decoder_is_skipped_like_others(folder, tmp_path, monkeypatch):
    root = folder(range(30))
    (tmp_path / "fragile.py").write_text(FRAGILE.format(place=str(Path(cache.decode.__file__).parent)))
    monkeypatch.setattr(cache, "FEW", 10)
    whole = load(root, size=8, cache_folder=tmp_path / "whole")
    monkeypatch.setattr(cache.decode, "__file__", str(tmp_path / "fragile.py"))
    found = load(root, size=8, cache_folder=tmp_path / "c")
    assert [(s.path, s.reason) for s in found.skipped] == [
        (f"{i}.png", "its decoder crashed") for i in ("17", "27", "7")
    ]
    lost = [sorted(map(str, range(30))).index(i) for i in ("17", "27", "7")]
    assert np.array_equal(found.images, np.delete(whole.images, lost, axis=0))


def test_pixels_that_were_changed_on_the_disk_are_made_anew(folder, tmp_path):
    root = folder(range(5))
    kept = load(root, size=8, cache_folder=tmp_path / "c").images.copy()
    path = entries(tmp_path / "c")[0] / "pixels.npy"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert np.array_equal(load(root, size=8, cache_folder=tmp_path / "c").images, kept)

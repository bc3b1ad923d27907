"""Decoded pictures on disk: made once, in parallel, memory-mapped from then on.

An entry is a folder named by the hash of what decides its bytes (the files' names, sizes and times of change, and the
shape that was asked for). It is filled under a temporary name and renamed, so it is whole or not there.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.data import decode
from mezzotint.data.decode import BLOCK, Pixels, decode_into
from mezzotint.digest import file_digest
from mezzotint.errors import UserError

Progress = Callable[[int, int], None]
DAY = 86_400
"""Seconds after which what lies under a temporary name belongs to nobody."""
FEW = 256
"""So many files are decoded faster than worker processes start."""
MOST_CRASHES = 3
"""Files that may crash their decoder: more of them are no accident of a file."""


def folder() -> Path:
    """Where caches lie: $MEZZOTINT_CACHE, or mezzotint/ in the user's cache folder."""
    named = os.environ.get("MEZZOTINT_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mezzotint"


@dataclass(frozen=True)
class Entry:
    """What the cache holds of one data set in one shape."""

    pixels: Pixels
    """Memory-mapped and private to this process."""
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def load(entry: Path) -> Entry | None:
    """What an entry holds; None where it is absent or damaged."""
    try:
        facts = json.loads((entry / "facts.json").read_text())
        pixels = np.load(entry / "pixels.npy", mmap_mode="c", allow_pickle=False)
        if list(pixels.shape) != facts["shape"] or pixels.dtype != np.uint8 or not _unchanged(entry, facts["file"]):
            return None
        # Opened here, because numpy leaves a broken archive open.
        with (entry / "arrays.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Entry(pixels, {name: stored[name] for name in stored.files}, facts)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _written(pixels: Path) -> dict[str, int]:
    status = pixels.stat()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns}


def _unchanged(entry: Path, file: dict[str, Any]) -> bool:
    """Whether the pixels are those that were written: by the time of the last change, or else by their hash."""
    pixels = entry / "pixels.npy"
    return {**file, **_written(pixels)} == file or file_digest(pixels) == file["sha256"]


def store(entry: Path, fill: Callable[[Path], dict[str, Any]]) -> Entry:
    """Have `fill` write pixels.npy and arrays.npz into a new folder and return the facts; then put it in place.

    Raises UserError where the cache cannot be written; nothing is left behind then.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _clear_left_over(entry.parent)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    except OSError as error:
        raise UserError(_complaint(entry.parent, error)) from None
    try:
        facts = fill(new)
        facts["file"] = {**_written(new / "pixels.npy"), "sha256": file_digest(new / "pixels.npy")}
        (new / "facts.json").write_text(json.dumps(facts))
        _replace(new, entry)
    except OSError as error:
        raise UserError(_complaint(entry.parent, error)) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    found = load(entry)
    if found is None:
        raise UserError(f"the cache entry {entry} cannot be read back; delete it and try again")
    return found


def alias(other: Path, entry: Path) -> None:
    """Let an entry be found under another name too: the same pictures, asked for with their shape spelled out."""
    if other != entry and not other.exists():
        with suppress(OSError):  # it would only be made again
            other.unlink(missing_ok=True)
            other.symlink_to(entry.name, target_is_directory=True)


def _clear_left_over(place: Path) -> None:
    """Remove what processes that were killed have left: folders under temporary names that are a day old."""
    for left in place.glob(".new-*"):
        try:
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:  # another process was faster
            continue


def _replace(new: Path, entry: Path) -> None:
    """Put `new` in its place, or in that of a damaged entry; give way to another process that was faster."""
    try:
        new.rename(entry)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if load(entry) is None:
            _take_away(entry)
            _replace(new, entry)


def _take_away(entry: Path) -> None:
    """Remove a damaged entry, in one step for others who look at it."""
    away = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    with suppress(FileNotFoundError):  # another process was faster
        entry.rename(away / "damaged")
    shutil.rmtree(away, ignore_errors=True)


def _complaint(place: Path, error: OSError) -> str:
    # numpy tells of a short write by its text alone.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "requested and" in str(error)
    reason = "the disk is full" if full else (error.strerror or str(error))
    return f"the cache {place} cannot be written ({reason}): free space there or set MEZZOTINT_CACHE to another folder"


def decode_files(
    out: Path, files: list[str], size: int, channels: int, crop: str, max_pixels: int, progress: Progress | None
) -> list[dict[str, Any]]:
    """Decode `files` into rows of a new array in `out`, on all cores; one result per file, in order.

    A file's result says its row, or by the crop `cut` its first row, as `i`; each has at least one.
    """
    taken = [max(1, decode.windows_of(path, size)) if crop == decode.CUT else 1 for path in files]
    first = [end - count for end, count in zip(accumulate(taken), taken, strict=True)]
    rows = np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(sum(taken), size, size, channels))
    _reserve(out)
    job = {"out": str(out), "size": size, "crop": crop, "max_pixels": max_pixels}
    numbered = list(zip(first, files, strict=True))
    if len(files) <= FEW:
        found: Iterator[dict[str, Any]] = (decode_into(rows, job, index, path) for index, path in numbered)
    else:
        found = _in_processes(out.parent, job, numbered)
    results: dict[int, dict[str, Any]] = {}
    for done, result in enumerate(found, 1):
        results[int(result["i"])] = result
        if progress is not None:
            progress(done, len(files))
    rows.flush()
    return [results[i] for i in first]


def _reserve(path: Path) -> None:
    """Take the blocks of a mapped file now: a full disk is then an error here and not a crash at the first write."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _in_processes(place: Path, job: dict[str, Any], numbered: list[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """Results of worker processes, as they come; a file that crashes its decoder is one that cannot be read."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    left = dict(numbered)
    jobs = [{**job, "files": numbered[i::count], "block": BLOCK} for i in range(count)]
    for crashes in range(MOST_CRASHES + 2):
        for result in _reports(place, jobs):
            del left[int(result["i"])]
            yield result
        if not left:
            return
        if crashes:
            # One process that tells of each file before the next has crashed on the first of those left.
            index = next(iter(left))
            del left[index]
            yield {"i": index, "error": "its decoder crashed"}
        jobs = [{**job, "files": list(left.items()), "block": 1}]
    if left:
        told = f"a decoding process died on {MOST_CRASHES + 1} pictures; the next is {next(iter(left.values()))}"
        raise UserError(f"{told}: move such files away, or install Pillow anew")


def _reports(place: Path, jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a process for each job says; of one that a signal ends, what it had said until then."""
    workers = [_worker(place / f"job-{i}", job) for i, job in enumerate(jobs)]
    try:
        # One line of each in turn: they go at about the same pace, and none may wait for long on a full pipe.
        for lines in zip_longest(*(worker.stdout for worker in workers if worker.stdout)):
            yield from (result for line in lines if line and line.endswith("\n") for result in json.loads(line))
        for i, worker in enumerate(workers):
            if worker.wait() > 0:
                said = (place / f"job-{i}.log").read_text(errors="replace").strip()
                raise OSError(f"a decoding process died: {said[-200:] or worker.returncode}")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
        for path in place.glob("job-*"):
            path.unlink()


def _worker(job_file: Path, job: dict[str, Any]) -> subprocess.Popen[str]:
    """A process that decodes; the script is started by its path, as `-m` would look for modules where the user is."""
    job_file.write_text(json.dumps(job))
    with job_file.with_suffix(".log").open("w") as log:
        command = [sys.executable, decode.__file__, str(job_file)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

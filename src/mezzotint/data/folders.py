"""Folders of picture files: which pictures are in them, in which classes and given splits."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mezzotint.data.decode import picture_extensions
from mezzotint.errors import UserError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class File:
    """One picture file of a folder."""

    path: str
    """Relative to the folder, with slashes."""
    bytes: int
    changed: int
    """Time of the last change in nanoseconds: with the size it tells whether the cache still holds."""
    label: int
    """-1 without classes."""
    split: str
    """Empty where the folder gives no splits."""


@dataclass(frozen=True)
class Notes:
    """The files that tell what is where in a folder's pictures."""

    kind: str
    """`coco`, `yolo` or `voc`."""
    files: tuple[str, ...]
    """Relative to the folder."""
    key: str = ""
    """Changes with the files."""


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder, sorted by path."""

    root: Path
    files: tuple[File, ...]
    classes: tuple[str, ...]
    others: int
    """Files that are no pictures by their names."""
    besides: tuple[str, ...] = ()
    """Their paths, relative to the folder."""
    notes: Notes | None = None
    """Where the pictures are annotated with boxes; they have no classes then."""


def list_folder(root: Path) -> Listing:
    """The pictures under `root`: one class per sub-folder, given splits where they are named so, or flat."""
    endings = picture_extensions()
    found: list[tuple[str, os.stat_result]] = []
    others: list[str] = []
    for relative, entry in _walk(root):
        if Path(relative).suffix.lower() in endings:
            found.append((relative, entry))
        else:
            others.append(relative)
    found.sort()
    splits = _given_splits([relative for relative, _ in found])
    depth = 1 if splits else 0
    classes = _classes([relative for relative, _ in found], depth)
    number = {name: i for i, name in enumerate(classes)}
    files = [
        File(
            relative,
            stat.st_size,
            stat.st_mtime_ns,
            number.get(relative.split("/")[depth], -1) if classes else -1,
            SPLIT_FOLDERS[relative.split("/")[0].lower()] if splits else "",
        )
        for relative, stat in found
    ]
    if not files:
        raise UserError(f"{root} holds no pictures (files ending in .png, .jpg, .webp and the like)")
    return Listing(root, tuple(files), classes, len(others), tuple(others))


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files that are not hidden, with their sizes; each folder is entered once, by its own name rather than a link."""
    status = root.stat()
    seen = {(status.st_dev, status.st_ino)}
    folders, links = [("", str(root))], list[tuple[str, str]]()
    while folders or links:
        prefix, folder = folders.pop() if folders else links.pop(0)
        status = Path(folder).stat()
        if prefix and (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in _entries(folder):
            if entry.is_file():
                yield prefix + entry.name, entry.stat()
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append((f"{prefix}{entry.name}/", entry.path))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder by name, without hidden things and links to nowhere; nothing where reading is forbidden."""
    try:
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    except PermissionError:
        return []
    return [entry for entry in visible if _exists(entry)]


def _exists(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError:
        return False
    return True


def _given_splits(paths: list[str]) -> bool:
    tops = {p.split("/")[0].lower() for p in paths if "/" in p}
    flat = any("/" not in p for p in paths)
    return not flat and len(tops) >= 2 and tops <= set(SPLIT_FOLDERS) and "train" in {SPLIT_FOLDERS[t] for t in tops}


def _classes(paths: list[str], depth: int) -> tuple[str, ...]:
    """Names of the class folders, or nothing where pictures lie outside of them or there is just one."""
    parts = [p.split("/") for p in paths]
    if any(len(p) <= depth + 1 for p in parts):
        return ()
    names = sorted({p[depth] for p in parts})
    return tuple(names) if len(names) > 1 else ()

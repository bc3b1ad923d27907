"""Checkpoints: the state to resume from, written so that a kill at any instant leaves a good one.

Each is a folder named by the pictures seen, filled under a temporary name, synced and renamed; the newest two are kept.
Tensors lie in safetensors, everything else in JSON with the tensors' hash: nothing is ever unpickled.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mezzotint.digest import file_digest
from mezzotint.files import write_tensors

FORMAT = 1

Checkpoint = tuple[int, dict[str, Tensor], dict[str, Any], list[str]]
"""Pictures seen, tensors, facts, and a sentence for each newer checkpoint that had to be passed over."""


def save(folder: Path, images: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write the checkpoint of `images` pictures seen and drop all but the newest two."""
    folder.mkdir(exist_ok=True)
    final, new = folder / f"{images:012d}", folder / f"new-{images:012d}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        digest = write_tensors(new / "state.safetensors", tensors)
        state = {"format": FORMAT, "images": images, "tensors": digest, "facts": dict(facts)}
        (new / "state.json").write_text(json.dumps({"state": state, "check": _check(state)}))
        for path in (new / "state.safetensors", new / "state.json", new):
            sync(path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(final, ignore_errors=True)
    new.rename(final)
    sync(folder)
    for old in _names(folder)[2:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def drop_after(folder: Path, images: int) -> None:
    """Drop the checkpoints of more than `images` pictures seen: a run that goes on from there will make them anew."""
    for path in _names(folder):
        if int(path.name) > images:
            shutil.rmtree(path, ignore_errors=True)


def load_newest(folder: Path, most: float = math.inf) -> Checkpoint | None:
    """The newest checkpoint of up to `most` pictures that is whole; raises ValueError where all of them are damaged."""
    complaints: list[str] = []
    for path in (p for p in _names(folder) if int(p.name) <= most):
        try:
            state = _read(path)
            tensors = load_file(path / "state.safetensors")
            return int(state["images"]), tensors, state["facts"], complaints
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
            complaints.append(f"the checkpoint {path} is corrupted ({error}); going back to the one before it")
    if complaints:
        raise ValueError(complaints[0].split("; going")[0])
    return None


def _read(path: Path) -> dict[str, Any]:
    whole = json.loads((path / "state.json").read_text())
    state = whole["state"]
    if _check(state) != whole["check"]:
        raise ValueError("state.json does not match its hash")
    if state["format"] > FORMAT:
        raise ValueError(f"its format {state['format']} is newer than this version reads")
    if file_digest(path / "state.safetensors") != state["tensors"]:
        raise ValueError("state.safetensors does not match its hash")
    return state


def _names(folder: Path) -> list[Path]:
    """Finished checkpoints, newest first."""
    found = [p for p in folder.glob("*") if p.name.isdigit()] if folder.is_dir() else []
    return sorted(found, reverse=True)


def _check(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def sync(path: Path) -> None:
    """Have the file or folder on disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

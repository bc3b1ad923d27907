"""A checkpoint is whole or not there, whatever fails while it is written."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.training import checkpoint
from mezzotint.training.loop import checkpoint_of
from mezzotint.training.run import Run


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


def tensors(value: float) -> dict[str, Tensor]:
    return {"a": torch.full((3, 2), value), "b": torch.tensor(7)}


def newest(folder: Path) -> tuple[int, float]:
    found = checkpoint.load_newest(folder)
    assert found is not None
    images, state, facts, _ = found
    assert facts == {"step": images}
    return images, float(state["a"][0, 0])


def save(folder: Path, images: int) -> None:
    checkpoint.save(folder, images, tensors(float(images)), {"step": images})


CALLS: list[tuple[Any, str]] = [
    (os, "fsync"),
    (Path, "rename"),
    (Path, "mkdir"),
    (Path, "write_text"),
    (shutil, "rmtree"),
    (checkpoint, "write_tensors"),
    (checkpoint, "sync"),
]


def failing_from(number: int, patch: pytest.MonkeyPatch, error: BaseException, after: bool) -> None:
    """Have the `number`-th of all file operations fail, before or after its work is done, and all later ones too."""
    made = 0

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            if made > number or (made == number and not after):
                raise error
            found = original(*words, **named)
            if made == number:
                raise error
            return found

        return call

    for place, name in CALLS:
        patch.setattr(place, name, guarded(getattr(place, name)))


def save_with_failure(folder: Path, images: int, number: int, error: BaseException, after: bool) -> bool:
    """Whether the failure came to pass."""
    with pytest.MonkeyPatch.context() as patch:
        failing_from(number, patch, error, after)
        try:
            save(folder, images)
        except type(error):
            return True
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_between_any_two_file_operations_leaves_a_good_one(tmp_path: Path, after: bool) -> None:
    for number in range(1, 100):
        folder = tmp_path / f"{number}"
        for images in (10, 20):
            save(folder, images)
        killed = save_with_failure(folder, 30, number, Killed(), after)
        assert newest(folder) in ((20, 20.0), (30, 30.0)), number
        save(folder, 40)  # and the next one is written as if nothing had been
        assert newest(folder) == (40, 40.0)
        if not killed:
            break
    assert 8 < number < 99


def test_a_kill_while_one_is_written_again_leaves_the_one_before(tmp_path: Path) -> None:
    for number in range(1, 20):
        folder = tmp_path / f"{number}"
        for images in (10, 20):
            save(folder, images)
        save_with_failure(folder, 20, number, Killed(), after=True)
        assert newest(folder) in ((10, 10.0), (20, 20.0))


def test_a_full_disk_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    save(folder, 10)
    full = OSError(errno.ENOSPC, "No space left on device")
    for name in ("write_tensors", "sync"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, name, Mock(side_effect=full))
            with pytest.raises(OSError, match="No space"):
                save(folder, 20)
        assert newest(folder) == (10, 10.0)
        assert [p.name for p in folder.iterdir()] == [f"{10:012d}"]


def test_a_disk_that_refuses_is_an_oserror_with_its_number(tmp_path: Path) -> None:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    save(tmp_path / "c", 10)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(OSError, match="large") as refused:
            checkpoint.save(tmp_path / "c", 20, {"a": torch.zeros(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert refused.value.errno == errno.EFBIG
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["000000000010"]


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for images in (5, 100, 1000, 20_000):
        save(tmp_path, images)
    assert sorted(int(p.name) for p in tmp_path.iterdir()) == [1000, 20_000]


def test_tensors_and_facts_come_back_as_they_were(tmp_path: Path) -> None:
    state = {"half": torch.randn(4).bfloat16(), "none": torch.zeros(0), "turned": torch.randn(3, 5).T}
    checkpoint.save(tmp_path, 3, state, {"best": None, "seconds": 0.1})
    found = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert found[2] == {"best": None, "seconds": 0.1}
    assert found[3] == []
    for name, tensor in state.items():
        assert torch.equal(found[1][name], tensor)
        assert found[1][name].dtype == tensor.dtype


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path / "none") is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 4
    path.write_bytes(whole)


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "gone"])
def test_a_damaged_newest_falls_back_and_says_so(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    run = Run(tmp_path)
    for images in (10, 20):
        save(run.checkpoints, images)
    damage(run.checkpoints / f"{20:012d}" / name)
    found = checkpoint_of(run)
    assert found is not None
    assert found[0] == 10
    assert len(found[3]) == 1
    assert "corrupted" in found[3][0]
    assert "going back" in found[3][0]
    damage(run.checkpoints / f"{10:012d}" / name)
    with pytest.raises(UserError, match=r"corrupted.*begin the run again"):
        checkpoint_of(run)

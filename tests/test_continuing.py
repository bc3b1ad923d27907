import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import continuing, snapshot
from mezzotint.continuing import continued
from mezzotint.data.film import save_film
from mezzotint.errors import UserError
from mezzotint.model import Model, load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, make_recipe: Any, moving: Any) -> Model:
    """A forecaster of fresh weights that looks at three frames of 16×16."""
    place = tmp_path_factory.mktemp("model") / "snapshot"
    torch.manual_seed(0)
    recipe = make_recipe("convlstm")
    snapshot.save(place, recipe.method.build(moving.spec), recipe, {"name": "convlstm"}, "page")
    return load(place)


def film(path: Path, count: int, side: int = 16) -> Path:
    frames = (np.full((side, side, 1), 10 * (t % 20), np.uint8) for t in range(count))
    save_film(path, frames, 10)
    return path


def test_it_looks_at_the_last_frames_before_the_start(model: Model, tmp_path: Path):
    path = film(tmp_path / "a.webp", 12)
    found = continued(model, path, 4, 5, [0])
    shown = ((found.given[0, :, 0, 0, 0] + 1) * 127.5).round().tolist()
    came = ((found.came[0, :, 0, 0, 0] + 1) * 127.5).round().tolist()
    assert (shown, came) == ([20, 30, 40], [50, 60, 70, 80])
    torch.testing.assert_close(found.futures, model.forecast(found.given, 4))
    assert len(found.errors) == 4
    expected = ((found.futures[0, 2] - found.came[0, 2]) / 2).square().sum()
    assert found.errors[2] == pytest.approx(expected.item(), rel=1e-5)


def test_what_is_not_known_is_white(model: Model, tmp_path: Path):
    found = continued(model, film(tmp_path / "a.webp", 7), 4, 5, [0])
    frames = list(found.frames())
    assert len(frames) == 3 + 4
    side = frames[0].shape[0]
    assert frames[0].shape == (side, 3 * side + 8, 1)
    assert not (frames[4][:, :side] == 255).all()
    assert (frames[5][:, :side] == 255).all()
    assert (frames[5][:, -side:] == 255).all()


def test_behind_the_end_there_is_only_the_forecast(model: Model, tmp_path: Path):
    found = continued(model, film(tmp_path / "a.webp", 7), 4, None, [0])
    assert found.errors == []
    assert found.came.shape[1] == 0
    assert {frame.shape[:2] for frame in found.frames()} == {(192, 192)}


@pytest.mark.parametrize("count", [30, 90])
@pytest.mark.parametrize("start", [None, 12])
def test_no_more_frames_are_held_than_are_looked_at(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, start: int | None
):
    """However long the film is: the context and the truth of the horizon, in the model's shape."""
    seen: list[weakref.ref[Any]] = []
    held: list[int] = []
    bring = continuing._brought

    def watched(model: Model, frame: np.ndarray) -> np.ndarray:
        brought = bring(model, frame)
        seen.extend((weakref.ref(frame), weakref.ref(brought)))
        held.append(sum(ref() is not None for ref in seen))
        return brought

    monkeypatch.setattr(continuing, "_brought", watched)
    continued(model, film(tmp_path / "a.gif", count), 4, start, [0])
    assert len(held) == (count if start is None else 16)
    assert max(held) <= model.context + 4 + 4  # and what is on its way


def test_short_films_are_refused(model: Model, tmp_path: Path):
    path = film(tmp_path / "a.webp", 2)
    for start, told in ((None, "3 frames"), (3, "more than 3"), (1, "at least 3")):
        with pytest.raises(UserError, match=told):
            continued(model, path, 4, start, [0])

"""Labels in doubt: who judges which picture, and what is gone on with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mezzotint import doubt
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError


def test_equal_pictures_are_in_one_fold_and_folds_are_of_one_size():
    content = np.array([f"{i % 30:x}" for i in range(90)])
    found = doubt.folds_of(content, 3, 7)
    assert np.array_equal(found[:30], found[30:60])
    assert np.array_equal(found[:30], found[60:])
    assert np.bincount(found).tolist() == [30, 30, 30]
    assert not np.array_equal(found, doubt.folds_of(content, 3, 8))
    with pytest.raises(UserError, match="3 different pictures are too few"):
        doubt.folds_of(np.array(["a", "b", "c"] * 9), 2, 0)


def test_what_does_not_recognise_is_refused_before_any_training(digits: Dataset, make_recipe: Any, tmp_path: Path):
    content = np.arange(len(digits.images)).astype(str)
    with pytest.raises(UserError, match="does not recognise"):
        doubt.held_out(tmp_path / "out", make_recipe("vae-dense", steps=1), digits, content, 2, 0)
    assert not (tmp_path / "out").exists()


def test_what_was_begun_otherwise_is_not_gone_on_with(digits: Dataset, make_recipe: Any, tmp_path: Path):
    rows = {name: rows[:10] for name, rows in digits.splits.items()}
    few, content = replace(digits, splits=rows), np.arange(len(digits.images)).astype(str)
    recipe = make_recipe("cnn-classic", steps=1)
    judged, probabilities = doubt.held_out(tmp_path / "out", recipe, few, content, 2, 0)
    again = doubt.held_out(tmp_path / "out", recipe, few, content, 2, 0)
    assert np.array_equal(judged, np.sort(np.concatenate(list(rows.values()))))
    assert np.array_equal(again[1], probabilities)
    for other, seed in ((make_recipe("cnn-classic", steps=2), 0), (make_recipe("cnn", steps=1), 0), (recipe, 1)):
        with pytest.raises(UserError, match="name another folder with --out"):
            doubt.held_out(tmp_path / "out", other, few, content, 2, seed)

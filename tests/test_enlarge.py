"""Pictures that are drawn to enlarge a data set: the right classes, the right seeds, and sure ones alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mezzotint import drawing, enlarge
from mezzotint.data import pictures
from mezzotint.data.folders import list_folder
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.types import Batch, DataSpec, Labels, Loss

CLASSES = ("dark", "light", "never")


class Grey(Method):
    """Draws a flat picture: of class 0 darker, of others lighter than the middle, each third seed the other way."""

    phases = ()

    def __init__(self, classes: tuple[str, ...] = CLASSES) -> None:
        super().__init__()
        self.spec, self.classes = DataSpec(1, 4, 4, classes), len(classes)
        self.level = nn.Parameter(torch.tensor(0.5))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"all": [self.level]}

    def loss(self, batch: Batch, phase: str) -> Loss:
        raise NotImplementedError

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> torch.Tensor:
        assert labels is not None
        signs = [
            (-1 if label == 0 else 1) * (-1 if seed % 3 == 0 else 1) for seed, label in zip(seeds, labels, strict=True)
        ]
        depth = torch.tensor([seed % 100 / 1000 for seed in seeds])
        return (torch.tensor(signs) * (self.level + depth)).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


class Sees(Grey):
    """Knows light from dark, and never says `never`; its classes are in another order."""

    def __init__(self) -> None:
        super().__init__(("light", "never", "dark"))

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        light = images.mean((1, 2, 3)) * 20
        return torch.stack([light, torch.full_like(light, -50.0), -light], 1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)

    def spatial(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def test_only_pictures_of_the_asked_class_are_kept():
    sure = enlarge.draw_sure(Grey(), ["dark", "light"], 40, Sees(), 0.9, seed=5)
    assert [sure.kept(i) for i in range(3)] == [40, 40, 0]
    means = sure.images.reshape(80, -1).mean(1)
    assert (means[sure.labels == 0] < 100).all()
    assert (means[sure.labels == 1] > 150).all()
    assert (sure.seeds % 3 != 0).all()
    assert (sure.certainties >= 0.9).all()
    assert all(59 <= tried <= 61 for tried in sure.tried.values()), "each third seed draws another class"


def test_a_seed_draws_the_picture_again_and_classes_take_turns_in_them():
    sure = enlarge.draw_sure(Grey(), ["light", "dark"], 30, Sees(), 0.9, seed=5)
    assert set(sure.seeds[sure.labels == 1] % 2) == {1}
    assert set(sure.seeds[sure.labels == 0] % 2) == {0}
    again = drawing.draw(Grey(), sure.seeds.tolist(), torch.from_numpy(sure.labels))
    assert np.array_equal(pictures.to_uint8(again), sure.images)


def test_without_a_recogniser_all_are_kept():
    sure = enlarge.draw_sure(Grey(), ["never", "dark"], 7, None, 0.9)
    assert sure.seeds.tolist() == [0, 2, 4, 6, 8, 10, 12, 1, 3, 5, 7, 9, 11, 13]
    assert np.isnan(sure.certainties).all()
    assert sure.tried == {"never": 7, "dark": 7}


def test_a_class_of_which_it_is_never_sure_falls_short_and_comes_to_an_end():
    sure = enlarge.draw_sure(Grey(), ["never", "light"], 4, Sees(), 0.9)
    assert (sure.kept(2), sure.kept(1)) == (0, 4)
    assert sure.tried["never"] == 4 * enlarge.TRIES


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ["drak"]}, "did you mean 'dark'"),
        ({"classes": ["dark", "dark"]}, "once"),
        ({"per_class": 0}, "at least 1"),
        ({"certainty": 1.5}, "from 0 to below 1"),
        ({"recogniser": Grey()}, "the run of a recogniser"),
    ],
)
def test_what_cannot_be_is_one_sentence(changes: dict[str, Any], told: str):
    usual: dict[str, Any] = {"classes": ["dark"], "per_class": 3, "recogniser": Sees(), "certainty": 0.9}
    with pytest.raises(UserError, match=told):
        enlarge.draw_sure(Grey(), **{**usual, **changes})


def test_a_model_that_knows_no_classes_is_refused(make_recipe: Any, digits: Any):
    with pytest.raises(UserError, match="by class"):
        enlarge.draw_sure(make_recipe("vae-dense").method.build(digits.spec), ["1"], 3, None, 0.9)


def test_the_folder_is_a_labelled_data_set_with_a_manifest(tmp_path: Path):
    sure = enlarge.draw_sure(Grey(), ["dark", "light"], 5, Sees(), 0.9)
    enlarge.write(tmp_path / "out", sure, CLASSES, {"generator": "grey 0123"})
    listing = list_folder(tmp_path / "out")
    assert (len(listing.files), listing.classes, listing.others) == (10, ("dark", "light"), 1)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["generator"] == "grey 0123"
    assert manifest["classes"]["dark"]["kept"] == 5
    for i, told in enumerate(manifest["pictures"]):
        assert (told["class"], told["seed"]) == (CLASSES[sure.labels[i]], sure.seeds[i])
        read = pictures.read_pictures([tmp_path / "out" / told["file"]], 4, 1)
        assert np.array_equal(read[0], sure.images[i])
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_names_of_folders_are_plain_and_differ():
    assert enlarge.folder_names(["T-shirt/top", ".hidden", "a:b", "A-B", ".."]) == [
        "T-shirt-top",
        "hidden",
        "2-a-b",
        "3-A-B",
        "class",
    ]
    assert enlarge.folder_names(["a", "A", "0-a"]) == ["0-a", "1-A", "2-0-a"]

"""The classification accuracy score on known answers: pictures that are as good as real, and pictures of nothing."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from mezzotint import cas
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import Drawn, drawn_like
from mezzotint.method import Method
from mezzotint.scorecard import ScoreCard


class Drawer(Method):
    """Draws training pictures of the class that it is asked for, or noise."""

    phases = ()

    def __init__(self, digits: Dataset, honest: bool) -> None:
        super().__init__()
        self.spec, self.classes, self.honest = digits.spec, len(digits.classes), honest
        images, labels = next(ordered(digits, "train", 10_000))
        assert labels is not None
        self.labels = labels
        self.pixels = torch.nn.Parameter(images)

    def groups(self) -> Any:
        return {"all": [self.pixels]}

    def loss(self, batch: Any, phase: str) -> Any:
        raise NotImplementedError

    def generate(self, seeds: Any, labels: Any = None) -> torch.Tensor:
        if not self.honest:
            return torch.stack([torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(s)) for s in seeds])
        rows = [(self.labels == label).nonzero().flatten() for label in labels.tolist()]
        return torch.stack([self.pixels[row[seed % len(row)]] for row, seed in zip(rows, seeds, strict=True)])


def shown(method: Method, digits: Dataset, count: int) -> Drawn:
    return drawn_like(method, digits, "test", count)


@pytest.fixture
def card(digits: Dataset) -> ScoreCard:
    return ScoreCard({"split": "test", "pictures": len(digits.splits["test"])}, {})


def test_real_pictures_teach_as_well_as_the_floor_and_noise_teaches_nothing(digits: Dataset, card: ScoreCard) -> None:
    honest = cas.added(card, shown(Drawer(digits, True), digits, 10_000), digits).scores
    floor = honest[f"{cas.NAME}_floor"]
    assert floor.value > 0.9
    assert honest[cas.NAME].value > 0.85
    assert honest[cas.NAME].n == len(digits.splits["test"])
    noise = cas.added(card, shown(Drawer(digits, False), digits, 600), digits)
    assert noise.scores[cas.NAME].high < 0.35
    assert "600 pictures" in noise.protocol["cas"]


def test_twice_is_the_same(digits: Dataset, card: ScoreCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cas, "LEAST", 3_000)
    drawn = shown(Drawer(digits, True), digits, 300)
    assert cas.added(card, drawn, digits) == cas.added(card, drawn, digits)


def test_pictures_without_classes_have_no_such_score(digits: Dataset, card: ScoreCard, make_recipe: Any) -> None:
    method = make_recipe("vae-dense").method.build(digits.spec)
    assert cas.added(card, shown(method, digits, 100), digits) is card
    drawn = shown(Drawer(digits, True), digits, 100)
    assert cas.added(card, drawn, replace(digits, classes=("all",))) is card
    on_train = cas.added(ScoreCard({"split": "train"}, {}), drawn, digits)
    assert not on_train.scores
    assert "trained on this split" in on_train.notes[0]

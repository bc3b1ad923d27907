"""The curves against distances taken by hand, and against extractors of which it is known what they see."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import page
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.metrics.distribution import Moments, frechet
from mezzotint.metrics.features import random_filters
from mezzotint.ops.disturb import blurred
from mezzotint.validity import ValidityCard, validity


@dataclass(frozen=True)
class Ruler:
    """Features that are known in every respect."""

    kind: str
    digest: str = "0" * 64
    resize: str = "none"

    @property
    def name(self) -> str:
        return self.kind

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if self.kind == "blind":
            return torch.zeros(len(images), 3)
        if self.kind == "brightness":
            return images.mean((1, 2, 3))[:, None]
        return images.flatten(1)


@pytest.fixture(scope="module")
def card(digits: Dataset) -> ValidityCard:
    return validity(random_filters(digits.spec), digits, split="train", count=600)


def test_random_filters_see_everything_on_digits(card: ValidityCard) -> None:
    assert [curve.name for curve in card.curves] == ["blur", "noise", "shift", "dropped modes"]
    for curve in card.curves:
        assert len(curve.levels) == len(curve.distances) >= 5
        assert curve.distances[-1] > 2 * curve.distances[0]
    assert {curve.name for curve in card.curves if curve.monotone} >= {"blur", "shift", "dropped modes"}


def test_distances_are_those_taken_by_hand(digits: Dataset) -> None:
    found = validity(Ruler("pixels"), digits, split="train", count=300, seed=4)
    order = torch.randperm(len(digits.splits["train"]), generator=torch.Generator().manual_seed(4))[:600].numpy()
    images = pictures.to_float(digits.images[digits.splits["train"][order]])
    worse = pictures.to_float(pictures.to_uint8(blurred(images[300:], 1.0)))
    expected = frechet(Moments.of(images[:300].flatten(1)), Moments.of(worse.flatten(1)))
    blur = found.curves[0]
    assert blur.distances[blur.levels.index(1.0)] == pytest.approx(expected, rel=1e-9)
    assert blur.distances[0] == found.curves[1].distances[0] == found.curves[2].distances[0]


def test_what_cannot_be_seen_does_not_grow(digits: Dataset) -> None:
    blind = validity(Ruler("blind"), digits, split="train", count=100)
    assert all(curve.distances == (0.0,) * len(curve.levels) and not curve.monotone for curve in blind.curves)
    # A blur keeps the brightness up to the edge, so that this ruler hardly sees it, and noise averages out.
    dim = {c.name: c.distances for c in validity(Ruler("brightness"), digits, split="train", count=600).curves}
    sharp = {c.name: c.distances for c in validity(Ruler("pixels"), digits, split="train", count=600).curves}
    assert dim["blur"][-1] < 0.05 * sharp["blur"][-1]


def test_modes_are_the_classes_and_the_most_common_stays(digits: Dataset) -> None:
    assert digits.labels is not None
    labels = np.where(digits.labels == 3, 0, 1)  # about one picture in ten, and the others
    two = replace(digits, labels=labels, classes=("three", "other"))
    modes = validity(Ruler("pixels"), two, split="train", count=200, seed=4).curves[-1]
    order = torch.randperm(len(digits.splits["train"]), generator=torch.Generator().manual_seed(4))[:400].numpy()
    rows = digits.splits["train"][order]
    pixels = pictures.to_float(digits.images[rows]).flatten(1)
    others = pixels[200:][labels[rows[200:]] == 1]
    assert modes.unit == "share of the classes"
    assert (modes.levels, modes.pictures) == ((0.0, 0.5), len(others))
    # Eight equal sums of floats are added and divided again.
    assert modes.distances[1] == pytest.approx(frechet(Moments.of(pixels[:200]), Moments.of(others)), rel=1e-12)


def test_as_many_pictures_are_judged_at_each_level(card: ValidityCard) -> None:
    *whole, modes = card.curves
    assert {curve.pictures for curve in whole} == {600}
    # Eight of ten classes of about sixty pictures each are left out at the last level, in whatever order.
    assert modes.levels == (0.0, 0.1, 0.2, 0.4, 0.6, 0.8)
    assert 100 <= modes.pictures <= 150


def test_without_labels_the_modes_are_clusters(digits: Dataset) -> None:
    bare = replace(digits, labels=None, classes=())
    curve = validity(random_filters(digits.spec), bare, split="train", count=400).curves[-1]
    assert "clusters" in curve.unit
    assert curve.levels == (0.0, 0.1, 0.2, 0.4, 0.6, 0.8)
    assert curve.distances[-1] > curve.distances[0]


def test_equal_pictures_are_one_cluster(digits: Dataset) -> None:
    flat = replace(digits, images=np.zeros_like(digits.images), labels=None, classes=())
    curve = validity(Ruler("pixels"), flat, split="train", count=50).curves[-1]
    assert (curve.levels, curve.distances, curve.monotone) == ((0.0,), (0.0,), False)


def test_the_same_seed_gives_the_same_card(digits: Dataset) -> None:
    first, again, other = (validity(Ruler("pixels"), digits, count=40, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.curves != other.curves


def test_too_few_pictures_are_said(digits: Dataset) -> None:
    for split, count in (("test", 10), ("tset", 100)):
        with pytest.raises(UserError, match="at least 20 pictures"):
            validity(Ruler("pixels"), digits, split=split, count=count)


def test_a_card_is_json_and_people_can_read_it(card: ValidityCard, digits: Dataset) -> None:
    told: dict[str, Any] = json.loads(card.to_json())
    assert told["extractor"] == "random-filters"
    assert told["data_digest"] == digits.digest
    assert [curve["name"] for curve in told["curves"]] == [curve.name for curve in card.curves]
    assert all(math.isfinite(d) for curve in told["curves"] for d in curve["distances"])
    rows = page.validity_table(card)
    assert len(rows) == sum(len(curve.levels) for curve in card.curves)
    assert rows[0][0] == "blur (standard deviation in pixels)"
    lines = page.validity_lines(card)
    assert any("dropped modes" in line and "few" in line for line in lines)
    drawing = page.validity_plot(card)
    assert drawing.rstrip().endswith("</svg>")

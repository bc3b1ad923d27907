"""A detector on small scenes: it learns, is resumed and comes back to the bit, and says what it cannot do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from mezzotint import catalog, codec, drawing, glance, measure, snapshot
from mezzotint.data import boxes, scenes
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Augment, Batches
from mezzotint.data.scenes import Parts
from mezzotint.digest import tensors_digest
from mezzotint.errors import UserError
from mezzotint.method import check_groups
from mezzotint.methods.detector import MOST, Detector
from mezzotint.metrics.detection import AP_50
from mezzotint.recipe import Budget, Execution, Recipe, from_json
from mezzotint.training import optimizers
from mezzotint.types import Batch, DataSpec, Detects

pytest.importorskip("faster_coco_eval")
STEADY = {"device": "cpu", "precision": "fp32", "channels_last": False, "threads": 1}


@pytest.fixture(scope="module")
def small(digits: Dataset) -> Dataset:
    """Digits on two photographs, 32×32."""
    photographs = [np.asarray(image) for image in load_sample_images()["images"]]
    stamps = scenes.glyphs(np.asarray(digits.images[:200]), 0)
    assert digits.labels is not None
    parts = Parts(stamps, digits.labels[:200], photographs)
    images, found = zip(*scenes.compose(parts, 56, 0, 32, (10, 16)), strict=True)
    splits = {"train": np.arange(40), "validation": np.arange(40, 48), "test": np.arange(48, 56)}
    targets = {"boxes": boxes.padded(found)}
    return Dataset("small", np.stack(images), None, (), splits, "0" * 64, targets=targets, things=digits.classes)


@pytest.fixture
def recipe(small: Dataset) -> Recipe:
    usual = catalog.recipe("detector", small.spec, 1.0)
    for setting, value in (("backbone.width", "8"), ("neck", "16")):
        usual = codec.changed(usual, f"method.network.{setting}", value, catalog.kinds())
    return replace(usual, batch=16, budget=Budget(images=64), execution=Execution(**STEADY), milestones=0)


def build(recipe: Recipe, spec: DataSpec) -> Detector:
    torch.manual_seed(0)
    method = recipe.method.build(spec)
    assert isinstance(method, Detector)
    return method


def batch_of(data: Dataset, count: int) -> Batch:
    stream = Batches(data, "train", count, 0)
    images, _ = stream.at(0)
    return Batch(images, None, 0.5, 5, targets=stream.targets_at(0))


def test_one_batch_is_learned_by_heart_and_found_again(small: Dataset, recipe: Recipe) -> None:
    method, batch = build(recipe, small.spec), batch_of(small, 16)
    chosen = optimizers.build(recipe.optimizers["network"], method.groups()["network"])
    losses: list[float] = []
    for _ in range(80):
        loss = method.loss(batch, "fit")
        loss.total.backward()
        chosen.step()
        chosen.zero_grad()
        losses.append(float(loss.total.detach()))
    assert losses[-1] < 0.25 * losses[0]
    for _ in range(20):  # batch norm's averages, at rest
        method.loss(batch, "fit")
    rows = Batches(small, "train", 16, 0)._indices(0).numpy()
    learned = replace(small, splits={**small.splits, "test": small.splits["train"][rows]})
    card = measure.measure(method, learned)
    assert card.scores[AP_50].value > 0.9
    assert card.protocol["boxes"] == int((batch.targets["boxes"][:, :, 0] >= 0).sum())
    assert glance.validation_score(method, learned).name == AP_50
    assert drawing.telling_sheets(method, learned, card)["boxes"].shape[2] == 3


def test_parameters_are_in_their_group_and_learn(small: Dataset, recipe: Recipe) -> None:
    method = build(recipe, small.spec)
    check_groups(method)
    assert set(method.groups()) == set(recipe.optimizers)
    loss = method.loss(batch_of(small, 16), "fit")
    assert not any(part.requires_grad for part in loss.parts.values())
    loss.total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.parameters())


def test_micro_batches_give_the_gradient_of_the_batch(small: Dataset, recipe: Recipe) -> None:
    method = build(recipe, small.spec).double().eval()  # batch norm at rest couples no pictures
    batch = batch_of(small, 12)
    gradients = []
    for size in (12, 5):
        for first in range(0, 12, size):
            rows = slice(first, first + size)
            targets = {name: values[rows] for name, values in batch.targets.items()}
            part = Batch(batch.images[rows].double(), None, 0.5, 5, first, 12, targets)
            (method.loss(part, "fit").total * len(part) / 12).backward()
        gradients.append([p.grad for p in method.parameters()])
        method.zero_grad(set_to_none=True)
    for whole, parts in zip(*gradients, strict=True):
        # Maps are made in float32.
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5 * float(whole.abs().max()) + 1e-12)


def test_pictures_without_boxes_and_boxes_that_do_not_count(small: Dataset, recipe: Recipe) -> None:
    method, batch = build(recipe, small.spec), batch_of(small, 8)
    none = {"boxes": torch.tensor([-1.0, 0, 0, 0, 0, 0]).expand(8, 2, 6)}
    empty = method.loss(replace(batch, targets=none), "fit")
    assert torch.isfinite(empty.total)
    assert float(empty.parts["sides"]) == 0
    whole = torch.stack([torch.tensor([float(k), 0, 0, 32, 32, 1]) for k in range(10)]).expand(8, 10, 6)
    assert not method.loss(replace(batch, targets={"boxes": whole}), "fit").total.detach()


def test_two_and_two_steps_are_four_to_the_bit(small: Dataset, recipe: Recipe, train_in: Any, tmp_path: Path) -> None:
    moved = replace(recipe, data=replace(recipe.data, augment=Augment(flip=True, shift=2, color=0.2)), micro_batch=7)
    straight = train_in(tmp_path / "straight", moved, dataset=small)
    train_in(tmp_path / "halves", moved, steps=2, dataset=small)
    second = train_in(tmp_path / "halves", dataset=small)
    assert second.finished
    assert tensors_digest(second.state.tensors()) == tensors_digest(straight.state.tensors())


def test_found_boxes_are_sorted_cut_and_padded_and_a_snapshot_finds_the_same(
    small: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    assert from_json(recipe.to_json(), catalog.kinds()) == recipe
    method = build(recipe, small.spec).eval()
    assert isinstance(method, Detects)
    images = batch_of(small, 6).images
    with torch.no_grad():
        found = method.detect(images)
    assert found.shape == (6, MOST, 6)
    assert (found[:, :-1, 5] >= found[:, 1:, 5]).all()
    some = found[found[:, :, 0] >= 0]
    assert len(some) > 0
    assert (some[:, 5] >= 0.01).all()
    assert 0 <= float(some[:, 1:5].min()) <= float(some[:, 1:5].max()) <= 32
    snapshot.save(tmp_path / "snapshot", method, recipe, {}, "")
    back = snapshot.load(tmp_path / "snapshot", catalog.kinds())
    assert back.method.spec == small.spec
    with torch.no_grad():
        assert torch.equal(back.method.detect(images), method.to(memory_format=torch.channels_last).detect(images))  # pyright: ignore


def test_a_mirrored_picture_has_mirrored_boxes(small: Dataset, recipe: Recipe) -> None:
    twice = codec.changed(recipe, "method.flip_test", "true", catalog.kinds())
    method = build(twice, small.spec).eval()
    images = batch_of(small, 6).images
    with torch.no_grad():
        there, back = method.detect(images), method.detect(images.flip(-1))
    for ours, theirs in zip(there, back, strict=True):
        count = int((ours[:, 0] >= 0).sum())
        turned = ours[:count].clone()
        turned[:, [1, 3]] = 32 - turned[:, [3, 1]]
        # Sums in another order tell near-equal certainties apart otherwise: compared by the surest few.
        assert torch.allclose(turned[:3].sort(0).values, theirs[:3].sort(0).values, atol=1e-3)


@pytest.mark.parametrize("spec", [DataSpec(3, 32, 32, ("a", "b")), DataSpec(3, 8, 8, things=("a",))])
def test_data_that_do_not_fit_are_refused(spec: DataSpec) -> None:
    with pytest.raises(UserError, match=r"with boxes|at least 16"):
        catalog.recipe("detector", spec).method.build(spec)


def test_what_judges_must_be_there_before_the_training(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(UserError, match=r"mezzotint\[detect\]"):
        catalog.recipe("detector", small.spec)


def test_nothing_is_mirrored_where_cells_would_lie_elsewhere(small: Dataset, recipe: Recipe) -> None:
    once, twice = (
        build(codec.changed(recipe, "method.flip_test", flag, catalog.kinds()), small.spec).eval()
        for flag in ("false", "true")
    )
    images = batch_of(small, 4).images
    with torch.no_grad():
        assert not torch.equal(once.detect(images), twice.detect(images))
        assert torch.equal(once.detect(images[..., :30]), twice.detect(images[..., :30]))

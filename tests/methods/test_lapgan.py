"""LAPGAN's levels: each learns by itself, and adds what the one below lacks."""

from typing import Any

import pytest
import torch

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.types import Batch, DataSpec


def batch_of(digits: Dataset, count: int = 16) -> Batch:
    images, labels = Batches(digits, "train", count, seed=0).at(0)
    return Batch(images, labels, progress=0.5, seed=5)


def built(name: str, spec: DataSpec, make_recipe: Any) -> Any:
    torch.manual_seed(0)
    return make_recipe(name).method.build(spec)


def test_a_pyramid_has_a_level_for_each_doubling(make_recipe: Any) -> None:
    spec = DataSpec(channels=3, height=28, width=28, classes=("a", "b"))
    method = built("lapgan", spec, make_recipe)
    assert method.sides == [14, 28]
    assert method.generate(range(3)).shape == (3, 3, 28, 28)
    parts = method.loss(Batch(torch.rand(4, 3, 28, 28), torch.zeros(4, dtype=torch.int64)), "generator").parts
    assert list(parts) == ["generator_0", "generator_1", "generator_2"]


def test_a_level_adds_only_what_its_generator_draws(digits: Dataset, make_recipe: Any) -> None:
    """With nothing added, a picture is the small one doubled."""
    method = built("lapgan", digits.spec, make_recipe).eval()
    for p in method.levels[-1].parameters():
        p.data.zero_()
    images = method.generate(range(4))
    small = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(torch.nn.functional.interpolate(small, scale_factor=2.0), images)


@pytest.mark.parametrize("level", [0, 1])
def test_each_level_learns_by_itself(level: int, digits: Dataset, make_recipe: Any) -> None:
    """The gradient of one level's loss stays in that level."""
    method, batch = built("lapgan", digits.spec, make_recipe), batch_of(digits)
    generators, judges = [method.small, *method.levels], [method.small_judge, *method.judges]
    small = torch.nn.functional.avg_pool2d(batch.images, 2)
    fake = (
        method._smallest(batch, small, batch.labels, True)
        if level == 0
        else method._level(batch, 0, small, torch.zeros_like(batch.images), batch.labels, True)
    )[1]
    fake.sum().backward()
    for number, network in enumerate([*generators, *judges]):
        touched = all(p.grad is not None for p in network.parameters())
        assert touched == (number in (level, level + len(generators)))


def test_discriminators_learn_against_frozen_generators(digits: Dataset, make_recipe: Any) -> None:
    method, batch = built("lapgan", digits.spec, make_recipe), batch_of(digits)
    optimizer = torch.optim.Adam(method.groups()["discriminator"], 1e-3)
    losses = []
    for _ in range(40):
        torch.manual_seed(1)
        loss = method.loss(batch, "discriminator")
        losses.append(float(loss.total.detach()))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]

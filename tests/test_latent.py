"""Latent tools on a VAE of digits that has learned a little."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import latent
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.ops import codes


@pytest.fixture(scope="module")
def vae(make_recipe: Any, train_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Method:
    recipe = make_recipe("vae-dense", "method.likelihood=logistic", "method.latent=8", steps=300, batch=32)
    return train_in(tmp_path_factory.mktemp("vae") / "run", recipe).trained()


@pytest.fixture(scope="module")
def found(vae: Method, digits: Dataset) -> latent.Coded:
    return latent.coded(vae, digits, "train", 600)


def test_codes_are_those_of_the_method(found: latent.Coded, vae: Any) -> None:
    assert found.codes.shape == (600, 8)
    assert found.labels is not None
    with torch.no_grad():
        again = vae.eval().encode(pictures.to_float(found.images[:20]))
    torch.testing.assert_close(found.codes[:20], again)


def test_a_map_is_by_the_two_greatest_axes(found: latent.Coded) -> None:
    spread = latent.placed(found).var(0)
    assert spread[0] > spread[1] > found.codes.var(0).sum() / 8
    plane = latent.Coded(found.images, found.codes[:, :2], None)
    assert torch.equal(latent.placed(plane), found.codes[:, :2]), "a code of two numbers is its own map"


def test_pictures_lie_where_their_codes_do() -> None:
    """Three at corners, one under the first, on white; the outermost do not set the scale."""
    images = np.stack([np.full((4, 4, 1), shade, np.uint8) for shade in (10, 60, 110, 160)])
    at = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    page = latent.sheet(latent.Coded(images, at, None), side=40)
    assert page.shape == (40, 40, 1)
    shades = {shade: np.argwhere(page[..., 0] == shade) for shade in (10, 60, 110, 160)}
    assert [len(shades[s]) for s in (10, 60, 110, 160)] == [16, 16, 16, 0]
    assert shades[10].max() < 5
    assert shades[60][:, 1].min() > 30
    assert shades[110][:, 0].min() > 30
    assert (page == 255).sum() == 40 * 40 - 48


def test_a_direction_leads_to_its_class(found: latent.Coded, digits: Dataset, vae: Any) -> None:
    """Moved along it, other digits come nearer to the class's mean code and their pictures to its mean picture."""
    way = latent.class_direction(found, digits.classes, "0")
    assert found.labels is not None
    zeros = torch.from_numpy(found.images[(found.labels == 0).numpy()] / 255.0).mean(0)[..., 0]
    others = found.codes[found.labels != 0][:50]
    with torch.no_grad():
        before, after = (vae.eval().decode(others + step * way)[:, 0] / 2 + 0.5 for step in (0, 1))
    assert (after - zeros).square().mean() < (before - zeros).square().mean()


def test_directions_that_cannot_be_told(found: latent.Coded, digits: Dataset) -> None:
    with pytest.raises(UserError, match="no class 'ten'"):
        latent.class_direction(found, digits.classes, "ten")
    unlabelled = latent.Coded(found.images, found.codes, None)
    with pytest.raises(UserError, match="no classes"):
        latent.class_direction(unlabelled, digits.classes, "0")
    assert found.labels is not None
    only = latent.Coded(found.images, found.codes, torch.zeros_like(found.labels))
    with pytest.raises(UserError, match="of others"):
        latent.class_direction(only, digits.classes, "0")


def test_outliers_and_the_failure_that_is_corrected(vae: Method, digits: Dataset) -> None:
    """By its cost a mere bar passes for a digit (the known failure); corrected, it and a blank stand out."""
    rows = digits.splits["test"][:40]
    normal = pictures.to_float(np.asarray(digits.images[rows]))
    plain = np.zeros((2, 8, 8, 1), np.uint8)
    plain[1, :, 2:6] = 128
    inside, outside = latent.outlying(vae, normal), latent.outlying(vae, pictures.to_float(plain))
    assert outside.cost[1] < inside.cost.quantile(0.95)
    assert outside.corrected.min() > inside.corrected.max()
    expected = inside.cost - codes.complexity(digits.images[rows]) / np.log(2) / 64
    torch.testing.assert_close(inside.corrected, expected)
    assert torch.equal(latent.outlying(vae, normal).cost, inside.cost), "keyed by the seed"


def test_noise_costs_more_than_digits(vae: Method, digits: Dataset) -> None:
    normal = pictures.to_float(np.asarray(digits.images[digits.splits["test"][:40]]))
    noise = pictures.to_float(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8))
    assert latent.outlying(vae, noise).cost.min() > latent.outlying(vae, normal).cost.max()


def test_what_has_no_codes_or_likelihood_is_refused(digits: Dataset, make_recipe: Any, tmp_path: Path) -> None:
    gan = make_recipe("gan-mlp").method.build(digits.spec)
    with pytest.raises(UserError, match="no latent codes"):
        latent.coded(gan, digits, "test")
    bernoulli = make_recipe("vae-dense").method.build(digits.spec)
    with pytest.raises(UserError, match="256 levels"):
        latent.outlying(bernoulli, torch.zeros(1, 1, 8, 8))

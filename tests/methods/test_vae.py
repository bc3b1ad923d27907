"""The variational autoencoder against a model whose optimum is known, and its bounds against one another."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.drawing import draw
from mezzotint.methods.vae import Vae, VaeConfig
from mezzotint.networks.dense import DenseDecoderConfig, DenseEncoderConfig
from mezzotint.networks.prior import FlowPriorConfig, MixturePriorConfig
from mezzotint.types import Batch, DataSpec

SIDE, LATENT, PICTURES = 4, 2, 400
SPEC = DataSpec(1, SIDE, SIDE, count=PICTURES)
LINEAR = VaeConfig(
    encoder=DenseEncoderConfig(widths=()), decoder=DenseDecoderConfig(widths=()), latent=LATENT, likelihood="gaussian"
)


@pytest.fixture(scope="module")
def gaussian_pictures() -> torch.Tensor:
    """A linear Gaussian model's pictures on 256 levels, whose noise is many levels wide and which touch no end."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(LATENT, SIDE * SIDE, generator=generator) * torch.tensor([[0.1], [0.05]])
    latent = torch.randn(PICTURES, LATENT, generator=generator)
    noise = 0.06 * torch.randn(PICTURES, SIDE * SIDE, generator=generator)
    levels = ((latent @ axes + noise + 1) * 127.5).round()
    assert 0 < levels.min() < levels.max() < 255
    return (levels / 127.5 - 1).view(-1, 1, SIDE, SIDE)


def principal(pictures: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean, the first variances and their axes, and the mean of the other variances."""
    x = pictures.flatten(1).double().numpy()
    values, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    return x.mean(0), values[::-1][:LATENT], axes[:, ::-1][:, :LATENT], float(values[:-LATENT].mean())


@pytest.fixture(scope="module")
def linear(gaussian_pictures: torch.Tensor) -> Vae:
    """With the weights that probabilistic PCA has at its optimum (Tipping & Bishop 1999, equations 6 to 8)."""
    mean, values, axes, noise = principal(gaussian_pictures)
    loads = axes * np.sqrt(
        values - noise
    )  # its columns are orthogonal, so that the posterior's numbers are independent
    recall = loads.T / values[:, None]
    vae = LINEAR.build(SPEC)
    log_variance = np.log(noise / values)
    weights = {
        "encoder.head.weight": np.concatenate([recall, np.zeros_like(recall)]),
        "encoder.head.bias": np.concatenate([-recall @ mean, log_variance]),
        "decoder.head.weight": loads,
        "decoder.head.bias": mean,
        "observation.log_scale": np.full((1, 1, 1), 0.5 * np.log(noise)),
    }
    vae.load_state_dict({name: torch.from_numpy(value).float() for name, value in weights.items()})
    return vae.eval()


def best_log_likelihood(pictures: torch.Tensor) -> float:
    """Of probabilistic PCA at its optimum, a picture's mean (Tipping & Bishop 1999, equations 8 and 12).

    Times the width of a level, since the pictures are on levels.
    """
    _, values, _, noise = principal(pictures)
    d = SIDE * SIDE
    log_determinant = np.log(values).sum() + (d - LATENT) * np.log(noise)
    return -0.5 * (d * np.log(2 * np.pi) + log_determinant + d) + d * np.log(2 / 255)


def mean_bound(vae: Vae, pictures: torch.Tensor, draws: int = 50) -> torch.Tensor:
    return torch.stack([vae.elbo(pictures, None, seed).mean() for seed in range(draws)]).mean()


def test_a_linear_gaussian_vae_has_the_likelihood_of_probabilistic_pca(
    linear: Vae, gaussian_pictures: torch.Tensor
) -> None:
    """Rounding to levels adds a twelfth of their squared width to the noise: some hundredths of a nat here."""
    with torch.no_grad():
        bound = float(mean_bound(linear, gaussian_pictures))
    assert bound == pytest.approx(best_log_likelihood(gaussian_pictures), abs=0.05)


def test_that_optimum_is_one(linear: Vae, gaussian_pictures: torch.Tensor) -> None:
    """Moved any way by a little, the bound is lower."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        best = float(mean_bound(linear, gaussian_pictures))
        for _ in range(20):
            moved = LINEAR.build(SPEC).eval()
            moved.load_state_dict(linear.state_dict())
            for parameter in moved.parameters():
                size = 0.1 * parameter.abs().mean()
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))
            assert float(mean_bound(moved, gaussian_pictures, 10)) < best


def test_training_goes_there(linear: Vae, gaussian_pictures: torch.Tensor) -> None:
    moved = LINEAR.build(SPEC)
    moved.load_state_dict(linear.state_dict())
    with torch.no_grad():
        moved.decoder.head.weight.mul_(0.5)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        moved.observation.log_scale.add_(0.5)  # pyright: ignore[reportOptionalMemberAccess]
    optimizer = torch.optim.Adam(moved.parameters(), 2e-3)
    bounds = []
    for seed in range(200):
        loss = moved.loss(Batch(gaussian_pictures, seed=seed), "fit")
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        bounds.append(-float(loss.total.detach()))
    best = best_log_likelihood(gaussian_pictures)
    assert bounds[0] < best - 3
    assert best - 1 < float(np.mean(bounds[-20:])) < best + 0.1


def test_at_that_optimum_every_importance_weight_is_the_likelihood(
    linear: Vae, gaussian_pictures: torch.Tensor
) -> None:
    """The posterior is exact there, so that weights do not vary with the code, and one tells as much as many."""
    few = gaussian_pictures[:100]
    with torch.no_grad():
        weights = torch.stack([linear.log_weight(few, None, seed) for seed in range(20)])
        bound = mean_bound(linear, few, 20)
    assert float(weights.std(0).mean()) < 0.15
    assert float(weights.mean()) == pytest.approx(float(bound), abs=0.1)


def worse(vae: Vae) -> Vae:
    """The same generative model with an encoder that is too sure of itself."""
    with torch.no_grad():
        again = LINEAR.build(SPEC).eval()
        again.load_state_dict(vae.state_dict())
        again.encoder.head.bias[LATENT:] -= 1.5  # pyright: ignore[reportAttributeAccessIssue]
    return again


def test_the_bound_rises_with_the_number_of_codes(linear: Vae, gaussian_pictures: torch.Tensor) -> None:
    vae = worse(linear)
    with torch.no_grad():
        weights = torch.stack([vae.log_weight(gaussian_pictures, None, seed) for seed in range(64)])
        exact = float(linear.elbo(gaussian_pictures, None, 0).mean())
    bounds = []
    for k in (1, 4, 16, 64):
        each = weights.view(64 // k, k, -1)
        bounds.append(float((torch.logsumexp(each, 1) - math.log(k)).mean()))
    assert all(b > a for a, b in itertools.pairwise(bounds))
    assert bounds[0] < exact - 0.3
    assert exact - 0.3 < bounds[-1] < exact + 0.1


@pytest.mark.parametrize("prior", [FlowPriorConfig(couplings=2, width=8), MixturePriorConfig(components=3)])
def test_one_code_of_the_importance_bound_is_the_evidence_bound(prior: Any, gaussian_pictures: torch.Tensor) -> None:
    vae = replace(LINEAR, prior=prior).build(SPEC).eval()
    batch = Batch(gaussian_pictures[:10], seed=3)
    torch.testing.assert_close(-vae.elbo(batch.images, None, 3).mean(), vae.loss(batch, "fit").parts["negative_elbo"])
    torch.testing.assert_close(vae.elbo(batch.images, None, 3), vae.log_weight(batch.images, None, 3))


def test_more_codes_train_a_higher_bound(gaussian_pictures: torch.Tensor) -> None:
    vae = replace(LINEAR, samples=8).build(SPEC)
    parts = vae.loss(Batch(gaussian_pictures), "fit").parts
    assert parts["negative_bound"] < parts["negative_elbo"]


def test_weights_of_the_divergence(gaussian_pictures: torch.Tensor) -> None:
    batch = Batch(gaussian_pictures, seed=1)
    plain = LINEAR.build(SPEC)
    states = plain.state_dict()

    def total(**changes: Any) -> tuple[float, Any]:
        vae = replace(LINEAR, **changes).build(SPEC)
        vae.load_state_dict(states)
        loss = vae.loss(batch, "fit")
        return float(loss.total.detach()), loss.parts

    base, parts = total()
    kl = float(parts["kl"])
    assert total(kl_weight=4.0)[0] == pytest.approx(base + 3 * kl, rel=1e-5)
    assert total(kl_warmup=0.5)[0] == pytest.approx(base - kl, rel=1e-5)
    assert total(correlation_weight=6.0)[0] != pytest.approx(base, rel=1e-3)


def test_what_excludes_one_another_is_refused() -> None:
    with pytest.raises(ValueError, match="correlation_weight"):
        VaeConfig(correlation_weight=2, samples=2)
    with pytest.raises(ValueError, match="at least 1"):
        VaeConfig(samples=0)


def test_a_learned_prior_fits_the_codes() -> None:
    """Pictures of two kinds have codes in two heaps: a mixture draws hardly any between them, a normal prior many."""
    generator = torch.Generator().manual_seed(1)
    kinds = torch.randint(0, 2, (300,), generator=generator).float() * 2 - 1
    images = (0.5 * kinds[:, None, None, None]).expand(-1, 1, SIDE, SIDE)
    images = images + 0.05 * torch.randn(300, 1, SIDE, SIDE, generator=generator)
    between = {}
    for name, prior in (("normal", LINEAR.prior), ("mixture", MixturePriorConfig(components=4))):
        torch.manual_seed(0)
        vae = replace(LINEAR, prior=prior).build(SPEC)
        optimizer = torch.optim.Adam(vae.parameters(), 0.04)
        for seed in range(150):
            vae.loss(Batch(images, seed=seed), "fit").total.backward()
            optimizer.step()
            optimizer.zero_grad()
        brightness = draw(vae, range(500)).flatten(1).mean(1)
        between[name] = float((brightness.abs() < 0.3).float().mean())
    assert between["mixture"] < 0.05 < 0.3 < between["normal"]

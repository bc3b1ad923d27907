import itertools
import math

import pytest
import torch

from mezzotint.losses import flow
from mezzotint.ops.paths import Path


def some(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, count, 1, 2, 2, generator=generator))


def cost(noise: torch.Tensor, images: torch.Tensor) -> float:
    return float((noise - images).square().sum())


def test_pairs_are_the_cheapest_of_all_orders() -> None:
    noise, images = some(6)
    best = min(cost(noise[list(order)], images) for order in itertools.permutations(range(6)))
    assert cost(flow.paired(noise, images, None), images) == pytest.approx(best)


def test_pairs_stay_within_their_class() -> None:
    noise, images = some(12)
    labels = torch.arange(12) % 3
    found = flow.paired(noise, images, labels)
    for label in range(3):
        mine, theirs = found[labels == label].flatten(1), noise[labels == label].flatten(1)
        assert sorted(mine.tolist()) == sorted(theirs.tolist())
    assert cost(found, images) < cost(noise, images)


@pytest.mark.parametrize("path", ["straight", "circle"])
def test_min_snr_weights_are_those_of_hang(path: str) -> None:
    """Hang et al. 2023: min(snr, 5)/snr for the noise, /(snr + 1) for the velocity of the circle, 1 × for pictures."""
    way, t = Path(path), torch.linspace(0.02, 0.98, 9, dtype=torch.float64)  # pyright: ignore[reportArgumentType]
    snr = way.at(t).ratio ** -2
    bound = snr.clamp(max=5)
    torch.testing.assert_close(flow.min_snr_weight(way, "picture", t, 0.5, 5.0), bound)
    torch.testing.assert_close(flow.min_snr_weight(way, "noise", t, 0.5, 5.0), bound / snr)
    if path == "circle":
        quarter = (2 / math.pi) ** 2  # our circle runs through its quarter in a unit of time
        torch.testing.assert_close(flow.min_snr_weight(way, "velocity", t, 0.5, 5.0), bound / (snr + 1) * quarter)


def test_weights_are_finite_at_the_ends() -> None:
    t = torch.tensor([0.0, 1.0])
    for predicts in ("velocity", "preconditioned", "picture"):
        assert torch.isfinite(flow.min_snr_weight(Path("straight"), predicts, t, 0.5, 5.0)).all()


def test_ddpms_thousand_steps_end_where_the_paper_says() -> None:
    """Ho et al. 2020, section 4: the last step is nearly pure noise, alpha² about 4e-5."""
    ratios = flow.ddpm_ratios()
    assert len(ratios) == 1000
    assert bool((ratios.diff() > 0).all())
    assert float(ratios[0]) == pytest.approx(0.01, rel=1e-3)
    assert float(1 / (1 + ratios[-1] ** 2)) == pytest.approx(4.036e-5, rel=1e-3)


def test_divergence_of_a_linear_flow_is_its_trace() -> None:
    """dx/dt = A x: the volume grows by exp(trace A), and the probes' mean finds it."""
    generator = torch.Generator().manual_seed(0)
    matrix = 0.3 * torch.randn(4, 4, generator=generator, dtype=torch.float64)
    images = torch.randn(4096, 1, 2, 2, generator=generator, dtype=torch.float64)
    probe = torch.randn(images.shape, generator=generator, dtype=torch.float64).sign()

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        return (x.flatten(1) @ matrix.t()).view(x.shape)

    end, change = flow.transported(velocity, images, probe, [0.0, 0.5, 1.0])
    expected = images.flatten(1) @ torch.linalg.matrix_exp(matrix).t()
    torch.testing.assert_close(end.flatten(1), expected, rtol=1e-3, atol=1e-3)
    assert float(change.mean()) == pytest.approx(float(matrix.trace()), abs=4 * float(change.std()) / 64)
    assert float(change.std()) > 0


def test_normal_density() -> None:
    x = torch.randn(5, 2, 3, 3, dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 80.0).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(flow.noise_log_density(x, 80.0), expected)


def test_levels_are_spread_evenly() -> None:
    """A density that is even on [-1 - 1/255, 1 + 1/255] gives each of the 256 levels the same probability."""
    images = (torch.arange(256.0) / 127.5 - 1).view(256, 1, 1, 1)
    spread, extra = flow.dequantized(images, torch.rand(256, 1, 1, 1))
    assert float(spread.abs().max()) <= 1 + 1 / 255 + 1e-6
    assert -math.log(256 / 127.5) + extra == pytest.approx(-math.log(256))

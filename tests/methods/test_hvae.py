from dataclasses import replace
from typing import Any

import pytest
import torch

from mezzotint.drawing import draw
from mezzotint.methods.hvae import Hvae, HvaeConfig, _balanced
from mezzotint.networks.ladder import LadderConfig
from mezzotint.types import Batch, DataSpec

SPEC = DataSpec(1, 12, 10)
SMALL = HvaeConfig(network=LadderConfig(width=8, most=8, rungs=2, codes=2, top=3), components=2, kl_warmup=0.0)


def images(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 12, 10), generator=generator) / 127.5 - 1


def stirred(config: HvaeConfig) -> Hvae:
    """Away from where everything begins at zero."""
    torch.manual_seed(0)
    hvae = config.build(SPEC)
    with torch.no_grad():
        for parameter in hvae.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return hvae


def test_the_divergence_is_the_mean_of_the_log_weights() -> None:
    """The bound takes each rung's divergence in closed form, the importance weight at the drawn code."""
    hvae = stirred(SMALL).eval()
    with torch.no_grad():
        bounds = torch.stack([hvae.elbo(images(3), None, seed) for seed in range(80)])
        weights = torch.stack([hvae.log_weight(images(3), None, seed) for seed in range(80)])
    error = (bounds - weights).std(0) / 80**0.5
    assert ((bounds - weights).mean(0).abs() < 4 * error + 1e-3).all()


def test_free_nats_lift_the_loss_until_half_of_the_run() -> None:
    hvae = stirred(replace(SMALL, free_nats=50.0))

    def paid(progress: float) -> tuple[float, float]:
        loss = hvae.loss(Batch(images(), seed=1, progress=progress), "fit")
        return float(loss.total.detach()), float(loss.parts["negative_elbo"])

    total, bound = paid(0.0)
    rungs = len(hvae.sizes)
    assert bound < total <= bound + 50 * rungs
    assert paid(0.5)[0] == pytest.approx(paid(0.5)[1], rel=1e-6)


def test_balancing_leaves_the_divergence_and_its_slope_to_the_prior() -> None:
    """And a share of its slope less to the posterior: Hafner et al. 2021, equation 2."""
    generator = torch.Generator().manual_seed(0)
    where, wide, mean, scale = posterior_and_prior = [
        torch.randn(5, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(4)
    ]
    plain, balanced = (_balanced(where - mean, wide - scale, mean, scale, b) for b in (0.0, 0.75))
    torch.testing.assert_close(balanced, plain)
    before, after = (torch.autograd.grad(each.sum(), posterior_and_prior) for each in (plain, balanced))
    assert all(slope.abs().min() > 0 for slope in before)
    for share, a, b in zip((0.25, 0.25, 1, 1), before, after, strict=True):
        torch.testing.assert_close(b, share * a)


def gradients(config: HvaeConfig) -> tuple[float, dict[str, torch.Tensor]]:
    hvae = stirred(config)
    loss = hvae.loss(Batch(images(), seed=1, progress=0.6), "fit")
    loss.total.backward()
    return float(loss.total.detach()), {name: p.grad for name, p in hvae.named_parameters() if p.grad is not None}


def test_balancing_changes_gradients_and_no_value() -> None:
    plain, balanced = gradients(SMALL), gradients(replace(SMALL, balance=0.75))
    assert plain[0] == pytest.approx(balanced[0], rel=1e-5)
    # The finest rung's prior: nothing but the divergence reaches its scale (where reparametrized codes cancel it).
    name = "ladder.rungs.1.see.bias"
    assert not torch.allclose(plain[1][name], balanced[1][name])


def test_all_codes_of_a_picture_give_its_reconstruction() -> None:
    hvae = stirred(SMALL).eval()
    with torch.no_grad():
        codes = hvae.encode(images())
        assert codes.shape == (6, hvae.latent)
        other = codes.clone()
        other[:, -1] += 3  # the last rung's last number
        assert hvae.decode(codes).shape == (6, 1, 12, 10)
        assert not torch.equal(hvae.decode(codes), hvae.decode(other))


def test_a_cold_prior_draws_one_picture() -> None:
    warm, cold = stirred(SMALL), stirred(replace(SMALL, temperature=0.0))
    assert len({p.numpy().tobytes() for p in draw(warm, range(5))}) == 5
    assert len({p.numpy().tobytes() for p in draw(cold, range(5))}) == 1


def test_sampled_pictures_lie_on_levels() -> None:
    levels = (draw(stirred(replace(SMALL, drawn="sampled")), range(5)) + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3


@pytest.mark.parametrize(
    "changes", [{"balance": 1.0}, {"free_nats": -1.0}, {"drawn": "sampled", "likelihood": "logistic"}]
)
def test_odd_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"balance|sampled"):
        replace(SMALL, **changes)

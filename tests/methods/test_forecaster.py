from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mezzotint.errors import UserError
from mezzotint.methods.forecaster import Forecaster, ForecasterConfig
from mezzotint.networks.clip_discriminator import ClipDiscriminatorConfig
from mezzotint.networks.recurrent import RecurrentConfig
from mezzotint.networks.simvp import SimvpConfig
from mezzotint.networks.stochastic import StochasticConfig
from mezzotint.training import optimizers
from mezzotint.types import Batch, DataSpec, Dreams, Forecasts

SPEC = DataSpec(1, 8, 8, frames=6)
CORE = RecurrentConfig(width=8, layers=2, patch=2)
NETWORKS = {
    "recurrent": CORE,
    "simvp": SimvpConfig(width=4, hidden=8, blocks=1),
    "stochastic": StochasticConfig(core=CORE, latent=3),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def build(spec: DataSpec = SPEC, **settings: Any) -> Forecaster:
    torch.manual_seed(0)
    return ForecasterConfig(**{"network": CORE, "context": 3, **settings}).build(spec)


def batch(progress: float = 0.0, seed: int = 5, count: int = 4) -> Batch:
    clips = torch.rand(count, 6, 1, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return Batch(clips, progress=progress, seed=seed)


@every_network
def test_any_horizon_and_a_longer_context(network: Any):
    method, clips = build(network=network).eval(), batch().images
    assert isinstance(method, Forecasts)
    for horizon in (1, 3, 11):
        said = method.forecast(clips[:, :3], horizon)
        assert said.shape == (4, horizon, 1, 8, 8)
        assert said.abs().max() <= 1
    torch.testing.assert_close(method.forecast(clips, 4), method.forecast(clips[:, -3:], 4))
    with pytest.raises(UserError, match="3 frames, and here are 2"):
        method.forecast(clips[:, :2], 4)


def test_sampling_shows_the_truth_at_first_and_later_its_own():
    method = build(sampling_until=0.5)
    at_first, halfway = (method._fed(batch(p, count=4000), 6) for p in (0.0, 0.25))
    assert at_first is not None
    assert halfway is not None
    assert at_first.all()
    assert float(halfway.float().mean()) == pytest.approx(0.5, abs=0.02)
    assert method._fed(batch(0.5), 6) is None
    assert build(sampling_until=0.0)._fed(batch(0.0), 6) is None


def test_a_stochastic_network_is_shown_the_truth_at_first_and_later_its_own():
    method = build(network=NETWORKS["stochastic"], kl_weight=0.0)
    assert method._shown(batch(0.0))[:, :-1].all()
    assert method._shown(batch(0.6)).tolist() == [[True] * 3 + [False] * 3] * 4
    early, late = (method.loss(batch(p), "forecast").total.item() for p in (0.0, 0.6))
    assert early != late


def test_sampling_is_keyed_by_the_step():
    method = build()
    losses = [method.loss(batch(0.25, seed), "forecast").total.item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("name", ["convlstm", "convlstm-vae", "convlstm-gan"])
def test_a_resumed_run_is_the_same_to_the_bit_with_scheduled_sampling(
    name: str, make_recipe: Any, train_in: Any, tmp_path: Path
):
    recipe = make_recipe(name, batch=4, steps=6)
    straight = train_in(tmp_path / "straight", recipe)
    train_in(tmp_path / "halves", recipe, steps=2)  # at a third, amid the sampling
    ours = train_in(tmp_path / "halves").state.tensors()
    assert all(torch.equal(value, ours[key]) for key, value in straight.state.tensors().items())


@pytest.mark.parametrize(("kind", "steps"), [("recurrent", 150), ("simvp", 300), ("stochastic", 150)])
def test_a_still_clip_learned_is_forecast_still(kind: str, steps: int):
    """Trained on clips that do not move, it says them on as they stand, for longer than it was taught to."""
    frames = torch.rand(8, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round() * 2 - 1
    clips = frames.expand(-1, 6, -1, -1, -1)
    method = build(network=NETWORKS[kind], sampling_until=0.3, kl_weight=1e-3)
    optimizer = torch.optim.Adam(method.parameters(), 1e-2)
    for step in range(steps):
        method.loss(Batch(clips, progress=step / steps, seed=step), "forecast").total.backward()
        optimizer.step()
        optimizer.zero_grad()
    said = method.eval().forecast(clips[:, :3], 5).detach()
    changed, wrong = (said - said[:, :1]).abs().mean(), (said - clips[:, :5]).abs().mean()
    assert changed < 0.1
    assert wrong < 0.1


def test_the_sum_of_weighted_errors():
    method = build(squared=2.0, absolute=0.5, gradient=0.25, structure=1.0)
    loss = method.loss(batch(), "forecast")
    weights = {"squared": 2.0, "absolute": 0.5, "gradient": 0.25, "structure": 1.0}
    assert set(loss.parts) == set(weights)
    assert loss.total.item() == pytest.approx(sum(float(loss.parts[k]) * w for k, w in weights.items()))


def test_the_discriminators_opinion_counts_from_its_time_on():
    method = build(adversarial=1.0, adversarial_from=0.5, discriminator=ClipDiscriminatorConfig(width=4, patch=2))
    early, late = (method.loss(batch(p), "forecast") for p in (0.4, 0.6))
    assert early.total.item() == pytest.approx(float(early.parts["squared"]))
    assert late.total.item() == pytest.approx(float(late.parts["squared"]) + float(late.parts["adversarial"]))


def test_a_discriminator_learns_to_tell_recorded_from_forecast():
    method = build(adversarial=1.0, discriminator=ClipDiscriminatorConfig(width=8, layers=1, patch=2))
    assert method.discriminator is not None
    settings = optimizers.Optimizer(lr=1e-2)
    optimizer = optimizers.build(settings, list(method.discriminator.parameters()))
    for _ in range(40):
        loss = method.loss(batch(), "discriminator")
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step("discriminator")
    assert float(loss.parts["real_logit"]) > float(loss.parts["fake_logit"]) + 0.5


def test_several_futures_and_dreams():
    method = build(network=NETWORKS["stochastic"]).eval()
    for p in method.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    clips = batch().images[:, :3]
    assert torch.equal(method.forecast(clips, 4, seed=1), method.forecast(clips, 4, seed=1))
    assert not torch.equal(method.forecast(clips, 4, seed=1), method.forecast(clips, 4, seed=2))
    assert isinstance(method, Dreams)
    assert method.dreams
    torch.testing.assert_close(method.dream([7, 8], 5)[1], method.dream([8], 5)[0])
    assert torch.equal(method.forecast(clips, 4, seed=[5, 1, 1, 2])[1], method.forecast(clips, 4, seed=1)[1])
    assert not torch.equal(*method.forecast(clips[:1].expand(2, -1, -1, -1, -1), 4, seed=[1, 2]))
    with pytest.raises(UserError, match="convlstm-vae"):
        build().dream([1], 5)


def test_clips_without_a_future_are_refused():
    for spec in (DataSpec(1, 8, 8), DataSpec(1, 8, 8, frames=3)):
        with pytest.raises(UserError, match="--frames"):
            build(spec)


@pytest.mark.parametrize("settings", [{"context": 0}, {"squared": 0.0}, {"gradient": -1.0}])
def test_odd_settings_are_refused(settings: dict[str, Any]):
    with pytest.raises(ValueError, match="must"):
        replace(ForecasterConfig(), **settings)

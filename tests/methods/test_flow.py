"""Flow and diffusion on pictures whose distribution is known, with the network that is exactly right for them."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from mezzotint import drawing
from mezzotint.errors import UserError
from mezzotint.methods import following
from mezzotint.methods.flow import Flow, FlowConfig, _shares
from mezzotint.methods.following import Drawing
from mezzotint.networks.unet import UnetConfig
from mezzotint.ops import paths, solvers
from mezzotint.ops.degrade import Grey
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.ops.paths import Path
from mezzotint.types import Batch, DataSpec, Way

WEIGHTS, CENTERS, SPREAD = torch.tensor([0.3, 0.7]).double(), torch.tensor([-0.6, 0.5]).double(), 0.2
"""A mixture of two normal distributions; every number of a picture lies near the same center."""
WAYS = {
    "straight": {},
    "circle": {"path": "circle"},
    "exploding": {
        "path": "exploding", "predicts": "preconditioned", "times": "logit-normal", "most_noise": 80.0,
        "times_mean": -1.2, "times_deviation": 1.2, "drawing": Drawing(schedule="karras"),
    },
    "noise": {"path": "circle", "predicts": "noise", "times": "ddpm", "most_noise": 157.0},
    "picture": {"predicts": "picture"},
}  # fmt: skip
every_way = pytest.mark.parametrize("way", WAYS)


class Exact(nn.Module):
    """What a perfect network says of a mixture of normal distributions (the posterior means, in closed form)."""

    def __init__(self, config: FlowConfig, weights: Tensor, centers: Tensor, spread: float) -> None:
        super().__init__()
        self.config, self.weights, self.centers, self.spread = config, weights, centers, spread
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, scaled: Tensor, level: Tensor, labels: Tensor | None) -> Tensor:
        path = paths.Path(self.config.path)
        t = path.time_of(level / (1 - level))[:, None, None, None]
        m = path.at(t)
        x = scaled * (m.sigma.square() + (m.alpha * self.config.spread).square()).sqrt()
        variance = (m.alpha * self.spread).square() + m.sigma.square()
        away = [x - m.alpha * center for center in self.centers]
        logits = torch.stack([-(a.square() / (2 * variance)).flatten(1).sum(1) for a in away], 1) + self.weights.log()
        picture, noise = torch.zeros_like(x), torch.zeros_like(x)
        for share, a, center in zip(logits.softmax(1).T[..., None, None, None], away, self.centers, strict=True):
            picture = picture + share * (center + m.alpha * self.spread**2 / variance * a)
            noise = noise + share * m.sigma / variance * a
        return paths.target(path, self.config.predicts, picture, noise, t, self.config.spread)


def exact(way: str, numbers: int = 1, **changes: object) -> Flow:
    """A method whose network is right for pictures of 1 × 1 × `numbers`."""
    config = replace(FlowConfig(network=UnetConfig(width=8), conditional=False, **WAYS[way]), **changes)
    method = config.build(DataSpec(1, 1, numbers)).double()
    method.network = Exact(config, WEIGHTS, CENTERS, SPREAD)
    return method


def pictures(count: int, numbers: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    which = torch.multinomial(WEIGHTS, count, replacement=True, generator=generator)
    normal = torch.randn(count, 1, 1, numbers, generator=generator, dtype=torch.float64)
    return CENTERS[which][:, None, None, None] + SPREAD * normal


def log_density(x: Tensor) -> Tensor:
    """Of the mixture."""
    each = [torch.distributions.Normal(c, SPREAD).log_prob(x).flatten(1).sum(1) for c in CENTERS]
    return torch.logsumexp(torch.stack(each, 1) + WEIGHTS.log(), 1)


# What is learned.


def test_the_exact_network_has_the_least_loss_that_there_is() -> None:
    """For pictures from N(0, s²) the velocity's variance given the mixture, s²/((1-t)²s² + t²), has the mean s·pi/2."""
    s, config = 0.5, FlowConfig(network=UnetConfig(width=8), conditional=False)
    method = config.build(DataSpec(1, 8, 8)).double()
    method.network = Exact(config, torch.ones(1).double(), torch.zeros(1).double(), s)
    images = s * torch.randn(2_000, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    least = method.loss(Batch(images, seed=1), "fit").total
    # 2,000 pictures of 64 numbers at stratified times: the mean is off by 0.5 % at most.
    assert float(least) == pytest.approx(s * math.pi / 2, rel=0.01)
    for wrong in (0.9, 1.1):
        method.network.spread = wrong * s
        assert float(method.loss(Batch(images, seed=1), "fit").total) > float(least)


@every_way
def test_a_wrong_network_loses_more(way: str) -> None:
    method, images = exact(way), pictures(4_000)
    least = float(method.loss(Batch(images, seed=2), "fit").total)
    method.network.centers = CENTERS + 0.1
    assert float(method.loss(Batch(images, seed=2), "fit").total) > 1.01 * least


def test_times_cover_the_path_evenly_whatever_the_micro_batch() -> None:
    method, images = exact("straight"), pictures(64)
    whole = method._times(_shares(Batch(images, seed=3))).flatten()
    parts = [Batch(images[i : i + 32], seed=3, first=i, whole=64) for i in (0, 32)]
    halves = [method._times(_shares(part)).flatten() for part in parts]
    assert torch.equal(whole, torch.cat(halves))
    assert torch.equal((whole * 64).floor(), torch.arange(64).double())


def test_logit_normal_times_are_normal_in_the_logarithm_of_the_ratio() -> None:
    method = exact("exploding")
    logs = method._times(_shares(Batch(pictures(10_000), seed=1))).log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.01)
    assert float(logs.std()) == pytest.approx(1.2, rel=0.01)


def test_so_many_classes_are_hidden() -> None:
    config = FlowConfig(network=UnetConfig(width=8), unlabelled=0.25)
    method = config.build(DataSpec(1, 8, 8, tuple("abc")))
    labels = torch.arange(3_000) % 3
    told = method._labels_to_train_with(Batch(torch.zeros(3_000, 1, 8, 8), labels, seed=1))
    assert told is not None
    assert float((told == 3).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(told[told != 3], labels[told != 3])


def test_a_picture_is_judged_alike_in_any_company() -> None:
    method, images = exact("straight", numbers=8), pictures(20, numbers=8)
    first, again = (method.denoising_error(x, None, 4)[0] for x in (images, torch.cat([images[:1], -images[1:]])))
    assert float(first) == pytest.approx(float(again), rel=1e-9)


def test_what_was_learned_by_heart_has_the_smaller_error() -> None:
    """A network that is right for one kind of pictures alone errs on others: what a membership attack goes by."""
    method, images = exact("straight", numbers=8), pictures(200, numbers=8)
    known, others = (method.denoising_error(x, None, seed=0).mean() for x in (images, images + 0.5))
    assert float(known) < float(others)


# What is drawn.


@every_way
@pytest.mark.parametrize("solver", ["euler", "heun", "midpoint", "rk4", "dpm-solver", "ancestral"])
def test_what_is_drawn_has_the_distribution_of_the_pictures(way: str, solver: str) -> None:
    method = exact(way).drawing_with(Way(solver=solver, steps=100))
    drawn = method.generate(range(2_000)).flatten()
    expected = pictures(200_000).flatten().clamp(-1, 1)
    # The largest gap between two distribution functions (Kolmogorov); 2,000 draws stay below 0.04 but once in 300.
    points = torch.linspace(-1, 1, 81, dtype=torch.float64)
    gaps = [(x[:, None] <= points).double().mean(0) for x in (drawn.double(), expected)]
    assert float((gaps[0] - gaps[1]).abs().max()) < 0.05


@every_way
def test_pictures_go_to_noise_and_back(way: str) -> None:
    method, images = exact(way, numbers=3), pictures(20, numbers=3)
    noise = method.to_noise(images, steps=64)
    torch.testing.assert_close(method.from_noise(noise, steps=64), images, rtol=0, atol=2e-3)


@every_way
def test_noise_of_pictures_is_normal(way: str) -> None:
    noise = exact(way).to_noise(pictures(2_000), steps=64)
    assert float(noise.mean()) == pytest.approx(0, abs=0.07)
    assert float(noise.std()) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("way", ["straight", "circle", "exploding"])
def test_the_density_is_that_of_the_mixture(way: str) -> None:
    """Of a single number the probe of signs gives the divergence exactly."""
    images = torch.linspace(-1, 1, 21, dtype=torch.float64).view(-1, 1, 1, 1)
    found = exact(way).log_density(images, None, seed=0, steps=64)
    torch.testing.assert_close(found, log_density(images), rtol=0, atol=0.02)


def test_the_density_of_many_numbers_is_right_on_the_average_over_probes() -> None:
    method, images = exact("straight", numbers=4), pictures(4, numbers=4)
    found = torch.stack([method.log_density(images, None, seed, steps=16) for seed in range(40)])
    error = found.std(0) / math.sqrt(40)
    assert bool(((found.mean(0) - log_density(images)).abs() < 4 * error + 0.02).all())


# Guidance.


def by_class(**changes: object) -> Flow:
    torch.manual_seed(0)
    method = FlowConfig(network=UnetConfig(width=8), **changes).build(DataSpec(1, 8, 8, tuple("abc"))).eval()
    with torch.no_grad():
        for p in method.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return method


def test_guidance_of_one_is_none_to_the_bit() -> None:
    """Beside the network's own velocity, which knows of no guidance, looked at once and followed to the end."""
    method, labels = by_class(drawing=Drawing(guidance=3.0, precision="fp32")), torch.tensor([0, 1, 2])
    x, first = torch.randn(3, 1, 8, 8), normal_from_seeds([1, 2, 3], 1, 8, 8)
    one = method.drawing_with(Way(guidance=1.0))
    times = one.drawing.times(one.path, None)

    def plain(x: Tensor, t: float) -> Tensor:
        return method._plain_velocity(x, t, labels)

    with torch.no_grad():
        assert torch.equal(one._guided(labels)(x, 0.5), plain(x, 0.5))
        nearly, further = (method.drawing_with(Way(guidance=g))._guided(labels)(x, 0.5) for g in (1.0001, 3.0))
        torch.testing.assert_close(nearly, plain(x, 0.5), rtol=0, atol=1e-3)
        assert not torch.allclose(further, plain(x, 0.5), atol=1e-3)
        followed = solvers.solve("heun", plain, one.path, first, times, torch.zeros_like).clamp(-1, 1)
        assert torch.equal(one.generate([1, 2, 3], labels), followed)


def test_guidance_is_a_line_through_both_velocities() -> None:
    method, labels, x = by_class(), torch.tensor([0, 1]), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        told, hidden = method.velocity(x, 0.5, labels), method.velocity(x, 0.5, torch.tensor([3, 3]))
        torch.testing.assert_close(method.velocity(x, 0.5, labels, 2.5), hidden + 2.5 * (told - hidden))
        torch.testing.assert_close(method.velocity(x, 0.5, labels, 0.0), hidden)


def test_guidance_keeps_to_its_interval() -> None:
    never = Drawing(solver="euler", guidance=3.0, guidance_from=0.0, guidance_to=0.0)
    method, labels = by_class(drawing=never), torch.tensor([0, 1, 2])
    with torch.no_grad():
        plain = method.drawing_with(Way(guidance=1.0)).generate([1, 2, 3], labels)
        assert torch.equal(method.generate([1, 2, 3], labels), plain)


def test_a_guide_leads_away_from_what_it_says_itself() -> None:
    method, worse, x = by_class(drawing=Drawing(guidance=2.5)), by_class(), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        worse.network.leave[-1].weight.mul_(0.5)  # pyright: ignore[reportIndexIssue, reportCallIssue]
        labels = torch.tensor([0, 1])
        ours, theirs = method.velocity(x, 0.5, labels), worse.velocity(x, 0.5, labels)
        found = method.guided_by(worse)._guided(labels)(x, 0.5)
        torch.testing.assert_close(found, theirs + 2.5 * (ours - theirs))
        itself = method.guided_by(method)._guided(labels)(x, 0.5)
        assert torch.equal(itself, ours)
    assert method.worse == ()
    assert set(method.guided_by(worse).state_dict()) == set(method.state_dict())


def test_guided_away_from_a_blurred_guess_pictures_keep_nearer_to_their_centers() -> None:
    method, worse = exact("straight"), exact("straight")
    worse.network.spread = 1.5 * SPREAD
    guided = {g: method.guided_by(worse).drawing_with(Way(guidance=g)) for g in (0.5, 2.0)}
    drawn = {g: other.generate(range(500)).flatten() for g, other in guided.items()}
    away = {g: float((x[:, None] - CENTERS).abs().min(1).values.mean()) for g, x in drawn.items()}
    plain = float((method.generate(range(500)).flatten()[:, None] - CENTERS).abs().min(1).values.mean())
    assert away[2.0] < 0.9 * plain < plain < 0.9 * away[0.5]


def test_a_guide_that_does_not_fit_is_refused() -> None:
    method = by_class(drawing=Drawing(guidance=2.0))
    for other in (exact("straight"), by_class(path="circle"), by_class(conditional=False)):
        with pytest.raises(UserError, match="train it alike"):
            method.guided_by(other)
    with pytest.raises(UserError, match="leads nowhere"):
        method.guided_by(by_class()).drawing_with(Way(guidance=1.0))
    never = by_class(unlabelled=0.0)
    assert never.guided_by(never).drawing_with(Way(guidance=2.0)).drawing.guidance == 2.0  # it departs from no class


# Settings.


def test_a_seed_is_one_picture_whatever_the_solver_begins_with() -> None:
    method = by_class(drawing=Drawing(solver="ancestral", steps=4))
    drawn = [drawing.draw(method, seeds, torch.zeros(len(seeds), dtype=torch.int64)) for seeds in ([7], range(64))]
    assert torch.equal(drawn[0][0], drawn[1][7])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": "exploding"}, "no end"),
        ({"predicts": "noise"}, "most_noise"),
        ({"spread": 0.0}, "positive"),
        ({"unlabelled": 1.0}, "share"),
        ({"pairing": True, "given": Grey()}, "pairing=false"),
    ],
)
def test_settings_that_exclude_one_another_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FlowConfig(**settings)


def test_guidance_needs_pictures_whose_class_was_hidden() -> None:
    spec = DataSpec(1, 8, 8, classes=("a", "b"))
    config = FlowConfig(network=UnetConfig(width=8), unlabelled=0.0)
    with pytest.raises(UserError, match="never trained"):
        replace(config, drawing=Drawing(guidance=2.0)).build(spec)
    with pytest.raises(UserError, match="never trained"):
        config.build(spec).drawing_with(Way(guidance=2.0))
    assert config.build(spec).drawing_with(Way(steps=3)).drawing.steps == 3


@pytest.mark.parametrize("steps", [1, 7, 999, 1000])
def test_ddpms_steps_are_each_visited_at_most_once(steps: int) -> None:
    drawn = Drawing(schedule="ddpm", steps=steps)
    times = drawn.times(Path("circle"), most_noise=157.0)
    assert len(times) == steps + 1
    assert all(later < earlier for earlier, later in pairwise(times))
    with pytest.raises(ValueError, match="1000"):
        Drawing(schedule="ddpm", steps=1001)


def test_fresh_noise_of_a_picture_is_nobodys_first_noise() -> None:
    seen: list[list[int]] = []
    method = by_class(drawing=Drawing(solver="ancestral", steps=3))
    with pytest.MonkeyPatch.context() as patch:
        real = following.normal_from_seeds
        patch.setattr(
            following, "normal_from_seeds", lambda keys, *shape: seen.append(list(keys)) or real(keys, *shape)
        )
        method.generate(list(range(20)), torch.zeros(20, dtype=torch.int64))
    keys = [key for step in seen for key in step]
    assert len(seen) == 3
    assert len(set(keys)) == len(keys)


def test_a_way_of_drawing_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="at least one step"):
        by_class().drawing_with(Way(steps=0))
    with pytest.raises(UserError, match="trained by class"):
        exact("straight").drawing_with(Way(guidance=2.0))
    with pytest.raises(ValueError, match="interval"):
        Drawing(guidance_from=0.5, guidance_to=0.1)


def test_drawing_otherwise_leaves_the_model_as_it_was() -> None:
    method = by_class()
    other = method.drawing_with(Way(solver="euler", steps=3))
    assert (method.drawing.steps, other.drawing.steps) == (Drawing().steps, 3)
    assert other.network is method.network

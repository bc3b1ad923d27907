"""Editing with a network that is exactly right for known pictures, and networks that are given a part of them."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mezzotint import drawing
from mezzotint.errors import UserError
from mezzotint.methods import flow
from mezzotint.methods.flow import Flow, FlowConfig
from mezzotint.methods.following import Drawing
from mezzotint.networks.unet import UnetConfig
from mezzotint.ops import paths
from mezzotint.ops.degrade import Blurred, Edges, Grey, Holes, Shrunk
from mezzotint.types import Batch, DataSpec, Edits

SIDE, NUMBERS, SPREAD, CENTERS = "-+", 8, 0.2, (-0.6, 0.6)
"""Pictures of eight numbers that all lie near the same of two centers; by class near the first or the second."""
WAYS: dict[str, dict[str, Any]] = {
    "straight": {},
    "circle": {"path": "circle"},
    "exploding": {
        "path": "exploding", "predicts": "preconditioned", "times": "logit-normal", "most_noise": 80.0,
        "drawing": Drawing(schedule="karras"),
    },
}  # fmt: skip
every_way = pytest.mark.parametrize("way", WAYS)


class Exact(nn.Module):
    """The posterior means of such pictures, in closed form; label 2 is any class."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config, self.unused = config, nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, scaled: Tensor, level: Tensor, labels: Tensor) -> Tensor:
        path = paths.Path(self.config.path)
        t = path.time_of(level / (1 - level))[:, None, None, None]
        m = path.at(t)
        x = scaled * (m.sigma.square() + (m.alpha * self.config.spread).square()).sqrt()
        variance = (m.alpha * SPREAD).square() + m.sigma.square()
        away = [x - m.alpha * center for center in CENTERS]
        logits = torch.stack([-(a.square() / (2 * variance)).flatten(1).sum(1) for a in away], 1)
        known = nn.functional.one_hot(labels.clamp(max=1), 2).bool() | (labels == 2)[:, None]
        picture, noise = torch.zeros_like(x), torch.zeros_like(x)
        shares = logits.masked_fill(~known, -torch.inf).softmax(1)
        for share, a, center in zip(shares.T[..., None, None, None], away, CENTERS, strict=True):
            picture = picture + share * (center + m.alpha * SPREAD**2 / variance * a)
            noise = noise + share * m.sigma / variance * a
        return paths.target(path, self.config.predicts, picture, noise, t, self.config.spread)


def exact(way: str = "straight") -> Flow:
    config = FlowConfig(network=UnetConfig(width=8), **WAYS[way])
    method = config.build(DataSpec(1, 1, NUMBERS, tuple(SIDE))).double()
    method.network = Exact(config)
    return method.eval()


def pictures(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randn(count, 1, 1, NUMBERS, generator=generator, dtype=torch.float64)
    return torch.tensor(CENTERS).double()[labels].view(-1, 1, 1, 1) + SPREAD * noise, labels


def side_of(images: Tensor) -> Tensor:
    return (images.flatten(1).mean(1) > 0).long()


# Any model.


@every_way
def test_a_hole_is_filled_with_what_belongs_there(way: str) -> None:
    images, labels = pictures(60)
    hole = torch.zeros(60, 1, 1, NUMBERS, dtype=torch.float64)
    hole[..., 3:] = 1
    with torch.inference_mode():
        found = exact(way).complete(images, hole, range(60))
    assert torch.equal(found[..., :3], images[..., :3])
    right = side_of(found[..., 3:]) == labels
    assert float(right.double().mean()) > 0.9
    filled = found[..., 3:] - torch.tensor(CENTERS).double()[labels].view(-1, 1, 1, 1)
    assert float(filled[right].std()) == pytest.approx(SPREAD, rel=0.4)  # it varies too little


def test_a_class_that_is_named_decides() -> None:
    images, _ = pictures(20)
    hole, asked = torch.ones(20, 1, 1, NUMBERS, dtype=torch.float64), torch.arange(20) // 10
    hole[..., 0] = 0
    found = exact().complete(images, hole, range(20), asked)
    assert torch.equal(side_of(found[..., 1:]), asked)


@every_way
def test_what_is_restored_would_be_seen_as_it_was(way: str) -> None:
    images, labels = pictures(40)

    def halved(x: Tensor) -> Tensor:
        return x.unflatten(3, (NUMBERS // 2, 2)).mean(4)

    found = exact(way).restore(halved(images), halved, range(40))
    assert float((halved(found) - halved(images)).abs().max()) < 0.1
    assert torch.equal(side_of(found), labels)
    assert float((found[..., ::2] - found[..., 1::2]).std()) == pytest.approx(2**0.5 * SPREAD, rel=0.35)


@every_way
def test_variations_are_the_nearer_the_weaker(way: str) -> None:
    images, _ = pictures(60)
    method = exact(way)
    away = [float((method.vary(images, level, range(60)) - images).abs().mean()) for level in (0.02, 0.3, 1.0)]
    assert away[0] < 0.05
    assert away[0] < away[1] < away[2]


def test_all_noise_varies_into_any_picture() -> None:
    """Nothing of the picture is left on a path that ends in noise alone: what is drawn is what the seed draws."""
    method, (images, labels) = exact(), pictures(6)
    varied = method.vary(images, 1.0, range(6), labels)
    torch.testing.assert_close(varied.float(), method.generate(range(6), labels), rtol=0, atol=1e-5)


def test_pictures_move_to_another_class_and_keep_their_place_in_it() -> None:
    images, labels = pictures(20)
    moved = exact().move(images, 1.0, labels, 1 - labels, steps=32)
    centers = torch.tensor(CENTERS).double()
    expected = images + (centers[1 - labels] - centers[labels]).view(-1, 1, 1, 1)
    torch.testing.assert_close(moved, expected.clamp(-1, 1), rtol=0, atol=0.02)
    same = exact().move(images, 1.0, labels, labels, steps=32)
    torch.testing.assert_close(same, images.clamp(-1, 1), rtol=0, atol=0.02)


def test_a_walk_ends_at_its_pictures() -> None:
    images, labels = pictures(2)
    first, second = images.split(1)
    for ours, theirs in ((None, None), (labels[:1], labels[1:])):
        walk = exact().walk(first, second, [0.0, 0.5, 1.0], ours, theirs, steps=32)
        ends = torch.cat([first, second]).clamp(-1, 1)
        torch.testing.assert_close(walk[[0, 2]], ends, rtol=0, atol=0.03)


def test_a_model_that_always_was_told_the_class_must_be_told_it() -> None:
    config = FlowConfig(network=UnetConfig(width=8), unlabelled=0.0)
    method = config.build(DataSpec(1, 8, 8, ("a", "b")))
    with pytest.raises(UserError, match="name the picture's class"):
        method.vary(torch.zeros(1, 1, 8, 8), 0.5, [0])


# Models that are given a part.


def given(part: Any, channels: int = 1, **changes: Any) -> Flow:
    torch.manual_seed(0)
    config = FlowConfig(network=UnetConfig(width=8), given=part, drawing=Drawing(steps=2), **changes)
    method = config.build(DataSpec(channels, 8, 8)).eval()
    with torch.no_grad():
        for p in method.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return method


@pytest.mark.parametrize(
    ("part", "channels", "beside"), [(Holes(), 3, 4), (Shrunk(factor=2), 1, 2), (Grey(), 3, 2), (Edges(), 3, 4)]
)
def test_what_is_given_reaches_the_network_and_need_not(part: Any, channels: int, beside: int) -> None:
    method = given(part, channels)
    assert method.beside == beside
    assert isinstance(method, Edits)
    images = torch.rand(3, channels, 8, 8) * 2 - 1
    with torch.inference_mode():
        shown, drawn = method.redrawn(images, None, seed=5)
        alone = method.generate([5, 6, 7])
    assert shown.shape == drawn.shape == alone.shape == images.shape
    assert not torch.allclose(drawn, alone, atol=1e-3)


def test_known_pixels_stay_and_nothing_of_the_hole_is_seen() -> None:
    method, images = given(Holes()), torch.rand(4, 1, 8, 8) * 2 - 1
    hole = torch.zeros(4, 1, 8, 8)
    hole[:, :, 2:5] = 1
    with torch.inference_mode():
        found = method.complete(images, hole, range(4))
        again = method.complete(torch.where(hole > 0, -images, images), hole, range(4))
    assert torch.equal(found, again)
    assert torch.equal(found[hole == 0], images[hole == 0])


def test_a_model_is_shown_what_it_was_trained_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    method, images = given(Shrunk(factor=2)), torch.rand(3, 1, 8, 8) * 2 - 1
    monkeypatch.setattr(flow, "STEPS_OF_RESTORING", (2, 2))
    monkeypatch.setattr(flow, "STEPS_WHEN_TRAINED", (2, 2))
    lost = Shrunk(factor=2)
    with torch.inference_mode():
        shown, blind = (
            method.restore(lost(images), lost, range(3)),
            method.restore(lost(images), lambda x: lost(x), range(3)),
        )
        other = method.restore(Shrunk(factor=4)(images), Shrunk(factor=4), range(3))
    assert not torch.allclose(shown, blind, atol=1e-3)
    assert other.shape == images.shape


def test_edges_are_shown_and_never_led_to() -> None:
    """With nothing but the noise and what is shown, the picture is what `generate` would draw of them."""
    method, images = given(Edges()), torch.rand(3, 1, 8, 8) * 2 - 1
    seen = Edges()(images)
    with torch.inference_mode():
        found = method.restore(seen, Edges(), [5, 6, 7])
        assert torch.equal(found, method._shown(method.beside_of(seen)).generate([5, 6, 7]))
        assert not torch.allclose(found, method.restore(-seen, Edges(), [5, 6, 7]), atol=1e-3)
    with pytest.raises(UserError, match="flow-edges"):
        given(Holes()).restore(seen, Edges(), [5, 6, 7])


def test_guidance_and_what_is_given_go_together() -> None:
    torch.manual_seed(0)
    config = FlowConfig(network=UnetConfig(width=8), given=Holes(), drawing=Drawing(steps=2, guidance=2.0))
    method, images = config.build(DataSpec(1, 8, 8, ("a", "b"))).eval(), torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        found = method.complete(images, torch.ones(2, 1, 8, 8), [1, 2], torch.tensor([0, 1]))
    assert torch.isfinite(found).all()


def test_some_pictures_are_given_nothing() -> None:
    method = given(Shrunk(factor=2), hidden=0.25)
    told = method._given_to_train_with(Batch(torch.ones(2_000, 1, 8, 8), seed=1))[:, -1].flatten(1)
    assert float((told.sum(1) == 0).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_a_picture_is_drawn_alike_in_any_company() -> None:
    method = given(Holes())
    drawn = [drawing.draw(method, seeds) for seeds in ([7], range(64))]
    assert torch.equal(drawn[0][0], drawn[1][7])


def test_showing_leaves_the_model_as_it_was() -> None:
    method = given(Holes())
    before = copy.deepcopy(method.state_dict())
    method.redrawn(torch.zeros(2, 1, 8, 8), None, seed=0)
    assert method.given is None
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())


def test_parts_that_leave_nothing_to_draw_are_refused() -> None:
    with pytest.raises(UserError, match="grey already"):
        given(Grey(), channels=1)
    with pytest.raises(UserError, match="cannot be shrunk"):
        given(Shrunk(factor=5))
    assert Blurred(deviation=1.0) == Blurred(deviation=1.0)

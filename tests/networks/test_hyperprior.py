import pytest
import torch

from mezzotint.networks.grid import fixed
from mezzotint.networks.hyperprior import (
    ANCHORS,
    GAIN_PARTS,
    LATENT_UNIT,
    QUALITIES,
    Decoder,
    HyperpriorConfig,
    cosines,
    levels_of,
    plane,
)
from mezzotint.types import DataSpec

SMALL = HyperpriorConfig(analysis=16, synthesis=12, latents=6, hyper=8, hyper_latents=4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (28, 28), (33, 70), (64, 64)])
def test_shapes(height: int, width: int, channels: int) -> None:
    net = SMALL.build(DataSpec(channels, 8, 8)).eval()
    quality = torch.tensor([1, 100])
    latents = net.latents(torch.rand(2, channels, height, width).mul(255).round(), quality)
    rows, columns = -(-height // 8), -(-width // 8)
    assert latents.shape == (2, 6, rows, columns)
    hyper = net.hyper_latents(latents, quality)
    assert hyper.shape == (2, 4, -(-rows // 4), -(-columns // 4))
    told = net.decoder.told(hyper.round(), quality)
    assert told.mean.shape == told.octave.shape == (2, 6, 4 * hyper.shape[2], 4 * hyper.shape[3])
    assert net.decoder.pixels(latents, quality).shape == (2, channels, 8 * rows, 8 * columns)


def test_all_is_on_the_grids_that_tables_know() -> None:
    torch.manual_seed(0)
    net = fixed(SMALL.build(DataSpec(3, 8, 8)))
    quality = torch.tensor([1, 37, 100])
    told = net.decoder.told(torch.randint(-20, 20, (3, 4, 2, 2)).float(), quality)
    prior = net.decoder.prior_at(quality)
    for values, unit in ((told.mean, 16), (told.octave, 8), (prior.mean, 16), (prior.octave, 8), (prior.logit, 16)):
        assert torch.equal((values * unit).round() / unit, values)
    assert float(prior.logit.max()) == 0
    assert -4 <= float(told.octave.min()) <= float(told.octave.max()) <= 6


def test_company_changes_no_bit() -> None:
    torch.manual_seed(0)
    net = fixed(SMALL.build(DataSpec(3, 8, 8)))
    levels, quality = torch.rand(5, 3, 24, 16).mul(255).round(), torch.tensor([3, 90, 50, 50, 1])
    whole = net.latents(levels, quality)
    hyper = net.hyper_latents(whole, quality).round()
    pixels = net.decoder.pixels(whole.mul(9).round(), quality)
    for i in range(5):
        own = slice(i, i + 1)
        assert torch.equal(net.latents(levels[own], quality[own]), whole[own])
        assert torch.equal(net.hyper_latents(whole[own], quality[own]).round(), hyper[own])
        assert torch.equal(net.decoder.pixels(whole[own].mul(9).round(), quality[own]), pixels[own])


def test_gains_are_learned_at_anchors_and_even_steps_between() -> None:
    decoder = Decoder(SMALL, 3)
    anchors = torch.tensor([1, 25, 50, 75, 100])[:ANCHORS]
    with torch.no_grad():
        decoder.gains.copy_(torch.tensor([-1.0, 0.5, 1.0, 3.0, 6.0])[:, None].expand(-1, 6))
    found = decoder.gains_at(torch.tensor([1, 100])).octave.flatten(1)
    assert found.tolist() == [[-1.0] * 6, [6.0] * 6]
    every = decoder.gains_at(torch.arange(1, QUALITIES + 1)).octave[:, 0, 0, 0]
    assert bool((every.diff() >= 0).all())
    assert torch.equal((every * GAIN_PARTS).round() / GAIN_PARTS, every)
    assert every[anchors - 1].tolist() == pytest.approx([-1, 0.5, 1.0, 3.0, 6.0], abs=0.11)
    learning = decoder.gains_at(anchors).gain
    torch.testing.assert_close(learning, decoder.eval().gains_at(anchors).gain, rtol=1e-6, atol=0)


def test_everything_learns() -> None:
    torch.manual_seed(0)
    net = SMALL.build(DataSpec(3, 8, 8))
    quality = torch.tensor([1, 30, 60, 100])
    levels = torch.rand(4, 3, 32, 32).mul(255).round()
    latents = net.latents(levels, quality)
    hyper = net.hyper_latents(latents, quality) * net.decoder.hyper_gains_at(quality).gain
    told, prior = net.decoder.told(hyper, quality), net.decoder.prior_at(quality)
    said = (net.decoder.pixels(latents * 3, quality), told.mean, told.octave, *vars(prior).values())
    sum((part * torch.randn_like(part)).sum() for part in said).backward()  # pyright: ignore
    idle = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not idle


def test_the_quality_is_seen_and_levels_are_whole() -> None:
    planes = plane(torch.tensor([1, 50, 100]), torch.zeros(3, 1, 2, 2))
    assert planes[:, 0, 0, 0].mul(64).tolist() == [3, 128, 255]
    assert levels_of(torch.tensor([[[[-1.0, 0.0, 1.0, 7.0]]]])).flatten().tolist() == [0, 128, 255, 255]
    assert LATENT_UNIT == 1024


@pytest.mark.parametrize("settings", [{"latents": 0}, {"synthesis": 7}, {"hyper": 514}, {"blocks": 9}])
def test_odd_sizes_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a hyperprior"):
        HyperpriorConfig(**settings)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_begins_as_a_transform_code(channels: int) -> None:
    basis = cosines(channels)
    torch.testing.assert_close(basis @ basis.T, torch.eye(64 * channels), atol=1e-5, rtol=0)
    assert torch.equal(basis[0], torch.full((64 * channels,), float(basis[0, 0])))
    torch.manual_seed(0)
    net = fixed(HyperpriorConfig(analysis=8, synthesis=8, latents=64 * channels).build(DataSpec(channels, 8, 8)))
    quality = torch.tensor([100])
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(24.0), indexing="ij")
    levels = (128 + 80 * torch.sin(x / 5) * torch.cos(y / 9)).round().expand(1, channels, -1, -1)
    gain = net.decoder.gains_at(quality).gain
    again = net.decoder.pixels((net.latents(levels, quality) * gain).round(), quality)
    assert float((again - levels).square().mean()) < 40

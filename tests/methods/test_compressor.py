import numpy as np
import pytest
import torch

from mezzotint.methods.compressor import SIMILARITY, Compressor, CompressorConfig, _tempered
from mezzotint.networks.hyperprior import HyperpriorConfig, levels_of
from mezzotint.recipes.lossy import codec
from mezzotint.training import optimizers
from mezzotint.types import Batch, Compresses, DataSpec

SMALL = HyperpriorConfig(analysis=24, synthesis=24, latents=12, hyper=12, hyper_latents=6)
CONFIG = CompressorConfig(network=SMALL, crop=32)


def made(**settings: object) -> Compressor:
    torch.manual_seed(0)
    return CompressorConfig(**{"network": SMALL, "crop": 32, **settings}).build(DataSpec(3, 32, 32))  # pyright: ignore


def pictures(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth colors with an edge."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    slope = torch.rand(count, 3, generator=generator)
    edge = (slope[:, :1, None] * x + slope[:, 1:2, None] * y > slope[:, 2:, None] * side).float()[:, None]
    return (0.7 * smooth + 0.3 * edge) * 2 - 1


def trained(steps: int) -> Compressor:
    method = made(worth=(-8.0, 0.0))
    optimizer = optimizers.build(codec(method.spec, 1).optimizers["network"], list(method.parameters()))
    for step in range(steps):
        loss = method.loss(Batch(pictures(16, seed=step), seed=step), "fit").total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), 10.0)
        optimizer.step()
    return method.eval()


def test_it_compresses_and_tells_what_it_descends() -> None:
    method = made()
    assert isinstance(method, Compresses)
    images = pictures(4)
    again, bits = method.shrunk(images, 50)
    assert again.shape == images.shape
    lost = (levels_of(images) - levels_of(again)).square().flatten(1).mean(1)
    worth = 2.0 ** (-10 + 9 * 49 / 99)
    torch.testing.assert_close(method.rate_distortion(images, 50), bits / 1024 + worth * lost, rtol=1e-4, atol=1e-4)


def test_both_targets_are_lost_in_like_units() -> None:
    levels = levels_of(pictures(3))
    far = (levels + 9 * torch.randn(levels.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    assert made().lost(levels, levels).tolist() == [0, 0, 0]
    assert made(target="ms-ssim").lost(levels, levels).tolist() == pytest.approx([0, 0, 0], abs=1e-3 * SIMILARITY)
    squared, structural = made().lost(levels, far), made(target="ms-ssim").lost(levels, far)
    assert bool(((structural / squared > 0.05) & (structural / squared < 20)).all())


def test_squares_are_cut_out_of_larger_pictures_by_the_key() -> None:
    method = made()
    place = torch.arange(48 * 40).float().view(1, 1, 48, 40).expand(6, 3, -1, -1)
    cut = method._cut(Batch(place, seed=3), place)
    assert cut.shape == (6, 3, 32, 32)
    corners = cut[:, 0, 0, 0]
    assert len(set(corners.tolist())) > 1
    assert bool((corners // 40 <= 16).all())
    assert bool((corners % 40 <= 8).all())
    part = method._cut(Batch(place[:2], seed=3, first=2, whole=6), place[:2])
    assert torch.equal(part, cut[2:4])
    small = place[..., :20, :20]
    assert method._cut(Batch(small), small) is small


def test_every_quality_is_drawn_and_worth_more() -> None:
    worth = made().worth_at(torch.arange(1, 101))
    assert worth[[0, 99]].tolist() == pytest.approx([2**-10, 2**-1])
    assert bool((worth.diff() > 0).all())


@pytest.mark.parametrize("settings", [{"worth": (1.0, -9.0)}, {"worth": (1.0,)}, {"crop": 4}])
def test_odd_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"method\."):
        CompressorConfig(**settings)  # pyright: ignore


def test_losses_are_tempered_without_a_step() -> None:
    losses = torch.tensor([0.1, 7.9999, 8.0001, 2000.0], requires_grad=True)
    tempered = _tempered(losses)
    assert tempered[:2].tolist() == losses[:2].tolist()
    assert tempered.tolist()[2] == pytest.approx(8.0001, abs=1e-4)
    tempered.sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([1, 1, 1, 8 / 2000], rel=1e-3)


@pytest.mark.slow
def test_a_trained_model_gives_more_for_more() -> None:
    """Rate and nearness rise with the quality, and the noisy rate that was descended is that of the coder."""
    method, images = trained(250), pictures(16, seed=10**6)
    rates, errors = [], []
    for quality in (1, 25, 50, 75, 100):
        again, bits = method.shrunk(images, quality)
        rates.append(float(bits.mean()) / 1024)
        errors.append(float((again - images).square().mean()) * 127.5**2)
    assert rates == sorted(rates)
    assert errors == sorted(errors, reverse=True)
    assert rates[-1] > 2 * rates[0]
    assert errors[0] > 1.5 * errors[-1]
    grey = float((images - images.mean((2, 3), keepdim=True)).square().mean()) * 127.5**2
    assert errors[-1] < 0.1 * grey
    method.train()
    with torch.no_grad():
        levels = levels_of(images)
        noisy = [
            method._coded(Batch(images, seed=s), levels, torch.full((16,), 75))[0].mean() / 1024 for s in range(10)
        ]
    assert float(np.mean(noisy)) == pytest.approx(rates[3], rel=0.02)

import math

import numpy as np
import pytest
import torch

from mezzotint import lossless
from mezzotint.data.dataset import Dataset
from mezzotint.methods.predictor import Predictor, PredictorConfig
from mezzotint.networks.causal import LEFT, RIGHT, TOP, CausalConfig, Places
from mezzotint.types import Batch, DataSpec, HasLikelihood

CONFIG = PredictorConfig(network=CausalConfig(widths=(24, 16)), pixels=64)


def noise(levels: int, count: int, channels: int = 1, size: int = 10, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).integers(0, levels, (count, channels, size, size))
    return torch.from_numpy(drawn).float() / 127.5 - 1


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_rate_of_the_coder(channels: int) -> None:
    """All pixels drawn often enough: their mean is what the streams take, within a percent."""
    torch.manual_seed(0)
    method = CONFIG.build(DataSpec(channels, 10, 10))
    images = noise(256, 8, channels)
    with torch.no_grad():
        descended = np.mean([float(method.loss(Batch(images, seed=s), "fit").total) for s in range(30)])
    bits = -method.elbo(images, None, 0).numpy() / math.log(2)
    pixels = list(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    streams = lossless.encode(method.network, pixels)
    taken = 8 * sum(len(s) for own in streams for s in own)
    assert abs(descended * images.numel() / bits.sum() - 1) < 0.02
    assert abs(taken / bits.sum() - 1) < 0.01 + 16 * 8 / bits.sum()
    assert isinstance(method, HasLikelihood)


@pytest.mark.slow
def test_uniform_noise_of_few_levels_is_learned_to_its_entropy() -> None:
    """Sixteen levels without any pattern take four bits, whatever the model; always others, or it learns by heart."""
    torch.manual_seed(0)
    method = CONFIG.build(DataSpec(1, 10, 10))
    optimizer = torch.optim.Adam(method.parameters(), lr=5e-3)
    for step in range(400):
        loss = method.loss(Batch(noise(16, 64, seed=1 + step), seed=step), "fit").total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bits = -method.elbo(noise(16, 64), None, 0).mean() / math.log(2) / 100
    assert 4.0 < float(bits) < 4.1


def test_micro_batches_see_the_pixels_of_the_whole_batch() -> None:
    method = CONFIG.build(DataSpec(1, 10, 10))
    images = noise(256, 6)
    with torch.no_grad():
        whole = float(method.loss(Batch(images, seed=3), "fit").total)
        parts = [
            float(method.loss(Batch(images[i : i + 2], seed=3, first=i, whole=6), "fit").total) for i in range(0, 6, 2)
        ]
    assert abs(np.mean(parts) - whole) < 1e-4


def sheets(digits: Dataset, split: str, count: int, seed: int = 0) -> torch.Tensor:
    """Digits side by side, 10 by 10."""
    rows = np.random.default_rng(seed).choice(digits.splits[split], count * 100)
    drawn = digits.images[rows].reshape(count, 10, 10, 8, 8).transpose(0, 1, 3, 2, 4).reshape(count, 1, 80, 80)
    return torch.from_numpy(drawn.copy()).float() / 127.5 - 1


def everywhere(count: int, side: int) -> Places:
    """All pixels of pictures, one below another."""
    picture, y, x = (a.flatten() for a in torch.meshgrid(*map(torch.arange, (count, side, side)), indexing="ij"))
    stride = side + LEFT + RIGHT
    cells = (picture * (side + TOP) + TOP + y) * stride + LEFT + x
    return Places(cells, x, y, torch.full_like(x, side), torch.full_like(x, side), stride)


def test_streams_are_as_long_as_the_floats_that_learned_say(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a percent: tables, their smallest frequencies and rounding to bytes add less to the likelihood."""
    torch.manual_seed(0)
    method = CONFIG.build(DataSpec(1, 80, 80))
    optimizer = torch.optim.Adam(method.parameters(), lr=5e-3)
    for step in range(150):
        loss = method.loss(Batch(sheets(digits, "train", 16, step), seed=step), "fit").total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = sheets(digits, "test", 3)
    monkeypatch.setattr(Predictor, "_drawn", lambda *_: everywhere(3, 80))
    with torch.no_grad():
        bits = float(method.loss(Batch(unseen), "fit").total) * unseen.numel()
    pixels = list(((unseen + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    taken = 8 * sum(len(stream) for own in lossless.encode(method.network, pixels) for stream in own)
    assert bits < 4 * unseen.numel(), "it has learned"
    assert taken == pytest.approx(bits, rel=0.01)

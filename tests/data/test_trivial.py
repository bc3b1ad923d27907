"""TrivialAugment against Pillow, which the paper's own program uses."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from mezzotint.data import trivial as module
from mezzotint.data.trivial import trivial

WAYS = 14
NAMES = (
    *("identity", "brightness", "contrast", "posterize", "solarize", "autocontrast", "equalize", "color", "sharpness"),
    *("rotate", "shear x", "shear y", "move x", "move y"),
)
rng = np.random.default_rng(0)
SMOOTH = np.stack([rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(5, 0).repeat(6, 1) // 2 + 40 for _ in range(3)])
PICTURES = torch.from_numpy(np.concatenate([SMOOTH, rng.integers(0, 256, (3, 20, 24, 3), np.uint8)])).permute(
    0, 3, 1, 2
)


def done(name: str, strength: int, sign: float = 0.9, pictures: torch.Tensor = PICTURES) -> np.ndarray:
    row = [(NAMES.index(name) + 0.5) / WAYS, (strength + 0.5) / 31, sign]
    uniforms = torch.tensor([row] * len(pictures), dtype=torch.float64)
    return trivial(pictures.contiguous(), uniforms).permute(0, 2, 3, 1).numpy()


def by_pillow(change, pictures: torch.Tensor = PICTURES) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(p))) for p in pictures.permute(0, 2, 3, 1).numpy()])


def near(ours: np.ndarray, theirs: np.ndarray, steps: int = 1) -> None:
    """Pillow cuts where this rounds: a level apart at most."""
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= steps


def test_there_are_as_many_ways_as_in_the_paper():
    assert len(module._WAYS) + 1 == WAYS == len(NAMES)


@pytest.mark.parametrize("sign", [0.1, 0.9])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("color", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_pillows(name, enhance, sign):
    factor = 1 + (1 if sign >= 0.5 else -1) * 0.99 * 18 / 30
    # Pillow rounds the poorer picture to bytes before it blends, and the mean of a picture for its contrast.
    near(done(name, 18, sign), by_pillow(lambda p: enhance(p).enhance(factor)), 2)


@pytest.mark.parametrize("strength", [5, 15, 30])
def test_posterize_and_solarize_are_pillows(strength):
    bits = 8 - round(strength / 30 * 6)
    near(done("posterize", strength), by_pillow(lambda p: ImageOps.posterize(p, bits)), 0)
    threshold = 255 * (1 - strength / 30)
    near(done("solarize", strength), by_pillow(lambda p: ImageOps.solarize(p, int(np.ceil(threshold)))), 0)


def test_autocontrast_and_equalize_are_pillows():
    near(done("autocontrast", 0), by_pillow(ImageOps.autocontrast))
    near(done("equalize", 0), by_pillow(ImageOps.equalize), 0)


def test_the_frame_of_a_sharpened_picture_stays():
    ours = done("sharpness", 30, 0.1)
    smoothed = by_pillow(lambda p: p.filter(ImageFilter.SMOOTH))
    near(ours[:, 1:-1, 1:-1], smoothed[:, 1:-1, 1:-1], 4)  # a factor of 0.01, not 0
    pictures = PICTURES.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(ours[:, 0], pictures[:, 0])
    assert np.array_equal(ours[:, :, -1], pictures[:, :, -1])


def test_a_flat_picture_survives():
    flat = torch.full((2, 1, 6, 6), 77, dtype=torch.uint8)
    for name in ("autocontrast", "equalize", "identity", "color", "rotate", "shear x", "move y"):
        assert (done(name, 30, pictures=flat) == 77).all(), name


def test_a_picture_is_moved_by_a_share_of_its_side_and_its_edge_repeated():
    ramp = torch.arange(20, dtype=torch.uint8).view(1, 1, 1, 20).expand(1, 1, 10, 20)
    moved = done("move x", 30, 0.9, ramp)[0, 0, :, 0]  # 0.45 · 20 = 9 pixels
    assert moved.tolist() == [*range(9, 20), *[19] * 9]
    back = done("move x", 30, 0.1, ramp)[0, 0, :, 0]
    assert back.tolist() == [*[0] * 9, *range(11)]


def test_a_quarter_turn_is_a_quarter_turn():
    square = torch.from_numpy(rng.integers(0, 256, (1, 1, 9, 9), np.uint8))
    turned = done("rotate", 20, 0.9, square)[0, :, :, 0]  # 135 · 20/30 = 90 degrees
    assert any(np.array_equal(turned, np.rot90(square[0, 0].numpy(), k)) for k in (1, 3))
    other = done("rotate", 20, 0.1, square)[0, :, :, 0]
    assert np.array_equal(np.rot90(turned, 2), other)


def test_a_shear_moves_rows_by_their_distance_from_the_middle():
    ramp = torch.arange(21, dtype=torch.uint8).view(1, 1, 1, 21).expand(1, 1, 21, 21)
    sheared = done("shear x", 30, 0.9, ramp)[0, :, :, 0].astype(int)
    assert np.array_equal(sheared[10], ramp[0, 0, 0])
    assert sheared[15, 10] == round(10 + 0.99 * 5)
    assert np.array_equal(sheared[:, 10], np.round(10 + 0.99 * (np.arange(21) - 10)))


def test_a_picture_is_changed_by_its_own_numbers_alone():
    u = torch.rand(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = trivial(PICTURES.contiguous(), u)
    for i in range(6):
        assert torch.equal(trivial(PICTURES[i : i + 1].contiguous(), u[i : i + 1])[0], together[i])

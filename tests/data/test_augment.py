import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mezzotint.data.augment import MORE, NUMBERS, Augment, augment

PICTURES = torch.rand(6, 3, 9, 11, generator=torch.Generator().manual_seed(0)) * 2 - 1


def numbers(**columns: float) -> torch.Tensor:
    """Rows of 0.5 with some columns set."""
    made = torch.full((len(PICTURES), NUMBERS), 0.5, dtype=torch.float64)
    for name, value in columns.items():
        made[:, int(name[1:])] = value
    return made


def test_nothing_is_nothing():
    assert torch.equal(augment(PICTURES, torch.rand(6, NUMBERS), Augment()), PICTURES)


def test_a_flip_mirrors_left_to_right_half_of_the_time():
    flipped = augment(PICTURES, numbers(u0=0.499), Augment(flip=True))
    assert torch.equal(flipped, PICTURES.flip(-1))
    assert torch.equal(augment(PICTURES, numbers(u0=0.5), Augment(flip=True)), PICTURES)


@pytest.mark.parametrize("reach", [1, 3, 8])
def test_a_shift_is_a_window_of_the_reflected_picture(reach):
    padded = F.pad(PICTURES, [reach] * 4, mode="reflect")
    steps = 2 * reach + 1
    for across in range(steps):
        for down in (0, reach, steps - 1):
            done = augment(PICTURES, numbers(u1=(across + 0.5) / steps, u2=(down + 0.5) / steps), Augment(shift=reach))
            assert torch.equal(done, padded[:, :, down : down + 9, across : across + 11])


def test_the_largest_number_below_one_stays_inside():
    """It rounds to 1 in float32, where a window past the last one would begin."""
    most = np.nextafter(1, 0)
    done = augment(PICTURES, numbers(u1=most, u2=most), Augment(shift=2))
    assert torch.equal(done, F.pad(PICTURES, [2] * 4, mode="reflect")[:, :, 4:, 4:])


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_a_cutout_sets_a_square_to_grey(side):
    done = augment(PICTURES, numbers(), Augment(cutout=side))
    hole = (done == 0).all(1)
    assert hole.sum((1, 2)).tolist() == [side**2] * 6
    assert torch.equal(done[:, :, 0], PICTURES[:, :, 0])
    rows = hole[0].any(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) == side - 1


def test_a_cutout_at_the_corner_reaches_over_the_edge():
    done = augment(PICTURES, numbers(u6=0.0, u7=0.0), Augment(cutout=4))
    assert (done == 0).all(1).sum((1, 2)).tolist() == [4] * 6


def test_neutral_color_numbers_change_nothing():
    assert torch.allclose(augment(PICTURES, numbers(), Augment(color=0.9)), PICTURES, atol=1e-6)


def test_brightness_contrast_and_saturation_do_what_they_say():
    light = (PICTURES + 1) / 2
    darker = (augment(PICTURES, numbers(u3=0.0), Augment(color=0.5)) + 1) / 2
    assert torch.allclose(darker, light * 0.5, atol=1e-6)
    flatter = (augment(PICTURES, numbers(u4=0.0), Augment(color=0.5)) + 1) / 2
    mean = light.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(flatter, mean + (light - mean) * 0.5, atol=1e-6)
    greyer = (augment(PICTURES, numbers(u5=0.0), Augment(color=0.5)) + 1) / 2
    grey = light.mean(1, keepdim=True)
    assert torch.allclose(greyer, grey + (light - grey) * 0.5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_decided_by_its_own_row_alone_and_stays_in_range(channels):
    config = Augment(flip=True, shift=3, cutout=4, color=1.0)
    pictures = PICTURES[:, :channels]
    rows = torch.rand(6, NUMBERS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    together = augment(pictures, rows, config)
    assert together.shape == pictures.shape
    assert together.abs().max() <= 1
    for i in range(6):
        alone = augment(pictures[i : i + 1], rows[i : i + 1], config)[0]
        assert torch.allclose(alone, together[i], atol=1e-6)  # sums over a picture may be taken in another order


def erased(rows: torch.Tensor, chance: float = 1.0, channels: int = 3) -> torch.Tensor:
    """Where a pixel is not as it was."""
    pictures = torch.zeros(len(rows), channels, 20, 30)
    return (augment(pictures, rows, Augment(erasing=chance)) != 0).any(1)


def test_erasing_fills_a_rectangle_of_its_area_and_shape_with_noise():
    rows = torch.full((1, MORE), 0.5, dtype=torch.float64)
    hole = erased(rows)[0]
    down, across = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
    height, width = int(down[-1] - down[0]) + 1, int(across[-1] - across[0]) + 1
    assert hole.sum() == height * width
    # In the middle of its range: 21 % of 600 pixels, as high as wide (0.3 to 3.3 in logarithms).
    assert (height, width) == (round((0.21 * 600) ** 0.5),) * 2
    filled = augment(torch.zeros(1, 1, 20, 30), rows, Augment(erasing=1.0))[0, 0][hole]
    assert filled.unique().numel() == hole.sum()
    assert filled.abs().max() <= 1


def test_erasing_stays_inside_and_covers_what_the_paper_says():
    rows = torch.rand(3000, MORE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    holes = erased(rows, 0.25)
    touched = holes.flatten(1).any(1)
    assert float(touched.float().mean()) == pytest.approx(0.25, abs=0.03)
    areas = holes[touched].float().mean((1, 2))
    assert areas.min() > 0.01
    assert areas.max() < 0.42
    assert float(areas.mean()) == pytest.approx(0.21, abs=0.02)
    assert holes[:, 0].any() and holes[:, -1].any() and holes[:, :, 0].any() and holes[:, :, -1].any()


def test_erasing_is_decided_by_a_pictures_own_row():
    rows = torch.rand(6, MORE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    together = augment(PICTURES, rows, Augment(erasing=0.7))
    for i in range(6):
        assert torch.equal(augment(PICTURES[i : i + 1], rows[i : i + 1], Augment(erasing=0.7))[0], together[i])

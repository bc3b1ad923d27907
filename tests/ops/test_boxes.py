import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.ops.boxes import bumps, by_class, corners_of, inside, overlap, peaks, told_sides

NOTHING = [-1.0, 0, 0, 0, 0, 0]
FEW = settings(deadline=None, max_examples=50)
side = st.integers(0, 12)
box = st.tuples(side, side, side, side).map(
    lambda s: (min(s[0], s[2]), min(s[1], s[3]), max(s[0], s[2]), max(s[1], s[3]))
)


def table(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([list(rows)], dtype=torch.float32)


def test_a_bump_is_one_at_the_center_and_as_wide_as_its_box():
    maps = bumps(table([2, 8, 4, 56, 28, 0], NOTHING), 16, 16, 4)
    assert maps.shape == (1, 2, 16, 16)
    assert (maps[0, 0] == 1).nonzero().tolist() == [[4, 8]]
    across, down = maps[0, 0, 4], maps[0, 0, :, 8]
    deviation = 48 / 4 * 0.09
    assert float(across[9]) == pytest.approx(math.exp(-1 / (2 * deviation**2)), rel=1e-5)
    assert float(down[5]) < float(across[9]) < 1
    assert not maps[0, 1].any()


def test_maps_of_a_class_hold_the_highest():
    boxes = table([1, 0, 0, 16, 16, 0], [1, 32, 32, 48, 48, 0], [0, 32, 0, 40, 8, 0], NOTHING)
    maps = bumps(boxes, 16, 16, 4)
    found = by_class(maps, boxes, 3)
    assert found.shape == (1, 3, 16, 16)
    assert torch.equal(found[0, 1], maps[0, :2].amax(0))
    assert torch.equal(found[0, 0], maps[0, 2])
    assert not found[0, 2].any()


def test_inside_is_where_a_cell_has_its_middle_in_the_box():
    found = inside(table([0, 4, 8, 16, 12, 0], NOTHING), 8, 8, 4)
    assert found[0, 0].nonzero().tolist() == [[2, 1], [2, 2], [2, 3]]
    assert not found[0, 1].any()


def test_each_box_is_told_with_a_weight_of_one_and_the_smaller_one_in_front():
    large, small = [0, 0, 0, 64, 64, 0], [1, 24, 24, 40, 40, 0]
    boxes = table(large, small, NOTHING)
    corners, weights = told_sides(boxes, bumps(boxes, 16, 16, 4))
    assert float(weights.sum()) == pytest.approx(2, rel=1e-5)
    assert corners[0, 8, 8].tolist() == small[1:5]
    assert corners[0, 8, 11].tolist() == large[1:5]
    assert float(weights[0, 0, 0]) == 0


def test_no_boxes_have_no_weight():
    boxes = table(NOTHING)
    assert not told_sides(boxes, bumps(boxes, 4, 4, 4))[1].any()


def test_distances_are_from_the_middles_of_cells():
    distances = torch.tensor([2.0, 1, 10, 5]).view(1, 4, 1, 1).expand(1, 4, 3, 3)
    assert corners_of(distances, 4)[0, 2, 1].tolist() == [6 - 2, 10 - 1, 6 + 10, 10 + 5]


def test_peaks_are_the_surest_places_of_their_neighborhood():
    certainty = torch.full((1, 2, 8, 8), 0.001)
    certainty[0, 1, 2, 3], certainty[0, 1, 2, 4], certainty[0, 1, 6, 6], certainty[0, 0, 2, 3] = 0.9, 0.8, 0.5, 0.7
    corners = torch.arange(8 * 8 * 4.0).view(1, 8, 8, 4)
    found = peaks(certainty, corners, 5, 0.1)
    assert found[0, :3, 0].tolist() == [1, 0, 1]
    assert found[0, :3, 5].tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert torch.equal(found[0, 0, 1:5], corners[0, 2, 3])
    assert found[0, 3:].tolist() == [NOTHING] * 2


@given(box, box)
@FEW
def test_overlap_agrees_with_counted_pixels(a, b):
    pixels = [torch.zeros(12, 12, dtype=torch.bool) for _ in range(3)]
    for grid, (left, top, right, bottom) in zip(pixels, (a, b), strict=False):
        grid[top:bottom, left:right] = True
    common, union = int((pixels[0] & pixels[1]).sum()), int((pixels[0] | pixels[1]).sum())
    first, second = (torch.tensor([values], dtype=torch.float32) for values in (a, b))
    assert float(overlap(first, second)) == pytest.approx(common / union if union else 0, abs=1e-6)
    general = float(overlap(first, second, generalized=True))
    assert -1 - 1e-6 <= general <= float(overlap(first, second)) + 1e-6


def test_generalized_overlap_by_hand():
    """Two unit squares, one apart: no overlap, a third of what is around them is neither."""
    a, b = torch.tensor([0.0, 0, 1, 1]), torch.tensor([2.0, 0, 3, 1])
    assert float(overlap(a, b, generalized=True)) == pytest.approx(-1 / 3)
    assert float(overlap(a, a, generalized=True)) == 1

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.metrics import neighbors
from mezzotint.metrics.neighbors import Bank, middles, nearest, shrunk, windows


def pictures(n, seed, c=1, h=16, w=16):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, c, h // 4, w // 4, generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return shrunk((coarse + 0.2 * torch.randn(n, c, h, w, generator=generator)).clamp(-1, 1))


def blocks(images, side):
    return images.unfold(2, side, side).unfold(3, side, side).mean((4, 5))


def by_hand(queries, references, reach=2, block=1):
    """Distance of each query to each reference, mirrored and shifted in plain loops."""
    h, w = queries.shape[2:]
    middle = blocks(references[:, :, reach : h - reach, reach : w - reach].double(), block)
    best = torch.full((len(queries), len(references)), torch.inf, dtype=torch.float64)
    for picture in (queries, queries.flip(3)):
        for y in range(2 * reach + 1):
            for x in range(2 * reach + 1):
                window = blocks(picture[:, :, y : y + h - 2 * reach, x : x + w - 2 * reach].double(), block)
                apart = (window[:, None] - middle[None]).flatten(2).norm(dim=2)
                best = torch.minimum(best, apart)
    return best


@pytest.mark.parametrize(("c", "side", "block"), [(1, 16, 1), (3, 16, 1), (1, 28, 3), (3, 32, 3)])
def test_the_nearest_are_those_of_a_full_search(c, side, block):
    queries, references = pictures(40, 0, c, side, side), pictures(700, 1, c, side, side)
    found = nearest(queries, Bank(middles(references)), windows, k=10)
    expected = by_hand(queries, references, 2, block).topk(10, largest=False)
    # 1e-5: sums and roots in float32. Noise has no principal components, so of many distant ones a few may be missed.
    torch.testing.assert_close(found.distances[:, 0].double(), expected.values[:, 0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.distances.double(), expected.values, rtol=0.02, atol=0)
    assert torch.equal(found.rows[:, 0], expected.indices[:, 0])


def test_bytes_and_floats_are_the_same_references():
    queries, references = pictures(20, 2), pictures(100, 3)
    floats = nearest(queries, Bank(middles(references)), windows)
    small = nearest(queries, Bank(middles(references).to(torch.uint8)), windows)
    assert torch.equal(floats.rows, small.rows)
    assert torch.equal(floats.distances, small.distances)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 199), st.booleans(), st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 255))
def test_a_mirrored_and_shifted_copy_is_at_distance_zero(i, mirrored, down, right, fill):
    references = pictures(200, 4)
    moved = torch.full((1, 1, 20, 20), float(fill))
    moved[0, 0, 2 + down : 18 + down, 2 + right : 18 + right] = references[i, 0]
    copy = moved[:, :, 2:18, 2:18]
    found = nearest(copy.flip(3) if mirrored else copy, Bank(middles(references)), windows)
    assert (int(found.rows[0, 0]), float(found.distances[0, 0])) == (i, 0.0)


def test_a_bound_is_never_above_the_distance():
    queries, references = pictures(30, 5), pictures(300, 6)
    bounds = Bank(middles(references)).bounds(windows(queries)).sqrt()
    exact = by_hand(queries, references)
    # The bound is a difference of large sums in float32: a hundredth of a level.
    assert (bounds.double() <= exact + 0.5).all()
    assert float((bounds.double() / exact).mean()) > 0.8, "a bound that says nothing would pass as well"


def test_no_picture_is_its_own_neighbor():
    some = pictures(50, 7)
    some[17] = some[3]
    found = nearest(some, Bank(middles(some)), windows, k=3, itself=True)
    assert not (found.rows == torch.arange(50)[:, None]).any()
    assert (int(found.rows[17, 0]), float(found.distances[17, 0])) == (3, 0.0)
    assert found.distances.shape == (50, 3)


def test_few_references_are_all_given():
    found = nearest(pictures(3, 8), Bank(middles(pictures(5, 9))), windows, k=50)
    assert found.distances.shape == (3, 5)
    assert (found.distances.diff(dim=1) >= 0).all()


def test_rows_of_features_are_compared_as_they_are():
    generator = torch.Generator().manual_seed(0)
    references, queries = torch.randn(300, 20, generator=generator), torch.randn(10, 2, 20, generator=generator)
    found = nearest(queries, Bank(references), lambda views: views, k=4)
    expected = torch.cdist(queries, references[None]).amin(1).topk(4, largest=False)
    torch.testing.assert_close(found.distances, expected.values, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.rows, expected.indices)


def test_large_pictures_are_shrunk_by_area_and_small_ones_are_not():
    large = torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert shrunk(large).shape == (2, 3, 64, 32)
    blocks = large.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    np.testing.assert_allclose(shrunk(large), ((blocks + 1) * 127.5).round(), atol=1)
    assert shrunk(large[:, :, :28, :28]).shape == (2, 3, 28, 28)
    assert [neighbors.reach(side) for side in (4, 8, 16, 28, 32)] == [0, 1, 2, 2, 2]

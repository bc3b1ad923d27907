import pytest
import torch
from scipy import ndimage

from mezzotint.ops.pyramid import doubled, edges, halved, laplacian


def pictures():
    return torch.rand(3, 2, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_what_was_taken_apart_goes_together_again(levels):
    images = pictures()
    small, lacking = laplacian(images, levels)
    assert small.shape[2:] == (8 >> levels, 12 >> levels)
    for lacks in lacking:
        small = doubled(small) + lacks
    torch.testing.assert_close(small, images)


def test_halved_undoes_doubled_and_what_is_lacking_has_no_mean():
    images = pictures()
    torch.testing.assert_close(halved(doubled(images)), images)
    _, (lacks,) = laplacian(images, 1)
    torch.testing.assert_close(halved(lacks), torch.zeros(3, 2, 4, 6), rtol=0, atol=1e-6)


def test_edges_are_scipys_morphological_gradient():
    picture = pictures()[0, 0]
    expected = ndimage.morphological_gradient(picture.numpy(), size=3, mode="nearest") - 1
    torch.testing.assert_close(edges(picture[None, None])[0, 0], torch.from_numpy(expected))


def test_an_even_picture_has_no_edges():
    assert (edges(torch.full((1, 1, 6, 6), 0.3)) == -1).all()

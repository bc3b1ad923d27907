import torch

from mezzotint.ops.places import places


def test_each_number_is_the_mean_of_a_cell_of_one_of_seven_channels():
    maps = torch.rand(2, 9, 16, 24, generator=torch.Generator().manual_seed(0))
    told = places(maps).view(2, 7, 8, 8)
    assert torch.allclose(told[1, 3, 2, 5], maps[1, 3, 4:6, 15:18].mean())


def test_small_maps_are_told_pixel_by_pixel():
    maps = torch.rand(2, 3, 4, 8)
    assert torch.equal(places(maps), maps.flatten(1))

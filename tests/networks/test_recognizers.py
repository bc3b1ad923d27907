"""ResNet, DenseNet, ConvNeXt and ViT: sizes as published, any picture in, all of it learns."""

import pytest
import torch

from mezzotint.networks.convnext import ConvnextConfig
from mezzotint.networks.densenet import DensenetConfig
from mezzotint.networks.recognizer import DropPath, depths, map_norm, reduction
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.networks.vit import VitConfig, sines_of_places
from mezzotint.types import DataSpec

IMAGENET = DataSpec(3, 224, 224, tuple(map(str, range(1000))))
CIFAR = DataSpec(3, 32, 32, tuple("0123456789"))
NARROW = {
    "basic": ResnetConfig(width=8, stem=8, blocks=(1, 1, 1)),
    "group": ResnetConfig(width=8, stem=8, blocks=(1, 1), norm="group"),
    "bottleneck": ResnetConfig(width=4, stem=8, blocks=(1, 2), block="bottleneck"),
    "preactivated": ResnetConfig(width=16, stem=8, blocks=(2, 1), preactivated=True, inner_dropout=0.1),
    "preactivated-bottleneck": ResnetConfig(width=4, stem=4, blocks=(1, 1), preactivated=True, block="bottleneck"),
    "densenet": DensenetConfig(growth=4, blocks=(2, 1, 2), inner_dropout=0.1),
    "densenet-group": DensenetConfig(growth=4, blocks=(2, 1), norm="group"),
    "convnext": ConvnextConfig(width=8, blocks=(1, 1, 1)),
    "vit": VitConfig(width=16, depth=2, heads=2),
}
every_network = pytest.mark.parametrize("name", NARROW)


@pytest.mark.parametrize(
    ("config", "spec", "published"),
    [
        # Of the papers' networks as torchvision and timm count them.
        (ResnetConfig(), IMAGENET, 11_689_512),
        (ResnetConfig(blocks=(3, 4, 6, 3)), IMAGENET, 21_797_672),
        (ResnetConfig(blocks=(3, 4, 6, 3), block="bottleneck"), IMAGENET, 25_557_032),
        (DensenetConfig(), IMAGENET, 7_978_856),
        (ConvnextConfig(), IMAGENET, 28_589_128),
        # ViT-S/16 less the class token and the learned places, which Beyer et al. 2022 leave out.
        (VitConfig(width=384, depth=12, heads=6), IMAGENET, 22_050_664 - 384 - 197 * 384),
        # WRN-28-10 and DenseNet-BC-100-12 of CIFAR-10.
        (ResnetConfig(preactivated=True, stem=16, width=160, blocks=(4, 4, 4)), CIFAR, 36_479_194),
        (DensenetConfig(growth=12, blocks=(16, 16, 16)), CIFAR, 769_162),
    ],
    ids=["resnet-18", "resnet-34", "resnet-50", "densenet-121", "convnext-t", "vit-s", "wrn-28-10", "densenet-bc"],
)
def test_parameters_are_as_many_as_published(config, spec, published, count):
    with torch.device("meta"):
        assert count(config.build(spec)) == published


@pytest.mark.parametrize(
    ("config", "maps"),
    [
        (ResnetConfig(), (1, 512, 7, 7)),
        (ResnetConfig(blocks=(3, 4, 6, 3)), (1, 512, 7, 7)),
        (ResnetConfig(blocks=(3, 4, 6, 3), block="bottleneck"), (1, 2048, 7, 7)),
        (DensenetConfig(), (1, 1024, 7, 7)),
        (ConvnextConfig(), (1, 768, 7, 7)),
        (VitConfig(width=384, depth=12, heads=6), (1, 384, 14, 14)),
    ],
    ids=["resnet-18", "resnet-34", "resnet-50", "densenet-121", "convnext-t", "vit-s"],
)
def test_the_last_maps_are_as_published(config, maps):
    with torch.device("meta"):
        network, images = config.build(IMAGENET), torch.zeros(1, 3, 224, 224)
        assert network.maps(images).shape == maps
        assert network(images).shape == (1, 1000)


@every_network
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 8, 28, 33, 100])
def test_any_picture_goes_in(name, side, channels, make_spec):
    spec = make_spec(side, channels)
    network, images = NARROW[name].build(spec), torch.rand(2, *spec.shape) * 2 - 1
    assert network(images).shape == (2, 3)
    assert network.features(images).shape == (2, network.width)
    assert network.spatial(images).shape[0] == 2


@every_network
def test_pictures_need_not_be_square(name):
    spec = DataSpec(channels=1, height=12, width=41, classes=("a", "b"))
    assert NARROW[name].build(spec)(torch.zeros(2, 1, 12, 41)).shape == (2, 2)


@every_network
def test_all_of_it_learns(name, make_spec, assert_all_learn):
    spec = make_spec(28)
    network, images = NARROW[name].build(spec), torch.rand(4, *spec.shape) * 2 - 1
    assert_all_learn(network, lambda: network(images))


@every_network
def test_logits_follow_from_maps_and_features(name, make_spec):
    network, images = NARROW[name].build(make_spec(28)).eval(), torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(network.head(network.pooled(network.maps(images))), network(images))


@every_network
def test_memory_layout_changes_no_number(name, make_spec):
    network, images = NARROW[name].build(make_spec(28)).eval(), torch.rand(2, 1, 28, 28) * 2 - 1
    expected = network(images)
    last = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["group", "densenet-group", "convnext", "vit"])
def test_without_batch_norm_a_picture_is_alone(name, make_spec):
    network, images = NARROW[name].build(make_spec(28)), torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(network(images)[:2], network(images[:2]), rtol=1e-4, atol=1e-5)


def test_a_residual_block_begins_as_the_identity(make_spec):
    """The last norm of a branch begins at zero, so that ReLU(x + 0) is x for what a ReLU gave."""
    network = NARROW["basic"].build(make_spec(28))
    x = torch.rand(2, 8, 5, 5)
    assert torch.equal(network.stages[0](x), x)


@pytest.mark.parametrize(
    ("side", "asked", "by"), [(28, None, 1), (32, None, 1), (64, None, 2), (224, None, 4), (28, 2, 2), (224, 1, 1)]
)
def test_the_stem_divides_by_the_size_of_the_pictures(side, asked, by, make_spec):
    assert reduction(make_spec(side), asked) == by


def test_a_reduction_that_there_is_not_is_refused(make_spec):
    with pytest.raises(ValueError, match="1, 2 or 4"):
        ResnetConfig(reduction=3).build(make_spec(28))


def test_group_norm_takes_32_groups_where_there_are_so_many():
    assert [map_norm("group", c).num_groups for c in (64, 48, 8, 7)] == [32, 24, 8, 7]  # pyright: ignore


# Stochastic depth.


def test_a_branch_is_left_out_for_some_pictures_and_scaled_for_others():
    drop, ones = DropPath(0.25), torch.ones(4000, 2, 3, 3)
    kept = drop(ones)
    share = (kept[:, 0, 0, 0] > 0).float().mean()
    assert share == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 4000) ** 0.5)
    assert torch.equal(kept.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert all(picture.unique().numel() == 1 for picture in kept[:50])
    assert torch.equal(drop.eval()(ones), ones)


def test_the_share_grows_with_depth():
    assert depths((1, 2), 0.5) == [[0.0], [0.25, 0.5]]
    assert depths((2,), 0.0) == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="drop_path"):
        depths((1,), 1.0)


# Places.


def test_each_place_has_a_code_of_its_own_and_neighbors_are_alike():
    codes = sines_of_places(7, 9, 32).flatten(1).T
    nearness = codes @ codes.T
    assert (nearness - nearness.diag().diag()).max() < nearness.diag().min() - 0.1
    assert nearness[0, 1] > nearness[0, 4]
    assert nearness[0, 9] > nearness[0, 36]
    torch.testing.assert_close(codes.square().sum(1), torch.full((63,), 16.0))

import pytest
import torch
from torch import nn

from mezzotint.errors import UserError
from mezzotint.networks import parts
from mezzotint.networks.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from mezzotint.networks.parts import VectorFromMap
from mezzotint.types import DataSpec

LABELS = torch.tensor([0, 2])
SIZES = [8, 16, 28, 32, 64, 128]
TENSORFLOW_GENERATOR = DcganGeneratorConfig(kernel=5, leak=0.3, stem=True, radford=False)
TENSORFLOW_DISCRIMINATOR = DcganDiscriminatorConfig(kernel=5, leak=0.3, norm="none", dropout=0.3, radford=False)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("variant", [{"kernel": 4}, {"kernel": 5, "stem": True, "leak": 0.3}], ids=["paper", "stem"])
def test_generator(variant, side, channels, classes, make_spec, assert_all_learn):
    config = DcganGeneratorConfig(width=4, most=8, **variant)
    network, labels = config.build(make_spec(side, channels), 5, classes), LABELS if classes else None
    images = network(torch.randn(2, 5), labels)
    assert images.shape == (2, channels, side, side)
    assert images.abs().max() <= 1
    assert_all_learn(network, lambda: network(torch.randn(2, 5), labels))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("variant", [{"norm": "batch"}, {"kernel": 5, "norm": "none"}], ids=["batch", "none"])
def test_discriminator(variant, side, channels, classes, make_spec, assert_all_learn):
    spec, labels = make_spec(side, channels), torch.tensor([0, 1, 2, 1]) if classes else None
    network = DcganDiscriminatorConfig(width=4, most=8, **variant).build(spec, classes)
    images = torch.rand(4, *spec.shape) * 2 - 1
    assert network(images, labels).shape == (4,)
    assert_all_learn(network, lambda: network(images, labels))


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "pixel", "none"])
def test_every_combination_keeps_the_side(kernel, stem, norm, make_spec, assert_all_learn):
    config = DcganGeneratorConfig(width=4, most=16, kernel=kernel, stem=stem, norm=norm)
    network = config.build(make_spec(16), 5, 0)
    assert network(torch.randn(3, 5)).shape == (3, 1, 16, 16)
    assert any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in network.modules()) == (norm == "batch")
    assert_all_learn(network, lambda: network(torch.randn(3, 5)))


def test_tensorflows_tutorial_is_counted_as_keras_does(make_spec, count):
    """Keras counts the moving mean and variance of batch norm too."""
    generator = TENSORFLOW_GENERATOR.build(make_spec(28), 100, 0)
    units = 7 * 7 * 256
    learned = 100 * units + 2 * units + 25 * (256 * 128 + 128 * 64 + 64) + 2 * (128 + 64)
    moving = sum(b.numel() for name, b in generator.named_buffers() if name.endswith(("_mean", "_var")))
    assert count(generator) == learned == 2_305_472
    assert learned + moving == 2_330_944
    discriminator = TENSORFLOW_DISCRIMINATOR.build(make_spec(28), 0)
    assert count(discriminator) == 25 * 64 + 64 + 25 * 64 * 128 + 128 + 7 * 7 * 128 + 1 == 212_865


def test_tensorflows_tutorial_layer_by_layer(make_spec):
    linear, transposed, norms = nn.Linear, parts.ConvTranspose2d, (nn.BatchNorm1d, nn.BatchNorm2d)
    layers = list(TENSORFLOW_GENERATOR.build(make_spec(28), 100, 0).body)
    kinds = [type(m) for m in layers if type(m) in (linear, transposed, *norms, nn.LeakyReLU, nn.Tanh)]
    opening = [linear, nn.BatchNorm1d, nn.LeakyReLU, transposed, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [*opening, transposed, nn.BatchNorm2d, nn.LeakyReLU, transposed, nn.Tanh]
    assert [m.stride for m in layers if isinstance(m, transposed)] == [(1, 1), (2, 2), (2, 2)]
    assert all(m.bias is None for m in layers if isinstance(m, (linear, transposed)))
    layers = list(TENSORFLOW_DISCRIMINATOR.build(make_spec(28), 0).body)
    assert [type(m) for m in layers] == [parts.Conv2d, nn.LeakyReLU, parts.Dropout] * 2 + [VectorFromMap]
    assert {m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)} == {0.3}


@pytest.mark.parametrize(
    ("side", "width", "most", "widths"),
    [
        (64, 64, 512, (512, 256, 128, 64)),
        (64, 128, 1024, (1024, 512, 256, 128)),
        (128, 64, 1024, (1024, 512, 256, 128, 64)),
    ],
    ids=["pytorch tutorial", "paper, figure 1", "128 pixels"],
)
def test_generators_parameter_counts(side, width, most, widths, make_spec, count):
    """Sixteen weights from each map to each next one and two numbers a norm; no biases."""
    with torch.device("meta"):
        network = DcganGeneratorConfig(width=width, most=most).build(make_spec(side, 3), 100, 0)
    pairs = zip((100, *widths), (*widths, 3), strict=True)
    assert count(network) == 16 * sum(a * b for a, b in pairs) + 2 * sum(widths)


def test_pytorchs_tutorial_has_its_published_size(make_spec, count):
    """3,576,704 and 2,765,568; ours adds the biases of the first convolution (64) and of the logit (1)."""
    with torch.device("meta"):
        assert count(DcganGeneratorConfig().build(make_spec(64, 3), 100, 0)) == 3_576_704
        assert count(DcganDiscriminatorConfig().build(make_spec(64, 3), 0)) == 2_765_568 + 64 + 1


def test_weights_begin_as_the_paper_says(make_spec):
    for network in (
        DcganGeneratorConfig().build(make_spec(32), 100, 0),
        DcganDiscriminatorConfig().build(make_spec(32), 0),
    ):
        weights = [m.weight for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
        flat = torch.cat([w.flatten() for w in weights])
        assert abs(flat.mean()) < 5e-4
        torch.testing.assert_close(flat.std(), torch.tensor(0.02), rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("norm", "side", "couples"), [("none", 28, False), ("layer", 28, False), ("batch", 28, True), ("batch", 8, False)]
)
def test_couples_pictures_tells_whether_company_matters(norm, side, couples, make_spec):
    """At 8 pixels there is one convolution, and the first never has a norm."""
    network = DcganDiscriminatorConfig(width=4, norm=norm).build(make_spec(side), 0)
    one, company = torch.randn(1, 1, side, side), torch.randn(2, 3, 1, side, side)
    first, second = (network(torch.cat([one, others]))[0] for others in company)
    assert network.couples_pictures == couples
    assert torch.allclose(first, second, rtol=1e-5, atol=1e-7) == (not couples)


def test_projection_adds_the_inner_product_of_class_and_features(make_spec):
    network = DcganDiscriminatorConfig(width=4, norm="none").build(make_spec(16), 3)
    images = torch.randn(1, 1, 16, 16)
    features = network.body(images)[0]
    logits = torch.cat([network(images, torch.tensor([label])) for label in range(3)])
    torch.testing.assert_close(logits, network.head(features) + network.projection.weight @ features)


def test_a_picture_does_not_depend_on_its_company_in_use(make_spec):
    network, z = DcganGeneratorConfig(width=8).build(make_spec(16), 5, 0).eval(), torch.randn(6, 5)
    torch.testing.assert_close(network(z)[2:3], network(z[2:3]))


def test_memory_layout_changes_no_number(make_spec):
    generator = DcganGeneratorConfig(width=8).build(make_spec(28), 5, 0).eval()
    discriminator = DcganDiscriminatorConfig(width=8).build(make_spec(28), 0).eval()
    z = torch.randn(2, 5)
    images = generator(z)
    logits = discriminator(images)
    last = generator.to(memory_format=torch.channels_last)(z)
    torch.testing.assert_close(last, images)
    last = last.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(discriminator.to(memory_format=torch.channels_last)(last), logits)


@pytest.mark.parametrize("size", [(18, 18), (100, 100), (4, 4), (32, 64)])
def test_other_sizes_are_refused_in_a_sentence(size):
    spec = DataSpec(channels=1, height=size[0], width=size[1])
    with pytest.raises(UserError, match="--size"):
        DcganGeneratorConfig().build(spec, 5, 0)
    with pytest.raises(UserError, match="--size"):
        DcganDiscriminatorConfig().build(spec, 0)

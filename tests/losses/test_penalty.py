import pytest
import torch
from torch import nn

from mezzotint.losses.penalty import clip_weights, gradient_penalty, slopes, squared_slope


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(n=3, dtype=torch.float64):
    return torch.randn(n, 1, 4, 4, dtype=dtype)


def test_of_a_linear_critic():
    """The gradient of <w, x> is w at every picture."""
    weight = torch.randn(1, 4, 4, dtype=torch.float64)
    mix, expected = torch.rand(3, 1, 1, 1, dtype=torch.float64), weight.norm()
    penalty = gradient_penalty(lambda x: (x * weight).flatten(1).sum(1), pictures(), pictures(), mix)
    torch.testing.assert_close(penalty, ((expected - 1) ** 2).expand(3))
    flat = gradient_penalty(lambda x: (x * weight).flatten(1).sum(1), pictures(), pictures(), mix, center=0.0)
    torch.testing.assert_close(flat, (expected**2).expand(3))
    real = pictures().requires_grad_()
    torch.testing.assert_close(squared_slope(real, (real * weight).flatten(1).sum(1)), (expected**2).expand(3))


def test_of_a_quadratic_critic():
    """The gradient of |x|²/2 is x: the penalties tell where they were taken."""
    real, fake = pictures().requires_grad_(), pictures()

    def half_square(x):
        return x.square().flatten(1).sum(1) / 2

    torch.testing.assert_close(squared_slope(real, half_square(real)), real.square().flatten(1).sum(1))
    mix = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64).view(3, 1, 1, 1)
    where = torch.stack([real[0], fake[1], 0.75 * real[2] + 0.25 * fake[2]])
    expected = (where.flatten(1).norm(dim=1) - 1).square()
    torch.testing.assert_close(gradient_penalty(half_square, real, fake, mix), expected)


def test_slopes_of_two_batches_come_from_one_pass():
    real, fake = pictures().requires_grad_(), pictures().requires_grad_()
    logits = torch.cat([real, fake]).square().flatten(1).sum(1) / 2
    at_real, at_fake = slopes([real, fake], logits)
    torch.testing.assert_close(at_real, real.flatten(1))
    torch.testing.assert_close(at_fake, fake.flatten(1))


def test_gradients_by_the_critics_weights():
    real, fake, mix = pictures(), pictures(), torch.rand(3, 1, 1, 1, dtype=torch.float64)
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)

    def critic(x, w):
        return torch.tanh(nn.functional.conv2d(x, w)).square().flatten(1).sum(1)

    def of_real(w):
        x = real.clone().requires_grad_()
        return squared_slope(x, critic(x, w))

    assert torch.autograd.gradcheck(of_real, weight)
    for center in (0.0, 1.0):
        penalty = lambda w, c=center: gradient_penalty(lambda x: critic(x, w), real, fake, mix, c)  # noqa: E731
        assert torch.autograd.gradcheck(penalty, weight)
        assert torch.autograd.gradgradcheck(penalty, weight)
    assert torch.autograd.gradgradcheck(of_real, weight)


def test_a_flat_critic_has_a_finite_gradient():
    """The norm has a kink at zero, where dead units can bring it."""
    weight = torch.zeros(1, 4, 4, requires_grad=True)
    real, fake = pictures(dtype=torch.float32), pictures(dtype=torch.float32)
    penalty = gradient_penalty(lambda x: (x * weight).flatten(1).sum(1), real, fake, torch.rand(3, 1, 1, 1))
    assert penalty.tolist() == [1, 1, 1]
    penalty.sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_reduced_precision_is_squared_in_float32():
    real = pictures(dtype=torch.bfloat16).requires_grad_()
    assert squared_slope(real, real.square().flatten(1).sum(1)).dtype == torch.float32


def test_clipping_moves_only_what_is_out_of_bounds():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-3.0, 0.004]]))
        layer.bias.fill_(0.5)
    clip_weights(layer.parameters(), 0.01)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[-0.01, 0.004]]))
    torch.testing.assert_close(layer.bias.data, torch.tensor([0.01]))
    assert layer.weight.requires_grad

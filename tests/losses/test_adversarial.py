import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mezzotint.losses.adversarial import LOSSES, InputGradient, pull

ONE_PASS = ("minimax", "non-saturating", "wasserstein", "relativistic")
logit = st.floats(-30, 30, allow_nan=False)


def derivative(function, at):
    at = at.detach().clone().requires_grad_()
    return torch.autograd.grad(function(at).sum(), at)[0]


def test_cross_entropy_games_are_torchs():
    real, fake = torch.randn(2, 16, dtype=torch.float64) * 5
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    expected = F.binary_cross_entropy_with_logits(real, ones, reduction="none")
    expected = expected + F.binary_cross_entropy_with_logits(fake, zeros, reduction="none")
    for name in ("minimax", "non-saturating"):
        torch.testing.assert_close(LOSSES[name].discriminator(real, fake), expected)
    expected = F.binary_cross_entropy_with_logits(fake, ones, reduction="none")
    torch.testing.assert_close(LOSSES["non-saturating"].generator(real, fake), expected)
    torch.testing.assert_close(LOSSES["minimax"].generator(real, fake), torch.log(1 - torch.sigmoid(fake)))


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        # At logits (real, fake) = (0.5, -0.5), by hand.
        ("least-squares", 0.125 + 0.125, 1.125),
        ("hinge", 0.5 + 0.5, 0.5),
        ("wasserstein", -0.5 - 0.5, 0.5),
        ("relativistic", math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))),
    ],
)
def test_known_values(name, discriminator, generator):
    real, fake = torch.tensor([0.5]), torch.tensor([-0.5])
    assert LOSSES[name].discriminator(real, fake).item() == pytest.approx(discriminator)
    assert LOSSES[name].generator(real, fake).item() == pytest.approx(generator)


def test_an_undecided_discriminator_pays_log_4():
    """Goodfellow et al. 2014, theorem 1: the value of the game at its equilibrium is -log 4."""
    paid = LOSSES["minimax"].discriminator(torch.zeros(1), torch.zeros(1))
    assert paid.item() == pytest.approx(math.log(4))


def test_hinge_is_flat_beyond_the_margin():
    paid = LOSSES["hinge"].discriminator(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -3.0]))
    assert paid.tolist() == [0, 0]


@given(real=logit, fake=logit, shift=logit)
@settings(deadline=None, max_examples=30)
def test_a_relativistic_pair_pays_for_its_difference_alone(real, fake, shift):
    """Shifting all logits changes nothing, and each side's loss is the other's for the pair turned around."""
    loss = LOSSES["relativistic"]
    a, b, by = (torch.tensor([v], dtype=torch.float64) for v in (real, fake, shift))
    torch.testing.assert_close(loss.discriminator(a + by, b + by), loss.discriminator(a, b))
    torch.testing.assert_close(loss.generator(a, b), loss.discriminator(b, a))


def test_only_relative_losses_show_the_real_logit_to_the_generator():
    fake = torch.tensor([0.3])
    for loss in LOSSES.values():
        same = torch.equal(loss.generator(torch.tensor([1.0]), fake), loss.generator(torch.tensor([-2.0]), fake))
        assert same != loss.relative


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_wants_what_it_should(name):
    """The discriminator raises real and lowers fake logits, the generator raises fake ones."""
    loss, at = LOSSES[name], torch.full((1,), 0.3)
    assert derivative(lambda real: loss.discriminator(real, at), at) < 0
    assert derivative(lambda fake: loss.discriminator(at, fake), at) > 0
    assert derivative(lambda fake: loss.generator(at, fake), at) < 0


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives(name):
    loss = LOSSES[name]
    # Away from the kinks of the hinge at 1 and -1.
    at = torch.tensor([-1.7, -0.4, 0.2, 2.3], dtype=torch.float64)
    real, fake = at.clone().requires_grad_(), at.flip(0).requires_grad_()
    assert torch.autograd.gradcheck(loss.discriminator, (real, fake))
    assert torch.autograd.gradcheck(lambda x: loss.generator(real.detach(), x), (fake,))
    assert torch.autograd.gradgradcheck(loss.discriminator, (real, fake))
    assert torch.autograd.gradgradcheck(lambda x: loss.generator(real.detach(), x), (fake,))
    expected = derivative(lambda x: loss.generator(real.detach(), x), fake)
    torch.testing.assert_close(pull(loss, real, fake), expected)


@pytest.mark.parametrize("name", ONE_PASS)
@given(of_real=st.floats(-25, 25), value=st.floats(-25, 25))
@settings(deadline=None, max_examples=30)
def test_scale_is_the_ratio_of_the_derivatives(name, of_real, value):
    loss, at = LOSSES[name], torch.tensor([value], dtype=torch.float64)
    real = torch.tensor([of_real], dtype=torch.float64)
    of_fake = derivative(lambda fake: loss.discriminator(real, fake), at)
    # torch's softplus is the identity above 20: exact to exp(-20) = 2e-9.
    torch.testing.assert_close(
        loss.scale(real, at) * of_fake, derivative(lambda x: loss.generator(real, x), at), rtol=1e-8, atol=0
    )


class Critic(nn.Module):
    """Pictures do not meet in here."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3, 2), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(27, 8), nn.Tanh())
        self.head = nn.Linear(8, 1)

    def forward(self, images):
        return self.head(self.body(images)).squeeze(1) * 3


@pytest.mark.parametrize("name", ONE_PASS)
def test_one_pass_gives_the_gradients_of_two(name):
    torch.manual_seed(1)
    loss, critic = LOSSES[name], Critic().double()
    draw = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))).double()
    real, z = torch.randn(5, 1, 8, 8).double(), torch.randn(5, 4).double()
    ours, theirs = list(draw.parameters()), list(critic.parameters())

    generator = torch.autograd.grad(loss.generator(critic(real).detach(), critic(draw(z))).mean(), ours)
    paid = loss.discriminator(critic(real), critic(draw(z).detach()))
    discriminator = torch.autograd.grad(paid.mean(), theirs)

    turned = InputGradient()
    real_logits, fake_logits = critic(torch.cat([real, turned.attach(draw(z))])).chunk(2)
    turned.fill(loss, real_logits, fake_logits)
    together = torch.autograd.grad(loss.discriminator(real_logits, fake_logits).mean(), [*ours, *theirs])
    torch.testing.assert_close(together, generator + discriminator, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["least-squares", "hinge"])
def test_where_the_discriminators_derivative_can_vanish_one_pass_is_refused(name):
    """At -2 (hinge) and 0 (least squares) the discriminator rests, but the generator does not."""
    loss, at = LOSSES[name], torch.tensor([-2.0 if name == "hinge" else 0.0])
    assert derivative(lambda fake: loss.discriminator(at, fake), at) == 0
    assert derivative(lambda fake: loss.generator(at, fake), at) != 0
    assert loss.scale is None
    with pytest.raises(ValueError, match="can be zero"):
        InputGradient().fill(loss, at, at)


@pytest.mark.parametrize("value", [-1e4, -200.0, -90.0, -50.0, 0.0, 90.0, 1e4])
def test_one_pass_is_finite_in_float32_at_any_logit(value):
    pixel, loss, turned = torch.tensor([[[[value]]]], requires_grad=True), LOSSES["non-saturating"], InputGradient()
    logits = turned.attach(pixel).flatten()
    nothing = torch.full((1,), 1e9)  # a real logit so high that it costs nothing
    turned.fill(loss, nothing, logits)
    loss.discriminator(nothing, logits).mean().backward()
    assert pixel.grad is not None
    assert pixel.grad.isfinite().all()
    if -60 < value <= 0:
        expected = derivative(lambda fake: loss.generator(nothing, fake), torch.tensor([value]))
        torch.testing.assert_close(pixel.grad.flatten(), expected, rtol=1e-5, atol=0)


def test_attaching_changes_no_picture_and_asks_to_be_filled():
    images, turned = torch.randn(2, 1, 3, 3, requires_grad=True), InputGradient()
    attached = turned.attach(images)
    assert torch.equal(attached, images)
    with pytest.raises(RuntimeError, match="fill must be called"):
        attached.sum().backward()

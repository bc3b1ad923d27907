import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mezzotint.losses.adversarial import LOSSES, InputGradient

ONE_PASS = ("minimax", "non-saturating", "wasserstein")
logit = st.floats(-30, 30, allow_nan=False)


def derivative(function, at):
    at = at.detach().clone().requires_grad_()
    return torch.autograd.grad(function(at).sum(), at)[0]


def test_cross_entropy_games_are_torchs():
    real, fake = torch.randn(2, 16, dtype=torch.float64) * 5
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    for name in ("minimax", "non-saturating"):
        of_real, of_fake = LOSSES[name].discriminator(real, fake)
        torch.testing.assert_close(of_real, F.binary_cross_entropy_with_logits(real, ones, reduction="none"))
        torch.testing.assert_close(of_fake, F.binary_cross_entropy_with_logits(fake, zeros, reduction="none"))
    expected = F.binary_cross_entropy_with_logits(fake, ones, reduction="none")
    torch.testing.assert_close(LOSSES["non-saturating"].generator(fake), expected)
    torch.testing.assert_close(LOSSES["minimax"].generator(fake), torch.log(1 - torch.sigmoid(fake)))


@pytest.mark.parametrize(
    ("name", "of_real", "of_fake", "generator"),
    [
        # At logits (real, fake) = (0.5, -0.5), by hand.
        ("least-squares", 0.125, 0.125, 1.125),
        ("hinge", 0.5, 0.5, 0.5),
        ("wasserstein", -0.5, -0.5, 0.5),
    ],
)
def test_known_values(name, of_real, of_fake, generator):
    real, fake = torch.tensor([0.5]), torch.tensor([-0.5])
    assert [v.item() for v in LOSSES[name].discriminator(real, fake)] == [of_real, of_fake]
    assert LOSSES[name].generator(fake).item() == generator


def test_an_undecided_discriminator_pays_log_4():
    """Goodfellow et al. 2014, theorem 1: the value of the game at its equilibrium is -log 4."""
    of_real, of_fake = LOSSES["minimax"].discriminator(torch.zeros(1), torch.zeros(1))
    assert (of_real + of_fake).item() == pytest.approx(math.log(4))


def test_hinge_is_flat_beyond_the_margin():
    of_real, of_fake = LOSSES["hinge"].discriminator(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -3.0]))
    assert of_real.tolist() == of_fake.tolist() == [0, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_wants_what_it_should(name):
    """The discriminator raises real and lowers fake logits, the generator raises fake ones."""
    loss, at = LOSSES[name], torch.full((1,), 0.3)
    assert derivative(lambda real: loss.discriminator(real, at)[0], at) < 0
    assert derivative(lambda fake: loss.discriminator(at, fake)[1], at) > 0
    assert derivative(loss.generator, at) < 0


@pytest.mark.parametrize("name", ONE_PASS)
@given(value=logit)
@settings(deadline=None, max_examples=30)
def test_scale_is_the_ratio_of_the_derivatives(name, value):
    loss, at = LOSSES[name], torch.tensor([value], dtype=torch.float64)
    of_fake = derivative(lambda fake: loss.discriminator(fake, fake.clone())[1], at)
    # torch's softplus is the identity above 20: exact to exp(-20) = 2e-9.
    torch.testing.assert_close(loss.scale(at) * of_fake, derivative(loss.generator, at), rtol=1e-8, atol=0)


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

    generator = torch.autograd.grad(loss.generator(critic(draw(z))).mean(), ours)
    of_real, of_fake = loss.discriminator(critic(real), critic(draw(z).detach()))
    discriminator = torch.autograd.grad((of_real + of_fake).mean(), theirs)

    turned = InputGradient()
    real_logits, fake_logits = critic(torch.cat([real, turned.attach(draw(z))])).chunk(2)
    of_real, of_fake = loss.discriminator(real_logits, fake_logits)
    turned.fill(loss, fake_logits)
    together = torch.autograd.grad((of_real + of_fake).mean(), [*ours, *theirs])
    torch.testing.assert_close(together, generator + discriminator, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["least-squares", "hinge"])
def test_where_the_discriminators_derivative_can_vanish_one_pass_is_refused(name):
    """At -2 (hinge) and 0 (least squares) the discriminator rests, but the generator does not."""
    loss, at = LOSSES[name], torch.tensor([-2.0 if name == "hinge" else 0.0])
    assert derivative(lambda fake: loss.discriminator(fake, fake.clone())[1], at) == 0
    assert derivative(loss.generator, at) != 0
    assert loss.scale is None
    with pytest.raises(ValueError, match="can be zero"):
        InputGradient().fill(loss, at)


@pytest.mark.parametrize("value", [-1e4, -200.0, -90.0, -50.0, 0.0, 90.0, 1e4])
def test_one_pass_is_finite_in_float32_at_any_logit(value):
    pixel, loss, turned = torch.tensor([[[[value]]]], requires_grad=True), LOSSES["non-saturating"], InputGradient()
    logits = turned.attach(pixel).flatten()
    turned.fill(loss, logits)
    loss.discriminator(logits, logits)[1].mean().backward()
    assert pixel.grad is not None
    assert pixel.grad.isfinite().all()
    if -60 < value <= 0:
        expected = derivative(loss.generator, torch.tensor([value]))
        torch.testing.assert_close(pixel.grad.flatten(), expected, rtol=1e-5, atol=0)


def test_attaching_changes_no_picture_and_asks_to_be_filled():
    images, turned = torch.randn(2, 1, 3, 3, requires_grad=True), InputGradient()
    attached = turned.attach(images)
    assert torch.equal(attached, images)
    with pytest.raises(RuntimeError, match="fill must be called"):
        attached.sum().backward()

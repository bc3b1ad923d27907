import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions

from mezzotint.losses.likelihood import Mixture, bernoulli, discretized_logistic, gaussian, gaussian_kl

LEVELS = (torch.arange(256, dtype=torch.float64) / 127.5 - 1).view(256, 1, 1, 1)
mpmath.mp.dps = 60


def discretized_gaussian(mean, log_scale, images):
    return gaussian(mean, images, log_scale)


DISCRETIZED = pytest.mark.parametrize("of", [discretized_gaussian, discretized_logistic], ids=["gaussian", "logistic"])


def log_probabilities(of, mean, log_scale, levels=LEVELS, dtype=torch.float64):
    mean = torch.full(levels.shape, mean, dtype=dtype)
    return of(mean, torch.full((1, 1, 1), log_scale, dtype=dtype), levels.to(dtype))


def exact(of, mean, log_scale, level):
    """With sixty decimals, from the cumulative distributions."""
    m, s, x, half = mpmath.mpf(mean), mpmath.exp(log_scale), mpmath.mpf(level) * 2 / 255 - 1, mpmath.mpf(1) / 255
    lower, upper = (x - half - m) / s, (x + half - m) / s

    def cumulative(t):
        return mpmath.ncdf(t) if of is discretized_gaussian else 1 / (1 + mpmath.exp(-t))

    if level == 0:
        return mpmath.log(cumulative(upper))
    if level == 255:
        return mpmath.log(cumulative(-lower))
    if x > m:  # mirrored, so that no digits are lost against one
        lower, upper = -upper, -lower
    return mpmath.log(cumulative(upper) - cumulative(lower))


@DISCRETIZED
@given(mean=st.floats(-1.5, 1.5), log_scale=st.floats(-12, 8))
@settings(deadline=None, max_examples=40)
def test_the_levels_probabilities_sum_to_one(of, mean, log_scale):
    total = log_probabilities(of, mean, log_scale).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-8)


@DISCRETIZED
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 3e-4)])
@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -2.0, 0.0, 1.0])
@pytest.mark.parametrize("mean", [-1.25, -0.5, 0.001, 0.9])
def test_against_sixty_decimals_out_to_the_tails(of, dtype, tolerance, mean, log_scale):
    """In float32 a far tail is as exact as (x - mean)/s is, a near level as a difference of two near logarithms is."""
    levels = [0, 1, 63, 127, 128, 200, 254, 255]
    mean = torch.tensor(mean, dtype=dtype).item()
    ours = log_probabilities(of, mean, log_scale, LEVELS[levels], dtype)
    expected = torch.tensor([float(exact(of, mean, log_scale, level)) for level in levels], dtype=dtype)
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


def test_gaussian_is_the_difference_of_torchs_cumulative_distribution():
    mean, log_scale, images = (
        torch.randn(4, 3, 2, 2).double() / 4,
        torch.randn(3, 1, 1).double() / 4 - 1,
        LEVELS[100:148],
    )
    images = images.view(4, 3, 2, 2)
    normal = distributions.Normal(mean, log_scale.exp().expand_as(mean))
    expected = (normal.cdf(images + 1 / 255) - normal.cdf(images - 1 / 255)).log().flatten(1).sum(1)
    torch.testing.assert_close(gaussian(mean, images, log_scale), expected)


def test_logistic_is_the_difference_of_torchs_cumulative_distribution():
    mean, log_scale, images = (
        torch.randn(4, 3, 2, 2).double() / 4,
        torch.randn(3, 1, 1).double() / 4 - 1,
        LEVELS[100:148],
    )
    images = images.view(4, 3, 2, 2)
    shape = [distributions.SigmoidTransform().inv, distributions.AffineTransform(mean, log_scale.exp())]
    logistic = distributions.TransformedDistribution(
        distributions.Uniform(torch.zeros_like(mean), torch.ones_like(mean)), shape
    )
    expected = (logistic.cdf(images + 1 / 255) - logistic.cdf(images - 1 / 255)).log().flatten(1).sum(1)
    torch.testing.assert_close(discretized_logistic(mean, log_scale, images), expected)


@DISCRETIZED
def test_a_scale_may_belong_to_each_number(of):
    mean, images = torch.randn(2, 3, 4, 4).double() / 4, LEVELS[80:176].view(2, 3, 4, 4)
    channel = torch.tensor([-1.0, -2.0, 0.5]).double().view(3, 1, 1)
    torch.testing.assert_close(of(mean, channel, images), of(mean, channel.expand(2, 3, 4, 4).clone(), images))


@DISCRETIZED
def test_certainty_costs_nothing(of):
    """All the mass in one level: log 1."""
    level = LEVELS[77:78]
    assert of(level.clone(), torch.full((1, 1, 1), -30.0, dtype=torch.float64), level).item() == pytest.approx(0)


@DISCRETIZED
@pytest.mark.parametrize("log_scale", [-6.0, -3.0, 0.0])
@pytest.mark.parametrize("mean", [-1.1, 0.003, 0.7])
def test_gradients_by_mean_and_scale(of, mean, log_scale):
    """Levels at both ends, beside the mean and far out (hundreds of scales at the smallest one)."""
    images = LEVELS[[0, 1, 90, 128, 217, 254, 255]]
    arguments = (torch.full_like(images, mean), torch.full_like(images, log_scale))
    arguments = tuple(a.requires_grad_() for a in arguments)
    # Finite differences of values as large as 1e5 nats are good to 1e-5 relative.
    assert torch.autograd.gradcheck(lambda m, s: of(m, s, images), arguments, rtol=1e-4, atol=1e-3)


@DISCRETIZED
@pytest.mark.parametrize("log_scale", [-8.0, -4.0, 0.0])
@pytest.mark.parametrize("mean", [-30.0, -1.1, 0.003, 15.0])
def test_gradients_in_float32_are_those_in_float64(of, mean, log_scale):
    gradients = []
    for dtype in (torch.float32, torch.float64):
        images = LEVELS[[0, 1, 90, 128, 217, 254, 255]].to(dtype)
        arguments = [torch.full_like(images, value, requires_grad=True) for value in (mean, log_scale)]
        gradients.append(torch.autograd.grad(of(*arguments, images).sum(), arguments))
    expected = [g.float() for g in gradients[1]]
    torch.testing.assert_close(list(gradients[0]), expected, rtol=1e-3, atol=1e-3)


@DISCRETIZED
@given(mean=st.floats(-100, 100, width=32), log_scale=st.floats(-128, 128, width=32))
@settings(deadline=None, max_examples=40)
def test_float32_is_finite_for_whatever_a_decoder_says(of, mean, log_scale):
    means = torch.full((256, 1, 1, 1), mean, requires_grad=True)
    log_scales = torch.full((256, 1, 1, 1), log_scale, requires_grad=True)
    value = of(means, log_scales, LEVELS.float())
    value.sum().backward()
    assert means.grad is not None
    assert log_scales.grad is not None
    assert value.isfinite().all()
    assert (value <= 1e-4).all()
    assert means.grad.isfinite().all()
    assert log_scales.grad.isfinite().all()


def test_bernoulli_by_its_definition():
    images, q = LEVELS.view(4, 1, 8, 8), torch.rand(4, 1, 8, 8).double() * 0.98 + 0.01
    p = (images + 1) / 2
    expected = (p * q.log() + (1 - p) * (1 - q).log()).flatten(1).sum(1)
    torch.testing.assert_close(bernoulli(q.logit(), images), expected)


def test_bernoulli_of_black_and_white_is_torchs():
    images, logits = torch.randn(4, 1, 3, 3).sign(), torch.randn(4, 1, 3, 3) * 5
    expected = distributions.Bernoulli(logits=logits).log_prob((images + 1) / 2).flatten(1).sum(1)
    torch.testing.assert_close(bernoulli(logits, images), expected)
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda at: bernoulli(at, images.double()), logits)


def test_divergence_is_torchs():
    mean, log_variance = torch.randn(2, 5, 7).double() * 3
    posterior = distributions.Normal(mean, (log_variance / 2).exp())
    expected = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)
    assert gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0, 0]
    arguments = (mean.requires_grad_(), log_variance.requires_grad_())
    assert torch.autograd.gradcheck(gaussian_kl, arguments)


def raw_mixture(n=2, components=3, numbers=4, side=3, scale=1.0):
    torch.manual_seed(0)
    return scale * torch.randn(n, numbers * Mixture.outputs(components, numbers), side, side, dtype=torch.float64)


def levels_like(n=2, numbers=4, side=3):
    return torch.randint(0, 256, (n, numbers, side, side)).double() / 127.5 - 1


def test_a_mixture_of_one_uncoupled_component_is_the_logistic():
    raw, images = torch.randn(2, 3, 4, 4).double(), levels_like(2, 1, 4)
    found = Mixture.of(raw, 1, 1).log_probability(images).flatten(1).sum(1)
    expected = discretized_logistic(raw[:, 1:2], raw[:, 2:3] - 2.0, images)
    torch.testing.assert_close(found, expected)


def test_a_mixture_by_its_definition():
    """Number by number: the components of equation 2, shifted by the numbers before it."""
    k, m = 3, 4
    raw, images = raw_mixture(1, k, m, 1), levels_like(1, m, 1)
    table, x = raw.view(-1, m), images.flatten()
    found = Mixture.of(raw, k, m).log_probability(images).flatten()
    for i in range(m):
        weights = table[:k, i].softmax(0)
        shift = sum(float(table[3 * k + j, i] * x[j]) for j in range(i))
        total = 0.0
        for c, place in enumerate([-0.5, 0.0, 0.5]):
            mean, log_scale = float(table[k + c, i]) + place + shift, float(table[2 * k + c, i]) - 2.0
            level = round(float((x[i] + 1) * 127.5))
            total += float(weights[c]) * math.exp(float(exact(discretized_logistic, mean, log_scale, level)))
        assert float(found[i]) == pytest.approx(math.log(total), rel=1e-9)


def test_the_levels_of_a_mixture_sum_to_one_given_those_before():
    raw = raw_mixture(1, 3, 2, 1).repeat(256, 1, 1, 1)
    first = levels_like(1, 1, 1).expand(256, 1, 1, 1)
    images = torch.cat([first, LEVELS], 1)
    log_probability = Mixture.of(raw, 3, 2).log_probability(images)
    assert log_probability[:, 1].exp().sum().item() == pytest.approx(1, abs=1e-8)
    assert (log_probability[:, 0] == log_probability[0, 0]).all(), "an earlier number does not know of a later one"


def test_gradients_of_a_mixture_out_to_the_tails():
    raw = (4 * raw_mixture(1, 2, 2, 1)).requires_grad_()
    for pair in ((0, 255), (255, 0), (127, 128)):
        images = torch.tensor(pair).double().view(1, 2, 1, 1) / 127.5 - 1

        def of(raw, images=images):
            return Mixture.of(raw, 2, 2).log_probability(images)

        assert torch.autograd.gradcheck(of, (raw,), rtol=1e-4, atol=1e-5)


def test_draws_of_a_mixture_have_its_probabilities():
    """A narrow one, so that few levels share the mass: their frequencies among 20,000 draws."""
    raw = raw_mixture(1, 2, 2, 1, 0.3).float()
    raw[:, 8:12] -= 3  # log-scales (components first, then numbers)
    n = 20_000
    drawn = Mixture.of(raw.expand(n, -1, 1, 1), 2, 2).drawn(torch.rand(n, 2, 2, 1, 1))
    levels, counts = ((drawn[:, 0].flatten() + 1) * 127.5).round().long().unique(return_counts=True)
    images = torch.zeros(len(levels), 2, 1, 1)
    images[:, 0, 0, 0] = levels / 127.5 - 1
    expected = Mixture.of(raw.expand(len(levels), -1, 1, 1), 2, 2).log_probability(images)[:, 0].flatten().exp()
    assert expected.sum().item() > 0.99
    torch.testing.assert_close(counts / n, expected, rtol=0, atol=4 * 0.5 / math.sqrt(n))
    assert (drawn * 127.5 + 127.5 - (drawn * 127.5 + 127.5).round()).abs().max() < 1e-3


def test_the_expected_numbers_of_a_mixture_are_the_mean_of_its_draws():
    raw = raw_mixture(1, 2, 2, 1, 0.2).float()
    raw[:, 4:8] *= 0.2
    raw[:, 8:12] -= 2
    mixture = Mixture.of(raw.expand(20_000, -1, 1, 1), 2, 2)
    drawn = mixture.drawn(torch.rand(20_000, 2, 2, 1, 1))
    # Levels and ends are rounded in a draw; four standard errors of numbers of spread below 0.6.
    torch.testing.assert_close(drawn.mean(0), mixture.expected()[0], rtol=0, atol=0.02)

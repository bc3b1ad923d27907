"""Modes counted by hand."""

import math

import pytest
import torch

from mezzotint.metrics import modes


def test_combinations_have_numbers_of_their_own() -> None:
    every = torch.cartesian_prod(*[torch.arange(10)] * 3)
    assert sorted(modes.modes(every, 10).tolist()) == list(range(1000))
    assert modes.modes(torch.tensor([[3, 2, 1]]), 10).tolist() == [123]


def test_all_modes_alike_are_no_divergence() -> None:
    drawn = torch.arange(1000).repeat(20)
    assert modes.modes_found(drawn, 1000).value == 1000
    assert modes.mode_divergence(drawn, 1000).value == pytest.approx(0, abs=1e-12)


def test_a_collapse_to_some_modes() -> None:
    drawn = torch.arange(10).repeat(300)
    found, divergence = modes.modes_found(drawn, 1000), modes.mode_divergence(drawn, 1000)
    assert (found.value, found.low, found.high) == (10, 10, 10)
    assert divergence.value == pytest.approx(math.log(100))
    assert divergence.n == 3000


def test_uneven_shares_by_scipy() -> None:
    from scipy.stats import entropy

    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 8, (5000,), generator=generator).square() % 8
    shares = torch.bincount(drawn, minlength=8).double() / 5000
    found = modes.mode_divergence(drawn, 8)
    assert found.value == pytest.approx(float(entropy(shares.numpy(), [1 / 8] * 8)))
    assert found.low < found.value < found.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of shares 1/2, 1/4 and 1/4 the divergence from even is log 3 - 3/2 log 2."""
    generator, truth = torch.Generator().manual_seed(1), math.log(3) - 1.5 * math.log(2)
    weights = torch.tensor([0.5, 0.25, 0.25])
    held = 0
    for seed in range(100):
        drawn = torch.multinomial(weights, 2000, replacement=True, generator=generator)
        found = modes.mode_divergence(drawn, 3, seed)
        held += found.low <= truth <= found.high
    assert held >= 88

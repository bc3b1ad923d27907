import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mezzotint.metrics.interval import bootstrap, from_draws, mean, proportion


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_agrees_with_scipy(case):
    successes, n = case
    score = proportion(successes, n)
    exact = stats.binomtest(successes, n).proportion_ci(0.95, "exact")
    # 1e-9: both invert the same incomplete beta function, by different routines.
    assert (score.low, score.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert score.low <= score.value == successes / n <= score.high


def test_share_of_nothing_is_zero_and_wholly_unknown():
    score = proportion(0, 0)
    assert (score.value, score.low, score.high, score.n) == (0.0, 0.0, 1.0, 0)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50).filter(lambda values: np.std(values) > 1e-3))
def test_mean_agrees_with_scipy(values):
    score = mean(torch.tensor(values, dtype=torch.float64))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (score.low, score.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


def test_one_value_tells_nothing_of_the_spread():
    score = mean(torch.tensor([3.0]))
    assert (score.value, score.low, score.high) == (3.0, -math.inf, math.inf)


def test_an_infinite_value_is_not_hidden():
    score = mean(torch.tensor([3.0, math.inf]))
    assert score.value == score.low == score.high == math.inf


def test_bootstrap_of_a_mean_is_close_to_students_interval():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    score, expected = bootstrap(np.mean, values, resamples=2000), mean(torch.tensor(values))
    # The quantiles of 2,000 draws are uncertain by about 5 % of a standard error of 0.05.
    assert (score.low, score.high) == pytest.approx((expected.low, expected.high), abs=0.012)


def test_bootstrap_resamples_rows_of_all_arrays_together():
    values = np.arange(30.0)
    score = bootstrap(lambda a, b: float(np.abs(a - b).max()), values, values + 1, resamples=20)
    assert (score.value, score.low, score.high) == (1.0, 1.0, 1.0)


def test_bootstrap_repeats_with_its_seed():
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap(np.mean, values, resamples=50, seed=3) == bootstrap(np.mean, values, resamples=50, seed=3)
    assert bootstrap(np.mean, values, resamples=50, seed=3) != bootstrap(np.mean, values, resamples=50, seed=4)


def test_draws_are_reflected_because_they_repeat_the_bias():
    score = from_draws(1.0, np.linspace(1.0, 2.0, 1001), 10)
    assert (score.low, score.high) == pytest.approx((0.025, 1.0))

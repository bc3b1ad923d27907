import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mezzotint.errors import UserError
from mezzotint.metrics.paired import crossed, difference, holm


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_right_and_wrong_agree_with_a_sign_test_on_the_discordant(answers):
    first, second = (torch.tensor(column) for column in zip(*answers, strict=True))
    found = difference(first, second)
    better, worse = int((second & ~first).sum()), int((first & ~second).sum())
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert found.p == pytest.approx(expected, abs=1e-12)
    assert found.score.value == pytest.approx((better - worse) / len(answers))
    assert f"{better} against {worse}" in found.test


def test_values_agree_with_a_paired_t_test():
    rng = np.random.default_rng(0)
    first = rng.normal(size=40)
    second = first + rng.normal(0.3, 0.8, 40)
    found = difference(torch.from_numpy(first), torch.from_numpy(second))
    expected = stats.ttest_rel(second, first)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert (found.score.low, found.score.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_pairing_finds_what_two_intervals_hide():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 10, 200)
    found = difference(torch.from_numpy(hard), torch.from_numpy(hard + 0.5 + rng.normal(0, 0.5, 200)))
    assert found.p < 1e-6
    assert found.score.low > 0.3


def test_alike_constant_and_endless_differences():
    same = torch.tensor([True, False, True])
    assert difference(same, same).p == 1.0
    values = torch.tensor([1.0, 2.0, 3.0])
    assert difference(values, values).p == 1.0
    assert difference(values, values + 1).p == 0.0
    assert math.isnan(difference(values, torch.tensor([math.inf, 2.0, 3.0])).p)


def test_other_pictures_are_refused():
    with pytest.raises(UserError, match="3 and 2"):
        difference(torch.zeros(3), torch.zeros(2))


def test_p_values_are_uniform_where_nothing_differs():
    """400 paired tests of equal models; of a uniform p fewer than 8 or more than 35 below 0.05 is a one in 1,000."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 30, generator=generator) for _ in range(400)]
    assert 8 <= sum(difference(a, b).p < 0.05 for a, b in draws) <= 35


def test_holm_raises_p_values_as_published():
    # Worked by hand: sorted .005 .01 .03 .04 times 4 3 2 1, each at least the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_trainings_that_agree_on_all_pictures_are_as_many_pictures():
    """Without a spread between trainings the error is that of the mean over pictures."""
    values = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
    found = crossed(values.expand(4, 5))
    error = float(values.double().std()) / math.sqrt(5)
    reach = stats.t.ppf(0.975, 3) * error
    assert (found.score.low, found.score.high) == pytest.approx((0.6 - reach, 0.6 + reach), rel=1e-9)
    assert found.p == pytest.approx(2 * stats.t.sf(0.6 / error, 3), rel=1e-9)


def test_trainings_that_differ_by_a_constant_are_as_many_trainings():
    found = crossed(torch.tensor([[1.0], [2.0], [4.0]]).expand(3, 50))
    expected = stats.ttest_1samp([1.0, 2.0, 4.0], 0)
    interval = expected.confidence_interval(0.95)
    assert (found.score.low, found.score.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_interval_over_trainings_and_pictures_holds_the_truth():
    """300 worlds with both kinds of spread; of a true 95 % interval fewer than 270 hold the truth once in 10,000."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        table = rng.normal(0, 1, (5, 1)) + rng.normal(0, 3, (1, 40)) + rng.normal(0, 2, (5, 40))
        score = crossed(torch.from_numpy(table)).score
        held += score.low <= 0 <= score.high
    assert held >= 270


def test_a_single_training_or_no_difference_at_all():
    one = crossed(torch.ones(1, 9))
    assert (one.score.value, one.score.low, one.score.high) == (1.0, -math.inf, math.inf)
    assert math.isnan(one.p)
    assert crossed(torch.zeros(3, 4)).p == 1.0

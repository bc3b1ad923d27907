import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mezzotint.metrics import copying
from mezzotint.metrics.copying import closeness, find_copies, first_of_each, fisher, median, share_nearer, threshold
from mezzotint.metrics.neighbors import Neighbors


def uniform(n, seed, low=0.3, high=1.0):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * (high - low) + low


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 300), st.data())
def test_fisher_agrees_with_scipy(n, m, data):
    hits, others = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    expected = stats.fisher_exact([[hits, n - hits], [others, m - others]], alternative="greater").pvalue
    assert fisher(hits, n, others, m) == pytest.approx(expected, rel=1e-8)


@settings(deadline=None, max_examples=30)
@given(st.integers(6, 300), st.integers(0, 10**6))
def test_median_agrees_with_scipy(n, seed):
    values = uniform(n, seed)
    score = median(values)
    expected = stats.quantile_test(values.numpy(), p=0.5).confidence_interval(0.95)
    assert (score.low, score.high) == (expected.low, expected.high)
    assert score.value == pytest.approx(float(np.median(values)))
    assert median(values[:5]).low == -math.inf


def test_closeness_is_small_for_copies_and_not_in_a_crowd():
    distances = torch.tensor([[0.0] + [10.0] * 49, [0.1] + [10.0] * 49, [0.1] * 50, [0.0] * 50])
    found = closeness(Neighbors(distances, torch.zeros(4, 50, dtype=torch.int64)))
    assert found.tolist() == pytest.approx([0, 0.1 / 9.802, 1, 0], abs=1e-4)


@pytest.mark.parametrize("n", [10, 99, 2000])
def test_a_threshold_flags_as_many_as_it_promises(n):
    """The share of further pictures at or below the k-th of n has the distribution Beta(k, n + 1 - k)."""
    limits = np.array([threshold(uniform(n, seed, 0.0)) for seed in range(400)])
    rank = max(1, (n + 1) // 500)
    assert stats.kstest(limits, stats.beta(rank, n + 1 - rank).cdf).pvalue > 1e-3


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_first_of_each(values):
    expected = np.sort(np.unique(np.array(values, int), return_index=True)[1])
    assert first_of_each(torch.tensor(values, dtype=torch.int64)).tolist() == expected.tolist()


def neighbors(values, rows=None):
    """Neighbors of the given closeness: the mean distance is 1 up to the share of the nearest."""
    distances = torch.ones(len(values), 50, dtype=torch.float64)
    distances[:, 0] = values * 49 / (50 - values)
    found = torch.arange(len(values)) if rows is None else rows
    return Neighbors(distances, found[:, None].expand(-1, 50))


def found_among(copies, n=1000, held_out=1000, training=5000, same=False):
    generated = uniform(n, 1)
    generated[:copies] = 0.01
    rows = torch.zeros(n, dtype=torch.int64) if same else None
    apart = neighbors(uniform(n, 4))
    real = [neighbors(uniform(held_out, seed), torch.arange(held_out) + first) for seed, first in ((2, 0), (3, 10_000))]
    return find_copies(neighbors(generated, rows), apart, *real, (training, held_out))


def test_neighbors_of_a_closeness_have_it():
    values = uniform(20, 0)
    torch.testing.assert_close(closeness(neighbors(values)), values)


def test_copies_are_found_and_counted():
    finding = found_among(30)
    assert copying.verdict([finding]) == "copies"
    assert finding.share.low <= 0.03 <= finding.share.high
    assert finding.floor.value < 0.01
    few = round(finding.detectable * 1000)
    assert copying.verdict([found_among(few + 3)]) == "copies"
    assert copying.verdict([found_among(few - 3)]) == "no sign of copying"


def test_real_pictures_come_first_where_all_are_equally_close():
    assert copying.among_closest(torch.zeros(10), torch.zeros(5), 8) == 3
    assert copying.among_closest(torch.zeros(10), torch.ones(5), 8) == 8


def test_what_is_near_by_chance_is_no_copy():
    assert copying.verdict([found_among(0)]) == "no sign of copying"
    assert copying.verdict([found_among(0), found_among(30)]) == "copies"


def test_one_picture_a_thousand_times_is_one():
    finding = found_among(1000, same=True)
    assert copying.verdict([finding]) == "cannot tell"
    assert finding.share.value == 1


def test_too_few_held_out_pictures_tell_nothing():
    finding = found_among(0, held_out=10)
    assert finding.detectable > copying.LARGE
    assert copying.verdict([finding]) == "cannot tell"
    assert copying.verdict([found_among(900, held_out=10, training=200)]) == "copies"


def test_many_held_out_pictures_make_few_copies_of_few_telling():
    """Of fifty training and a thousand held-out pictures, three copied ones are not training pictures by chance."""
    finding = found_among(3, n=100, training=50)
    assert finding.detectable == 0.03
    assert copying.verdict([finding]) == "copies"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 1000), st.integers(1, 1000))
def test_sides_agree_with_scipy(training, held_out, n, m):
    expected = stats.binom.sf(training - 1, training + held_out, n / (n + m))
    assert copying.sides(training, held_out, (n, m)) == pytest.approx(expected, rel=1e-8)


def test_copied_pictures_are_counted_once_on_their_side():
    ours = neighbors(torch.tensor([0.01, 0.01, 0.02, 0.9, 0.5]), torch.tensor([7, 7, 8, 9, 9]))
    theirs = neighbors(torch.tensor([0.8, 0.8, 0.01, 0.9, 0.02]), torch.tensor([1, 2, 3, 4, 3]))
    assert copying.copied_on_either_side(ours, theirs, 0.1) == (1, 1)


def test_false_verdicts_are_as_rare_as_promised():
    """Exchangeable pictures: p falls below any level at most so often."""
    sizes = (300, 300)
    p = []
    for seed in range(150):
        parts = [neighbors(uniform(300, 4 * seed + i, 0.0), torch.arange(300) + 300 * i) for i in range(4)]
        p.append(find_copies(*parts, sizes).p)
    for level in (0.01, 0.05, 0.2):
        assert (np.array(p) <= level).mean() <= level + 3 * math.sqrt(level / 150)


def test_the_share_of_nearer_pictures_knows_of_shared_neighbors():
    """Neighbors fall on either side by a coin; the interval must hold 1/2 in about 95 of 100."""
    held = 0
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed)
        rows = (60 * torch.rand(400, generator=generator).square()).long()
        coin = torch.rand(60, generator=generator) < 0.5
        training = torch.where(coin[rows], 1.0, 3.0)
        score = share_nearer(training, torch.full((400,), 2.0), rows)
        held += score.low <= 0.5 <= score.high
    assert 0.9 <= held / 300 <= 0.99


def test_the_share_of_nearer_pictures_at_its_ends():
    rows = torch.arange(20)
    score = share_nearer(torch.zeros(20), torch.ones(20), rows)
    assert (score.value, score.high) == (1, 1)
    assert score.low == pytest.approx(0.025 ** (1 / 20), rel=1e-6)
    assert share_nearer(torch.ones(20), torch.ones(20), rows).value == 0.5

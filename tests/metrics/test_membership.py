import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve
from torch.nn import functional as F

from mezzotint.errors import UserError
from mezzotint.metrics.membership import area, attack, hits_at, likelihood_ratio, logit_confidence


def normal(n, seed, shift=0.0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 80), st.integers(2, 80), st.integers(0, 10**6), st.booleans())
def test_area_and_hits_agree_with_sklearn(n, m, seed, ties):
    members, others = normal(n, seed, 0.5), normal(m, seed + 1)
    if ties:
        members, others = members.round(), others.round()
    truth, scores = np.r_[np.ones(n), np.zeros(m)], torch.cat([members, others]).numpy()
    assert area(members, others).value == pytest.approx(roc_auc_score(truth, scores))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    for alarms in (0.0, 0.01, 0.1, 0.5, 1.0):
        expected = true[false <= alarms + 1e-9].max()
        assert hits_at(members, others, alarms).value == pytest.approx(expected)


def test_the_interval_of_the_area_holds_it():
    exact = stats.norm.cdf(0.5 / math.sqrt(2))
    scores = [area(normal(80, 2 * seed, 0.5), normal(120, 2 * seed + 1)) for seed in range(300)]
    assert 0.91 <= np.mean([s.low <= exact <= s.high for s in scores]) <= 0.99


@pytest.mark.parametrize("alarms", [0.001, 0.01, 0.1])
def test_the_interval_of_hits_holds_them(alarms):
    """Normal scores a unit apart have hits of 1 - Φ(Φ⁻¹(1 - alarms) - 1), whatever the drawn threshold."""
    exact = stats.norm.sf(stats.norm.isf(alarms) - 1)
    scores = [hits_at(normal(400, 2 * seed, 1.0), normal(600, 2 * seed + 1), alarms) for seed in range(300)]
    assert np.mean([s.low <= exact <= s.high for s in scores]) >= 0.94
    assert all(s.low <= s.value <= s.high for s in scores)


def simulated(n, shadows, gap, seed):
    """Confidences of n pictures in a target and its shadows: normal about a level of each picture's own, by `gap`
    higher in the models that were trained on it; the first half are the target's members."""
    level = 3 * normal(n, seed)
    inside = torch.zeros(shadows, n, dtype=torch.bool)
    for i in range(0, shadows, 2):
        inside[i] = torch.rand(n, generator=torch.Generator().manual_seed(seed + 7 + i)) < 0.5
        inside[i + 1] = ~inside[i]
    noise = torch.stack([normal(n, seed + 100 + i) for i in range(shadows + 1)])
    member = torch.arange(n) < n // 2
    return level + gap * member + noise[0], level + gap * inside + noise[1:], inside


@pytest.mark.parametrize("shadows", [4, 16, 64])
def test_likelihood_ratios_of_normal_confidences_known_answer(shadows):
    """With equal variances the log of the ratio is (in - out)(2x - in - out)/2σ², and in, out are means of s/2 normal
    numbers: its distribution is simulated from that formula."""
    gap, n = 2.0, 20_000
    target, others, inside = simulated(n, shadows, gap, 5)
    ratio = likelihood_ratio(target, others, inside)
    rng = np.random.default_rng(0)
    per = shadows / 2
    means = [rng.normal(c, 1 / math.sqrt(per), (2, 200_000)) for c in (gap, 0.0)]
    found = attack(ratio[: n // 2], ratio[n // 2 :])
    drawn = {}
    for row, (name, center) in enumerate((("members", gap), ("others", 0.0))):
        x = rng.normal(center, 1, 200_000)
        drawn[name] = (means[0][row] - means[1][row]) * (2 * x - means[0][row] - means[1][row])
    truth = np.r_[np.ones(200_000), np.zeros(200_000)]
    exact = roc_auc_score(truth, np.r_[drawn["members"], drawn["others"]])
    assert found["auc"].value == pytest.approx(exact, abs=0.012)
    limit = np.quantile(drawn["others"], 0.99)
    assert found["tpr_at_1%"].value == pytest.approx((drawn["members"] > limit).mean(), abs=0.03)


def test_many_shadows_reach_the_best_test_there_is():
    """Known levels leave a unit normal shifted by the gap: hits of 1 - Φ(Φ⁻¹(0.99) - gap)."""
    target, others, inside = simulated(20_000, 200, 2.0, 6)
    ratio = likelihood_ratio(target, others, inside)
    found = attack(ratio[:10_000], ratio[10_000:])
    assert found["tpr_at_1%"].value == pytest.approx(stats.norm.sf(stats.norm.isf(0.01) - 2), abs=0.03)
    assert found["tpr_at_1%"].value > 3 * attack(target[:10_000], target[10_000:])["tpr_at_1%"].value


def test_no_gap_is_no_attack():
    target, others, inside = simulated(4000, 8, 0.0, 7)
    ratio = likelihood_ratio(target, others, inside)
    found = attack(ratio[:2000], ratio[2000:])
    assert found["auc"].low <= 0.5 <= found["auc"].high
    assert found["tpr_at_1%"].low <= 0.01 <= found["tpr_at_1%"].high


def test_too_few_shadows_are_refused():
    target, others, inside = simulated(50, 2, 1.0, 8)
    with pytest.raises(UserError, match="4 shadow runs"):
        likelihood_ratio(target, others, inside)
    with pytest.raises(UserError, match="at least 2"):
        area(target[:1], target)


def test_logit_confidence_is_the_logit_of_the_probability():
    logits, labels = normal(600, 9).view(60, 10) * 3, torch.arange(60) % 10
    p = F.softmax(logits, 1)[torch.arange(60), labels]
    np.testing.assert_allclose(logit_confidence(logits, labels), torch.logit(p), rtol=1e-9, atol=1e-9)
    # A certainty that rounds to 1 keeps its place.
    sure = logit_confidence(torch.tensor([[200.0, 0.0], [100.0, 0.0]]), torch.tensor([0, 0]))
    assert sure.tolist() == [200, 100]

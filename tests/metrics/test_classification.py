import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from mezzotint.errors import UserError
from mezzotint.metrics.classification import Classification

NAMES = ("shirt", "coat", "boot", "bag")


def guesses(n, seed, k=4, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(k, (n,), generator=generator)
    logits = torch.randn(n, k, generator=generator) * 2 + sharpness * F.one_hot(labels, k)
    return logits, labels


def counted(logits, labels, names=NAMES, batch=1000):
    counts = Classification(names)
    for part, truth in zip(logits.split(batch), labels.split(batch), strict=True):
        counts.update(part, truth)
    return counts


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(0, 10**6))
def test_scores_agree_with_scikit_learn(n, seed):
    logits, labels = guesses(n, seed)
    scores, predicted = counted(logits, labels).compute(resamples=5), logits.argmax(1)
    macro = metrics.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    single = metrics.precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=0)
    assert scores["accuracy"].value == metrics.accuracy_score(labels, predicted)
    assert [scores[key].value for key in ("precision", "recall", "f1")] == pytest.approx(list(macro[:3]))
    for row, key in enumerate(("precision", "recall", "f1")):
        assert [scores[f"{key}[{name}]"].value for name in NAMES] == pytest.approx(single[row])
    assert np.array_equal(scores["support"], single[3])
    assert np.array_equal(scores["confusion"], metrics.confusion_matrix(labels, predicted, labels=range(4)))
    loss = metrics.log_loss(labels, logits.double().softmax(1), labels=range(4))
    assert scores["negative_log_likelihood"].value == pytest.approx(loss)


@pytest.mark.parametrize("sharpness", [0.0, 2.0, 5.0])
def test_calibration_error_agrees_with_torchmetrics(sharpness):
    logits, labels = guesses(2000, 1, sharpness=sharpness)
    expected = multiclass_calibration_error(logits.double().softmax(1), labels, 4, n_bins=15, norm="l1")
    # 1e-5: torchmetrics sums in float32.
    assert counted(logits, labels).compute(5)["calibration_error"].value == pytest.approx(float(expected), abs=1e-5)


def test_calibration_error_known_answers():
    certain = torch.tensor([[1000.0, 0.0]] * 4)
    scores = counted(certain, torch.tensor([0, 0, 0, 1]), ("a", "b")).compute()
    assert scores["calibration_error"].value == pytest.approx(0.25)
    fair = torch.log(torch.tensor([[0.75, 0.25]] * 4))
    scores = counted(fair, torch.tensor([0, 0, 0, 1]), ("a", "b")).compute()
    assert scores["calibration_error"].value == pytest.approx(0, abs=1e-7)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 50), st.integers(1, 50), st.integers(0, 10**6))
def test_counts_add_up(n, batch, seed):
    logits, labels = guesses(n, seed)
    whole, parts = counted(logits, labels), counted(logits, labels, batch=batch)
    halves = counted(logits[: n // 2], labels[: n // 2]) + counted(logits[n // 2 :], labels[n // 2 :])
    for other in (parts, halves):
        assert torch.equal(other.confusion, whole.confusion)
        assert torch.allclose(other.certainty, whole.certainty, rtol=1e-12)
        assert torch.allclose(other.surprise, whole.surprise, rtol=1e-12)


def test_a_perfect_classifier_is_perfect_but_not_certain_to_be():
    labels = torch.arange(40) % 4
    scores = counted(50.0 * F.one_hot(labels, 4), labels).compute()
    for key in ("accuracy", "precision", "recall", "f1", "f1[coat]"):
        assert scores[key].value == scores[key].high == 1.0
        assert scores[key].low < 0.95
    assert scores["recall[bag]"].low < scores["accuracy"].low


def test_macro_intervals_are_about_as_wide_as_that_of_accuracy():
    scores = counted(*guesses(4000, 5)).compute(resamples=1000)
    width = scores["accuracy"].high - scores["accuracy"].low
    # With balanced classes macro recall is nearly accuracy; 1,000 draws know a width to about 5 %.
    assert scores["recall"].high - scores["recall"].low == pytest.approx(width, rel=0.15)
    assert scores["recall"].low < scores["recall"].value < scores["recall"].high


def test_intervals_cover_the_truth():
    """95 % intervals of 100 simulated sets; fewer than 88 hits has a probability under 1 in 300."""
    truth = counted(*guesses(300_000, 10**9)).compute(resamples=2)
    trials = [counted(*guesses(300, seed)).compute(resamples=200, seed=seed) for seed in range(100)]
    for key in ("accuracy", "precision", "recall", "f1", "f1[boot]", "calibration_error", "negative_log_likelihood"):
        assert sum(trial[key].low <= truth[key].value <= trial[key].high for trial in trials) >= 88, key


def test_calibration_interval_of_a_calibrated_classifier_reaches_zero():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 4, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    score = counted(logits, labels).compute()["calibration_error"]
    assert score.value > 0.01
    assert score.low == 0


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(2, 3), [0, 1], "one row each"),
        (torch.full((2, 4), float("nan")), [0, 1], "not finite"),
        (torch.zeros(2, 4), [0, 4], "outside the 4 classes"),
    ],
)
def test_what_cannot_be_counted_is_refused(logits, labels, message):
    with pytest.raises(UserError, match=message):
        Classification(NAMES).update(logits, torch.tensor(labels))


def test_nothing_cannot_be_judged():
    with pytest.raises(UserError, match="no labeled pictures"):
        Classification(NAMES).compute()

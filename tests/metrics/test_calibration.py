import numpy as np
import pytest
import torch
from scipy import stats

from mezzotint.metrics.calibration import energy, fit, temperature
from mezzotint.metrics.classification import Classification


def made(n: int, sharpness: float, k: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose classes are drawn by their own softmax, then made so many times too sharp."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return logits * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_planted_temperature_is_found(sharpness):
    assert temperature(*made(20_000, sharpness)) == pytest.approx(sharpness, rel=0.04)


def test_the_temperature_repairs_the_calibration_error():
    logits, labels = made(10_000, 3.0)
    fitted = fit(*made(10_000, 3.0, seed=1)).temperature
    errors = []
    for t in (1.0, fitted):
        counts = Classification(tuple("abcde"))
        counts.update(logits / t, labels)
        errors.append(counts.compute(resamples=2)["calibration_error"].value)
    assert errors[0] > 0.15
    assert errors[1] < 0.02


def test_flawless_answers_have_a_finite_temperature():
    labels = torch.arange(5).repeat(10)
    logits = 8.0 * torch.nn.functional.one_hot(labels, 5)
    assert 0.1 < temperature(logits, labels) < 5


def test_a_threshold_keeps_its_promise_on_other_pictures():
    """97.5 % of the thresholds that different validation sets give hold what they promise."""
    logits, labels = made(100_000, 1.0, seed=99)
    top, said = logits.softmax(1).max(1)
    right, broken = said == labels, 0
    for seed in range(40):
        found = fit(*made(2000, 1.0, seed=seed)).threshold(0.8)
        assert found is not None
        kept = top >= found
        broken += float(right[kept].float().mean()) < 0.8
        assert float(kept.float().mean()) > 0.2
    assert broken <= stats.binom.ppf(0.999, 40, 0.025)


def test_more_precision_is_less_answered_and_too_much_is_not_promised():
    calibration = fit(*made(5000, 1.0))
    thresholds = [calibration.threshold(p) for p in (0.6, 0.7, 0.8)]
    assert thresholds == sorted(thresholds)
    assert calibration.threshold(0.99999) is None
    assert 0.9 < calibration.best_precision() < 1
    assert fit(*made(8, 1.0)).threshold(0.95) is None


def test_the_table_counts_what_it_says():
    logits, labels = made(1000, 1.0)
    calibration = fit(logits, labels)
    top, said = (logits.double() / calibration.temperature).softmax(1).max(1)
    for least, kept, right in zip(calibration.tops, calibration.kept, calibration.right, strict=True):
        chosen = top >= least
        assert (int(chosen.sum()), int((said == labels)[chosen].sum())) == (kept, right)
    assert calibration.kept[0] == calibration.pictures == 1000


def test_energy_by_hand_and_strangeness_is_a_share():
    torch.testing.assert_close(energy(torch.zeros(1, 4)), torch.tensor([np.log(4)]))
    logits, labels = made(4000, 1.0)
    calibration = fit(logits, labels)
    seen = calibration.strangeness(logits / calibration.temperature)
    assert stats.kstest(seen.numpy(), "uniform").pvalue > 0.2
    assert calibration.strangeness(torch.full((1, 5), -50.0)).item() == 1
    assert calibration.strangeness(torch.full((1, 5), 50.0)).item() == 0

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy import linalg
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from mezzotint.errors import UserError
from mezzotint.metrics.distribution import (
    Moments,
    frechet,
    frechet_intervals,
    kid,
    precision_recall_density_coverage,
)


def normal(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scale + shift


def mixed(n, d, seed, scale=1.0, shift=0.0):
    """Correlated features, with eigenvalues over three decades."""
    mixing = normal(d, d, 99) * torch.logspace(0, -1.5, d, dtype=torch.float64)
    return normal(n, d, seed, scale) @ mixing + shift


def gaussian(mean, covariance, n=1000):
    """Moments of 2d pictures on the axes of the covariance, taken for n."""
    values, axes = torch.linalg.eigh(covariance.double())
    points = axes * ((n - 1) / 2 * values.clamp(min=0)).sqrt()
    moments = Moments.of(torch.cat([points.T, -points.T]) + mean.double())
    moments.n = n
    return moments


def by_sqrtm(a, b):
    first, second = a.covariance, b.covariance
    root = linalg.sqrtm(first @ second).real
    return float(np.square(a.mean - b.mean).sum() + np.trace(first + second - 2 * root))


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 60), st.integers(1, 60), st.integers(1, 6), st.integers(0, 10**6))
def test_moments_add_up_and_agree_with_numpy(n, batch, d, seed):
    features = normal(n, d, seed, 0.1, 30.0)
    whole, parts = Moments.of(features), Moments(d)
    for part in features.split(batch):
        parts.update(part)
    half = Moments.of(features[: n // 2]) + Moments.of(features[n // 2 :])
    for moments in (whole, parts, half):
        assert moments.n == n
        assert moments.undersampled == (n <= d)
        np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-12)
        expected = np.cov(features.numpy(), rowvar=False).reshape(d, d)
        np.testing.assert_allclose(moments.covariance, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("d", [1, 5, 40])
def test_frechet_agrees_with_sqrtm_and_torchmetrics(d):
    a, b = Moments.of(mixed(400, d, 0)), Moments.of(mixed(300, d, 1, 1.2, 0.1))
    expected = by_sqrtm(a, b)
    # The references take roots of a product that is not symmetric: the rounding of its smallest eigenvalues shows.
    assert frechet(a, b) == pytest.approx(expected, rel=1e-7)
    assert frechet(b, a) == pytest.approx(frechet(a, b), rel=1e-12)
    reference = float(_compute_fid(*map(torch.from_numpy, (a.mean, a.covariance, b.mean, b.covariance))))
    assert frechet(a, b) == pytest.approx(reference, rel=1e-7)


def test_frechet_of_nearly_singular_covariances_agrees_with_forty_digits():
    a, b = mixed(60, 16, 0), mixed(50, 16, 1, 1.2, 0.1)
    assert frechet(Moments.of(a), Moments.of(b)) == pytest.approx(by_forty_digits(a, b), rel=1e-12)


def by_forty_digits(a, b):
    with mpmath.workdps(40):
        (mean_a, first), (mean_b, second) = (_mean_and_covariance(mpmath.matrix(x.tolist())) for x in (a, b))
        lower = mpmath.cholesky(first)
        overlap = sum(mpmath.sqrt(w) for w in mpmath.eigsy(lower.T * second * lower, eigvals_only=True))
        apart = sum((x - y) ** 2 for x, y in zip(mean_a, mean_b, strict=True))
        return float(apart + sum(first[i, i] + second[i, i] for i in range(first.rows)) - 2 * overlap)


def _mean_and_covariance(rows):
    mean = [mpmath.fsum(rows[:, j]) / rows.rows for j in range(rows.cols)]
    centered = rows - mpmath.matrix([mean] * rows.rows)
    return mean, centered.T * centered / (rows.rows - 1)


def test_frechet_known_answers():
    identity = torch.eye(6)
    a, b = gaussian(torch.zeros(6), identity), gaussian(torch.full((6,), 2.0), 9 * identity)
    # |μ|² + d(3 - 1)² for covariances that commute.
    assert frechet(a, b) == pytest.approx(24 + 24, rel=1e-12)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    first = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64))
    second = turn @ first @ turn.T
    # In two dimensions tr(m^½)² = tr m + 2 (det m)^½.
    overlap = ((first @ second).trace() + 2 * (first @ second).det().sqrt()).sqrt()
    apart = frechet(gaussian(torch.zeros(2), first), gaussian(torch.zeros(2), second))
    assert apart == pytest.approx(float(10 - 2 * overlap), rel=1e-12)


@pytest.mark.parametrize("shared", [0, 1, 4])
def test_frechet_of_singular_covariances_known_answer(shared):
    """Rotated diagonal covariances of rank 6 in 20 dimensions with `shared` directions in common."""
    first, second = torch.zeros(20, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    first[:6], second[6 - shared : 12 - shared] = torch.linspace(1, 4, 6), torch.linspace(1e-6, 3, 6)
    turn = torch.linalg.qr(normal(20, 20, 3))[0]
    a, b = (gaussian(torch.zeros(20), turn @ torch.diag(x) @ turn.T) for x in (first, second))
    expected = float((first.sqrt() - second.sqrt()).square().sum())
    assert frechet(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(10, 12), (10, 200), (200, 10)])
def test_frechet_with_fewer_pictures_than_dimensions(n, m):
    first, second = mixed(n, 50, 4), mixed(m, 50, 5, 1.5)
    a, b = Moments.of(first), Moments.of(second)
    assert a.undersampled or b.undersampled
    # The nuclear norm of the product of centered data is tr(CaCb)^½ without any covariance.
    x, y = ((z - z.mean(0)) / (len(z) - 1) ** 0.5 for z in (first, second))
    expected = float(np.square(a.mean - b.mean).sum()) + float(x.square().sum() + y.square().sum())
    expected -= 2 * float(torch.linalg.matrix_norm(x @ y.T, "nuc"))
    assert frechet(a, b) == pytest.approx(expected, rel=1e-10)
    # sqrtm of a singular matrix is itself good to about the root of the rounding error.
    assert frechet(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-6)


def test_frechet_with_dead_and_repeated_features():
    first, second = mixed(300, 10, 6), mixed(300, 10, 7, 1.3)
    plain = frechet(Moments.of(first), Moments.of(second))
    dead = [torch.cat([x, torch.zeros(300, 3, dtype=x.dtype)], 1) for x in (first, second)]
    assert frechet(*map(Moments.of, dead)) == pytest.approx(plain, rel=1e-10)
    twice = [torch.cat([x, x], 1) for x in (first, second)]
    assert frechet(*map(Moments.of, twice)) == pytest.approx(2 * plain, rel=1e-10)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 40), st.integers(1, 20), st.integers(0, 10**6))
def test_frechet_to_itself_is_zero_and_it_is_never_negative(n, d, seed):
    features = mixed(n, d, seed)
    a, b = Moments.of(features), Moments.of(features.flip(0) + 1e-9)
    trace = float(a.covariance.trace())
    assert 0 <= frechet(a, a) <= 1e-10 * max(trace, 1e-300)
    assert 0 <= frechet(a, b) <= 1e-10 * max(trace, 1e-300) + 1e-15


def test_frechet_between_single_points_is_their_squared_distance():
    a, b = (Moments.of(torch.full((3, 4), value)) for value in (0.0, 1.0))
    assert frechet(a, b) == 4.0
    assert frechet_intervals(torch.zeros(4, 3), torch.ones(4, 3))[0].value == 3.0


def test_frechet_does_not_depend_on_the_batch_size():
    first, second = mixed(300, 16, 8).float(), mixed(300, 16, 9, 1.1).float()
    found = []
    for batch in (1, 7, 300):
        sums = Moments(16), Moments(16)
        for moments, features in zip(sums, (first, second), strict=True):
            for part in features.split(batch):
                moments.update(part)
        found.append(frechet(*sums))
    assert found == pytest.approx([found[0]] * 3, rel=1e-11)


def test_frechet_intervals_hold_the_distance():
    a, b = mixed(300, 12, 10), mixed(200, 12, 11, 1.2)
    score, infinite = frechet_intervals(a, b)
    assert score.value == pytest.approx(frechet(Moments.of(a), Moments.of(b)), rel=1e-12)
    assert score.low < score.value < score.high
    assert score.n == 200
    assert (score, infinite) == frechet_intervals(a, b)


@pytest.mark.parametrize(("n", "m"), [(40, 60), (20, 60), (60, 20)])
def test_jackknife_agrees_with_leaving_out_by_hand(n, m):
    """At 30 dimensions: both sets large enough, and either one too small."""
    a, b = mixed(n, 30, 12), mixed(m, 30, 13, 1.2)
    _, score = frechet_intervals(a, b, blocks=5, seed=2)
    bias = 0.0
    for size, own in ((n, 0), (m, 1)):
        order = torch.randperm(size, generator=torch.Generator().manual_seed(2))
        for block in order.tensor_split(5):
            sets = [a, b]
            sets[own] = sets[own][[i for i in range(size) if i not in set(block.tolist())]]
            bias += 4 / 5 * (frechet(*map(Moments.of, sets)) - frechet(Moments.of(a), Moments.of(b)))
    # 1e-7 of the scale: the interval takes roots of eigenvalues, good to the root of the rounding error.
    scale = float(Moments.of(a).covariance.trace())
    assert score.value == pytest.approx(frechet(Moments.of(a), Moments.of(b)) - bias, abs=1e-7 * scale)


@pytest.mark.parametrize(("d", "n", "m", "scale", "shift"), [(4, 60, 60, 1.5, 0.5), (16, 100, 200, 1.0, 0.0)])
def test_frechet_intervals_cover(d, n, m, scale, shift):
    """Known Gaussians, apart and equal; of 60 intervals of 95 % fewer than 51 hit with a probability of 0.0004."""
    deviations = torch.linspace(0.2, 2, d, dtype=torch.float64)
    true = float((deviations * (scale - 1)).square().sum()) + d * shift**2
    trials = [
        (normal(n, d, 2 * seed, deviations), normal(m, d, 2 * seed + 1, deviations * scale, shift))
        for seed in range(60)
    ]
    as_is, unbiased = zip(*(frechet_intervals(*trial, blocks=16) for trial in trials), strict=True)
    expected = np.mean([score.value for score in as_is])
    assert sum(score.low <= expected <= score.high for score in as_is) >= 51
    assert sum(score.low <= true <= score.high for score in unbiased) >= 51
    error = np.std([score.value for score in unbiased]) / 60**0.5
    assert np.mean([score.value for score in unbiased]) == pytest.approx(true, abs=3.5 * error)
    assert expected - true > 3.5 * error


def test_undersampled_intervals_say_so():
    assert "fewer pictures than dimensions" in frechet_intervals(normal(8, 20, 0), normal(50, 20, 1))[0].method
    assert "fewer" not in frechet_intervals(normal(50, 20, 0), normal(50, 20, 1))[0].method


def test_kid_agrees_with_torchmetrics():
    a, b = mixed(80, 10, 14), mixed(80, 10, 15, 1.3, 0.2)
    assert kid(a, b).value == pytest.approx(float(poly_mmd(a, b)), rel=1e-10)


def test_kid_of_float32_features_is_that_of_float64():
    """More pictures than a tile holds; the kernel's values are about 60 times their distance."""
    a, b = (normal(n, 96, seed, shift=0.5).float() for n, seed in ((1300, 40), (700, 41)))
    exact, single = kid(a.double(), b.double() * 1.1), kid(a, b * 1.1)
    assert exact.value == pytest.approx(mmd_by_hand(a.double(), b.double() * 1.1), rel=1e-9)
    assert single.value == pytest.approx(exact.value, rel=1e-5)
    assert (single.low, single.high) == pytest.approx((exact.low, exact.high), rel=1e-5)


def _kernel_table(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd_by_hand(a, b):
    n, m = len(a), len(b)
    aa, ab, bb = _kernel_table(a, a), _kernel_table(a, b), _kernel_table(b, b)
    within = (aa.sum() - aa.trace()) / (n * (n - 1)) + (bb.sum() - bb.trace()) / (m * (m - 1))
    return float(within - 2 * ab.mean())


def test_kid_of_unequal_sets_and_its_jackknife_agree_with_leaving_out_by_hand():
    a, b = mixed(12, 4, 16), mixed(9, 4, 17, 1.2)
    score = kid(a, b)
    assert score.value == pytest.approx(mmd_by_hand(a, b), rel=1e-10)
    without_a = [mmd_by_hand(torch.cat([a[:i], a[i + 1 :]]), b) for i in range(12)]
    without_b = [mmd_by_hand(a, torch.cat([b[:i], b[i + 1 :]])) for i in range(9)]
    error = (11 * np.var(without_a) + 8 * np.var(without_b)) ** 0.5
    # 2.306 is Student's 97.5 % quantile at 8 degrees of freedom.
    assert (score.high - score.low) / 2 == pytest.approx(2.306 * error, rel=1e-4)


def test_kid_is_unbiased_and_its_interval_covers():
    trials = [kid(normal(50, 5, 2 * seed), normal(70, 5, 2 * seed + 1)) for seed in range(100)]
    error = np.std([trial.value for trial in trials]) / 10
    assert np.mean([trial.value for trial in trials]) == pytest.approx(0, abs=3.5 * error)
    assert sum(trial.low <= 0 <= trial.high for trial in trials) >= 88


@pytest.mark.parametrize(("n", "m", "k"), [(150, 150, 5), (1100, 90, 3), (60, 1500, 5)])
def test_manifold_measures_agree_with_prdc(n, m, k):
    real, generated = mixed(n, 6, 18, shift=5.0), mixed(m, 6, 19, 0.9, 5.1)
    expected = compute_prdc(real.numpy(), generated.numpy(), nearest_k=k)
    scores = precision_recall_density_coverage(real, generated, k)
    assert {name: score.value for name, score in scores.items()} == pytest.approx(expected, abs=1e-12)
    assert all(score.low <= score.value <= score.high for score in scores.values())
    assert [scores[name].n for name in ("precision", "recall", "density", "coverage")] == [m, n, m, n]


def test_a_set_covers_itself_and_nothing_far_away():
    real = mixed(100, 6, 20)
    same = precision_recall_density_coverage(real, real)
    assert same["precision"].value == same["recall"].value == same["coverage"].value == 1
    far = precision_recall_density_coverage(real, real + 1000)
    assert [score.value for score in far.values()] == [0, 0, 0, 0]


def test_a_generator_that_repeats_itself_is_precise_without_variety():
    real = mixed(400, 6, 21)
    scores = precision_recall_density_coverage(real, real[:10].repeat_interleave(20, 0) + 0.01 * normal(200, 6, 22))
    assert scores["precision"].value > 0.95
    assert scores["recall"].value < 0.2
    assert scores["coverage"].value < 0.3


@pytest.mark.parametrize("measure", [frechet_intervals, kid, precision_recall_density_coverage])
def test_too_few_or_broken_features_are_refused(measure):
    with pytest.raises(UserError, match="in each set"):
        measure(normal(2, 3, 0), normal(50, 3, 1))
    with pytest.raises(UserError, match="not finite"):
        measure(normal(50, 3, 0).log(), normal(50, 3, 1))


def test_a_covariance_of_one_picture_is_refused():
    with pytest.raises(UserError, match="at least 2 pictures"):
        frechet(Moments.of(normal(1, 3, 0)), Moments.of(normal(5, 3, 1)))

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.metrics.bjontegaard import bd_rate, rate_at

CURVE = [(0.11, 28.1), (0.24, 31.0), (0.49, 33.9), (1.02, 37.2), (2.01, 40.1)]
FITS = pytest.mark.parametrize("fit", ["cubic", "piecewise"])


@FITS
@given(factor=st.floats(0.2, 5))
def test_a_curve_that_takes_a_share_of_the_bits_everywhere_says_so(fit: str, factor: float) -> None:
    scaled = [(rate * factor, quality) for rate, quality in CURVE]
    assert bd_rate(CURVE, scaled, fit) == pytest.approx(100 * (factor - 1), rel=1e-9, abs=1e-7)


@FITS
def test_the_cubic_of_cubic_curves_is_exact(fit: str) -> None:
    """Logarithms of rates that are polynomials: their difference is integrated by hand."""
    qualities = np.linspace(30, 40, 5 if fit == "cubic" else 400)
    u = (qualities - 30) / 10
    ours, theirs = np.exp(u**3 - 0.3 * u + 2 * u), np.exp(2 * u + 0.1)
    expected = 100 * np.expm1(1 / 4 - 0.15 - 0.1)
    found = bd_rate(list(zip(theirs, qualities, strict=True)), list(zip(ours, qualities, strict=True)), fit)
    assert found == pytest.approx(expected, abs=1e-3)


@FITS
def test_there_and_back_again(fit: str) -> None:
    other = [(rate * (0.8 + 0.1 * i), quality + 0.2) for i, (rate, quality) in enumerate(CURVE)]
    there, back = bd_rate(CURVE, other, fit), bd_rate(other, CURVE, fit)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)


def test_the_piecewise_fit_is_not_thrown_off_by_an_outlier_far_away() -> None:
    """A cubic through all points swings between them; the pieces keep to where both are."""
    bent = [(0.01, 10.0), *CURVE]
    within = CURVE[2][1], CURVE[-1][1]
    assert bd_rate(CURVE, bent, within=within) == pytest.approx(0, abs=1e-9)
    assert abs(bd_rate(CURVE, bent, "cubic", within)) > 0.5


def test_order_does_not_matter_and_of_equal_qualities_the_cheapest_counts() -> None:
    shuffled = [CURVE[i] for i in (3, 0, 4, 2, 1)] + [(9.0, 40.1)]
    assert bd_rate(CURVE, shuffled) == pytest.approx(0)


def test_curves_that_share_no_quality_have_no_number() -> None:
    above = [(rate, quality + 50) for rate, quality in CURVE]
    assert np.isnan(bd_rate(CURVE, above))
    assert np.isnan(rate_at(CURVE, 90.0))
    assert rate_at(CURVE, 33.9) == pytest.approx(0.49)


@pytest.mark.parametrize("curve", [CURVE[:3], [(0.0, 30.0), *CURVE]])
def test_what_is_no_curve_is_refused(curve: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"curve of 3 points|no logarithm"):
        bd_rate(CURVE, curve)

"""What a run's time is for, by arithmetic done by hand; the loop's tests have the same on real methods."""

import pytest

from mezzotint.training import timing


def test_the_pace_is_that_of_the_second_half() -> None:
    marks = [(0.0, 0), (10.0, 10), (11.0, 110), (12.0, 210)]
    assert timing.reachable(marks, 5.0) == 210 + 5 * 100
    assert timing.reachable(marks[:1], 0.0) == 0


@pytest.mark.parametrize(
    ("minutes", "elapsed", "measuring", "left"),
    [
        (10, 60.0, 0.0, 600 - 0.035 * 600 - 2.5 - 60),
        (10, 60.0, 100.0, 600 - 100 - 2.5 - 60),
        (0.1, 0.0, 0.0, 6 - 0.035 * 6 - 0.2 * 6),
        (1, 59.0, 30.0, 1.0),
    ],
)
def test_a_budget_keeps_back_what_its_end_takes(minutes: float, elapsed: float, measuring: float, left: float) -> None:
    assert timing.seconds_for_training(minutes, elapsed, measuring) == pytest.approx(left)

"""Which turns a step takes."""

import pytest

from mezzotint.training.step import due_at, kinds_of_steps
from mezzotint.types import Phase


def phases(*every: int) -> tuple[Phase, ...]:
    return tuple(Phase(f"phase-{i}", ("all",), n) for i, n in enumerate(every))


@pytest.mark.parametrize(
    ("every", "shares"),
    [
        ((1,), {0: 1.0}),
        ((1, 16), {0: 1 / 16, 1: 15 / 16}),
        ((1, 5, 2), {0: 1 / 10, 1: 4 / 10, 2: 4 / 10, 5: 1 / 10}),
    ],
)
def test_the_kinds_of_steps_of_a_period(every: tuple[int, ...], shares: dict[int, float]) -> None:
    assert kinds_of_steps(phases(*every)) == pytest.approx(shares)


def test_planning_by_kinds_is_the_mean_over_the_period() -> None:
    """Turns of 1, 10 and 100 seconds: their mean over the period of six steps."""
    some, costs = phases(1, 2, 3), (1, 10, 100)

    def seconds(step: int) -> float:
        return sum(cost for cost, due in zip(costs, due_at(step, some), strict=True) if due)

    mean = sum(share * seconds(step) for step, share in kinds_of_steps(some).items())
    assert mean == pytest.approx(sum(map(seconds, range(6))) / 6)

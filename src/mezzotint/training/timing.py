"""What a run's time is for: what a step takes, what measuring at the end will take, what is left for training."""

import statistics
import time
from collections.abc import Iterator, Sequence

import torch

from mezzotint.data.dataset import Dataset
from mezzotint.method import Method
from mezzotint.recipe import Execution, Recipe
from mezzotint.training.step import kinds_of_steps, parts_of_a_run, stepper_for
from mezzotint.types import Classifies, Denoises, Forecasts, Generates

RESERVE = 0.035
"""Share of a budget of minutes that is kept for the last measuring and writing."""
RESERVE_SECONDS = 2.5
"""Kept for the same on top of that: loading the model again, drawing curves."""
QUICK, USUAL = 2_000, 10_000
"""Pictures drawn for the score card of a run of under five minutes, and of others."""
HASTY = 500
"""Pictures drawn for it where a method draws so slowly that more would take too much of the run's budget."""
FORECAST = (1_000, 200, 50)
"""Clips forecast for it: the most that take no more than a tenth of the run's budget."""


def use_threads(execution: Execution) -> None:
    """As many as `execution` names; where it names none they stay as they are."""
    if execution.threads:
        torch.set_num_threads(execution.threads)


def timed_steps(recipe: Recipe, execution: Execution, dataset: Dataset) -> Iterator[float]:
    """What a step takes on a throw-away copy, rarely due phases by their share; measured again without an end.

    A network that grows is timed when it is grown, where it takes the longest and most of its time.
    """
    use_threads(execution)
    stepper = stepper_for(recipe, execution, dataset)
    phases = stepper.state.method.phases
    kinds = {
        (progress, step): part * share
        for progress, part in parts_of_a_run(phases).items()
        for step, share in kinds_of_steps([phase for phase in phases if phase.lasts(progress)]).items()
    }
    while True:
        mean = 0.0
        for (progress, step), share in kinds.items():
            stepper.state.step = step
            tick = time.perf_counter()
            stepper.step(progress)
            mean += share * (time.perf_counter() - tick)
        yield mean


def seconds_for_training(minutes: float, elapsed: float, measuring: float) -> float:
    """What is left of a budget for steps after `elapsed` seconds, where the last measuring takes `measuring`."""
    seconds = minutes * 60
    return max(1.0, seconds - max(seconds * RESERVE, measuring) - min(RESERVE_SECONDS, 0.2 * seconds) - elapsed)


def seconds_of_measuring(method: Method, dataset: Dataset, minutes: float | None, glances: Sequence[float]) -> float:
    """What the last measuring will take, by what milestones took for each of their fewer pictures (`glances`)."""
    if not glances:
        return 0.0
    drawn = pictures_to_draw(method, minutes, glances) if isinstance(method, (Generates, Forecasts)) else 0
    looked_at = 0 if isinstance(method, (Denoises, Forecasts)) else len(dataset.splits["test"])
    if isinstance(method, Classifies):
        looked_at += 2 * len(dataset.splits["validation"])  # for the calibration
    return statistics.median(glances) * max(drawn, looked_at)


def pictures_to_draw(method: Method, minutes: float | None, glances: Sequence[float]) -> int:
    """For the score card: as usual, but fewer where drawing so many takes over a tenth of the budget."""
    usual = QUICK if minutes is None or minutes < 5 else USUAL
    forecasts = isinstance(method, Forecasts)
    if not minutes or not glances:
        return FORECAST[1] if forecasts else usual
    affordable = 0.1 * 60 * minutes / statistics.median(glances)
    if forecasts:
        return next((n for n in FORECAST if n <= affordable), FORECAST[-1])
    return next((n for n in (USUAL, QUICK) if n <= min(usual, affordable)), HASTY)


def reachable(marks: Sequence[tuple[float, int]], seconds: float) -> int:
    """The pictures that a run will have seen in so many seconds from the last of `marks`, of seconds and pictures.

    Judged by the second half of them, so that neither the kernels' making at the start nor a single milestone counts
    for much.
    """
    (then, before), (now, images) = marks[len(marks) // 2], marks[-1]
    rate = (images - before) / max(now - then, 1e-9)
    return images + int(seconds * rate)

"""The one training loop, for every method.

It settles how to execute and how far to go, then takes steps until the plan is done, and now and then logs, draws,
measures, saves. All randomness is keyed by (seed, pictures seen), so a resumed run goes on as if it had never stopped.
"""

import copy
import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mezzotint import drawing, measure
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.digest import file_digest
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.method import Method
from mezzotint.recipe import Execution, Recipe
from mezzotint.training import checkpoint, memory
from mezzotint.training.journal import Journal
from mezzotint.training.plan import Plan
from mezzotint.training.probe import Pace, available_threads, default_device, settle, trial
from mezzotint.training.run import Run
from mezzotint.training.state import State
from mezzotint.training.step import Stepper
from mezzotint.types import Classifies, Denoises, Generates

LOG_SECONDS = 1.0
RESERVE = 0.035
"""Share of a budget of minutes that is kept for the last measuring and writing."""
RESERVE_SECONDS = 2.5
"""Kept for the same on top of that: loading the model again, drawing curves."""


_Checkpoint = tuple[int, dict[str, Tensor], dict[str, Any], list[str]]
"""Pictures seen, tensors, facts, and complaints about newer checkpoints that were damaged."""


@dataclass(frozen=True)
class Report:
    """Where a training stands; what the loop yields now and then."""

    images: int
    total: int
    seconds: float
    """Since the program began, earlier sittings of a resumed run included."""
    seconds_left: float
    losses: dict[str, float]
    message: str = ""
    """A sentence for the user, where there is something to say."""


class Training:
    """A run in progress."""

    def __init__(self, run: Run, recipe: Recipe, dataset: Dataset, began: float) -> None:
        self.run, self.recipe, self.dataset = run, recipe, dataset
        self.began = began
        """`time.monotonic()` when the program began; a budget of minutes counts from there."""
        self.execution = recipe.execution
        self.plan = Plan(run.plan_file)
        self.messages: list[str] = []
        self.glances: list[float] = []
        """Seconds that each milestone took, by the pictures that it looked at."""

    def steps(self, stop: threading.Event) -> Iterator[Report]:
        """Train to the end of the plan, or until `stop` is set; the state is on disk when this returns."""
        memory.keep_freed()
        resumed = checkpoint_of(self.run)
        self._settle()
        self.stepper = stepper_for(self.recipe, self.execution, self.dataset)
        self.state = self.stepper.state
        if self.recipe.start and resumed is None:
            self.state.begin_with(_start_of(self.run, self.recipe.start))
        self.journal = Journal(self.run.folder, purge_from=resumed[0] + 1 if resumed else 0)
        try:
            self._resume(resumed)
            yield from self._train(stop)
        finally:
            self.journal.close()

    # Before the first step.

    def _settle(self) -> None:
        """Fill what the recipe leaves to the machine, and the plan, and put both into the run."""
        asked = self.recipe.execution
        budget = self.recipe.budget
        self.adapts = asked.threads is None or _chosen_by_probe(self.run)
        if self.plan.legs:
            _use_threads(asked)
            return
        patience = 0.3 if budget.images else min(0.5, max(0.1, (budget.minutes or 0) * 60 * 0.01))
        self.execution, trials = settle(asked, self._timed_steps, patience)
        self.recipe = replace(self.recipe, execution=self.execution)
        _use_threads(self.execution)
        facts = {"adapts": self.adapts, "trials": [{"seconds": t.seconds, **vars(t.execution)} for t in trials]}
        write_whole(self.run.folder / "probe.json", _json(facts))
        write_whole(self.run.recipe_file, self.recipe.to_json())
        if budget.images:
            self.plan.add_leg(0, budget.images)
        else:
            trials = trials or [trial(self.execution, self._timed_steps, patience)]
            fastest = min(t.seconds for t in trials)
            self.plan.add_leg(0, int(self._seconds_for_training() / fastest) * self.recipe.batch)

    def _seconds_for_training(self) -> float:
        """What is left of a budget of minutes for steps."""
        assert self.recipe.budget.minutes is not None
        seconds = self.recipe.budget.minutes * 60
        measuring = max(seconds * RESERVE, self._seconds_of_measuring())
        return max(1.0, seconds - measuring - min(RESERVE_SECONDS, 0.2 * seconds) - self._elapsed())

    def _seconds_of_measuring(self) -> float:
        """What the last measuring will take, by what milestones took for each of their fewer pictures."""
        if not self.glances:
            return 0.0
        drawn = self.pictures_to_draw() if isinstance(self.state.method, Generates) else 0
        looked_at = 0 if isinstance(self.state.method, Denoises) else len(self.dataset.splits["test"])
        if isinstance(self.state.method, Classifies):
            looked_at += 2 * len(self.dataset.splits["validation"])  # for the calibration
        return statistics.median(self.glances) * max(drawn, looked_at)

    def pictures_to_draw(self) -> int:
        """For the score card: as usual, but fewer where drawing so many takes over a tenth of the budget."""
        minutes = self.recipe.budget.minutes
        usual = measure.usual_count(minutes)
        if not minutes or not self.glances:
            return usual
        affordable = 0.1 * 60 * minutes / statistics.median(self.glances)
        fewer = (n for n in (measure.USUAL, measure.QUICK) if n <= min(usual, affordable))
        return next(fewer, measure.HASTY)

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _timed_steps(self, execution: Execution) -> Iterator[float]:
        """Durations of real steps on a throw-away copy, without an end."""
        _use_threads(execution)
        stepper = stepper_for(self.recipe, execution, self.dataset)
        while True:
            tick = time.perf_counter()
            stepper.step(0.0)
            yield time.perf_counter() - tick

    def _resume(self, resumed: _Checkpoint | None) -> None:
        if resumed is None:
            self.journal.write("begin", 0, total=self.plan.total, execution=vars(self.execution))
            return
        images, tensors, facts, complaints = resumed
        self.state.restore(images, tensors, facts)
        if self.adapts and self.state.threads:
            torch.set_num_threads(self.state.threads)
        self.began = time.monotonic() - self.state.seconds
        then = self.run.facts()["versions"]["torch"]
        if then != torch.__version__:
            complaints = [*complaints, f"begun with torch {then}, resumed with {torch.__version__}: bits may differ"]
        self.messages += complaints
        for complaint in complaints:
            self.journal.write("warning", images, message=complaint)
        self.journal.write("resume", images, total=self.plan.total)

    # The steps.

    def _train(self, stop: threading.Event) -> Iterator[Report]:
        state, recipe = self.state, self.recipe
        pace = Pace(torch.get_num_threads(), available_threads(), time.monotonic()) if self._may_adapt() else None
        window = _Window(time.monotonic(), state.images)
        marks = [(window.began, state.images)]
        saved = revised = time.monotonic()
        done = self.finished
        while not done:
            tick = time.monotonic()
            window.add(self._step())
            now = time.monotonic()
            if pace and (threads := pace.after_step(now - tick, now)):
                self._change_threads(threads)
            done = self.plan.is_done(state.images) or stop.is_set()
            if self._passed_milestone():
                done |= self._milestone()
            if now - window.began >= LOG_SECONDS or done:
                yield self._log(window)
                window = _Window(time.monotonic(), state.images, window.rate)
                marks.append((window.began, state.images))
                if recipe.budget.minutes and not done and now - revised > max(2.0, 0.04 * 60 * recipe.budget.minutes):
                    self._revise(marks)
                    revised = now
            # Among refused steps the checkpoint from before them is the better one to keep.
            if done or (time.monotonic() - saved > recipe.checkpoint_seconds and state.refused == 0):
                self.save()
                saved = time.monotonic()

    def _may_adapt(self) -> bool:
        return self.adapts and self.execution.device == "cpu" and available_threads() > 1

    def _step(self) -> dict[str, Tensor]:
        """One step's losses; what was refused goes into the journal, and too much of it ends the run."""
        state = self.state
        parts, refusals = self.stepper.step(self.plan.progress(state.images))
        for r in refusals:
            told = {"phase": r.phase, "step": state.step - 1, "loss": str(r.loss), "norm": str(r.norm)}
            self.journal.write("refused", state.images, **told)
        if refusals and state.refused >= self.recipe.nonfinite_limit > 0:
            self.journal.write("stopped", state.images, reason="non-finite", phase=refusals[-1].phase)
            raise UserError(self._give_up(refusals[-1].phase))
        return parts

    def _give_up(self, phase: str) -> str:
        """The sentence to stop with; the newest checkpoint is from before the refused steps."""
        limit = self.recipe.nonfinite_limit
        kept = "its last good state is kept in " if any(self.run.checkpoints.glob("*")) else "nothing was learned in "
        return (
            f"loss or gradient of {phase!r} was not finite in {limit} steps in a row, from step "
            f"{self.state.step - limit} on; {kept}{self.run.folder}: train again with a lower learning rate "
            "(--set optimizer.lr=…) or --set clip_norm=1"
        )

    # Now and then.

    def _change_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.state.threads = threads
        note = "the machine's load changed: from here on the data order, but not every bit, is as without the change"
        self.journal.write("threads", self.state.images, threads=threads, message=note)

    def _revise(self, marks: list[tuple[float, int]]) -> None:
        """Head for another number of pictures where the machine is not as fast as planned (by over 2 %).

        Judged by the second half of the time so far (`marks` of seconds and pictures), so that neither the kernels'
        making at the start nor a single milestone counts for much.
        """
        state = self.state
        (then, before), (now, images) = marks[len(marks) // 2], marks[-1]
        rate = (images - before) / max(now - then, 1e-9)
        left = self._seconds_for_training()
        reachable = state.images + int(left * rate)
        progress = self.plan.progress(state.images)
        if state.images <= self.plan.revised_at or progress > 0.97 or abs(reachable / self.plan.total - 1) < 0.02:
            return
        self.plan.add_leg(state.images, reachable)
        self.journal.write("plan", state.images, total=self.plan.total)

    def _log(self, window: "_Window") -> Report:
        state = self.state
        window.end(time.monotonic(), state.images)
        state.seconds = self._elapsed()
        losses = window.means()
        self.journal.write(
            "train", state.images, seconds=round(state.seconds, 3), rate=round(window.rate, 1), losses=losses
        )
        self.journal.scalars(state.images, {f"loss/{k}": v for k, v in losses.items()})
        message, self.messages = " ".join(self.messages), []
        left = max(0.0, (self.plan.total - state.images) / max(window.rate, 1e-9))
        return Report(state.images, self.plan.total, state.seconds, left, losses, message)

    def _passed_milestone(self) -> bool:
        n = self.recipe.milestones
        before = self.plan.progress(self.state.images - self.recipe.batch)
        return n > 0 and int(n * self.plan.progress(self.state.images)) > int(n * before)

    def _milestone(self) -> bool:
        """Draw a sample grid, take the validation score; True when the recipe's patience is at its end."""
        state, began = self.state, time.monotonic()
        method = state.average.method
        grid = drawing.sample_grid(method)
        each = (time.monotonic() - began) / (drawing.ROWS * drawing.grid_columns(method))
        if grid is not None:
            pictures.save_png(self.run.samples / f"{state.images:012d}.png", grid)
            self.journal.picture(state.images, "samples", grid)
        score = measure.validation_score(method, self.dataset)
        self.journal.write("milestone", state.images, scores={score.name: score.value})
        self.journal.scalars(state.images, {f"validation/{score.name}": score.value})
        seconds = (time.monotonic() - began) / score.pictures
        # The score of a method that denoises is taken without drawing, so the grid tells what drawing will take.
        self.glances.append(max(seconds, each) if isinstance(method, Denoises) else seconds)
        return self._out_of_patience(score.value if score.higher_is_better else -score.value)

    def _out_of_patience(self, goodness: float) -> bool:
        state = self.state
        if self.recipe.patience == 0:
            return False
        if state.best is None or goodness > state.best:
            state.best, state.stale = goodness, 0
            best = {f"average.{k}": v for k, v in state.average.method.state_dict().items()}
            checkpoint.save(self.run.folder / "best", state.images, best, {"score": goodness})
        else:
            state.stale += 1
        if state.stale >= self.recipe.patience:
            self.messages.append(
                f"no better validation score in {state.stale} milestones: stopped early, the best is kept"
            )
            self.journal.write("stopped", state.images, reason="patience")
            return True
        return False

    @property
    def finished(self) -> bool:
        """Whether the plan is walked to its end, or the recipe's patience."""
        return self.plan.is_done(self.state.images) or 0 < self.recipe.patience <= self.state.stale

    def save(self) -> None:
        """Have the state on disk."""
        self.state.seconds = self._elapsed()
        self.state.threads = torch.get_num_threads()
        checkpoint.save(self.run.checkpoints, self.state.images, self.state.tensors(), self.state.facts())
        self.journal.write("checkpoint", self.state.images, seconds=round(self.state.seconds, 3))

    def trained(self) -> Method:
        """The method to use: averaged weights, the best ones where the recipe stops early."""
        method = copy.deepcopy(self.state.average.method)
        best = checkpoint.load_newest(self.run.folder / "best") if self.recipe.patience else None
        if best:
            method.load_state_dict({k.removeprefix("average."): v for k, v in best[1].items()})
        return method


class _Window:
    """What happened since the last log line: mean losses and pictures a second."""

    def __init__(self, now: float, images: int, rate: float = 0.0) -> None:
        self.began, self.first, self.rate = now, images, rate
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def end(self, now: float, images: int) -> None:
        """Smooth the rate over about three windows, so that an estimated end does not jump."""
        rate = (images - self.first) / max(now - self.began, 1e-9)
        self.rate = rate if self.rate == 0 else 0.65 * self.rate + 0.35 * rate

    def means(self) -> dict[str, float]:
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}


def stepper_for(recipe: Recipe, execution: Execution, dataset: Dataset) -> Stepper:
    """What takes the steps of a recipe, from its first one; raises UserError for a device that is not there."""
    device = torch.device(execution.device or default_device())
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no CUDA device here: take --set execution.device=cpu, or resume where there is one")
    torch.manual_seed(recipe.seed)
    layout = torch.channels_last if execution.channels_last else torch.contiguous_format
    method = recipe.method.build(dataset.spec)
    method = method.to(device).to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    batches = Batches(dataset, "train", recipe.batch, recipe.seed, recipe.data.augment, device, recipe.data.balance)
    return Stepper(recipe, execution, State(recipe, method), batches)


def checkpoint_of(run: Run) -> _Checkpoint | None:
    """The newest good checkpoint of a run; raises UserError where all of them are damaged."""
    try:
        return checkpoint.load_newest(run.checkpoints)
    except ValueError as error:
        raise UserError(f"{error}, and there is no other; begin the run again") from None


def _start_of(run: Run, digest: str) -> dict[str, Tensor]:
    """The weights that a run begins with; raises UserError where they are gone or damaged."""
    try:
        if file_digest(run.start) == digest:
            return load_file(run.start)
    except (OSError, SafetensorError):
        pass
    raise UserError(f"{run.start} is missing or damaged: begin the run again with --from")


def _use_threads(execution: Execution) -> None:
    if execution.threads:
        torch.set_num_threads(execution.threads)


def _chosen_by_probe(run: Run) -> bool:
    path = run.folder / "probe.json"
    return path.is_file() and bool(json.loads(path.read_text())["adapts"])


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=1)

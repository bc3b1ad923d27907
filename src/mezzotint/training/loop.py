"""The one training loop, for every method.

It settles how to execute and how far to go, then takes steps until the plan is done, and now and then logs, draws,
measures, saves. All randomness is keyed by (seed, pictures seen), so a resumed run goes on as if it had never stopped.
"""

import copy
import json
import math
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.method import Method
from mezzotint.recipe import Execution, Recipe
from mezzotint.training import checkpoint, memory, timing, watch
from mezzotint.training.journal import Journal
from mezzotint.training.lookout import Lookout
from mezzotint.training.plan import Plan
from mezzotint.training.probe import Pace, available_threads, settle, trial
from mezzotint.training.report import Report, Window
from mezzotint.training.run import Run, start_of
from mezzotint.training.step import due_at, stepper_for
from mezzotint.types import Discriminates, Phase

LOG_SECONDS = 1.0


class Training:
    """A run in progress."""

    def __init__(self, run: Run, recipe: Recipe, dataset: Dataset, began: float) -> None:
        self.run, self.recipe, self.dataset = run, recipe, dataset
        self.began = began
        """`time.monotonic()` when the program began; a budget of minutes counts from there."""
        self.execution = recipe.execution
        self.plan = Plan(run.plan_file)
        self.messages: list[str] = []

    def steps(self, stop: threading.Event) -> Iterator[Report]:
        """Train to the end of the plan, or until `stop` is set; the state is on disk when this returns."""
        memory.keep_freed()
        resumed = checkpoint_of(self.run)
        self._settle()
        self._build(*(resumed[2].get("troubles", ()) if resumed else ()))
        self.journal = Journal(self.run.folder, purge_from=resumed[0] + 1 if resumed else 0)
        self.lookout = Lookout(self.dataset, self.run, self.journal)
        try:
            self._resume(resumed)
            yield from self._train(stop)
        finally:
            self.journal.close()

    def _build(self, *troubles: str) -> None:
        """Networks and optimizers of the recipe, with the remedies of the troubles that it has had."""
        for name in troubles:
            self.recipe = watch.remedied(self.recipe, name)
        self.stepper = stepper_for(self.recipe, self.execution, self.dataset)
        self.state = self.stepper.state
        if self.recipe.start:
            self.state.begin_with(start_of(self.run, self.recipe.start))

    # Before the first step.

    def _settle(self) -> None:
        """Fill what the recipe leaves to the machine, and the plan, and put both into the run."""
        asked, budget = self.recipe.execution, self.recipe.budget
        self.adapts = asked.threads is None or _chosen_by_probe(self.run)
        if self.plan.legs:
            timing.use_threads(asked)
            return
        patience = 0.3 if budget.images else min(0.5, max(0.1, (budget.minutes or 0) * 60 * 0.01))
        self.execution, trials = settle(asked, self._timed_steps, patience)
        self.recipe = replace(self.recipe, execution=self.execution)
        timing.use_threads(self.execution)
        facts = {"adapts": self.adapts, "trials": [{"seconds": t.seconds, **vars(t.execution)} for t in trials]}
        write_whole(self.run.folder / "probe.json", json.dumps(facts, indent=1))
        write_whole(self.run.recipe_file, self.recipe.to_json())
        if budget.images:
            self.plan.add_leg(0, budget.images)
        else:
            trials = trials or [trial(self.execution, self._timed_steps, patience)]
            fastest = min(t.seconds for t in trials)
            self.plan.add_leg(0, int(self._seconds_left(0.0) / fastest) * self.recipe.batch)

    def _timed_steps(self, execution: Execution) -> Iterator[float]:
        return timing.timed_steps(self.recipe, execution, self.dataset)

    def _seconds_left(self, measuring: float) -> float:
        """For steps, of a budget of minutes, where the last measuring takes so many seconds."""
        assert self.recipe.budget.minutes is not None
        return timing.seconds_for_training(self.recipe.budget.minutes, self._elapsed(), measuring)

    def pictures_to_draw(self) -> int:
        """For the score card."""
        return timing.pictures_to_draw(self.state.method, self.recipe.budget.minutes, self.state.glances)

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _resume(self, resumed: checkpoint.Checkpoint | None) -> None:
        if resumed is None:
            self.journal.write("begin", 0, total=self.plan.total, execution=vars(self.execution))
            return
        images, tensors, facts, complaints = resumed
        self.state.restore(images, tensors, facts)
        for kept in (self.run.healthy, self.run.best):
            checkpoint.drop_after(kept, images)
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
        pace = Pace(torch.get_num_threads(), available_threads(), time.monotonic()) if self._may_adapt() else None
        window = Window(time.monotonic(), self.state.images)
        marks = [(window.began, self.state.images)]
        saved = revised = time.monotonic()
        revising = max(2.0, 0.04 * 60 * (self.recipe.budget.minutes or math.inf))
        self._look_before_the_first_step()
        done = self.finished
        while not done:
            usual, costs, tick = self._is_usual_step(), self._costs(), time.monotonic()
            window.add(self._step())
            now = time.monotonic()
            if pace and (threads := pace.after_step(now - tick, now) if usual else None):
                self._change_threads(threads)
            done = self.plan.is_done(self.state.images) or stop.is_set()
            if self._passed_milestone():
                done |= self._milestone()
            if self._costs() != costs:
                marks = [(now, self.state.images)]
                if pace and (threads := pace.forget(now)):
                    self._change_threads(threads)
            if now - window.began >= LOG_SECONDS or done:
                yield self._log(window)
                window = Window(time.monotonic(), self.state.images, window.rate)
                marks.append((window.began, self.state.images))
                if not done and now - revised > revising and self._in_last_part():
                    self._revise(marks)
                    revised = now
            # Among refused steps the checkpoint from before them is the better one to keep.
            if done or (time.monotonic() - saved > self.recipe.checkpoint_seconds and self.state.refused == 0):
                self.save()
                saved = time.monotonic()
        if self.finished:
            shutil.rmtree(self.run.healthy, ignore_errors=True)  # nothing will go back to it

    def _lasting(self) -> list[Phase]:
        """The phases of this part of the run."""
        progress = self.plan.progress(self.state.images)
        return [phase for phase in self.state.method.phases if phase.lasts(progress)]

    def _in_last_part(self) -> bool:
        """Whether all phases that there will be have begun: the pace before tells nothing of theirs."""
        return self.plan.progress(self.state.images) >= max(phase.begins for phase in self.state.method.phases)

    def _costs(self) -> tuple[object, ...]:
        """What decides how long a step takes: how far the network has grown, its remedies, and the phases that last."""
        return self.state.method.stage, len(self.state.troubles), *(phase.name for phase in self._lasting())

    def _is_usual_step(self) -> bool:
        """Whether the next step has no more turns than most: only such steps tell how busy the machine is."""
        phases = self._lasting()
        return due_at(self.state.step, phases) == tuple(phase.every == 1 for phase in phases)

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
            told = f"loss or gradient of {refusals[-1].phase!r} was not finite in {state.refused} steps in a row"
            if self.recipe.milestones and len(state.troubles) < self.recipe.rollbacks:
                self._respond(watch.Trouble("diverged", told))
                return parts
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

        `marks` are seconds and pictures of the time so far.
        """
        state, minutes = self.state, self.recipe.budget.minutes
        measuring = timing.seconds_of_measuring(state.method, self.dataset, minutes, state.glances)
        reachable = timing.reachable(marks, self._seconds_left(measuring))
        progress = self.plan.progress(state.images)
        if state.images <= self.plan.revised_at or progress > 0.97 or abs(reachable / self.plan.total - 1) < 0.02:
            return
        self.plan.add_leg(state.images, reachable)
        self.journal.write("plan", state.images, total=self.plan.total)

    def _log(self, window: Window) -> Report:
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

    def _look_before_the_first_step(self) -> None:
        """What the untrained networks of a game draw is what they must get better than."""
        if self.state.images == 0 and self.recipe.milestones and isinstance(self.state.method, Discriminates):
            self.state.readings.append(self.lookout.look(self.state)[1])

    def _milestone(self) -> bool:
        """Draw samples, take the validation score, see whether all is well; True where the run is to end."""
        state = self.state
        score, reading = self.lookout.look_and_draw(state)
        trouble = watch.trouble(state.readings, reading, state.since, state.suspected)
        if trouble is None:
            self._take_as_healthy(reading)
        else:
            state.spoiled = state.best is not None
        out_of_patience = self._out_of_patience(score.value if score.higher_is_better else -score.value, trouble)
        return out_of_patience or (trouble is not None and self._respond(trouble))

    def _take_as_healthy(self, reading: watch.Reading) -> None:
        """Keep the state of a good milestone to go back to; say what is not yet a trouble."""
        state = self.state
        if told := watch.notice(state.readings, reading):
            self._tell("watch", told)
        if state.readings and reading.stage != state.readings[-1].stage:
            state.best = None
        best = watch.best_of(state.readings, reading.stage)
        state.spoiled = watch.spoiled(reading, best)
        state.suspected = watch.suspect(state.readings, reading)
        if state.suspected:
            return
        state.readings.append(reading)
        if self.recipe.rollbacks:
            growth = state.growth(self.plan.progress(state.images))
            checkpoint.save(self.run.healthy, state.images, state.tensors(), {"growth": growth})

    def _respond(self, trouble: watch.Trouble) -> bool:
        """Go back to the last healthy state with a remedy, or end the run (True) where that did not help."""
        state = self.state
        told = f"{trouble.name}: {trouble.told}"
        if self.recipe.rollbacks == 0 or self.plan.is_done(state.images):
            if state.told != trouble.name:
                self._tell("watch", told)
            state.told = trouble.name
            return False
        if len(state.troubles) >= self.recipe.rollbacks:
            state.stopped = trouble.name
            kept = "the best weights are kept" if state.best is not None else "nothing good was found"
            self._tell(
                "stopped", f"{told}; after {len(state.troubles)} rollbacks the run ends and {kept}", reason="watch"
            )
            return True
        before, old = self.recipe, state.images
        state.readings = watch.to_go_back_to(state.readings, trouble, state.since if state.troubles else -1)
        healthy = self._kept(self.run.healthy, state.readings[-1].images if state.readings else 0)
        state.troubles.append(trouble.name)
        self._build(trouble.name)
        growth = healthy[2].get("growth", self.plan.progress(healthy[0])) if healthy else 0.0
        self.state.go_on_from(state, healthy[1] if healthy else {}, growth, self.plan.progress(old))
        where = f"{healthy[0]:,} pictures" if healthy else "the beginning"
        remedy = " ".join(f"--set {setting}" for setting in watch.differences(before, self.recipe))
        self._tell("rollback", f"{told}; back from {old:,} to {where} with {remedy}", reason=trouble.name)
        self.save()
        return False

    def _tell(self, event: str, message: str, **facts: str) -> None:
        """Put what the watch found into the journal and before the user."""
        self.journal.write(event, self.state.images, message=message, **facts)
        self.messages.append(message)

    def _kept(self, folder: Path, most: float = math.inf) -> checkpoint.Checkpoint | None:
        """The newest state kept in `folder`; where all of them are damaged the journal says so, and there is none."""
        try:
            return checkpoint.load_newest(folder, most)
        except ValueError as error:
            journal = Journal(self.run.folder)  # the training's own may be closed by now
            journal.write("warning", self.state.images, message=f"{error}: going on without it")
            journal.close()
            return None

    def _out_of_patience(self, goodness: float, trouble: watch.Trouble | None) -> bool:
        state = self.state
        if trouble is None and math.isfinite(goodness) and (state.best is None or goodness > state.best):
            state.best, state.stale = goodness, 0
            best = {f"average.{k}": v for k, v in state.average.method.state_dict().items()}
            checkpoint.save(self.run.best, state.images, best, {"score": goodness})
        else:
            state.stale += 1
        if state.stale >= self.recipe.patience > 0:
            self.messages.append(
                f"no better validation score in {state.stale} milestones: stopped early, the best is kept"
            )
            self.journal.write("stopped", state.images, reason="patience")
            return True
        return False

    @property
    def finished(self) -> bool:
        """Whether the plan is walked to its end, or the recipe's patience, or what the watch tried did not help."""
        out_of_patience = 0 < self.recipe.patience <= self.state.stale
        return self.plan.is_done(self.state.images) or out_of_patience or bool(self.state.stopped)

    def save(self) -> None:
        """Have the state on disk."""
        self.state.seconds = self._elapsed()
        self.state.threads = torch.get_num_threads()
        checkpoint.save(self.run.checkpoints, self.state.images, self.state.tensors(), self.state.facts())
        self.journal.write("checkpoint", self.state.images, seconds=round(self.state.seconds, 3))

    def trained(self) -> Method:
        """The method to use: averaged weights, the best ones where the recipe stops early or the end was spoiled."""
        method = copy.deepcopy(self.state.average.method)
        choose = self.recipe.patience or self.state.spoiled
        best = self._kept(self.run.best) if choose else None
        if best:
            method.load_state_dict({k.removeprefix("average."): v for k, v in best[1].items()})
        return method


def checkpoint_of(run: Run) -> checkpoint.Checkpoint | None:
    """The newest good checkpoint of a run; raises UserError where all of them are damaged."""
    try:
        return checkpoint.load_newest(run.checkpoints)
    except ValueError as error:
        raise UserError(f"{error}, and there is no other; begin the run again") from None


def _chosen_by_probe(run: Run) -> bool:
    path = run.folder / "probe.json"
    return path.is_file() and bool(json.loads(path.read_text())["adapts"])

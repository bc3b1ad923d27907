"""The one training loop, for every method.

Each step takes the due phases in turn; in each only its groups train, micro-batches run the loss, a non-finite loss or
gradient is refused by name, the optimizers step. Then the weights are averaged. All randomness is keyed by
(seed, pictures seen), so a resumed run goes on as if it had never stopped.
"""

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint import measure
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.method import Method, check_groups
from mezzotint.recipe import Execution, Recipe
from mezzotint.training import checkpoint, memory, optimizers
from mezzotint.training.averaging import Average
from mezzotint.training.journal import Journal
from mezzotint.training.plan import Plan
from mezzotint.training.probe import Pace, available_threads, default_device, settle
from mezzotint.training.run import Run
from mezzotint.types import Batch, Phase

LOG_SECONDS = 1.0
RESERVE = 0.03
"""Share of a budget of minutes that is kept for the last measuring and writing."""
RESERVE_SECONDS = 5.0
"""Kept for the same on top of that: loading the model again, drawing curves."""


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


class State:
    """Everything of a training that a checkpoint holds."""

    def __init__(self, recipe: Recipe, method: Method) -> None:
        check_groups(method)
        missing = set(method.groups()) ^ set(recipe.optimizers)
        if missing:
            raise UserError(
                f"the recipe's optimizers must be named as the method's groups; odd ones: {sorted(missing)}"
            )
        self.method = method
        self.average = Average(method, recipe.averaging)
        self.optimizers = {
            name: optimizers.build(recipe.optimizers[name], group) for name, group in method.groups().items()
        }
        self.images = 0
        self.step = 0
        self.refused = 0
        """Non-finite steps in a row."""
        self.seconds = 0.0
        self.best: float | None = None
        """Best validation score so far, and milestones since; only where the recipe stops early."""
        self.stale = 0
        self.threads: int | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, by a name that says whose it is."""
        found = {f"method.{k}": v for k, v in self.method.state_dict().items()}
        found |= {f"average.{k}": v for k, v in self.average.method.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            found |= {f"optimizer.{name}.{k}": v for k, v in optimizers.state_tensors(optimizer).items()}
        return found

    def facts(self) -> dict[str, Any]:
        """Everything that is not a tensor."""
        names = ("step", "refused", "seconds", "best", "stale", "threads")
        return {name: getattr(self, name) for name in names}

    def restore(self, images: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """The inverse of `tensors` and `facts`."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.method.load_state_dict(part("method."))
        self.average.method.load_state_dict(part("average."))
        for name, optimizer in self.optimizers.items():
            optimizers.load_state_tensors(optimizer, part(f"optimizer.{name}."))
        self.images = images
        for name, value in facts.items():
            setattr(self, name, value)


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
        self.state = self._fresh_state()
        self.journal = Journal(self.run.folder, purge_from=resumed[0] + 1 if resumed else None)
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
            seconds = min((t.seconds for t in trials), default=0.0) or min(self._timed_steps(self.execution, patience))
            self.plan.add_leg(0, int(self._seconds_for_training() / seconds) * self.recipe.batch)

    def _seconds_for_training(self) -> float:
        """What is left of a budget of minutes for steps."""
        assert self.recipe.budget.minutes is not None
        seconds = self.recipe.budget.minutes * 60
        return max(1.0, seconds * (1 - RESERVE) - min(RESERVE_SECONDS, 0.2 * seconds) - self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _fresh_state(self) -> State:
        torch.manual_seed(self.recipe.seed)
        method = self.recipe.method.build(self.dataset.spec)
        layout = torch.channels_last if self.execution.channels_last else torch.contiguous_format
        method = method.to(self.execution.device or default_device()).to(memory_format=layout)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.batches = Batches(
            self.dataset,
            "train",
            self.recipe.batch,
            self.recipe.seed,
            self.recipe.data.augment,
            torch.device(self.execution.device or default_device()),
        )
        return State(self.recipe, method)

    def _timed_steps(self, execution: Execution, seconds: float) -> list[float]:
        """Durations of real steps on a throw-away copy; the first two, which make the kernels, are left out."""
        before = self.execution
        self.execution = execution
        _use_threads(execution)
        self.state = self._fresh_state()
        durations: list[float] = []
        started = time.monotonic()
        while len(durations) < 3 or (time.monotonic() - started < seconds and len(durations) < 200):
            tick = time.perf_counter()
            self._step()
            durations.append(time.perf_counter() - tick)
            if time.monotonic() - started > 4 * seconds + 2:
                break
        self.execution = before
        return durations[2:] or durations[-1:]

    def _resume(self, resumed: "checkpoint_type") -> None:
        if resumed is None:
            self.journal.write("begin", 0, total=self.plan.total, execution=vars(self.execution))
            return
        images, tensors, facts, complaints = resumed
        self.state.restore(images, tensors, facts)
        if self.adapts and self.state.threads:
            torch.set_num_threads(self.state.threads)
        self.began = time.monotonic() - self.state.seconds
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
            losses = self._step()
            window.add(losses)
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
        state, recipe = self.state, self.recipe
        images, labels = self.batches.at(state.images)
        if self.execution.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        progress = self.plan.progress(state.images) if self.plan.legs else 0.0
        parts: dict[str, Tensor] = {}
        refused = ""
        state.method.train()
        for number, phase in enumerate(state.method.phases):
            if state.step % phase.every == 0:
                key = _key(recipe.seed, state.images, number)
                values, finite = self._turn(phase, Batch(images, labels, progress, key), progress)
                parts.update(values)
                refused = refused if finite else phase.name
        state.images += recipe.batch
        state.step += 1
        state.average.update(state.method, state.step, state.images, recipe.batch)
        state.refused = state.refused + 1 if refused else 0
        if state.refused >= recipe.nonfinite_limit > 0:
            raise UserError(self._give_up(refused))
        return parts

    def _turn(self, phase: Phase, batch: Batch, progress: float) -> tuple[dict[str, Tensor], bool]:
        """One phase of one step: its named losses, and whether all was finite (else nothing was changed)."""
        method, recipe = self.state.method, self.recipe
        groups = method.groups()
        buffers = [b.clone() for b in method.buffers()]
        for name, group in groups.items():
            for p in group:
                p.requires_grad_(name in phase.trains)
        parts, total = self._gradients(phase, batch)
        trained = [p for name in phase.trains for p in groups[name]]
        for name in phase.trains:
            optimizers.add_penalties(recipe.optimizers[name], groups[name])
        gradients = [p.grad for p in trained if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        finite = bool(torch.isfinite(norm) & torch.isfinite(total))
        if finite:
            if recipe.clip_norm > 0:
                nn.utils.clip_grads_with_norm_(trained, recipe.clip_norm, norm)
            for name in phase.trains:
                optimizers.set_rate(self.state.optimizers[name], recipe.optimizers[name], progress)
                self.state.optimizers[name].step()
            method.after_step(phase.name)
        else:
            self._refuse(phase, buffers, float(total), float(norm))
        for p in trained:
            p.grad = None
        return parts, finite

    def _gradients(self, phase: Phase, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Accumulate the gradients of all micro-batches; returns the batch's mean losses, by part and in total."""
        size = self.recipe.micro_batch or len(batch)
        parts: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.images.device)
        for first in range(0, len(batch), size):
            piece = _piece(batch, first, size)
            torch.manual_seed(_key(batch.seed, first, 0))  # dropout draws from torch's own state
            share = len(piece) / len(batch)
            with self._autocast():
                loss = self.state.method.loss(piece, phase.name)
            (loss.total * share).backward()
            total += loss.total.detach() * share
            for name, value in loss.parts.items():
                parts[name] = parts.get(name, 0) + value.detach() * share
        return parts, total

    def _autocast(self) -> Any:
        if self.execution.precision == "bf16":
            return torch.autocast(self.execution.device or "cpu", torch.bfloat16)
        return nullcontext()

    def _refuse(self, phase: Phase, buffers: list[Tensor], total: float, norm: float) -> None:
        """Leave no trace of a non-finite turn but a line in the journal."""
        for b, before in zip(self.state.method.buffers(), buffers, strict=True):
            b.data.copy_(before)
        if hasattr(self, "journal"):
            self.journal.write(
                "refused",
                self.state.images + self.recipe.batch,
                phase=phase.name,
                step=self.state.step,
                loss=str(total),
                norm=str(norm),
            )

    def _give_up(self, phase: str) -> str:
        """The sentence to stop with; the newest checkpoint is from before the refused steps."""
        limit = self.recipe.nonfinite_limit
        if hasattr(self, "journal"):
            self.journal.write("stopped", self.state.images, reason="non-finite", phase=phase)
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
        state = self.state
        method = state.average.method
        grid = measure.sample_grid(method)
        if grid is not None:
            pictures.save_png(self.run.samples / f"{state.images:012d}.png", grid)
            self.journal.picture(state.images, "samples", grid)
        score = measure.validation_score(method, self.dataset)
        self.journal.write("milestone", state.images, scores={score.name: score.value})
        self.journal.scalars(state.images, {f"validation/{score.name}": score.value})
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


checkpoint_type = tuple[int, dict[str, Tensor], dict[str, Any], list[str]] | None


def checkpoint_of(run: Run) -> checkpoint_type:
    """The newest good checkpoint of a run; raises UserError where all of them are damaged."""
    try:
        return checkpoint.load_newest(run.checkpoints)
    except ValueError as error:
        raise UserError(f"{error}, and there is no other; begin the run again") from None


def _piece(batch: Batch, first: int, size: int) -> Batch:
    if size >= len(batch):
        return batch
    labels = None if batch.labels is None else batch.labels[first : first + size]
    return replace(batch, images=batch.images[first : first + size], labels=labels, first=first, whole=len(batch))


def _key(seed: int, images: int, stream: int) -> int:
    """One 63-bit key from three numbers (a step of splitmix64 each)."""
    x = seed
    for number in (images, stream):
        x = (x + 0x9E3779B97F4A7C15 * (number + 1)) % 2**64
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        x ^= x >> 31
    return x % 2**63


def _use_threads(execution: Execution) -> None:
    if execution.threads:
        torch.set_num_threads(execution.threads)


def _chosen_by_probe(run: Run) -> bool:
    import json

    path = run.folder / "probe.json"
    return path.is_file() and bool(json.loads(path.read_text())["adapts"])


def _json(facts: dict[str, Any]) -> str:
    import json

    return json.dumps(facts, indent=1)

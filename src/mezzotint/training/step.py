"""One training step: the due phases in turn, each with its own groups, refused by name where it is not finite."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import Batches
from mezzotint.errors import UserError
from mezzotint.recipe import Execution, Recipe
from mezzotint.training import optimizers
from mezzotint.training.probe import default_device
from mezzotint.training.state import State
from mezzotint.types import Batch, Phase


@dataclass(frozen=True)
class Refusal:
    """A turn that changed nothing, because its loss or gradient was not finite."""

    phase: str
    loss: float
    norm: float


class Stepper:
    """Takes steps on a state, under one execution."""

    def __init__(self, recipe: Recipe, execution: Execution, state: State, batches: Batches) -> None:
        self.recipe, self.execution, self.state, self.batches = recipe, execution, state, batches

    def step(self, progress: float) -> tuple[dict[str, Tensor], list[Refusal]]:
        """Take one step at `progress` in [0, 1]: the losses by name, and what was refused of it."""
        state, recipe = self.state, self.recipe
        images, labels = self.batches.at(state.images)
        targets = self.batches.targets_at(state.images)
        if self.execution.channels_last and images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        parts: dict[str, Tensor] = {}
        refusals: list[Refusal] = []
        state.method.train()
        lasting = [(number, phase) for number, phase in enumerate(state.method.phases) if phase.lasts(progress)]
        due = due_at(state.step, [phase for _, phase in lasting])
        for is_due, (number, phase) in zip(due, lasting, strict=True):
            if is_due:
                key = _key(recipe.seed, state.images, number)
                batch = Batch(images, labels, progress, key, targets=targets, growth=state.growth(progress))
                values, refusal = self._turn(phase, batch, progress)
                parts.update(values)
                refusals += [refusal] if refusal else []
        state.images += recipe.batch
        state.step += 1
        state.average.update(state.method, state.step, state.images, recipe.batch)
        # A phase that is rarely due is not healed by the steps between.
        state.refused = state.refused + 1 if refusals else 0 if all(due) else state.refused
        return parts, refusals

    def _turn(self, phase: Phase, batch: Batch, progress: float) -> tuple[dict[str, Tensor], Refusal | None]:
        """One phase of one step: its named losses, and whether it was refused (then it left no trace)."""
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
        norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        refusal = None
        if bool(torch.isfinite(norm) & torch.isfinite(total)):
            if recipe.clip_norm > 0:
                nn.utils.clip_grads_with_norm_(trained, recipe.clip_norm, norm)
            for name in phase.trains:
                own = own_progress(method.phases, name, progress)
                optimizers.set_rate(self.state.optimizers[name], self.state.settings[name], own)
                self.state.optimizers[name].step()
            method.after_step(phase.name)
        else:
            refusal = Refusal(phase.name, float(total), float(norm))
            for b, before in zip(method.buffers(), buffers, strict=True):
                b.data.copy_(before)
        self.state.tally.add(phase.name, float(norm), refusal is not None)
        for p in trained:
            p.grad = None
        return parts, refusal

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


def own_progress(phases: Sequence[Phase], group: str, progress: float) -> float:
    """How much of the part of the run in which a group is trained is over, in [0, 1]: what its rate goes by."""
    own = [phase for phase in phases if group in phase.trains]
    begins, ends = min(phase.begins for phase in own), max(phase.ends for phase in own)
    return min(1.0, max(0.0, (progress - begins) / (ends - begins)))


def due_at(step: int, phases: Sequence[Phase]) -> tuple[bool, ...]:
    """Which of the phases take their turn at a step."""
    return tuple(step % phase.every == 0 for phase in phases)


def parts_of_a_run(phases: Sequence[Phase]) -> dict[float, float]:
    """A progress in each part of a run in which the same phases last, with the part's share of the run."""
    borders = sorted({0.0, 1.0, *(p.begins for p in phases), *(p.ends for p in phases)})
    return {1.0 if last >= 1 else (first + last) / 2: last - first for first, last in pairwise(borders)}


def kinds_of_steps(phases: Sequence[Phase]) -> dict[int, float]:
    """A step of each combination of phases, with the share of all steps that are like it."""
    period = math.lcm(*(phase.every for phase in phases))
    firsts: dict[tuple[bool, ...], int] = {}
    shares: dict[int, float] = {}
    for step in range(period):
        first = firsts.setdefault(due_at(step, phases), step)
        shares[first] = shares.get(first, 0.0) + 1 / period
    return shares


def _piece(batch: Batch, first: int, size: int) -> Batch:
    if size >= len(batch):
        return batch
    rows = slice(first, first + size)
    labels = None if batch.labels is None else batch.labels[rows]
    targets = {name: values[rows] for name, values in batch.targets.items()}
    return replace(batch, images=batch.images[rows], labels=labels, first=first, whole=len(batch), targets=targets)


def _key(seed: int, images: int, stream: int) -> int:
    """One 63-bit key from three numbers (a step of splitmix64 each)."""
    x = seed
    for number in (images, stream):
        x = (x + 0x9E3779B97F4A7C15 * (number + 1)) % 2**64
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        x ^= x >> 31
    return x % 2**63

"""Which precision, memory layout and number of threads are fastest for this very method on this very machine.

A few real steps of each candidate on a throw-away copy; nothing of it enters the run but the choice.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from mezzotint.recipe import Execution


@dataclass(frozen=True)
class Trial:
    """One candidate and the seconds that its step took: the median of several measurements."""

    execution: Execution
    seconds: float


def default_device() -> str:
    """The accelerator where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def available_threads() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def settle(
    asked: Execution, steps: Callable[[Execution], Iterator[float]], patience: float
) -> tuple[Execution, list[Trial]]:
    """Fill what `asked` leaves open by trials of about `patience` seconds each.

    `steps(execution)` takes real steps under `execution` and yields what one takes, again and again without an
    end. One choice is settled after another (threads, precision, layout), since the full product would cost more than
    it gains. On a GPU only the precision and layout are tried.
    """
    device = asked.device or default_device()
    threads = available_threads() if device == "cpu" else torch.get_num_threads()
    best = replace(
        asked,
        device=device,
        precision=asked.precision or "bf16",
        channels_last=True if asked.channels_last is None else asked.channels_last,
        threads=asked.threads or threads,
    )
    rivals: list[Callable[[Execution], Execution]] = []
    if asked.threads is None and device == "cpu" and threads > 1:
        rivals.append(lambda e: replace(e, threads=1))
    if asked.precision is None:
        rivals.append(lambda e: replace(e, precision="fp32"))
    if asked.channels_last is None:
        rivals.append(lambda e: replace(e, channels_last=False))
    if not rivals:
        return best, []
    leader = trial(best, steps, patience)
    trials = [leader]
    for rival in rivals:
        other = trial(rival(leader.execution), steps, patience, leader.seconds)
        trials.append(other)
        if other.seconds < leader.seconds:
            # The machine may have been busy during the leader's trial: it gets another.
            trials.append(trial(leader.execution, steps, patience, other.seconds))
            leader = min(other, trials[-1], key=lambda t: t.seconds)
    return leader.execution, trials


def trial(
    execution: Execution, steps: Callable[[Execution], Iterator[float]], patience: float, to_beat: float = math.inf
) -> Trial:
    """The median of some steps after the first two, which make the kernels; a clearly slower rival is soon let go."""
    taken: list[float] = []
    began = time.monotonic()
    for seconds in steps(execution):
        taken.append(seconds)
        some, spent = taken[2:], time.monotonic() - began
        if len(some) >= 3 and (spent > patience or min(some) > 1.3 * to_beat or len(some) >= 200):
            break
        if len(taken) > 1 and spent > 4 * patience + 2:
            break
    return Trial(execution, statistics.median(taken[2:] or taken[-1:]))


class Pace:
    """Notices while training that the machine has become busy, and finds the number of threads that is fastest now.

    With another busy process on the same cores, OpenMP's threads wait for one another and many threads can be many
    times slower than one. So when steps take `slow` times their usual, one thread is tried for a few steps; when on
    few threads, all of them are tried again now and then, after `patience` seconds and less often each time that it
    does not pay. One very slow step ends a trial.
    """

    slow = 1.6

    def __init__(self, threads: int, most: int, now: float, patience: float = 4.0) -> None:
        self.threads, self.most, self.patience = threads, most, patience
        self._wait = patience
        self._next_trial = now + (1.0 if threads == most else patience)
        self._usual: dict[int, float] = {}
        self._recent: list[float] = []
        self._trial: tuple[int, float] | None = None
        """Threads to return to and the seconds a step took there, while another number is on trial."""

    def after_step(self, seconds: float, now: float) -> int | None:
        """The number of threads to change to after a step of `seconds` that ended at `now`, or None to go on."""
        self._recent = [*self._recent[-4:], seconds]
        if self._trial is not None:
            return self._judge(*self._trial, now)
        if len(self._recent) < 3:
            return None
        typical = statistics.median(self._recent)
        usual = self._usual.get(self.threads, typical)
        # It forgets slowly, since heat and neighbors change the usual, but not while it waits and may not act.
        self._usual[self.threads] = min(usual * (1.001 if now >= self._next_trial else 1), typical)
        if now < self._next_trial:
            return None
        if self.threads > 1 and typical > self.slow * usual:
            return self._try(1, typical)
        if self.threads < self.most:
            return self._try(self.most, typical)
        return None

    def forget(self, now: float) -> int | None:
        """Steps are about to cost something else; returns the number of threads to go back to, if one is on trial."""
        self._usual, self._recent = {}, []
        self._next_trial = now + self.patience
        if self._trial is None:
            return None
        (self.threads, _), self._trial = self._trial, None
        return self.threads

    def _try(self, threads: int, typical: float) -> int:
        self._trial, self.threads, self._recent = (self.threads, typical), threads, []
        return threads

    def _judge(self, back: int, before: float, now: float) -> int | None:
        hopeless = self._recent[-1] > 4 * before
        # The first step after a change makes its kernels anew and says little.
        if len(self._recent) < 4 and not (hopeless and (len(self._recent) > 1 or self._recent[0] > 20 * before)):
            return None
        paid = not hopeless and statistics.median(self._recent[1:]) < 0.9 * before
        self._trial, self._recent = None, []
        self._wait = self.patience if paid else min(16 * self.patience, 2 * self._wait)
        self._next_trial = now + self._wait
        if paid:
            return None
        self.threads = back
        return back

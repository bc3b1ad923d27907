"""The choices are tested on made-up timings: what they rest on is arithmetic, not this machine."""

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
import torch

from mezzotint.recipe import Execution
from mezzotint.training import probe
from mezzotint.training.probe import Pace, settle


def timings(cost: Callable[[Execution], float], tried: list[Execution]) -> Callable[[Execution], Iterator[float]]:
    def steps(execution: Execution) -> Iterator[float]:
        tried.append(execution)
        yield from [99.0, 99.0]  # the kernels are made
        yield from repeat(cost(execution))

    return steps


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "available_threads", lambda: 2)
    monkeypatch.setattr(probe, "default_device", lambda: "cpu")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("layout", [True, False])
def test_the_fastest_is_found(threads: int, precision: str, layout: bool) -> None:
    def cost(e: Execution) -> float:
        return 1 + (e.threads != threads) + (e.precision != precision) + (e.channels_last != layout)

    tried: list[Execution] = []
    chosen, trials = settle(Execution(), timings(cost, tried), 0.1)
    assert chosen == Execution(device="cpu", precision=precision, channels_last=layout, threads=threads)  # pyright: ignore[reportArgumentType]
    assert [t.execution for t in trials] == tried
    assert len(tried) == 4 + (threads == 1) + (precision == "fp32") + (not layout)  # who is beaten gets another trial
    assert min(t.seconds for t in trials) == 1


def test_what_is_asked_is_kept_and_costs_no_trial() -> None:
    tried: list[Execution] = []
    asked = Execution(device="cpu", precision="fp32", channels_last=False, threads=2)
    assert settle(asked, timings(lambda e: 1.0, tried), 0.1) == (asked, [])
    assert tried == []
    chosen, _ = settle(Execution(threads=1, precision="fp32"), timings(lambda e: 1.0, tried), 0.1)
    assert (chosen.threads, chosen.precision) == (1, "fp32")
    assert {(e.threads, e.precision) for e in tried} == {(1, "fp32")}


def test_a_moment_of_load_does_not_decide() -> None:
    tried: list[Execution] = []

    def cost(e: Execution) -> float:
        return (1.0 if e.threads == 2 else 1.8) * (3 if len(tried) == 1 else 1)  # the first trial met a busy machine

    chosen, _ = settle(Execution(), timings(cost, tried), 0.1)
    assert (chosen.threads, chosen.precision, chosen.channels_last) == (2, "bf16", True)


def test_a_clearly_slower_rival_is_soon_let_go() -> None:
    taken: list[int] = []

    def steps(execution: Execution) -> Iterator[float]:
        while True:
            taken.append(execution.threads or 0)
            yield 1e-3 if execution.threads == 2 else 2e-3

    settle(Execution(precision="fp32", channels_last=True), steps, 0.05)
    assert taken.count(1) == 5
    assert taken.count(2) > 5


def test_one_core_tries_one_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "available_threads", lambda: 1)
    tried: list[Execution] = []
    chosen, _ = settle(Execution(), timings(lambda e: 1.0, tried), 0.1)
    assert chosen.threads == 1
    assert {e.threads for e in tried} == {1}


def test_this_machine_has_a_core() -> None:
    assert probe.available_threads() >= 1
    assert torch.get_num_threads() >= 1


class Machine:
    """Steps of so many seconds by thread count, on a clock of its own."""

    def __init__(self, threads: int) -> None:
        self.now, self.changes, self.threads = 0.0, 0, threads
        self.pace = Pace(threads, 2, self.now)

    def run(self, seconds: float, one: float, two: float) -> float:
        """Train so long; returns the share of the steps that one could have made at the faster count."""
        end, steps = self.now + seconds, 0
        while self.now < end:
            took = one if self.threads == 1 else two
            self.now += took
            steps += 1
            if change := self.pace.after_step(took, self.now):
                self.threads, self.changes = change, self.changes + 1
        return steps * min(one, two) / seconds


QUIET, BUSY = {"one": 0.018, "two": 0.010}, {"one": 0.020, "two": 1.0}


def test_a_quiet_machine_keeps_its_threads() -> None:
    machine = Machine(2)
    assert machine.run(120, **QUIET) > 0.98
    assert (machine.threads, machine.changes) == (2, 0)


def test_a_busy_neighbor_leaves_one_thread_at_seventy_percent_of_its_rate() -> None:
    machine = Machine(2)
    machine.run(20, **QUIET)
    machine.run(10, **BUSY)  # time to notice
    assert machine.threads == 1
    assert machine.run(120, **BUSY) > 0.7
    assert machine.threads == 1


def test_all_threads_come_back_when_the_neighbor_goes() -> None:
    machine = Machine(2)
    machine.run(20, **QUIET)
    machine.run(60, **BUSY)
    machine.run(100, **QUIET)
    assert machine.threads == 2
    assert machine.run(60, **QUIET) > 0.95


def test_trials_become_rarer_while_they_do_not_pay() -> None:
    machine = Machine(1)
    machine.run(600, **BUSY)
    assert machine.threads == 1
    assert machine.changes <= 2 * 12  # to and fro: after 4, 8, 16, 32 and then every 64 seconds
    assert machine.run(600, **BUSY) > 0.9


def test_the_heat_of_summer_is_no_neighbor() -> None:
    """Steps that become slower little by little, all threads alike, do not make it flap."""
    machine = Machine(2)
    for i in range(100):
        machine.run(3, one=0.018 * (1 + i / 100), two=0.010 * (1 + i / 100))
    assert machine.threads == 2
    assert machine.changes <= 4


def test_a_new_stage_is_no_neighbor() -> None:
    """Steps that cost three times as much from one moment on, because the network has grown, start no trial."""
    machine = Machine(2)
    machine.run(20, **QUIET)
    assert machine.pace.forget(machine.now) is None
    machine.run(60, one=0.054, two=0.030)
    assert (machine.threads, machine.changes) == (2, 0)


def test_a_stage_that_begins_in_a_trial_ends_it() -> None:
    machine = Machine(2)
    machine.run(20, **QUIET)
    while machine.threads == 2:
        machine.run(0.1, **BUSY)
    assert machine.pace.forget(machine.now) == 2
    assert machine.pace.threads == 2
    assert machine.pace.forget(machine.now) is None

"""The loop on real methods: what is refused, what stops it, what a resumed run keeps."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import catalog, glance
from mezzotint.data.dataset import Dataset
from mezzotint.digest import tensors_digest
from mezzotint.errors import UserError
from mezzotint.methods.classifier import Classifier, ClassifierConfig
from mezzotint.recipe import Averaging, Budget, Execution, Recipe
from mezzotint.training import checkpoint, journal, timing
from mezzotint.training import loop as looping
from mezzotint.training import run as runs
from mezzotint.training import step as stepping
from mezzotint.training.loop import Training
from mezzotint.training.plan import Plan
from mezzotint.types import Batch, DataSpec, Loss


def events(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    return [e for e in journal.read(folder / "journal.jsonl") if e["event"] in kinds]


def weights(training: Training) -> str:
    return tensors_digest(training.state.tensors())


# Non-finite steps.


@dataclass(frozen=True, kw_only=True)
class SickConfig(ClassifierConfig):
    """A classifier whose loss is not finite in some steps."""

    kind: str = "loss"
    sick: tuple[int, ...] = ()

    def build(self, spec: DataSpec) -> "Sick":
        return Sick(self, spec)


class Sick(Classifier):
    def __init__(self, config: SickConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.sickness, self.step = config, 0

    def loss(self, batch: Batch, phase: str) -> Loss:
        healthy = super().loss(batch, phase)
        sick, self.step = self.step in self.sickness.sick, self.step + 1
        if not sick:
            return healthy
        if self.sickness.kind == "loss":
            return Loss(healthy.total * float("nan"), healthy.parts)
        # A finite loss whose gradient is not: the root at zero.
        zero = (self.network.head.bias - self.network.head.bias.detach()).sum()
        return Loss(healthy.total + zero.sqrt(), healthy.parts)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_nonfinite_step_is_refused_named_and_leaves_no_trace(
    kind: str, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    method = SickConfig(network=make_recipe("cnn").method.network, kind=kind, sick=(3,))  # with batch norm's buffers
    recipe = replace(make_recipe("cnn", steps=4), method=method, averaging=Averaging(share=0))
    sick = train_in(tmp_path / "sick", recipe)
    assert sick.finished
    # Its fourth step was refused, so it ends where a run of three steps does.
    healthy = train_in(tmp_path / "healthy", replace(recipe, method=replace(method, sick=())), steps=3)
    assert weights(sick) == weights(healthy)
    (told,) = events(tmp_path / "sick", "refused")
    assert (told["phase"], told["step"], told["images"]) == ("fit", 3, 64)
    assert "nan" in told["loss"] or "inf" in told["norm"] or "nan" in told["norm"]
    assert sick.state.refused == 1


def test_the_run_goes_on_after_a_refused_step(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    method = SickConfig(network=make_recipe("cnn-classic").method.network, sick=(1, 2))
    training = train_in(tmp_path / "run", replace(make_recipe("cnn-classic", steps=5), method=method))
    assert training.finished
    assert training.state.refused == 0
    assert [e["step"] for e in events(tmp_path / "run", "refused")] == [1, 2]


def test_too_many_in_a_row_stop_the_run_with_a_sentence(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    sick = SickConfig(network=make_recipe("cnn-classic").method.network, sick=tuple(range(3, 99)))
    recipe = replace(make_recipe("cnn-classic", steps=30), method=sick, nonfinite_limit=4, checkpoint_seconds=0)
    with pytest.raises(UserError, match=r"'fit' was not finite in 4 steps in a row, from step 3 on; its last good"):
        train_in(tmp_path / "run", recipe)
    found = checkpoint.load_newest(tmp_path / "run" / "checkpoint")
    assert found is not None
    assert (found[0], found[2]["refused"]) == (48, 0), "the state from before the refused steps is kept"
    assert events(tmp_path / "run", "stopped")[0]["reason"] == "non-finite"


@pytest.mark.parametrize("name", ["cnn-classic", "dcgan", "vae-dense"])
def test_an_absurd_rate_ends_in_a_sentence(name: str, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    recipe = make_recipe(name, "optimizer.lr=1e38", "optimizer.schedule=constant", "optimizer.warmup=0", steps=60)
    with pytest.raises(UserError, match="lower learning rate"):
        train_in(tmp_path / "run", recipe)


def test_an_absurd_rate_ends_the_probe_too(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    recipe = make_recipe("cnn-classic", "optimizer.lr=1e38", steps=60)
    recipe = replace(recipe, execution=replace(recipe.execution, precision=None), nonfinite_limit=1)
    with pytest.raises(UserError, match="nothing was learned"):
        train_in(tmp_path / "run", recipe)


# Steps.


@pytest.mark.parametrize("name", ["cnn-classic", "vae-dense"])
def test_micro_batches_walk_the_same_way(name: str, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    whole = train_in(tmp_path / "whole", make_recipe(name, "optimizer.name=sgd"))
    parts = train_in(tmp_path / "parts", make_recipe(name, "optimizer.name=sgd", micro_batch=5))
    for a, b in zip(whole.state.method.parameters(), parts.state.method.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_clipping_bounds_a_step(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    settings = ("optimizer.name=sgd", "optimizer.lr=1", "optimizer.momentum=0", "optimizer.schedule=constant")
    recipe = make_recipe("cnn-classic", *settings, steps=1, clip_norm=1e-3)
    torch.manual_seed(recipe.seed)
    trained = train_in(tmp_path / "run", recipe)
    torch.manual_seed(recipe.seed)
    start = recipe.method.build(trained.dataset.spec)
    pairs = zip(trained.state.method.parameters(), start.parameters(), strict=True)
    moved = torch.cat([(a - b).flatten() for a, b in pairs]).norm()
    assert float(moved.detach()) == pytest.approx(1e-3, rel=1e-2)


def test_optimizers_must_be_named_as_the_groups(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    recipe = make_recipe("vae")
    odd = replace(recipe, optimizers={"encoder": recipe.optimizers["autoencoder"]})
    with pytest.raises(UserError, match=r"encoder"):
        train_in(tmp_path / "run", odd)


def test_data_order_is_that_of_the_seed(digits: Dataset, make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    a = train_in(tmp_path / "a", make_recipe("vae-dense", seed=3))
    b = train_in(tmp_path / "b", make_recipe("vae-dense", seed=3))
    assert weights(a) == weights(b)


# Resuming.


@pytest.mark.parametrize("name", ["vae", "dcgan"])
def test_a_run_with_all_trimmings_resumes_to_the_bit(
    name: str, make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe(name, steps=6, micro_batch=9, clip_norm=1.0, milestones=3)
    recipe = replace(recipe, execution=replace(recipe.execution, precision="bf16", channels_last=True))
    recipe = replace(recipe, data=replace(recipe.data, augment=replace(recipe.data.augment, flip=True, shift=1)))
    straight = train_in(tmp_path / "straight", recipe)
    for _ in range(5):
        train_in(tmp_path / "stops", recipe if not (tmp_path / "stops").exists() else None, steps=1)
    again = train_in(tmp_path / "stops")
    assert again.state.step == 6
    assert weights(again) == weights(straight)
    for told in (_pictures, _milestones):
        assert told(tmp_path / "stops") == told(tmp_path / "straight")


def _pictures(run: Path) -> list[bytes]:
    return [p.read_bytes() for p in sorted(run.glob("samples/*.png"))]


def _milestones(run: Path) -> list[tuple[int, dict[str, float]]]:
    return [(e["images"], e["scores"]) for e in events(run, "milestone")]


def test_a_damaged_checkpoint_falls_back_and_still_ends_the_same(
    make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe("cnn-classic", steps=6, checkpoint_seconds=0)
    straight = train_in(tmp_path / "straight", recipe)
    train_in(tmp_path / "run", recipe, steps=4)
    newest = max((tmp_path / "run" / "checkpoint").iterdir())
    (newest / "state.safetensors").write_bytes(b"")
    again = train_in(tmp_path / "run")
    assert weights(again) == weights(straight)
    (warning,) = events(tmp_path / "run", "warning")
    assert "corrupted" in warning["message"]
    assert events(tmp_path / "run", "resume")[0]["images"] == 48


def test_a_finished_run_resumes_to_itself(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    first = train_in(tmp_path / "run", make_recipe("vae-dense"))
    again = train_in(tmp_path / "run")
    assert again.finished
    assert weights(again) == weights(first)


def test_a_full_disk_loses_nothing(
    make_recipe: Any, train_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe("vae-dense", steps=6, checkpoint_seconds=0)
    straight = train_in(tmp_path / "straight", recipe)
    train_in(tmp_path / "run", recipe, steps=2)
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(checkpoint, "write_tensors", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(OSError, match="No space"):
            train_in(tmp_path / "run")
    assert weights(train_in(tmp_path / "run")) == weights(straight)


# Stopping early.


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Validation scores from a list, one a milestone, instead of from pictures."""

    def give(values: list[float]) -> None:
        left: Iterator[float] = iter(values)
        one = glance.Glance
        monkeypatch.setattr(glance, "validation_score", lambda *_: one("accuracy", next(left), True, 1))

    return give


def test_patience_stops_and_keeps_the_best(
    scores: Callable[[list[float]], None], make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    recipe = make_recipe("cnn-classic", steps=10, milestones=10, patience=2, averaging=Averaging(share=0))
    scores([0.1, 0.5, 0.4, 0.3])
    stopped = train_in(tmp_path / "run", recipe)
    assert (stopped.state.step, stopped.finished) == (4, True)
    assert events(tmp_path / "run", "stopped")[0]["reason"] == "patience"
    best = train_in(tmp_path / "two", replace(recipe, patience=0, milestones=0), steps=2)
    assert tensors_digest(stopped.trained().state_dict()) == tensors_digest(best.state.method.state_dict())
    assert train_in(tmp_path / "run").state.step == 4, "resumed, it stays stopped"


def test_a_better_score_renews_patience(
    scores: Callable[[list[float]], None], make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    scores([0.1, 0.0, 0.2, 0.1, 0.3, 0.2])
    assert train_in(tmp_path / "run", make_recipe("cnn-classic", steps=6, milestones=6, patience=2)).state.step == 6


def test_patience_survives_a_stop(
    scores: Callable[[list[float]], None], make_recipe: Any, train_in: Any, tmp_path: Path
) -> None:
    scores([0.5, 0.4, 0.3, 0.2])
    recipe = make_recipe("cnn-classic", steps=10, milestones=10, patience=2)
    train_in(tmp_path / "run", recipe, steps=2)
    assert train_in(tmp_path / "run").state.step == 3


# Budgets and runs.


def test_a_budget_of_minutes_is_walked_to_its_end(
    make_recipe: Any, train_in: Any, tmp_path: Path, restore_threads: Any
) -> None:
    recipe = replace(make_recipe("vae-dense"), budget=Budget(minutes=0.05), execution=Execution(device="cpu"))
    training = train_in(tmp_path / "run", recipe)
    plan = Plan(tmp_path / "run" / "plan.jsonl")
    assert training.finished
    assert plan.total <= training.state.images < plan.total + recipe.batch
    assert all(a.images < b.images for a, b in zip(plan.legs, plan.legs[1:], strict=False))
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())["execution"]
    assert all(value is not None for value in stored.values()), "the probe's choices are written into the run"
    assert len(json.loads((tmp_path / "run" / "probe.json").read_text())["trials"]) >= 3


def test_reports_tell_where_a_training_stands(
    digits: Dataset, make_recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    import time

    monkeypatch.setattr(looping, "LOG_SECONDS", 0.0)
    recipe: Recipe = make_recipe("dcgan", steps=3)
    run = runs.begin(tmp_path / "run", recipe, digits.spec, digits.digest)
    reports = list(Training(run, recipe, digits, time.monotonic()).steps(threading.Event()))
    assert [r.images for r in reports] == [16, 32, 48]
    assert {r.total for r in reports} == {48}
    assert reports[-1].seconds_left == 0
    assert set(reports[0].losses) == {"discriminator", "generator", "real_logit", "fake_logit"}


def test_a_new_run_never_goes_over_an_old_one(digits: Dataset, make_recipe: Any, tmp_path: Path) -> None:
    recipe = make_recipe("vae")
    run = runs.begin(tmp_path / "run", recipe, digits.spec, digits.digest)
    assert run.recipe(catalog.kinds()) == recipe
    assert run.spec() == digits.spec
    with pytest.raises(UserError, match="exists already"):
        runs.begin(tmp_path / "run", recipe, digits.spec, digits.digest)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="exists already"):
        runs.begin(tmp_path / "file", recipe, digits.spec, digits.digest)
    (tmp_path / "empty").mkdir()
    runs.begin(tmp_path / "empty", recipe, digits.spec, digits.digest)


def test_unnamed_runs_are_counted(
    digits: Dataset, make_recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [runs.begin(None, make_recipe("vae"), digits.spec, digits.digest).folder.name for _ in range(3)]
    assert names == ["vae-digits-1", "vae-digits-2", "vae-digits-3"]


def test_two_processes_do_not_train_one_run(digits: Dataset, make_recipe: Any, tmp_path: Path) -> None:
    run = runs.begin(tmp_path / "run", make_recipe("vae"), digits.spec, digits.digest)
    with runs.locked(run), pytest.raises(UserError, match="another process"), runs.locked(run):
        pass
    with runs.locked(run):
        pass


def test_what_is_not_a_run_is_said(digits: Dataset, make_recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run"):
        runs.find(tmp_path)
    run = runs.begin(tmp_path / "run", make_recipe("vae"), digits.spec, digits.digest)
    run.facts_file.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        runs.find(run.folder).facts()


def test_changed_or_deleted_data_stop_a_resume(home: Path, rng: np.random.Generator) -> None:
    from mezzotint import api

    arrays = {"images": rng.integers(0, 256, (40, 8, 8, 1), np.uint8), "labels": np.arange(40) % 4}
    np.savez("mine.npz", **arrays)
    fixed = ("execution.threads=1", "execution.precision=fp32", "execution.channels_last=false", "milestones=0")
    run = api.train("cnn-classic", "mine.npz", images=64, out="run", settings=("batch=16", *fixed))
    shutil.move("mine.npz", "away.npz")
    with pytest.raises(UserError, match="bring them back"):
        api.resume(run)
    np.savez("mine.npz", images=255 - arrays["images"], labels=arrays["labels"])
    with pytest.raises(UserError, match="not those that run was begun with"):
        api.resume(run)
    shutil.move("away.npz", "mine.npz")
    before = (home / "run/snapshot/weights.safetensors").read_bytes()
    api.resume(run)
    assert (home / "run/snapshot/weights.safetensors").read_bytes() == before


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_slow_drawing_draws_fewer_pictures_for_the_card(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    training = train_in(tmp_path / "run", make_recipe("gan-mlp", steps=1))
    training.recipe = replace(training.recipe, budget=Budget(minutes=10))
    for seconds, drawn in ((0.001, 10_000), (0.02, 2_000), (0.1, 500)):
        training.state.glances = [seconds] * 3
        assert training.pictures_to_draw() == drawn


def test_a_resumed_run_knows_what_measuring_takes(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    first = train_in(tmp_path / "run", make_recipe("gan-mlp", steps=4, milestones=4), steps=2)
    again = train_in(tmp_path / "run", steps=1)
    assert len(first.state.glances) == 2
    assert again.state.glances[:2] == first.state.glances


def test_the_plan_is_made_with_every_turn_of_a_grown_network(digits: Dataset, make_recipe: Any) -> None:
    """What is timed are steps with and without the rare penalty, at the end of the growth."""
    recipe = make_recipe("progan")
    taken: list[tuple[int, int]] = []

    class Watched(stepping.Stepper):
        def step(self, progress: float) -> Any:
            at = self.state.step
            result = super().step(progress)
            taken.append((at, self.state.method.stage))
            return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepping, "Stepper", Watched)
        seconds = timing.timed_steps(recipe, recipe.execution, digits)
        assert next(seconds) > 0
    assert taken == [(0, 1), (1, 1)], "one step with all turns, one without the penalty; digits double once"


def test_a_milestone_of_a_flow_tells_what_drawing_takes(make_recipe: Any, train_in: Any, tmp_path: Path) -> None:
    """Its score is taken without drawing, and the card at the end draws."""
    few = ("method.drawing.steps=2", "method.network.width=16")
    training = train_in(tmp_path / "run", make_recipe("flow", *few, steps=2, milestones=1))
    (seconds,) = training.state.glances
    training.recipe = replace(training.recipe, budget=Budget(minutes=10))
    measuring = timing.seconds_of_measuring(training.state.method, training.dataset, 10, [seconds])
    assert measuring == pytest.approx(seconds * training.pictures_to_draw())

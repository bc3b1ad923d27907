"""The main job from end to end: pictures in; a trained, measured, usable model out."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mezzotint import cas, catalog, codec, drawing, forecasting, latent, measure, page, scorecard, snapshot, transfer
from mezzotint.audit import AuditCard
from mezzotint.data import clips
from mezzotint.data import dataset as data
from mezzotint.data.dataset import Dataset
from mezzotint.data.decode import Pixels
from mezzotint.data.loader import spread
from mezzotint.data.pictures import enlarged
from mezzotint.errors import UserError
from mezzotint.files import write_whole
from mezzotint.measuring import recognition
from mezzotint.method import Method
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.metrics import calibration
from mezzotint.metrics.distribution import FEWEST
from mezzotint.model import extractor, load
from mezzotint.recipe import Budget, Recipe, with_setting
from mezzotint.scorecard import ScoreCard
from mezzotint.training import run as runs
from mezzotint.training.loop import Training
from mezzotint.training.memory import peak_mb
from mezzotint.training.probe import default_device
from mezzotint.training.report import Report
from mezzotint.training.run import Run
from mezzotint.training.step import stepper_for
from mezzotint.types import Classifies, Dreams, Forecasts, Generates

Show = Callable[[Report], None]


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user stopped a training; its state is on disk."""

    def __init__(self, run: Run, images: int) -> None:
        super().__init__(f"stopped after {images} pictures; go on with `mezzotint train --resume {run.folder}`")
        self.run = run


@dataclass(frozen=True)
class Asked:
    """What a user asks of a training beside the recipe's name and the data."""

    minutes: float | None = None
    images: int | None = None
    out: Path | None = None
    size: int | None = None
    channels: int | None = None
    crop: str = "center"
    frames: int | None = None
    stride: int | None = None
    settings: tuple[str, ...] = ()
    """`key=value`, as `--set` takes them."""
    seed: int = 0
    start: Path | None = None
    """A run to take networks and weights from."""

    def budget(self) -> Budget:
        """Ten minutes unless asked otherwise; raises UserError for both minutes and images, or for neither positive."""
        try:
            if self.minutes is None and self.images is None:
                return Budget(minutes=10.0)
            return Budget(minutes=self.minutes, images=self.images)
        except ValueError as error:
            raise UserError(f"{error}: give --minutes or --images, not both") from None


def train(
    recipe: str,
    source: str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    out: str | Path | None = None,
    size: int | None = None,
    channels: int | None = None,
    crop: str = "center",
    frames: int | None = None,
    stride: int | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    start: str | Path | None = None,
    show: Show | None = None,
) -> Run:
    """Train `recipe` on `source` (a named set, a folder, a film, an .npz) and measure it; returns the run.

    `frames` and `stride` cut clips for recipes that continue them (see `data.clips.load`).
    `settings` are changes to the recipe like `optimizer.lr=1e-4`. `start` is an earlier run whose networks are taken,
    with their weights but for a head of other classes. `show` is called about once a second with where the
    training stands. Raises UserError for what a user can mend, Interrupted after Ctrl-C with the state on disk.
    """
    began = time.monotonic()
    asked = Asked(
        minutes=minutes,
        images=images,
        out=Path(out) if out else None,
        size=size,
        channels=channels,
        crop=crop,
        frames=frames,
        stride=stride,
        settings=tuple(settings),
        seed=seed,
        start=Path(start) if start else None,
    )
    run, made, dataset = prepare(recipe, source, asked)
    return train_run(run, made, dataset, began, show)


def prepare(name: str, source: str | Path, asked: Asked, progress: Any = None) -> tuple[Run, Recipe, Dataset]:
    """The new run's folder, its recipe and the data, ready to train."""
    budget = asked.budget()
    entry = catalog.entry(name)  # a wrong name is said before the data are decoded
    shape: dict[str, Any] = {"size": asked.size, "channels": asked.channels, "crop": asked.crop}
    if entry.clips:
        dataset = clips.load(source, **shape, frames=asked.frames, stride=asked.stride, progress=progress)
    elif asked.frames or asked.stride:
        raise UserError(f"{name} learns from still pictures: --frames and --stride are for convlstm and its like")
    else:
        dataset = data.load(source, **shape, progress=progress)
    recipe, why = catalog.chosen(name, dataset.spec, budget.minutes or 10.0, budget.images, asked.start is not None)
    location = str(Path(source).expanduser().resolve()) if Path(source).expanduser().exists() else str(source)
    pictures = replace(
        recipe.data,
        source=location,
        size=dataset.spec.height if dataset.spec.height == dataset.spec.width else None,
        channels=dataset.spec.channels,
        crop=asked.crop,
        frames=dataset.footage.length if dataset.footage else None,
        stride=asked.stride,
    )
    refuse_odd_seed(asked.seed, 63)
    recipe = replace(recipe, data=pictures, budget=budget, seed=asked.seed)
    earlier = snapshot.load(asked.start, catalog.kinds()) if asked.start else None
    if earlier:
        recipe = transfer.with_networks_of(recipe, earlier)
    for setting in asked.settings:
        recipe = with_setting(recipe, setting, catalog.kinds())
    refuse_corrected_twice(recipe)
    _try_out(recipe, dataset, changed=bool(asked.settings))
    start = transfer.weights_for(recipe, dataset.spec, earlier) if earlier else {}
    run = runs.begin(asked.out, recipe, dataset.spec, dataset.digest, why, start)
    return run, run.recipe(catalog.kinds()), dataset


def refuse_odd_seed(seed: int, bits: int = 32) -> None:
    """Raise UserError for a seed out of range; measuring multiplies seeds by counts, so that its own are smaller."""
    if not 0 <= seed < 2**bits:
        raise UserError(f"a seed is a whole number from 0 to 2^{bits} - 1, not {seed}")


def refuse_corrected_twice(recipe: Recipe) -> None:
    """Raise UserError where settings together make rare classes count for more than frequent ones.

    Each of the three takes its part of the logarithm of how frequent a class is; all of it is 1.
    """
    if not isinstance(recipe.method, ClassifierConfig):
        return
    parts = {
        "data.balance": recipe.data.balance,
        "method.class_weight": recipe.method.class_weight,
        "method.logit_adjustment": recipe.method.logit_adjustment,
    }
    given = [name for name, part in parts.items() if part > 0]
    if len(given) > 1 and sum(parts.values()) > 1:
        raise UserError(
            f"{' and '.join(given)} correct uneven classes more than once, to {sum(parts.values()):g} in all: "
            "let them add up to 1 at most, or set all but one to 0"
        )


def _try_out(recipe: Recipe, dataset: Dataset, changed: bool) -> None:
    """Build what is to be trained, and take a step of a changed recipe; raises UserError for what does not fit."""
    try:
        stepper = stepper_for(recipe, recipe.execution, dataset)
        if changed:
            stepper.step(0.0)
    except UserError:
        raise
    except Exception as error:  # odd numbers make torch raise nearly anything
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the settings of the recipe do not fit: {said}") from None


def resume(folder: str | os.PathLike[str], show: Show | None = None) -> Run:
    """Go on with a stopped run, to the bit as if it had not stopped. Raises UserError where its data have changed."""
    run = runs.find(Path(folder))
    recipe = run.recipe(catalog.kinds())
    try:
        dataset = load_data(recipe)
    except UserError as error:
        raise UserError(f"the data of {run.folder} are gone: {error}; bring them back, then resume") from None
    if dataset.digest != run.facts()["digest"]:
        raise UserError(
            f"the pictures in {recipe.data.source} are not those that {run.folder} was begun with; "
            "restore them to resume, or train anew"
        )
    return train_run(run, recipe, dataset, time.monotonic(), show)


def load_data(recipe: Recipe, progress: Any = None) -> Dataset:
    """The data that a recipe names, in the shape that it was trained on."""
    d = recipe.data
    if d.frames is not None:
        shape: dict[str, Any] = {"size": d.size, "channels": d.channels, "crop": d.crop}
        return clips.load(d.source, **shape, frames=d.frames, stride=d.stride, progress=progress)
    return data.load(d.source, size=d.size, channels=d.channels, crop=d.crop, progress=progress)


def train_run(run: Run, recipe: Recipe, dataset: Dataset, began: float, show: Show | None) -> Run:
    """Train to the end of the plan, then write model, score card and report."""
    training = Training(run, recipe, dataset, began)
    with runs.locked(run), stopped_by_signals() as stop:
        for report in training.steps(stop):
            if show is not None:
                show(report)
        if not training.finished:
            raise Interrupted(run, training.state.images)
    with runs.locked(run):
        try:
            finish(run, training)
        except KeyboardInterrupt:
            raise Interrupted(run, training.state.images) from None
    return run


def finish(run: Run, training: Training) -> ScoreCard:
    """Write the model, measure it, write what people look at."""
    method, dataset = training.trained(), training.dataset
    recipe = _for_sharing(training.recipe)
    found, known = calibration_of(method, dataset)
    facts = {**facts_of(training), **found}
    snapshot.save(run.snapshot, method, recipe, facts, page.model_card(recipe, None, {}), known)
    stored = snapshot.load(run.snapshot, catalog.kinds())
    stored.method.to(drawing.device_of(method))  # a GPU that trained judges too: a CPU would take many times as long
    card, count = scores_of(run), training.pictures_to_draw()
    if card is None or card.protocol["weights"] != stored.digest:
        # Else these very weights were measured before, perhaps with more care than this.
        card = measure.measure(stored.method, dataset, split=_judging(dataset), count=count, weights=stored.digest)
    write_card(run, card)
    page.write(run, card, dataset, _sheets(stored.method, dataset, card))
    return card


def _for_sharing(recipe: Recipe) -> Recipe:
    """The recipe without the way to the pictures on this machine: a model folder is given to others."""
    if not Path(recipe.data.source).is_absolute():
        return recipe
    return replace(recipe, data=replace(recipe.data, source=Path(recipe.data.source).name))


def _sheets(method: Method, dataset: Dataset, card: ScoreCard) -> dict[str, Pixels]:
    """What shows best how good a method is."""
    if isinstance(method, Forecasts):
        strips = forecasting.film_strips(method, dataset, card.protocol["split"])
        sheets = {"forecasts": enlarged(strips, 480)}
        if isinstance(method, Dreams) and method.dreams:
            sheets["futures"] = enlarged(forecasting.futures_sheet(method, dataset, card.protocol["split"]), 480)
            sheets["dreams"] = enlarged(forecasting.dreams_sheet(method, dataset.spec.frames), 480)
        return sheets
    return latent.telling_sheets(method, dataset, card)


def _judging(dataset: Dataset) -> str:
    """The split to judge on: what was least looked at of what there is."""
    return next(name for name in ("test", "validation", "train") if len(dataset.splits[name]))


def facts_of(training: Training) -> dict[str, Any]:
    """What a model card says of the training."""
    return {
        "name": training.recipe.name,
        "data": training.dataset.name,
        "data_digest": training.dataset.digest,
        "images_seen": training.state.images,
        "seconds": round(training.state.seconds, 1),
        "peak_mb": peak_mb(),
        "execution": vars(training.execution),
        "rolled_back_for": training.state.troubles,
    }


def calibration_of(method: Method, dataset: Dataset) -> tuple[dict[str, Any], torch.Tensor | None]:
    """What a model card says of probabilities, and what is known of training pictures; else nothing.

    Of methods that recognise, where there are held-out data. Fitted on validation pictures, on no others: those of the
    test split judge.
    """
    if not isinstance(method, Classifies) or len(dataset.splits["validation"]) < FEWEST:
        return {}, None
    logits, labels = recognition.answers(method, dataset, "validation")
    known = calibration.directions(recognition.features(method, dataset, "train", calibration.KNOWN))
    distances = calibration.distance(recognition.features(method, dataset, "validation"), known)
    return {"calibration": codec.encode(calibration.fit(logits, labels, "validation", distances))}, known


def write_card(run: Run, card: ScoreCard) -> None:
    """Put the score card into the run and onto the model's page, beside what an audit found."""
    scorecard.write(run.folder, card)
    _write_page(run, card)


def write_audit(run: Run, card: AuditCard) -> None:
    """Put the audit into the run and onto the model's page, beside the scores."""
    write_whole(run.folder / "audit.json", card.to_json())
    _write_page(run, scores_of(run))


def scores_of(run: Run) -> ScoreCard | None:
    """The run's score card, where it has been measured."""
    return scorecard.read(run.folder) if (run.folder / "score.json").is_file() else None


def _write_page(run: Run, card: ScoreCard | None) -> None:
    stored = snapshot.load(run.snapshot, catalog.kinds())
    page_text = page.model_card(stored.recipe, card, stored.card, page.audit_of(run))
    write_whole(run.snapshot / "README.md", page_text)


def remeasure(
    folder: str | os.PathLike[str],
    *,
    source: str | None = None,
    split: str | None = None,
    features: str | os.PathLike[str] | None = None,
    count: int = 10_000,
    seed: int = 0,
) -> ScoreCard:
    """Score the model of a finished run anew; its score card, model card and report are written again.

    `source` names other pictures than those it was trained on, `features` what distances are taken in (as
    `model.extractor` reads it), `count` the pictures to draw; the split is the test split unless it is empty. Raises
    UserError for what a user can mend.
    """
    if count < FEWEST:
        raise UserError(f"the number of pictures to draw must be at least {FEWEST}, not {count}")
    refuse_odd_seed(seed)
    run, model = runs.find(Path(folder)), load(folder)
    recipe = run.recipe(catalog.kinds())
    model.method.to(_device_of(recipe))
    if source is not None:
        recipe = replace(recipe, data=replace(recipe.data, source=source))
    ruler = extractor(features, model.spec) if features else None
    dataset = load_data(recipe)
    split = split or _judging(dataset)
    model.check_fit(dataset)
    draws = isinstance(model.method, Generates) and len(dataset.splits.get(split, ())) > 0
    shown = drawing.drawn_like(model.method, dataset, split, count, seed) if draws else None
    card = model.measure(dataset, split=split, count=count, features=ruler, seed=seed, shown=shown)
    if shown is not None:
        card = cas.added(card, shown, dataset, seed)
    write_card(run, card)
    page.write(run, card, dataset, _sheets(model.method, dataset, card))
    return card


def _device_of(recipe: Recipe) -> str:
    """Where the run was trained, or what there is in its place."""
    asked = recipe.execution.device
    return asked if asked and (torch.cuda.is_available() or not asked.startswith("cuda")) else default_device()


def judge_pictures(
    folder: str | os.PathLike[str],
    source: str,
    *,
    split: str | None = None,
    features: str | os.PathLike[str] | None = None,
    count: int = 10_000,
    size: int | None = None,
    channels: int | None = None,
) -> ScoreCard:
    """Score pictures that another program drew against real ones, as a run's are scored; writes score.json beside them.

    `count` bounds the pictures of each side; those drawn are brought to the shape of the real ones. Where they lie in
    folders of the real classes they are judged by class as well. Raises UserError for
    what a user can mend.
    """
    place = Path(folder)
    if not place.is_dir():
        raise UserError(f"{place} is neither a run nor a folder of pictures")
    real = data.load(source, size=size, channels=channels)
    if real.spec.height != real.spec.width:
        raise UserError("drawn pictures are compared with square ones: give --size")
    given = data.load(place, size=real.spec.height, channels=real.spec.channels)
    rows = spread(len(given.images), min(count, len(given.images)))
    told = given.labels if given.classes == real.classes else None
    labels = None if told is None else torch.from_numpy(told[rows])
    shown = drawing.Drawn(given.images[rows], labels)
    ruler = extractor(features, real.spec) if features else None
    card = measure.judge(shown, real, split=split or _judging(real), extractor=ruler, weights=given.digest)
    card = cas.added(card, shown, real)
    write_whole(place / "score.json", card.to_json())
    return card


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set (in the main thread); a second one interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for s, action in before.items():
            signal.signal(s, action)

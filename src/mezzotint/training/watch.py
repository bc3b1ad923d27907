"""The watch over a run: at milestones it takes a few numbers, names by them what goes wrong, and says what to change.

It looks at nothing but the state of the run, so that a resumed run sees the same. What is done about a trouble is a
change of the recipe that a user could have made by `--set`; the loop goes back to the last healthy state with it.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered
from mezzotint.drawing import device_of, draw, using
from mezzotint.glance import Glance
from mezzotint.method import Method
from mezzotint.metrics import distribution
from mezzotint.metrics.distribution import FEWEST
from mezzotint.recipe import Optimizer, Recipe
from mezzotint.types import Discriminates, Labels

WORSE = 1.5
"""Times the best score so far that is suspect, and a trouble where it stays so for another milestone."""
FAR_WORSE = 3.0
"""Times the best score so far that is a trouble at once."""
SPOILED = 1.2
"""Times the best score that the last may be for the last weights to be the model; else it is the best ones."""
ERRORS = 3.0
"""Standard errors by which scores must differ, too."""
COLLAPSED = 0.03
"""Share of the real pictures' spread, or of the distance to the nearest other one, below which all are the same."""
FALLEN = 2.0
"""Times by which pictures differed more before, where they have collapsed."""
WON = 0.99
"""Share of pairs whose real picture has the higher logit, from which on the discriminator has won."""
LEARNED_BY_HEART = 0.5
"""How far held-out pictures are on the way from training pictures to drawn ones, in the discriminator's eyes."""
REFUSED = 0.05
"""Share of refused turns that is a trouble."""
LEAPED = 10.0
"""Times the usual norm of gradients that is named beside a trouble."""
UNLEARNED = 0.9
"""Share of an earlier score that a score must be below to count as learning."""
LITTLE = 0.5
"""Share of the untrained networks' score above which a standstill is a trouble."""
PATIENCE = 3
"""Milestones, from the beginning or since the last rollback, before no learning is a trouble."""
SEEN = 200
"""Pictures of each kind that the discriminator is asked about."""


@dataclass(frozen=True)
class Reading:
    """What the watch saw at one milestone; all numbers are functions of the run's state."""

    images: int
    stage: int
    """How far the network had grown: scores of two stages are not compared."""
    score: float
    """Lower is better, zero is perfect; nan where there is none of that kind."""
    error: float = 0.0
    """Standard error of the score, 0 where it is not known."""
    kid: float | None = None
    kid_low: float | None = None
    kid_high: float | None = None
    """Kernel distance from real to drawn pictures, and its 95 % interval."""
    spread: float | None = None
    """Variance of drawn pictures over that of real ones (within classes, for a method that draws by class)."""
    nearest: float | None = None
    """Median distance of a drawn picture to the nearest other one, over the same of real ones."""
    overlap: float | None = None
    """Probability that a real picture has a higher logit than a drawn one: 0.5 undecided, 1 told apart."""
    memory: float | None = None
    """Share of the way from training to drawn pictures at which the discriminator sees held-out ones (Karras et al.
    2020, "ADA", section 3, r_v); 0 where chance may have made it."""
    norm: float = 0.0
    """Mean norm of the gradients since the last reading, of the phase where it is largest."""
    refused: float = 0.0
    """Share of the turns since the last reading that were refused."""

    def numbers(self) -> dict[str, float]:
        """What there is, for the journal."""
        names = ("kid", "spread", "nearest", "overlap", "memory", "norm", "refused")
        found = {name: getattr(self, name) for name in names}
        return {name: float(f"{value:.6g}") for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Trouble:
    """What is going wrong: its name and a sentence with the numbers."""

    name: str
    told: str


class Tally:
    """What became of the turns since the last reading, by phase: turns, refused ones, sum of gradients' norms."""

    def __init__(self) -> None:
        self.phases: dict[str, list[float]] = {}

    def add(self, phase: str, norm: float, refused: bool) -> None:
        """Take in one turn."""
        counts = self.phases.setdefault(phase, [0, 0, 0.0])
        counts[0] += 1
        counts[1] += refused
        counts[2] += 0.0 if refused else norm

    @property
    def refused(self) -> float:
        """The largest share of refused turns of a phase."""
        return max((refused / turns for turns, refused, _ in self.phases.values()), default=0.0)

    @property
    def norm(self) -> float:
        """The mean norm of gradients, of the phase where it is largest."""
        return max((total / max(turns - refused, 1) for turns, refused, total in self.phases.values()), default=0.0)


class Eyes:
    """Looks at methods with the same pictures each time."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._real_nearest: float | None = None

    def read(self, images: int, latest: Method, glance: Glance, tally: Tally) -> Reading:
        """The numbers of a milestone: `glance` is that of the averaged weights, `latest` has those in training."""
        seen = {} if glance.seen is None else self._drawn(glance.seen.real, glance.seen.drawn, glance.seen.labels)
        judged = self._judged(latest) if isinstance(latest, Discriminates) else {}
        score = Reading(images, latest.stage, glance.badness, glance.error, norm=tally.norm, refused=tally.refused)
        return replace(score, **seen, **judged)

    def _drawn(self, real: Tensor, drawn: Tensor, labels: tuple[Tensor, Tensor] | None) -> dict[str, float]:
        if self._real_nearest is None:
            self._real_nearest = nearest(real)
        found = {
            "spread": spread(drawn, labels and labels[1]) / max(spread(real, labels and labels[0]), 1e-12),
            "nearest": nearest(drawn[: len(real)]) / max(self._real_nearest, 1e-12),
        }
        if min(len(real), len(drawn)) >= 3:
            kid = distribution.kid(real, drawn)
            found |= {"kid": kid.value, "kid_low": kid.low, "kid_high": kid.high}
        return found

    def _judged(self, method: Any) -> dict[str, float]:
        device = device_of(method)
        images, labels = next(ordered(self.dataset, "train", SEEN, device, SEEN))
        drawn = draw(method, range(len(images)), labels if method.classes else None).to(device)
        with using(method):
            known, fake = method.logits(images, labels), method.logits(drawn, labels)
            found = {"overlap": overlap(known, fake)}
            if len(self.dataset.splits["validation"]) >= FEWEST:
                held = next(ordered(self.dataset, "validation", SEEN, device, SEEN))
                found["memory"] = memory(known, method.logits(*held), fake)
        return found


def overlap(real: Float[Tensor, " n"], drawn: Float[Tensor, " m"]) -> float:
    """Probability that a real logit is above a drawn one, ties counted half (Mann and Whitney 1947)."""
    above = real[:, None] - drawn[None]
    return float((above > 0).double().mean() + (above == 0).double().mean() / 2)


def memory(known: Float[Tensor, " n"], held: Float[Tensor, " m"], drawn: Float[Tensor, " k"]) -> float:
    """(E[D(train)] - E[D(held out)]) / (E[D(train)] - E[D(drawn)]): Karras et al. 2020 (ADA), equation 1, r_v.

    Zero where the numerator is within three standard errors.
    """
    known, held, drawn = known.double(), held.double(), drawn.double()
    gap = float(known.mean() - held.mean())
    error = math.sqrt(float(known.var() / len(known) + held.var() / len(held)))
    if not gap > ERRORS * error:
        return 0.0
    return gap / max(float(known.mean() - drawn.mean()), gap)


def spread(features: Float[Tensor, "n d"], labels: Labels | None = None) -> float:
    """Variance summed over the features; with labels, about the mean of each picture's class."""
    features = features.double()
    center = features.mean(0)
    if labels is not None:
        count = int(labels.max()) + 1
        sums = features.new_zeros(count, features.shape[1]).index_add_(0, labels, features)
        center = (sums / labels.bincount(minlength=count).clamp(min=1)[:, None])[labels]
    return float((features - center).square().sum() / len(features))


def nearest(features: Float[Tensor, "n d"]) -> float:
    """Median over the rows of the distance to the nearest other row."""
    distances = torch.cdist(features, features).fill_diagonal_(math.inf)
    return float(distances.amin(1).median())


# What the numbers say.


def worse(now: Reading, best: Reading, factor: float) -> bool:
    """Whether a score is so many times the best one, and beyond what chance makes of it."""
    if not now.score > factor * best.score or now.score - best.score <= ERRORS * math.hypot(now.error, best.error):
        return False
    return now.kid_low is None or best.kid_high is None or now.kid_low > best.kid_high


def spoiled(now: Reading, best: Reading | None) -> bool:
    """Whether the best weights are better to use: by the score alone for pictures drawn, else beyond chance too."""
    if best is None or best.images == 0:
        return False
    return now.score > SPOILED * best.score if now.kid is not None else worse(now, best, SPOILED)


def best_of(readings: Sequence[Reading], stage: int) -> Reading | None:
    """The reading with the best score of a stage."""
    some = [r for r in readings if r.stage == stage and math.isfinite(r.score)]
    return min(some, key=lambda r: r.score, default=None)


def suspect(readings: Sequence[Reading], now: Reading) -> bool:
    """Whether `now` is too bad to go back to, trouble or not yet."""
    best = best_of(readings, now.stage)
    return best is not None and worse(now, best, WORSE)


def trouble(readings: Sequence[Reading], now: Reading, since: int = 0, suspected: bool = False) -> Trouble | None:
    """What is wrong with `now` after the healthy `readings` before it; None where nothing is.

    `since` is how many readings there were at the last rollback: a remedy is given time. `suspected` says that the
    milestone before was suspect: young networks go up and down.
    """
    if now.refused > REFUSED:
        return Trouble(
            "diverged", f"{now.refused:.0%} of the turns of a phase were refused: loss or gradient not finite"
        )
    if any(math.isfinite(r.score) for r in readings) and not math.isfinite(now.score):
        return Trouble("diverged", "what is drawn is not finite any more")
    patient = len(readings) - since >= PATIENCE
    if (same := _sameness(now)) and _stuck(readings, now) and (patient or _fallen(readings, now)):
        return Trouble("collapsed", same)
    best = best_of(readings, now.stage)
    if best is not None and worse(now, best, WORSE if suspected else FAR_WORSE):
        return _named(
            "worse", now, readings, f"its score is {now.score:.4g}, {now.score / best.score:.2g} times the best"
        )
    if patient and readings[0].images == 0 and _stands_still(readings, now):
        told = f"its score is {now.score:.4g}, {PATIENCE - 1} milestones before {readings[1 - PATIENCE].score:.4g}"
        told = f"{told}, of the untrained networks {readings[0].score:.4g}"
        return Trouble("learns nothing", told)
    return None


def notice(readings: Sequence[Reading], now: Reading) -> str | None:
    """What a user should know though it is no trouble yet, told the first time that it is seen."""
    before = max((r.memory or 0.0 for r in readings), default=0.0)
    if (now.memory or 0.0) < LEARNED_BY_HEART or before >= LEARNED_BY_HEART:
        return None
    return (
        f"the discriminator begins to know the training pictures by heart ({_memory(now)}): more pictures help, or "
        "changed views of them (method.looking)"
    )


def _sameness(now: Reading) -> str | None:
    if now.spread is not None and now.spread < COLLAPSED:
        return f"drawn pictures vary by {now.spread:.2%} of what real ones do"
    if now.nearest is not None and now.nearest < COLLAPSED:
        return f"drawn pictures are {now.nearest:.2%} as far from one another as real ones, neighbor by neighbor"
    return None


def _fallen(readings: Sequence[Reading], now: Reading) -> bool:
    """Whether drawn pictures have differed far more before: young networks have yet to begin to."""
    before = [r for r in readings if r.stage == now.stage and r.images > 0]
    pairs = [(r.spread, now.spread) for r in before] + [(r.nearest, now.nearest) for r in before]
    return any(then is not None and new is not None and then > FALLEN * new for then, new in pairs)


def _stuck(readings: Sequence[Reading], now: Reading) -> bool:
    best = best_of(readings, now.stage)
    return best is not None and now.score > UNLEARNED * best.score


def _stands_still(readings: Sequence[Reading], now: Reading) -> bool:
    """Whether the score is still near that of untrained networks, and the last milestones have hardly lowered it."""
    lately, before = min(r.score for r in (*readings[2 - PATIENCE :], now)), readings[1 - PATIENCE].score
    return lately > LITTLE * readings[0].score and lately > UNLEARNED * before


def _named(name: str, now: Reading, readings: Sequence[Reading], told: str) -> Trouble:
    """A score that is too bad, by the cause that the other numbers point to."""
    usual = statistics.median([r.norm for r in readings if r.norm > 0] or [math.inf])
    if (now.memory or 0.0) >= LEARNED_BY_HEART:
        return Trouble(
            "over-fitting", f"{told}; the discriminator knows the training pictures by heart ({_memory(now)})"
        )
    if _fallen(readings, now):
        return Trouble("collapsed", f"{told}; drawn pictures vary by {now.spread or 0:.1%} of what real ones do")
    if (now.overlap or 0.0) >= WON:
        return Trouble("discriminator won", f"{told}; it tells {now.overlap:.1%} of drawn pictures from real ones")
    if now.norm > LEAPED * usual:
        return Trouble("diverged", f"{told}; gradients are {now.norm / usual:.0f} times as long as usual")
    return Trouble(name, told)


def _memory(now: Reading) -> str:
    return f"held-out pictures look {now.memory:.0%} like drawn ones to it"


# What is done about it.


def to_go_back_to(readings: Sequence[Reading], trouble: Trouble, since: int) -> list[Reading]:
    """The readings up to the last one that is healthy in the light of the trouble.

    Where nothing was learned no milestone was. Where there was none since the last rollback, which went back to the
    reading after the first `since`, that one is not trusted again.
    """
    if trouble.name == "learns nothing":
        return [r for r in readings if r.images == 0]
    return list(readings[:-1] if len(readings) - 1 == since else readings)


STEPS_DOWN = {"diverged": 0.25, "learns nothing": 0.25}
"""What the learning rates are multiplied by; by a half for all other troubles."""


def remedied(recipe: Recipe, name: str) -> Recipe:
    """The recipe with the remedy of a trouble: lower learning rates, and what the method knows against it.

    Where the discriminator has won only its own rate is lowered. Over-fitting is left to the method where that knows
    something.
    """
    eased = recipe.method.eased(name)
    groups = set(recipe.optimizers)
    if name == "discriminator won" and "discriminator" in groups:
        groups = {"discriminator"}
    elif name == "over-fitting" and eased is not None:
        groups = set()
    factor = STEPS_DOWN.get(name, 0.5)
    optimizers = {k: _slower(o, factor) if k in groups else o for k, o in recipe.optimizers.items()}
    return replace(recipe, optimizers=optimizers, method=eased or recipe.method)


def _slower(optimizer: Optimizer, factor: float) -> Optimizer:
    slower = replace(optimizer, lr=optimizer.lr * factor)
    return replace(slower, vector_lr=optimizer.vector_lr * factor) if optimizer.name == "muon" else slower


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The settings in which two recipes differ, as `--set` takes them."""
    if before == after:
        return
    if is_dataclass(before) and type(before) is type(after):
        for field in fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            yield from differences(old, new, f"{path}.{field.name}" if path else field.name)
    elif isinstance(before, Mapping):
        for key in before:
            yield from differences(before[key], after[key], f"{path}.{key}")
    else:
        yield f"{path}={after:g}" if isinstance(after, float) else f"{path}={after}"

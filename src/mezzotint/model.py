"""Model: a snapshot in use. What it can do is what its method can do."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint import audit, codec, drawing, explain, extractors, measure, snapshot, walking
from mezzotint.abilities import verbs_of
from mezzotint.answering import Answers, answered, threshold
from mezzotint.audit import AuditCard, Shadow
from mezzotint.catalog import kinds
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.measuring.rulers import MethodFeatures
from mezzotint.method import Method
from mezzotint.metrics.calibration import Calibration, distance
from mezzotint.metrics.features import Extractor, random_filters
from mezzotint.naming import Naming
from mezzotint.scorecard import ScoreCard
from mezzotint.types import (
    Boxes,
    Classifies,
    Clips,
    DataSpec,
    Decodes,
    Detects,
    DrawsInSteps,
    DrawsPairs,
    Dreams,
    Edits,
    Embeds,
    Encodes,
    FlowsBack,
    Forecasts,
    Generates,
    Images,
    Labels,
    ShowsWhere,
    TakesGuide,
    Truncates,
    Way,
)

Ability = TypeVar("Ability")


class Model:
    """A trained method with averaged weights, in evaluation mode. All pictures are floats in [-1, 1], n c h w."""

    def __init__(self, stored: snapshot.Snapshot) -> None:
        self._stored = stored
        self.method = stored.method
        self.recipe = stored.recipe
        self.card = stored.card
        self._naming = Naming(stored.method, stored.recipe.name)

    @property
    def spec(self) -> DataSpec:
        """Shape and classes of the pictures that it was trained on."""
        return self.method.spec

    @property
    def abilities(self) -> tuple[str, ...]:
        """The verbs that this model knows."""
        return verbs_of(self.method)

    def generate(
        self,
        seeds: Sequence[int],
        classes: Sequence[str] | None = None,
        *,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        guide: "Model | None" = None,
        schedule: str | None = None,
        guidance_between: tuple[float, float] | None = None,
    ) -> Images:
        """One picture per seed; seed 7 draws the same picture in any company.

        `classes` names a class for each seed, for a model that was trained by class. `solver`, `steps`, `schedule` and
        `guidance`, between two noise levels, change how a model draws that draws in steps (flow, edm, ddpm); `guide` is
        a worse one of its kind, from which guidance then goes away (Karras et al. 2024, autoguidance).
        """
        self._require(Generates, "generate")
        labels = None if classes is None else self._naming.numbers(classes, len(seeds))
        way = Way(solver=solver, steps=steps, schedule=schedule, guidance=guidance, guidance_between=guidance_between)
        return drawing.draw(self._drawing_with(guide, way), list(seeds), labels)

    def generate_pairs(self, seeds: Sequence[int], classes: Sequence[str] | None = None) -> tuple[Images, Images]:
        """For each seed the picture that `generate` draws, and the one that belongs to it (cogan: its edges)."""
        self._require(DrawsPairs, "draw pairs")
        labels = None if classes is None else self._naming.numbers(classes, len(seeds))
        return drawing.draw_pairs(self.method, list(seeds), labels)

    def truncated(self, bound: float) -> "Model":
        """This model, drawing from noise within `bound` standard deviations: pictures more usual and less varied.

        Raises UserError for a model that does not draw from one latent (Brock et al. 2019, section 3.1).
        """
        if not isinstance(self.method, Truncates):
            raise UserError(f"a {self.recipe.name} model knows no truncation; GANs such as dcgan and biggan do")
        other = self.method.truncated(bound)
        assert isinstance(other, Method)
        return Model(replace(self._stored, method=other))

    def _drawing_with(self, guide: "Model | None", way: Way) -> Method:
        if guide is None and way == Way():
            return self.method
        if not isinstance(self.method, DrawsInSteps):
            raise UserError(f"a {self.recipe.name} model draws in one pass: it has no solver, steps or guidance")
        method = self.method
        if guide is not None:
            if not isinstance(method, TakesGuide) or not isinstance(guide.method, TakesGuide):
                raise UserError(
                    f"a {guide.recipe.name} model cannot guide a {self.recipe.name} model: both must be flows"
                )
            method = method.guided_by(guide.method)
        other = method.drawing_with(way)
        assert isinstance(other, Method)
        return other

    @property
    def context(self) -> int:
        """Frames that a forecaster looks at."""
        return self._require(Forecasts, "forecast").context

    def forecast(self, frames: Clips, horizon: int, seed: int | Sequence[int] = 0) -> Clips:
        """The `horizon` frames that follow clips n t c h w; `seed` (or one a clip) chooses among several futures."""
        method = self._require(Forecasts, "forecast")
        if tuple(frames.shape[2:]) != self.spec.shape:
            raise UserError(f"the model takes frames of shape {self.spec.shape}, not {tuple(frames.shape[2:])}")
        seeds, n = seed if isinstance(seed, Sequence) else [seed] * len(frames), drawing.CHUNK
        if len(seeds) != len(frames):
            raise UserError(f"a forecast takes one seed or one a clip: here are {len(seeds)} for {len(frames)} clips")
        parts = enumerate(frames.split(n))
        with drawing.using(self.method):
            return torch.cat([method.forecast(part, horizon, seeds[n * i : n * (i + 1)]) for i, part in parts])

    def dream(self, seeds: Sequence[int], frames: int) -> Clips:
        """One clip of `frames` frames per seed, out of noise; for a model that was trained to (convlstm-vae)."""
        method = self._require(Dreams, "dream")
        if "dream" not in self.abilities:
            raise UserError("this model cannot begin from noise: give it a clip, or train convlstm-vae")
        with drawing.using(self.method):
            return torch.cat([method.dream([seed], frames) for seed in seeds])

    def to_noise(self, images: Images, classes: Sequence[str] | None = None) -> Images:
        """The noise that each picture is drawn from; a model trained by class is told them (or the one of all)."""
        method = self._require(FlowsBack, "go to noise and back")
        with drawing.using(self.method):
            return torch.cat([method.to_noise(*part) for part in self._naming.chunks(self._fitting(images), classes)])

    def from_noise(self, noise: Images, classes: Sequence[str] | None = None) -> Images:
        """The picture of each noise; with another class than on the way there, an edited picture."""
        method = self._require(FlowsBack, "go to noise and back")
        with drawing.using(self.method):
            drawn = [method.from_noise(*part) for part in self._naming.chunks(self._fitting(noise), classes)]
        return torch.cat(drawn).clamp(-1, 1)

    @property
    def calibration(self) -> Calibration | None:
        """What held-out pictures told of a recogniser's probabilities, where its card knows it."""
        known = self.card.get("calibration")
        return None if known is None else codec.decode(Calibration, known)

    def recognize(self, images: Images, precision: float | None = None, strange: float | None = None) -> Answers:
        """Probabilities of each picture, and whether the model ought to answer at all.

        It does where the likeliest class is probable enough for `precision`, the share of answers that are right (with
        97.5 % confidence, for pictures like those of validation), and where the picture is not stranger than the share
        `strange` of validation pictures. Raises UserError for a promise that cannot be given.
        """
        probabilities, calibration = self.classify(images), self.calibration
        strangeness, seen = None, self._stored.known
        if calibration is not None and seen is not None:
            strangeness = calibration.strangeness(distance(self.features(images), seen))
        return answered(probabilities, strangeness, calibration, precision, strange)

    def threshold(self, precision: float) -> float:
        """The probability from which on answers have this precision; raises UserError where none has."""
        return threshold(self.calibration, precision)

    def grad_cam(self, images: Images, labels: Labels) -> Tensor:
        """How much each place speaks for a class, n × h × w from 0 to 1 (`mezzotint.explain.grad_cam`)."""
        return explain.grad_cam(self._require(ShowsWhere, "show where it looks"), self._fitting(images), labels)

    def occlusion(self, images: Images, labels: Labels) -> Tensor:
        """How much the class's probability falls where a place is hidden (`mezzotint.explain.occlusion`)."""
        self._require(Classifies, "classify")
        return explain.occlusion(self.method, self._fitting(images), labels)

    def classify(self, images: Images) -> Tensor:
        """Probabilities of the classes `spec.classes`, n × classes."""
        method = self._require(Classifies, "classify")
        with drawing.using(self.method):
            parts = [method.classify(part).float() for part in self._fitting(images).split(drawing.CHUNK)]
        return torch.cat(parts).softmax(1)

    def detect(self, images: Images) -> Boxes:
        """Boxes found in each picture, in its pixels, surest first; their classes are those of `spec.things`."""
        method = self._require(Detects, "detect")
        with drawing.using(self.method):
            return torch.cat([method.detect(part) for part in self._fitting(images).split(drawing.CHUNK)])

    def features(self, images: Images) -> Tensor:
        """What the last layer of a recogniser (or of a network trained without labels) sees, n × features."""
        method = self._require(Embeds, "give features")
        with drawing.using(self.method):
            return torch.cat([method.features(part) for part in self._fitting(images).split(drawing.CHUNK)])

    def encode(self, images: Images, classes: Sequence[str] | None = None) -> Tensor:
        """The latent of each picture, n × latent; a model trained by class is told them (or the one of all)."""
        method = self._require(Encodes, "reconstruct")
        with drawing.using(self.method):
            return torch.cat([method.encode(*part) for part in self._naming.chunks(self._fitting(images), classes)])

    def decode(self, latents: Tensor, classes: Sequence[str] | None = None) -> Images:
        """The picture of each latent, of the classes as in `encode`."""
        method = self._require(Encodes, "reconstruct")
        with drawing.using(self.method):
            return torch.cat([method.decode(*part) for part in self._naming.chunks(latents, classes)])

    def reconstruct(self, images: Images, classes: Sequence[str] | None = None) -> Images:
        """Each picture as the model remembers it."""
        return self.decode(self.encode(images, classes), classes)

    def interpolate(
        self,
        first: Float[Tensor, "1 c h w"],
        second: Float[Tensor, "1 c h w"],
        steps: int,
        classes: Sequence[str] | None = None,
    ) -> Float[Tensor, "steps c h w"]:
        """`steps` pictures from one picture (1 c h w) to another, of one class.

        Their latents are on a straight line, or, of a model that flows back, their noises on an arc; such a model may
        be told two classes, that of the first and that of the second.
        """
        if isinstance(self.method, Edits):
            return self._walk(first, second, steps, classes)
        ends = self.encode(torch.cat([first, second]), classes)
        weights = torch.linspace(0, 1, steps)[:, None]
        return self.decode(torch.lerp(ends[:1], ends[1:], weights), classes)

    def between(self, seeds: tuple[int, int], steps: int, classes: Sequence[str] = ()) -> Float[Tensor, "steps c h w"]:
        """`steps` pictures from that of one seed to that of another, over the sphere that the noise lies on.

        `classes` are none (those that `generate` would draw), one for all, or two to go from one to the other.
        """
        self._require(Decodes, "go between seeds")
        return walking.between(self.method, seeds, steps, self._naming.or_usual(classes, seeds))

    def factor_walks(
        self, seeds: Sequence[int], count: int, steps: int, reach: float = 3.0, classes: Sequence[str] = ()
    ) -> Float[Tensor, "n c h w"]:
        """Each seed's picture along the `count` strongest directions of the latent space (Shen & Zhou 2021, "SeFa").

        len(seeds)·count·steps pictures: for each seed and direction, `steps` from -reach to reach.
        """
        self._require(Decodes, "walk along factors")
        return walking.along_factors(self.method, seeds, count, steps, reach, self._naming.or_usual(classes, seeds))

    def project(
        self, images: Images, classes: Sequence[str] = (), *, steps: int = 200, seed: int = 0, starts: int = 200
    ) -> tuple[Float[Tensor, "n latent"], Images, Float[Tensor, " n"]]:
        """The latents from which the model draws `images` most nearly, what it then draws, and what is left.

        Gradient descent begins at the nearest of `starts` drawn pictures; what is left is a mean squared difference
        over scales. A model trained by class is told the classes (or the one of all), or else tries all of them first.
        """
        self._require(Decodes, "project pictures")
        images = self._fitting(images)
        kinds = self._naming.shared(classes, len(images))
        return walking.projected(self.method, images, kinds, range(seed, seed + starts), steps)

    @property
    def codes_by_class(self) -> bool:
        """Whether the way to a code (or noise) and back is told the picture's class."""
        return self._naming.codes_by_class

    def labels_of(self, classes: Sequence[str] | None, count: int) -> Labels | None:
        """The classes of `count` pictures as numbers; None for a model that was not trained by class.

        Raises UserError where such a model is not told them.
        """
        if not self._naming.by_class:
            return None
        if classes is None:
            raise UserError(f"{self.recipe.name} was trained by class: it needs pictures whose classes are known")
        return self._naming.numbers(classes, count)

    def _walk(self, first: Tensor, second: Tensor, steps: int, classes: Sequence[str] | None) -> Tensor:
        method = self._require(Edits, "edit")
        ours, theirs = self._naming.numbers([classes[0], classes[-1]], 2).split(1) if classes else (None, None)
        with drawing.using(self.method):
            shares = torch.linspace(0, 1, steps).tolist()
            return method.walk(self._fitting(first), self._fitting(second), shares, ours, theirs)

    # Editing.

    def complete(
        self,
        images: Images,
        hole: Float[Tensor, "n 1 h w"],
        seeds: Sequence[int],
        classes: Sequence[str] | None = None,
    ) -> Images:
        """The pictures with something new where `hole` is 1, drawn by `seeds`; elsewhere they stay, to the bit.

        `classes` names the class of each picture, or of all, for a model that was trained by class; it need not.
        """
        method = self._require(Edits, "edit")
        return self._edited(method.complete, seeds, classes, self._fitting(images), hole)

    def restore(
        self,
        seen: Tensor,
        degrade: Callable[[Images], Tensor],
        seeds: Sequence[int],
        classes: Sequence[str] | None = None,
    ) -> Images:
        """Pictures of which `degrade` would make `seen`, n c' h' w': a linear function, such as those in `ops.degrade`.

        A model that was trained to be given what `degrade` leaves needs fewer looks for it than any other.
        """
        method, nothing = self._require(Edits, "edit"), torch.zeros(1, *self.spec.shape)
        if degrade(nothing).shape[1:] != seen.shape[1:]:
            raise UserError(
                f"of pictures of shape {self.spec.shape}, which the model draws, {tuple(degrade(nothing).shape[1:])} "
                f"would be left, not {tuple(seen.shape[1:])}"
            )
        return self._edited(lambda part, *more: method.restore(part, degrade, *more), seeds, classes, seen)

    def vary(
        self, images: Images, strength: float, seeds: Sequence[int], classes: Sequence[str] | None = None
    ) -> Images:
        """Pictures like these: the nearer `strength` is to 1, the freer."""
        method = self._require(Edits, "edit")
        return self._edited(
            lambda part, *more: method.vary(part, strength, *more), seeds, classes, self._fitting(images)
        )

    def move(self, images: Images, classes: Sequence[str], others: Sequence[str], strength: float = 1.0) -> Images:
        """Each picture as if it were of another class; the smaller `strength`, the more of it stays."""
        method = self._require(Edits, "edit")
        here, there = self._naming.chunks(self._fitting(images), classes), self._naming.chunks(images, others)
        with drawing.using(self.method):
            moved = [
                method.move(part, strength, labels, targets)
                for (part, labels), (_, targets) in zip(here, there, strict=True)
                if labels is not None and targets is not None
            ]
        if not moved:
            raise UserError(f"{self.recipe.name} was not trained by class: it has none to move pictures to")
        return torch.cat(moved)

    def _edited(
        self, verb: Callable[..., Images], seeds: Sequence[int], classes: Sequence[str] | None, *rows: Tensor
    ) -> Images:
        """What `verb` makes of rows, seeds and the labels of the classes (of one for each, or for all)."""
        count = len(rows[0])
        if len(seeds) != count:
            raise UserError(f"there are {len(seeds)} seeds for {count} pictures")
        return drawing.edited(self.method, verb, seeds, self._naming.shared(classes, count), *rows)

    def extractor(self) -> Extractor:
        """This model's features as the ruler of other models."""
        self._require(Embeds, "give features")
        return MethodFeatures(self.method, self.recipe.name, self._stored.digest)

    def measure(
        self,
        dataset: Dataset,
        *,
        split: str = "test",
        count: int = 10_000,
        features: "Model | Extractor | None" = None,
        seed: int = 0,
        thorough: bool = True,
        shown: drawing.Drawn | None = None,
    ) -> ScoreCard:
        """All scores that the model's abilities admit; see `mezzotint.measure.measure`.

        `features` is a recogniser, or what `extractor` gives, in whose features distances are measured.
        """
        self.check_fit(dataset)
        return measure.measure(
            self.method,
            dataset,
            split=split,
            count=count,
            extractor=features.extractor() if isinstance(features, Model) else features,
            seed=seed,
            thorough=thorough,
            weights=self._stored.digest,
            shown=shown,
        )

    def audit(
        self,
        dataset: Dataset,
        *,
        count: int = audit.COUNT,
        features: "Model | Extractor | None" = None,
        shadows: Sequence[Shadow] = (),
        seed: int = 0,
    ) -> AuditCard:
        """Whether the model copies the training pictures of `dataset`; see `mezzotint.audit.audit`."""
        self.check_fit(dataset)
        return audit.audit(
            self.method,
            dataset,
            count=count,
            extractor=features.extractor() if isinstance(features, Model) else features,
            shadows=shadows,
            seed=seed,
            weights=self._stored.digest,
        )

    def check_fit(self, dataset: Dataset) -> None:
        """Raise UserError where the pictures have another shape than the model's."""
        if dataset.spec.shape != self.spec.shape:
            raise UserError(f"the model is for pictures of shape {self.spec.shape}, the data have {dataset.spec.shape}")
        if isinstance(self.method, Detects) and dataset.things != self.spec.things:
            raise UserError("the boxes of the data are not of the things that the model was trained on")
        by_class = isinstance(self.method, Classifies) or getattr(self.method, "classes", 0)
        if by_class and dataset.classes != self.spec.classes:
            raise UserError("the classes of the data are not those that the model was trained on")

    def _fitting(self, images: Images) -> Images:
        if tuple(images.shape[1:]) != self.spec.shape:
            raise UserError(f"the model takes pictures of shape {self.spec.shape}, not {tuple(images.shape[1:])}")
        return images

    def _require(self, ability: type[Ability], verb: str) -> Ability:
        if not isinstance(self.method, ability):
            raise UserError(f"a {self.recipe.name} model cannot {verb}; it can {' and '.join(self.abilities)}")
        return self.method


def load(folder: str | os.PathLike[str]) -> Model:
    """The model in a run's folder or a snapshot's."""
    return Model(snapshot.load(Path(folder), kinds()))


def extractor(source: str | os.PathLike[str], spec: DataSpec) -> Extractor:
    """The ruler that `--features` names: a run that gives features, a weight file or `random-filters`.

    Raises UserError for what is none of them, and for files that are damaged, foreign or not to be trusted.
    """
    if str(source) == "random-filters":
        return random_filters(spec)
    path = Path(source).expanduser()
    if path.is_dir():
        return load(path).extractor()
    return extractors.from_weights(path)

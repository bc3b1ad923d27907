"""A velocity, followed: pictures drawn from noise, brought back to it, changed on the way and weighed.

What says the velocity, and how it learned to, is for the methods that are followed (`methods/flow.py`).
"""

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.codec import nearest
from mezzotint.errors import UserError
from mezzotint.losses import flow
from mezzotint.losses.flow import DDPM_STEPS
from mezzotint.method import Method
from mezzotint.ops import editing, solvers
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.ops.paths import Path
from mezzotint.types import Batch, Images, Labels, Way

ScheduleName = Literal["even", "karras", "ddpm"]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How pictures are drawn with a trained network; may be changed after training."""

    solver: solvers.SolverName = "heun"
    steps: int = 10
    """Steps from noise to picture; heun and midpoint look twice a step, rk4 four times, the others once."""
    schedule: ScheduleName = "even"
    """Even in the path's time, in the noise to the power 1/7 (Karras et al. 2022), or in DDPM's thousand steps."""
    guidance: float = 1.0
    """How far to go from what is said without a class to what is said with it, and beyond (Ho & Salimans 2022)."""
    guidance_from: float = 0.0
    """Least noise level, sigma/(alpha + sigma), at which to guide (Kynkäänniemi et al. 2024)."""
    guidance_to: float = 1.0
    """Greatest noise level at which to guide."""
    precision: Literal["fp32", "bf16"] | None = None
    """Of the network's arithmetic; none is bf16 where the machine multiplies in it."""

    @property
    def guided(self) -> str:
        """How far and where, as score cards tell it; empty without guidance."""
        where = f"from noise level {self.guidance_from:g} to {self.guidance_to:g}"
        return f", guidance {self.guidance:g} {where}" if self.guidance != 1 else ""

    def __post_init__(self) -> None:
        """Raise ValueError for what nothing can be drawn with."""
        if self.steps < 1 or (self.schedule == "ddpm" and self.steps > DDPM_STEPS):
            raise ValueError(f"drawing takes at least one step, and the schedule ddpm has {DDPM_STEPS}")
        if not (math.isfinite(self.guidance) and 0 <= self.guidance_from <= self.guidance_to <= 1):
            raise ValueError("guidance must be finite, its interval between 0 and 1")

    def changed(self, way: Way) -> "Drawing":
        """The same where nothing else is asked for; raises ValueError for what nothing can be drawn with."""
        least, most = way.guidance_between or (None, None)
        asked = {"solver": way.solver, "steps": way.steps, "schedule": way.schedule, "guidance": way.guidance}
        asked |= {"guidance_from": least, "guidance_to": most}
        return replace(self, **{name: value for name, value in asked.items() if value is not None})

    def times(self, path: Path, most_noise: float | None) -> list[float]:
        """Where a solver stops on the way from noise (of `most_noise`; none is all) to picture."""
        match self.schedule:
            case "even":
                return solvers.even_times(self.steps, 1.0 if most_noise is None else time_of(path, most_noise))
            case "karras":
                return solvers.karras_times(self.steps, path, 80.0 if most_noise is None else most_noise)
            case "ddpm":
                ratios = flow.ddpm_ratios()
                places = [round(len(ratios) * (1 - i / self.steps)) - 1 for i in range(self.steps)]
                return [*path.time_of(ratios[places]).tolist(), 0.0]

    def guidance_at(self, path: Path, t: float) -> float:
        """How far to guide at time `t`; 1 outside the interval."""
        m = path.at(torch.tensor(t, dtype=torch.float64))
        level = float(m.sigma / (m.alpha + m.sigma))
        return self.guidance if self.guidance_from <= level <= self.guidance_to else 1.0


class Following(Method):
    """What a method can do that says a velocity: the abilities to draw, to flow back and to vary what there is."""

    path: Path
    drawing: Drawing
    most_noise: float | None
    """Sigma/alpha where drawing begins; none is all noise."""
    unlabelled: float
    """Share of pictures whose class was not told in training."""
    worse: "tuple[Following, ...]" = ()
    """The one method to be guided away from, or none; in a tuple, since it is no part of this one."""

    @abstractmethod
    def velocity(self, x: Images, t: float, labels: Labels | None = None, guidance: float = 1.0) -> Images:
        """How `x` moves at time `t`; where `guidance` is not 1, by class and without and on from there."""

    # Drawing.

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or from the seeds too."""
        return self._drawn(seeds, self.labels_for(seeds, labels))

    def _drawn(self, seeds: Sequence[int], labels: Labels | None) -> Images:
        device, times = next(self.parameters()).device, self._times_of_drawing()
        first = self._most_sigma(times[0]) * normal_from_seeds(seeds, *self.spec.shape).to(device)
        return self._solved(first, times, seeds, labels)

    def _solved(self, first: Tensor, times: list[float], seeds: Sequence[int], labels: Labels | None) -> Images:
        """The pictures that `first` moves to along `times`, as the settings of drawing ask."""
        guided, noise = self._quick(self._guided(labels), first), self._fresh_noise(seeds, first)
        return solvers.solve(self.drawing.solver, guided, self.path, first, times, noise).clamp(-1, 1)

    def _quick(self, velocity: solvers.Velocity, like: Tensor) -> solvers.Velocity:
        """The same in the precision of drawing."""
        halved = halves(self.drawing.precision, like.device)

        def quick(x: Tensor, t: float) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=halved):
                return velocity(x, t)

        return quick

    def _guided(self, labels: Labels | None) -> solvers.Velocity:
        """The velocity of drawing; pictures of any class, which are not guided, have the label that means none."""
        labels = labels if self.classes else None
        any_class = labels is not None and bool((labels == self.classes).all())

        def guided(x: Tensor, t: float) -> Tensor:
            guidance = self.drawing.guidance_at(self.path, t)
            if not self.worse or guidance == 1:
                return self.velocity(x, t, labels, 1.0 if any_class else guidance)
            return torch.lerp(self.worse[0].velocity(x, t, labels), self.velocity(x, t, labels), guidance)

        return guided

    def guided_by(self, worse: "Following") -> "Following":
        """The same network, drawing with guidance away from a worse one (Karras et al. 2024, autoguidance).

        Of the same class is said what both say of it: v(worse) + guidance·(v - v(worse)), in place of guidance from no
        class. Raises UserError where the two do not go the same way with the same pictures.
        """
        ways = [(m.spec.shape, m.spec.classes[: m.classes], m.path, m.most_noise) for m in (self, worse)]
        if ways[0] != ways[1]:
            raise UserError("a guide draws pictures of the same shape and classes along the same path: train it alike")
        other = copy.copy(self)
        other.worse = (worse,)
        return other

    def _fresh_noise(self, seeds: Sequence[int], like: Tensor) -> solvers.Noise:
        """Of step i; its keys are far from the seeds themselves, which are the keys of the first noise."""

        def noise(step: int) -> Tensor:
            keys = [(2**62 + seed * 1_000_003 + step) % 2**63 for seed in seeds]
            return normal_from_seeds(keys, *self.spec.shape).to(like)

        return noise

    def drawing_with(self, way: Way) -> "Following":
        """The same network drawing in another way; raises UserError for a way that there is not."""
        guidance = 1.0 if way.guidance is None else way.guidance
        if guidance != 1 and not self.classes and not self.worse:
            raise UserError("guidance is for models that were trained by class, or that draw with a guide")
        self.check_guidance(guidance)
        for what, name, known in (("solver", way.solver, solvers.SolverName), ("schedule", way.schedule, ScheduleName)):
            if name is not None and name not in get_args(known):
                raise UserError(f"there is no {what} {name!r}: {nearest(name, get_args(known))}")
        try:
            drawing = self.drawing.changed(way)
        except ValueError as error:
            raise UserError(f"it cannot be drawn so: {error}") from None
        if self.worse and drawing.guidance == 1:
            raise UserError("a guide leads nowhere with a guidance of 1: say how far to go, as with --guidance 2")
        if way.guidance_between is not None and drawing.guidance == 1:
            raise UserError("there is no guidance to be bounded: say how far to go, as with --guidance 2")
        other = copy.copy(self)
        other.drawing = drawing
        return other

    @property
    def way_of_drawing(self) -> str:
        """For score cards."""
        d = self.drawing
        return f"{d.solver}, {d.steps} {d.schedule} steps{d.guided}"

    def check_guidance(self, guidance: float) -> None:
        """Raise UserError for guidance that there is nothing to depart from."""
        if guidance != 1 and self.classes and not self.unlabelled and not self.worse:
            raise UserError(
                "guidance departs from what is said without a class, which is never trained with method.unlabelled=0: "
                "set that above 0, or guidance (method.drawing.guidance) to 1"
            )

    def _times_of_drawing(self) -> list[float]:
        return self.drawing.times(self.path, self.most_noise)

    def _most_sigma(self, t: float) -> float:
        return float(self.path.at(torch.tensor(t, dtype=torch.float64)).sigma)

    # There and back.

    def _exact_times(self, steps: int) -> list[float]:
        """From picture to noise, in `steps` steps that are short near the picture, where the flow turns fast."""
        most = self.most_noise
        if most is not None:
            return solvers.karras_times(steps, self.path, most)[::-1]
        return [*solvers.karras_times(max(1, steps - 1), self.path, 20.0)[::-1], 1.0]

    def to_noise(self, images: Images, labels: Labels | None = None, steps: int = 16) -> Images:
        """The noise that each picture is drawn from, along the flow without guidance (rk4, four looks a step)."""
        given, times = labels if self.classes else None, self._exact_times(steps)
        x = solvers.runge_kutta(solvers.RK4, lambda x, t: self.velocity(x, t, given), images, times)
        return x / self._most_sigma(times[-1])

    def from_noise(self, noise: Images, labels: Labels | None = None, steps: int = 16) -> Images:
        """The inverse of `to_noise`: with another class, another picture of the same noise. Not clamped."""
        given, times = labels if self.classes else None, self._exact_times(steps)[::-1]
        x = noise * self._most_sigma(times[0])
        return solvers.runge_kutta(solvers.RK4, lambda x, t: self.velocity(x, t, given), x, times)

    # Changing what there is.

    def vary(self, images: Images, strength: float, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """Pictures like these (Meng et al. 2022, SDEdit): mixed with noise to the level `strength`, and drawn again."""
        times = self._times_from(strength)
        m = self.path.at(torch.tensor(times[0], dtype=images.dtype))
        noise = normal_from_seeds(seeds, *self.spec.shape).to(images)
        return self._solved(m.alpha * images + m.sigma * noise, times, seeds, self._or_any(labels, images))

    def move(self, images: Images, strength: float, labels: Labels, others: Labels, steps: int = 16) -> Images:
        """Each picture of class `labels` as one of `others`: to the noise level `strength` and back (rk4)."""
        last = self._times_from(strength)[0]
        times = [t for t in self._exact_times(steps) if t < 0.99 * last] + [last]
        noise = solvers.runge_kutta(solvers.RK4, lambda x, t: self.velocity(x, t, labels), images, times)
        return solvers.runge_kutta(solvers.RK4, self._guided(others), noise, times[::-1]).clamp(-1, 1)

    def walk(
        self,
        first: Float[Tensor, "1 c h w"],
        second: Float[Tensor, "1 c h w"],
        shares: Sequence[float],
        labels: Labels | None = None,
        others: Labels | None = None,
        steps: int = 16,
    ) -> Float[Tensor, "shares c h w"]:
        """One picture for each of `shares`, from 0 (`first`) to 1 (`second`), their noises on an arc.

        Of two classes, `labels` and `others` (one each), the velocity is mixed in the same shares.
        """
        labels = self._or_any(labels, first)
        others = labels if others is None else others
        ends = self.to_noise(first, labels, steps), self.to_noise(second, others, steps)
        times = self._exact_times(steps)[::-1]
        x = torch.cat([editing.between(*ends, share) for share in shares]) * self._most_sigma(times[0])
        weight = x.new_tensor(list(shares))[:, None, None, None]
        here, there = (None if y is None else y.expand(len(x)) for y in (labels, others))

        def velocity(x: Tensor, t: float) -> Tensor:
            if here is None or there is None or torch.equal(here, there):
                return self.velocity(x, t, here)
            return torch.lerp(self.velocity(x, t, here), self.velocity(x, t, there), weight)

        return solvers.runge_kutta(solvers.RK4, velocity, x, times).clamp(-1, 1)

    def _or_any(self, labels: Labels | None, like: Tensor) -> Labels | None:
        """The labels, or for each picture the one that means no class; raises UserError where that was never seen."""
        if not self.classes or labels is not None:
            return labels if self.classes else None
        if not self.unlabelled:
            raise UserError("this model was always told the class (method.unlabelled=0): name the picture's class")
        return torch.full((len(like),), self.classes, device=like.device)

    def _times_from(self, level: float) -> list[float]:
        """The times of drawing from the noise level `level` on; raises UserError for none above 0 and up to 1."""
        if not 0 < level <= 1:
            raise UserError(f"a strength is above 0 and at most 1, not {level:g}")
        times = self._times_of_drawing()
        first = times[0] if level == 1 else min(times[0], time_of(self.path, level / (1 - level)))
        return [first, *(t for t in times if t < first)]

    def log_density(self, images: Images, labels: Labels | None, seed: int, steps: int = 16) -> Tensor:
        """An estimate of log p(x) of each picture in nats, of the density that drawing without guidance has.

        By the change of variables along the flow (Chen et al. 2018; Song et al. 2021, section 4.3), its divergence from
        one probe of signs (Hutchinson 1989; unbiased) and rk4. Without 8-bit levels: `losses/flow.py` tells of those.
        """
        given, times = labels if self.classes else None, self._exact_times(steps)
        probe = Batch(images, labels, seed=seed).normal(*self.spec.shape).sign()
        end, change = flow.transported(lambda x, t: self.velocity(x, t, given), images, probe, times)
        return flow.noise_log_density(end, self._most_sigma(times[-1])) + change


def time_of(path: Path, ratio: float) -> float:
    """The time at which noise is to picture as `ratio`."""
    return float(path.time_of(torch.tensor(ratio, dtype=torch.float64)))


def halves(precision: Literal["fp32", "bf16"] | None, device: torch.device) -> bool:
    """Whether to draw in bf16: where it is asked for, or left to the machine and multiplied in there."""
    return precision == "bf16" or (precision is None and _multiplies_bf16(device))


def _multiplies_bf16(device: torch.device) -> bool:
    """Whether there are instructions for it: without them it is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]

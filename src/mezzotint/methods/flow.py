"""Flow matching and diffusion (Lipman et al. 2023; Liu et al. 2023; Ho et al. 2020; Karras et al. 2022), one method.

A network says what is picture and what is noise in a mixture of both. Whatever it was taught to say, it is turned into
the velocity of a path from noise to picture, which one file of solvers follows: `ops/paths.py`, `ops/solvers.py`.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.codec import nearest
from mezzotint.errors import UserError
from mezzotint.losses import flow
from mezzotint.losses.flow import DDPM_STEPS
from mezzotint.method import Method, MethodConfig
from mezzotint.networks.dit import DitConfig
from mezzotint.networks.unet import UnetConfig
from mezzotint.ops import degrade, editing, paths, solvers
from mezzotint.ops.degrade import Grey, Holes, Shrunk
from mezzotint.ops.editing import Degrade
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.ops.paths import Path
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How pictures are drawn with a trained network; may be changed after training."""

    solver: solvers.SolverName = "heun"
    steps: int = 10
    """Steps from noise to picture; heun and midpoint look twice a step, rk4 four times, the others once."""
    schedule: Literal["even", "karras", "ddpm"] = "even"
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


@dataclass(frozen=True, kw_only=True)
class FlowConfig(MethodConfig):
    """The path, what the network is taught to say on it, and where on it."""

    network: UnetConfig | DitConfig = UnetConfig()
    path: paths.PathName = "straight"
    predicts: paths.Prediction = "velocity"
    times: Literal["uniform", "logit-normal", "ddpm"] = "uniform"
    """Of training: even in the path's time, normal in log(sigma/alpha), or DDPM's thousand steps."""
    times_mean: float = 0.0
    """Of logit-normal times: mean of log(sigma/alpha)."""
    times_deviation: float = 1.0
    """Of logit-normal times: standard deviation of log(sigma/alpha)."""
    most_noise: float | None = None
    """Sigma/alpha where drawing begins; none is all noise, which a predicted noise and the exploding path have not."""
    spread: float = 0.5
    """Standard deviation of the pictures, by which the network's input is scaled."""
    min_snr: float | None = None
    """Bound on the weight of a picture's error, which is the ratio of signal to noise (Hang et al. 2023); none leaves
    all errors of what the network says equal."""
    pairing: bool = False
    """Pair noise and pictures of a (micro-)batch so that paths cross less (Tong et al. 2024), each class for itself."""
    conditional: bool = True
    """Draw by class, where the data have classes."""
    unlabelled: float = 0.1
    """Share of pictures whose class is not told in training: what guidance departs from."""
    given: Holes | Shrunk | Grey | None = None
    """What is left of a picture, beside the noise, for the rest to be drawn to it; none is nothing."""
    hidden: float = 0.1
    """Share of pictures of which nothing is given in training, so that the model draws without it too."""
    drawing: Drawing = Drawing()

    def __post_init__(self) -> None:
        """Raise ValueError for settings that exclude one another."""
        if self.path == "exploding" and (self.times == "uniform" or self.most_noise is None):
            raise ValueError("the exploding path has no end: give most_noise, and times=logit-normal or ddpm")
        if self.predicts == "noise" and self.most_noise is None:
            raise ValueError("a predicted noise tells nothing of the picture where all is noise: give most_noise")
        if not all(0 < x < math.inf for x in (self.spread, self.times_deviation, self.most_noise or 1)):
            raise ValueError("spread, times_deviation and most_noise must be positive")
        if not (0 <= self.unlabelled < 1 and 0 <= self.hidden < 1):
            raise ValueError("unlabelled and hidden are shares, from 0 to below 1")

    def build(self, spec: DataSpec) -> "Flow":
        """The network with fresh weights; raises UserError for guidance from a class that is never left out."""
        made = Flow(self, spec)
        made.check_guidance(self.drawing.guidance)
        return made


LOOKS = 4
"""Times at which a picture's error is taken when it is judged."""
STEPS_OF_RESTORING, STEPS_WHEN_TRAINED = (20, 5), (10, 2)
"""Steps from noise to a picture of which something is known, and how often each is taken."""


class Flow(Method):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: FlowConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.beside = _channels_given(config.given, spec)
        self.network = config.network.build(replace(spec, channels=spec.channels + self.beside), self.classes)
        self.path = Path(config.path)
        self.given: Tensor | None = None
        """What the network is shown beside the noisy pictures, n beside h w; without it nothing, which is zeros."""

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters are one group."""
        return {"network": list(self.parameters())}

    # Training.

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The mean squared error of what the network says, weighted as the settings ask."""
        noise = batch.normal(*self.spec.shape)
        if self.config.pairing:
            noise = flow.paired(noise, batch.images, batch.labels if self.classes else None)
        labels = self._labels_to_train_with(batch)
        shown = self._shown(self._given_to_train_with(batch)) if self.beside else self
        error = shown._error(batch.images, noise, self._times(_shares(batch)), labels).mean()
        return Loss(error, {f"{self.config.predicts}_error": error.detach()})

    def denoising_error(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """The loss of each picture, a mean over LOOKS times, the same for all pictures; its noise is from `seed`."""
        noise, share = Batch(images, seed=seed).normal(*self.spec.shape), images.new_ones(len(images), 1, 1, 1)
        times = [self._times(share * (i + 0.5) / LOOKS) for i in range(LOOKS)]
        given = labels if self.classes else None
        return torch.stack([self._error(images, noise, t, given) for t in times]).mean(0)

    def _error(self, images: Images, noise: Images, t: Tensor, labels: Labels | None) -> Tensor:
        c = self.config
        said = self._said(self.path.mixed(images, noise, t), t, labels)
        wanted = paths.target(self.path, c.predicts, images, noise, t, c.spread)
        error = (said - wanted).square().flatten(1).mean(1)
        if c.min_snr is None:
            return error
        return error * flow.min_snr_weight(self.path, c.predicts, t, c.spread, c.min_snr).flatten()

    def _times(self, share: Tensor) -> Tensor:
        """The time below which so much lies of the times to train at, n 1 1 1 with `share` in [0, 1]."""
        c = self.config
        match c.times:
            case "uniform":
                last = 1.0 if c.most_noise is None else self._time_of(c.most_noise)
                return share * last
            case "logit-normal":
                normal = torch.special.ndtri(share.double().clamp(1e-6, 1 - 1e-6)).to(share.dtype)
                return self.path.time_of((c.times_mean + c.times_deviation * normal).exp())
            case "ddpm":
                ratios = flow.ddpm_ratios().to(share)
                return self.path.time_of(ratios[(share * len(ratios)).long().clamp(max=len(ratios) - 1)])

    def _labels_to_train_with(self, batch: Batch) -> Labels | None:
        """The batch's classes, some replaced by the one that means none."""
        if not self.classes or batch.labels is None:
            return None
        hidden = torch.special.ndtr(batch.normal(stream=2)) < self.config.unlabelled
        return torch.where(hidden, self.classes, batch.labels)

    def _given_to_train_with(self, batch: Batch) -> Tensor:
        """What is left of each picture; of some pictures nothing."""
        kept = torch.special.ndtr(batch.normal(1, 1, 1, stream=5)) >= self.config.hidden
        return self._given_of(batch) * kept

    def _given_of(self, batch: Batch) -> Tensor:
        """What is left of each picture: all but holes of many kinds, or what the settings name."""
        if not isinstance(self.config.given, Holes):
            assert self.config.given is not None
            return self.beside_of(self.config.given(batch.images))
        _, height, width = self.spec.shape
        numbers = torch.special.ndtr(batch.normal(degrade.HOLE_NUMBERS, stream=3))
        hole = degrade.holes(numbers, torch.special.ndtr(batch.normal(height, width, stream=4)))
        return self.beside_of(batch.images, 1 - hole)

    def beside_of(self, seen: Tensor, known: Tensor | None = None) -> Tensor:
        """What the network is shown of `seen`: enlarged to the picture's size, and where it is known (n 1 h w)."""
        whole = degrade.enlarged(seen, self.spec.height, self.spec.width)
        known = torch.ones_like(whole[:, :1]) if known is None else known
        return torch.cat([whole * known, known], 1)

    def _shown(self, given: Tensor) -> "Flow":
        """The same network, shown `given`, n beside h w."""
        other = copy.copy(self)
        other.given = given
        return other

    # The network as a velocity.

    def _said(self, x: Tensor, t: Tensor, labels: Labels | None) -> Tensor:
        """What the network says of `x` at times `t` (n 1 1 1), its input scaled to about unit variance."""
        m = self.path.at(t)
        size = (m.sigma.square() + (m.alpha * self.config.spread).square()).sqrt()
        seen = x / size
        if self.beside:
            seen = torch.cat([seen, self._given_to(x)], 1)
        said = self.network(seen, (m.sigma / (m.alpha + m.sigma)).flatten(), labels)
        return said[:, : self.spec.channels].to(x.dtype)

    def _given_to(self, x: Tensor) -> Tensor:
        """What is shown beside `x`, which for guidance holds all pictures twice."""
        if self.given is None:
            return x.new_zeros(len(x), self.beside, *x.shape[2:])
        return self.given.to(x.dtype).repeat(len(x) // len(self.given), 1, 1, 1)

    def velocity(self, x: Images, t: float, labels: Labels | None = None, guidance: float = 1.0) -> Images:
        """How `x` moves at time `t`; where `guidance` is not 1, by class and without and on from there."""
        if guidance == 1 or labels is None:
            return self._plain_velocity(x, t, labels)
        both = torch.cat([labels, torch.full_like(labels, self.classes)])
        by_class, without = self._plain_velocity(torch.cat([x, x]), t, both).chunk(2)
        return torch.lerp(without, by_class, guidance)

    def _plain_velocity(self, x: Images, t: float | Tensor, labels: Labels | None) -> Images:
        """At one time for all pictures, or at each one's own (n 1 1 1)."""
        times = t if isinstance(t, Tensor) else torch.full((len(x), 1, 1, 1), t, dtype=x.dtype, device=x.device)
        said = self._said(x, times, labels)
        if self.config.predicts == "velocity":
            return said
        picture, noise = paths.completed(self.path, self.config.predicts, said, x, times, self.config.spread)
        return self.path.velocity(picture, noise, times)

    # Drawing.

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; classes come from `labels`, or from the seeds too."""
        device = next(self.parameters()).device
        labels, times = self.labels_for(seeds, labels), self._drawing_times()
        first = self._most_sigma(times[0]) * normal_from_seeds(seeds, *self.spec.shape).to(device)
        return self._solved(first, times, seeds, labels)

    def _solved(self, first: Tensor, times: list[float], seeds: Sequence[int], labels: Labels | None) -> Images:
        """The pictures that `first` moves to along `times`, as the settings of drawing ask."""
        guided, noise = self._quick(self._guided(labels), first), self._fresh_noise(seeds, first)
        return solvers.solve(self.config.drawing.solver, guided, self.path, first, times, noise).clamp(-1, 1)

    def _quick(self, velocity: solvers.Velocity, like: Tensor) -> solvers.Velocity:
        """The same in the precision of drawing."""
        halved = halves(self.config.drawing.precision, like.device)

        def quick(x: Tensor, t: float) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=halved):
                return velocity(x, t)

        return quick

    def _guided(self, labels: Labels | None) -> solvers.Velocity:
        """The velocity of drawing; pictures of any class, which are not guided, have the label that means none."""
        labels = labels if self.classes else None
        any_class = labels is not None and bool((labels == self.classes).all())
        return lambda x, t: self.velocity(x, t, labels, 1.0 if any_class else self._guidance_at(t))

    def _fresh_noise(self, seeds: Sequence[int], like: Tensor) -> solvers.Noise:
        """Of step i; its keys are far from the seeds themselves, which are the keys of the first noise."""

        def noise(step: int) -> Tensor:
            keys = [(2**62 + seed * 1_000_003 + step) % 2**63 for seed in seeds]
            return normal_from_seeds(keys, *self.spec.shape).to(like)

        return noise

    def drawing_with(
        self, *, solver: str | None = None, steps: int | None = None, guidance: float | None = None
    ) -> "Flow":
        """The same network drawing in another way; raises UserError for a way that there is not."""
        if guidance is not None and guidance != 1 and not self.classes:
            raise UserError("guidance is for models that were trained by class")
        self.check_guidance(1.0 if guidance is None else guidance)
        if solver is not None and solver not in get_args(solvers.SolverName):
            raise UserError(f"there is no solver {solver!r}: {nearest(solver, get_args(solvers.SolverName))}")
        asked = {"solver": solver, "steps": steps, "guidance": guidance}
        try:
            drawing = replace(self.config.drawing, **{k: v for k, v in asked.items() if v is not None})
        except ValueError as error:
            raise UserError(f"it cannot be drawn so: {error}") from None
        other = copy.copy(self)
        other.config = replace(self.config, drawing=drawing)
        return other

    @property
    def way_of_drawing(self) -> str:
        """For score cards."""
        d = self.config.drawing
        return f"{d.solver}, {d.steps} {d.schedule} steps{d.guided}"

    def check_guidance(self, guidance: float) -> None:
        """Raise UserError for guidance that there is nothing to depart from."""
        if guidance != 1 and self.classes and not self.config.unlabelled:
            raise UserError(
                "guidance departs from what is said without a class, which is never trained with method.unlabelled=0: "
                "set that above 0, or guidance (method.drawing.guidance) to 1"
            )

    def _drawing_times(self) -> list[float]:
        d, most = self.config.drawing, self.config.most_noise
        match d.schedule:
            case "even":
                return solvers.even_times(d.steps, 1.0 if most is None else self._time_of(most))
            case "karras":
                return solvers.karras_times(d.steps, self.path, 80.0 if most is None else most)
            case "ddpm":
                ratios = flow.ddpm_ratios()
                places = [round(len(ratios) * (1 - i / d.steps)) - 1 for i in range(d.steps)]
                return [*self.path.time_of(ratios[places]).tolist(), 0.0]

    def _guidance_at(self, t: float) -> float:
        d, m = self.config.drawing, self.path.at(torch.tensor(t, dtype=torch.float64))
        level = float(m.sigma / (m.alpha + m.sigma))
        return d.guidance if d.guidance_from <= level <= d.guidance_to else 1.0

    def _time_of(self, ratio: float) -> float:
        return float(self.path.time_of(torch.tensor(ratio, dtype=torch.float64)))

    def _most_sigma(self, t: float) -> float:
        return float(self.path.at(torch.tensor(t, dtype=torch.float64)).sigma)

    # There and back.

    def _exact_times(self, steps: int) -> list[float]:
        """From picture to noise, in `steps` steps that are short near the picture, where the flow turns fast."""
        most = self.config.most_noise
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

    # Editing.

    def complete(
        self, images: Images, hole: Float[Tensor, "n 1 h w"], seeds: Sequence[int], labels: Labels | None = None
    ) -> Images:
        """The pictures with something new where `hole` is 1; where it is 0 they stay as they are, to the bit.

        By `editing.restored`, with a network that is shown what is known if it was trained for holes.
        """
        with torch.inference_mode(False):
            known = (1 - hole).clone()
        trained = isinstance(self.config.given, Holes)
        shown = self._shown(self.beside_of(images, known)) if trained else self
        drawn = shown._led(images * known, lambda x: x * known, seeds, labels, trained)
        return torch.where(hole > 0, drawn, images)

    def restore(
        self,
        seen: Float[Tensor, "n seen_c seen_h seen_w"],
        degrade: Degrade,
        seeds: Sequence[int],
        labels: Labels | None = None,
    ) -> Images:
        """Pictures of which `degrade`, which is linear, would make `seen`; by `editing.restored`.

        A network that was trained for that very loss is shown what is seen.
        """
        trained = degrade == self.config.given
        shown = self._shown(self.beside_of(seen)) if trained else self
        return shown._led(seen, degrade, seeds, labels, trained)

    def _led(
        self, seen: Tensor, degrade: Degrade, seeds: Sequence[int], labels: Labels | None, trained: bool
    ) -> Images:
        """Pictures drawn so that they fit what is seen; with fewer looks where the network was trained for that."""
        steps, returns = STEPS_WHEN_TRAINED if trained else STEPS_OF_RESTORING
        times = self.drawing_with(steps=steps)._drawing_times()
        first = self._most_sigma(times[0]) * normal_from_seeds(seeds, *self.spec.shape).to(seen)
        guided, noise = self._quick(self._guided(self._or_any(labels, seen)), first), self._fresh_noise(seeds, first)
        drawn = editing.restored(
            guided, self.path, first, seen, degrade, times, noise, spread=self.config.spread, returns=returns
        )
        return drawn.clamp(-1, 1)

    def redrawn(self, images: Images, labels: Labels | None, seed: int) -> tuple[Images, Images]:
        """What is left of pictures, lost as in training, and the pictures drawn from that, of a model given a part."""
        given, seeds = self._given_of(Batch(images, labels, seed=seed)), [seed + i for i in range(len(images))]
        lost = self.config.given
        if isinstance(lost, Holes):
            drawn = self.complete(images, 1 - given[:, -1:], seeds, labels)
        else:
            assert lost is not None
            drawn = self.restore(lost(images), lost, seeds, labels)
        return given[:, :-1].expand(-1, self.spec.channels, -1, -1), drawn

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
        if not self.config.unlabelled:
            raise UserError("this model was always told the class (method.unlabelled=0): name the picture's class")
        return torch.full((len(like),), self.classes, device=like.device)

    def _times_from(self, level: float) -> list[float]:
        """The times of drawing from the noise level `level` on; raises UserError for none above 0 and up to 1."""
        if not 0 < level <= 1:
            raise UserError(f"a strength is above 0 and at most 1, not {level:g}")
        times = self._drawing_times()
        first = times[0] if level == 1 else min(times[0], self._time_of(level / (1 - level)))
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


def halves(precision: Literal["fp32", "bf16"] | None, device: torch.device) -> bool:
    """Whether to draw in bf16: where it is asked for, or left to the machine and multiplied in there."""
    return precision == "bf16" or (precision is None and _multiplies_bf16(device))


def _multiplies_bf16(device: torch.device) -> bool:
    """Whether there are instructions for it: without them it is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]


def _shares(batch: Batch) -> Tensor:
    """For each picture a number in [0, 1], n 1 1 1, random within the picture's own stratum of the batch."""
    within = torch.special.ndtr(batch.normal(1, 1, 1, stream=1))
    place = torch.arange(batch.first, batch.first + len(batch), device=within.device)
    return (place[:, None, None, None] + within) / (batch.whole or len(batch))


def _channels_given(given: Holes | Shrunk | Grey | None, spec: DataSpec) -> int:
    """Of what is left of a picture, and one more of where it is known; raises UserError for what leaves nothing."""
    if given is None:
        return 0
    if isinstance(given, Grey) and spec.channels == 1:
        raise UserError("these pictures are grey already: give pictures in color, with --channels 3 where it is needed")
    if isinstance(given, Shrunk) and min(spec.height, spec.width) < 2 * given.factor:
        side = min(spec.height, spec.width)
        raise UserError(f"pictures of {side} pixels cannot be shrunk by {given.factor}: set method.given.factor lower")
    return 1 + (1 if isinstance(given, Grey) else spec.channels)

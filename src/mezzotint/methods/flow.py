"""Flow matching and diffusion (Lipman et al. 2023; Liu et al. 2023; Ho et al. 2020; Karras et al. 2022), one method.

A network says what is picture and what is noise in a mixture of both. Whatever it was taught to say, it is turned into
the velocity of a path from noise to picture (`ops/paths.py`), which `methods/following.py` follows.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.losses import flow
from mezzotint.method import MethodConfig
from mezzotint.methods.following import Drawing, Following, time_of
from mezzotint.networks.dit import DitConfig
from mezzotint.networks.unet import UnetConfig
from mezzotint.ops import degrade, editing, paths
from mezzotint.ops.degrade import Edges, Given, Grey, Holes, Shrunk
from mezzotint.ops.editing import Degrade
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.ops.paths import Path
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


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
    given: Given | None = None
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
        if self.pairing and self.given is not None:
            raise ValueError("pairing gives what is given noises of its own, unlike drawing: set pairing=false")

    def build(self, spec: DataSpec) -> "Flow":
        """The network with fresh weights; raises UserError for guidance from a class that is never left out."""
        made = Flow(self, spec)
        made.check_guidance(self.drawing.guidance)
        return made


LOOKS = 4
"""Times at which a picture's error is taken when it is judged."""
STEPS_OF_RESTORING, STEPS_WHEN_TRAINED = (20, 5), (10, 2)
"""Steps from noise to a picture of which something is known, and how often each is taken."""


class Flow(Following):
    """One phase, one group: the network."""

    phases = (Phase("fit", trains=("network",)),)

    def __init__(self, config: FlowConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.beside = _channels_given(config.given, spec)
        self.network = config.network.build(replace(spec, channels=spec.channels + self.beside), self.classes)
        self.path, self.drawing = Path(config.path), config.drawing
        self.most_noise, self.unlabelled = config.most_noise, config.unlabelled
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
                last = 1.0 if c.most_noise is None else time_of(self.path, c.most_noise)
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
        """Pictures of which `degrade` would make `seen`; by `editing.restored`, which asks that it is linear.

        A network that was trained for that very loss is shown what is seen. Edges, which are not linear, can only be
        shown: raises UserError for a network that was not trained for them.
        """
        trained = degrade == self.config.given
        shown = self._shown(self.beside_of(seen)) if trained else self
        if isinstance(degrade, Edges):
            if not trained:
                raise UserError("a picture is drawn from its edges by a model that was trained for that: flow-edges")
            return shown._drawn(seeds, self._or_any(labels, seen))
        return shown._led(seen, degrade, seeds, labels, trained)

    def _led(
        self, seen: Tensor, degrade: Degrade, seeds: Sequence[int], labels: Labels | None, trained: bool
    ) -> Images:
        """Pictures drawn so that they fit what is seen; with fewer looks where the network was trained for that."""
        steps, returns = STEPS_WHEN_TRAINED if trained else STEPS_OF_RESTORING
        times = replace(self.drawing, steps=steps).times(self.path, self.most_noise)
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


def _shares(batch: Batch) -> Tensor:
    """For each picture a number in [0, 1], n 1 1 1, random within the picture's own stratum of the batch."""
    within = torch.special.ndtr(batch.normal(1, 1, 1, stream=1))
    place = torch.arange(batch.first, batch.first + len(batch), device=within.device)
    return (place[:, None, None, None] + within) / (batch.whole or len(batch))


def _channels_given(given: Given | None, spec: DataSpec) -> int:
    """Of what is left of a picture, and one more of where it is known; raises UserError for what leaves nothing."""
    if given is None:
        return 0
    if isinstance(given, Grey) and spec.channels == 1:
        raise UserError("these pictures are grey already: give pictures in color, with --channels 3 where it is needed")
    if isinstance(given, Shrunk) and min(spec.height, spec.width) < 2 * given.factor:
        side = min(spec.height, spec.width)
        raise UserError(f"pictures of {side} pixels cannot be shrunk by {given.factor}: set method.given.factor lower")
    return 1 + (1 if isinstance(given, Grey) else spec.channels)

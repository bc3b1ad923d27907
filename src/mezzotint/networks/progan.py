"""A generator and a discriminator that grow with the training (Karras et al. 2018, "Progressive growing of GANs").

`level` says how much is open: 0 is the smallest picture, k the one that has doubled k times, and between two whole
numbers the new layers are faded in (figure 2). It is a state of the network, set by `grow` from the share of the
training that is done, so that a checkpoint or a snapshot draws at the level where it was taken. Pictures come and go at
their full size all the time; what is not open yet is bridged by equal pixels or by means of 2×2.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.normalization import MinibatchDeviation, PixelNorm, couples_pictures
from mezzotint.networks.parts import Conv2d, MapFromVector, VectorFromMap, doublings, with_class
from mezzotint.networks.weights import equalized
from mezzotint.types import DataSpec, Images, Kinds, Labels

LEAK = 0.2
STEPS = 2**16
"""Levels are kept as whole numbers of this part, which an average of weights copies and does not blur."""


def level_at(progress: float, doublings: int, grown: float) -> float:
    """How much is open at `progress`: for each doubling a rest and a fade of equal length, all done at `grown`."""
    steps = min(progress / grown, 1.0) * doublings
    whole = math.floor(steps)
    return min(float(doublings), whole + max(0.0, 2 * (steps - whole) - 1))


class _Growing(nn.Module):
    """What both networks have in common: the level."""

    level: Tensor

    def __init__(self, times: int, grown: float) -> None:
        super().__init__()
        self.times, self.grown = times, grown
        self.register_buffer("level", torch.tensor(0))

    def grow(self, progress: float) -> None:
        """Open what is due at `progress` in [0, 1]."""
        self.level.fill_(round(level_at(progress, self.times, self.grown) * STEPS))

    def stage(self) -> tuple[int, float]:
        """The newest stage, and how far it has faded in: in (0, 1]."""
        level = int(self.level) / STEPS
        stage = math.ceil(level)
        return stage, 1.0 if stage == 0 else level - (stage - 1)


def _mean(images: Tensor, times: int) -> Tensor:
    return F.avg_pool2d(images, 2**times) if times else images


def _equal(images: Tensor, times: int) -> Tensor:
    return F.interpolate(images, scale_factor=2.0**times, mode="nearest") if times else images


def _convolution(inputs: int, outputs: int, kernel: int = 3, gain: float = 2**0.5) -> nn.Module:
    return equalized(Conv2d(inputs, outputs, kernel, 1, kernel // 2), gain)


@dataclass(frozen=True, kw_only=True)
class _Growth:
    """Width of either network, and by when it is grown."""

    width: int = 32
    """Channels of the stage next to the pixels, twice as many in the one beyond and so on up to `most`."""
    most: int = 128
    grown: float = 0.6
    """Progress at which everything is open; the same in both networks."""

    def __post_init__(self) -> None:
        """Raise ValueError for a growth that never ends or has no time."""
        if not 0 < self.grown <= 1:
            raise ValueError("grown is a share of the training, above 0 and up to 1")


@dataclass(frozen=True, kw_only=True)
class ProganGeneratorConfig(_Growth):
    """Width of the generator, and by when it is grown."""

    def build(self, spec: DataSpec, latent: int, classes: int) -> "ProganGenerator":
        """A generator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return ProganGenerator(self, spec, latent, classes)


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each with leaky ReLU and pixel norm (the paper's table 2)."""
    first, second = _convolution(inputs, outputs), _convolution(outputs, outputs)
    return nn.Sequential(first, nn.LeakyReLU(LEAK), PixelNorm(), second, nn.LeakyReLU(LEAK), PixelNorm())


class ProganGenerator(_Growing):
    """Noise of length 1 per number → a small map → stages that double it; each stage can paint."""

    def __init__(self, config: ProganGeneratorConfig, spec: DataSpec, latent: int, classes: int) -> None:
        side, times = doublings(spec)
        super().__init__(times, config.grown)
        self.classes = classes
        widths = [min(config.most, config.width * 2**i) for i in reversed(range(times + 1))]
        project = equalized(nn.Linear(latent + classes, widths[0] * side * side), 2**0.5 / 4)
        opening = [project, MapFromVector(widths[0], side), nn.LeakyReLU(LEAK), PixelNorm()]
        self.start = nn.Sequential(*opening, _convolution(widths[0], widths[0]), nn.LeakyReLU(LEAK), PixelNorm())
        self.stages = nn.ModuleList(_stage(widths[i], widths[i + 1]) for i in range(times))
        self.paint = nn.ModuleList(_convolution(width, spec.channels, 1, 1.0) for width in widths)
        self.norm = PixelNorm()

    def forward(self, z: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """Pictures of `z` at the size of the data, not held in [-1, 1], with the detail that is open."""
        stage, share = self.stage()
        x = before = self.start(with_class(self.norm(z), labels, self.classes))
        for layers in list(self.stages)[:stage]:
            before, x = x, layers(_equal(x, 1))
        images = self.paint[stage](x)
        if share < 1:
            images = torch.lerp(_equal(self.paint[stage - 1](before), 1), images, share)
        return _equal(images, self.times - stage)


@dataclass(frozen=True, kw_only=True)
class ProganDiscriminatorConfig(_Growth):
    """Width of the discriminator, and by when it is grown."""

    deviation: bool = True
    """Show the discriminator how much the pictures of a group differ, which makes each logit depend on its company."""

    def build(self, spec: DataSpec, classes: int) -> "ProganDiscriminator":
        """A discriminator of pictures of `spec`; raises UserError for sides that cannot be made by doubling."""
        return ProganDiscriminator(self, spec, classes)


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each with leaky ReLU, and a mean over 2×2 (the paper's table 2)."""
    first, second = _convolution(inputs, inputs), _convolution(inputs, outputs)
    return nn.Sequential(first, nn.LeakyReLU(LEAK), second, nn.LeakyReLU(LEAK), nn.AvgPool2d(2))


class ProganDiscriminator(_Growing):
    """The generator's mirror: each stage can look, and halves the side → minibatch deviation → one logit."""

    def __init__(self, config: ProganDiscriminatorConfig, spec: DataSpec, classes: int) -> None:
        side, times = doublings(spec)
        super().__init__(times, config.grown)
        widths = [min(config.most, config.width * 2**i) for i in reversed(range(times + 1))]
        act = nn.LeakyReLU(LEAK)
        self.look = nn.ModuleList(nn.Sequential(_convolution(spec.channels, width, 1), act) for width in widths)
        self.stages = nn.ModuleList(_halving(widths[i + 1], widths[i]) for i in range(times))
        top = widths[0]
        self.width = top
        """Number of features."""
        deviation = [MinibatchDeviation()] if config.deviation else []
        first = _convolution(top + len(deviation), top)
        last = equalized(nn.Linear(top * side * side, top))
        self.top = nn.Sequential(*deviation, first, act, VectorFromMap(), last, act)
        self.head = equalized(nn.Linear(top, 1), 1.0)
        self.projection = equalized(nn.Embedding(classes, top), 1.0) if classes else None

    @property
    def couples_pictures(self) -> bool:
        """Whether a picture's logit depends on the others of its training batch."""
        return couples_pictures(self)

    def shown(self, images: Images) -> Images:
        """Real pictures with the detail that is open: what the generator could draw by now."""
        stage, share = self.stage()
        small = _mean(images, self.times - stage)
        if share < 1:
            small = torch.lerp(_equal(_mean(small, 1), 1), small, share)
        return _equal(small, self.times - stage)

    def features(self, images: Images) -> Float[Tensor, "n f"]:
        """What the logit is taken from."""
        stage, share = self.stage()
        images = _mean(images, self.times - stage)
        x = self.look[stage](images)
        for i in reversed(range(stage)):
            x = self.stages[i](x)
            if i == stage - 1 and share < 1:
                x = torch.lerp(self.look[i](_mean(images, 1)), x, share)
        return self.top(x)

    def judge(self, features: Float[Tensor, "n f"], labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per row of features."""
        logits = self.head(features).squeeze(1)
        if self.projection is None:
            return logits
        assert labels is not None, "a conditional discriminator needs labels"
        return logits + (features * self.projection(labels)).sum(1)

    def forward(self, images: Images, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """One logit per picture."""
        return self.judge(self.features(images), labels)

"""The words that every floor speaks: images, batches, phases, losses and what a method is able to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Images = Float[Tensor, "n c h w"]
"""Pictures as the house sees them: float in [-1, 1], channels first, one (grey) or three (RGB) channels."""

Labels = Int[Tensor, " n"]
"""One class index per picture, int64."""


@dataclass(frozen=True)
class DataSpec:
    """What a data set decides about a network: the shape of its pictures and its classes."""

    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()
    count: int = 0
    """Training pictures."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture, (c, h, w)."""
        return self.channels, self.height, self.width

    @property
    def dimensions(self) -> int:
        """Numbers in one picture, c·h·w: what bits per dimension are divided by."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Phase:
    """One turn within a training step: which groups of parameters it trains, and how often it is due."""

    name: str
    trains: tuple[str, ...]
    every: int = 1
    """Take this turn every so many steps."""


@dataclass(frozen=True)
class Loss:
    """A scalar to descend and the named parts of it to log (detached scalars)."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True)
class Batch:
    """A (micro-)batch on its device, with the keys from which a method draws its noise.

    Noise is a function of (seed, images seen) alone: it is drawn for the whole batch and cut to the
    micro-batch, so neither a resume nor the size of micro-batches changes it.
    """

    images: Images
    labels: Labels | None = None
    progress: float = 0.0
    """Share of the budget that is spent, in [0, 1]."""
    seed: int = 0
    """Key of this step's noise."""
    first: int = 0
    """Where this micro-batch begins in its batch."""
    whole: int = 0
    """Pictures in the whole batch; 0 when this is the whole batch."""

    def __len__(self) -> int:
        return self.images.shape[0]

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Standard normal noise of shape (n, *shape); another `stream` is independent noise."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        noise = torch.randn(self.whole or len(self), *shape, generator=generator)
        noise = noise[self.first : self.first + len(self)]
        return noise.to(self.images.device, self.images.dtype)


@runtime_checkable
class Embeds(Protocol):
    """Brings pictures to a space."""

    def features(self, images: Images) -> Float[Tensor, "n features"]:
        """What the last layer sees: the coordinates in which distances between pictures mean something."""
        ...

    def spatial(self, images: Images) -> Float[Tensor, "n d"]:
        """What layers halfway see, place by place (`ops.places`)."""
        ...


@runtime_checkable
class Classifies(Embeds, Protocol):
    """Recognises: pictures to class scores."""

    def classify(self, images: Images) -> Float[Tensor, "n classes"]:
        """Logits, one per class."""
        ...


@runtime_checkable
class Generates(Protocol):
    """Draws new pictures."""

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; a seed draws the same picture in any company."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Has a latent space with a way in and a way out."""

    def encode(self, images: Images, labels: Labels | None = None) -> Float[Tensor, "n latent"]:
        """The latent mean of each picture."""
        ...

    def decode(self, latents: Float[Tensor, "n latent"], labels: Labels | None = None) -> Images:
        """The expected picture of each latent."""
        ...


@runtime_checkable
class HasLikelihood(Protocol):
    """Bounds the probability of pictures."""

    def elbo(self, images: Images, labels: Labels | None, seed: int) -> Float[Tensor, " n"]:
        """A lower bound on log p(x) of each picture in nats, of pictures with 256 levels a channel."""
        ...


@runtime_checkable
class WeighsCodes(HasLikelihood, Protocol):
    """Bounds the probability of pictures the tighter the more codes are drawn for each (Burda et al. 2016)."""

    def log_weight(self, images: Images, labels: Labels | None, seed: int) -> Float[Tensor, " n"]:
        """Log p(x, z)/q(z|x) in nats at one code z drawn from `seed`: the mean of its exponential is p(x)."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """Tells pictures from noise."""

    def denoising_error(self, images: Images, labels: Labels | None, seed: int) -> Float[Tensor, " n"]:
        """What the training descends, of each picture, at fixed amounts of noise drawn from `seed`."""
        ...


@runtime_checkable
class DrawsInSteps(Generates, Protocol):
    """Draws by solving an equation, in more or fewer steps."""

    def drawing_with(
        self, *, solver: str | None = None, steps: int | None = None, guidance: float | None = None
    ) -> "DrawsInSteps":
        """The same network drawing in another way; raises UserError for a way that there is not."""
        ...


@runtime_checkable
class FlowsBack(Protocol):
    """Takes pictures to the noise that they are drawn from, and knows by that how dense they lie."""

    def to_noise(self, images: Images, labels: Labels | None = None, steps: int = 16) -> Images:
        """The noise of each picture, of its shape."""
        ...

    def from_noise(self, noise: Images, labels: Labels | None = None, steps: int = 16) -> Images:
        """The inverse of `to_noise`."""
        ...

    def log_density(self, images: Images, labels: Labels | None, seed: int, steps: int = 16) -> Float[Tensor, " n"]:
        """An estimate of log p(x) of each picture in nats, p a density; by a solver, so no bound."""
        ...

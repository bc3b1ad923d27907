"""The words that every floor speaks: images, batches, phases, losses and what a method is able to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Images = Float[Tensor, "n c h w"]
"""Pictures as the house sees them: float in [-1, 1], channels first, one (grey) or three (RGB) channels."""

Clips = Float[Tensor, "n _ c h w"]
"""Frames in time as the house sees them: n × t × c × h × w, float in [-1, 1], of any number of frames t."""

Labels = Int[Tensor, " n"]
"""One class index per picture, int64."""

Boxes = Float[Tensor, "n _ 6"]
"""Up to m boxes in each picture: class, left, top, right, bottom in pixels, and a sixth number. A class of -1 is no box
but padding. Of given boxes the sixth number is 1 where the box does not count (a crowd, a thing that can hardly be
seen) and else 0; of found ones it is how certain they are, in [0, 1]."""


Kinds = Int[Tensor, " n"] | Float[Tensor, "n classes"]
"""Classes to draw: one index per picture, or shares of several classes, which sum to one."""


@dataclass(frozen=True)
class DataSpec:
    """What a data set decides about a network: the shape of its pictures and its classes."""

    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()
    count: int = 0
    """Training pictures."""
    counts: tuple[int, ...] = ()
    """Training pictures of each class; empty where it is not known."""
    things: tuple[str, ...] = ()
    """What the boxes hold, in a data set with boxes."""
    frames: int = 1
    """Frames of a clip; 1 for still pictures."""

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "DataSpec":
        """From what JSON gives back, where tuples are lists."""
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**kept)

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
    begins: float = 0.0
    """Progress of the run from which on it is taken."""
    ends: float = 1.0
    """Progress before which it is taken."""

    def lasts(self, progress: float) -> bool:
        """Whether it is taken at this progress of the run at all."""
        return self.begins <= progress and (progress < self.ends or self.ends >= 1)


@dataclass(frozen=True)
class Loss:
    """A scalar to descend and the named parts of it to log (detached scalars)."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True)
class Batch:
    """A (micro-)batch on its device, with the keys from which a method draws its noise.

    Noise is a function of (seed, images seen) alone: it is drawn for the whole batch and cut to the
    micro-batch, so neither a resume nor the size of micro-batches changes it. What the pictures of a micro-batch
    do to one another does depend on its size: batch norm, and `losses.mixing`, whose partners are within it.
    """

    images: Images | Clips
    labels: Labels | None = None
    progress: float = 0.0
    """Share of the budget that is spent, in [0, 1]."""
    seed: int = 0
    """Key of this step's noise."""
    first: int = 0
    """Where this micro-batch begins in its batch."""
    whole: int = 0
    """Pictures in the whole batch; 0 when this is the whole batch."""
    targets: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """What is to be learned of each picture beside its class, by name; rows as in `images` (`boxes`: see `Boxes`)."""
    growth: float | None = None
    """How far a network that grows is to be, as a share of all; None: as far as `progress`."""

    def __len__(self) -> int:
        return self.images.shape[0]

    def normal(self, *shape: int, stream: int = 0) -> Tensor:
        """Standard normal noise of shape (n, *shape); another `stream` is independent noise."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        noise = torch.randn(self.whole or len(self), *shape, generator=generator)
        noise = noise[self.first : self.first + len(self)]
        return noise.to(self.images.device, self.images.dtype)

    def uniform(self, count: int, stream: int = 0) -> Tensor:
        """Numbers in [0, 1), n × count, on the CPU; another `stream` is independent of them."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        numbers = torch.rand(self.whole or len(self), count, generator=generator)
        return numbers[self.first : self.first + len(self)]


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
class Detects(Protocol):
    """Finds things in pictures."""

    def detect(self, images: Images) -> Boxes:
        """What is found in each picture, surest first; empty places have the class -1."""
        ...


@runtime_checkable
class ShowsWhere(Protocol):
    """Recognises by maps that know of places."""

    def maps(self, images: Images) -> Float[Tensor, "n channels rows columns"]:
        """The last layer that knows of places."""
        ...

    def logits_of_maps(self, maps: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits of what `maps` gives."""
        ...


@runtime_checkable
class Calibrates(Protocol):
    """Recognises with probabilities that were compared with what came true."""

    temperature: float
    """What its logits are divided by."""


@runtime_checkable
class Generates(Protocol):
    """Draws new pictures."""

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed; a seed draws the same picture in any company."""
        ...


@runtime_checkable
class DrawsPairs(Generates, Protocol):
    """Draws two kinds of pictures that belong together."""

    def generate_pairs(self, seeds: Sequence[int], labels: Labels | None = None) -> tuple[Images, Images]:
        """For each seed the picture that `generate` draws, and its partner."""
        ...


@runtime_checkable
class Decodes(Generates, Protocol):
    """Draws from latents that may be chosen."""

    def latents(self, seeds: Sequence[int]) -> Float[Tensor, "n latent"]:
        """What `generate` draws the pictures of these seeds from."""
        ...

    def decode(self, latents: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """The picture of each latent."""
        ...

    def unclamped(self, latents: Float[Tensor, "n latent"], labels: Kinds | None = None) -> Images:
        """The same before it is held in [-1, 1], for those who ask for gradients."""
        ...

    def entrance(self) -> Float[Tensor, "rows latent"]:
        """The weights that a latent is first multiplied by."""
        ...


@runtime_checkable
class Truncates(Generates, Protocol):
    """Draws from noise that may be held near its middle."""

    def truncated(self, bound: float) -> "Truncates":
        """The same networks, drawing from noise within `bound` standard deviations; raises UserError for none."""
        ...


@runtime_checkable
class Discriminates(Generates, Protocol):
    """Draws against a judge, who may be asked."""

    def logits(self, images: Images, labels: Labels | None = None) -> Float[Tensor, " n"]:
        """How much each picture looks real to the discriminator; higher is more real."""
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
class Forecasts(Protocol):
    """Continues clips."""

    @property
    def context(self) -> int:
        """Frames that it looks at before its first forecast."""
        ...

    def forecast(self, frames: Clips, horizon: int, seed: int | Sequence[int] = 0) -> Clips:
        """The `horizon` frames that follow; a method that knows several futures draws by `seed`, one or one a clip."""
        ...


@runtime_checkable
class Dreams(Forecasts, Protocol):
    """Makes clips out of noise alone."""

    @property
    def dreams(self) -> bool:
        """Whether this one was trained to."""
        ...

    def dream(self, seeds: Sequence[int], frames: int) -> Clips:
        """One clip per seed; a seed makes the same clip in any company."""
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


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to draw in steps, where that is asked for; None leaves it as the model has it."""

    solver: str | None = None
    steps: int | None = None
    """From noise to picture."""
    schedule: str | None = None
    """Where the steps are."""
    guidance: float | None = None
    """How far to go towards what is typical of the class; 1 is none."""
    guidance_between: tuple[float, float] | None = None
    """The least and the greatest noise level at which to guide, from 0 (picture) to 1 (noise)."""


@runtime_checkable
class DrawsInSteps(Generates, Protocol):
    """Draws by solving an equation, in more or fewer steps."""

    @property
    def way_of_drawing(self) -> str:
        """In which steps, for score cards."""
        ...

    def drawing_with(self, way: Way) -> "DrawsInSteps":
        """The same network drawing in another way; raises UserError for a way that there is not."""
        ...


@runtime_checkable
class TakesGuide(DrawsInSteps, Protocol):
    """Draws better with a worse one of its kind beside it."""

    def guided_by(self, worse: Any) -> "TakesGuide":
        """The same network, drawing away from what `worse` says; raises UserError for one that does not fit."""
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


@runtime_checkable
class Redraws(Protocol):
    """Draws pictures from what is left of them, if it was trained so."""

    beside: int
    """Channels of what is left; 0 for a model that was not."""

    def redrawn(self, images: Images, labels: Labels | None, seed: int) -> tuple[Images, Images]:
        """What is left of pictures, lost as in training, and the pictures drawn from that."""
        ...


@runtime_checkable
class Edits(Protocol):
    """Changes pictures by what it knows of pictures. Seeds decide what is drawn anew; without labels, of any class."""

    def complete(
        self, images: Images, hole: Float[Tensor, "n 1 h w"], seeds: Sequence[int], labels: Labels | None = None
    ) -> Images:
        """The pictures with something new where `hole` is 1; where it is 0 they stay as they are, to the bit."""
        ...

    def restore(
        self,
        seen: Float[Tensor, "n seen_c seen_h seen_w"],
        degrade: Callable[[Images], Tensor],
        seeds: Sequence[int],
        labels: Labels | None = None,
    ) -> Images:
        """Pictures of which `degrade`, a linear function, would make `seen`."""
        ...

    def vary(self, images: Images, strength: float, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """Pictures like these: noise is added, up to the level `strength` in (0, 1], and taken out again."""
        ...

    def move(self, images: Images, strength: float, labels: Labels, others: Labels, steps: int = 16) -> Images:
        """Each picture with another class: along the flow to the noise level `strength` and back as of `others`."""
        ...

    def walk(
        self,
        first: Float[Tensor, "1 c h w"],
        second: Float[Tensor, "1 c h w"],
        shares: Sequence[float],
        labels: Labels | None = None,
        others: Labels | None = None,
        steps: int = 16,
    ) -> Float[Tensor, "shares c h w"]:
        """One picture for each of `shares`, from 0 (`first`) to 1 (`second`), their noises on an arc."""
        ...


@runtime_checkable
class Compresses(Protocol):
    """Brings pictures into few bytes, at the cost of some of what they show."""

    def shrunk(self, images: Images, quality: int) -> tuple[Images, Float[Tensor, " n"]]:
        """Pictures as they come back from a quality of 1 … 100, and the bits of each, by the coder's own tables."""
        ...

    def rate_distortion(self, images: Images, quality: int) -> Float[Tensor, " n"]:
        """What the training descends, of each picture at one quality: lower is better, 0 is perfect."""
        ...

"""Recipe: everything that decides a run, as one frozen value that goes to JSON and back."""

import json
from dataclasses import dataclass, field
from typing import Literal

from mezzotint import codec
from mezzotint.data.loader import Augment
from mezzotint.errors import UserError
from mezzotint.method import MethodConfig

FORMAT = 1
"""Number of the recipe's format on disk; a newer one is refused in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which pictures, and how they are brought to one shape."""

    source: str = "digits"
    """A named data set, a folder, a film or an .npz file."""
    size: int | None = None
    """Side of the square pictures in pixels; the data's own where it is not given."""
    channels: int | None = None
    """1 grey, 3 RGB; the data's own where it is not given."""
    crop: Literal["center", "fit", "stretch", "cut"] = "center"
    frames: int | None = None
    """Frames of a clip; None for still pictures."""
    stride: int | None = None
    """Frames from the beginning of a clip to that of the next; half a clip where it is not given."""
    augment: Augment = Augment()
    balance: float = 0.0
    """How far classes are shown equally often: 0 as they are, 1 all alike (`data.loader.Batches`)."""

    def __post_init__(self) -> None:
        """Raise ValueError for a balance that is none."""
        if not 0 <= self.balance <= 1:
            raise ValueError("balance must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How a group of parameters descends; the learning rate is `lr` times a schedule of progress.

    Progress is that of the part of the run in which the group is trained.
    """

    name: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad", "muon"] = "adam"
    lr: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.999)
    """Of Adam and AdamW, and of the AdamW that takes Muon's vectors."""
    momentum: float = 0.9
    """Of SGD, RMSprop and Muon (Nesterov's in SGD and Muon)."""
    eps: float = 1e-8
    weight_decay: float = 0.0
    """Decoupled for AdamW and Muon; added to the gradient by the others."""
    decay_vectors: bool = True
    """Whether biases, norms and other vectors decay too; of SGD, Adam, AdamW and Muon."""
    vector_lr: float = 1e-3
    """Muon only: learning rate of the AdamW that takes biases, norms and weights with a side below 16."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Shape of the decay to `final` after the warm-up."""
    warmup: float = 0.0
    """Share of progress over which the rate rises from zero."""
    decay_from: float = 0.0
    """Progress at which the decay begins."""
    final: float = 0.0
    """What is left of the rate at the end, as a share of `lr`."""
    l1: float = 0.0
    """Weight of the penalty sum |w| on weights (not on biases and norms)."""
    l2: float = 0.0
    """Weight of the penalty sum w² on weights (not on biases and norms)."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that nothing can descend with."""
        numbers = (self.lr, self.vector_lr, self.momentum, self.eps, self.weight_decay, self.l1, self.l2)
        if not all(0 <= x < float("inf") for x in numbers):
            raise ValueError("the numbers of an optimizer must be finite and not negative")
        if len(self.betas) != 2 or not all(0 <= x < 1 for x in self.betas):
            raise ValueError("betas are two numbers from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: wall-clock minutes from the start of the program, or pictures seen."""

    minutes: float | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of the two is given and positive."""
        if (self.minutes is None) == (self.images is None):
            raise ValueError("a budget is either minutes or images")
        if not 0 < (self.minutes or self.images or 0) < float("inf"):
            raise ValueError("a budget must be positive and finite")


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """An exponential average of the weights, whose half-life is a share of the images seen (so it needs no tuning)."""

    share: float = 0.05
    """Half-life as a share of the images seen so far; 0 keeps the latest weights."""
    every: int = 1
    """Steps between two updates of the average."""

    def __post_init__(self) -> None:
        """Raise ValueError for a half-life below zero or no steps between updates."""
        if self.share < 0 or self.every < 1:
            raise ValueError("averaging.share must not be negative and averaging.every at least 1")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the arithmetic runs on this machine. What is None is chosen by a probe, and then written into the run."""

    device: str | None = None
    precision: Literal["fp32", "bf16"] | None = None
    channels_last: bool | None = None
    threads: int | None = None
    """Given by the user, it is kept; chosen by the probe, it follows the load of the machine."""

    def __post_init__(self) -> None:
        """Raise ValueError for fewer than one thread."""
        if self.threads is not None and self.threads < 1:
            raise ValueError("execution.threads must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a run."""

    name: str
    method: MethodConfig
    optimizers: dict[str, Optimizer]
    """One per group of the method's parameters."""
    batch: int = 128
    micro_batch: int | None = None
    """Pictures per pass where the batch does not fit memory; gradients are averaged."""
    budget: Budget = field(default_factory=lambda: Budget(minutes=10))
    data: Data = Data()
    averaging: Averaging = Averaging()
    execution: Execution = Execution()
    clip_norm: float = 0.0
    """Bound on the norm of a phase's gradient; 0 is none."""
    seed: int = 0
    start: str | None = None
    """Hash of the weights that the run begins with (`start.safetensors` in its folder); None begins at random."""
    milestones: int = 8
    """Sample grids and validation scores, spread evenly over the run."""
    rollbacks: int = 3
    """Times that a run which fails goes back to its last healthy milestone with a remedy, before it stops; 0 only tells
    of troubles."""
    patience: int = 0
    """Stop early after so many milestones without a better validation score; 0 never does."""
    nonfinite_limit: int = 20
    """Steps in a row with a non-finite loss or gradient before the run stops; each one is refused."""
    checkpoint_seconds: float = 60.0
    """Seconds between two checkpoints: what a kill costs at most."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be trained with."""
        if self.batch < 1 or (self.micro_batch is not None and not 1 <= self.micro_batch <= self.batch):
            raise ValueError("batch must be at least 1 and micro_batch between 1 and batch")
        if min(self.milestones, self.rollbacks, self.patience, self.nonfinite_limit) < 0 or not 0 <= self.seed < 2**63:
            raise ValueError("milestones, rollbacks, patience, nonfinite_limit and seed must not be negative")
        if not 0 <= self.clip_norm < float("inf") or not self.checkpoint_seconds >= 0:
            raise ValueError("clip_norm and checkpoint_seconds must be finite and not negative")

    def to_json(self) -> str:
        """Readable JSON with the number of its format."""
        return json.dumps({"format": FORMAT, **codec.encode(self)}, indent=1)


def from_json(text: str, kinds: codec.Kinds, where: str = "recipe.json") -> Recipe:
    """The inverse of `Recipe.to_json`; `kinds` lists the methods that may be built (the catalog's)."""
    try:
        fields = json.loads(text)
        number = fields.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{where} is not a recipe of mezzotint (truncated or foreign); train again or restore it"
        ) from None
    if not isinstance(number, int) or number > FORMAT:
        raise UserError(f"{where} has format {number!r}, newer than this version reads ({FORMAT}); update mezzotint")
    return codec.decode(Recipe, fields, kinds)


def with_setting(recipe: Recipe, setting: str, kinds: codec.Kinds) -> Recipe:
    """`recipe` with one `key=value` changed; `optimizer.x` changes x of every optimizer."""
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise UserError(f"--set takes key=value, not {setting!r}")
    if path.startswith("optimizer."):
        for group in recipe.optimizers:
            recipe = codec.changed(recipe, f"optimizers.{group}.{path.removeprefix('optimizer.')}", text, kinds)
        return recipe
    if path in ("budget.images", "budget.minutes"):
        raise UserError("the budget is set by --minutes or --images")
    if path == "start":
        raise UserError("a run begins with the weights of another by --from RUN")
    if path in ("data.source", "data.size", "data.channels", "data.crop", "data.frames", "data.stride"):
        raise UserError(
            f"{path} is not set so: name the data after the recipe, and --size, --channels, --crop, --frames, --stride"
        )
    return codec.changed(recipe, path, text, kinds)

"""The hierarchical variational autoencoder: a ladder of codes, each expected from those above it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mezzotint.losses import divergence
from mezzotint.method import Method, MethodConfig
from mezzotint.methods.observation import Likelihood, Observation, Reading, Scale
from mezzotint.methods.vae import warmed
from mezzotint.networks.ladder import LadderConfig, stages
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class HvaeConfig(MethodConfig):
    """The ladder, how a picture is judged, and what keeps all rungs in use."""

    network: LadderConfig = LadderConfig()
    likelihood: Likelihood = "mixture"
    scale: Scale = "pixel"
    """Of the Gaussian and the logistic likelihoods: learned for each channel, or said by the decoder for each pixel."""
    components: int = 3
    """Of the mixture likelihood."""
    kl_warmup: float = 0.05
    """Share of progress over which the divergence's weight rises from zero."""
    free_nats: float = 1.0
    """What each rung may tell of a picture at no cost (Kingma et al. 2016, "free bits", of each picture here, so that
    pictures are not coupled), while learning; it fades out until half of the run is over."""
    balance: float = 0.0
    """Share of the divergence's gradient that is taken from the posterior and left to the prior (KL balancing in the
    manner of Hafner et al. 2021, equation 2); 0 is the bound itself."""
    drawn: Literal["expected", "sampled"] = "expected"
    """Draw the expected picture of the codes, or a picture of them, pixel noise and all."""
    temperature: float = 1.0
    """What the prior's scales are multiplied by when drawing."""
    conditional: bool = False
    """Code and draw by class, where the data have classes."""

    def __post_init__(self) -> None:
        """Raise ValueError for what means nothing."""
        if self.components < 1 or min(self.free_nats, self.temperature) < 0 or not 0 <= self.balance < 1:
            raise ValueError("components at least 1, free_nats and temperature not negative, balance from 0 to below 1")
        if self.drawn == "sampled" and self.likelihood != "mixture":
            raise ValueError("drawn=sampled goes with likelihood=mixture")

    def build(self, spec: DataSpec) -> "Hvae":
        """The network with fresh weights."""
        return Hvae(self, spec)


class Hvae(Method):
    """One phase, one group: the whole ladder."""

    phases = (Phase("fit", trains=("ladder",)),)

    def __init__(self, config: HvaeConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        door, _ = stages(spec, config.network.fold)
        self.observation = Observation(Reading(config.likelihood, config.scale, config.components), spec, door)
        self.ladder = config.network.build(spec, self.observation.raw, self.classes)
        self.sizes = [math.prod(shape) for shape in self.ladder.shapes]

    @property
    def latent(self) -> int:
        """Numbers in the codes of a picture, all rungs together."""
        return sum(self.sizes)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters are one group."""
        return {"ladder": list(self.parameters())}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The negative evidence lower bound in nats per picture, its divergence weighted and partly free."""
        log_likelihood, each = self._bound(batch, self.config.balance)
        kl = each.sum(0)
        free = self.config.free_nats * max(0.0, 1 - 2 * batch.progress)
        priced = each.clamp(min=free).sum(0) if free else kl
        total = (warmed(batch.progress, self.config.kl_warmup) * priced - log_likelihood).mean()
        parts = {"negative_elbo": (kl - log_likelihood).mean(), "kl": kl.mean(), "distortion": -log_likelihood.mean()}
        parts["idle_rungs"] = (each.mean(1) < 0.1).float().sum()
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def elbo(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """The evidence lower bound of each picture in nats, with one draw of the codes from `seed`."""
        log_likelihood, each = self._bound(Batch(images, labels, seed=seed), 0.0)
        return log_likelihood - each.sum(0)

    def log_weight(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """Log p(x, z)/q(z|x) of each picture at one z drawn from `seed`, in nats."""
        batch = Batch(images, labels, seed=seed)
        features, odds = self.ladder.features(images), []

        def pick(number: int, way: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
            moved, log_ratio = self.ladder.seen(number, way, features)
            noise = batch.normal(*mean.shape[1:], stream=number)
            code = mean + moved + (log_scale + log_ratio).exp() * noise
            expected = divergence.normal_log_density(code, mean, log_scale)
            own = divergence.normal_log_density(code, mean + moved, log_scale + log_ratio)
            odds.append((expected - own).flatten(1).sum(1))
            return code

        raw = self.ladder(pick, len(images), self._given(labels))
        return self.observation.log_probability(raw, images) + torch.stack(odds).sum(0)

    def encode(self, images: Images, labels: Labels | None = None) -> Tensor:
        """The codes of each picture, each the mean of its posterior given those above it: n × latent, topmost first."""
        features, codes = self.ladder.features(images), []

        def pick(number: int, way: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
            codes.append(mean + self.ladder.seen(number, way, features)[0])
            return codes[-1]

        self.ladder(pick, len(images), self._given(labels))
        return torch.cat([code.flatten(1) for code in codes], 1)

    def decode(self, latents: Tensor, labels: Labels | None = None) -> Images:
        """The expected picture of the codes of all rungs."""
        codes = latents.split(self.sizes, 1)
        raw = self.ladder(lambda number, way, mean, _: codes[number].view_as(mean), len(latents), self._given(labels))
        return self._expected(raw)

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed, rung by rung; classes come from `labels`, or from the seeds too."""
        device = next(self.parameters()).device
        labels = self.labels_for(seeds, labels)
        pixels = 2 * self.observation.numbers * math.prod(self.ladder.sides[0])
        *noises, last = normal_from_seeds(seeds, self.latent + pixels).to(device).split([*self.sizes, pixels], 1)
        warmth = self.config.temperature

        def pick(number: int, way: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
            return mean + warmth * log_scale.exp() * noises[number].view_as(mean)

        raw = self.ladder(pick, len(seeds), self._given(labels))
        if self.config.drawn == "expected":
            return self._expected(raw)
        uniforms = torch.special.ndtr(last).view(len(seeds), 2, self.observation.numbers, *self.ladder.sides[0])
        return self.observation.drawn(raw, uniforms, raw.new_empty(len(seeds), *self.spec.shape))

    def _expected(self, raw: Tensor) -> Images:
        return self.observation.expected(raw, raw.new_empty(len(raw), *self.spec.shape))

    def _given(self, labels: Labels | None) -> Labels | None:
        return labels if self.classes else None

    def _bound(self, batch: Batch, balance: float) -> tuple[Tensor, Tensor]:
        """Log p(x|z) of each picture and the divergence at each rung, rungs × n, codes drawn from the posterior."""
        features, found = self.ladder.features(batch.images), []

        def pick(number: int, way: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
            moved, log_ratio = self.ladder.seen(number, way, features)
            found.append(_balanced(moved, log_ratio, mean, log_scale, balance).flatten(1).sum(1))
            noise = batch.normal(*mean.shape[1:], stream=number)
            return mean + moved + (log_scale + log_ratio).exp() * noise

        raw = self.ladder(pick, len(batch), self._given(batch.labels))
        return self.observation.log_probability(raw, batch.images), torch.stack(found)


def _balanced(moved: Tensor, log_ratio: Tensor, mean: Tensor, log_scale: Tensor, balance: float) -> Tensor:
    """The divergence of each number; its gradient is shared between posterior and prior by `balance`."""
    if balance == 0:
        return divergence.normal_kl(moved, log_ratio, log_scale)
    where, how_wide = mean + moved, log_scale + log_ratio

    def between(at: Callable[[Tensor], Tensor], against: Callable[[Tensor], Tensor]) -> Tensor:
        m, s = against(mean), against(log_scale)
        return divergence.normal_kl(at(where) - m, at(how_wide) - s, s)

    def kept(x: Tensor) -> Tensor:
        return x

    # The values add up to the divergence; the posterior's gradient comes from the first term alone.
    return (1 - balance) * between(kept, kept) + balance * between(torch.detach, kept)

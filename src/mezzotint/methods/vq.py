"""Autoencoders whose codes are symbols (VQ-VAE, FSQ), and a learned prior over the symbols to draw from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.method import Method, MethodConfig
from mezzotint.methods.observation import Likelihood, Observation, Reading, Scale
from mezzotint.networks.code_map import CodeMapConfig, MapDecoder, MapEncoder
from mezzotint.networks.code_prior import CodePriorConfig
from mezzotint.networks.parts import widened
from mezzotint.networks.quantize import CodebookConfig, LevelsConfig, Quantized
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, DataSpec, Images, Labels, Loss, Phase


@dataclass(frozen=True, kw_only=True)
class VqConfig(MethodConfig):
    """The autoencoder, how its codes become symbols, how a picture is judged, and what symbols are drawn from."""

    network: CodeMapConfig = CodeMapConfig()
    quantizer: CodebookConfig | LevelsConfig = CodebookConfig()
    prior: CodePriorConfig = CodePriorConfig()
    likelihood: Likelihood = "logistic"
    scale: Scale = "channel"
    components: int = 4
    """Of the mixture likelihood."""
    commitment: float = 0.25
    """Weight of the codes' distance from their points (van den Oord et al. 2017, beta of equation 3), in nats for a
    distance of 1."""
    settled: float = 0.6
    """Share of progress after which the autoencoder stays as it is and the prior alone learns. Until then the prior
    learns beside it, so that it needs no run of its own."""
    conditional: bool = False
    """Draw by class, where the data have classes: the prior is told them, the autoencoder is not."""

    def __post_init__(self) -> None:
        """Raise ValueError for what means nothing."""
        if self.components < 1 or self.commitment < 0 or not 0 < self.settled <= 1:
            raise ValueError("components at least 1, commitment not negative, settled above 0 and at most 1")

    def build(self, spec: DataSpec) -> "Vq":
        """The networks with fresh weights."""
        return Vq(self, spec)


class Vq(Method):
    """Two groups, whose losses share no gradient: first both learn in one phase, then the prior alone."""

    codes_by_class = False

    def __init__(self, config: VqConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.classes = len(spec.classes) if config.conditional else 0
        self.quantizer = config.quantizer.build()
        self.encoder = MapEncoder(config.network, spec, self.quantizer.width)
        reading = Reading(config.likelihood, config.scale, config.components)
        self.observation = Observation(reading, spec, self.encoder.fold)
        self.decoder = MapDecoder(config.network, spec, self.quantizer.width, self.observation.raw)
        rows, columns = self.encoder.sides
        self.prior = config.prior.build(self.quantizer.symbols, rows * columns, self.classes)
        self.phases = (Phase("fit", trains=("autoencoder", "prior"), ends=config.settled),)
        if config.settled < 1:
            self.phases += (Phase("draw", trains=("prior",), begins=config.settled),)

    @property
    def latent(self) -> int:
        """Numbers in the quantized map of a picture."""
        return self.quantizer.width * self.prior.length

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The autoencoder, and the prior over its symbols."""
        halves = (self.encoder, self.decoder, self.observation)
        return {"autoencoder": [p for half in halves for p in half.parameters()], "prior": [*self.prior.parameters()]}

    def loss(self, batch: Batch, phase: str) -> Loss:
        """Nats per picture: what the decoder misses (and the commitment), and what the symbols cost under the prior."""
        learning = phase == "fit"
        with torch.set_grad_enabled(learning):
            raw_map, found = self._quantized(batch.images)
        parts: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.images.device)
        if learning:
            distortion = -self.observation.log_probability(self.decoder(found.values), batch.images)
            total = (distortion + self.config.commitment * found.commitment).mean()
            parts = {"distortion": distortion.mean().detach(), "commitment": found.commitment.mean().detach()}
            if self.training:
                self.quantizer.note(raw_map.detach(), found.symbols, batch.seed, batch.first, batch.whole)
        cost = self._cost(found.symbols, self._given(batch.labels)).mean()
        return Loss(total + cost, {**parts, "symbols": cost.detach()})

    def after_step(self, phase: str) -> None:
        """The codebook follows its codes."""
        self.quantizer.learn()

    def elbo(self, images: Images, labels: Labels | None, seed: int) -> Tensor:
        """A lower bound on log p(x) in nats: of the picture's own symbols and of the picture given them; no chance."""
        _, found = self._quantized(images)
        explained = self.observation.log_probability(self.decoder(found.values), images)
        return explained - self._cost(found.symbols, self._given(labels))

    def encode(self, images: Images, labels: Labels | None = None) -> Tensor:
        """The quantized map of each picture, n × latent."""
        return self._quantized(images)[1].values.flatten(1)

    def decode(self, latents: Tensor, labels: Labels | None = None) -> Images:
        """The expected picture of each map; its numbers need not be a quantizer's points."""
        raw = self.decoder(latents.view(len(latents), self.quantizer.width, *self.encoder.sides))
        return self.observation.expected(raw, raw.new_empty(len(raw), *self.spec.shape))

    def generate(self, seeds: Sequence[int], labels: Labels | None = None) -> Images:
        """One picture per seed, symbol by symbol; classes come from `labels`, or from the seeds too."""
        device = next(self.parameters()).device
        labels = self.labels_for(seeds, labels)
        uniforms = torch.special.ndtr(normal_from_seeds(seeds, self.prior.length).to(device))
        symbols = self.prior.draw(uniforms, self._given(labels)).view(len(seeds), *self.encoder.sides)
        return self.decode(self.quantizer.points_of(symbols).flatten(1))

    def _given(self, labels: Labels | None) -> Labels | None:
        return labels if self.classes else None

    def _quantized(self, images: Images) -> tuple[Tensor, Quantized]:
        raw_map = widened(self.encoder(images))
        return raw_map, self.quantizer(raw_map)

    def _cost(self, symbols: Tensor, labels: Labels | None) -> Tensor:
        """Negative log-probability of each picture's symbols under the prior."""
        rows = symbols.flatten(1)
        logits = widened(self.prior(rows, labels))
        return F.cross_entropy(logits.transpose(1, 2), rows, reduction="none").sum(1)

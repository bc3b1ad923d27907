"""Forecasting: a network that continues clips, and what its forecasts are held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.losses import adversarial, foresight
from mezzotint.method import Method, MethodConfig
from mezzotint.networks import weights
from mezzotint.networks.clip_discriminator import ClipDiscriminatorConfig
from mezzotint.networks.recurrent import Recurrent, RecurrentConfig
from mezzotint.networks.simvp import SimvpConfig
from mezzotint.networks.stochastic import Stochastic, StochasticConfig
from mezzotint.ops.noise import normal_from_seeds
from mezzotint.types import Batch, Clips, DataSpec, Loss, Phase

ERRORS = {
    "squared": foresight.squared,
    "absolute": foresight.absolute,
    "gradient": foresight.gradient_difference,
    "structure": foresight.structure,
}


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig(MethodConfig):
    """Which network forecasts, from how many frames, and what its errors cost."""

    network: RecurrentConfig | SimvpConfig | StochasticConfig = RecurrentConfig()
    context: int = 10
    """Frames that are given; those of a clip behind them are forecast."""
    squared: float = 1.0
    """Weight of the squared error."""
    absolute: float = 0.0
    """Weight of the absolute error."""
    gradient: float = 0.0
    """Weight of the difference of slopes."""
    structure: float = 0.0
    """Weight of one minus the structural similarity."""
    adversarial: float = 0.0
    """Weight of a discriminator's opinion; 0 is none."""
    adversarial_from: float = 0.2
    """Progress at which that opinion begins to count."""
    game: Literal["non-saturating", "hinge", "least-squares"] = "non-saturating"
    discriminator: ClipDiscriminatorConfig = ClipDiscriminatorConfig()
    sampling_until: float = 0.5
    """Scheduled sampling: the chance that a recurrent network is shown the true frame instead of its own falls from one
    to zero up to this progress (Bengio et al. 2015, section 2.4, linear decay); 0 shows its own from the start. For
    simvp, which says all frames at once, it has no meaning."""
    kl_weight: float = 1e-4
    """Weight of a stochastic network's divergence in nats, beside errors that are means over numbers."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that mean nothing."""
        costs = [getattr(self, name) for name in ERRORS]
        if self.context < 1 or min(*costs, self.adversarial, self.sampling_until, self.kl_weight) < 0:
            raise ValueError("context must be at least 1 and weights not negative")
        if not any(costs):
            raise ValueError("one of squared, absolute, gradient and structure must have a weight")

    def build(self, spec: DataSpec) -> "Forecaster":
        """Raises UserError for still pictures and for clips without a frame behind the context."""
        if spec.frames <= self.context:
            raise UserError(
                f"a forecaster that looks at {self.context} frames needs clips of more, not of {spec.frames}: "
                "give --frames, or a smaller --set method.context"
            )
        return Forecaster(self, spec)


class Forecaster(Method):
    """One network that says frames, and where it is asked for one that tells them from recorded ones."""

    def __init__(self, config: ForecasterConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        if isinstance(config.network, SimvpConfig):
            self.network = config.network.build(spec, config.context)
        else:
            self.network = config.network.build(spec)
        self.discriminator = config.discriminator.build(spec) if config.adversarial else None
        self.game = adversarial.LOSSES[config.game]
        self.phases = (Phase("forecast", trains=("network",)),)
        if self.discriminator is not None:
            self.phases = (Phase("discriminator", trains=("discriminator",)), *self.phases)

    @property
    def context(self) -> int:
        """Frames that it looks at before its first forecast."""
        return self.config.context

    @property
    def dreams(self) -> bool:
        """Whether it can begin a clip from noise."""
        return isinstance(self.network, Stochastic)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The forecasting network, and the discriminator where there is one."""
        found = {"network": list(self.network.parameters())}
        if self.discriminator is not None:
            found["discriminator"] = list(self.discriminator.parameters())
        return found

    def loss(self, batch: Batch, phase: str) -> Loss:
        """The weighted errors of all said frames, averaged over the clips; or the discriminator's loss."""
        return self._judge(batch) if phase == "discriminator" else self._foresee(batch)

    def after_step(self, phase: str) -> None:
        """A step of the power method behind the discriminator's spectral norms."""
        if phase == "discriminator" and self.discriminator is not None:
            weights.advance(self.discriminator)

    def forecast(self, frames: Clips, horizon: int, seed: int | Sequence[int] = 0) -> Clips:
        """The `horizon` frames that follow, in [-1, 1]; by the last frames of the context where more are given.

        A stochastic network draws by `seed`: one for all clips, or one for each.
        """
        frames = frames[:, -self.context :]
        if frames.shape[1] < self.context:
            raise UserError(f"the model looks at {self.context} frames, and here are {frames.shape[1]}")
        if isinstance(self.network, Stochastic):
            seeds = seed if isinstance(seed, Sequence) else [seed] * len(frames)
            said = self.network.continued(frames, self._draws(seeds, self.context + horizon, frames))
        else:
            said = self.network(frames, horizon)[:, -horizon:]
        return said.clamp(-1, 1)

    def dream(self, seeds: Sequence[int], frames: int) -> Clips:
        """One clip per seed, from the first frame on out of noise; raises UserError for a network without it."""
        if not isinstance(self.network, Stochastic):
            raise UserError("this model cannot begin from noise: give it a clip, or train convlstm-vae")
        like = next(self.parameters()).new_zeros(len(seeds), 0, *self.spec.shape)
        return self.network.continued(like, self._draws(seeds, frames, like)).clamp(-1, 1)

    def _draws(self, seeds: Sequence[int], steps: int, like: Tensor) -> Tensor:
        """Noise of all steps, time first; the first steps of a seed are the same for any number of steps."""
        assert isinstance(self.network, Stochastic)
        return normal_from_seeds(seeds, steps, self.network.config.latent).transpose(0, 1).to(like)

    # Training.

    def _said(self, batch: Batch) -> tuple[Clips, Tensor]:
        """What is said of the last frames of each clip, and what a stochastic network's choices cost in nats."""
        clips, c = batch.images, self.context
        none = clips.new_zeros(len(clips))
        if isinstance(self.network, Stochastic):
            steps, latent = clips.shape[1], self.network.config.latent
            return self.network(clips, batch.normal(steps, latent, stream=1).transpose(0, 1), self._shown(batch))
        horizon = clips.shape[1] - c
        if isinstance(self.network, Recurrent):
            return self.network(clips[:, :c], horizon, clips[:, c:], self._fed(batch, horizon)), none
        return self.network(clips[:, :c], horizon), none

    def _fed(self, batch: Batch, horizon: int) -> Tensor | None:
        """Where a recurrent network is shown the true frame, n × (horizon - 1)."""
        until = self.config.sampling_until
        chance = 1 - batch.progress / until if until else 0.0
        if chance <= 0 or horizon == 1:
            return None
        return torch.special.ndtr(batch.normal(horizon - 1, stream=2).float()) < chance

    def _shown(self, batch: Batch) -> Tensor:
        """Which frames stand before the next one as they were, n × t: the context, and behind it those of `_fed`."""
        shown = torch.zeros(batch.images.shape[:2], dtype=torch.bool, device=batch.images.device)
        shown[:, : self.context] = True
        fed = self._fed(batch, shown.shape[1] - self.context)
        if fed is not None:
            shown[:, self.context : -1] = fed
        return shown

    def _foresee(self, batch: Batch) -> Loss:
        said, cost = self._said(batch)
        came = batch.images[:, -said.shape[1] :].to(said.dtype)
        parts = {name: error(said, came).mean() for name, error in ERRORS.items() if getattr(self.config, name)}
        total = torch.stack([getattr(self.config, name) * part for name, part in parts.items()]).sum()
        if isinstance(self.network, Stochastic):
            parts["kl"] = cost.mean()
            total = total + self.config.kl_weight * parts["kl"]
        if self.discriminator is not None:
            real, fake = self._pair(batch.images, said)
            with torch.no_grad():
                real_logits = self.discriminator(real)
            parts["adversarial"] = self.game.generator(real_logits, self.discriminator(fake)).mean()
            counts = float(batch.progress >= self.config.adversarial_from)
            total = total + counts * self.config.adversarial * parts["adversarial"]
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _judge(self, batch: Batch) -> Loss:
        assert self.discriminator is not None
        with torch.no_grad():
            said, _ = self._said(batch)
        real, fake = self._pair(batch.images, said)
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
        total = self.game.discriminator(real_logits, fake_logits).mean()
        parts = {"discriminator": total, "real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _pair(self, clips: Clips, said: Clips) -> tuple[Clips, Clips]:
        """A clip as it was, and with all behind the context as it was said."""
        horizon = clips.shape[1] - self.context
        return clips, torch.cat([clips[:, : self.context], said[:, -horizon:].to(clips.dtype)], 1)

"""Recipes that continue clips."""

from dataclasses import replace

from mezzotint.methods.forecaster import ForecasterConfig
from mezzotint.networks.recurrent import RecurrentConfig
from mezzotint.networks.simvp import SimvpConfig
from mezzotint.networks.stochastic import StochasticConfig
from mezzotint.recipe import Averaging, Optimizer, Recipe
from mezzotint.types import DataSpec


def _forecaster(name: str, spec: DataSpec, method: ForecasterConfig, lr: float = 0.02) -> Recipe:
    """Half of a clip is given, half is forecast; Muon, with which a recurrence leaves the mean of all frames sooner."""
    muon = Optimizer(name="muon", lr=lr, vector_lr=2e-3, schedule="cosine", warmup=0.02)
    return Recipe(
        name=name,
        method=replace(method, context=max(1, spec.frames // 2)),
        optimizers={"network": muon},
        batch=16,
        milestones=4,
        clip_norm=1.0,
        averaging=Averaging(share=0.02),
    )


def _patch(spec: DataSpec) -> int:
    """Side of the squares of pixels that become channels: maps of 16×16 to 31×31 for frames of 32 to 255 pixels."""
    patch = 2
    while patch < 8 and max(spec.height, spec.width) >= 32 * patch:
        patch *= 2
    return patch


def _recurrent(cell: str, spec: DataSpec, minutes: float) -> RecurrentConfig:
    """As wide as the budget feeds; a cell of PredRNN has twice the convolutions, so that it is half as wide."""
    width, layers = (64 if minutes < 60 else 128), (2 if minutes < 10 else 3)
    width = width // 2 if cell == "predrnn" else width
    return RecurrentConfig(cell=cell, width=width, layers=layers, patch=_patch(spec))  # pyright: ignore[reportArgumentType]


def convlstm(spec: DataSpec, minutes: float) -> Recipe:
    """Layers of ConvLSTM (Shi et al. 2015) that feed on what they say, with scheduled sampling."""
    return _forecaster("convlstm", spec, ForecasterConfig(network=_recurrent("convlstm", spec, minutes)))


def convgru(spec: DataSpec, minutes: float) -> Recipe:
    """The same of convolutional gated recurrent units (Ballas et al. 2016): three gates for four."""
    return _forecaster("convgru", spec, ForecasterConfig(network=_recurrent("convgru", spec, minutes)))


def predrnn(spec: DataSpec, minutes: float) -> Recipe:
    """PredRNN (Wang et al. 2017): a second memory wanders through the layers in zig-zag."""
    # Fed on its own frames at a rate of 0.02 the gradients of the wandering memory explode.
    return _forecaster("predrnn", spec, ForecasterConfig(network=_recurrent("predrnn", spec, minutes)), lr=0.005)


def simvp(spec: DataSpec, minutes: float) -> Recipe:
    """SimVP with gated attention (Gao et al. 2022; Tan et al. 2022): convolutions alone, all frames at once."""
    blocks, hidden = (4, 256) if minutes < 60 else (8, 512)
    network = SimvpConfig(blocks=blocks, hidden=hidden, patch=max(1, _patch(spec) // 2))
    return _forecaster("simvp", spec, ForecasterConfig(network=network))


def convlstm_gan(spec: DataSpec, minutes: float) -> Recipe:
    """ConvLSTM whose forecasts a discriminator of whole clips judges as well (Mathieu et al. 2016): sharper frames."""
    network = _recurrent("convlstm", spec, minutes)
    method = ForecasterConfig(network=network, gradient=0.1, adversarial=3e-3)
    recipe = _forecaster("convlstm-gan", spec, method)
    judge = Optimizer(name="adam", lr=4e-4, betas=(0.5, 0.99))
    return replace(recipe, optimizers={**recipe.optimizers, "discriminator": judge})


def convlstm_vae(spec: DataSpec, minutes: float) -> Recipe:
    """ConvLSTM with numbers drawn at each step (Chung et al. 2015; Denton & Fergus 2018): several futures, dreams."""
    network = StochasticConfig(core=_recurrent("convlstm", spec, minutes), latent=16)
    return _forecaster("convlstm-vae", spec, ForecasterConfig(network=network))

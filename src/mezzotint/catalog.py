"""The table of contents: recipes and what they are for, in plain dicts that import nothing heavy."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mezzotint import codec
from mezzotint.errors import UserError

if TYPE_CHECKING:
    from mezzotint.recipe import Recipe
    from mezzotint.types import DataSpec


@dataclass(frozen=True)
class Entry:
    """A recipe's line in the table."""

    module: str
    """Of mezzotint.recipes; the function is named as the recipe, with underscores."""
    purpose: str
    parameters: str
    """On Fashion-MNIST; of recipes for clips on moving-fashion, by budget."""
    clips: bool = False
    """Whether it is trained on clips instead of still pictures."""


RECIPES: dict[str, Entry] = {
    "beta-vae": Entry("vae", "fewer, more independent latent numbers: beta-VAE", "1.3 M"),
    "biggan": Entry("gan", "draw pictures by class: a narrow BigGAN", "0.3 M"),
    "cnn": Entry("recognize", "recognize pictures: a small residual net", "0.2 to 0.6 M"),
    "cnn-classic": Entry("recognize", "recognize pictures: the tutorials' three convolutions", "0.1 M"),
    "codec": Entry("lossy", "compress pictures with some loss: a hyperprior for all qualities", "0.8 M"),
    "cogan": Entry("gan", "draw pictures and their edges, by class: coupled GANs", "1.0 M"),
    "convgru": Entry("forecast", "continue clips: convolutional GRU", "0.4 to 2.3 M", clips=True),
    "convlstm": Entry("forecast", "continue clips: convolutional LSTM", "0.5 to 3.0 M", clips=True),
    "convlstm-gan": Entry(
        "forecast", "continue clips sharply: ConvLSTM and a discriminator", "1.0 to 3.6 M", clips=True
    ),
    "convlstm-vae": Entry("forecast", "continue clips in several ways, or dream them", "0.6 to 3.5 M", clips=True),
    "convnext": Entry("recognize", "recognize pictures: a ConvNeXt, for many pictures", "0.2 to 28 M"),
    "dcgan": Entry("gan", "draw pictures: convolutional GAN", "1.0 M"),
    "dcgan-tutorial": Entry("gan", "draw pictures: the TensorFlow tutorial's DCGAN", "2.5 M"),
    "ddpm": Entry("flow", "draw pictures: diffusion that predicts the noise", "0.7 to 5.3 M"),
    "densenet": Entry("recognize", "recognize pictures: a densely connected net", "0.1 to 7 M"),
    "detector": Entry("detect", "find things in pictures: boxes by their centers", "0.8 to 1.3 M"),
    "edm": Entry("flow", "draw pictures: diffusion with a preconditioned network", "0.7 to 5.3 M"),
    "flow": Entry("flow", "draw pictures: flow matching, by class", "0.7 to 5.3 M"),
    "flow-color": Entry("flow", "color grey pictures: flow matching", "0.7 to 5.3 M"),
    "flow-edges": Entry("flow", "draw pictures from their edges: flow matching", "0.7 to 5.3 M"),
    "flow-fast": Entry("flow", "draw pictures in one to four steps, by class: a distilled flow", "1.4 to 10.6 M"),
    "flow-inpaint": Entry("flow", "fill holes in pictures: flow matching", "0.7 to 5.3 M"),
    "flow-large": Entry("flow", "draw pictures, on a GPU or in hours: a large flow, by class", "30 to 60 M"),
    "flow-upscale": Entry("flow", "enlarge pictures: flow matching", "0.7 to 5.3 M"),
    "fsq": Entry("vae", "reconstruct, draw by class: symbols by rounding, and a prior over them", "1.9 M"),
    "gan-mlp": Entry("gan", "draw pictures: the tutorials' first GAN, a dense generator", "0.1 M"),
    "hvae": Entry("vae", "reconstruct, predict: a ladder of latent maps", "1.6 M"),
    "iwae": Entry("vae", "the convolutional VAE with a tighter bound: IWAE", "1.6 M"),
    "lapgan": Entry("gan", "draw pictures by class: a pyramid of GANs", "0.9 M"),
    "lossless": Entry("lossless", "compress pictures without loss: a predictor of pixels", "0.03 M"),
    "lsgan": Entry("gan", "draw pictures: convolutional GAN with least squares", "0.9 M"),
    "predrnn": Entry("forecast", "continue clips: PredRNN's wandering memory", "0.3 to 1.6 M", clips=True),
    "progan": Entry("gan", "draw pictures by class: a GAN that grows while it learns", "0.8 M"),
    "r3gan": Entry("gan", "draw pictures by class: relativistic GAN without norms", "0.5 M"),
    "resnet": Entry("recognize", "recognize pictures: a residual net as large as the budget admits", "0.1 to 21 M"),
    "simvp": Entry("forecast", "continue clips by convolutions alone: SimVP", "2.5 to 17.6 M", clips=True),
    "sngan": Entry("gan", "draw pictures by class: residual GAN with spectral normalization", "0.4 M"),
    "tc-vae": Entry("vae", "uncorrelated latent numbers: beta-TC-VAE", "1.3 M"),
    "vae": Entry("vae", "reconstruct, interpolate, draw: convolutional VAE", "1.6 M"),
    "vae-dense": Entry("vae", "reconstruct, interpolate, draw: the tutorials' dense VAE", "0.5 M"),
    "vae-gan": Entry("vae", "reconstruct, interpolate, draw: a VAE judged by a discriminator", "2.4 M"),
    "vicreg": Entry("recognize", "features without labels, to measure with: VICReg", "1.1 M"),
    "vit": Entry("recognize", "recognize pictures: a small vision transformer, for many pictures", "0.2 to 21 M"),
    "vq": Entry("vae", "reconstruct, draw by class: symbols of a learned book, and a prior over them", "1.8 M"),
    "wgan": Entry("gan", "draw pictures: Wasserstein GAN with clipped weights", "0.9 M"),
    "wgan-gp": Entry("gan", "draw pictures: Wasserstein GAN with a gradient penalty", "1.1 M"),
}


CHOOSERS: dict[str, Entry] = {
    "gan": Entry(
        "choose_generator", "draw pictures: the GAN that was measured best, by data and budget", "0.1 to 2.5 M"
    ),
    "generate": Entry(
        "choose_generator", "draw pictures: the flow, GAN or VAE that was measured best", "0.1 to 10.6 M"
    ),
    "recognize": Entry("choose", "recognize pictures: recipe and network by the data and the budget", "0.1 to 28 M"),
}
"""What picks a recipe: the function gives the recipe and sentences that say why."""


def measured(name: str) -> str:
    """Minutes and score on Fashion-MNIST, two CPU cores, or nothing (`recipes.measured.said`)."""
    return import_module("mezzotint.recipes.measured").said(name)


def entry(name: str) -> Entry:
    """The line of the recipe called `name`; raises UserError with the nearest right name."""
    known = RECIPES | CHOOSERS
    if name not in known:
        raise UserError(f"there is no recipe {name!r}: {codec.nearest(name, known)}")
    return known[name]


def recipe(name: str, spec: "DataSpec", minutes: float = 10.0) -> "Recipe":
    """The recipe called `name` for these data and this budget; raises UserError with the nearest right name."""
    return chosen(name, spec, minutes)[0]


def chosen(
    name: str, spec: "DataSpec", minutes: float = 10.0, images: int | None = None, started: bool = False
) -> tuple["Recipe", tuple[str, ...]]:
    """The recipe called `name`, or the one that the chooser of this name picks, and why (sentences, or none).

    What is said of a choice depends on whether so many `images` are the budget (the choice is then as for `minutes`),
    and whether the network is another run's (`started`).
    """
    function = _function(name)
    return function(spec, minutes, images, started) if name in CHOOSERS else (function(spec, minutes), ())


def described(name: str) -> str:
    """What the recipe or chooser called `name` is, with its paper; raises UserError with the nearest right name."""
    return inspect.getdoc(_function(name)) or ""


def _function(name: str) -> Callable[..., Any]:
    module = import_module(f"mezzotint.recipes.{entry(name).module}")
    return getattr(module, name.replace("-", "_"))


def kinds() -> codec.Kinds:
    """The methods that a recipe on disk may name."""
    from mezzotint.method import MethodConfig
    from mezzotint.methods.classifier import ClassifierConfig
    from mezzotint.methods.cogan import CoganConfig
    from mezzotint.methods.compressor import CompressorConfig
    from mezzotint.methods.detector import DetectorConfig
    from mezzotint.methods.fast import FastConfig
    from mezzotint.methods.flow import FlowConfig
    from mezzotint.methods.forecaster import ForecasterConfig
    from mezzotint.methods.gan import GanConfig
    from mezzotint.methods.hvae import HvaeConfig
    from mezzotint.methods.lapgan import LapganConfig
    from mezzotint.methods.predictor import PredictorConfig
    from mezzotint.methods.vae import VaeConfig
    from mezzotint.methods.vae_gan import VaeGanConfig
    from mezzotint.methods.vicreg import VicregConfig
    from mezzotint.methods.vq import VqConfig

    recognizing = (ClassifierConfig, DetectorConfig, VicregConfig)
    drawing = (CoganConfig, FastConfig, FlowConfig, GanConfig, LapganConfig)
    coding = (CompressorConfig, HvaeConfig, PredictorConfig, VaeConfig, VaeGanConfig, VqConfig)
    return {MethodConfig: (*recognizing, *drawing, *coding, ForecasterConfig)}

"""The table of contents: recipes and what they are for, in plain dicts that import nothing heavy."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

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
    """On Fashion-MNIST."""


RECIPES: dict[str, Entry] = {
    "biggan": Entry("gan", "draw pictures by class: a narrow BigGAN", "0.3 M"),
    "cnn": Entry("recognize", "recognize pictures: a small residual net", "0.2 to 0.6 M"),
    "cnn-classic": Entry("recognize", "recognize pictures: the tutorials' three convolutions", "0.1 M"),
    "cogan": Entry("gan", "draw pictures and their edges, by class: coupled GANs", "1.0 M"),
    "dcgan": Entry("gan", "draw pictures: convolutional GAN", "1.0 M"),
    "dcgan-tutorial": Entry("gan", "draw pictures: the TensorFlow tutorial's DCGAN", "2.5 M"),
    "ddpm": Entry("flow", "draw pictures: diffusion that predicts the noise", "0.7 to 5.3 M"),
    "edm": Entry("flow", "draw pictures: diffusion with a preconditioned network", "0.7 to 5.3 M"),
    "flow": Entry("flow", "draw pictures: flow matching, by class", "0.7 to 5.3 M"),
    "gan-mlp": Entry("gan", "draw pictures: the tutorials' first GAN, a dense generator", "0.1 M"),
    "lapgan": Entry("gan", "draw pictures by class: a pyramid of GANs", "0.9 M"),
    "lossless": Entry("lossless", "compress pictures without loss: a predictor of pixels", "0.03 M"),
    "lsgan": Entry("gan", "draw pictures: convolutional GAN with least squares", "0.9 M"),
    "progan": Entry("gan", "draw pictures by class: a GAN that grows while it learns", "0.8 M"),
    "r3gan": Entry("gan", "draw pictures by class: relativistic GAN without norms", "0.5 M"),
    "sngan": Entry("gan", "draw pictures by class: residual GAN with spectral normalization", "0.4 M"),
    "vae": Entry("vae", "reconstruct, interpolate, draw: convolutional VAE", "1.6 M"),
    "vae-dense": Entry("vae", "reconstruct, interpolate, draw: the tutorials' dense VAE", "0.5 M"),
    "vicreg": Entry("recognize", "features without labels, to measure with: VICReg", "1.1 M"),
    "wgan": Entry("gan", "draw pictures: Wasserstein GAN with clipped weights", "0.9 M"),
    "wgan-gp": Entry("gan", "draw pictures: Wasserstein GAN with a gradient penalty", "1.1 M"),
}


def measured(name: str) -> str:
    """Minutes and score on Fashion-MNIST, two CPU cores, or nothing; the protocols are in docs/benchmarks.md.

    benchmarks/tables.py writes the file from the measurements.
    """
    return json.loads((Path(__file__).parent / "measured.json").read_text()).get(name, "")


def entry(name: str) -> Entry:
    """The line of the recipe called `name`; raises UserError with the nearest right name."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}: {codec.nearest(name, RECIPES)}")
    return RECIPES[name]


def recipe(name: str, spec: "DataSpec", minutes: float = 10.0) -> "Recipe":
    """The recipe called `name` for these data and this budget; raises UserError with the nearest right name."""
    module = entry(name).module
    function: Callable[[DataSpec, float], Recipe] = getattr(
        import_module(f"mezzotint.recipes.{module}"), name.replace("-", "_")
    )
    return function(spec, minutes)


def kinds() -> codec.Kinds:
    """The methods that a recipe on disk may name."""
    from mezzotint.method import MethodConfig
    from mezzotint.methods.classifier import ClassifierConfig
    from mezzotint.methods.cogan import CoganConfig
    from mezzotint.methods.flow import FlowConfig
    from mezzotint.methods.gan import GanConfig
    from mezzotint.methods.lapgan import LapganConfig
    from mezzotint.methods.predictor import PredictorConfig
    from mezzotint.methods.vae import VaeConfig
    from mezzotint.methods.vicreg import VicregConfig

    configs = (
        ClassifierConfig,
        CoganConfig,
        FlowConfig,
        GanConfig,
        LapganConfig,
        PredictorConfig,
        VaeConfig,
        VicregConfig,
    )
    return {MethodConfig: configs}

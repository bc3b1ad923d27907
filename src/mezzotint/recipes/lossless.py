"""Recipes that pictures are compressed with."""

from mezzotint.methods.predictor import PredictorConfig
from mezzotint.networks.causal import CausalConfig
from mezzotint.recipe import Averaging, Optimizer, Recipe
from mezzotint.types import DataSpec


def lossless(spec: DataSpec, minutes: float) -> Recipe:
    """A predictor of pixels in exact arithmetic, a mixture of logistics for each (Salimans et al. 2017).

    In color a pixel is three predictions, which a narrower network makes in about the time of one.
    """
    network = CausalConfig() if spec.channels == 1 else CausalConfig(widths=(112, 64), reach=5)
    return Recipe(
        name="lossless",
        method=PredictorConfig(network=network, pixels=32),
        optimizers={
            "network": Optimizer(name="adam", lr=3e-3, betas=(0.9, 0.99), schedule="linear", warmup=0.02, final=0.003)
        },
        batch=256,
        clip_norm=1.0,
        averaging=Averaging(share=0.02),
    )

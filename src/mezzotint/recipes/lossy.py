"""Recipes that pictures are compressed with where something may be lost."""

from mezzotint.methods.compressor import CompressorConfig
from mezzotint.networks.hyperprior import HyperpriorConfig
from mezzotint.recipe import Averaging, Optimizer, Recipe
from mezzotint.types import DataSpec


def codec(spec: DataSpec, minutes: float) -> Recipe:
    """A hyperprior's transforms for all qualities at once (Minnen et al. 2018; Cui et al. 2021), exact everywhere.

    Trained on squares of 64 pixels, it takes pictures of any size. Muon's rate is low: without norms, larger steps soon
    leave most activations at their ends.
    """
    return Recipe(
        name="codec",
        method=CompressorConfig(network=HyperpriorConfig()),
        optimizers={
            "network": Optimizer(
                name="muon", lr=0.003, vector_lr=2e-3, betas=(0.9, 0.99), schedule="cosine", warmup=0.02, final=0.01
            )
        },
        batch=32,
        clip_norm=10.0,
        averaging=Averaging(share=0.02),
    )

"""Recognisers: pictures to classes."""

from mezzotint.data.loader import Augment
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.methods.vicreg import VicregConfig
from mezzotint.networks.classic import ClassicConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.recipe import Averaging, Data, Optimizer, Recipe
from mezzotint.types import DataSpec


def cnn(spec: DataSpec, minutes: float) -> Recipe:
    """A small residual net with folded pictures (He et al. 2016), Muon, flips, shifts and averaged weights.

    On two cores many epochs of a narrow net beat few of a wide one. Classes named by single characters are taken for
    glyphs, which a mirror makes into others: those are not flipped.
    """
    mirrored = any(len(name) > 1 for name in spec.classes)
    reach = 0 if minutes < 2 else 1 if minutes < 6 else 2
    muon = Optimizer(
        name="muon", lr=0.02, vector_lr=3e-3, momentum=0.9, weight_decay=0.01, schedule="linear", warmup=0.05
    )
    return Recipe(
        name="cnn",
        method=ClassifierConfig(
            network=ResidualConfig(width=24 if minutes < 2 else 32 if minutes < 6 else 48),
            label_smoothing=0.1,
            flip_test=mirrored,
            shift_test=min(1, reach),
        ),
        optimizers={"network": muon},
        batch=256,
        data=Data(augment=Augment(flip=mirrored, shift=reach)),
        averaging=Averaging(share=0.02),
    )


def vicreg(spec: DataSpec, minutes: float) -> Recipe:
    """Features from pictures without labels (Bardes et al. 2022): a ruler for data that have no classes."""
    mirrored = not spec.classes or any(len(name) > 1 for name in spec.classes)
    return Recipe(
        name="vicreg",
        method=VicregConfig(network=ResidualConfig(width=48), views=Augment(flip=mirrored, color=0.4)),
        optimizers={"network": Optimizer(name="adam", lr=1e-3, schedule="cosine", warmup=0.05, final=0.01)},
        batch=256,
        averaging=Averaging(share=0.02),
    )


def cnn_classic(spec: DataSpec, minutes: float) -> Recipe:
    """The tutorials' network: three convolutions of 32, 64 and 64 filters, two pools, 64 hidden units."""
    return Recipe(
        name="cnn-classic",
        method=ClassifierConfig(network=ClassicConfig()),
        optimizers={"network": Optimizer(name="adam", lr=1e-3, schedule="cosine", final=0.01)},
        batch=128,
        averaging=Averaging(share=0.02),
    )

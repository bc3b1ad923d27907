"""Detectors: pictures to boxes."""

from mezzotint.data.loader import Augment
from mezzotint.methods.detector import DetectorConfig
from mezzotint.metrics.detection import judge
from mezzotint.networks.center import CenterConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.recipe import Averaging, Data, Optimizer, Recipe
from mezzotint.types import DataSpec


def detector(spec: DataSpec, minutes: float) -> Recipe:
    """Things by their centers (Zhou et al. 2019) on a small residual net, Muon, flips, shifts and averaged weights.

    Things named by single characters are taken for glyphs, which a mirror makes into others. Raises UserError where
    what judges detectors is not installed: that must not come out after the training.
    """
    if spec.things:
        judge()
    mirrored = any(len(name) > 1 for name in spec.things)
    width = 24 if minutes < 5 else 32
    muon = Optimizer(
        name="muon", lr=0.02, vector_lr=3e-3, momentum=0.9, weight_decay=0.01, schedule="linear", warmup=0.05
    )
    return Recipe(
        name="detector",
        method=DetectorConfig(
            network=CenterConfig(backbone=ResidualConfig(width=width, blocks=(1, 1, 1, 1), fold=4), neck=2 * width),
            flip_test=mirrored,
        ),
        optimizers={"network": muon},
        batch=32,
        data=Data(augment=Augment(flip=mirrored, shift=max(1, min(spec.height, spec.width) // 16), color=0.2)),
        averaging=Averaging(share=0.02),
    )

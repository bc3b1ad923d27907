"""Recognisers: pictures to classes."""

from collections.abc import Sequence
from typing import TypeVar

from mezzotint.data.loader import Augment
from mezzotint.losses.mixing import Mixing
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.methods.vicreg import VicregConfig
from mezzotint.networks.classic import ClassicConfig
from mezzotint.networks.convnext import ConvnextConfig
from mezzotint.networks.densenet import DensenetConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.networks.vit import VitConfig
from mezzotint.recipe import Averaging, Data, Optimizer, Recipe
from mezzotint.recipes.work import LAPTOP, Builds, affordable, passes, work
from mezzotint.types import DataSpec


def cnn(spec: DataSpec, minutes: float) -> Recipe:
    """A small residual net with folded pictures (He et al. 2016), Muon, flips, shifts and averaged weights.

    On two cores many epochs of a narrow net beat few of a wide one. Classes named by single characters are taken for
    glyphs, which a mirror makes into others: those are not flipped.
    """
    mirrored = _may_be_mirrored(spec)
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


Config = TypeVar("Config", bound=Builds)


def _may_be_mirrored(spec: DataSpec) -> bool:
    """Classes named by single characters are taken for glyphs, which a mirror makes into others."""
    return any(len(name) > 1 for name in spec.classes)


def largest(ladder: Sequence[Config], spec: DataSpec, most: float) -> Config:
    """The last network of an ascending ladder whose `work` is at most this; the first where none is so small."""
    found = ladder[0]
    for network in ladder[1:]:
        if work(network, spec) > most:
            break
        found = network
    return found


def _fitting(ladder: Sequence[Config], spec: DataSpec) -> Sequence[Config]:
    """The part of a ladder that pictures so few can fill."""
    return ladder[:2] if spec.count < 5_000 else ladder[:3] if spec.count < 30_000 else ladder


FEW = Mixing(mixup=0.2, cutmix=1.0, probability=0.5, until=0.85)
"""For classes of few pictures."""


def few_pictures(spec: DataSpec) -> bool:
    """Whether classes are so small that a network knows them by heart after little."""
    return spec.count < 200 * max(1, len(spec.classes))


def changes_for(spec: DataSpec, often: bool) -> Augment:
    """Flips and shifts always; holes where pictures are seen `often`, or are few, and would be known by heart.

    A hole costs accuracy where there is only time for a few passes (Zhong et al. 2020 train for 300).
    """
    reach = min(spec.height, spec.width) // 14
    return Augment(flip=_may_be_mirrored(spec), shift=reach, erasing=0.25 if often or few_pictures(spec) else 0.0)


def _residual_ladder(spec: DataSpec) -> tuple[ResnetConfig, ...]:
    """From a tenth of a ResNet-18 to all of it; small pictures are halved at the door but by the last ones.

    On a CPU the first stage is slowest, and a picture of 28 pixels loses little by it.
    """
    by = 2 if 16 <= min(spec.height, spec.width) < 48 else None
    small = [ResnetConfig(stem=w, width=w, blocks=(1, 1, 1), reduction=by) for w in (16, 24, 32, 48)]
    if spec.count < 5_000:
        return tuple(small)
    larger = [ResnetConfig(stem=w, width=w, blocks=(2, 2, 2), reduction=by) for w in (48, 64)]
    return (*small, *larger, ResnetConfig(blocks=(2, 2, 2, 2)), ResnetConfig(blocks=(3, 4, 6, 3)))


def resnet(spec: DataSpec, minutes: float, pace: float = LAPTOP) -> Recipe:
    """A residual network (He et al. 2015) as large as the budget admits, Muon, label smoothing, averaged weights."""
    changes = changes_for(spec, passes(minutes) >= 10)
    return Recipe(
        name="resnet",
        method=ClassifierConfig(
            network=largest(_residual_ladder(spec), spec, affordable(spec, minutes, pace)),
            label_smoothing=0.1,
            mixing=FEW if few_pictures(spec) else Mixing(),
            flip_test=changes.flip,
            shift_test=min(1, changes.shift),
        ),
        optimizers={
            "network": Optimizer(
                name="muon",
                lr=0.02,
                vector_lr=3e-3,
                momentum=0.9,
                weight_decay=0.01,
                decay_vectors=False,
                schedule="linear",
                warmup=0.05,
            )
        },
        batch=256 if spec.count >= 5_000 else 128,
        data=Data(augment=changes),
        averaging=Averaging(share=0.02),
    )


def densenet(spec: DataSpec, minutes: float, pace: float = LAPTOP) -> Recipe:
    """DenseNet-BC (Huang et al. 2017) with its SGD by Nesterov's momentum; the rate falls as a cosine."""
    by = 2 if 16 <= min(spec.height, spec.width) < 48 else None
    ladder = (
        DensenetConfig(growth=12, blocks=(3, 3, 3), reduction=by),
        DensenetConfig(growth=16, blocks=(6, 6, 6), reduction=by),
        DensenetConfig(growth=24, blocks=(8, 8, 8), reduction=by),
        DensenetConfig(growth=12, blocks=(16, 16, 16)),
        DensenetConfig(),
    )
    changes = changes_for(spec, passes(minutes) >= 10)
    sgd = Optimizer(
        name="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4, decay_vectors=False, schedule="cosine", warmup=0.05
    )
    return Recipe(
        name="densenet",
        method=ClassifierConfig(
            network=largest(_fitting(ladder, spec), spec, affordable(spec, minutes, pace)),
            label_smoothing=0.1,
            flip_test=changes.flip,
        ),
        optimizers={"network": sgd},
        batch=128,
        data=Data(augment=changes),
        averaging=Averaging(share=0.02),
    )


_ADAMW = Optimizer(
    name="adamw", lr=1e-3, weight_decay=0.05, decay_vectors=False, schedule="cosine", warmup=0.1, final=0.001
)
"""Of Liu et al. 2022 (table 5) at batches of 256 by the rule of linear scaling; about that of Beyer et al. 2022."""


def convnext(spec: DataSpec, minutes: float, pace: float = LAPTOP) -> Recipe:
    """A ConvNeXt (Liu et al. 2022) with its AdamW, mixing and stochastic depth; it wants many pictures and passes."""
    ladder = (
        ConvnextConfig(width=24, blocks=(1, 1, 2), kernel=5),
        ConvnextConfig(width=32, blocks=(2, 2, 4)),
        ConvnextConfig(width=48, blocks=(2, 2, 6, 2)),
        ConvnextConfig(width=64, blocks=(2, 2, 6, 2), drop_path=0.05),
        ConvnextConfig(drop_path=0.1),
    )
    long = passes(minutes) >= 10
    changes = changes_for(spec, long)
    return Recipe(
        name="convnext",
        method=ClassifierConfig(
            network=largest(_fitting(ladder, spec), spec, affordable(spec, minutes, pace)),
            label_smoothing=0.1,
            mixing=Mixing(mixup=0.8, cutmix=1.0, until=0.85) if long else Mixing(),
            flip_test=changes.flip,
        ),
        optimizers={"network": _ADAMW},
        batch=256 if spec.count >= 5_000 else 128,
        data=Data(augment=changes),
        clip_norm=5.0,
        averaging=Averaging(share=0.02),
    )


def vit(spec: DataSpec, minutes: float, pace: float = LAPTOP) -> Recipe:
    """A small plain vision transformer (Beyer et al. 2022); it needs more pictures than most folders have."""
    ladder = (
        VitConfig(width=64, depth=4, heads=2),
        VitConfig(width=96, depth=4, heads=3),
        VitConfig(width=128, depth=6, heads=4),
        VitConfig(width=192, depth=9, heads=3, drop_path=0.05),
        VitConfig(width=384, depth=12, heads=6, drop_path=0.1),
    )
    long = passes(minutes) >= 10
    changes = changes_for(spec, long)
    if changes.flip and spec.channels == 3 and long:
        changes = Augment(flip=True, shift=changes.shift, trivial=True)
    return Recipe(
        name="vit",
        method=ClassifierConfig(
            network=largest(_fitting(ladder, spec), spec, affordable(spec, minutes, pace)),
            label_smoothing=0.1,
            mixing=Mixing(mixup=0.2, until=0.85) if long else Mixing(),
            flip_test=changes.flip,
        ),
        optimizers={"network": _ADAMW},
        batch=256 if spec.count >= 5_000 else 128,
        data=Data(augment=changes),
        clip_norm=1.0,
        averaging=Averaging(share=0.02),
    )

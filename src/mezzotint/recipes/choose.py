"""Choosers: a recipe picked by data and budget, and sentences that say why."""

from dataclasses import replace

import torch

from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.recipe import Recipe
from mezzotint.recipes import recognize as recipes
from mezzotint.recipes.work import ACCELERATOR, LAPTOP, affordable, passes, passes_of, work
from mezzotint.training.probe import available_threads
from mezzotint.types import DataSpec

Choice = tuple[Recipe, tuple[str, ...]]

UNEVEN = 10
"""Pictures of the largest class to one of the smallest, from where on classes count alike."""
MANY, LARGE = 50_000, 96
"""Pictures, and pixels a side, from where on a ConvNeXt is worth its appetite."""
LONG = 20.0
"""Minutes from where on a `cnn` may be wider than its recipe."""
FOLDED = 1.7
"""How much more of a `cnn`'s work a CPU does in a second than of other networks'."""
NARROW, EXCESS = (16, 24, 32, 48), 3.0
"""Widths of a `cnn`, and how many times what is affordable it may be, before a narrower one is taken."""
OFTEN = 8.0
"""Times that a `cnn` sees each picture, from where on parts of pictures are erased."""


def machine() -> tuple[float, str]:
    """The pace of this machine (`recipes.work`) and its name."""
    if torch.cuda.is_available():
        return ACCELERATOR, "a GPU"
    cores = available_threads()
    return LAPTOP * cores / 2, f"{cores} CPU core{'s' if cores > 1 else ''}"


def recognize(spec: DataSpec, minutes: float, images: int | None = None, started: bool = False) -> Choice:
    """A recogniser: on a CPU a `cnn` of fitting width, on a GPU a residual network, for very much data a ConvNeXt.

    `images` and `started` change what is said, not what is chosen (`catalog.chosen`).
    """
    pace, name = machine()
    most = affordable(spec, minutes, pace)
    if torch.cuda.is_available():
        recipe, reason = _on_gpu(spec, minutes, pace, most)
    else:
        recipe, reason = _on_cpu(spec, minutes, FOLDED * pace)
    recipe, reasons = _changed(recipe, spec)
    if started:
        reason = f"{recipe.name}, but with the network of the run that it begins from"
    return recipe, (task(spec, minutes, images, name), reason, *reasons)


def task(spec: DataSpec, minutes: float, images: int | None, machine: str) -> str:
    """What a choice is for: the data, and the budget on this machine."""
    classes = f"in {len(spec.classes)} classes" if spec.classes else "without classes"
    time = f"{minutes:g} minutes on {machine}"
    if images is not None:
        time = f"{images:,} to be seen; chosen as for {time}"
    return f"{spec.count:,} training pictures of {spec.width}×{spec.height} {classes}, {time}"


def _on_gpu(spec: DataSpec, minutes: float, pace: float, most: float) -> tuple[Recipe, str]:
    if spec.count >= MANY and min(spec.height, spec.width) >= LARGE and most >= 5e8:
        return recipes.convnext(spec, minutes, pace), "convnext: many large pictures and time for them"
    return recipes.resnet(spec, minutes, pace), (
        f"resnet: the largest that in that time sees each picture about {passes(minutes):.0f} times; convnext and vit "
        "need more"
    )


def _on_cpu(spec: DataSpec, minutes: float, pace: float) -> tuple[Recipe, str]:
    recipe = recipes.cnn(spec, minutes)
    assert isinstance(recipe.method, ClassifierConfig)
    assert isinstance(recipe.method.network, ResidualConfig)
    network, why = _width(recipe.method.network, spec, minutes, affordable(spec, minutes, pace))
    seen = passes_of(work(network, spec), spec, minutes, pace)
    changes = recipes.changes_for(spec, seen >= OFTEN)
    reach = max(recipe.data.augment.shift, changes.shift)
    method = replace(recipe.method, network=network)
    if recipes.few_pictures(spec):
        method = replace(method, mixing=recipes.FEW)
    recipe = replace(recipe, method=method, data=replace(recipe.data, augment=replace(changes, shift=reach)))
    return recipe, f"cnn, {network.width} channels wide: {why}; in that time it sees {_how_often(seen)}"


def _width(usual: ResidualConfig, spec: DataSpec, minutes: float, most: float) -> tuple[ResidualConfig, str]:
    """A `cnn`'s network: the usual one, a wider one in much time, a narrower one where that is far too little."""
    why = "what a CPU trains fastest"
    if minutes >= LONG and spec.count >= 5_000:
        usual = recipes.largest([ResidualConfig(width=width) for width in (48, 64, 96, 128)], spec, most)
        why = "as wide as that time admits"
    if work(usual, spec) <= EXCESS * most:
        return usual, why
    ladder = [ResidualConfig(width=width) for width in NARROW if width <= usual.width]
    return recipes.largest(ladder, spec, EXCESS * most), "narrow, since the pictures are many or large"


def _how_often(seen: float) -> str:
    if seen < 0.95:
        return f"only {seen:.0%} of the pictures"
    return "each picture about once" if seen < 1.5 else f"each picture about {seen:,.0f} times"


def _changed(recipe: Recipe, spec: DataSpec) -> tuple[Recipe, list[str]]:
    """What uneven and small classes ask for."""
    assert isinstance(recipe.method, ClassifierConfig)
    why: list[str] = []
    if recipe.method.mixing.due(0):
        why.append("few pictures of a class: pictures are mixed, and parts of them erased")
    elif recipe.data.augment.erasing:
        why.append("parts of pictures are erased, so that they are not learned by heart")
    least, largest = (max(1, f(spec.counts or (1,))) for f in (min, max))
    if largest >= UNEVEN * least:
        recipe = replace(recipe, method=replace(recipe.method, logit_adjustment=1.0))
        why.append(
            f"the largest class has {largest / least:.0f} times the pictures of the smallest: logits are adjusted, so "
            "that all classes count alike (--set method.logit_adjustment=0 for the greatest accuracy instead)"
        )
    return recipe, why

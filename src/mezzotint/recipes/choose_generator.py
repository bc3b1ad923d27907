"""Choosers of what draws pictures: among recipes that were measured, the one with the least Fréchet distance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType

import torch

from mezzotint.errors import UserError
from mezzotint.methods.cogan import CoganConfig
from mezzotint.methods.fast import FastConfig
from mezzotint.methods.flow import FlowConfig
from mezzotint.methods.gan import GanConfig
from mezzotint.methods.lapgan import LapganConfig
from mezzotint.networks.unet import UnetConfig
from mezzotint.recipe import Recipe
from mezzotint.recipes import flow as flows
from mezzotint.recipes import gan as gans
from mezzotint.recipes import vae as vaes
from mezzotint.recipes.choose import Choice, machine, task
from mezzotint.recipes.measured import Distance, distances
from mezzotint.recipes.work import LAPTOP
from mezzotint.types import DataSpec

FEW = 2_000
"""Training pictures under which a network would soon know them by heart."""


STRETCH = 1.5
"""Times the budget from where on it is told that the measured training had more time."""


def gan(spec: DataSpec, minutes: float, images: int | None = None, started: bool = False) -> Choice:
    """The GAN that was measured to draw best; `images` and `started` as for `recipes.choose.recognize`."""
    return _best((gans,), "GANs", spec, minutes, images, started)


def generate(spec: DataSpec, minutes: float, images: int | None = None, started: bool = False) -> Choice:
    """The flow, GAN or VAE that was measured to draw best."""
    return _best((flows, gans, vaes), "flows, GANs and VAEs", spec, minutes, images, started)


def _best(
    families: Sequence[ModuleType], what: str, spec: DataSpec, minutes: float, images: int | None, started: bool
) -> Choice:
    pace, name = machine()
    made = _measured(families, spec, minutes)
    table = league([row for row in distances() if row.recipe in made], spec)
    if not table:
        raise UserError(f"none of the {what} that were measured draws such pictures: name one (mezzotint recipes)")
    worth = minutes * pace / LAPTOP * math.prod(table[0].shape[1:]) / (spec.height * spec.width)
    rows = about(table, worth)
    recipe, care = _for_few(made[rows[0].recipe], spec)
    like = f"{worth:.2g}" if worth < 10 else f"{worth:,.0f}"
    time = f"by machine and pixels like {like} minutes on two CPU cores with {_where(rows[0])}, where it was measured"
    why = f"{recipe.name}, but with networks of the run that it begins from" if started else _reason(rows, what, worth)
    return recipe, (task(spec, minutes, images, name), time, why, *care)


def _measured(families: Sequence[ModuleType], spec: DataSpec, minutes: float) -> dict[str, Recipe]:
    """By name, the recipes of these modules that were measured and can be built for such pictures."""
    found: dict[str, Recipe] = {}
    for name in sorted({row.recipe for row in distances()}):
        for family in families:
            make: Callable[[DataSpec, float], Recipe] | None = getattr(family, name.replace("-", "_"), None)
            if make is not None and _fits(recipe := make(spec, minutes), spec):
                found[name] = recipe
    return found


def _fits(recipe: Recipe, spec: DataSpec) -> bool:
    """Whether it draws from nothing, can be built for such pictures and kept from knowing few of them by heart."""
    if spec.count < FEW and isinstance(recipe.method, CoganConfig | LapganConfig):
        return False
    if isinstance(recipe.method, FlowConfig) and recipe.method.given is not None:
        return False
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            recipe.method.build(spec)
    except UserError:
        return False
    return True


def league(rows: Sequence[Distance], spec: DataSpec) -> list[Distance]:
    """Those that may be compared, on one data set by one ruler: of most recipes, then of the channels of `spec`."""
    tables: dict[tuple[object, ...], list[Distance]] = {}
    for row in rows:
        tables.setdefault((row.data, row.shape, row.ruler), []).append(row)

    def merit(table: list[Distance]) -> tuple[int, bool]:
        return len({row.recipe for row in table}), table[0].shape[0] == spec.channels

    return max(tables.values(), key=merit, default=[])


def about(table: Sequence[Distance], worth: float) -> list[Distance]:
    """A row a recipe, that of the training whose time is nearest to `worth`; the least distance first."""

    def away(row: Distance) -> float:
        return abs(math.log(row.minutes / worth))

    rows = sorted(table, key=away, reverse=True)
    return sorted({row.recipe: row for row in rows}.values(), key=lambda row: row.frechet)


def _reason(rows: Sequence[Distance], what: str, worth: float) -> str:
    best, others = rows[0], rows[1:]
    late = ", in more time than there is," if best.minutes > STRETCH * worth else ""
    if not others:
        return f"{_result(best)}{late} is the only one of the {what} that was measured"
    least = f"the least Fréchet distance of the {len(rows)} {what} that were measured"
    return f"{_result(best)}{late} is {least}; next is {_result(others[0])}"


def _result(row: Distance) -> str:
    runs = f"median of {row.runs} runs" if row.runs > 1 else "one run"
    return f"{row.recipe} with {row.frechet:.1f} after {row.minutes:g} minutes ({runs})"


def _where(row: Distance) -> str:
    return f"{row.data} at {row.shape[2]}×{row.shape[1]}"


def _for_few(recipe: Recipe, spec: DataSpec) -> tuple[Recipe, tuple[str, ...]]:
    """What keeps a network from knowing few pictures by heart; without mirrored ones, which would be drawn too."""
    method = recipe.method
    if spec.count >= FEW:
        return recipe, ()
    if isinstance(method, GanConfig):
        looking = replace(method.looking, target=0.6)
        why = "few pictures: adaptive augmentation is on, so that the discriminator does not learn them by heart"
        return replace(recipe, method=replace(method, looking=looking)), (why,)
    learning = method.teacher if isinstance(method, FastConfig) else method
    if isinstance(learning, FlowConfig) and isinstance(learning.network, UnetConfig):
        learning = replace(learning, network=replace(learning.network, dropout=0.1))
        method = replace(method, teacher=learning) if isinstance(method, FastConfig) else learning
        why = "few pictures: dropout is on, so that the network does not learn them by heart"
        return replace(recipe, method=method), (why,)
    return recipe, ()

"""Weights of an earlier run as a start: its networks, all that fits, and a new head where the classes differ."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.recipe import Recipe
from mezzotint.snapshot import Snapshot
from mezzotint.types import DataSpec


def with_networks_of(recipe: Recipe, earlier: Snapshot) -> Recipe:
    """The recipe with the earlier run's networks, everything else as it was.

    Networks are the fields of a method's configuration that can be built; a detector takes a recogniser's as what its
    maps stand on. Raises UserError where the earlier run has none of the recipe's, or none of a kind that the recipe's
    method knows.
    """
    ours, theirs = recipe.method, earlier.recipe.method
    known = typing.get_type_hints(type(ours))
    shared = {
        name: network
        for name, network in _networks(theirs).items()
        if name in _networks(ours) and type(network) in (known[name], *typing.get_args(known[name]))
    }
    shared = shared or _below(ours, theirs, earlier.method.spec)
    if not shared:
        raise UserError(f"{recipe.name} has no network in common with {earlier.recipe.name}, which it is to begin from")
    try:
        return dataclasses.replace(recipe, method=dataclasses.replace(ours, **shared))
    except (TypeError, ValueError) as error:
        raise UserError(f"{recipe.name} cannot begin from {earlier.recipe.name}: {error}") from None


def _below(ours: Any, theirs: Any, spec: DataSpec) -> dict[str, Any]:
    """Our networks with theirs as their backbone, where they have one of that kind; it stays as it was for `spec`."""
    found: dict[str, Any] = {}
    for name, network in _networks(theirs).items():
        own = _networks(ours).get(name)
        known = typing.get_type_hints(type(own)).get("backbone")
        if own is not None and type(network) in typing.get_args(known):
            found[name] = dataclasses.replace(own, backbone=network.settled(spec))
    return found


def _networks(method: Any) -> dict[str, Any]:
    fields = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    return {name: value for name, value in fields.items() if hasattr(value, "build")}


def weights_for(recipe: Recipe, spec: DataSpec, earlier: Snapshot) -> dict[str, Tensor]:
    """The earlier run's weights that the recipe's method has a place for; a head only for the same classes and things.

    A detector that stands on a recogniser takes all of that but the head. Raises UserError where anything else does not
    fit.
    """
    theirs = earlier.method.state_dict()
    ours = recipe.method.build(spec).state_dict()
    before, new = earlier.method.spec, _of_head
    if _stands_on_another(ours) and not _stands_on_another(theirs):
        theirs = {name.replace("network.", BELOW, 1): weights for name, weights in theirs.items()}
        new = _is_above
    same = (spec.classes, spec.things) == (before.classes, before.things)
    fit = {k: v for k, v in theirs.items() if k in ours and v.shape == ours[k].shape and (same or not new(k))}
    odd = [name for name in ours if name not in fit and not new(name)]
    if odd or not fit:
        told = f"the weights of {earlier.folder} do not fit here ({odd[0] if odd else 'none of them'})"
        if spec.shape == before.shape:
            raise UserError(f"{told}: its networks were trained on other classes or with other settings")
        raise UserError(
            f"{told}; they are for pictures of {'×'.join(map(str, before.shape[1:]))} in {before.channels} channels: "
            "give --size and --channels accordingly"
        )
    return fit


BELOW = "network.backbone."
"""Where the weights lie of what a detector's maps stand on."""


def _stands_on_another(weights: Mapping[str, Tensor]) -> bool:
    return any(name.startswith(BELOW) for name in weights)


def _is_above(name: str) -> bool:
    return not name.startswith(BELOW)


def _of_head(name: str) -> bool:
    """Whether it is of what has an output for each class or thing (a detector's are maps of centers)."""
    return bool({"head", "centers"} & set(name.split(".")))

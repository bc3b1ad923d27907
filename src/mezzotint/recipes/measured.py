"""What recipes were measured to reach, on two CPU cores: sentences for people, distances for choosers."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mezzotint import codec


@dataclass(frozen=True, kw_only=True)
class Distance:
    """The Fréchet distance that a recipe reached in so many minutes, from the median of its runs."""

    recipe: str
    minutes: float
    frechet: float
    runs: int
    data: str
    shape: tuple[int, ...]
    """Of the pictures, c h w."""
    ruler: str
    """In whose features; distances of two rulers are not to be compared."""


@cache
def _stored() -> dict[str, Any]:
    """By recipe; benchmarks/tables.py writes the file from the measurements."""
    return json.loads(Path(__file__).with_name("measured.json").read_text())


def said(recipe: str) -> str:
    """Minutes and score of a recipe in a sentence, or nothing; the protocols are in docs/benchmarks.md."""
    return _stored().get(recipe, {}).get("said", "")


def distances() -> tuple[Distance, ...]:
    """All that were taken, of whichever recipes, budgets and data."""
    rows = [{"recipe": recipe, **row} for recipe, found in _stored().items() for row in found.get("distances", ())]
    return tuple(codec.decode(Distance, row) for row in rows)

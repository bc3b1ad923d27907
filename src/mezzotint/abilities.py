"""What a method can do, in the words that its users are told."""

from mezzotint.types import (
    Classifies,
    Compresses,
    Decodes,
    Detects,
    DrawsPairs,
    Dreams,
    Edits,
    Embeds,
    Encodes,
    FlowsBack,
    Forecasts,
    Generates,
)


def verbs_of(method: object) -> tuple[str, ...]:
    """The verbs of `mezzotint.Model` that its method can carry out."""
    found: list[str] = ["detect"] if isinstance(method, Detects) else []
    if isinstance(method, Classifies):
        found.append("classify")
    elif isinstance(method, Embeds):
        found.append("measure with its features")
    if isinstance(method, Generates):
        found.append("generate")
    if isinstance(method, DrawsPairs):
        found.append("draw pairs")
    if isinstance(method, Encodes):
        found += ["reconstruct", "interpolate"]
    if isinstance(method, Decodes):
        found += ["go between seeds", "walk along factors", "project pictures"]
    if isinstance(method, FlowsBack):
        found.append("go to noise and back")
    if isinstance(method, Forecasts):
        found.append("forecast")
    if isinstance(method, Dreams) and method.dreams:
        found.append("dream")
    if isinstance(method, Edits):
        found.append("edit")
    if isinstance(method, Compresses):
        found.append("compress")
    return tuple(found)

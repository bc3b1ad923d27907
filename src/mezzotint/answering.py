"""When a recogniser answers, and when it had better say that it does not know."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.metrics.calibration import Calibration

_UNCALIBRATED = "this model's card knows of no validation pictures: train it again, on data that have some"


@dataclass(frozen=True)
class Answers:
    """What a recogniser says of pictures."""

    probabilities: Float[Tensor, "n k"]
    known: Bool[Tensor, " n"]
    """False where it had better say that it does not know."""
    strangeness: Float[Tensor, " n"] | None
    """The share of validation pictures that are less strange; None where the model's card knows of none."""


def answered(
    probabilities: Float[Tensor, "n k"],
    strangeness: Float[Tensor, " n"] | None,
    calibration: Calibration | None,
    precision: float | None,
    strange: float | None,
) -> Answers:
    """Which answers keep a promise of `precision` and are not for pictures stranger than the share `strange`.

    Raises UserError for a promise that cannot be given.
    """
    known = torch.ones(len(probabilities), dtype=torch.bool)
    if precision is not None:
        known &= probabilities.max(1).values.double() >= threshold(calibration, precision)
    if strange is not None:
        if strangeness is None:
            raise UserError(_UNCALIBRATED)
        known &= strangeness <= strange
    return Answers(probabilities, known, strangeness)


def threshold(calibration: Calibration | None, precision: float) -> float:
    """The probability from which on answers have this precision; raises UserError where none has."""
    if not 0 < precision < 1:
        raise UserError(f"a precision lies between 0 and 1, like 0.99; not {precision:g}")
    if calibration is None:
        raise UserError(_UNCALIBRATED)
    found = calibration.threshold(precision)
    if found is None:
        raise UserError(
            f"no threshold promises a precision of {precision:g}: on {calibration.pictures} validation "
            f"pictures at most {calibration.best_precision():.3f} can be shown; ask for less"
        )
    return found

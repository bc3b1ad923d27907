"""A film and a model in, the film as it goes on out: what was recorded, what is forecast and its error side by side."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.decode import Pixels, fitted
from mezzotint.data.film import open_film
from mezzotint.errors import UserError
from mezzotint.forecasting import error_picture
from mezzotint.model import Model
from mezzotint.types import Clips

SIDE = 192
"""Least side in pixels of a panel of the film that is written."""
GAP = 4
"""Pixels between two panels."""


@dataclass(frozen=True)
class Continued:
    """What a model looked at, what came (as far as the film goes) and its futures; floats in [-1, 1]."""

    rate: float
    given: Clips
    came: Clips
    futures: Float[Tensor, "futures _ c h w"]
    """One a row."""
    remarks: Sequence[str] = ()
    """What was odd about the film."""

    @property
    def errors(self) -> list[float]:
        """The first future's squared error of each known frame, summed over its numbers on the scale of [0, 1]."""
        known = self.came.shape[1]
        return ((self.futures[:1, :known] - self.came) / 2).square().sum((2, 3, 4))[0].tolist()

    def frames(self) -> Iterator[Pixels]:
        """Panels side by side: recorded (where it is known), each future, the error of the first (likewise)."""
        context, known = self.given.shape[1], self.came.shape[1]
        for t in range(context + self.futures.shape[1]):
            given, k = t < context, t - context
            panels = [self.given[0, t]] * len(self.futures) if given else list(self.futures[:, k])
            if known:
                blank = torch.ones_like(panels[0])
                true = self.given[0, t] if given else self.came[0, k] if k < known else blank
                error = -blank if given else error_picture(panels[0], true) if k < known else blank
                panels = [true, *panels, error]
            yield side_by_side(panels)


def side_by_side(panels: Sequence[Tensor]) -> Pixels:
    """Frames c × h × w as one h × w × c picture, enlarged where they are small, with white gaps."""
    drawn = [pictures.enlarged(p, SIDE) for p in pictures.to_uint8(torch.stack(list(panels)))]
    gap = np.full((drawn[0].shape[0], GAP, drawn[0].shape[2]), 255, np.uint8)
    return np.concatenate([part for p in drawn for part in (gap, p)][1:], 1)


def continued(model: Model, film: Path, horizon: int, start: int | None, seeds: Sequence[int]) -> Continued:
    """Forecast `horizon` frames of a film from frame `start` on (from its end where it is not given), a future a seed.

    The film is read frame by frame, and no more of it is held than the model looks at and the truth of the horizon.
    Raises UserError where the film cannot be read or has too few frames.
    """
    context = model.context
    if start is not None and start < context:
        raise UserError(f"the model looks at {context} frames: --start must be at least {context}")
    try:
        opened = open_film(film)
        frames = (_brought(model, frame) for frame in opened.frames())
        before = deque(islice(frames, start), maxlen=context)
        came = list(islice(frames, horizon))
    except (ValueError, OSError) as error:
        raise UserError(f"{film} cannot be read: {error}") from None
    if len(before) < context or (start is not None and not came):
        told = f"{context} frames" if start is None else f"more than {start} frames"
        raise UserError(f"{film} is too short: {told} are needed")
    given = pictures.to_float(np.stack(before))[None]
    true = pictures.to_float(np.stack(came))[None] if came else given[:, :0]
    futures = torch.cat([model.forecast(given, horizon, seed) for seed in seeds])
    return Continued(opened.rate, given, true, futures, opened.remarks)


def _brought(model: Model, frame: Pixels) -> Pixels:
    """A frame in the shape that the model was trained on."""
    spec = model.spec
    small = fitted(Image.fromarray(frame), spec.height, model.recipe.data.crop)
    return np.asarray(small.convert("L"))[..., None] if spec.channels == 1 else np.asarray(small)

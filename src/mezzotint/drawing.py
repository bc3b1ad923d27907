"""A method's own pictures: drawn in full chunks, as grids and as sheets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import ImageDraw
from torch import Tensor

from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.data.loader import ordered, spread
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.scorecard import ScoreCard
from mezzotint.types import Compresses, Detects, DrawsPairs, Encodes, Generates, Images, Labels, Redraws

CHUNK = 50
"""Pictures that are looked at in one pass."""

DRAWN_AT_ONCE = 100
"""Drawing always fills its passes, so that a picture does not depend on how many were asked for."""


@contextmanager
def using(method: Method) -> Iterator[None]:
    """Evaluation mode without gradients; training mode comes back afterwards."""
    was_training = method.training
    method.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        method.train(was_training)


def draw(method: Method, seeds: Sequence[int], labels: Labels | None = None) -> Images:
    """One picture per seed, on the CPU; raises UserError where the method does not generate.

    Pictures are drawn in full chunks, so that seed 7 alone gives the same bits as seed 7 among sixty-four.
    """
    if not isinstance(method, Generates):
        raise UserError("this model does not draw pictures; train a generator (dcgan, vae)")
    return _in_full_chunks(method, method.generate, seeds, labels)


def draw_pairs(method: Method, seeds: Sequence[int], labels: Labels | None = None) -> tuple[Images, Images]:
    """For each seed the picture that `draw` gives, and its partner; raises UserError where there is none."""
    if not isinstance(method, DrawsPairs):
        raise UserError("this model does not draw pairs of pictures; train one that does (cogan)")
    pairs = method.generate_pairs
    first, second = (
        _in_full_chunks(method, lambda s, y, k=kind: pairs(s, y)[k], seeds, labels).clamp(-1, 1) for kind in (0, 1)
    )
    return first, second


def _in_full_chunks(
    method: Method, generate: Callable[[list[int], Labels | None], Images], seeds: Sequence[int], labels: Labels | None
) -> Images:
    parts: list[Tensor] = []
    with using(method):
        for first in range(0, len(seeds), DRAWN_AT_ONCE):
            some = list(seeds[first : first + DRAWN_AT_ONCE])
            given = None if labels is None else labels[first : first + DRAWN_AT_ONCE]
            filler = DRAWN_AT_ONCE - len(some)
            if given is not None:
                given = torch.cat([given, given.new_zeros(filler)]).to(device_of(method))
            parts.append(generate(some + [0] * filler, given)[: len(some)].float().cpu())
    return torch.cat(parts) if parts else torch.zeros(0, *method.spec.shape)


EDITED = 4
"""Pictures that are edited in one pass."""


def edited(
    method: Method, verb: Callable[..., Images], seeds: Sequence[int], labels: Labels | None, *rows: Tensor
) -> Images:
    """What `verb(*rows, seeds, labels)` makes of pictures, in full chunks: the same bits for one in any company."""
    parts: list[Tensor] = []
    with using(method):
        for first in range(0, len(seeds), EDITED):
            kept = list(range(first, min(first + EDITED, len(seeds))))
            index = torch.tensor(kept + kept[:1] * (EDITED - len(kept)))
            chosen = None if labels is None else labels[index]
            found = verb(*(row[index] for row in rows), [seeds[i] for i in index.tolist()], chosen)
            parts.append(found[: len(kept)])
    return torch.cat(parts)


FIRST_SEED = 1_000_000
"""Measuring draws from seeds that nobody types by hand, so it never judges the very pictures of a sample grid."""


@dataclass(frozen=True)
class Drawn:
    """Pictures as they would be saved, and the classes that they were drawn for (None: a method that knows none)."""

    images: pictures.Pixels
    labels: Labels | None


def drawn_like(method: Method, dataset: Dataset, split: str, count: int, seed: int = 0) -> Drawn:
    """`count` pictures with the classes of a split, by seeds of their own."""
    first, labels = FIRST_SEED + seed * count, labels_like(method, dataset, split, count)
    return Drawn(pictures.to_uint8(draw(method, range(first, first + count), labels)), labels)


def labels_like(method: Method, dataset: Dataset, split: str, count: int) -> Labels | None:
    """Classes to draw in the proportions of a split; None for a method that is not conditional."""
    if dataset.labels is None or not getattr(method, "classes", 0):
        return None
    rows = dataset.splits[split]
    return torch.from_numpy(dataset.labels[rows[spread(len(rows), count)]])


ROWS = 8
"""Of every sample grid."""


def sample_grid(method: Method) -> pictures.Pixels | None:
    """Pictures of the fixed seeds 0, 1, 2 … as one sheet of eight rows; None where the method does not generate.

    A method trained by class has a column for each of up to twelve classes; one that draws pairs shows every second row
    of pictures' partners.
    """
    if not isinstance(method, Generates):
        return None
    columns = grid_columns(method)
    drawn = _rows_of_pairs(method, columns) if isinstance(method, DrawsPairs) else draw(method, range(ROWS * columns))
    return pictures.enlarged(pictures.grid(pictures.to_uint8(drawn), columns), 480)


def _rows_of_pairs(method: Method, columns: int) -> Images:
    """Rows of pictures, each above the row of their partners."""
    both = draw_pairs(method, range(ROWS // 2 * columns))
    rows = torch.stack([part.view(ROWS // 2, columns, *method.spec.shape) for part in both], 1)
    return rows.flatten(0, 2)


def grid_columns(method: Method) -> int:
    """Of the sample grid."""
    classes = getattr(method, "classes", 0)
    return classes if 0 < classes <= 12 else 8


def telling_sheets(method: Method, dataset: Dataset, card: ScoreCard) -> dict[str, pictures.Pixels]:
    """What shows best how good a method is: `reconstructions` under their pictures, the surest `mistakes`, `boxes`.

    `redrawn` has pictures, what was given of them, and what was drawn from that; `shrunk` has pictures above what comes
    back of them from a high, a middle and a low quality.
    """
    sheets: dict[str, pictures.Pixels] = {}
    split = card.protocol["split"]
    if isinstance(method, Encodes):
        images, labels = next(ordered(dataset, split, 16, device_of(method)))
        with using(method):
            again = method.decode(method.encode(images, labels), labels)
        pairs = pictures.to_uint8(torch.cat([images, again]))
        sheets["reconstructions"] = pictures.grid(pairs, len(images))
    if isinstance(method, Detects):
        images, _ = next(ordered(dataset, split, SHOWN, device_of(method), SHOWN))
        with using(method):
            found = method.detect(images).cpu()
        shown = [boxed(p, rows, dataset.things) for p, rows in zip(pictures.to_uint8(images), found, strict=True)]
        sheets["boxes"] = pictures.grid(np.stack(shown), 6)
    if isinstance(method, Compresses):
        images, _ = next(ordered(dataset, split, 16, device_of(method)))
        with using(method):
            rows = torch.cat([images, *(method.shrunk(images, quality)[0] for quality in SHOWN_QUALITIES)])
        sheets["shrunk"] = pictures.grid(pictures.to_uint8(rows), len(images))
    if isinstance(method, Redraws) and method.beside:
        images, labels = next(ordered(dataset, split, 16, device_of(method)))
        with using(method):
            rows = torch.cat([images, *method.redrawn(images, labels, FIRST_SEED)])
        sheets["redrawn"] = pictures.grid(pictures.to_uint8(rows), len(images))
    if card.mistakes:
        rows = dataset.splits[split][[m["picture"] for m in card.mistakes]]
        sheets["mistakes"] = pictures.grid(dataset.images[rows], 8)
    return {name: pictures.enlarged(sheet, 480) for name, sheet in sheets.items()}


SHOWN_QUALITIES = (90, 50, 10)
"""On a sheet of compressed pictures."""
SHOWN = 18
"""Pictures on a sheet of found boxes."""
SURE = 0.3
"""Certainty from which on a found box is drawn."""
LEAST = 256
"""Shorter side to which small pictures are enlarged, so that words fit beside boxes."""
COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000", "#808000", "#000075")


def boxed(pixels: pictures.Pixels, found: Tensor, things: Sequence[str], sure: float = SURE) -> pictures.Pixels:
    """An h × w × c picture, enlarged where it is small, with those of its boxes (m × 6) drawn that are `sure` enough.

    Each is in the color of its thing, named, with its certainty in percent.
    """
    large = pictures.enlarged(pixels, LEAST)
    times = large.shape[0] // pixels.shape[0]
    image = pictures.to_image(large).convert("RGB")
    pen = ImageDraw.Draw(image)
    for kind, left, top, right, bottom, certainty in reversed(found.tolist()):
        if kind < 0 or certainty < sure:
            continue
        color = COLORS[int(kind) % len(COLORS)]
        corners = [
            left * times,
            top * times,
            max(right * times - 1, left * times),
            max(bottom * times - 1, top * times),
        ]
        pen.rectangle(corners, outline=color, width=2)
        name = f"{things[int(kind)]} {certainty:.0%}"
        at = corners[0] + 2, max(corners[1] - 11, 0)
        pen.rectangle(pen.textbbox(at, name), fill=color)
        pen.text(at, name, fill="white")
    return np.asarray(image)


def device_of(method: Any) -> torch.device:
    """Where the method's weights are."""
    return next(method.parameters()).device

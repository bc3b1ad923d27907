"""Boxes as maps and maps as boxes: where the centers of things are, and how far their sides are from there."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Boxes

SPREAD = 0.54 / 6
"""Deviation of a center's bump as a share of the box's side (Liu et al. 2020, α = 0.54 over the six deviations of a
kernel)."""
CORE = 0.1
"""Height of the bump down to which a place tells the sides of its box."""


def bumps(boxes: Boxes, height: int, width: int, stride: int) -> Float[Tensor, "n m h w"]:
    """For each box a bump of height 1 at the cell that holds its center, as wide as the box is; 0 for what is no box.

    A map of height × width cells, each `stride` pixels a side.
    """
    left, top, right, bottom = (boxes[:, :, i, None] for i in range(1, 5))

    def along(low: Tensor, high: Tensor, cells: int) -> Tensor:
        at = torch.arange(cells, device=boxes.device)
        center = ((low + high) / (2 * stride)).floor().clamp(0, cells - 1)
        deviation = ((high - low) / stride * SPREAD).clamp(min=1 / 3)
        return torch.exp(-((at - center) ** 2) / (2 * deviation**2))

    across, down = along(left, right, width), along(top, bottom, height)
    return down[:, :, :, None] * across[:, :, None, :] * (boxes[:, :, 0] >= 0)[:, :, None, None]


def by_class(maps: Float[Tensor, "n m h w"], boxes: Boxes, things: int) -> Float[Tensor, "n k h w"]:
    """The highest of the maps of each class at each place, 0 where there is none."""
    n, m, h, w = maps.shape
    rows = boxes[:, :, 0].long().clamp(min=0) + torch.arange(n, device=boxes.device)[:, None] * things
    highest = maps.new_zeros(n * things, h * w)
    index = rows.reshape(n * m, 1).expand(n * m, h * w)
    return highest.scatter_reduce(0, index, maps.reshape(n * m, h * w), "amax").view(n, things, h, w)


def inside(boxes: Boxes, height: int, width: int, stride: int) -> Float[Tensor, "n m h w"]:
    """1 at the cells whose middle is in the box, else 0."""
    left, top, right, bottom = (boxes[:, :, i, None, None] for i in range(1, 5))
    x, y = _middles(height, width, stride, boxes)
    return ((x >= left) & (x < right) & (y >= top) & (y < bottom) & (boxes[:, :, 0] >= 0)[:, :, None, None]).float()


def _middles(height: int, width: int, stride: int, like: Tensor) -> tuple[Tensor, Tensor]:
    across = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) * stride
    down = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) * stride
    return across[None, :], down[:, None]


def told_sides(boxes: Boxes, maps: Float[Tensor, "n m h w"]) -> tuple[Float[Tensor, "n h w 4"], Float[Tensor, "n h w"]]:
    """Which box (left, top, right, bottom) each place has to tell, and with what weight: of a box they add up to 1.

    A place in the core of several boxes tells the smallest, so that none is hidden in another.
    """
    area = (boxes[:, :, 3] - boxes[:, :, 1]) * (boxes[:, :, 4] - boxes[:, :, 2])
    core = maps >= CORE
    sized = torch.where(core, area[:, :, None, None], torch.inf)
    smallest = sized.argmin(1, keepdim=True)
    own = torch.zeros_like(core).scatter(1, smallest, True) & core
    weights = maps * own
    weights = weights / weights.sum((2, 3), keepdim=True).clamp(min=1e-6)
    corners = boxes[:, :, 1:5].gather(1, smallest.flatten(1)[:, :, None].expand(-1, -1, 4))
    return corners.view(len(boxes), *maps.shape[2:], 4), weights.sum(1)


def corners_of(distances: Float[Tensor, "n 4 h w"], stride: int) -> Float[Tensor, "n h w 4"]:
    """Left, top, right and bottom in pixels, from the distances of the sides from the middle of each cell."""
    height, width = distances.shape[2:]
    x, y = _middles(height, width, stride, distances)
    left, top, right, bottom = distances.unbind(1)
    return torch.stack([x - left, y - top, x + right, y + bottom], 3)


def peaks(certainty: Float[Tensor, "n k h w"], corners: Float[Tensor, "n h w 4"], most: int, least: float) -> Boxes:
    """The boxes at places surer than their eight neighbors, at most so many a picture, surest first (Zhou et al. 2019).

    Those below `least` are no boxes (class -1).
    """
    n, k, h, w = certainty.shape
    top = F.max_pool2d(certainty, 3, stride=1, padding=1)
    alone = torch.where(certainty == top, certainty, 0).flatten(1)
    sure, place = alone.topk(min(most, k * h * w), 1)
    kind, cell = place // (h * w), place % (h * w)
    found = corners.reshape(n, h * w, 4).gather(1, cell[:, :, None].expand(-1, -1, 4))
    boxes = torch.cat([kind[:, :, None], found, sure[:, :, None]], 2).float()
    nothing = boxes.new_tensor([-1.0, 0, 0, 0, 0, 0])
    return torch.where((sure >= least)[:, :, None], boxes, nothing)


def overlap(a: Float[Tensor, "*s 4"], b: Float[Tensor, "*s 4"], *, generalized: bool = False) -> Float[Tensor, "*s"]:
    """Intersection over union of boxes by their corners; the generalized one (Rezatofighi et al. 2019) goes on to -1.

    0 for two boxes without area.
    """
    common = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - common
    shared = common / union.clamp(min=1e-9)
    if not generalized:
        return shared
    around = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    return shared - (around - union) / around.clamp(min=1e-9)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)

"""The nearest reference pictures of each picture, under mirroring and small shifts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Images

SIDE = 32
"""Pictures with a longer short side are shrunk to it before their pixels are compared."""
COARSE = 8
"""Blocks on the shorter side of what is compared."""
COMPONENTS = 64
"""Numbers of the short code by which candidates are found."""
CANDIDATES = 128
"""Reference pictures whose distances are taken in full."""
SAMPLE = 4096
"""Reference pictures that the short code is fitted to."""
QUERIES, REFERENCES = 16, 512
"""Pictures compared at a time: tables of a few megabytes stay in the cache."""

Views = Callable[[Tensor], Float[Tensor, "q v d"]]
"""Pictures (q of them, in any form) as rows of numbers, one for each transform that is allowed."""


@dataclass(frozen=True)
class Neighbors:
    """For each query its nearest references, nearest first."""

    distances: Float[Tensor, "q k"]
    """Euclidean, the smallest over the views of the query."""
    rows: Int[Tensor, "q k"]


class Bank:
    """Reference rows with short codes, whose distances are never above those of the rows themselves.

    A code is a row's leading principal components and, as one more number, the length of what they leave out:
    |x - y|² ≥ |Px - Py|² + (|x - Px| - |y - Py|)².
    """

    def __init__(self, rows: Shaped[Tensor, "n d"], seed: int = 0) -> None:
        """Fit the code to some of the rows, drawn by `seed`; the rows may be of any type, to save memory."""
        self.rows = rows
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:SAMPLE]
        sample = rows[chosen].float()
        self.center = sample.mean(0)
        deviations = sample - self.center
        order = torch.linalg.eigh(deviations.T @ deviations).eigenvectors.flip(1)
        self.basis = order[:, :COMPONENTS].contiguous()
        codes = torch.cat([self.code(part.float()) for part in rows.split(REFERENCES)])
        # Products of these rows with (other, 1, |other|²) are squared distances.
        self._keys = torch.cat([-2 * codes, codes.square().sum(1, keepdim=True), torch.ones(len(codes), 1)], 1)

    def __len__(self) -> int:
        return len(self.rows)

    def code(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Short codes of any rows."""
        deviations = rows - self.center
        code = deviations @ self.basis
        rest = deviations.square().sum(1, keepdim=True) - code.square().sum(1, keepdim=True)
        return torch.cat([code, rest.clamp(min=0).sqrt()], 1)

    def bounds(self, views: Float[Tensor, "q v d"]) -> Float[Tensor, "q n"]:
        """Squared lower bounds of the distance of each query's best view to each reference."""
        codes = self.code(views.flatten(0, 1))
        asked = torch.cat([codes, torch.ones(len(codes), 1), codes.square().sum(1, keepdim=True)], 1)
        tables = ((asked @ part.T).view(*views.shape[:2], -1) for part in self._keys.split(REFERENCES))
        return torch.cat([table.amin(1) for table in tables], 1).clamp_(min=0)


def nearest(queries: Tensor, bank: Bank, views: Views, k: int = 50, *, itself: bool = False) -> Neighbors:
    """The k nearest references of each query (all, where there are fewer), over the query's `views`.

    The 128 references of the smallest lower bound are compared in full; what lies outside them cannot be nearer than
    the largest of those bounds, so a copy is never missed. `itself`: the queries are the bank's own pictures in order,
    and none is its own neighbor.
    """
    found: list[Neighbors] = []
    for first in range(0, len(queries), QUERIES):
        seen = views(queries[first : first + QUERIES])
        bounds = bank.bounds(seen)
        if itself:
            own = torch.arange(len(seen))
            bounds[own, first + own] = torch.inf
        count = min(CANDIDATES, len(bank) - itself)
        candidates = bounds.topk(count, largest=False, sorted=False).indices
        found.append(_compared(seen, bank.rows[candidates].float(), candidates, min(k, count)))
    return Neighbors(torch.cat([f.distances for f in found]), torch.cat([f.rows for f in found]))


def _compared(
    views: Float[Tensor, "q v d"], candidates: Float[Tensor, "q c d"], rows: Int[Tensor, "q c"], k: int
) -> Neighbors:
    """The k nearest of the candidates, each by the view that suits it best."""
    products = torch.bmm(views, candidates.mT)
    best = (views.square().sum(2, keepdim=True) - 2 * products).argmin(1)
    chosen = views.gather(1, best[:, :, None].expand(-1, -1, views.shape[2]))
    # The distance itself is summed from differences: as a difference of large sums it would hide an exact copy.
    distances = (chosen - candidates).square().sum(2).sqrt()
    nearest = distances.topk(k, largest=False)
    return Neighbors(nearest.values, rows.gather(1, nearest.indices))


def shrunk(images: Images) -> Float[Tensor, "n c y x"]:
    """Pictures in [-1, 1] as levels from 0 to 255, their short side brought to at most 32 pixels by area."""
    height, width = images.shape[2:]
    if min(height, width) > SIDE:
        scale = SIDE / min(height, width)
        images = F.interpolate(images, size=(round(height * scale), round(width * scale)), mode="area")
    return ((images.float() + 1) * 127.5).round_().clamp_(0, 255)


def reach(side: int) -> int:
    """By how many pixels a picture of this short side may be shifted: 2 from 16 pixels on, 1 from 8 on."""
    return min(2, side // 8)


def middles(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """Pictures without the margin that shifts may push out of sight, as rows of coarse levels."""
    height, width = pictures.shape[2:]
    r = reach(min(height, width))
    return _coarse(pictures[:, :, r : height - r, r : width - r]).flatten(1)


def _coarse(pictures: Tensor) -> Tensor:
    """Means of blocks, about 8 on a side: noise and blur, which hide a copy, are mostly in what this leaves out."""
    return F.avg_pool2d(pictures, max(1, min(pictures.shape[2:]) // COARSE))


def windows(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n v d"]:
    """All shifts of a picture and of its mirror image, as `middles` sees them: 50 views of a 28×28 picture."""
    height, width = pictures.shape[2:]
    r = reach(min(height, width))
    both = torch.stack([pictures, pictures.flip(-1)], 1)
    cut = both.unfold(3, height - 2 * r, 1).unfold(4, width - 2 * r, 1)  # n 2 c y x h w
    apart = cut.permute(0, 1, 3, 4, 2, 5, 6)  # n 2 y x c h w
    return _coarse(apart.flatten(0, 3)).reshape(len(pictures), apart.shape[1:4].numel(), -1)

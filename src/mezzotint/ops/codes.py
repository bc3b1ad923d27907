"""What can be done with codes as vectors: axes, directions, neighbors, and how complex a picture is without a model."""

import io

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

Codes = Float[Tensor, "n d"]


def principal_axes(codes: Codes, count: int = 2) -> tuple[Float[Tensor, " d"], Float[Tensor, "count d"]]:
    """Mean, and the orthonormal directions of greatest variance (Pearson 1901), the greatest first.

    The sign is such that the largest coefficient of an axis is positive; axes that the codes do not have are zero.
    """
    mean = codes.double().mean(0)
    _, _, rows = torch.linalg.svd(codes.double() - mean, full_matrices=False)
    axes = torch.zeros(count, codes.shape[1], dtype=torch.float64, device=codes.device)
    found = rows[:count]
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    axes[: len(found)] = found * torch.where(largest < 0, -1.0, 1.0)
    return mean.to(codes.dtype), axes.to(codes.dtype)


def projected(codes: Codes, mean: Float[Tensor, " d"], axes: Float[Tensor, "k d"]) -> Float[Tensor, "n k"]:
    """Coordinates of codes along axes."""
    return (codes - mean) @ axes.t()


def direction(codes: Codes, has: Float[Tensor, " n"] | Int[Tensor, " n"] | Tensor) -> Float[Tensor, " d"]:
    """From the mean code of pictures without an attribute to that of those with it (Larsen et al. 2016, section 4.2).

    `has` is true where a picture has it; raises ValueError unless there are pictures of either kind.
    """
    has = has.bool()
    if bool(has.all()) or not bool(has.any()):
        raise ValueError("a direction needs pictures with the attribute and pictures without it")
    return codes[has].mean(0) - codes[~has].mean(0)


def nearest(known: Codes, asked: Float[Tensor, "m d"], count: int) -> tuple[Tensor, Tensor]:
    """Indices and Euclidean distances of the `count` nearest known codes of each asked one, both m × count."""
    distances = torch.cdist(asked.double(), known.double())
    found, which = distances.topk(min(count, len(known)), largest=False)
    return which, found


def complexity(pixels: np.ndarray) -> Float[Tensor, " n"]:
    """Nats of each picture (bytes, n h w c) as the better of optimized PNG and lossless WebP stores it.

    An estimate of how much there is to tell of a picture that knows nothing of other pictures: Serrà et al. 2020,
    section 3.1 (there PNG, JPEG 2000 and FLIF).
    """
    return torch.tensor([_bytes(picture) for picture in pixels], dtype=torch.float64) * 8 * float(np.log(2))


def _bytes(picture: np.ndarray) -> int:
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    sizes: list[int] = []
    for kind, options in (("PNG", {"optimize": True}), ("WEBP", {"lossless": True, "quality": 100})):
        out = io.BytesIO()
        image.save(out, kind, **options)
        sizes.append(out.tell())
    return min(sizes)

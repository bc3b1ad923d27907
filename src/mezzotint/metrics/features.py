"""The coordinates in which sets of pictures are compared, and the extractor for where none was trained."""

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mezzotint.ops.places import CHANNELS, places
from mezzotint.types import DataSpec, Images

WIDTH = 5
"""Side of a random filter, in pixels of its scale."""
FILTERS = 64
"""Random filters over all scales."""
SMALLEST = 4
"""Short side, in pixels, of the coarsest scale."""
GAIN = 10.0
"""Brings the features of ordinary pictures to about unit deviation, where the cubic kernel of KID is not linear."""


@runtime_checkable
class Extractor(Protocol):
    """Pictures to features; its name and digest stand beside every number made with it."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def digest(self) -> str:
        """Hash of its weights (hexadecimal)."""
        ...

    @property
    def resize(self) -> str:
        """How it brings pictures to the size that it takes."""
        ...

    def __call__(self, images: Images) -> Float[Tensor, "n d"]:
        """One row of features per picture."""
        ...


@runtime_checkable
class Spatial(Protocol):
    """An extractor that can also tell where in a picture things are."""

    def spatial(self, images: Images) -> Float[Tensor, "n d"]:
        """One row per picture of answers that were not averaged over it, for a spatial distance (Nash et al. 2021)."""
        ...


AS_THEY_ARE = "none: pictures are taken as they are"
"""What extractors say that were made for the very pictures."""
INCEPTION_2015 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of pt_inception-2015-12-05-6726825d.pth: the weights that the Fréchet Inception distance is defined by."""


def is_fid(extractor: Extractor) -> bool:
    """Whether a Fréchet distance in these features may be called FID: only with the genuine Inception-2015 weights."""
    return extractor.digest == INCEPTION_2015


@dataclass(frozen=True)
class RandomFilters:
    """Rectified answers of fixed random filters at several scales, pooled over the quarters of the picture.

    Never trained, so blind to meaning: a ruler for sharpness, texture, shade and layout, where there is no better one
    (random features in a Fréchet distance: Naeem et al. 2020, section 4). Per filter and scale there are the means
    over the four quarters and the deviation over the whole; plain color is treated as one more filter a channel.
    """

    filters: tuple[Float[Tensor, "f c 5 5"], ...]
    """One bank a scale, from fine to coarse; each scale halves the picture."""
    digest: str
    name: str = "random-filters"
    resize: str = AS_THEY_ARE

    def __call__(self, images: Images) -> Float[Tensor, "n d"]:
        """About 320 features of each picture, float32; batches of about 50 are the fastest."""
        features = [_pooled(images)]
        for bank in self.filters:
            edge = F.pad(images, [WIDTH // 2] * 4, mode="replicate")
            features.append(_pooled(F.conv2d(edge, bank.to(images)).relu()))
            images = F.avg_pool2d(images, 2, ceil_mode=True)
        return torch.cat(features, 1).float()

    def spatial(self, images: Images) -> Float[Tensor, "n d"]:
        """The answers of the first filters of the finest scale, averaged over the cells of an 8×8 grid: 448 numbers."""
        edge = F.pad(images, [WIDTH // 2] * 4, mode="replicate")
        return GAIN * places(F.conv2d(edge, self.filters[0][:CHANNELS].to(images)).relu())


def random_filters(spec: DataSpec) -> RandomFilters:
    """The same filters for the same channels and number of scales, on any machine and in any version.

    Scales halve the picture for as long as its short side has at least four pixels: two for 8×8, six for 128×128.
    """
    scales = max(min(spec.height, spec.width) // SMALLEST, 1).bit_length()
    shape = FILTERS // scales, spec.channels, WIDTH, WIDTH
    banks = [_bank(f"mezzotint random filters 1, scale {scale}", shape) for scale in range(scales)]
    digest = hashlib.sha256(b"".join(bank.tobytes() for bank in banks)).hexdigest()
    return RandomFilters(tuple(torch.from_numpy(bank) for bank in banks), digest)


def _bank(key: str, shape: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Filters of zero mean and unit norm from the bits of a hash, which no library's version can change.

    The sums are of whole numbers, hence exact in any order: the digest is the same wherever it is taken.
    """
    draws = hashlib.shake_256(key.encode()).digest(math.prod(shape))
    weights = np.frombuffer(draws, np.uint8).astype(np.int64).reshape(shape[0], -1)
    weights = weights * weights.shape[1] - weights.sum(1, keepdims=True)
    norms = np.sqrt(np.square(weights).sum(1, keepdims=True).astype(np.float64))
    return (weights / norms).astype(np.float32).reshape(shape)


def _pooled(responses: Tensor) -> Tensor:
    quarters = F.adaptive_avg_pool2d(responses, 2).flatten(1)
    strength = torch.linalg.vector_norm(responses, dim=(2, 3)) / math.sqrt(responses[0, 0].numel())
    return GAIN * torch.cat([quarters, strength], 1)

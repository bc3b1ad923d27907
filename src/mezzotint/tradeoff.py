"""Pictures in fewer bytes than they take exactly: by the codec, or by another way that is nearer in no more bytes."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mezzotint import coding, lossy
from mezzotint.coding import COLORS, Coded, LossyParts
from mezzotint.data.decode import Pixels
from mezzotint.metrics import distortion
from mezzotint.networks.hyperprior import Decoder, Hyperprior
from mezzotint.raster import Raster

WORTH_TRYING = 1.3
"""Times the codec's bytes up to which what is quickly written without loss is tried at slow settings."""


@dataclass(frozen=True)
class Lossy:
    """How pictures are to be compressed with some loss."""

    network: Hyperprior
    """As `networks.grid.fixed` gives it."""
    quality: int
    """1 … 100."""
    target: str = "mse"
    """What nearness is: `mse` or `ms-ssim`."""


@dataclass(frozen=True)
class Kept:
    """A picture as an archive will have it."""

    coded: Coded
    raster: Raster
    """What comes back."""
    psnr: float
    """In dB, as it looks over white; infinite where it looks the same, though colors that nobody sees may differ."""


def encode(lossy_way: Lossy, rasters: Sequence[Raster], files: Sequence[bytes]) -> list[Kept]:
    """Each picture in the nearest way that takes no more bytes than the codec; `files` are what it came in."""
    prepared = [_prepared(raster, lossy_way.network.decoder) for raster in rasters]
    shrunk = iter(lossy.shrink(lossy_way.network, [p.planes for p in prepared if p is not None], lossy_way.quality))
    ways = [
        None if p is None else _kept(raster, p, next(shrunk), lossy_way)
        for raster, p in zip(rasters, prepared, strict=True)
    ]
    with ThreadPoolExecutor() as pool:
        targets = [lossy_way.target] * len(rasters)
        return list(pool.map(_nearest, rasters, ways, files, targets))


@dataclass(frozen=True)
class _Prepared:
    planes: Pixels
    """Laid over white, with the network's channels."""
    facts: dict[str, Any]
    alpha: bytes


def _prepared(raster: Raster, decoder: Decoder) -> _Prepared | None:
    """A picture as the network takes it; None for modes, colors and sizes that it does not."""
    channels, found = decoder.channels, coding.planes_of(raster)
    # A color that means transparency would no longer be that color.
    if found is None or raster.more or "transparency" in raster.meaning:
        return None
    if not lossy.takes(decoder.config.latents, raster.height, raster.width):
        return None
    colors, alpha = found
    facts: dict[str, Any] = {}
    coded = b""
    if alpha is not None:
        colors = coding.over_white(colors, alpha)
        if (alpha == alpha[0, 0]).all():
            facts["alpha"] = int(alpha[0, 0])
        else:
            coded = coding.alpha_coded(alpha)
    grey = colors.shape[2] == 1 or bool((colors == colors[..., :1]).all())
    if not grey and channels == 1:
        return None
    if grey and colors.shape[2] == 3:
        facts["grey"] = True
    planes = colors[..., :channels] if colors.shape[2] >= channels else colors.repeat(channels, 2)
    return _Prepared(np.ascontiguousarray(planes), facts, coded)


def _kept(raster: Raster, prepared: _Prepared, shrunk: lossy.Shrunk, way: Lossy) -> Kept:
    """What the codec makes of it."""
    facts = {"coding": "lossy", "quality": way.quality, **prepared.facts}
    if shrunk.beyond:
        facts["beyond"] = True
    data = coding.lossy_joined(LossyParts(shrunk.streams, shrunk.beyond, prepared.alpha))
    again = coding.seen({"mode": raster.mode, **facts}, shrunk.pixels, prepared.alpha)
    return _as_kept(raster, Coded(facts, data), again)


def _as_kept(raster: Raster, coded: Coded, again: bytes) -> Kept:
    back = Raster(raster.mode, raster.width, raster.height, again, raster.meaning, raster.profile)
    return Kept(coded, back, float(distortion.psnr(_looks(raster), _looks(back))))


def _nearest(raster: Raster, ours: Kept | None, file: bytes, target: str) -> Kept:
    if ours is None:
        return Kept(coding.smallest(raster, None, file), raster, np.inf)
    size = len(ours.coded.data)
    exact = _exact(raster, file, size)
    if exact is not None:
        return Kept(exact, raster, np.inf)
    return max([ours, *_as_files(raster, size)], key=lambda kept: _nearness(raster, kept, target))


def _exact(raster: Raster, file: bytes, size: int) -> Coded | None:
    """A way without loss that takes no more than `size` bytes, or None."""
    if raster.lossy and len(file) <= size:
        return Coded({"coding": "file"}, file)
    if not coding.webp_takes(raster) or coding.quick(raster) > WORTH_TRYING * size:
        return None
    found = coding.classic(raster)
    return found if len(found.data) <= size else None


def _as_files(raster: Raster, size: int) -> Iterator[Kept]:
    """The picture as WebP and JPEG at the highest quality that takes no more than `size` bytes."""
    if not coding.webp_takes(raster):
        return
    for form in ("webp", "jpeg") if raster.mode in ("L", "RGB") else ("webp",):
        data = _at_most(raster, form, size)
        if data is not None:
            coded = Coded({"coding": form, "loss": True}, data)
            again = coding.unclassic(coded, raster.mode, (raster.width, raster.height))
            if raster.mode in ("LA", "RGBA") and again[COLORS[raster.mode] :: COLORS[raster.mode] + 1] != _alpha(
                raster
            ):
                continue
            yield _as_kept(raster, coded, again)


def _alpha(raster: Raster) -> bytes:
    return raster.data[COLORS[raster.mode] :: COLORS[raster.mode] + 1]


def _at_most(raster: Raster, form: str, size: int) -> bytes | None:
    """By bisection over the quality; None where even the lowest takes more."""
    best, low, high = _written(raster, form, 1), 2, 100
    if len(best) > size:
        return None
    while low <= high:
        quality = (low + high) // 2
        data = _written(raster, form, quality)
        if len(data) <= size:
            best, low = data, quality + 1
        else:
            high = quality - 1
    return best


def _written(raster: Raster, form: str, quality: int) -> bytes:
    image = raster.image
    if form == "webp":
        image = image.convert("RGBA" if raster.mode in ("LA", "RGBA") else "RGB")
    options = {"webp": {"method": 4}, "jpeg": {"subsampling": 0, "optimize": True}}[form]
    buffer = io.BytesIO()
    image.save(buffer, form.upper(), quality=quality, **options)
    return buffer.getvalue()


def _nearness(raster: Raster, kept: Kept, target: str) -> float:
    """Higher is nearer."""
    return kept.psnr if target == "mse" else float(distortion.ms_ssim(_looks(raster), _looks(kept.raster)))


def _looks(raster: Raster) -> torch.Tensor:
    """The picture over white, 1 × c × h × w in [-1, 1]."""
    found = coding.planes_of(raster)
    assert found is not None
    colors, alpha = found
    laid = colors if alpha is None else coding.over_white(colors, alpha)
    return torch.from_numpy(laid.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]

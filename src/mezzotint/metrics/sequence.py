"""How far forecast frames are from those that came: a number for each clip and step, as they would be saved.

On pictures scaled from [-1, 1] to [0, 1], in float64, as `metrics.distortion`.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.metrics import distortion
from mezzotint.types import Clips, Images

PerStep = Float[Tensor, "n t"]

ROUNDING = 10 * math.log10(12 * 255**2)
"""Peak signal-to-noise ratio of rounding to 8 bits, 58.9 dB: the most that a frame counts for in means, which
one without error would make infinite."""


def _each(measure: Callable[[Images, Images], Tensor], said: Clips, came: Clips) -> PerStep:
    return measure(said.flatten(0, 1), came.flatten(0, 1)).unflatten(0, said.shape[:2])


def errors(said: Clips, came: Clips) -> dict[str, PerStep]:
    """By name: `mse_frame`, `mse`, `mae`, `psnr`, `ssim`.

    `mse_frame` is the squared error summed over all numbers of a frame: what papers on Moving MNIST call MSE.
    """
    mse = _each(distortion.mse, said, came)
    return {
        "mse_frame": mse * said[0, 0].numel(),
        "mse": mse,
        "mae": _each(distortion.mae, said, came),
        "psnr": (-10 * mse.log10()).clamp(max=ROUNDING),
        "ssim": _each(distortion.ssim, said, came),
    }


def film_features(features: Float[Tensor, "n t d"]) -> Float[Tensor, "n f"]:
    """One row a clip from its frames' features: their mean, and how much they change from frame to frame.

    What a Fréchet distance of clips is taken in where no extractor of video is at hand: `d` means and `d` mean absolute
    differences of neighboring frames, which are zero where there is one frame.
    """
    changes = features.diff(dim=1).abs().sum(1) / max(1, features.shape[1] - 1)
    return torch.cat([features.mean(1), changes], 1)

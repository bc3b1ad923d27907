"""Forecasting without recurrence: SimVP (Gao et al. 2022) with gated spatio-temporal attention (Tan et al. 2022).

All frames are coded one by one; a translator sees the codes of all of them as the channels of one map and makes of them
the codes of as many frames to come; these are decoded one by one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mezzotint.networks.parts import Conv2d, Fold
from mezzotint.types import Clips, DataSpec

Maps = Float[Tensor, "n _ _ _"]


@dataclass(frozen=True, kw_only=True)
class SimvpConfig:
    """Widths and depth."""

    width: int = 32
    """Channels of a frame's code."""
    hidden: int = 256
    """Channels of the translator."""
    blocks: int = 4
    patch: int = 2
    """Side of the squares of pixels that become channels at the door; the code's side is half of the rest."""
    grow: int = 2
    """Times the channels, within the translator's second half of a block."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes of which no network can be made."""
        if min(self.width, self.hidden, self.blocks, self.patch, self.grow) < 1:
            raise ValueError("width, hidden, blocks, patch and grow must be at least 1")

    def build(self, spec: DataSpec, context: int) -> "Simvp":
        """The network that takes and gives `context` frames."""
        return Simvp(self, spec, context)


class Norm(nn.Module):
    """Each position's channels to mean 0 and variance 1, then scaled and shifted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Maps) -> Maps:
        """The same shape."""
        return F.layer_norm(x.permute(0, 2, 3, 1), self.scale.shape, self.scale, self.shift).permute(0, 3, 1, 2)


class GatedAttention(nn.Module):
    """Each place weighed by what lies around it: a large kernel in three cheap parts, and a gate of its own making.

    Tan et al. 2022 (SimVP v2), equations 4 and 5: depthwise 5×5, depthwise 7×7 at every third place, 1×1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = Conv2d(width, width, 1), Conv2d(width, width, 1)
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.far = nn.Conv2d(width, width, 7, padding=9, dilation=3, groups=width)
        self.weigh = Conv2d(width, 2 * width, 1)

    def forward(self, x: Maps) -> Maps:
        """The same shape."""
        y = F.gelu(self.enter(x))
        value, gate = self.weigh(self.far(self.near(y))).chunk(2, 1)
        return self.leave(gate.sigmoid() * value)


class Block(nn.Module):
    """Gated attention, then each place for itself and its neighbors; both are added, by weights that begin small."""

    def __init__(self, width: int, grow: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(Norm(width), GatedAttention(width))
        self.think = nn.Sequential(
            Norm(width),
            Conv2d(width, grow * width, 1),
            nn.Conv2d(grow * width, grow * width, 3, padding=1, groups=grow * width),
            nn.GELU(),
            Conv2d(grow * width, width, 1),
        )
        self.weights = nn.Parameter(torch.full((2, width, 1, 1), 0.1))

    def forward(self, x: Maps) -> Maps:
        """The same shape."""
        x = x + self.weights[0].to(x.dtype) * self.attend(x)
        return x + self.weights[1].to(x.dtype) * self.think(x)


class Simvp(nn.Module):
    """Code each frame → translate all codes at once → decode each frame, with a bridge from the frame it stands for.

    ```text
    frames 1 … t ─ fold ─ 3×3 ──────────── bridge ──────────── 3×3 ─ unfold ─ frames t+1 … 2t
                           └ 3×3, half ─ blocks over all t ─ 3×3, double ┘
    ```
    """

    def __init__(self, config: SimvpConfig, spec: DataSpec, context: int) -> None:
        super().__init__()
        self.config, self.context = config, context
        w, folded = config.width, spec.channels * config.patch**2
        self.fold = Fold(config.patch, 2 * config.patch)
        self.fine = nn.Sequential(Conv2d(folded, w, 3, padding=1), nn.SiLU())
        self.coarse = nn.Sequential(Conv2d(w, w, 3, 2, 1), nn.SiLU(), Conv2d(w, w, 3, padding=1))
        self.enter = Conv2d(context * w, config.hidden, 1)
        self.blocks = nn.Sequential(*(Block(config.hidden, config.grow) for _ in range(config.blocks)))
        self.leave = Conv2d(config.hidden, context * w, 1)
        self.doubled = Conv2d(w, 4 * w, 3, padding=1)
        self.decode = nn.Sequential(Conv2d(2 * w, w, 3, padding=1), nn.SiLU(), Conv2d(w, folded, 1))

    def forward(self, frames: Clips, horizon: int) -> Clips:
        """The `horizon` frames that follow, by feeding back what it said where it has to go on."""
        said: list[Tensor] = []
        while sum(part.shape[1] for part in said) < horizon:
            seen = torch.cat([frames, *said], 1)[:, -self.context :]
            said.append(self._block(seen))
        return torch.cat(said, 1)[:, :horizon]

    def _block(self, frames: Clips) -> Clips:
        n, t = frames.shape[:2]
        flat = frames.flatten(0, 1)
        fine = self.fine(self.fold(flat).contiguous(memory_format=torch.channels_last))
        coarse = self.coarse(fine)
        joined = coarse.permute(0, 2, 3, 1).unflatten(0, (n, t)).permute(0, 1, 4, 2, 3).flatten(1, 2)
        hidden = self.enter(joined.contiguous(memory_format=torch.channels_last))
        codes = self.leave(self.blocks(hidden)).unflatten(1, (t, -1)).flatten(0, 1)
        codes = F.pixel_shuffle(self.doubled(codes.contiguous(memory_format=torch.channels_last) + coarse), 2)
        said = self.fold.undone(self.decode(torch.cat([codes, fine], 1)), flat)
        return said.unflatten(0, (n, t)).to(torch.promote_types(said.dtype, torch.float32))

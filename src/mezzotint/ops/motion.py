"""Motion between two frames by comparing blocks, and frames that go on as they last moved."""

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from mezzotint.types import Clips, Images

REACH, WINDOW = 6, 9
"""Most pixels that a place can move from one frame to the next, and the side of the blocks that are compared."""
SMALL, SMALL_WINDOW = 32, 5
"""Frames with a shorter side are compared by smaller blocks: in them everything is."""
PREFERENCE = 1e-3
"""What a pixel of motion costs, so that what has no texture stands still."""


def displacement(first: Images, second: Images, reach: int = REACH) -> Int[Tensor, "n 2 h w"]:
    """Where each place of `second` came from: (down, across) in whole pixels, from the window that differs least."""
    n, _, h, w = second.shape
    padded = F.pad(first, [reach] * 4, mode="replicate")
    window = WINDOW if min(h, w) >= SMALL else SMALL_WINDOW
    best = second.new_full((n, 1, h, w), torch.inf)
    found = torch.zeros(n, 2, h, w, dtype=torch.long, device=second.device)
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            before = padded[:, :, reach - down : reach - down + h, reach - across : reach - across + w]
            cost = (second - before).abs().mean(1, keepdim=True)
            for side in ((window, 1), (1, window)):
                cost = F.avg_pool2d(cost, side, 1, (side[0] // 2, side[1] // 2), count_include_pad=False)
            cost = cost + PREFERENCE * (down**2 + across**2) ** 0.5
            better = cost < best
            best = torch.where(better, cost, best)
            here = torch.tensor([down, across], device=second.device).view(1, 2, 1, 1)
            found = torch.where(better, here, found)
    return found


def moved_on(last: Images, motion: Int[Tensor, "n 2 h w"], steps: int) -> Images:
    """`last` after `steps` more frames of the same motion.

    What moves is laid over what stands; what it uncovers shows the frame's median color.
    """
    n, _, h, w = last.shape
    rows = torch.arange(h, device=last.device).view(1, h, 1) + steps * motion[:, 0]
    columns = torch.arange(w, device=last.device).view(1, 1, w) + steps * motion[:, 1]
    moves = motion.abs().amax(1) > 0
    inside = moves & (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    ground = last.flatten(2).median(2).values[:, :, None, None]
    out = torch.where(moves[:, None], ground, last)
    # Where several places come to one, the last of them is seen, whatever the number of threads.
    places = torch.arange(h * w, device=last.device).expand(n, -1)
    target = torch.where(inside, rows * w + columns, h * w).flatten(1)
    source = torch.full((n, h * w + 1), -1, device=last.device).scatter_reduce(1, target, places, "amax")[:, None, :-1]
    moved = last.flatten(2).gather(2, source.clamp(min=0).expand(-1, last.shape[1], -1))
    return torch.where(source >= 0, moved, out.flatten(2)).view_as(last)


def linear_motion(context: Clips, horizon: int) -> Clips:
    """The frames that follow if everything goes on as it moved between the last two; one frame stands still."""
    if context.shape[1] < 2:
        return context[:, -1:].expand(-1, horizon, -1, -1, -1)
    motion = displacement(context[:, -2], context[:, -1])
    return torch.stack([moved_on(context[:, -1], motion, k) for k in range(1, horizon + 1)], 1)

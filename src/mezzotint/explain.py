"""Where a recognizer looks: Grad-CAM and occlusion, and pictures that show it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mezzotint.data import pictures
from mezzotint.drawing import using
from mezzotint.method import Method
from mezzotint.types import Classifies, Images, Labels, ShowsWhere

Heat = Float[Tensor, "n h w"]
"""How much each place speaks for a class, from 0 to 1."""


def grad_cam(method: ShowsWhere, images: Images, labels: Labels) -> Heat:
    """Places that speak for the class of each picture (Selvaraju et al. 2017, equations 1 and 2).

    The maps of the network's last layer that knows of places, weighed by the mean slope of the class's logit along
    each of them, and what is positive of their sum; scaled to a maximum of 1 and to the size of the picture.
    """
    with torch.no_grad():
        found = method.maps(images).float()
    maps = found.detach().requires_grad_(True)
    with torch.enable_grad():
        chosen = method.logits_of_maps(maps).gather(1, labels[:, None]).sum()
        (slopes,) = torch.autograd.grad(chosen, maps)
    heat = (slopes.mean((2, 3), keepdim=True) * found).sum(1, keepdim=True).relu()
    heat = F.interpolate(heat, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)


def occlusion(method: Method, images: Images, labels: Labels, side: int | None = None) -> Heat:
    """How far the class's probability falls where a grey square hides the picture (Zeiler & Fergus 2014, section 4.2).

    Squares of `side` pixels (default: a quarter of the picture's) lie half over one another; a place has the mean fall
    of the squares over it, what rises is 0, and the greatest fall of a picture is 1.
    """
    assert isinstance(method, Classifies)
    n, _, h, w = images.shape
    side = side or max(1, min(h, w) // 4)
    step = max(1, side // 2)
    falls, covers = torch.zeros(n, h, w), torch.zeros(1, h, w)
    with using(method):
        before = _probability(method, images, labels)
        for top in _starts(h, side, step):
            for left in _starts(w, side, step):
                hidden = images.clone()
                hidden[:, :, top : top + side, left : left + side] = 0
                fall = (before - _probability(method, hidden, labels)).view(-1, 1, 1)
                falls[:, top : top + side, left : left + side] += fall
                covers[:, top : top + side, left : left + side] += 1
    heat = (falls / covers).relu()
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where squares begin, the last one at the edge."""
    return sorted({*range(0, max(1, length - side), step), max(0, length - side)})


def _probability(method: Classifies, images: Images, labels: Labels) -> Float[Tensor, " n"]:
    return method.classify(images).float().softmax(1).gather(1, labels[:, None]).squeeze(1).cpu()


def overlaid(images: Images, heat: Heat) -> pictures.Pixels:
    """Pictures in grey with the heat in color over them, n × h × w × 3."""
    from matplotlib import colormaps

    grey = (images.mean(1) + 1) / 2
    color = torch.from_numpy(colormaps["inferno"](heat.cpu().numpy())[..., :3]).float()
    share = 0.6 * heat.cpu()[..., None]
    shown = grey.cpu()[..., None] * (1 - share) + color * share
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8).numpy()

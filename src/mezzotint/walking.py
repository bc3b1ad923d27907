"""Ways through the latents that a method draws from: between two seeds, along factors, to a picture that is given."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mezzotint.drawing import DRAWN_AT_ONCE, device_of, using
from mezzotint.method import Method
from mezzotint.ops import latents
from mezzotint.types import Decodes, Images, Kinds, Labels


def drawn(method: Method, rows: Float[Tensor, "n latent"], kinds: Kinds | None) -> Images:
    """The pictures of latents, in full chunks so that each is what `generate` would draw."""
    assert isinstance(method, Decodes)
    device, parts = device_of(method), []
    for first in range(0, len(rows), DRAWN_AT_ONCE):
        some = rows[first : first + DRAWN_AT_ONCE]
        pad = DRAWN_AT_ONCE - len(some)
        told = None if kinds is None else kinds[first : first + DRAWN_AT_ONCE]
        if told is not None:
            told = torch.cat([told, told[-1:].expand(pad, *told.shape[1:])]).to(device)
        images = method.decode(torch.cat([some, some[-1:].expand(pad, -1)]).to(device), told)
        parts.append(images[: len(some)].float().cpu())
    return torch.cat(parts)


def between(method: Method, seeds: tuple[int, int], steps: int, ends: Labels | None) -> Float[Tensor, "steps c h w"]:
    """`steps` pictures from one seed's to another's, of the classes `ends`, over the sphere that the noise lies on."""
    assert isinstance(method, Decodes)
    share = torch.linspace(0, 1, steps)
    first, second = method.latents(seeds).cpu().float().split(1)
    with using(method):
        path = latents.slerp(first.expand(steps, -1), second.expand(steps, -1), share)
        return drawn(method, path, None if ends is None else _shares(ends, share, method.classes))


def _shares(ends: Labels, share: Float[Tensor, " steps"], classes: int) -> Float[Tensor, "steps classes"]:
    """For each step the shares of the classes of both ends."""
    first, second = torch.nn.functional.one_hot(ends, classes).float()
    return torch.lerp(first[None], second[None], share[:, None])


def along_factors(
    method: Method, seeds: Sequence[int], count: int, steps: int, reach: float, kinds: Labels | None
) -> Float[Tensor, "walked c h w"]:
    """Each seed's picture, of its class in `kinds`, along the `count` directions that the first weights stretch most.

    len(seeds)·count·steps pictures: for each seed and direction, `steps` from -reach to reach (Shen & Zhou 2021).
    """
    assert isinstance(method, Decodes)
    with using(method):
        start = method.latents(seeds).cpu().float()
        directions = latents.factors(method.entrance().cpu().float(), count)
        rows = [latents.walk(z[None], way, reach, steps) for z in start for way in directions]
        repeats = len(directions) * steps
        return drawn(method, torch.cat(rows), None if kinds is None else kinds.repeat_interleave(repeats))


def projected(
    method: Method, images: Images, kinds: Labels | None, seeds: Sequence[int], steps: int
) -> tuple[Float[Tensor, "n latent"], Images, Float[Tensor, " n"]]:
    """Latents from which `images` are drawn most nearly, what is then drawn, and what is left (`latents.difference`).

    Gradient descent of so many steps begins at the nearest picture of `seeds`. Without `kinds` a method that draws by
    class tries all of them first.
    """
    assert isinstance(method, Decodes)
    device = device_of(method)
    with using(method):
        noise, usual = method.latents(seeds).cpu().float(), method.labels_for(seeds, None)
        usual = None if usual is None else usual.cpu()
        found = drawn(method, noise, usual)
        gaps = torch.stack([latents.difference(found, x.expand_as(found)) for x in images])
        if kinds is not None and usual is not None:
            gaps[kinds[:, None] != usual[None]] = torch.inf
        nearest = gaps.argmin(1)
    asked = kinds if kinds is not None else None if usual is None else usual[nearest]
    told = None if asked is None else asked.to(device)
    found, left = latents.projected(
        lambda z: _held(method.unclamped(z, told)), images.to(device), noise[nearest].to(device), steps
    )
    with using(method):
        return found.cpu(), drawn(method, found.cpu(), asked), left.cpu()


def _held(images: Images) -> Images:
    """Brought into [-1, 1] as `decode` does, but with the slope of `images`: what is beyond can come back."""
    return images + (images.clamp(-1, 1) - images).detach()

"""The weights that are used: an exponential average of the weights that are trained."""

import copy

import torch

from mezzotint.method import Method
from mezzotint.recipe import Averaging


class Average:
    """A copy of a method that follows it at a distance; its half-life is a share of the images seen.

    The relative half-life is that of Karras et al. 2024 (EDM2, section 3): one setting fits every length of run.
    """

    def __init__(self, method: Method, settings: Averaging) -> None:
        self.settings = settings
        self.method = copy.deepcopy(method).eval().requires_grad_(False)
        self._ours = [*self.method.parameters(), *self.method.buffers()]

    @torch.no_grad()
    def update(self, method: Method, step: int, images: int, batch: int) -> None:
        """Move towards `method` after `step` steps and `images` pictures of `batch` each."""
        early = step < self.settings.every
        if not early and step % self.settings.every:
            return
        keep = 0.0
        if self.settings.share > 0 and not early:
            keep = 0.5 ** (batch * self.settings.every / (self.settings.share * images))
        theirs = [*method.parameters(), *method.buffers()]
        pairs = list(zip(self._ours, theirs, strict=True))
        smooth = [(a, b) for a, b in pairs if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in smooth], [b.detach() for _, b in smooth], 1 - keep)  # pyright: ignore[reportPrivateImportUsage]
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)

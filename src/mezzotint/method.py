"""The abstract Method: what is learned and how. It never steps an optimizer and never sees a file."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mezzotint.types import Batch, DataSpec, Labels, Loss, Phase


class Method(nn.Module, ABC):
    """Networks and the losses that train them.

    A step of training takes the due `phases` in turn; each asks for `loss` and descends it in the parameters of the
    groups that the phase trains. What a method can do once trained, it says by having it (`types.Generates` and so on).
    """

    phases: tuple[Phase, ...]
    spec: DataSpec
    classes: int = 0
    """Classes that it draws by; 0 where it is told none."""

    @property
    def stage(self) -> int:
        """How far it has grown: steps of one stage cost the same."""
        return 0

    @abstractmethod
    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters by the name of the group that trains them: disjoint and complete."""

    @abstractmethod
    def loss(self, batch: Batch, phase: str) -> Loss:
        """What the phase descends, averaged over the pictures of the batch."""

    def labels_for(self, seeds: Sequence[int], labels: Labels | None) -> Labels | None:
        """The classes to draw: `labels`, or else all in turn by the seeds; None for a method that is told none."""
        if not self.classes or labels is not None:
            return labels if self.classes else None
        return torch.tensor([s % self.classes for s in seeds], device=next(self.parameters()).device)

    def after_step(self, phase: str) -> None:
        """Put the weights back where the method demands them (weight clipping); called after each optimizer step."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig(ABC):
    """The settings of a method; knows how to build it for a data set."""

    def eased(self, trouble: str) -> "MethodConfig | None":
        """Settings that withstand a trouble better (`training.watch` names it); None where the method knows none."""
        return None

    @abstractmethod
    def build(self, spec: DataSpec) -> Method:
        """The method with fresh weights from torch's current seed; raises UserError where the data do not fit."""


def check_groups(method: Method) -> None:
    """Raise ValueError unless the groups are disjoint and complete and each phase trains groups that exist."""
    groups = method.groups()
    listed = [id(p) for group in groups.values() for p in group]
    everything = {id(p) for p in method.parameters()}
    if len(listed) != len(set(listed)) or set(listed) != everything:
        raise ValueError("the groups of a method must hold each of its parameters exactly once")
    unknown = {name for phase in method.phases for name in phase.trains} - set(groups)
    if unknown:
        raise ValueError(f"phases train groups that do not exist: {sorted(unknown)}")

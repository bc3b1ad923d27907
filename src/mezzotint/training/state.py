"""Everything of a training that a checkpoint holds."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.method import Method, check_groups
from mezzotint.recipe import Recipe
from mezzotint.training import optimizers
from mezzotint.training.averaging import Average
from mezzotint.training.watch import Reading, Tally

NAMES = (
    *("step", "refused", "seconds", "best", "stale", "threads", "glances"),
    *("troubles", "since", "suspected", "told", "spoiled", "stopped", "regrowth"),
)
"""Facts of a state that go to JSON as they are."""


class State:
    """Weights, their average, what the optimizers remember, and how far the run has come."""

    def __init__(self, recipe: Recipe, method: Method) -> None:
        check_groups(method)
        missing = set(method.groups()) ^ set(recipe.optimizers)
        if missing:
            raise UserError(
                f"the recipe's optimizers must be named as the method's groups; odd ones: {sorted(missing)}"
            )
        self.method = method
        self.average = Average(method, recipe.averaging)
        self.settings = {
            name: optimizers.spread_over(settings, _turns_a_step(method, name))
            for name, settings in recipe.optimizers.items()
        }
        """Of the optimizers, with the recipe's spread over the turns that a step holds."""
        self.optimizers = {
            name: optimizers.build(self.settings[name], group) for name, group in method.groups().items()
        }
        self.images = 0
        self.step = 0
        self.refused = 0
        """Non-finite steps in a row."""
        self.seconds = 0.0
        self.best: float | None = None
        """Best validation score so far (of the present stage of a network that grows), and milestones since."""
        self.stale = 0
        self.threads: int | None = None
        self.glances: list[float] = []
        """Seconds that each milestone took, by the pictures that it looked at."""
        self.tally = Tally()
        self.readings: list[Reading] = []
        """Of the watch: the healthy ones."""
        self.troubles: list[str] = []
        """That the run was rolled back for, in order."""
        self.since = 0
        """Readings before the one that the last rollback went back to."""
        self.suspected = False
        """Whether the last milestone was suspect."""
        self.told = ""
        """The trouble of the last milestone that was only told."""
        self.spoiled = False
        """Whether the last milestone was so much worse than the best that the best weights are the model."""
        self.stopped = ""
        """The trouble that ended the run."""
        self.regrowth: Sequence[float] = (0.0, 0.0)
        """How far a growing network was where the last rollback went back to, and the progress at which it did."""

    def growth(self, progress: float) -> float:
        """How far a network that grows is to be: what a rollback has closed takes what remains of the run."""
        back_to, since = self.regrowth
        return min(1.0, back_to + (1 - back_to) * (progress - since) / max(1 - since, 1e-9))

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Take some weights from elsewhere, by name; the others stay."""
        for method in (self.method, self.average.method):
            method.load_state_dict(weights, strict=False)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, by a name that says whose it is."""
        found = {f"method.{k}": v for k, v in self.method.state_dict().items()}
        found |= {f"average.{k}": v for k, v in self.average.method.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            found |= {f"optimizer.{name}.{k}": v for k, v in optimizers.state_tensors(optimizer).items()}
        return found

    def facts(self) -> dict[str, Any]:
        """Everything that is not a tensor."""
        watched = {"readings": [asdict(r) for r in self.readings], "tally": self.tally.phases}
        return {name: getattr(self, name) for name in NAMES} | watched

    def restore(self, images: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """The inverse of `tensors` and `facts`."""
        self.restore_tensors(tensors)
        self.images = images
        self.readings = [Reading(**r) for r in facts.get("readings", ())]
        self.tally.phases = facts.get("tally", {})
        for name in NAMES:
            setattr(self, name, facts.get(name, getattr(self, name)))

    def go_on_from(self, before: "State", tensors: dict[str, Tensor], growth: float, progress: float) -> None:
        """Take over how far `before` has come, and the weights of `tensors` where there are any.

        Pictures seen are counted on: the budget stays what it was, and all noise is new. The network that `tensors` are
        of had grown so far; it is `progress` now.
        """
        if tensors:
            self.restore_tensors(tensors)
        self.images, self.readings = before.images, before.readings
        for name in NAMES:
            setattr(self, name, getattr(before, name))
        self.refused, self.stale, self.spoiled, self.suspected = 0, 0, False, False
        self.regrowth = (growth, progress)
        self.since = max(len(self.readings) - 1, 0)

    def restore_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`; buffers that a remedy has added keep what they begin with."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        for method, found in ((self.method, part("method.")), (self.average.method, part("average."))):
            buffers = {k for k, _ in method.named_buffers()}
            added = {k: v for k, v in method.state_dict().items() if k in buffers and k not in found}
            method.load_state_dict({**added, **found})
        for name, optimizer in self.optimizers.items():
            optimizers.load_state_tensors(optimizer, part(f"optimizer.{name}."))


def _turns_a_step(method: Method, group: str) -> float:
    """How often a group is trained in a step, on average, in the part of the run where that is most."""
    own = [phase for phase in method.phases if group in phase.trains]
    return max((sum(1 / phase.every for phase in own if phase.lasts(at.begins)) for at in own), default=0.0)

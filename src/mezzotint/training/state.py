"""Everything of a training that a checkpoint holds."""

from typing import Any

from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.method import Method, check_groups
from mezzotint.recipe import Recipe
from mezzotint.training import optimizers
from mezzotint.training.averaging import Average


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
        self.optimizers = {
            name: optimizers.build(recipe.optimizers[name], group) for name, group in method.groups().items()
        }
        self.images = 0
        self.step = 0
        self.refused = 0
        """Non-finite steps in a row."""
        self.seconds = 0.0
        self.best: float | None = None
        """Best validation score so far, and milestones since; only where the recipe stops early."""
        self.stale = 0
        self.threads: int | None = None

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
        names = ("step", "refused", "seconds", "best", "stale", "threads")
        return {name: getattr(self, name) for name in names}

    def restore(self, images: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """The inverse of `tensors` and `facts`."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.method.load_state_dict(part("method."))
        self.average.method.load_state_dict(part("average."))
        for name, optimizer in self.optimizers.items():
            optimizers.load_state_tensors(optimizer, part(f"optimizer.{name}."))
        self.images = images
        for name, value in facts.items():
            setattr(self, name, value)

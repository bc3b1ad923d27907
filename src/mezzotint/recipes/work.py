"""How much work a network is, and how much of it a budget affords."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mezzotint.types import DataSpec

LAPTOP = 1.5e10
"""Pictures a second times multiply-adds of a picture, in training, on two CPU cores: what recipes are sized for.

A rough figure, as all here: it decides which network is tried, never how long it trains.
"""
ACCELERATOR = 3e12
"""The same on a GPU, roughly."""


@runtime_checkable
class Builds(Protocol):
    """A network's configuration."""

    def build(self, spec: DataSpec) -> nn.Module:
        """The network."""
        ...


def work(config: Builds, spec: DataSpec) -> int:
    """Multiply-adds for one picture; torch's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        # Without classes there would be no head; that such data cannot be learned is for the method to say.
        network = config.build(replace(spec, classes=spec.classes or ("any",))).eval()
    return multiply_adds(network, torch.zeros(1, *spec.shape))


def multiply_adds(network: nn.Module, *inputs: Tensor) -> int:
    """Of its convolutions and linear maps in one pass."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        total += module.weight[0].numel() * output.numel()

    for module in _weighing(network.modules()):
        module.register_forward_hook(count)
    with torch.no_grad():
        network(*inputs)
    return total


def _weighing(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if isinstance(module, (nn.Conv2d, nn.Linear))]


def passes(minutes: float) -> float:
    """How often pictures are to be seen: a budget four times as long goes half into passes, half into the network."""
    return min(100.0, max(4.0, 4 * minutes**0.5))


def affordable(spec: DataSpec, minutes: float, pace: float) -> float:
    """Multiply-adds of a network that sees all training pictures as often as `passes` says, at a `pace` of the machine.

    A tenth of the budget goes into starting and measuring.
    """
    return 0.9 * 60 * minutes * pace / (passes(minutes) * max(1, spec.count))


def passes_of(network_work: float, spec: DataSpec, minutes: float, pace: float) -> float:
    """How often a network of so many multiply-adds will see the pictures, at a `pace` of the machine."""
    return passes(minutes) * affordable(spec, minutes, pace) / network_work

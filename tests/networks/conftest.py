from collections.abc import Callable
from typing import Protocol

import pytest
import torch
from torch import Tensor, nn

from mezzotint.types import DataSpec

CLASSES = tuple("abc")


class MakeSpec(Protocol):
    def __call__(self, side: int, channels: int = 1) -> DataSpec: ...


@pytest.fixture(autouse=True)
def fixed_weights() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_spec() -> MakeSpec:
    return lambda side, channels=1: DataSpec(channels=channels, height=side, width=side, classes=CLASSES)


@pytest.fixture
def assert_all_learn() -> Callable[[nn.Module, Callable[[], Tensor]], None]:
    """Every parameter gets a gradient that is not all zero (parameters that begin at zero are moved away first)."""

    def check(module: nn.Module, output: Callable[[], Tensor]) -> None:
        with torch.no_grad():
            for parameter in module.parameters():
                if not parameter.any():
                    parameter.normal_(0, 0.1)
        value = output()
        (value * torch.randn_like(value)).sum().backward()
        idle = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle

    return check


@pytest.fixture
def count() -> Callable[[nn.Module], int]:
    return lambda module: sum(p.numel() for p in module.parameters())

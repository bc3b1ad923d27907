import math

import pytest
import torch
from torch import nn

from mezzotint.method import Method
from mezzotint.recipe import Averaging
from mezzotint.training.averaging import Average
from mezzotint.types import Batch, Loss, Phase


class Point(Method):
    phases = (Phase("fit", trains=("all",)),)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"all": [self.weight]}

    def loss(self, batch: Batch, phase: str) -> Loss:
        return Loss(self.weight.sum())


def follow(settings: Averaging, values: list[float], batch: int = 10) -> tuple[Point, Average]:
    method = Point()
    average = Average(method, settings)
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            method.weight.fill_(value)
            method.mean.fill_(-value)  # pyright: ignore[reportCallIssue]
            method.count.fill_(step)  # pyright: ignore[reportCallIssue]
        average.update(method, step, step * batch, batch)
    return method, average


def test_the_average_is_its_recursion() -> None:
    values = [1.0, 5.0, 2.0, 8.0, 3.0]
    _, average = follow(Averaging(share=0.3), values)
    expected = 0.0
    for step, value in enumerate(values, 1):
        keep = 0.5 ** (1 / (0.3 * step))  # half-life of 0.3 of the pictures seen
        expected = keep * expected + (1 - keep) * value
    assert average.method.weight.tolist() == pytest.approx([expected] * 2)  # pyright: ignore[reportAttributeAccessIssue]
    assert average.method.mean.item() == pytest.approx(-expected)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    assert average.method.count.item() == 5  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def test_half_of_the_past_is_gone_after_a_half_life() -> None:
    """After 1,000 steps at 0 and then 105 at 1 the average is half there: the half-life is a tenth of what was seen."""
    _, average = follow(Averaging(share=0.1), [0.0] * 1000 + [1.0] * 105)
    share = 1 - (1000 / 1105) ** (math.log(2) / 0.1)  # the recursion's limit of many small steps
    assert float(average.method.weight.mean()) == pytest.approx(share, abs=0.01)  # pyright: ignore[reportCallIssue, reportArgumentType, reportAttributeAccessIssue]
    assert share == pytest.approx(0.5, abs=0.01)


def test_no_share_keeps_the_latest() -> None:
    _, average = follow(Averaging(share=0.0), [1.0, 7.0])
    assert average.method.weight.tolist() == [7.0, 7.0]  # pyright: ignore[reportAttributeAccessIssue]


def test_every_other_step() -> None:
    _, average = follow(Averaging(share=0.0, every=2), [1.0, 7.0, 9.0])
    assert average.method.weight.tolist() == [7.0, 7.0]  # pyright: ignore[reportAttributeAccessIssue]


def test_the_average_is_apart_and_needs_no_gradient() -> None:
    method, average = follow(Averaging(), [1.0])
    assert not any(p.requires_grad for p in average.method.parameters())
    assert method.weight.requires_grad
    assert method.training
    assert not average.method.training


@pytest.mark.parametrize("changes", [{"share": -0.1}, {"every": 0}])
def test_odd_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="averaging"):
        Averaging(**changes)  # pyright: ignore[reportArgumentType]


def test_an_average_that_is_rarely_taken_still_leaves_the_start() -> None:
    method, average = follow(Averaging(every=1000), [1.0, 2.0, 3.0])
    assert torch.equal(dict(average.method.named_parameters())["weight"], method.weight)

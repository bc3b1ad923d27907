import pytest
import torch

from mezzotint import catalog
from mezzotint.methods.flow import FlowConfig
from mezzotint.networks.unet import UnetConfig
from mezzotint.recipes import choose, flow
from mezzotint.recipes.work import ACCELERATOR, LAPTOP, multiply_adds
from mezzotint.types import DataSpec

SPEC = DataSpec(1, 28, 28, tuple("0123456789"), 57_000)


def unet(spec: DataSpec, minutes: float, pace: float | None = ACCELERATOR) -> UnetConfig:
    method = flow.flow_large(spec, minutes, pace).method
    assert isinstance(method, FlowConfig)
    assert isinstance(method.network, UnetConfig)
    return method.network


def test_a_large_flow_has_thirty_to_sixty_million_parameters() -> None:
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in config.build(SPEC, 10).parameters()) for config in flow.LARGE]
    assert sizes == sorted(sizes)
    assert sizes[0] == pytest.approx(30e6, rel=0.05)
    assert sizes[-1] == pytest.approx(60e6, rel=0.05)


def test_a_large_flow_is_the_larger_the_more_the_budget_affords() -> None:
    widths = [unet(SPEC, minutes).width for minutes in (5, 30, 60, 600)]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (flow.LARGE[0].width, flow.LARGE[-1].width)
    assert unet(DataSpec(3, 64, 64, (), 57_000), 60.0).width < widths[2]
    assert unet(SPEC, 60.0, pace=LAPTOP) == flow.LARGE[0]


@pytest.mark.parametrize(("gpu", "pace"), [(True, ACCELERATOR), (False, LAPTOP)])
def test_a_large_flow_is_made_for_the_machine_at_hand(monkeypatch: pytest.MonkeyPatch, gpu: bool, pace: float) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(choose, "available_threads", lambda: 2)
    assert catalog.recipe("flow-large", SPEC, 600.0) == flow.flow_large(SPEC, 600.0, pace)
    assert (unet(SPEC, 600.0, None) == flow.LARGE[-1]) == gpu


def test_all_but_the_network_and_the_batch_is_that_of_flow() -> None:
    large, plain = catalog.recipe("flow-large", SPEC, 60.0), catalog.recipe("flow", SPEC, 60.0)
    assert isinstance(plain.method, FlowConfig)
    assert large.optimizers == plain.optimizers
    assert large.method.drawing == plain.method.drawing  # pyright: ignore[reportAttributeAccessIssue]


def test_work_is_counted_without_numbers_as_with_them() -> None:
    small, spec = UnetConfig(width=16), DataSpec(1, 16, 16)
    expected = multiply_adds(small.build(spec, 0), torch.zeros(1, 1, 16, 16), torch.zeros(1))
    torch.manual_seed(7)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert flow._work(small, spec) == expected
    assert torch.equal(torch.rand(1), drawn)

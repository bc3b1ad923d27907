"""Strides on a flow that is known in closed form, and a run of which each part trains its own network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mezzotint.errors import UserError
from mezzotint.methods.fast import Fast, FastConfig
from mezzotint.methods.flow import FlowConfig
from mezzotint.methods.following import Drawing
from mezzotint.networks.unet import UnetConfig
from mezzotint.training.step import own_progress
from mezzotint.types import Batch, DataSpec, Phase, Way

SPREAD = 0.5
"""Of pictures of independent normal numbers: along the straight path they keep their place among them."""
SPEC = DataSpec(1, 8, 8, tuple("abc"))


def size(t: Tensor) -> Tensor:
    return ((1 - t) ** 2 * SPREAD**2 + t**2).sqrt()


class ExactTeacher(nn.Module):
    def forward(self, scaled: Tensor, level: Tensor, labels: Tensor | None) -> Tensor:
        t = level[:, None, None, None]
        return (t - (1 - t) * SPREAD**2) / size(t) * scaled


class ExactStudent(nn.Module):
    def forward(self, scaled: Tensor, level: Tensor, code: Tensor) -> Tensor:
        t, length = level[:, None, None, None], 0.25 * 2.0 ** (code // 4)[:, None, None, None]
        return (size(t) - size(t - length)) / length * scaled


def build(**changes: Any) -> Fast:
    torch.manual_seed(0)
    teacher = FlowConfig(network=UnetConfig(width=8), **changes)
    return FastConfig(teacher=teacher).build(SPEC)


def exact() -> Fast:
    method = build().double()
    method.student, method.teacher.network = ExactStudent(), ExactTeacher()
    method.unused = nn.Parameter(torch.zeros(1))  # tells the device
    return method


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_teacher_is_followed_along_the_shortest_stride() -> None:
    method, x = exact(), noise(4)
    start = torch.tensor([1.0, 0.75, 0.5, 0.25]).double().view(-1, 1, 1, 1)
    stride, labels = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 2, 3])
    found = method._average_velocity(x, start, stride, labels)
    torch.testing.assert_close(found, method._said(x, start, stride, labels), rtol=0, atol=0.02)


def test_a_longer_stride_is_two_of_half_its_length() -> None:
    method, x = exact(), noise(3)
    start = torch.tensor([1.0, 0.5, 1.0]).double().view(-1, 1, 1, 1)
    stride, labels = torch.tensor([1, 1, 2]), torch.tensor([0, 1, 2])
    found = method._average_velocity(x, start, stride, labels)
    torch.testing.assert_close(found, method._said(x, start, stride, labels), rtol=1e-9, atol=1e-9)


def test_one_step_draws_what_four_draw() -> None:
    drawn = [exact().drawing_with(Way(steps=steps)).generate(range(5)).double() for steps in (1, 2, 4)]
    torch.testing.assert_close(drawn[0], drawn[2], rtol=0, atol=1e-6)
    torch.testing.assert_close(drawn[1], drawn[2], rtol=0, atol=1e-6)
    assert float(drawn[0].std()) == pytest.approx(SPREAD, rel=0.1)


def test_a_student_begins_as_its_teacher() -> None:
    for spec in (SPEC, DataSpec(1, 8, 8)):
        torch.manual_seed(0)
        method = FastConfig(teacher=FlowConfig(network=UnetConfig(width=8))).build(spec)
        with torch.no_grad():
            for p in method.teacher.parameters():
                p.add_(0.1 * torch.randn_like(p))
        method.after_step("learn")
        x, t = noise(6).float(), torch.full((6, 1, 1, 1), 0.5)
        labels = torch.tensor([0, 1, 2, 3, 0, 1]) if spec.classes else None
        for stride in range(3):
            said = method._said(x, t, torch.full((6,), stride), labels)
            torch.testing.assert_close(said, method.teacher._plain_velocity(x, 0.5, labels))


def test_guidance_at_each_pictures_own_time_is_that_of_drawing() -> None:
    drawing = Drawing(guidance=2.0, guidance_from=0.2, guidance_to=0.8)
    method, x, labels = build(drawing=drawing), noise(4).float(), torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        for p in method.teacher.parameters():
            p.add_(0.1 * torch.randn_like(p))
        times = torch.tensor([0.1, 0.3, 0.7, 0.9]).view(-1, 1, 1, 1)
        found = method._guided(x, times, labels)
        for i, t in enumerate(times.flatten().tolist()):
            guided = method.teacher.velocity(x, t, labels, method.teacher.drawing.guidance_at(method.teacher.path, t))[
                i
            ]
            torch.testing.assert_close(found[i], guided, rtol=1e-4, atol=1e-5)


def test_strides_are_spread_over_the_batch_whatever_the_micro_batch() -> None:
    method, images = build(), torch.zeros(64, 1, 8, 8)
    stride, start = method._strides_to_train(Batch(images, seed=3))
    assert torch.bincount(stride).tolist() == [48, 8, 8]
    assert set(start[stride == 0].flatten().tolist()) == {0.25, 0.5, 0.75, 1.0}
    assert set(start[stride == 2].flatten().tolist()) == {1.0}
    parts = [method._strides_to_train(Batch(images[i : i + 32], seed=3, first=i, whole=64)) for i in (0, 32)]
    assert torch.equal(torch.cat([p[0] for p in parts]), stride)
    assert torch.equal(torch.cat([p[1] for p in parts]), start)


def test_each_part_of_a_run_trains_its_network(train_in: Callable[..., Any], make_recipe: Any, tmp_path: Path) -> None:
    small = ("method.teacher.network.width=8", "method.learning=0.5")
    recipe = make_recipe("flow-fast", *small, steps=8)
    states = [
        {k: v.clone() for k, v in train_in(tmp_path / str(n), recipe, steps=n).state.method.state_dict().items()}
        for n in (3, 4, 5, 7)
    ]

    def moved(a: int, b: int, part: str) -> bool:
        return any(not torch.equal(states[a][k], states[b][k]) for k in states[a] if k.startswith(part))

    assert moved(0, 1, "teacher")
    assert not moved(1, 3, "teacher")
    assert moved(2, 3, "student")
    twin = states[0]["teacher.network.enter.weight"]
    assert torch.equal(twin, states[0]["student.enter.weight"])


def test_a_phase_has_a_part_of_the_run() -> None:
    first, last, whole = Phase("a", ("x",), ends=0.6), Phase("b", ("y",), begins=0.6), Phase("c", ("z",))
    assert [first.lasts(x) for x in (0.0, 0.59, 0.6, 1.0)] == [True, True, False, False]
    assert [last.lasts(x) for x in (0.0, 0.59, 0.6, 1.0)] == [False, False, True, True]
    every = (first, last, whole)
    assert [own_progress(every, "z", x) for x in (0.0, 0.1, 0.7, 1.0)] == [0.0, 0.1, 0.7, 1.0]
    assert own_progress(every, "y", 0.8) == pytest.approx(0.5)
    assert (own_progress(every, "x", 0.6), own_progress(every, "y", 0.1)) == (1.0, 0.0)


def test_what_was_not_learned_is_refused() -> None:
    method = build()
    with pytest.raises(UserError, match="1, 2, 4"):
        method.drawing_with(Way(steps=3))
    with pytest.raises(UserError, match="takes --steps alone"):
        method.drawing_with(Way(guidance=2.0))
    with pytest.raises(UserError, match="takes --steps alone"):
        method.drawing_with(Way(solver="heun"))
    with pytest.raises(UserError, match="takes --steps alone"):
        method.drawing_with(Way(schedule="karras"))
    with pytest.raises(UserError, match="takes --steps alone"):
        method.drawing_with(Way(guidance_between=(0.2, 0.8)))
    with pytest.raises(ValueError, match="from noise alone"):
        FastConfig(teacher=FlowConfig(most_noise=80.0))
    with pytest.raises(ValueError, match="shares"):
        FastConfig(learning=1.0)


def test_strides_are_drawn_as_they_were_learned() -> None:
    """Other settings of drawing are the teacher's; a card tells its guidance."""
    with pytest.raises(ValueError, match="the teacher's drawing"):
        FastConfig(drawing=Drawing(solver="heun", steps=4))
    with pytest.raises(ValueError, match="the teacher's drawing"):
        FastConfig(drawing=Drawing(solver="euler", steps=4, guidance=3.0))
    method = build(drawing=Drawing(guidance=2.0, guidance_from=0.2, guidance_to=0.8))
    assert method.way_of_drawing == "4 learned strides, guidance 2 from noise level 0.2 to 0.8"


def test_the_students_error_is_judged_once_it_learns() -> None:
    method, x = exact(), noise(4)
    method.teacher.config = FlowConfig(network=UnetConfig(width=8), spread=SPREAD)
    labels = torch.tensor([0, 1, 2, 0])
    assert method.stage == 0
    teachers = method.denoising_error(x, labels, 1)
    torch.testing.assert_close(teachers, method.teacher.denoising_error(x, labels, 1))
    method.after_step("distil")
    assert method.stage == 1
    # The exact student differs from the teacher's midpoint steps by their error alone.
    assert float(method.denoising_error(x, labels, 1).max()) < 1e-4
    method.student = method.teacher.network
    assert float(method.denoising_error(x, labels, 1).min()) > 1e-3

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.training.plan import Leg, Plan


def test_one_leg_is_a_straight_line(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan.jsonl")
    plan.add_leg(0, 1000)
    assert plan.legs == [Leg(0, 0.0, 1000)]
    assert [plan.progress(i) for i in (0, 250, 1000, 2000)] == [0, 0.25, 1, 1]
    assert not plan.is_done(999)
    assert plan.is_done(1000)


def test_a_new_leg_goes_on_from_where_the_old_one_was(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan.jsonl")
    plan.add_leg(0, 1000)
    plan.add_leg(400, 700)
    assert plan.progress(399) == pytest.approx(0.399)  # what was before is as it was
    assert plan.progress(400) == pytest.approx(0.4)
    assert plan.progress(550) == pytest.approx(0.7)
    assert (plan.total, plan.revised_at) == (700, 400)
    assert plan.is_done(700)


def test_a_leg_never_ends_where_it_begins(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan.jsonl")
    plan.add_leg(0, 100)
    plan.add_leg(60, 10)
    assert plan.total == 61


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 2000)), max_size=5), st.integers(1, 3000))
def test_progress_rises_and_a_plan_read_again_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]], first: int
) -> None:
    plan = Plan(tmp_path_factory.mktemp("plan") / "plan.jsonl")
    plan.add_leg(0, first)
    at = 0
    for further, left in steps:
        at += further
        if plan.is_done(at):
            break
        plan.add_leg(at, at + left)
    again = Plan(plan.path)
    places = range(plan.total + 2)
    values = [plan.progress(i) for i in places]
    assert values == [again.progress(i) for i in places]
    assert values[0] == 0
    assert values[-1] == 1
    assert all(a <= b + 1e-12 for a, b in pairwise(values))


@pytest.mark.parametrize("torn", ['{"images": 40, "progr', "{", "\x00\x00"])
def test_a_torn_last_line_never_took_effect_and_spoils_nothing(tmp_path: Path, torn: str) -> None:
    plan = Plan(tmp_path / "plan.jsonl")
    plan.add_leg(0, 100)
    with plan.path.open("a") as file:
        file.write(torn)
    again = Plan(plan.path)
    assert again.legs == plan.legs
    again.add_leg(50, 80)
    assert Plan(plan.path).legs == [*plan.legs, Leg(50, 0.5, 80)]


def test_a_leg_holds_from_its_beginning_when_a_run_walks_it_again(tmp_path: Path) -> None:
    """A run killed after a revision at 400 resumes from 300: until 400 it must walk the old leg, and not be done."""
    plan = Plan(tmp_path / "plan.jsonl")
    plan.add_leg(0, 1000)
    before = [plan.progress(i) for i in range(300, 400)]
    plan.add_leg(400, 410)
    again = Plan(plan.path)
    assert [again.progress(i) for i in range(300, 400)] == before
    assert not any(again.is_done(i) for i in range(300, 410))

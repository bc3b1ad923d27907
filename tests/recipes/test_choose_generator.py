from collections.abc import Callable
from typing import Any

import pytest
import torch

from mezzotint import catalog
from mezzotint.errors import UserError
from mezzotint.recipe import from_json
from mezzotint.recipes import choose, choose_generator, measured
from mezzotint.recipes.choose_generator import about, league
from mezzotint.recipes.measured import Distance
from mezzotint.types import DataSpec

CLASSES = tuple(f"class {i}" for i in range(10))
SPEC = DataSpec(1, 28, 28, CLASSES, 57_000)


def row(recipe: str, frechet: float, minutes: float = 5.0, **changes: Any) -> Distance:
    where: dict[str, Any] = {"data": "fashion-mnist", "shape": (1, 28, 28), "ruler": "cnn 1", "runs": 1}
    return Distance(recipe=recipe, minutes=minutes, frechet=frechet, **{**where, **changes})


TABLE = (row("dcgan", 16.5), row("wgan", 40.0), row("r3gan", 9.0), row("flow", 11.8), row("vae-dense", 52.0, 1.0))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What was measured, on a machine of two cores with or without a GPU."""

    def make(*rows: Distance, gpu: bool = False) -> None:
        monkeypatch.setattr(choose_generator, "distances", lambda: rows)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(choose, "available_threads", lambda: 2)

    return make


# What was measured.


def test_what_is_stored_can_be_read_whatever_rows_there_are() -> None:
    for distance in measured.distances():
        assert distance.frechet > 0
        assert distance.minutes > 0
        assert len(distance.shape) == 3
    assert measured.said("no such recipe") == ""
    assert all(catalog.measured(name) == measured.said(name) for name in catalog.RECIPES)


def test_only_rows_of_one_ruler_and_data_set_are_compared() -> None:
    other, color = row("flow", 0.1, ruler="vicreg"), {"data": "emoji", "shape": (3, 32, 32)}
    assert league([*TABLE, other], SPEC) == list(TABLE)
    assert league([*TABLE, row("flow", 3.0, **color)], DataSpec(3, 64, 64)) == list(TABLE)  # too few to choose among
    pair, colored = [row("flow", 9.0), row("dcgan", 8.0)], [row("flow", 3.0, **color), row("dcgan", 4.0, **color)]
    assert league(pair + colored, DataSpec(3, 64, 64)) == colored
    assert league(colored + pair, SPEC) == pair
    assert league([], SPEC) == []


def test_of_each_recipe_the_training_nearest_in_time_is_compared() -> None:
    table = [row("r3gan", 9.0, 5.0), row("sngan", 8.0, 10.0), row("sngan", 20.0, 5.0), row("vae-dense", 52.0, 1.0)]

    def order(worth: float) -> list[tuple[str, float]]:
        return [(found.recipe, found.frechet) for found in about(table, worth)]

    assert order(100.0) == order(8.0) == [("sngan", 8.0), ("r3gan", 9.0), ("vae-dense", 52.0)]
    assert order(6.0) == order(0.1) == [("r3gan", 9.0), ("sngan", 20.0), ("vae-dense", 52.0)]


# Choosing.


def test_the_least_distance_wins_and_the_numbers_are_said(known: Callable[..., None]) -> None:
    known(*TABLE)
    recipe, why = catalog.chosen("gan", SPEC, 10.0)
    assert recipe == catalog.recipe("r3gan", SPEC, 10.0)
    assert from_json(recipe.to_json(), catalog.kinds()) == recipe
    assert why[0] == "57,000 training pictures of 28×28 in 10 classes, 10 minutes on 2 CPU cores"
    assert "like 10 minutes on two CPU cores with fashion-mnist at 28×28" in why[1]
    assert "r3gan with 9.0 after 5 minutes (one run) is the least Fréchet distance of the 3 GANs" in why[2]
    assert "next is dcgan with 16.5" in why[2]
    known(*TABLE[:3], row("flow", 5.0, runs=3), TABLE[-1])
    recipe, why = catalog.chosen("generate", SPEC, 10.0)
    assert recipe == catalog.recipe("flow", SPEC, 10.0)
    assert "flow with 5.0 after 5 minutes (median of 3 runs)" in why[2]
    assert "more time" not in why[2]
    assert catalog.recipe("generate", SPEC, 1.0).name == "flow"
    assert "more time than there is" in catalog.chosen("generate", SPEC, 1.0)[1][2]


def test_what_was_not_measured_is_not_chosen(known: Callable[..., None]) -> None:
    known(row("vae-dense", 52.0), row("cnn", 0.0), row("gan", 0.1), row("a recipe of tomorrow", 0.0))
    assert catalog.recipe("generate", SPEC, 10.0).name == "vae-dense"
    with pytest.raises(UserError, match="name one"):
        catalog.recipe("gan", SPEC, 10.0)
    known()
    with pytest.raises(UserError, match="name one"):
        catalog.recipe("generate", SPEC, 10.0)


def test_what_cannot_draw_such_pictures_is_not_chosen(known: Callable[..., None]) -> None:
    known(*TABLE)
    odd = DataSpec(3, 50, 30, (), 9_000)
    assert catalog.recipe("generate", odd, 10.0).name == "flow"
    with pytest.raises(UserError, match="such pictures"):
        catalog.recipe("gan", odd, 10.0)


def test_larger_pictures_and_faster_machines_change_what_a_minute_is_worth(known: Callable[..., None]) -> None:
    known(*TABLE)
    _, why = catalog.chosen("generate", DataSpec(3, 56, 56, (), 9_000), 4.0)
    assert "without classes" in why[0]
    assert "like 1 minutes" in why[1]
    assert "r3gan with 9.0 after 5 minutes (one run), in more time" in why[2]
    assert "more time than there is" in why[2]
    known(*TABLE, gpu=True)
    recipe, why = catalog.chosen("generate", SPEC, 1.0)
    assert recipe.name == "r3gan"
    assert "a GPU" in why[0]
    assert "like 200 minutes" in why[1]


@pytest.mark.parametrize("name", ["dcgan", "progan", "r3gan", "wgan-gp"])
def test_few_pictures_are_looked_at_through_changes(name: str, known: Callable[..., None]) -> None:
    known(row(name, 9.0), row("cogan", 1.0), row("lapgan", 2.0))  # those two know no changes
    recipe, why = catalog.chosen("gan", DataSpec(1, 32, 32, CLASSES, 500), 10.0)
    assert recipe.name == name
    assert recipe.method.looking.target == 0.6  # pyright: ignore[reportAttributeAccessIssue]
    assert "adaptive augmentation" in why[-1]
    assert catalog.recipe("gan", SPEC, 10.0).name == "cogan"


def test_a_flow_for_few_pictures_drops_numbers_and_a_vae_stays_as_it_is(known: Callable[..., None]) -> None:
    few = DataSpec(1, 28, 28, CLASSES, 500)
    known(row("flow", 9.0))
    recipe, why = catalog.chosen("generate", few, 10.0)
    assert recipe.method.network.dropout == 0.1  # pyright: ignore[reportAttributeAccessIssue]
    assert "dropout" in why[-1]
    known(row("flow-fast", 9.0))
    recipe, why = catalog.chosen("generate", few, 10.0)
    assert recipe.method.teacher.network.dropout == 0.1  # pyright: ignore[reportAttributeAccessIssue]
    assert "dropout" in why[-1]
    assert catalog.recipe("generate", SPEC, 10.0) == catalog.recipe("flow-fast", SPEC, 10.0)
    known(row("vae", 9.0))
    assert catalog.recipe("generate", few, 10.0) == catalog.recipe("vae", few, 10.0)


def test_what_was_made_to_be_given_a_part_is_not_chosen_to_draw_from_nothing(known: Callable[..., None]) -> None:
    known(row("flow-inpaint", 1.0), row("flow-upscale", 2.0), row("flow", 9.0))
    assert catalog.recipe("generate", SPEC, 10.0).name == "flow"


def test_what_is_said_is_true_of_a_budget_of_pictures_and_of_anothers_networks(known: Callable[..., None]) -> None:
    known(*TABLE)
    counted, told = catalog.chosen("gan", SPEC, 10.0, images=2_000)
    begun, said = catalog.chosen("gan", SPEC, 10.0, started=True)
    assert counted == begun == catalog.recipe("gan", SPEC, 10.0)
    assert "2,000 to be seen; chosen as for 10 minutes" in told[0]
    assert said[2] == "r3gan, but with networks of the run that it begins from"


def test_choosing_leaves_torchs_random_state_alone(known: Callable[..., None]) -> None:
    known(*TABLE)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    catalog.recipe("generate", SPEC, 10.0)
    assert torch.equal(torch.rand(1), expected)

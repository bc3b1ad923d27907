import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mezzotint import catalog
from mezzotint.errors import UserError
from mezzotint.recipe import FORMAT, Budget, Execution, Optimizer, Recipe, from_json, with_setting

Make = Callable[..., Recipe]


def changed(make_recipe: Make, name: str, setting: str) -> Recipe:
    return with_setting(make_recipe(name), setting, catalog.kinds())


def test_optimizer_changes_all_optimizers(make_recipe: Make) -> None:
    recipe = changed(make_recipe, "dcgan", "optimizer.lr=0.5")
    assert {o.lr for o in recipe.optimizers.values()} == {0.5}
    recipe = changed(make_recipe, "dcgan", "optimizers.generator.lr=0.5")
    assert [recipe.optimizers[k].lr == 0.5 for k in ("generator", "discriminator")] == [True, False]


def test_settings_reach_every_depth(make_recipe: Make) -> None:
    assert changed(make_recipe, "dcgan", "batch=7").batch == 7
    assert changed(make_recipe, "dcgan", "method.generator.width=8").method.generator.width == 8  # pyright: ignore[reportAttributeAccessIssue]
    assert changed(make_recipe, "dcgan", "data.augment.flip=true").data.augment.flip
    assert changed(make_recipe, "dcgan", "execution.precision=bf16").execution.precision == "bf16"
    assert changed(make_recipe, "cnn", "method.network.kind=classic").method.network.hidden == 64  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "setting", ["batch", "=3", "budget.images=3", "budget.minutes=3", "data.source=x", "data.size=3", "optimizer.x=1"]
)
def test_what_is_set_elsewhere_or_nowhere_is_refused(make_recipe: Make, setting: str) -> None:
    with pytest.raises(UserError):
        changed(make_recipe, "dcgan", setting)


@pytest.mark.parametrize("changes", [{"batch": 0}, {"batch": 4, "micro_batch": 5}, {"micro_batch": 0}])
def test_impossible_sizes_are_refused(make_recipe: Make, changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="batch"):
        replace(make_recipe("vae"), **changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("given", [{}, {"minutes": 1.0, "images": 3}, {"minutes": 0.0}, {"images": 0}, {"images": -5}])
def test_a_budget_is_one_positive_number(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**given)


def test_a_budget_is_either(make_recipe: Make) -> None:
    assert Budget(minutes=0.5).images is None
    assert Budget(images=5).minutes is None
    assert Execution(threads=2).threads == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "{}", '{"format": "x"}', '{"format": 1}', '{"format": 1, "name": "x"}']
)
def test_foreign_files_get_one_sentence(text: str) -> None:
    with pytest.raises(UserError) as refused:
        from_json(text, catalog.kinds(), "some/recipe.json")
    assert "\n" not in str(refused.value)


def test_a_newer_format_asks_for_an_update(make_recipe: Make) -> None:
    fields = json.loads(make_recipe("vae").to_json())
    with pytest.raises(UserError, match="update mezzotint"):
        from_json(json.dumps({**fields, "format": FORMAT + 1}), catalog.kinds())


def test_a_recipe_without_newer_fields_takes_their_defaults(make_recipe: Make) -> None:
    fields = json.loads(make_recipe("vae").to_json())
    del fields["checkpoint_seconds"]
    assert from_json(json.dumps(fields), catalog.kinds()) == make_recipe("vae")


def test_a_recipe_names_no_code(make_recipe: Make) -> None:
    fields = json.loads(make_recipe("vae").to_json())
    fields["method"]["kind"] = "mezzotint.errors.UserError"
    with pytest.raises(UserError, match=r"method.kind"):
        from_json(json.dumps(fields), catalog.kinds())


@pytest.mark.parametrize("name", sorted(set(catalog.RECIPES) - {"detector", "flow-color"}))
def test_a_recipe_has_an_optimizer_for_each_group_and_its_own_name(name: str, digits: Any) -> None:
    for minutes in (0.5, 3.0, 60.0):
        recipe = catalog.recipe(name, digits.spec, minutes)
        assert recipe.name == name
        assert set(recipe.optimizers) == set(recipe.method.build(digits.spec).groups())
        assert all(isinstance(o, Optimizer) for o in recipe.optimizers.values())


def test_a_wrong_recipe_is_told_the_nearest(digits: Any) -> None:
    with pytest.raises(UserError, match="did you mean 'dcgan'"):
        catalog.recipe("dcgann", digits.spec)

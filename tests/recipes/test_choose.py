from collections.abc import Callable

import pytest
import torch

from mezzotint import api, catalog, codec
from mezzotint.errors import UserError
from mezzotint.methods.classifier import ClassifierConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.networks.resnet import ResnetConfig
from mezzotint.recipe import Recipe, from_json
from mezzotint.recipes import choose, recognize
from mezzotint.recipes.work import LAPTOP, affordable, passes, work
from mezzotint.types import DataSpec

CLASSES = tuple(f"class {i}" for i in range(10))


def spec(count: int = 57_000, side: int = 28, channels: int = 1, counts: tuple[int, ...] = ()) -> DataSpec:
    return DataSpec(channels, side, side, CLASSES, count, counts or (count // 10,) * 10)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A machine with or without a GPU, of two cores."""

    def make(gpu: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(choose, "available_threads", lambda: 2)

    return make


def network(recipe: Recipe):
    assert isinstance(recipe.method, ClassifierConfig)
    return recipe.method.network


# How much work a network is.


def test_the_work_of_a_resnet_is_as_published():
    """1.8 billion multiply-adds for ResNet-18 at 224 pixels (He et al. 2015, table 1)."""
    assert work(ResnetConfig(), DataSpec(3, 224, 224, CLASSES)) == pytest.approx(1.8e9, rel=0.02)


def test_counting_work_leaves_torchs_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    work(ResidualConfig(width=4), spec())
    assert torch.equal(torch.rand(1), expected)


def test_what_is_affordable_is_spent_on_the_passes():
    most = affordable(spec(), 10, LAPTOP)
    assert most * passes(10) * 57_000 == pytest.approx(0.9 * 600 * LAPTOP)
    assert passes(40) == pytest.approx(2 * passes(10))
    assert passes(0.01) == 4
    assert passes(1e6) == 100


@pytest.mark.parametrize("name", ["resnet", "densenet", "convnext", "vit"])
def test_more_time_is_never_a_smaller_network_and_none_is_beyond_the_budget(name):
    make = getattr(recognize, name)
    works = [work(network(make(spec(), minutes)), spec()) for minutes in (0.5, 10, 60)]
    assert works == sorted(works)
    assert works[-1] > works[0]
    assert all(
        found <= max(works[0], affordable(spec(), minutes, LAPTOP))
        for found, minutes in zip(works, (0.5, 10, 60), strict=True)
    )


@pytest.mark.parametrize("name", ["cnn", "resnet", "densenet", "convnext", "vit", "recognize"])
def test_data_without_classes_are_refused_in_a_sentence(name):
    plain = DataSpec(3, 32, 32, (), 5000)
    with pytest.raises(UserError, match="two classes"):
        catalog.recipe(name, plain, 30.0).method.build(plain)


# Choosing.


def test_a_chooser_gives_a_recipe_and_says_why(machine):
    machine(False)
    recipe, why = catalog.chosen("recognize", spec(), 10.0)
    assert from_json(recipe.to_json(), catalog.kinds()) == recipe
    assert "57,000 training pictures of 28×28 in 10 classes, 10 minutes on 2 CPU cores" in why[0]
    assert len(why) >= 2
    assert all(why)
    assert catalog.recipe("recognize", spec(), 10.0) == recipe
    assert catalog.chosen("cnn", spec(), 10.0) == (recognize.cnn(spec(), 10.0), ())


def test_a_cpu_gets_a_wider_cnn_for_a_longer_time(machine):
    machine(False)
    widths = [network(choose.recognize(spec(), minutes)[0]).width for minutes in (1, 10, 60, 600)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    assert network(choose.recognize(spec(), 10)[0]) == network(recognize.cnn(spec(), 10))


def test_what_a_cpu_gets_for_fashion_mnist_stays_as_it_was_measured(machine):
    machine(False)
    chosen = [choose.recognize(spec(), minutes)[0] for minutes in (1, 3, 10)]
    assert [network(recipe).width for recipe in chosen] == [24, 32, 48]
    assert [recipe.data.augment.erasing for recipe in chosen] == [0, 0, 0.25]


@pytest.mark.parametrize(("minutes", "seen"), [(10, "only 40% of the pictures"), (30, "each picture about once")])
def test_a_cpu_gets_a_narrower_cnn_for_many_large_pictures(machine, minutes, seen):
    machine(False)
    many = spec(1_000_000, 224, 3)
    recipe, why = choose.recognize(many, minutes)
    assert network(recipe).width == 16
    assert work(network(recipe), many) < work(ResidualConfig(width=48), many) / 4
    assert recipe.data.augment.erasing == 0
    assert "narrow" in why[1]
    assert seen in why[1]
    fewer = spec(30_000, 224, 3)
    assert 16 < network(choose.recognize(fewer, 10)[0]).width < 48
    assert network(choose.recognize(spec(2_000, 224, 3), 30)[0]).width == 48


def test_how_often_pictures_are_seen_is_the_budget_by_the_work(machine):
    machine(False)
    recipe, why = choose.recognize(spec(6_000), 1)
    seen = 0.9 * 60 * choose.FOLDED * LAPTOP / (6_000 * work(network(recipe), spec(6_000)))
    assert f"each picture about {seen:.0f} times" in why[1]
    assert seen > choose.OFTEN
    assert recipe.data.augment.erasing > 0


def test_a_gpu_gets_a_deep_network_and_for_very_much_a_convnext(machine):
    machine(True)
    assert isinstance(network(choose.recognize(spec(), 10)[0]), ResnetConfig)
    recipe, why = choose.recognize(spec(500_000, 128, 3), 60)
    assert recipe.name == "convnext"
    assert "GPU" in why[0]


def test_few_pictures_are_mixed_and_erased(machine):
    machine(False)
    recipe, why = choose.recognize(spec(500), 2)
    assert isinstance(recipe.method, ClassifierConfig)
    assert recipe.method.mixing.due(0)
    assert recipe.data.augment.erasing > 0
    assert any("few pictures" in sentence for sentence in why)


def test_uneven_classes_have_their_logits_adjusted(machine):
    machine(False)
    uneven = spec(10_000, counts=(5500, *[500] * 8, 500))
    recipe, why = choose.recognize(uneven, 10)
    assert isinstance(recipe.method, ClassifierConfig)
    assert recipe.method.logit_adjustment == 1
    assert recipe.method.class_weight == recipe.data.balance == 0
    api.refuse_corrected_twice(recipe)
    assert any("11 times" in sentence for sentence in why)
    assert choose.recognize(spec(), 10)[0].method.logit_adjustment == 0  # pyright: ignore[reportAttributeAccessIssue]


def test_every_chooser_is_named_apart_from_the_recipes():
    assert not set(catalog.CHOOSERS) & set(catalog.RECIPES)
    assert codec.nearest("recognise", catalog.CHOOSERS) == "did you mean 'recognize'?"


def test_what_is_said_is_true_of_a_budget_of_pictures_and_of_anothers_network(machine):
    for gpu in (False, True):
        machine(gpu)
        plain, why = catalog.chosen("recognize", spec(), 10.0)
        counted, told = catalog.chosen("recognize", spec(), 10.0, images=2_000)
        begun, said = catalog.chosen("recognize", spec(), 10.0, started=True)
        assert plain == counted == begun
        assert "2,000 to be seen; chosen as for 10 minutes" in told[0]
        assert told[1:] == why[1:]
        assert said[1] == f"{plain.name}, but with the network of the run that it begins from"
        assert (*said[:1], *said[2:]) == (*why[:1], *why[2:])

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mezzotint import catalog, snapshot, transfer
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.methods.detector import DetectorConfig
from mezzotint.networks.center import CenterConfig
from mezzotint.networks.residual import ResidualConfig
from mezzotint.recipe import with_setting
from mezzotint.snapshot import Snapshot
from mezzotint.training import run as runs
from mezzotint.types import DataSpec


@pytest.fixture(scope="module")
def earlier(digits, make_recipe, tmp_path_factory) -> Snapshot:
    recipe = make_recipe("cnn", "method.network.width=8")
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("earlier") / "snapshot"
    snapshot.save(folder, recipe.method.build(digits.spec), recipe, {}, "")
    return snapshot.load(folder, catalog.kinds())


def with_classes(digits: Dataset, count: int) -> Dataset:
    """Only the first classes."""
    kept = {name: rows[digits.labels[rows] < count] for name, rows in digits.splits.items()}
    return replace(digits, classes=digits.classes[:count], splits=kept)


def test_networks_are_the_earlier_ones_and_all_else_the_recipes(earlier, make_recipe):
    recipe = make_recipe("cnn")
    taken = transfer.with_networks_of(recipe, earlier)
    assert taken.method.network == earlier.recipe.method.network != recipe.method.network
    assert replace(taken, method=recipe.method) == recipe


def test_the_same_classes_keep_the_head(earlier, make_recipe, digits):
    recipe = transfer.with_networks_of(make_recipe("cnn"), earlier)
    found = transfer.weights_for(recipe, digits.spec, earlier)
    theirs = earlier.method.state_dict()
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[k], theirs[k]) for k in found)


@pytest.mark.parametrize("classes", [tuple("012"), tuple("abcdefghij")])
def test_other_classes_get_a_new_head(earlier, make_recipe, digits, classes):
    recipe = transfer.with_networks_of(make_recipe("cnn"), earlier)
    found = transfer.weights_for(recipe, replace(digits.spec, classes=classes), earlier)
    assert set(earlier.method.state_dict()) - set(found) == {"network.head.weight", "network.head.bias"}


def test_features_without_labels_are_a_start_too(make_recipe, digits, tmp_path: Path):
    recipe = make_recipe("vicreg", "method.network.width=8")
    snapshot.save(tmp_path / "snapshot", recipe.method.build(digits.spec), recipe, {}, "")
    unlabelled = snapshot.load(tmp_path / "snapshot", catalog.kinds())
    taken = transfer.with_networks_of(make_recipe("cnn"), unlabelled)
    found = transfer.weights_for(taken, digits.spec, unlabelled)
    assert any(name.startswith("network.body") for name in found)
    assert not any("head" in name or "projector" in name for name in found)


def test_what_does_not_fit_is_refused(earlier, make_recipe, digits):
    recipe = transfer.with_networks_of(make_recipe("cnn"), earlier)
    color = DataSpec(3, 8, 8, digits.classes, 10)
    with pytest.raises(UserError, match="--channels"):
        transfer.weights_for(recipe, color, earlier)
    with pytest.raises(UserError, match="no network in common"):
        transfer.with_networks_of(make_recipe("vae"), earlier)


def test_a_run_begins_with_the_weights_and_resumes_to_the_bit(earlier, make_recipe, digits, train_in, tmp_path: Path):
    few = with_classes(digits, 4)
    recipe = transfer.with_networks_of(make_recipe("cnn", "method.network.width=8", steps=4), earlier)
    weights = transfer.weights_for(recipe, few.spec, earlier)

    def begun(name: str) -> runs.Run:
        return runs.begin(tmp_path / name, recipe, few.spec, few.digest, start=weights)

    begun("straight")
    straight = train_in(tmp_path / "straight", dataset=few)
    begun("halves")
    train_in(tmp_path / "halves", steps=2, dataset=few)
    halves = train_in(tmp_path / "halves", dataset=few)
    ours, theirs = halves.state.tensors(), straight.state.tensors()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    fresh = train_in(tmp_path / "fresh", recipe, dataset=few)
    name = "method.network.body.0.0.weight"
    began = earlier.method.state_dict()[name.removeprefix("method.")]
    moved = [float((run.state.tensors()[name] - began).norm()) for run in (straight, fresh)]
    assert moved[0] < 0.5 * moved[1]


def test_lost_weights_are_told(earlier, make_recipe, digits, train_in, tmp_path: Path):
    recipe = transfer.with_networks_of(make_recipe("cnn"), earlier)
    run = runs.begin(tmp_path / "run", recipe, digits.spec, digits.digest, start=earlier.method.state_dict())
    run.start.write_bytes(np.random.default_rng(0).bytes(100))
    with pytest.raises(UserError, match="is missing or damaged"):
        train_in(tmp_path / "run")
    with pytest.raises(UserError, match="--from"):
        with_setting(recipe, "start=abc", catalog.kinds())


def test_a_network_of_a_kind_that_the_method_does_not_know_is_refused(earlier, make_recipe):
    detector = replace(make_recipe("cnn"), name="detector", method=DetectorConfig())
    with pytest.raises(UserError, match="no network in common"):
        transfer.with_networks_of(detector, replace(earlier, recipe=make_recipe("cnn-classic")))


@pytest.mark.parametrize("name", ["cnn", "resnet", "vicreg"])
def test_a_detector_stands_on_a_recogniser(make_recipe, digits, tmp_path: Path, name):
    recipe = make_recipe(name, "method.network.width=8")
    snapshot.save(tmp_path / "snapshot", recipe.method.build(digits.spec), recipe, {}, "")
    earlier = snapshot.load(tmp_path / "snapshot", catalog.kinds())
    detector = replace(make_recipe("cnn"), name="detector", method=DetectorConfig())
    taken = transfer.with_networks_of(detector, earlier)
    assert taken.method.network.backbone == recipe.method.network.settled(digits.spec)
    spec = DataSpec(1, 48, 40, things=("cat", "dog"))  # of another size than the recogniser's pictures
    found = transfer.weights_for(taken, spec, earlier)
    network = earlier.method.network.state_dict()
    expected = {f"network.backbone.{k}": weights for k, weights in network.items() if not k.startswith("head")}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], expected[k]) for k in expected)
    method = taken.method.build(spec)
    missing = set(method.load_state_dict(found, strict=False).missing_keys)
    assert not any("backbone" in k for k in missing)
    with pytest.raises(UserError, match="--channels"):
        transfer.weights_for(taken, replace(spec, channels=3), earlier)


def test_a_detector_of_other_things_gets_new_maps_of_centers(make_recipe, tmp_path: Path):
    network = CenterConfig(backbone=ResidualConfig(width=4, blocks=(1, 1), fold=4), neck=4)
    recipe = replace(make_recipe("cnn"), name="detector", method=DetectorConfig(network=network))
    spec = DataSpec(3, 16, 16, things=("cat", "dog"))
    snapshot.save(tmp_path / "snapshot", recipe.method.build(spec), recipe, {}, "")
    theirs = snapshot.load(tmp_path / "snapshot", catalog.kinds())
    everything = set(theirs.method.state_dict())
    assert set(transfer.weights_for(recipe, spec, theirs)) == everything
    for others in (("cat", "cow"), ("cat", "cow", "dog")):
        found = transfer.weights_for(recipe, replace(spec, things=others), theirs)
        assert everything - set(found) == {name for name in everything if ".centers." in name}
        assert any(".backbone." in name for name in found)


def test_sizes_are_not_blamed_where_they_are_the_same(earlier, make_recipe, digits):
    recipe = make_recipe("cnn", "method.network.width=16")
    with pytest.raises(UserError, match="do not fit") as told:
        transfer.weights_for(recipe, digits.spec, earlier)
    assert "--size" not in str(told.value)

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mezzotint import catalog, snapshot
from mezzotint.digest import file_digest, tensors_digest
from mezzotint.errors import UserError
from mezzotint.training import run as runs


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, make_recipe: Any, digits: Any) -> Path:
    folder = tmp_path_factory.mktemp("models") / "snapshot"
    recipe = make_recipe("vae-dense")
    torch.manual_seed(0)
    snapshot.save(folder, recipe.method.build(digits.spec), recipe, {"name": "vae-dense"}, "# a page")
    return folder


@pytest.fixture
def copied(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "model"))


def load(folder: Path) -> snapshot.Snapshot:
    return snapshot.load(folder, catalog.kinds())


def test_a_snapshot_is_four_files(stored: Path) -> None:
    assert sorted(p.name for p in stored.iterdir()) == ["README.md", "card.json", "recipe.json", "weights.safetensors"]
    assert [p.name for p in stored.parent.iterdir()] == ["snapshot"], "nothing temporary is left"
    assert (stored / "README.md").read_text() == "# a page"


def test_it_comes_back_ready_to_use(stored: Path) -> None:
    found = load(stored)
    assert found.digest == file_digest(stored / "weights.safetensors")
    assert found.card["name"] == "vae-dense"
    assert not found.method.training
    assert not any(p.requires_grad for p in found.method.parameters())


def test_a_run_is_a_place_for_a_snapshot(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "run" / "snapshot")
    assert load(tmp_path / "run").digest == load(stored).digest


def test_saving_again_replaces_it_whole(copied: Path, make_recipe: Any, digits: Any) -> None:
    (copied / "stray.txt").write_text("")
    recipe = make_recipe("cnn-classic")
    snapshot.save(copied, recipe.method.build(digits.spec), recipe, {}, "")
    assert load(copied).recipe.name == "cnn-classic"
    assert not (copied / "stray.txt").exists()


def test_a_failing_save_keeps_the_old_one(
    copied: Path, make_recipe: Any, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(copied).digest

    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "write_tensors", full)
    recipe = make_recipe("cnn-classic")
    with pytest.raises(OSError, match="No space"):
        snapshot.save(copied, recipe.method.build(digits.spec), recipe, {}, "")
    assert load(copied).digest == before
    assert [p.name for p in copied.parent.iterdir()] == ["model"]


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def fewer(folder: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "weights.safetensors")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-folder": (shutil.rmtree, "not a model of mezzotint"),
    "no-card": (lambda f: (f / "card.json").unlink(), "not a model of mezzotint"),
    "no-recipe": (lambda f: (f / "recipe.json").unlink(), "cannot be read"),
    "no-known": (lambda f: rewrite(f / "card.json", lambda card: card.update(known="0" * 64)), "missing or damaged"),
    "no-weights": (lambda f: (f / "weights.safetensors").unlink(), "missing or damaged"),
    "torn-card": (lambda f: (f / "card.json").write_text('{"format'), "truncated or foreign"),
    "card-of-nothing": (lambda f: (f / "card.json").write_text("[]"), "truncated or foreign"),
    "binary-card": (lambda f: (f / "card.json").write_bytes(b"\xff\xfe\x80"), "cannot be read"),
    "torn-recipe": (lambda f: (f / "recipe.json").write_text("{"), "truncated or foreign"),
    "torn-weights": (
        lambda f: (f / "weights.safetensors").write_bytes((f / "weights.safetensors").read_bytes()[:-9]),
        "missing or damaged",
    ),
    "empty-weights": (lambda f: (f / "weights.safetensors").write_bytes(b""), "missing or damaged"),
    "pickled-weights": (lambda f: torch.save({"a": torch.zeros(1)}, f / "weights.safetensors"), "missing or damaged"),
    "fewer-weights": (fewer, "do not fit"),
    "newer-card": (lambda f: rewrite(f / "card.json", lambda c: c.update(format=2)), "update mezzotint"),
    "newer-recipe": (lambda f: rewrite(f / "recipe.json", lambda c: c.update(format=2)), "update mezzotint"),
    "no-spec": (lambda f: rewrite(f / "card.json", lambda c: c.pop("spec")), "not of one snapshot"),
    "other-spec": (lambda f: rewrite(f / "card.json", lambda c: c["spec"].update(height=12)), "do not fit"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_not_a_snapshot_gets_one_sentence(name: str, copied: Path) -> None:
    damage, told = DAMAGE[name]
    damage(copied)
    with pytest.raises(UserError, match=told) as refused:
        load(copied)
    assert "\n" not in str(refused.value)


def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path, make_recipe: Any, digits: Any) -> None:
    runs.begin(tmp_path / "run", make_recipe("vae"), digits.spec, digits.digest)
    with pytest.raises(UserError, match=r"no model yet.*--resume"):
        load(tmp_path / "run")


def test_digests_tell_every_bit() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    same = tensors_digest({"b": torch.ones(1), "a": torch.zeros(3, 2).T})
    assert same == tensors_digest(base)
    for other in (
        {"a": -torch.zeros(2, 3), "b": torch.ones(1)},
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3, dtype=torch.float64), "b": torch.ones(1)},
        {"c": torch.zeros(2, 3), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3)},
    ):
        assert tensors_digest(other) != same

"""What users may build on: public names, verbs and flags, recipes. A change here is a change for them."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mezzotint
from mezzotint import catalog
from mezzotint.cli import edit, enlarge, find, foresee, judge, latent, look, make, pack, recognize, use

SOURCE = Path(inspect.getfile(mezzotint)).parent

FLAGS = {
    make.train: "recipe data minutes images out size channels crop frames stride set seed start resume",
    look.recipes: "name",
    look.check: "folder size crop as_json",
    look.show: "run",
    judge.measure: "run data split features count seed",
    judge.validity: "features data count size crop out",
    judge.audit: "run count features shadows seed",
    look.board: "runs port",
    judge.compare: "runs out recompute split features count",
    judge.arena: "data recipes minutes seeds out set features count",
    use.generate: "run count seed classes solver steps schedule guidance guidance_between guide truncation between "
    "pairs out",
    recognize.classify: "run pictures as_json top precision strange out",
    recognize.explain: "run pictures how of out",
    recognize.labels: "data recipe minutes images folds size set seed out",
    use.reconstruct: "run pictures classes out",
    use.interpolate: "run first second steps classes out",
    use.latent: "run pictures factors reach count steps classes seed truncation out",
    find.detect: "run pictures out sure ids as_json",
    enlarge.augment: "run classes per_class out recogniser certainty seed judge data shots seeds retrain",
    foresee.forecast: "run clip frames start futures seed out",
    latent.encode: "run pictures classes out",
    latent.atlas: "run data split count out",
    latent.steer: "run pictures towards data steps strength classes out",
    latent.arithmetic: "run plus minus classes out",
    latent.neighbors: "run pictures data split count classes out",
    latent.outliers: "run data count seed out",
    pack.compress: "pictures model out quality verify inside",
    pack.decompress: "archive names out model",
    pack.inspect: "archive as_json",
    edit.inpaint: "run picture mask hole classes count seed out",
    edit.outpaint: "run picture left right top bottom classes count seed out",
    edit.vary: "run pictures strength classes count seed out",
    edit.move: "run pictures classes to strength out",
    edit.restore: "run pictures blur down grey edges classes count seed out",
}


def test_public_names() -> None:
    assert mezzotint.__all__ == [
        "Dataset",
        "Interrupted",
        "Model",
        "UserError",
        "check",
        "grid",
        "load",
        "load_data",
        "resume",
        "save_png",
        "to_float",
        "to_uint8",
        "train",
    ]


@pytest.mark.parametrize("verb", FLAGS, ids=lambda verb: verb.__name__)
def test_flags(verb: object) -> None:
    assert list(inspect.signature(verb).parameters) == FLAGS[verb].split()  # pyright: ignore[reportArgumentType]


def test_recipes() -> None:
    promised = {"cnn", "cnn-classic", "dcgan", "dcgan-tutorial", "ddpm", "edm", "flow", "gan-mlp", "vae", "vae-dense"}
    assert set(catalog.RECIPES) >= promised


def test_import_costs_nothing_and_names_come_when_asked_for() -> None:
    program = "import sys, mezzotint; assert not {'torch', 'numpy'} & set(sys.modules); mezzotint.UserError"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_torchvision_is_never_imported() -> None:
    program = (
        "import sys; sys.modules['torchvision'] = None\n"
        "import mezzotint\n[getattr(mezzotint, n) for n in mezzotint.__all__]\n"
        "import mezzotint.api, mezzotint.page, mezzotint.cli.verbs"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_house_rules(path: Path) -> None:
    text = path.read_text()
    names = [*re.findall(r"^\s*(?:def|class) (\w+)", text, re.MULTILINE), path.stem]
    for name in names:
        assert not re.search(r"manager|engine|helper|handler|processor|pipeline|wrapper|misc|^base_|utils", name, re.I)
    assert not re.search(r"\bTODO\b|\bFIXME\b|\bXXX\b", text)
    assert not re.search(r"^\s*(import|from) (torchvision|pickle)\b", text, re.MULTILINE) or path.name == "formats.py"
    # The published weight files are pickles: one place opens them, after their hash, as plain tensors.
    loads = re.findall(r"torch\.load\(.*", text)
    assert all("weights_only=True" in load for load in loads)
    assert not loads or path.name == "extractors.py"
    assert len(text.splitlines()) <= 600, "a file of over 600 lines is two files"

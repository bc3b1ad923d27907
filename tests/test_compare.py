"""Runs side by side, on the runs of a second each that the other tests of the command use."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mezzotint import api, compare, scorecard
from mezzotint.errors import UserError

SETTINGS = ("batch=32", "milestones=2", "execution.threads=1", "execution.precision=fp32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    for name, recipe, seed, images in (
        ("short", "cnn-classic", 0, 512),
        ("long", "cnn-classic", 1, 4096),
        ("vae", "vae-dense", 0, 2048),
        ("gan", "gan-mlp", 0, 2048),
    ):
        api.train(recipe, "digits", images=images, seed=seed, out=folder / name, settings=SETTINGS)
    return folder


def found(*folders: Path) -> compare.Comparison:
    return compare.compare(compare.read(folders))


def test_recognisers_stand_in_one_column_and_are_tested_in_pairs(place: Path) -> None:
    both = found(place / "short", place / "long")
    columns = {c.score: c for c in both.columns}
    assert set(columns["accuracy"].values) == {"short", "long"}
    assert not both.apart
    ((first, second, score, difference),) = (test for test in both.tests if test[2] == "accuracy")
    cards = [scorecard.read(place / name) for name in ("short", "long")]
    assert (first, second, score) == ("short", "long", "accuracy")
    gap = cards[1].scores["accuracy"].value - cards[0].scores["accuracy"].value
    assert difference.score.value == pytest.approx(gap)
    assert difference.p < 1e-6
    page = compare.report(both)
    for word in ("McNemar", "short, long", "accuracy", "pictures seen", "<svg", "data:image/png"):
        assert word in page, word
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")


def test_other_protocols_stand_in_other_columns_and_the_field_is_named(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "gan", tmp_path / "other")
    api.remeasure(tmp_path / "other", features=place / "long", count=300)
    apart = found(place / "gan", tmp_path / "other")
    frechet = [c for c in apart.columns if c.score == "frechet"]
    assert [set(c.values) for c in frechet] == [{"gan"}, {"other"}]
    assert set(apart.apart["frechet"]) == {"extractor", "drawn"}
    assert "drawn: 300" in frechet[1].title
    assert "cnn-classic" in frechet[1].title
    said = " ".join(apart.lines())
    assert "another extractor and another drawn" in said
    assert "--recompute" in said
    assert apart.tests == ()


def test_runs_without_common_scores_make_columns_of_their_own(place: Path) -> None:
    several = found(place / "vae", place / "gan", place / "short")
    titles, rows = compare.table(several)
    assert len(rows) == 3
    assert all(len(row) == len(titles) for row in rows)
    by_run = {row[0]: dict(zip(titles, row, strict=True)) for row in rows}
    assert by_run["vae"]["elbo"]
    assert not by_run["gan"]["elbo"]
    precisions = [c for c in several.columns if c.score == "precision"]
    assert {frozenset(c.values) for c in precisions} >= {frozenset({"short"})}  # a recogniser's is another precision
    assert "precision" not in several.apart


def test_what_cannot_be_compared_is_said(place: Path, tmp_path: Path) -> None:
    for folders in ([place / "gan"], [place / "gan", place / "gan"]):
        with pytest.raises(UserError, match="two or more different"):
            compare.read(folders)
    with pytest.raises(UserError, match="no score"):
        compare.read([place / "gan", tmp_path])


def test_two_runs_of_one_name_are_told_apart(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "gan", tmp_path / "gan")
    names = [e.name for e in compare.read([place / "gan", tmp_path / "gan"])]
    assert len(set(names)) == 2


def test_the_command_recomputes_alike(place: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    from mezzotint.cli import judge

    for name in ("vae", "gan"):
        shutil.copytree(place / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    api.remeasure("gan", count=200)
    judge.compare((Path("vae"), Path("gan")))
    assert "not in one column" in capsys.readouterr().out
    (tmp_path / "vae" / "score.json").unlink()  # is written again
    judge.compare(
        (Path("vae"), Path("gan")), recompute=True, features=str(place / "long"), count=250, out=Path("c.html")
    )
    assert "not in one column" not in capsys.readouterr().out
    drawn = {json.loads((tmp_path / n / "score.json").read_text())["protocol"]["drawn"] for n in ("vae", "gan")}
    assert drawn == {250}
    assert (tmp_path / "c.html").stat().st_size > 10_000
    with pytest.raises(UserError, match="--recompute"):
        judge.compare((Path("vae"), Path("gan")), count=9)
    with pytest.raises(UserError, match="html"):
        judge.compare((Path("vae"), Path("gan")), out=Path("c.txt"))

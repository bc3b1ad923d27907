"""Planted copies are found, held-out pictures are not called copies, and models that give pictures away are told."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import api, audit, model, page
from mezzotint.audit import AuditCard, Shadow, audit_pictures
from mezzotint.catalog import kinds
from mezzotint.cli import judge
from mezzotint.data import dataset as data
from mezzotint.data import pictures
from mezzotint.data.dataset import Dataset
from mezzotint.errors import UserError
from mezzotint.method import Method
from mezzotint.metrics.interval import Score
from mezzotint.shadows import half_of, halves, train_shadows
from mezzotint.training.run import Run

COPYING = ("method.likelihood=gaussian",)


def with_hidden(dataset: Dataset, count: int, seed: int) -> tuple[Dataset, torch.Tensor]:
    """The data without some of its training pictures, and those: real pictures that nothing was trained on."""
    mixed = np.random.default_rng(seed).permutation(dataset.splits["train"])
    hidden, rest = mixed[:count], np.sort(mixed[count:])
    return replace(dataset, splits={**dataset.splits, "train": rest}), pictures.to_float(dataset.images[hidden])


def planted(dataset: Dataset, images: torch.Tensor, copies: int, seed: int, reach: int) -> torch.Tensor:
    """Pictures of which the first are copies of training pictures, mirrored or not, shifted, the edge repeated."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(dataset.splits["train"], copies, replace=False)
    height, width = dataset.images.shape[1:3]
    done = []
    for picture in pictures.to_float(dataset.images[rows]):
        picture = picture.flip(-1) if rng.random() < 0.5 else picture
        y, x = rng.integers(0, 2 * reach + 1, 2)
        wide = torch.nn.functional.pad(picture[None], [reach] * 4, mode="replicate")
        done.append(wide[0, :, y : y + height, x : x + width])
    return torch.cat([torch.stack(done), images[copies:]])


def test_planted_copies_are_found_among_digits(digits: Dataset) -> None:
    rest, real = with_hidden(digits, 600, 0)
    card = audit_pictures(planted(rest, real, 60, 0, reach=1), rest)
    assert card.verdict == "copies"
    share = card.scores["near_copies_pixels"]
    assert share.low <= 0.1 <= share.high
    assert card.scores["near_copies_pixels_floor"].value < 0.03
    assert {one["drawn"] for one in card.worst if one["space"] == "pixels"} <= set(range(60))
    assert all(one["training"] in rest.splits["train"] for one in card.worst)
    assert not any(one["held_out"] in rest.splits["train"] for one in card.worst)


@pytest.mark.parametrize("seed", range(3))
def test_real_pictures_are_no_copies(digits: Dataset, seed: int) -> None:
    rest, real = with_hidden(digits, 600, seed)
    card = audit_pictures(real, rest, seed=seed)
    assert card.verdict == "no sign of copying"
    for space in ("pixels", "features"):
        half = card.scores[f"nearer_to_training_{space}"]
        assert half.low - 0.03 <= 0.5 <= half.high + 0.03
        assert card.scores[f"distance_ratio_{space}"].value == pytest.approx(1, abs=0.05)


def test_few_pictures_tell_nothing(digits: Dataset) -> None:
    rest, real = with_hidden(digits, 600, 0)
    few = replace(rest, splits={**rest.splits, "test": rest.splits["test"][:10], "validation": np.array([], int)})
    card = audit_pictures(real, few)
    assert card.verdict == "cannot tell"
    assert any("at least 20" in note for note in card.notes)
    thirty = replace(rest, splits={**rest.splits, "test": rest.splits["test"][:50], "validation": np.array([], int)})
    assert audit_pictures(real, thirty).verdict == "cannot tell"
    assert audit_pictures(planted(rest, real, 590, 0, reach=1), thirty).verdict == "copies"


def test_a_picture_drawn_again_and_again_is_a_duplicate(digits: Dataset) -> None:
    rest, real = with_hidden(digits, 600, 0)
    card = audit_pictures(torch.cat([real[:20]] * 15 + [real[:300]]), rest)
    assert card.scores["duplicates_pixels"].value > 0.4
    assert card.scores["duplicates_pixels_floor"].value < 0.05
    assert card.verdict == "no sign of copying"


@pytest.mark.slow
@pytest.mark.fashion
def test_one_percent_of_planted_copies_is_found_among_two_thousand(cache_folder: Path) -> None:
    """A third of the training pictures, for time; `benchmarks/audit.py` takes all of them, many times."""
    fashion = data.load("fashion-mnist", cache_folder=cache_folder)
    third = replace(fashion, splits={**fashion.splits, "train": fashion.splits["train"][::3]})
    rest, real = with_hidden(third, 2000, 0)
    assert audit_pictures(planted(rest, real, 20, 0, reach=2), rest).verdict == "copies"
    assert audit_pictures(real, rest).verdict == "no sign of copying"


# Membership.


class Knows(Method):
    """A likelihood that is higher by so much for some pictures, and noisy."""

    phases = ()

    def __init__(self, dataset: Dataset, rows: np.ndarray, gap: float, seed: int) -> None:
        super().__init__()
        self.spec, self.gap = dataset.spec, gap
        self.known = {pictures.to_float(dataset.images[[row]]).numpy().tobytes() for row in rows}
        self.key = seed

    def groups(self) -> Any:
        return {}

    def loss(self, batch: Any, phase: str) -> Any:
        raise NotImplementedError

    def elbo(self, images: torch.Tensor, labels: Any, seed: int) -> torch.Tensor:
        inside = torch.tensor([image.numpy().tobytes() in self.known for image in images.split(1)])
        level = 40 * images.flatten(1).mean(1)
        noise = torch.randn(len(images), generator=torch.Generator().manual_seed(self.key + seed))
        return level + self.gap * inside + noise


def test_losses_that_know_the_training_pictures_are_told(digits: Dataset) -> None:
    known = audit.audit(Knows(digits, digits.splits["train"], 2.0, 0), digits)
    assert known.verdict == "draws nothing"
    assert known.scores["membership_auc"].low > 0.5
    assert any("can be told" in sentence for sentence in audit.sentences(known))
    blind = audit.audit(Knows(digits, digits.splits["train"], 0.0, 0), digits)
    assert blind.scores["membership_auc"].low <= 0.5 <= blind.scores["membership_auc"].high
    assert any("cannot be told" in sentence for sentence in audit.sentences(blind))


def test_shadows_make_the_attack_stronger(digits: Dataset) -> None:
    shadows = [Shadow(Knows(digits, rows, 1.0, 10 + i), rows) for i, rows in enumerate(halves(digits, 8, 0))]
    card = audit.audit(Knows(digits, digits.splits["train"], 1.0, 0), digits, shadows=shadows)
    assert card.scores["lira_auc"].low > card.scores["membership_auc"].high
    assert card.protocol["shadows"] == 8


def test_shadows_share_out_the_pictures(digits: Dataset) -> None:
    found = halves(digits, 6, 3)
    inside = np.stack([np.isin(np.arange(len(digits.images)), rows) for rows in found])
    assert (inside.sum(0) == 3).all()
    assert not np.array_equal(found[0], found[2])
    half = half_of(digits, found[0])
    assert set(half.splits["train"]) | set(half.splits["test"]) == set(range(len(digits.images)))
    assert half.digest != half_of(digits, found[1]).digest != digits.digest
    for number in (1, 2, 5):
        with pytest.raises(UserError, match="even number"):
            train_shadows(Run(Path("nowhere")), digits, number, 0)


# Cards.


def test_a_card_survives_json() -> None:
    card = AuditCard({"weights": "a"}, "copies", {"x": Score(1, 0, 2, 3, "by hand")}, ("a note",), ({"drawn": 1},))
    assert audit.from_json(card.to_json()) == card
    with pytest.raises(UserError, match="mezzotint audit"):
        audit.from_json("{}")


@pytest.fixture(scope="module")
def copier(digits: Dataset, tmp_path_factory: pytest.TempPathFactory, own_home: Path) -> Run:
    """A run that was made to copy: a plane of latents, fifty pictures of which each was seen a thousand times."""
    place = tmp_path_factory.mktemp("few")
    rows = np.random.default_rng(0).permutation(len(digits.images))[:750]
    split = np.array(["train"] * 50 + ["validation"] * 350 + ["test"] * 350)
    np.savez(place / "few.npz", images=digits.images[rows], split=split)
    settings = (*COPYING, "method.latent=2", "batch=50", "milestones=0", "execution.threads=1")
    return api.train("vae-dense", place / "few.npz", images=100_000, out=place / "run", settings=settings)


@pytest.mark.slow
def test_a_model_made_to_copy_is_called_so_on_its_card(copier: Run, capsys: pytest.CaptureFixture[str]) -> None:
    judge.audit(copier.folder, count=300)
    assert "verdict: copies" in capsys.readouterr().out
    text = (copier.snapshot / "README.md").read_text()
    assert "**Copies.**" in text
    assert "Is it copying?" in (copier.folder / "report.html").read_text()
    assert (copier.samples / "copies.png").stat().st_size > 0
    # Measuring keeps the audit, auditing keeps the scores.
    assert "elbo" in text
    judge.measure(copier.folder, count=50)
    assert "**Copies.**" in (copier.snapshot / "README.md").read_text()
    assert "Is it copying?" in (copier.folder / "report.html").read_text()
    card = audit.from_json((copier.folder / "audit.json").read_text())
    assert card.scores["nearer_to_training_pixels"].low > 0.6
    assert card.scores["distance_ratio_pixels"].high < 0.9
    assert card.scores["membership_auc"].low > 0.9


@pytest.mark.slow
def test_a_model_that_never_saw_the_pictures_is_no_copier(copier: Run, digits: Dataset) -> None:
    """The same weights, audited against other pictures of the same kind."""
    seen = data.load(copier.recipe(kinds()).data.source)
    strangers = np.random.default_rng(0).permutation(len(digits.images))[750:]
    splits = {"train": np.sort(strangers[:300]), "validation": np.array([], int), "test": np.sort(strangers[300:])}
    found = model.load(copier)
    assert found.audit(replace(digits, splits=splits), count=300).verdict != "copies"
    assert found.audit(seen, count=300).verdict == "copies"


@pytest.mark.slow
def test_an_audit_of_other_weights_is_not_shown(copier: Run, tmp_path: Path) -> None:
    shutil.copytree(copier.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    card = AuditCard({"weights": "of another time"}, "copies", {})
    api.write_audit(run, card)
    assert page.audit_of(run) is None
    assert "Is it copying?" not in (run.snapshot / "README.md").read_text()


@pytest.mark.slow
def test_two_hundred_pictures_are_copied_by_a_longer_training(digits: Dataset, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).permutation(len(digits.images))[:900]
    split = np.array(["train"] * 200 + ["validation"] * 350 + ["test"] * 350)
    np.savez(tmp_path / "few.npz", images=digits.images[rows], split=split)
    settings = ("method.latent=2", "batch=50", "milestones=0", "execution.threads=1")
    run = api.train("vae", tmp_path / "few.npz", images=120_000, out=tmp_path / "run", settings=settings)
    judge.audit(run.folder, count=1000)
    assert "**Copies.**" in (run.snapshot / "README.md").read_text()


def test_shadow_runs_are_trained_once_and_gone_on_with(digits: Dataset, tmp_path: Path) -> None:
    settings = ("batch=64", "milestones=0", "execution.threads=1")
    run = api.train("cnn-classic", "digits", images=640, out=tmp_path / "run", settings=settings)
    judge.audit(run.folder, shadows=4)
    card = audit.from_json((run.folder / "audit.json").read_text())
    assert card.verdict == "draws nothing"
    assert {"membership_auc", "lira_auc", "lira_tpr_at_1%"} <= set(card.scores)
    weights = sorted((run.folder / "shadows").rglob("weights.safetensors"))
    times = [path.stat().st_mtime_ns for path in weights]
    shutil.rmtree(weights[0].parent)  # as if it had been stopped before its end
    judge.audit(run.folder, shadows=4)
    again = [path.stat().st_mtime_ns for path in weights]
    assert (again[0] > times[0], again[1:]) == (True, times[1:])
    assert audit.from_json((run.folder / "audit.json").read_text()) == card


@pytest.mark.slow
def test_other_pictures_than_those_of_the_run_are_refused(copier: Run, tmp_path: Path) -> None:
    shutil.copytree(copier.folder, tmp_path / "run")
    card = tmp_path / "run" / "snapshot" / "card.json"
    card.write_text(card.read_text().replace('"data_digest": "', '"data_digest": "0'))
    with pytest.raises(UserError, match="not those that"):
        judge.audit(tmp_path / "run")
    with pytest.raises(UserError, match="at least 20"):
        judge.audit(tmp_path / "run", count=5)

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mezzotint import page
from mezzotint.data import pictures
from mezzotint.metrics.interval import Score
from mezzotint.scorecard import ScoreCard
from mezzotint.training import journal
from mezzotint.training import run as runs


@pytest.fixture
def run(make_recipe: Any, digits: Any, tmp_path: Path) -> runs.Run:
    made = runs.begin(tmp_path / "a <run>", make_recipe("vae"), digits.spec, digits.digest)
    log = journal.Journal(made.folder)
    log.write("begin", 0)
    for images in (100, 200):
        log.write("train", images, seconds=1.0, rate=5.0, losses={"kl": images / 7, "bad": math.nan})
        log.write("milestone", images, scores={"elbo": -images}, watch={"norm": images / 3})
        pictures.save_png(made.samples / f"{images:012d}.png", np.full((30, 30, 1), images, np.uint8))
    log.write("refused", 150, phase="fit<", loss="nan")
    log.close()
    return made


CARD = ScoreCard(
    {"data": "digits", "split": "test"},
    {
        "accuracy": Score(0.5, 0.4, 0.6, 6, "by hand"),
        "recall[a]": Score(1.0, 0.9, 1.0, 6, "by hand"),
        "recall[<b>]": Score(0.0, 0.0, 0.1, 6, "by hand"),
    },
    [[3, 0], [3, 0]],
    ("a note & more",),
)


def test_a_report_is_one_page_that_escapes_what_it_shows(run: runs.Run, digits: Any) -> None:
    page.write(run, CARD, digits, {"mistakes": np.zeros((4, 4, 3), np.uint8)})
    text = (run.folder / "report.html").read_text()
    assert "<title>a &lt;run&gt;</title>" in text
    for word in (
        "accuracy",
        "a note &amp; more",
        "surest and wrong",
        "refused at 150 pictures",
        "fit&lt;",
        "&lt;b&gt;",
        "<svg",
    ):
        assert word in text, word
    assert "<b>" not in text
    assert text.count("data:image/png;base64,") >= 4
    assert (run.folder / "curves.svg").read_text().rstrip().endswith("</svg>")


def test_curves_leave_out_what_is_not_finite(run: runs.Run, digits: Any) -> None:
    page.write(run, CARD, digits, {})
    drawing = (run.folder / "curves.svg").read_text()
    assert "kl" in drawing
    assert "validation elbo" in drawing
    assert "watch norm" in drawing


def test_a_strip_has_a_row_for_each_milestone(run: runs.Run) -> None:
    strip = page.progress_strip(run)
    assert strip is not None
    assert sorted({int(v) for v in np.unique(strip)}) == [100, 200]
    assert (run.samples / "progress.png").is_file()


def test_a_run_that_draws_nothing_has_no_strip(make_recipe: Any, digits: Any, tmp_path: Path) -> None:
    made = runs.begin(tmp_path / "run", make_recipe("cnn"), digits.spec, digits.digest)
    assert page.progress_strip(made) is None
    page.write(made, CARD, digits, {})
    assert "Scores" in (made.folder / "report.html").read_text()


def test_sheets_lie_beside_the_samples_and_in_the_report(run: runs.Run, digits: Any) -> None:
    sheet = np.full((16, 16, 1), 7, np.uint8)
    page.write(run, CARD, digits, {"mistakes": sheet})
    assert (np.asarray(Image.open(run.samples / "mistakes.png")) == 7).all()
    assert "pictures that it is surest and wrong about" in (run.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.93124, "0.9312"),
        (-3.0, "-3.0000"),
        (12.345, "12.35"),
        (123456.7, "123,457"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_for_people(value: float, text: str) -> None:
    assert page.number(value) == text


def test_lines_of_a_card() -> None:
    assert page.score_line("macro_f1", Score(0.5, 0.4, 0.6, 6, "by hand")) == "macro f1 0.5000 (0.4000 to 0.6000)"
    assert page.protocol_lines(CARD)[-1] == "a note & more"

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mezzotint import scorecard
from mezzotint.errors import UserError
from mezzotint.metrics.interval import Score
from mezzotint.scorecard import ScoreCard, differences

SCORE = Score(0.5, 0.4, 0.6, 10, "by hand")
CARD = ScoreCard(
    {
        "data": "digits",
        "data_digest": "d1",
        "split": "test",
        "pictures": 10,
        "shape": [1, 8, 8],
        "seed": 0,
        "weights": "w1",
        "precision": "fp32",
        "measures": 1,
        "likelihood": "bernoulli",
        "extractor": {"name": "cnn", "digest": "e1"},
        "drawn": 100,
        "reference": 10,
        "floor_from": "10 pictures of train",
        "quantization": "8 bits",
        "neighbors": 5,
        "classes_drawn": "none asked for",
        "cas": "cnn-classic",
    },
    dict.fromkeys(("accuracy", "frechet", "frechet_floor", "recall[3]", "psnr", "bits_per_dimension"), SCORE),
    answers={"accuracy": torch.tensor([True] * 5 + [False] * 5), "psnr": torch.arange(10.0)},
)


def with_field(**fields: Any) -> ScoreCard:
    return replace(CARD, protocol=CARD.protocol | fields)


@pytest.mark.parametrize(
    ("field", "value", "score"),
    [
        ("data_digest", "d2", "accuracy"),
        ("split", "validation", "frechet"),
        ("pictures", 11, "recall[3]"),
        ("shape", [3, 8, 8], "psnr"),
        ("precision", "bf16", "elbo"),
        ("measures", 2, "accuracy"),
        ("likelihood", "logistic", "bits_per_dimension"),
        ("extractor", {"name": "cnn", "digest": "e2"}, "frechet"),
        ("drawn", 99, "kid"),
        ("reference", 9, "density"),
        ("quantization", "none", "psnr"),
        ("neighbors", 3, "coverage"),
        ("classes_drawn", "as in test", "frechet_within_classes"),
        ("floor_from", "9 pictures of train", "frechet_floor"),
        ("cas", "another", "classification_accuracy_score"),
    ],
)
def test_a_mismatch_is_named(field: str, value: Any, score: str) -> None:
    assert differences(CARD, with_field(**{field: value}), score) == [field]
    missing = replace(CARD, protocol={k: v for k, v in CARD.protocol.items() if k != field})
    assert differences(CARD, missing, score) == [field]
    assert differences(CARD, CARD, score) == []


def test_what_does_not_bear_on_a_score_does_not_part_it() -> None:
    other = with_field(data="renamed", seed=1, weights="w2")
    assert all(differences(CARD, other, score) == [] for score in CARD.scores)
    assert differences(CARD, with_field(drawn=5, likelihood="x", extractor="y", floor_from="z"), "accuracy") == []
    assert differences(CARD, with_field(floor_from="z"), "frechet") == []


def test_a_card_and_its_answers_come_back(tmp_path: Path) -> None:
    scorecard.write(tmp_path, CARD)
    again = scorecard.read(tmp_path)
    assert again == CARD
    assert set(again.answers) == set(CARD.answers)
    for name, values in CARD.answers.items():
        assert torch.equal(again.answers[name], values)
    assert not list(tmp_path.glob(".*"))


def test_answers_of_another_card_or_damaged_ones_are_left_out(tmp_path: Path) -> None:
    scorecard.write(tmp_path, CARD)
    (tmp_path / "score.json").write_text(with_field(weights="w2").to_json())
    assert scorecard.read(tmp_path).answers == {}
    (tmp_path / scorecard.ANSWERS).write_bytes(b"\x00" * 20)
    assert scorecard.read(tmp_path).scores == CARD.scores


def test_missing_and_damaged_cards_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no score"):
        scorecard.read(tmp_path)
    for text in ("", "{}", '{"scores": []}', "[1]"):
        (tmp_path / "score.json").write_text(text)
        with pytest.raises(UserError, match="damaged"):
            scorecard.read(tmp_path)

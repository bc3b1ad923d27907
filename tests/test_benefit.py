"""Whether drawn pictures help, on known answers: real pictures must, noise must not."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import benefit, cas
from mezzotint.benefit import BOTH, CLASSIC, DRAWN, OWN, PLAIN, Asked, Benefit, Comparison
from mezzotint.data.dataset import Dataset
from mezzotint.enlarge import Sure
from mezzotint.errors import UserError
from mezzotint.metrics.interval import Score
from mezzotint.metrics.paired import Difference


def as_drawn(digits: Dataset, rows: np.ndarray, noise: bool = False) -> Sure:
    """Real pictures in the place of drawn ones, or noise with their labels."""
    images = np.asarray(digits.images[rows])
    if noise:
        images = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    assert digits.labels is not None
    count = len(rows)
    return Sure(images, digits.labels[rows], np.arange(count), np.ones(count), dict.fromkeys(digits.classes, count))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benefit, "SEEN", 960)
    monkeypatch.setattr(cas, "BATCH", 32)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_real_pictures_help_and_noise_does_not(digits: Dataset, make_recipe: Any) -> None:
    spare = digits.splits["train"][-800:]
    data = replace(digits, splits={**digits.splits, "train": digits.splits["train"][:-800]})
    asked, generator = Asked(shots=(3,), seeds=3), make_recipe("vae-dense")
    said: list[str] = []
    good = benefit.judge(data, as_drawn(digits, spare), generator, asked, {}, said.append)
    noisy = as_drawn(digits, spare, noise=True)
    bad = benefit.judge(data, noisy, generator, Asked(shots=(3,), seeds=1), {}, said.append)
    assert len(said) == (3 + 1) * 4
    compared = {(c.without, c.with_it): c for c in good.comparisons}
    assert set(compared) == {(PLAIN, CLASSIC), (PLAIN, DRAWN), (CLASSIC, BOTH)}
    assert compared[PLAIN, DRAWN].verdict() == "helped"
    assert compared[PLAIN, DRAWN].accuracy.score.value > 0.1
    assert bad.accuracies[3][DRAWN].value < good.accuracies[3][DRAWN].value - 0.1
    means = good.accuracies[3]
    assert means[DRAWN].value - means[PLAIN].value == pytest.approx(
        compared[PLAIN, DRAWN].accuracy.score.value, abs=1e-6
    )
    told = json.loads(good.to_json())
    assert [c["accuracy"]["verdict"] for c in told["comparisons"]] == [c.verdict() for c in good.comparisons]
    assert set(told["comparisons"][0]["recall"]) == set(digits.classes)
    assert len(benefit.gains(good)) == 3
    head, rows = benefit.by_class(good)
    assert (len(head), len(rows)) == (4, 10)
    assert "Does it help?" in benefit.report(good)


@pytest.mark.usefixtures("brief")
def test_a_generator_of_the_few_alone_is_a_way_of_its_own(digits: Dataset, make_recipe: Any) -> None:
    recipe = make_recipe("gan-mlp", "method.conditional=true")
    asked = Asked(shots=(2,), seeds=1, retrain=64, certainty=0.0)
    found = benefit.judge(digits, as_drawn(digits, digits.splits["train"][:20]), recipe, asked, {}, lambda _: None)
    assert OWN in found.accuracies[2]
    assert "64 pictures" in found.protocol["drawn_from_them"]


def test_few_are_of_each_class_alike_and_more_of_them_hold_the_fewer(digits: Dataset) -> None:
    few, more = (benefit.few_of(digits, shots, 1) for shots in (4, 9))
    assert few.labels is not None
    assert np.bincount(few.labels[few.splits["train"]]).tolist() == [4] * 10
    assert set(few.splits["train"]) < set(more.splits["train"])
    assert set(benefit.few_of(digits, 4, 2).splits["train"]) != set(few.splits["train"])
    assert np.array_equal(few.splits["test"], digits.splits["test"])
    with pytest.raises(UserError, match="--shots"):
        benefit.few_of(digits, 1000, 0)


def test_enlarged_data_show_classes_equally_often_and_half_of_each_is_real(digits: Dataset) -> None:
    few = benefit.few_of(digits, 4, 1)
    assert digits.labels is not None
    spare = digits.splits["train"][digits.labels[digits.splits["train"]] < 3][:90]
    more = benefit.enlarged(few, as_drawn(digits, spare))
    assert more.labels is not None
    rows = more.splits["train"]
    counts = np.bincount(more.labels[rows])
    assert len(set(counts.tolist())) == 1
    real = rows < 40
    assert np.array_equal(np.bincount(more.labels[rows[real]], minlength=10)[:3] * 2, counts[:3])
    assert np.array_equal(np.bincount(more.labels[rows[real]], minlength=10)[3:], counts[3:])
    assert set(rows) == set(range(40 + len(spare)))
    assert np.array_equal(more.images[40:], digits.images[spare])


def test_a_verdict_needs_a_small_p() -> None:
    def found(value: float, p: float) -> str:
        score = Difference(Score(value, value - 1, value + 1, 10, ""), p, "")
        return benefit.Comparison(1, "a", "b", score, {"x": score}).verdict("x")

    assert [found(0.1, 0.04), found(-0.1, 0.04), found(0.1, 0.06), found(0.1, float("nan"))] == [
        "helped",
        "hurt",
        "no difference seen",
        "no difference seen",
    ]


def no_number(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def test_a_single_training_is_json_and_intervals_are_told_by_class() -> None:
    value, single = Score(0.1, -math.inf, math.inf, 10, "t"), Score(0.5, 0.25, 0.75, 10, "t")
    gained = Comparison(2, "a", "b", Difference(value, math.nan, ""), {"x": Difference(single, 0.01, "")})
    found = Benefit({"data": "d", "seeds": 1}, {2: {"a": value}}, (gained,), ("a note",))
    told = json.loads(found.to_json(), parse_constant=no_number)
    accuracy = told["comparisons"][0]["accuracy"]
    assert (accuracy["value"], accuracy["low"], accuracy["high"], accuracy["p"]) == (0.1, None, None, None)
    assert told["accuracy"]["2"]["a"]["low"] is None
    assert benefit.by_class(found)[1] == [("x", "+50.00 % (+25.00 to +75.00) helped")]
    assert "+25.00 to +75.00" in benefit.report(found)


@pytest.mark.parametrize("odd", [{"shots": ()}, {"shots": (0,)}, {"seeds": 0}, {"retrain": 0}])
def test_odd_questions_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        Asked(**odd)


def test_a_recogniser_trained_twice_is_the_same(digits: Dataset) -> None:
    first, second = (cas.recogniser(digits, 3, 256).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_certainty_that_admits_nothing_is_refused_before_any_training():
    with pytest.raises(UserError, match="--certainty"):
        Asked(certainty=2.0)


def test_nothing_kept_is_nothing_to_judge(digits: Dataset, make_recipe: Any) -> None:
    none = as_drawn(digits, digits.splits["train"][:0])
    with pytest.raises(UserError, match="none of the drawn pictures was kept"):
        benefit.judge(digits, none, make_recipe("gan-mlp"), Asked(shots=(2,), seeds=1, retrain=64), {}, lambda _: None)


def test_a_generator_of_the_few_draws_the_same_classes(digits: Dataset, make_recipe: Any) -> None:
    assert digits.labels is not None
    rows = digits.splits["train"]
    rows = rows[np.isin(digits.labels[rows], (3, 7))][:9]
    sure = replace(as_drawn(digits, rows), tried={"3": 20, "7": 20})
    torch.manual_seed(0)
    generator = make_recipe("gan-mlp", "method.conditional=true").method.build(digits.spec)
    recogniser = make_recipe("cnn-classic").method.build(digits.spec)
    own = benefit.drawn_like(sure, generator, recogniser, 0.0, 0)
    assert set(own.tried) == {"3", "7"}
    assert np.bincount(own.labels).max() == np.bincount(sure.labels).max()

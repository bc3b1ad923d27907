"""COCO's scores against pycocotools, and against what they are by definition."""

import contextlib
import io
import math

import numpy as np
import pytest
import torch

from mezzotint.metrics import detection
from mezzotint.metrics.detection import AP, AP_50, RECALL

pytest.importorskip("faster_coco_eval")
NOTHING = [-1.0, 0, 0, 0, 0, 0]
THINGS = ("cat", "dog", "eel")


def worlds(seed: int, pictures: int = 25) -> tuple[torch.Tensor, torch.Tensor]:
    """Given boxes, some of them crowds, and found ones: moved, missed, doubled, invented, of another class."""
    rng = np.random.default_rng(seed)
    given, found = torch.tensor([[NOTHING] * 6] * pictures), torch.tensor([[NOTHING] * 12] * pictures)
    for i in range(pictures):
        k = 0
        for j in range(rng.integers(0, 7)):
            corner, size = rng.uniform(0, 100, 2), rng.uniform(5, 60, 2)
            kind = int(rng.integers(0, 2))
            given[i, j] = torch.tensor([kind, *corner, *(corner + size), float(rng.random() < 0.15)])
            for _ in range(rng.choice([0, 1, 2], p=[0.2, 0.6, 0.2])):
                moved = corner + rng.normal(0, 4, 2)
                end = corner + size + rng.normal(0, 4, 2)
                said = kind if rng.random() < 0.85 else 1 - kind
                found[i, k] = torch.tensor([said, *moved, *np.maximum(end, moved + 1), rng.random()])
                k = min(k + 1, 11)
    return given, found


def by_pycocotools(given: torch.Tensor, found: torch.Tensor) -> dict[str, float]:
    pycocotools = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = pycocotools.COCO()
        truth.dataset = {
            "images": [{"id": i + 1} for i in range(len(given))],
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(THINGS)],
            "annotations": detection.coco_boxes(given, range(1, len(given) + 1), certainties=False),
        }
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(detection.coco_boxes(found, range(1, len(given) + 1))), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return {AP: judged.stats[0], AP_50: judged.stats[1], RECALL: judged.stats[8]}


@pytest.mark.parametrize("seed", range(4))
def test_scores_agree_with_pycocotools(seed):
    given, found = worlds(seed)
    ours, theirs = detection.average_precision(given, found, THINGS), by_pycocotools(given, found)
    for name, value in theirs.items():
        assert ours[name].value == pytest.approx(value, abs=1e-12)
    assert detection.glance(given, found, THINGS) == ours[AP_50].value


def test_a_perfect_detector_and_one_that_finds_nothing():
    given, _ = worlds(1)
    given[:, :, 5] = 0
    found = given.clone()
    found[:, :, 5] = 0.9
    perfect = detection.average_precision(given, found, THINGS)
    assert [perfect[name].value for name in (AP, AP_50, RECALL)] == pytest.approx([1, 1, 1])
    assert perfect[AP].high <= 1
    assert set(perfect) == {AP, AP_50, RECALL, f"{AP_50}[cat]", f"{AP_50}[dog]"}
    blind = detection.average_precision(given, torch.full((25, 3, 6), -1.0), THINGS)
    assert [score.value for score in blind.values()] == [0] * 5


def test_half_of_the_boxes_found_is_a_precision_of_a_half():
    """101 recalls from 0 to 1: those up to 0.5 (51 of them) are reached without an error."""
    given = torch.tensor([[[0.0, 10, 10, 30, 30, 0]], [[0.0, 10, 10, 30, 30, 0]]])
    found = torch.tensor([[[0.0, 10, 10, 30, 30, 0.9]], [NOTHING]])
    assert detection.average_precision(given, found, THINGS)[AP_50].value == pytest.approx(51 / 101)


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong():
    given = torch.tensor([[[0.0, 10, 10, 30, 30, 0], [0, 50, 50, 90, 90, 1]]])
    found = torch.tensor([[[0.0, 55, 55, 70, 70, 0.99], [0, 10, 10, 30, 30, 0.5]]])
    assert detection.average_precision(given, found, THINGS)[AP].value == pytest.approx(1)


def test_without_boxes_there_are_no_scores():
    none = torch.tensor([[NOTHING]] * 3)
    assert detection.average_precision(none, none, THINGS) == {}
    assert detection.glance(none, none, THINGS) == 0


def test_the_interval_holds_what_many_pictures_give():
    given, found = worlds(5, 600)
    truth = detection.glance(given, found, THINGS)
    held = [
        (lambda s: s.low <= truth <= s.high)(
            detection.average_precision(given[i : i + 60], found[i : i + 60], THINGS)[AP_50]
        )
        for i in range(0, 600, 60)
    ]
    assert sum(held) >= 8


def test_a_single_picture_has_no_interval():
    given, found = worlds(0, 30)
    some = int(((given[:, :, 0] >= 0) & (given[:, :, 5] == 0)).any(1).nonzero()[0])
    score = detection.average_precision(given[some : some + 1], found[some : some + 1], THINGS)[AP_50]
    assert (score.low, score.high, math.isfinite(score.value)) == (0, 1, True)

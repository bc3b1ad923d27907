from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import drawing, measure, shrinking
from mezzotint.glance import validation_score
from mezzotint.methods.compressor import Compressor, CompressorConfig
from mezzotint.networks.hyperprior import HyperpriorConfig
from mezzotint.scorecard import bearing

SMALL = HyperpriorConfig(analysis=8, synthesis=8, latents=4, hyper=4, hyper_latents=2)


@pytest.fixture
def method(digits: Any) -> Compressor:
    torch.manual_seed(0)
    return CompressorConfig(network=SMALL).build(digits.spec)


def test_scores_are_of_the_pictures_that_come_back(method: Compressor, digits: Any) -> None:
    card = measure.measure(method, digits, count=30)
    rows = digits.splits["test"][np.arange(30) * len(digits.splits["test"]) // 30]
    images = torch.from_numpy(np.asarray(digits.images[rows])).permute(0, 3, 1, 2) / 127.5 - 1
    for quality in shrinking.QUALITIES:
        again, bits = method.shrunk(images, quality)
        assert card.scores[f"bits_per_pixel[{quality}]"].value == pytest.approx(float(bits.mean()) / 64, rel=1e-5)
        error = ((again - images).double() / 2).square().flatten(1).mean(1)
        psnr = (-10 * error.log10()).clamp(max=58.93)
        assert card.scores[f"psnr[{quality}]"].value == pytest.approx(float(psnr.mean()), abs=1e-3)
        assert card.scores[f"psnr[{quality}]"].n == 30
        assert card.scores[f"ms_ssim[{quality}]"].value <= 1
    assert card.protocol["scales"] == 1
    assert bearing(card, "psnr[50]")["compression"].startswith("30 pictures")
    assert "scales" in bearing(card, "ms_ssim[50]")


def test_a_glance_is_what_the_training_descends(method: Compressor, digits: Any) -> None:
    seen = validation_score(method, digits)
    assert (seen.name, seen.higher_is_better) == ("rate_distortion", False)
    assert seen.pictures <= shrinking.GLANCED
    assert seen.value > 0


def test_the_sheet_has_pictures_above_what_comes_back(method: Compressor, digits: Any) -> None:
    card = measure.measure(method, digits, count=5)
    sheet = drawing.telling_sheets(method, digits, card)["shrunk"]
    rows, columns = sheet.shape[0], sheet.shape[1]
    assert abs(columns / rows - 16 / (1 + len(drawing.SHOWN_QUALITIES))) < 0.5

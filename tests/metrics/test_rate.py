import math

import pytest
import torch

from mezzotint.metrics.rate import bits_per_dimension, nats_per_picture


def test_a_uniform_guess_of_bytes_costs_eight_bits():
    dimensions = 3 * 8 * 8
    score = bits_per_dimension(torch.full((5,), -dimensions * math.log(256)), dimensions)
    # 1e-6: log-probabilities are float32.
    assert score.value == pytest.approx(8, rel=1e-6)
    assert score.high - score.low == pytest.approx(0, abs=1e-6)
    assert score.n == 5


def test_better_predictions_cost_less_and_the_interval_keeps_its_order():
    log_probability = torch.tensor([-100.0, -120.0, -90.0])
    worse, better = (bits_per_dimension(log_probability + gain, 16) for gain in (0.0, 10.0))
    assert worse.low < worse.value < worse.high
    assert worse.value - better.value == pytest.approx(10 / 16 / math.log(2))
    assert nats_per_picture(log_probability).value == pytest.approx(-310 / 3)

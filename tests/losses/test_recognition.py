import math

import pytest
import torch
from torch.nn import functional as F

from mezzotint.losses.recognition import class_weights, logit_offsets, surprise

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 3.0, 0.5]])
LABELS = torch.tensor([0, 1, 2])


def test_surprise_is_cross_entropy_by_picture():
    assert float(surprise(LOGITS, LABELS)[1]) == pytest.approx(math.log(3))
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
        torch.testing.assert_close(surprise(LOGITS, LABELS, smoothing).mean(), expected)


def test_weights_are_inverse_to_frequency_and_one_on_average():
    # 90, 9 and 1 pictures; with power 1 each class weighs 100 / 3 in total.
    weights = class_weights((90, 9, 1), 1.0)
    torch.testing.assert_close(weights * torch.tensor([90.0, 9.0, 1.0]), torch.full((3,), 100 / 3))
    assert torch.equal(class_weights((90, 9, 1), 0.0), torch.ones(3))
    half = class_weights((4, 1), 0.5)  # 1/2 to 1, and 4·a + 1·2a = 5
    torch.testing.assert_close(half, torch.tensor([5 / 6, 10 / 6]))
    assert class_weights((5, 0), 1.0).isfinite().all()


def test_a_weight_multiplies_its_own_class():
    weights = torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(surprise(LOGITS, LABELS, 0.0, weights), surprise(LOGITS, LABELS) * weights)


def test_adjusted_logits_by_hand():
    """Menon et al. 2021, equation 10, for shares of 3/4 and 1/4 and logits that know nothing."""
    offsets = logit_offsets((3, 1), 1.0)
    torch.testing.assert_close(offsets, torch.tensor([math.log(0.75), math.log(0.25)]))
    found = surprise(torch.zeros(2, 2) + offsets, torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.tensor([-math.log(0.75), -math.log(0.25)]))
    assert torch.equal(logit_offsets((3, 1), 0.0), torch.zeros(2))


def test_what_adjusted_logits_learn_is_balanced():
    """Two classes of 9 to 1 whose pictures look alike: the logits without the offset say one half."""
    labels, free = torch.tensor([0] * 9 + [1]), torch.zeros(2, requires_grad=True)
    for _ in range(300):
        loss = surprise((free + logit_offsets((9, 1), 1.0)).expand(10, 2), labels).mean()
        (slope,) = torch.autograd.grad(loss, free)
        free = (free - slope).detach().requires_grad_(True)
    torch.testing.assert_close(free.softmax(0), torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)

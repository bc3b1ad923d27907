import math

import pytest
import torch

from mezzotint.losses.center import center_focal, sides


def test_the_focal_loss_by_hand():
    """One center said with 0.8, a place beside it of height 0.5 said with 0.3, and one far off said with 0.1."""
    said, target = torch.tensor([0.8, 0.3, 0.1]), torch.tensor([1.0, 0.5, 0.0])
    found = center_focal(said.logit().view(1, 1, 1, 3), target.view(1, 1, 1, 3), torch.ones(1, 1, 1, 3))
    expected = -(0.2**2) * math.log(0.8) - 0.5**4 * 0.3**2 * math.log(0.7) - 0.1**2 * math.log(0.9)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_it_is_a_mean_over_the_centers_of_each_picture():
    logits = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(3, 2, 4, 4)
    target[0, 0, 1, 1] = target[0, 1, 2, 2] = target[1, 0, 0, 0] = 1
    found = center_focal(logits, target, torch.ones_like(target))
    alone = [center_focal(logits[i : i + 1], target[i : i + 1], torch.ones(1, 2, 4, 4)) for i in range(3)]
    assert torch.allclose(found, torch.cat(alone))
    twice = center_focal(logits[:1].repeat(1, 1, 2, 1), target[:1].repeat(1, 1, 2, 1), torch.ones(1, 2, 8, 4))
    assert float(twice) == pytest.approx(float(found[0]), rel=1e-6)


def test_what_does_not_count_has_no_gradient():
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    counted = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
    center_focal(logits, torch.zeros(1, 1, 2, 2), counted).sum().backward()
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[[[False, True], [False, False]]]]


def test_the_gradients_are_right():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 1, 3, 3, generator=generator, dtype=torch.float64)
    target[0, 0, 1, 1] = 1
    assert torch.autograd.gradcheck(lambda x: center_focal(x, target, torch.ones_like(target)), logits)
    corners = torch.tensor([2.0, 2, 6, 7], dtype=torch.float64) + torch.rand(1, 2, 2, 4, generator=generator).double()
    given = torch.tensor([1.0, 3, 5, 9], dtype=torch.float64).expand(1, 2, 2, 4)
    weights = torch.rand(1, 2, 2, generator=generator).double()
    assert torch.autograd.gradcheck(lambda x: sides(x, given, weights), corners.requires_grad_())


def test_right_sides_cost_nothing_and_no_boxes_cost_nothing():
    given = torch.tensor([1.0, 3, 5, 9]).expand(2, 3, 3, 4)
    weights = torch.zeros(2, 3, 3)
    weights[0, 1, 1], weights[0, 1, 2] = 0.75, 0.25
    assert sides(given, given, weights).tolist() == [0, 0]
    off = sides(given + 1, given, weights)
    assert float(off[0]) > 0
    assert float(off[1]) == 0

import pytest
import torch

from mezzotint.metrics.confident import doubts


def test_by_hand():
    """Class 0 is given to three pictures with p(0) 0.9, 0.8, 0.1: the mean 0.6 is its threshold; that of class 1 0.65.

    The third has p(1) = 0.9 ≥ 0.65: it is confidently of class 1, and its label is counted as wrong.
    """
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.4, 0.6]])
    found = doubts(p, torch.tensor([0, 0, 0, 1, 1]))
    assert found.wrong.tolist() == [False, False, True, False, False]
    assert found.order.tolist() == [2, 4, 3, 1, 0]
    assert found.likely.tolist() == [0, 0, 1, 1, 1]
    torch.testing.assert_close(found.margin, torch.tensor([0.8, 0.6, -0.8, 0.4, 0.2], dtype=torch.float64))
    # Confident counts [[2, 1], [0, 1]]; rows brought to the 3 and 2 given labels, and all of it to 1.
    torch.testing.assert_close(found.joint, torch.tensor([[2 / 5, 1 / 5], [0, 2 / 5]], dtype=torch.float64))


def test_planted_noise_is_found_and_its_share_estimated():
    generator = torch.Generator().manual_seed(0)
    n, k = 5000, 10
    truth = torch.randint(0, k, (n,), generator=generator)
    logits = 1.5 * torch.randn(n, k, generator=generator)
    logits[torch.arange(n), truth] += 5
    flipped = torch.rand(n, generator=generator) < 0.05
    given = torch.where(flipped, (truth + torch.randint(1, k, (n,), generator=generator)) % k, truth)
    found = doubts(logits.softmax(1), given)
    first = found.order[: n // 10]
    assert float(flipped[first].sum() / flipped.sum()) > 0.95
    assert float(flipped[found.wrong].float().mean()) > 0.6
    assert 1 - float(found.joint.diag().sum()) == pytest.approx(0.05, abs=0.02)


def test_classes_without_pictures_or_certainty_do_no_harm():
    p = torch.full((4, 3), 1 / 3)
    found = doubts(p, torch.tensor([0, 0, 1, 1]))
    assert not found.joint.isnan().any()
    assert float(found.joint.sum()) == pytest.approx(1)
    assert found.joint[2].sum() == 0


def test_what_is_wrong_never_looks_like_what_it_is_called():
    """Where the given class is the likeliest, but below its own threshold and another one above its."""
    p = torch.tensor([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.35, 0.35, 0.3], [0.1, 0.1, 0.8]])
    labels = torch.tensor([0, 0, 0, 1, 2])
    found = doubts(p, labels)
    assert found.wrong.tolist() == [True, False, False, False, False]
    assert found.likely.tolist()[0] == 1 != int(p[0].argmax())
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (500,), generator=generator)
    logits = torch.randn(500, 4, generator=generator)
    logits[:, 0] += 3.0 * (labels == 0)  # the threshold of class 0 is far above those of the others
    p = logits.softmax(1)
    found = doubts(p, labels)
    assert bool((found.wrong & (p.argmax(1) == labels)).any())
    assert bool((found.likely != labels)[found.wrong].all())
    assert torch.equal(found.likely[~found.wrong], p.argmax(1)[~found.wrong])

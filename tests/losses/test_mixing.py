import numpy as np
import pytest
import torch
from scipy import stats

from mezzotint.losses.mixing import NUMBERS, Mixing, mixed, windows

PICTURES = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 4, 8).contiguous()


def numbers(**columns: float) -> torch.Tensor:
    made = torch.full((4, NUMBERS), 0.5)
    for name, value in columns.items():
        made[:, int(name[1:])] = value
    return made


def test_mixup_by_hand():
    """Beta(1, 1) is even, so that its quantile at 0.25 is a share of 0.25: picture 0 becomes 0.25·0 + 0.75·3."""
    images, share = mixed(PICTURES, numbers(u2=0.25), Mixing(mixup=1.0))
    assert share.tolist() == [0.25] * 4
    assert images[:, 0, 0, 0].tolist() == [2.25, 1.75, 1.25, 0.75]
    assert all(picture.unique().numel() == 1 for picture in images)


def test_cutmix_by_hand():
    """A share of 3/4 leaves a window of half of each side: of 4×8 pixels 2×4, from (1, 2) on about the middle."""
    images, share = mixed(PICTURES, numbers(u2=0.75), Mixing(cutmix=1.0))
    expected = torch.zeros(4, 8)
    expected[1:3, 2:6] = 3
    assert torch.equal(images[0, 0], expected)
    assert torch.equal(images[3, 2], 3 - expected)
    assert share.tolist() == [0.75] * 4


def test_a_window_over_the_edge_counts_what_it_covers():
    window, left = windows(4, 8, torch.tensor([0.75]), torch.tensor([0.0]), torch.tensor([0.0]))
    assert window[0].nonzero().tolist() == [[0, 0], [0, 1]]
    assert float(left) == pytest.approx(1 - 2 / 32)


def test_shares_are_of_the_beta_distribution():
    u = torch.rand(4000, NUMBERS, generator=torch.Generator().manual_seed(0))
    _, share = mixed(torch.zeros(4000, 1, 1, 1), u, Mixing(mixup=0.4))
    assert stats.kstest(share.numpy().astype(np.float64), stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_both_kinds_take_turns_and_some_pictures_stay():
    n = 2000
    u = torch.rand(n, NUMBERS, generator=torch.Generator().manual_seed(0))
    pictures = torch.rand(n, 1, 6, 6)
    images, share = mixed(pictures, u, Mixing(mixup=1.0, cutmix=1.0, probability=0.5))
    same = (images == pictures).flatten(1)
    untouched, pasted = same.all(1), same.any(1) & ~same.all(1)
    assert share[untouched].eq(1).all()
    assert float(untouched.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(pasted.float().mean()) == pytest.approx(0.25, abs=0.05)
    # The mixture is always share · own + (1 - share) · other in the mean, which is what the labels are mixed by.
    ones = torch.zeros(n, 1, 6, 6)
    ones[: n // 2] = 1
    mean = mixed(ones, u, Mixing(mixup=1.0, cutmix=1.0))
    torch.testing.assert_close(mean[0][: n // 2].mean((1, 2, 3)), mean[1][: n // 2], atol=1e-5, rtol=0)


def test_mixing_ends_when_it_is_told():
    assert Mixing(mixup=1.0, until=0.8).due(0.79)
    assert not Mixing(mixup=1.0, until=0.8).due(0.8)
    assert not Mixing().due(0.0)


@pytest.mark.parametrize("odd", [{"mixup": -1.0}, {"probability": 2.0}, {"until": -0.1}])
def test_odd_numbers_are_refused(odd):
    with pytest.raises(ValueError, match="mixup"):
        Mixing(**odd)

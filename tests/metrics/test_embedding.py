import math

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from mezzotint.metrics.embedding import NEIGHBORS, TEMPERATURE, effective_rank, neighbor_hits


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_neighbors_vote_as_in_scikit_learn():
    known, asked = normal(300, 6), normal(1500, 6, seed=1)
    classes, truth = (known[:, 0] > 0).long() + (known[:, 1] > 0), (asked[:, 0] > 0).long() + (asked[:, 1] > 0)
    weigh = lambda distance: torch.exp((1 - torch.from_numpy(distance)) / TEMPERATURE).numpy()  # noqa: E731
    reference = KNeighborsClassifier(NEIGHBORS, weights=weigh, metric="cosine").fit(known.numpy(), classes.numpy())
    expected = torch.from_numpy(reference.predict(asked.numpy())) == truth
    found = neighbor_hits(known, classes, asked, truth)
    # A tie of rounding may fall either way.
    assert (found != expected).sum() <= 1
    assert 0.5 < found.double().mean() < 1


def test_fewer_known_pictures_than_neighbors():
    assert neighbor_hits(normal(3, 4), torch.tensor([0, 1, 0]), normal(2, 4, seed=1), torch.tensor([0, 0])).shape == (
        2,
    )


@pytest.mark.parametrize("directions", [1, 3, 8])
def test_rank_counts_equal_directions(directions):
    features = torch.zeros(4000, 8, dtype=torch.float64)
    features[:, :directions] = normal(4000, directions)
    score = effective_rank(features)
    # Sampling makes 4,000 equal variances unequal by some percent, which costs the entropy the square of that.
    assert score.value == pytest.approx(directions, rel=0.005)
    assert score.low <= score.value <= score.high


def test_rank_of_a_known_spectrum():
    exact = torch.eye(3, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64).sqrt()
    features = torch.cat([exact, -exact])
    shares = [3 / 6, 2 / 6, 1 / 6]
    assert effective_rank(features).value == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_features_that_never_vary_have_no_directions():
    assert effective_rank(torch.ones(10, 4)).value == pytest.approx(1.0)

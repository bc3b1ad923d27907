"""Which labels look wrong: confident learning (Northcutt, Jiang & Chuang 2021) from held-out probabilities."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mezzotint.types import Labels


@dataclass(frozen=True)
class Doubts:
    """What held-out probabilities say of given labels."""

    order: Int[Tensor, " n"]
    """All pictures, the one whose label looks most wrong first."""
    likely: Int[Tensor, " n"]
    """The class that each picture is likeliest to be of: where its label is wrong, the one it confidently is of."""
    margin: Float[Tensor, " n"]
    """Probability of the given class less that of the likeliest other one, in [-1, 1]."""
    wrong: Tensor
    """Whether each label is counted as wrong: its picture is confidently of another class."""
    joint: Float[Tensor, "k k"]
    """Estimated share of the pictures by (given class, true class); sums to 1."""


def doubts(probabilities: Float[Tensor, "n k"], labels: Labels) -> Doubts:
    """Judge labels by probabilities of a recognizer that did not learn from the picture at hand.

    A picture is confidently of the class whose probability reaches the mean probability that this class has among
    the pictures of its own label (eq. 2), the likeliest where several do (eq. 1). The joint is the confident counts,
    scaled to the number of pictures of each given class (eq. 3). The order is by the margin (section 3.2).
    """
    p, k = probabilities.double(), probabilities.shape[1]
    own = p.gather(1, labels[:, None]).squeeze(1)
    sums = torch.zeros(k, dtype=p.dtype).index_add(0, labels, own)
    counts = torch.bincount(labels, minlength=k)
    thresholds = torch.where(counts > 0, sums / counts.clamp(min=1), torch.inf)
    confident = torch.where(p >= thresholds, p, -torch.inf)
    best, meant = confident.max(1)
    sure = best.isfinite()
    cells = torch.bincount(labels[sure] * k + meant[sure], minlength=k * k).view(k, k).double()
    cells += torch.diag((cells.sum(1) == 0) * counts.double())  # a class of which nothing is sure is taken as given
    joint = cells / cells.sum(1, keepdim=True).clamp(min=1) * counts[:, None]
    others = p.scatter(1, labels[:, None], -torch.inf)
    margin = own - others.max(1).values
    wrong = sure & (meant != labels)
    likely = torch.where(wrong, meant, p.argmax(1))
    return Doubts(margin.argsort(stable=True), likely, margin, wrong, joint / joint.sum().clamp(min=1))

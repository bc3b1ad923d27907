"""Can it be told from a model which pictures it was trained on? Attacks, and how often they succeed.

Everywhere a score is higher for what looks like a member, a picture that was trained on.
"""

import math

import torch
from jaxtyping import Bool, Float
from scipy import special
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.metrics.interval import TAIL, Score, around

FEWEST_SHADOWS = 4
"""Two models with and two without each picture: the least from which a spread can be estimated."""


def attack(members: Float[Tensor, " n"], others: Float[Tensor, " m"]) -> dict[str, Score]:
    """How well scores tell members from others: area under the curve, and hits at 1 % and 0.1 % false alarms.

    Raw losses make it the threshold attack (Yeom et al. 2018), `likelihood_ratio` makes it LiRA.
    """
    return {
        "auc": area(members, others),
        "tpr_at_1%": hits_at(members, others, 0.01),
        "tpr_at_0.1%": hits_at(members, others, 0.001),
    }


def area(members: Float[Tensor, " n"], others: Float[Tensor, " m"]) -> Score:
    """Area under the ROC curve, 1/2 for blind guesses, with the interval of DeLong et al. 1988."""
    n, m = len(members), len(others)
    if min(n, m) < 2:
        raise UserError(f"an attack is judged by at least 2 pictures on either side, and here are {n} and {m}")
    wins, losses = _share_below(members, others), 1 - _share_below(others, members)
    error = math.sqrt(float(wins.var() / n + losses.var() / m))
    score = around(float(wins.mean()), error, n + m, min(n, m) - 1, "DeLong")
    return Score(score.value, max(score.low, 0.0), min(score.high, 1.0), score.n, score.method)


def _share_below(values: Tensor, of: Tensor) -> Tensor:
    """For each value the share of the others below it, ties by half."""
    ordered = of.double().sort().values
    values = values.double()
    below = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)
    return below.double() / (2 * len(of))


def hits_at(members: Float[Tensor, " n"], others: Float[Tensor, " m"], alarms: float) -> Score:
    """Share of members above the threshold that at most the share `alarms` of the others exceeds.

    The interval allows for both unknowns: the threshold at which the true share of false alarms is `alarms` (order
    statistics of the others) and the share of members above it (exact binomial), each at 97.5 %.
    """
    n, m = len(members), len(others)
    ordered = others.double().sort(descending=True).values
    above = [_hits(members, ordered, allowed) for allowed in _allowed(m, alarms)]
    low = float(special.betaincinv(above[0], n - above[0] + 1, TAIL / 2)) if above[0] else 0.0
    high = float(special.betaincinv(above[2] + 1, n - above[2], 1 - TAIL / 2)) if above[2] < n else 1.0
    return Score(above[1] / n, low, high, n, "exact binomial, threshold by order statistics")


def _allowed(m: int, alarms: float) -> tuple[int, int, int]:
    """False alarms among m at the strictest, the usual and the loosest threshold; -1 is stricter than any of them."""
    usual = math.floor(alarms * m + 1e-9)
    strict = next(k for k in range(m + 1) if special.bdtr(k, m, alarms) > TAIL / 2) - 1
    loose = next(k for k in range(m + 1) if special.bdtr(k, m, alarms) >= 1 - TAIL / 2)
    return min(strict, usual), usual, max(loose, usual)


def _hits(members: Tensor, ordered: Tensor, allowed: int) -> int:
    """Members strictly above the value that `allowed` others exceed."""
    if allowed < 0:
        return 0
    return len(members) if allowed >= len(ordered) else int((members.double() > ordered[allowed]).sum())


def likelihood_ratio(
    target: Float[Tensor, " n"], shadows: Float[Tensor, "s n"], inside: Bool[Tensor, "s n"]
) -> Float[Tensor, " n"]:
    """LiRA's score (Carlini et al. 2022, algorithm 1): log of the likelihood of a member by that of a non-member.

    `target` is the confidence of the attacked model in each picture, `shadows` that of models trained with
    (`inside`) and without it. Gaussians with a mean for each picture and one variance for all (section VI-C: with few
    shadows a picture's own variance is noise), widened by the uncertainty of the mean.
    """
    if len(shadows) < FEWEST_SHADOWS or int(inside.sum(0).min()) < 2 or int((~inside).sum(0).min()) < 2:
        raise UserError(
            f"a likelihood ratio needs {FEWEST_SHADOWS} shadow runs or more: two with each picture, two not"
        )
    return _log_density(target, shadows, inside) - _log_density(target, shadows, ~inside)


def _log_density(target: Tensor, shadows: Tensor, chosen: Tensor) -> Tensor:
    """Log of the normal density of each target, up to a constant, by the chosen shadows."""
    target, shadows = target.double(), shadows.double()
    count = chosen.sum(0)
    center = (shadows * chosen).sum(0) / count
    variance = ((shadows - center).square() * chosen).sum() / (count - 1).sum()
    spread = variance.clamp(min=1e-12) * (1 + 1 / count)
    return -0.5 * ((target - center).square() / spread + spread.log())


def logit_confidence(logits: Float[Tensor, "n k"], labels: Tensor) -> Float[Tensor, " n"]:
    """Log p/(1 - p) of the true class: nearly normal where the loss is skewed (Carlini et al. 2022, section IV-C)."""
    logits = logits.double()
    true = logits.gather(1, labels[:, None])[:, 0]
    rest = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return true - rest

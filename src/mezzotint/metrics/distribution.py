"""How far a set of generated pictures is from the real ones, both seen through a feature extractor.

Everywhere the first set is the reference (real), the second the judged one (generated), and a score's n counts the
second. Sums are float64: distances are small differences of large ones.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from torch import Tensor

from mezzotint.errors import UserError
from mezzotint.metrics.interval import Score, around, mean, proportion

Matrix = NDArray[np.float64]
"""What Fréchet distances are computed with: numpy throughout, since the threads of two libraries by turns wait for one
another."""

NEIGHBORS = 5
"""Reach of the balls of precision, recall, density and coverage."""
FEWEST = NEIGHBORS + 1
"""Pictures in a set that can be compared with another."""
ROWS = 1024
"""Pictures of one set compared at a time with all of the other: 80 MB a table against 10,000."""
TILE = 512
"""Pictures of either set whose kernel is taken at a time: the table stays in the cache."""


class Moments:
    """Mean and covariance of features, in float64; the moments of batches and of processes add up.

    Sums are kept about the mean of the first batch, because sums about zero lose the digits of a small variance beside
    a large mean, and with them the rank of a singular covariance (Chan et al. 1983, section 3).
    """

    def __init__(self, dimensions: int) -> None:
        """Start from no pictures."""
        self.n = 0
        self._pivot, self._sum = np.zeros(dimensions), np.zeros(dimensions)
        """Of the deviations from the pivot."""
        self._squares = np.zeros((dimensions, dimensions), order="F")
        """Lower triangle of the sum of the outer products of these deviations."""

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> "Moments":
        """The moments of one batch."""
        moments = cls(features.shape[1])
        moments.update(features)
        return moments

    def update(self, features: Float[Tensor, "n d"]) -> None:
        """Take in one batch."""
        rows = _finite(features).numpy()
        if not len(rows):
            return
        if not self.n:
            self._pivot = rows.mean(0, dtype=np.float64)
        rows = rows - self._pivot
        self.n += len(rows)
        self._sum += rows.sum(0)
        # Half the products of rowsᵀ·rows, added in place.
        add = blas.dsyrk  # pyright: ignore[reportAttributeAccessIssue]
        add(1.0, rows.T, beta=1.0, c=self._squares, overwrite_c=1, lower=1)

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets together."""
        kept, moved = (self, other) if self.n else (other, self)
        both, gap = Moments(len(kept._pivot)), moved._pivot - kept._pivot
        both.n, both._pivot = kept.n + moved.n, kept._pivot
        both._sum = kept._sum + moved._sum + moved.n * gap
        across = np.outer(moved._sum, gap)
        shift = across + across.T + moved.n * np.outer(gap, gap)
        both._squares = np.asfortranarray(kept._squares + moved._squares + shift)
        return both

    @property
    def mean(self) -> Float[NDArray[np.float64], " d"]:
        """Mean of the pictures so far."""
        return self._pivot + self._sum / max(self.n, 1)

    @property
    def scatter(self) -> Float[NDArray[np.float64], "d d"]:
        """Sum of the outer products of deviations from the mean."""
        lower = np.tril(self._squares - np.outer(self._sum, self._sum) / max(self.n, 1))
        return lower + np.tril(lower, -1).T

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the covariance, n - 1."""
        if self.n < 2:
            raise UserError(f"A covariance needs at least 2 pictures and there are {self.n}: measure on more.")
        return self.n - 1

    @property
    def covariance(self) -> Float[NDArray[np.float64], "d d"]:
        """Unbiased covariance of at least two pictures."""
        return self.scatter / self.freedom

    @property
    def undersampled(self) -> bool:
        """Whether there are too few pictures for a covariance of full rank: distances are then far too large."""
        return self.n <= len(self.mean)


def _finite(features: Tensor) -> Tensor:
    """The features on the CPU, in float32 or float64; raises UserError where one is not finite."""
    features = features.detach().cpu()
    features = features if features.dtype == torch.float64 else features.float()
    # A number that is not finite shows in its column's sum.
    if not np.isfinite(features.numpy().sum(0, dtype=np.float64)).all():
        raise UserError("Some features are not finite: the extractor or the pictures it was given are broken.")
    return features


def frechet(a: Moments, b: Moments) -> float:
    """Fréchet distance of two Gaussians (Dowson and Landau 1982): |μa-μb|² + tr(Ca + Cb - 2(CaCb)^½)."""
    freedom_a, freedom_b = a.freedom, b.freedom
    scatter_a, scatter_b = a.scatter, b.scatter
    apart = np.square(a.mean - b.mean).sum() + scatter_a.trace() / freedom_a + scatter_b.trace() / freedom_b
    return max(float(apart) - 2 * _overlap(scatter_a, scatter_b) / math.sqrt(freedom_a * freedom_b), 0.0)


def _overlap(a: Matrix, b: Matrix) -> float:
    """Trace of (ab)^½ of scatters (or covariances) a and b: the roots of the eigenvalues of mᵀbm, where a = mmᵀ.

    Of two singular or nearly singular covariances the roots drown in rounding; the singular values of the product of
    two such m, which are the same numbers without a root, do not.
    """
    scale = float(a.trace() * b.trace()) ** 0.5
    lower, failed = lapack.dpotrf(a, lower=1)  # pyright: ignore[reportAttributeAccessIssue]
    if not failed:
        # lᵀbl
        product, _ = lapack.dsygst(b, lower, itype=2, lower=1)  # pyright: ignore[reportAttributeAccessIssue]
        if (total := _trusted_sum(product, scale)) is not None:
            return total
    root = _root(a)
    if (total := _trusted_sum(root.T @ b @ root, scale)) is not None:
        return total
    return float(np.linalg.svd(root.T @ _root(b), compute_uv=False).sum())


def _trusted_sum(product: Matrix, scale: float) -> float | None:
    """Sum of the roots of the eigenvalues of a lower triangle, or nothing where rounding could be seen in it.

    An error e of an eigenvalue w, about the machine's precision of the largest one, is e/2√w of its root.
    """
    roots = np.sqrt(np.linalg.eigvalsh(product).clip(min=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.finfo(roots.dtype).eps * np.square(roots[-1:]).sum() * np.reciprocal(roots).sum()
    return float(roots.sum()) if lost <= 1e-9 * scale else None


def _root(covariance: Matrix) -> Matrix:
    """A matrix m, of d rows, with covariance = mmᵀ; directions in which it is zero up to rounding are left out.

    Pivoted Cholesky (Higham 1990) finds the rank at a fraction of the time of eigenvectors.
    """
    factor, order, rank, _ = lapack.dpstrf(covariance, lower=1)  # pyright: ignore[reportAttributeAccessIssue]
    root = np.empty((len(factor), rank))
    root[order - 1] = np.tril(factor)[:, :rank]
    return root


def frechet_intervals(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, blocks: int = 16, seed: int = 0
) -> tuple[Score, Score]:
    """Fréchet distance at these set sizes and of endlessly many pictures, with intervals.

    Both rest on a jackknife over random blocks of either set. The distance of finite sets is too large, by about 1/n.
    The first score is `frechet`'s, with the interval of other sets of the same sizes: compare it only at equal sizes.
    From the second the jackknife's estimate of that excess is taken off (Quenouille 1956), which does for both sets
    what a line through distances at several sizes does for one (FID∞, Chong and Forsyth 2020); it means nothing where
    pictures are fewer than dimensions. Resampling with replacement would instead double the excess. The
    jackknife's variance errs to the wide side (Efron and Stein 1981).
    """
    if min(len(a), len(b)) < 4:
        raise UserError(f"An interval needs at least 4 pictures in each set, here {len(a)} and {len(b)}: use more.")
    a, b = (_shuffled(features, seed) for features in (a, b))
    moments_a, moments_b = Moments.of(a), Moments.of(b)
    value = frechet(moments_a, moments_b)
    blocks = min(blocks, len(a) // 2, len(b) // 2)
    parts = [_jackknife(own, other, value, blocks) for own, other in ((a, moments_b), (b, moments_a))]
    bias, variance = (sum(part[i] for part in parts) for i in (0, 1))
    few = ", fewer pictures than dimensions" if moments_a.undersampled or moments_b.undersampled else ""

    def score(value: float, name: str) -> Score:
        return around(value, math.sqrt(variance), len(b), blocks - 1, f"jackknife over {blocks} blocks, {name}{few}")

    return score(value, "at these set sizes"), score(value - bias, "excess of finite sets removed")


def _shuffled(features: Tensor, seed: int) -> Tensor:
    return features[torch.randperm(len(features), generator=torch.Generator().manual_seed(seed)).to(features.device)]


def _jackknife(own: Tensor, other: Moments, value: float, blocks: int) -> tuple[float, float]:
    """Bias and variance of the distance that come from the rows of `own`."""
    distances = np.array(list(_without_each_block(_finite(own).double().numpy(), other, blocks)))
    return (blocks - 1) * (float(distances.mean()) - value), float((blocks - 1) * distances.var())


def _without_each_block(own: Matrix, other: Moments, blocks: int) -> Iterator[float]:
    """The distance of `own` without each block from `other`.

    The rows are multiplied once by the root of the other covariance, after which tr(CaCb)^½ is the sum of the roots
    of the eigenvalues of their own covariance; a block is left out by subtracting its sums.
    """
    root = _root(other.covariance)
    center = own.mean(0)
    rows = own - center
    turned = rows @ root
    if len(rows) < root.shape[1]:
        # Few rows span few directions: in a basis of those, the same eigenvalues without the zeros.
        turned = np.asarray(np.linalg.qr(turned.T, mode="r")).T
    scatter, squares = turned.T @ turned, np.square(rows).sum()
    constant = other.covariance.trace()
    for part, turned_part in zip(np.array_split(rows, blocks), np.array_split(turned, blocks), strict=True):
        n, shift, turned_shift = len(rows) - len(part), part.sum(0), turned_part.sum(0)
        trace = (squares - np.square(part).sum() - np.square(shift).sum() / n) / (n - 1)
        product = (scatter - turned_part.T @ turned_part - np.outer(turned_shift, turned_shift) / n) / (n - 1)
        gap = center - shift / n - other.mean
        yield float(np.square(gap).sum() + trace + constant - 2 * _root_sum(product))


def _root_sum(matrix: Matrix) -> float:
    """Sum of the roots of a positive semidefinite matrix's eigenvalues, rounding noise taken for zero."""
    values = np.linalg.eigvalsh(matrix)
    noise = values[-1:] * len(values) * np.finfo(values.dtype).eps
    return float(np.sqrt(np.where(values > noise, values, 0)).sum())


def kid(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Score:
    """Kernel distance (Bińkowski et al. 2018): unbiased MMD² with the kernel (x·y/d + 1)³.

    Every pair counts, which is what the mean over random subsets of the usual protocol tends to. The interval is that
    of the jackknife over pictures, exact from the row sums (Arvesen 1969); unbiased, the value may be negative. The
    kernel is taken in the precision of the features and summed in float64: of float32 the value is good to about 1e-6.
    """
    if min(len(a), len(b)) < 3:
        raise UserError(f"A kernel distance needs at least 3 pictures in each set, here {len(a)} and {len(b)}.")
    a, b = _finite(a), _finite(b)
    n, m = len(a), len(b)
    within_a, within_b = (_kernel_within(x) for x in (a, b))
    across_a, across_b = _kernel_across(a, b)
    total_a, total_b, across = within_a.sum() / (n * (n - 1)), within_b.sum() / (m * (m - 1)), across_a.sum() / (n * m)
    without_a = _without_each(within_a) + total_b - 2 * (across_a.sum() - across_a) / ((n - 1) * m)
    without_b = _without_each(within_b) + total_a - 2 * (across_b.sum() - across_b) / ((m - 1) * n)
    variance = (n - 1) * without_a.var(correction=0) + (m - 1) * without_b.var(correction=0)
    value = float(total_a + total_b - 2 * across)
    return around(value, math.sqrt(float(variance)), m, min(n, m) - 1, "jackknife over pictures")


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """The n×m table of (x·y/d + 1)³."""
    return torch.addmm(a.new_ones(()), a, b.T, alpha=1 / a.shape[1]).pow_(3)


def _kernel_within(features: Tensor) -> Tensor:
    """Sum of the kernel of each row with all others; a tile serves its mirror image too."""
    sums, tiles = torch.zeros(len(features), dtype=torch.float64), range(0, len(features), TILE)
    for i in tiles:
        own = features[i : i + TILE]
        sums[i : i + TILE] += _kernel(own, own).fill_diagonal_(0).sum(1, dtype=torch.float64)
        for j in tiles[i // TILE + 1 :]:
            table = _kernel(own, features[j : j + TILE])
            sums[i : i + TILE] += table.sum(1, dtype=torch.float64)
            sums[j : j + TILE] += table.sum(0, dtype=torch.float64)
    return sums


def _kernel_across(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the kernel over the rows and over the columns of the n×m table."""
    rows, columns = (torch.zeros(len(x), dtype=torch.float64) for x in (a, b))
    for i in range(0, len(a), TILE):
        for j in range(0, len(b), TILE):
            table = _kernel(a[i : i + TILE], b[j : j + TILE])
            rows[i : i + TILE] += table.sum(1, dtype=torch.float64)
            columns[j : j + TILE] += table.sum(0, dtype=torch.float64)
    return rows, columns


def _without_each(row_sums: Tensor) -> Tensor:
    """Mean of a symmetric table off its diagonal, without each row and its column."""
    n = len(row_sums)
    return (row_sums.sum() - 2 * row_sums) / ((n - 1) * (n - 2))


def precision_recall_density_coverage(
    real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"], k: int = 5
) -> dict[str, Score]:
    """Faithfulness and variety, by balls that reach to each picture's k-th neighbor in its own set.

    Precision and recall after Kynkäänniemi et al. 2019, density and coverage after Naeem et al. 2020 (equations 3 to
    6). Precision and density are means over generated, recall and coverage over real pictures; the intervals take the
    other set, and the balls, as given.
    """
    if min(len(real), len(generated)) <= k:
        raise UserError(
            f"{k} neighbors need more than {k} pictures in each set, here {len(real)} and {len(generated)}: use more."
        )
    # Centered, because |x|² + |y|² - 2x·y rounds in proportion to the norms.
    real, generated = _finite(real).double(), _finite(generated).double()
    center = real.mean(0)
    real, generated = real - center, generated - center
    inside, recalled, covered = _memberships(real, generated, k)
    return {
        "precision": proportion(int((inside > 0).sum()), len(generated)),
        "recall": proportion(int(recalled.sum()), len(real)),
        "density": mean(inside / k),
        "coverage": proportion(int(covered.sum()), len(real)),
    }


def _memberships(real: Tensor, generated: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each generated picture the real balls it is in; for each real one whether it is in any, and holds any."""
    real_radii, generated_radii = _squared_radii(real, k), _squared_radii(generated, k)
    inside, recalled, covered = torch.zeros(len(generated), dtype=torch.float64), [], []
    for rows, radii in zip(real.split(ROWS), real_radii.split(ROWS), strict=True):
        distances = _squared_distances(rows, generated)
        recalled.append((distances < generated_radii).any(1))
        within = distances.lt_(radii[:, None])
        inside += within.sum(0)
        covered.append(within.amax(1) > 0)
    return inside, torch.cat(recalled), torch.cat(covered)


def _squared_radii(features: Tensor, k: int) -> Tensor:
    """Squared distance of each row to its k-th neighbor; the row itself is the nearest of k + 1."""
    # topk is several times faster than kthvalue, and than sorting.
    tables = (_squared_distances(rows, features) for rows in features.split(ROWS))
    return torch.cat([table.topk(k + 1, largest=False, sorted=False).values.amax(1) for table in tables])


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    products = torch.addmm(b.square().sum(1)[None], a, b.T, alpha=-2)
    return products.add_(a.square().sum(1)[:, None]).clamp_(min=0)

"""Agglomerative clustering of windows by the mean of their PLDA log-likelihood ratios."""

from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.parallel.threads import one_thread

WINDOWS_AT_ONCE = 1000
"""Windows that are clustered among themselves before their clusters are: memory holds a ratio for each pair of them."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """K clusters of windows, as far as ratios depend on them."""

    sizes: IntArray  # (K,)
    means: Float64Array  # (K, R), of the vectors
    squares: Float64Array  # (K, R), means of the squared vectors


def cluster(vectors: Float64Array, psi: Float64Array, threshold: float, least: int = 1) -> IntArray:
    """Return the cluster of each vector (W, R) in PLDA's diagonal space, numbered by their first members.

    The two clusters with the largest mean ratio between their members are merged as long as it is above `threshold` and
    more than `least` clusters are left. In a long recording, neighbourhoods are clustered first.
    """
    numbers = np.empty(len(vectors), np.intp)
    parts = []
    n_found = 0
    for start in range(0, len(vectors), WINDOWS_AT_ONCE):
        block = vectors[start : start + WINDOWS_AT_ONCE]
        own = merge(singletons(block), psi, threshold, min(least, len(block)))
        parts.append(pool(singletons(block), own))
        numbers[start : start + WINDOWS_AT_ONCE] = n_found + own
        n_found += len(parts[-1].sizes)
    if len(parts) == 1:
        return numbers
    everything = Clusters(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    return merge(everything, psi, threshold, least)[numbers]


def singletons(vectors: Float64Array) -> Clusters:
    """Make a cluster of each vector."""
    return Clusters(np.ones(len(vectors), np.intp), vectors, vectors**2)


def pool(clusters: Clusters, numbers: IntArray) -> Clusters:
    """Join clusters that have the same number."""
    sizes = np.bincount(numbers, clusters.sizes).astype(np.intp)
    sums = np.zeros((2, len(sizes), clusters.means.shape[1]))
    for each, values in zip(sums, (clusters.means, clusters.squares), strict=True):
        np.add.at(each, numbers, clusters.sizes[:, None] * values)
    return Clusters(sizes, *(sums / sizes[:, None]))


@one_thread()
def mean_ratios(clusters: Clusters, psi: Float64Array) -> Float64Array:
    """Return the mean log-likelihood ratio between the members of each two clusters, shape (K, K), in nats.

    The ratio of one speaker to two for x and y is a sum of terms in x, in y and in their product, so that its mean over
    all pairs follows from means.
    """
    total = 1 + psi
    determinant = total**2 - psi**2
    alone = clusters.squares @ (-0.5 * (total / determinant - 1 / total))
    product = (clusters.means * (psi / determinant)) @ clusters.means.T
    constant = -0.5 * np.log(determinant / total**2).sum()
    ratios: Float64Array = product + alone[:, None] + alone + constant
    return ratios


def merge(clusters: Clusters, psi: Float64Array, threshold: float, least: int) -> IntArray:
    """Merge clusters; return which of those left each is in (K,), numbered by their first members."""
    ratios, sizes = mean_ratios(clusters, psi), clusters.sizes.astype(np.float64)
    np.fill_diagonal(ratios, -np.inf)
    numbers = np.arange(len(sizes))
    best = ratios.argmax(axis=1)  # of each row
    highest = ratios[numbers, best]
    for _ in range(len(sizes) - least):
        first = int(highest.argmax())
        if not highest[first] > threshold:
            break
        kept, gone = sorted((first, int(best[first])))
        row = (sizes[kept] * ratios[kept] + sizes[gone] * ratios[gone]) / (sizes[kept] + sizes[gone])
        row[[kept, gone]] = -np.inf
        ratios[kept], ratios[:, kept] = row, row
        ratios[gone], ratios[:, gone] = -np.inf, -np.inf
        sizes[kept] += sizes[gone]
        numbers[numbers == gone] = kept
        highest[gone] = -np.inf
        better = row > highest
        best[better], highest[better] = kept, row[better]
        for stale in {kept, *np.flatnonzero((best == kept) | (best == gone)).tolist()} - {gone}:
            best[stale] = ratios[stale].argmax()
            highest[stale] = ratios[stale, best[stale]]
    return by_first_appearance(numbers)


def by_first_appearance(numbers: IntArray) -> IntArray:
    """Replace different numbers by 0, 1, ..., in the order in which they first appear."""
    _, firsts, places = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(firsts))[places]

"""Clusters of windows: mean PLDA ratios between them, and which are merged."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from speechgmm import Plda, plda_llrs
from speechgmm.diarisation import clustering
from speechgmm.diarisation.clustering import by_first_appearance, cluster, mean_ratios, merge, pool, singletons

PSI = np.array([4.0, 2.0, 0.5, 0.0])


def voices(rng, *speakers):
    """Draw vectors of the numbered speakers in PLDA's diagonal space; they differ much."""
    centres = 3 * rng.normal(size=(max(speakers) + 1, len(PSI))) * np.sqrt(PSI)
    return centres[list(speakers)] + rng.normal(size=(len(speakers), len(PSI)))


def pairwise(vectors):
    """Score each vector against each by the package's own PLDA."""
    model = Plda(np.zeros(len(PSI)), np.eye(len(PSI)), PSI)
    return plda_llrs(model, vectors, np.ones(len(vectors), np.intp), vectors)


def test_ratios_of_clusters_are_means_over_all_pairs(rng):
    vectors = voices(rng, *[0] * 4, *[1] * 3, 2)
    numbers = np.array([0, 0, 1, 1, 2, 2, 2, 0])
    found = mean_ratios(pool(singletons(vectors), numbers), PSI)
    between = pairwise(vectors)
    expected = [[between[np.ix_(numbers == a, numbers == b)].mean() for b in range(3)] for a in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("threshold", [-8.0, -1.0, 0.0, 1.0])
def test_merging_is_average_linkage_as_scipy_has_it(rng, threshold):
    vectors = voices(rng, *rng.integers(5, size=60))
    ratios = pairwise(vectors)
    tree = linkage(100 - ratios[np.triu_indices(60, 1)], "average")
    expected = fcluster(tree, 100 - threshold, "distance")
    found = merge(singletons(vectors), PSI, threshold, least=1)
    assert found.max() > 1
    np.testing.assert_array_equal(found, by_first_appearance(expected))


def test_no_fewer_clusters_are_left_than_asked_for(rng):
    vectors = voices(rng, *rng.integers(5, size=40))
    tree = linkage(100 - pairwise(vectors)[np.triu_indices(40, 1)], "average")
    expected = by_first_appearance(fcluster(tree, 3, "maxclust"))
    np.testing.assert_array_equal(merge(singletons(vectors), PSI, -np.inf, least=3), expected)


def test_long_recordings_are_clustered_by_neighbourhoods(rng, monkeypatch):
    speakers = np.repeat([2, 0, 1, 2, 0], 9)
    vectors = 20 * np.eye(len(PSI))[speakers] + rng.normal(size=(45, len(PSI)))
    monkeypatch.setattr(clustering, "WINDOWS_AT_ONCE", 10)
    np.testing.assert_array_equal(cluster(vectors, np.full(len(PSI), 50.0), 0.0), by_first_appearance(speakers))


def test_numbers_follow_the_first_appearance():
    assert by_first_appearance(np.array([7, 3, 7, 9, 3])).tolist() == [0, 1, 0, 2, 1]

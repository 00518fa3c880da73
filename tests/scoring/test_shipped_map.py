"""The map that comes with the package, and scores in deviations of those of unknown speakers.

The map's numbers are learnt, and no test knows them.
"""

import numpy as np
import pytest

from speechgmm.scoring.shipped_map import Standard, shipped_map


def test_a_higher_score_speaks_for_the_speaker_and_the_map_is_a_distribution():
    learnt = shipped_map()
    assert learnt.weight > 0
    assert learnt.offset < 0  # an average unknown speaker is no target
    assert learnt.covariance.shape == (2, 2)
    assert np.array_equal(learnt.covariance, learnt.covariance.T)
    assert (np.linalg.eigvalsh(learnt.covariance) > 0).all()


def test_a_standard_is_mean_and_deviation_of_each_system_and_of_their_sum(rng):
    nontargets = rng.normal([1, -2], [3, 0.5], (50, 2))
    standard = Standard.of(nontargets)
    np.testing.assert_allclose(standard.means, nontargets.mean(axis=0))
    np.testing.assert_allclose(standard.deviations, nontargets.std(axis=0))
    total = nontargets[:, 0] + nontargets[:, 1]
    assert (standard.sum_mean, standard.sum_deviation) == pytest.approx((total.mean(), total.std()))


@pytest.mark.parametrize("scores", [np.empty((0, 2)), np.ones((1, 1)), np.ones((5, 1)), [[1.0, 0.0], [1.0, 2.0]]])
def test_scores_that_do_not_vary_have_no_standard(scores):
    assert Standard.of(np.array(scores)) is None


def test_scores_are_converted_to_the_mean_and_deviation_of_another_systems_nontargets(rng):
    ours, theirs = rng.normal([1, -2], [3, 0.5], (50, 2)), rng.normal([0, 7], [1, 2], (60, 2))
    one, other = Standard.of(ours), Standard.of(theirs)
    converted = one.convert(ours, other)
    np.testing.assert_allclose(converted.mean(axis=0), theirs.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(converted.std(axis=0), theirs.std(axis=0), atol=1e-12)
    np.testing.assert_allclose(other.convert(converted, one), ours, atol=1e-12)


@pytest.mark.parametrize("n_systems", [1, 2, 5])
def test_the_prior_of_a_sum_means_what_the_map_of_the_standardised_score_means(rng, n_systems):
    nontargets, scores = rng.normal(1, 3, (40, n_systems)), rng.normal(2, 5, (30, n_systems))
    standard, learnt = Standard.of(nontargets), shipped_map()
    prior = learnt.prior(standard)
    totals = scores.sum(axis=1)
    x = (totals - nontargets.sum(axis=1).mean()) / nontargets.sum(axis=1).std()
    np.testing.assert_allclose(prior.mean[0] * totals + prior.mean[1], learnt.weight * x + learnt.offset, atol=1e-9)
    # and each ratio is as uncertain
    variances = [
        np.einsum("ni,ij,nj->n", rows, covariance, rows)
        for rows, covariance in (
            (np.stack([totals, np.ones(30)], axis=1), prior.covariance),
            (np.stack([x, np.ones(30)], axis=1), learnt.covariance),
        )
    ]
    np.testing.assert_allclose(*variances, rtol=1e-8)

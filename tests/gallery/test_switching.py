"""The hidden Markov model of who speaks, against every sequence of states."""

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp

from speechgmm.gallery.switching import most_probable_states, state_posteriors


def every_path(emissions, prior, p_switch):
    """All sequences of states and their log-probabilities, from the definition: stay, or draw from the prior."""
    n_steps, n_states = emissions.shape
    paths = list(product(range(n_states), repeat=n_steps))
    logs = []
    for path in paths:
        total = np.log(prior[path[0]]) + emissions[0, path[0]]
        for step in range(1, n_steps):
            stays = (1 - p_switch) * (path[step] == path[step - 1])
            total += np.log(stays + p_switch * prior[path[step]]) + emissions[step, path[step]]
        logs.append(total)
    return np.array(paths), np.array(logs)


@pytest.mark.parametrize("p_switch", [0.01, 0.3, 1.0])
@pytest.mark.parametrize(("n_steps", "n_states"), [(1, 3), (2, 1), (6, 3), (7, 2), (4, 5)])
def test_paths_and_posteriors_are_those_of_all_sequences(rng, n_steps, n_states, p_switch):
    for scale in (0.5, 3.0):
        emissions, prior = scale * rng.normal(size=(n_steps, n_states)), rng.dirichlet(np.ones(n_states))
        paths, logs = every_path(emissions, prior, p_switch)
        found = most_probable_states(emissions, prior, p_switch)
        assert found.tolist() == paths[np.argmax(logs)].tolist()
        weights = np.exp(logs - logsumexp(logs))
        expected = [[weights[paths[:, step] == state].sum() for state in range(n_states)] for step in range(n_steps)]
        np.testing.assert_allclose(state_posteriors(emissions, prior, p_switch), expected, atol=1e-12)


def test_equal_states_do_not_alternate():
    emissions = np.tile([[2.0, 2.0, 0.0]], (50, 1))
    assert set(most_probable_states(emissions, np.array([0.25, 0.25, 0.5]), 0.1)) == {0}


def test_huge_ratios_leave_no_nan():
    emissions = np.array([[0.0, 3000.0], [0.0, -3000.0], [0.0, 3000.0]])
    posteriors = state_posteriors(emissions, np.array([0.5, 0.5]), 0.1)
    np.testing.assert_allclose(posteriors, [[0, 1], [1, 0], [0, 1]], atol=1e-12)
    assert most_probable_states(emissions, np.array([0.5, 0.5]), 0.1).tolist() == [1, 0, 1]

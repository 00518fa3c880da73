"""The hidden Markov model of who speaks, against every sequence of states."""

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp

import naive.diarisation as naive
from speechgmm.scoring.switching import LaggedStates, forward_backward, most_probable_states


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
        np.testing.assert_allclose(forward_backward(emissions, prior, p_switch).posteriors, expected, atol=1e-12)


def test_equal_states_do_not_alternate():
    emissions = np.tile([[2.0, 2.0, 0.0]], (50, 1))
    assert set(most_probable_states(emissions, np.array([0.25, 0.25, 0.5]), 0.1)) == {0}


def test_huge_ratios_leave_no_nan():
    emissions = np.array([[0.0, 3000.0], [0.0, -3000.0], [0.0, 3000.0]])
    posteriors = forward_backward(emissions, np.array([0.5, 0.5]), 0.1).posteriors
    np.testing.assert_allclose(posteriors, [[0, 1], [1, 0], [0, 1]], atol=1e-12)
    assert most_probable_states(emissions, np.array([0.5, 0.5]), 0.1).tolist() == [1, 0, 1]


@pytest.mark.parametrize("lag", [0, 1, 3, 40])
def test_lagged_states_are_those_of_the_steps_so_far(rng, lag):
    """Step t is answered as the last but `lag` of a sequence that ends `lag` steps after it, or at the end."""
    prior, p_switch = rng.dirichlet(np.ones(3)), 0.2
    model = LaggedStates(prior, p_switch, lag)
    for n_steps in (12, 30):  # a second sequence knows nothing of the first
        emissions = rng.normal(size=(n_steps, 3))
        found = [answer for row in emissions for answer in model.push(row)]
        assert len(found) == max(n_steps - lag, 0)
        found += model.finish()
        for step, (state, probability) in enumerate(found):
            known = emissions[: step + lag + 1]
            assert state == most_probable_states(known, prior, p_switch)[step]
            assert probability == pytest.approx(forward_backward(known, prior, p_switch).posteriors[step, state])


def test_lagged_states_stay_finite_for_hours():
    model = LaggedStates(np.array([0.5, 0.5]), 0.1, 2)
    found = [answer for _ in range(3000) for answer in model.push(np.array([1e306, 0.0]))]
    assert set(found) == {(0, 1.0)}


def test_forward_backward_sums_over_all_sequences(rng):
    fits, shares = 3 * rng.normal(size=(4, 3)), np.array([0.5, 0.3, 0.2])
    found = forward_backward(fits, shares, p_switch=0.3)
    posteriors, entries, log_likelihood = naive.all_paths(fits, shares, 0.7)
    np.testing.assert_allclose(found.posteriors, posteriors, atol=1e-12)
    np.testing.assert_allclose(found.entries, entries, atol=1e-12)
    assert found.log_likelihood == pytest.approx(log_likelihood)


def test_unlikely_windows_are_no_problem(rng):
    fits = rng.normal(size=(2000, 2)) - 1e5
    found = forward_backward(fits, np.array([0.5, 0.5]), p_switch=0.1)
    assert np.isfinite(found.log_likelihood)
    np.testing.assert_allclose(found.posteriors.sum(axis=1), 1)

"""Turns of speakers, against a literal twin."""

import numpy as np
import pytest

import naive.diarisation as naive
from speechgmm.diarisation import turns
from speechgmm.diarisation.turns import find_turns
from speechgmm.scoring.switching import forward_backward

SETTINGS = {"stay": 0.9, "window_weight": 0.3, "speaker_cost": 2.0}
PSI = np.array([6.0, 2.0, 0.0])


@pytest.mark.parametrize("n_iterations", [1, 3])
def test_turns_are_those_of_the_literal_twin(rng, monkeypatch, n_iterations):
    vectors, first = 1.5 * rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 2])
    monkeypatch.setattr(turns, "N_ITERATIONS", n_iterations)
    monkeypatch.setattr(turns, "LEAST_GAIN", -np.inf)
    seen = []
    monkeypatch.setattr(turns, "forward_backward", lambda *given: seen.append(forward_backward(*given)) or seen[-1])
    found = find_turns(vectors, PSI, first, **SETTINGS)
    expected = naive.turns(vectors, PSI, first, 0.9, 0.3, 2.0, n_iterations)
    np.testing.assert_allclose(seen[-1].posteriors, expected, atol=1e-10)
    np.testing.assert_array_equal(found, expected.argmax(axis=1))


def conversation(rng):
    """Draw windows of two speakers in turn, and who speaks in each."""
    speakers = np.repeat([0, 1, 0, 1], 30)
    return np.array([[3.0, 1.0, 0.0], [-3.0, -1.0, 0.0]])[speakers] + rng.normal(size=(120, 3)), speakers


def test_speakers_who_are_not_needed_disappear(rng):
    vectors, speakers = conversation(rng)
    first = np.where(np.arange(120) < 15, 2, speakers)  # half of the first turn has a number of its own
    found = find_turns(vectors, PSI, first, **SETTINGS)
    np.testing.assert_array_equal(found, np.where(speakers == 0, found[0], 1))


def test_a_mistaken_window_is_corrected_by_its_neighbours(rng):
    vectors, speakers = conversation(rng)
    vectors[10] = vectors[45]
    first = speakers.copy()
    first[10] = 1
    np.testing.assert_array_equal(find_turns(vectors, PSI, first, **{**SETTINGS, "stay": 1 - 1e-6}), speakers)


def test_the_same_input_has_the_same_answer(rng):
    vectors, _speakers = conversation(rng)
    first = rng.integers(4, size=120)
    once, again = (find_turns(vectors.copy(), PSI, first, **SETTINGS) for _ in range(2))
    np.testing.assert_array_equal(once, again)

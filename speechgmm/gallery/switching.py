"""A hidden Markov model of who speaks: with a constant probability a turn ends, and the next speaker is drawn.

The next speaker is drawn from the prior, so it may be the same one. Each step takes time in proportion to the number of
states, because only staying differs from drawing.
"""

import numpy as np

from speechgmm.arrays import Float64Array, IntArray


def most_probable_states(emissions: Float64Array, prior: Float64Array, p_switch: float) -> IntArray:
    """Find the most probable sequence of states (W,), by Viterbi's algorithm.

    `emissions` (W, S) are log-likelihoods of W steps, `prior` (S,) is positive and sums to 1, and `p_switch` lies in
    (0, 1].

    References
    ----------
    Viterbi (1967), IEEE Transactions on Information Theory 13(2).
    """
    n_steps, n_states = emissions.shape
    stay, draw = np.log((1 - p_switch) + p_switch * prior), np.log(p_switch * prior)
    states = np.arange(n_states)
    previous = np.empty((n_steps, n_states), dtype=np.intp)
    best = np.log(prior) + emissions[0]
    for step in range(1, n_steps):
        highest = int(np.argmax(best))
        stays = best + stay >= best[highest] + draw
        previous[step] = np.where(stays, states, highest)
        best = np.where(stays, best + stay, best[highest] + draw) + emissions[step]
    path = np.empty(n_steps, dtype=np.intp)
    path[-1] = np.argmax(best)
    for step in range(n_steps - 1, 0, -1):
        path[step - 1] = previous[step, path[step]]
    return path


def state_posteriors(emissions: Float64Array, prior: Float64Array, p_switch: float) -> Float64Array:
    """Compute the probability of each state at each step (W, S), given all steps; arguments as above.

    References
    ----------
    Rabiner (1989), Proceedings of the IEEE 77(2), section III: the forward and backward procedures, scaled.
    """
    likelihoods = np.exp(emissions - emissions.max(axis=1, keepdims=True))
    forward, backward = np.empty_like(likelihoods), np.empty_like(likelihoods)
    forward[0] = _normalised(prior * likelihoods[0])
    for step in range(1, len(emissions)):
        reached = p_switch * prior + (1 - p_switch) * forward[step - 1]  # the last step's sum to 1
        forward[step] = _normalised(reached * likelihoods[step])
    backward[-1] = 1.0
    for step in range(len(emissions) - 1, 0, -1):
        ahead = likelihoods[step] * backward[step]
        backward[step - 1] = _normalised(p_switch * (prior @ ahead) + (1 - p_switch) * ahead)
    products = forward * backward
    posteriors: Float64Array = products / products.sum(axis=1, keepdims=True)
    return posteriors


def _normalised(values: Float64Array) -> Float64Array:
    """Divide by the sum."""
    scaled: Float64Array = values / values.sum()
    return scaled

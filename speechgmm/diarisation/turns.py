"""Turns of speakers: variational Bayes for a hidden Markov model whose states are speakers with a PLDA prior."""

import numpy as np

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.parallel.threads import one_thread
from speechgmm.scoring.switching import forward_backward

N_ITERATIONS = 40
"""Most iterations; usually a few are enough."""

LEAST_GAIN = 1e-4
"""Gain of the lower bound, in nats, that ends the iterations."""

FIRST_CERTAINTY = 5.0
"""Logarithm of how much more probable the first answer is than each other speaker, before the first iteration."""


@one_thread()
def find_turns(
    vectors: Float64Array,
    psi: Float64Array,
    first: IntArray,
    *,
    stay: float,
    window_weight: float,
    speaker_cost: float,
    equal: bool = False,
) -> IntArray:
    """Return the speaker of each window, given a first answer with speakers 0 to S - 1; some may speak nowhere.

    `vectors` (W, R) are in PLDA's diagonal space, in time. The probability that a speaker goes on to the next window is
    `stay`. All speakers begin turns equally often if `equal`; otherwise that is learnt, and speakers who are not needed
    disappear. Equations are those of Landini et al. (2022).
    """
    posteriors = np.exp(FIRST_CERTAINTY * np.eye(int(first.max()) + 1)[first])
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    shares = np.full(posteriors.shape[1], 1 / posteriors.shape[1])
    scaled = vectors * np.sqrt(psi)  # eq. 18
    constant = -0.5 * ((vectors**2).sum(axis=1) + vectors.shape[1] * np.log(2 * np.pi))
    bound, weight = -np.inf, window_weight / speaker_cost
    for _ in range(N_ITERATIONS):
        variances = 1 / (1 + weight * posteriors.sum(axis=0)[:, None] * psi)  # eq. 17
        means = weight * variances * (posteriors.T @ scaled)  # eq. 16
        fits = window_weight * (scaled @ means.T - 0.5 * (variances + means**2) @ psi + constant[:, None])  # eq. 23
        posteriors, entries, log_likelihood = forward_backward(fits, shares, 1 - stay)
        if not equal:
            shares = entries / entries.sum()  # eq. 24
        before, divergence = bound, 0.5 * (np.log(variances) - variances - means**2 + 1).sum()
        bound = log_likelihood + speaker_cost * divergence  # eq. 25
        if bound - before < LEAST_GAIN:
            break
    speakers: IntArray = posteriors.argmax(axis=1)
    return speakers

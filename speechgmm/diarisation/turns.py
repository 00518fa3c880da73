"""Turns of speakers: variational Bayes for a hidden Markov model whose states are speakers with a PLDA prior."""

from typing import NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.parallel.threads import one_thread

N_ITERATIONS = 40
"""Most iterations; usually a few are enough."""

LEAST_GAIN = 1e-4
"""Gain of the lower bound, in nats, that ends the iterations."""

FIRST_CERTAINTY = 5.0
"""Logarithm of how much more probable the first answer is than each other speaker, before the first iteration."""


class Evidence(NamedTuple):
    """What the forward-backward algorithm finds."""

    posteriors: Float64Array  # (W, S) of each speaker in each window
    entries: Float64Array  # (S,) expected number of turns that begin
    log_likelihood: float  # nats


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
        posteriors, entries, log_likelihood = forward_backward(fits, shares, stay)
        if not equal:
            shares = entries / entries.sum()  # eq. 24
        before, divergence = bound, 0.5 * (np.log(variances) - variances - means**2 + 1).sum()
        bound = log_likelihood + speaker_cost * divergence  # eq. 25
        if bound - before < LEAST_GAIN:
            break
    speakers: IntArray = posteriors.argmax(axis=1)
    return speakers


def forward_backward(fits: Float64Array, shares: Float64Array, stay: float) -> Evidence:
    """Compute the posteriors of S speakers in W windows, from log-likelihoods (W, S) and shares (S,) of turns.

    From a window to the next the speaker stays with probability `stay`; otherwise the next one is drawn from `shares`,
    and may be the same.
    """
    highest = fits.max(axis=1)
    likelihoods = np.exp(fits - highest[:, None])
    leave = (1 - stay) * shares
    forward, scales = np.empty_like(likelihoods), np.empty(len(fits))
    now = shares
    for place, likelihood in enumerate(likelihoods):
        joint = now * likelihood
        scales[place] = joint.sum()
        forward[place] = joint / scales[place]
        now = stay * forward[place] + leave
    backward = np.ones_like(likelihoods)
    entries = np.zeros_like(shares)
    for place in range(len(fits) - 1, 0, -1):
        ahead = likelihoods[place] * backward[place] / scales[place]
        entries += leave * ahead
        backward[place - 1] = stay * ahead + leave @ ahead
    posteriors = forward * backward
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    return Evidence(posteriors, entries + posteriors[0], float(np.log(scales).sum() + highest.sum()))

"""A hidden Markov model of who speaks: with a constant probability a turn ends, and the next speaker is drawn.

The next speaker is drawn from the prior, so it may be the same one. Each step takes time in proportion to the number of
states, because only staying differs from drawing.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

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


class Evidence(NamedTuple):
    """What the forward-backward algorithm finds."""

    posteriors: Float64Array  # (W, S) of each state at each step
    entries: Float64Array  # (S,) expected number of turns that begin
    log_likelihood: float  # nats


def forward_backward(emissions: Float64Array, prior: Float64Array, p_switch: float) -> Evidence:
    """Compute the probability of each state at each step, given all steps; arguments as above.

    References
    ----------
    Rabiner (1989), Proceedings of the IEEE 77(2), section III: the forward and backward procedures, scaled.
    """
    highest = emissions.max(axis=1)
    likelihoods = np.exp(emissions - highest[:, None])
    draw = p_switch * prior
    forward, scales = np.empty_like(likelihoods), np.empty(len(emissions))
    reached = prior
    for step, likelihood in enumerate(likelihoods):
        joint = reached * likelihood
        scales[step] = joint.sum()
        forward[step] = joint / scales[step]
        reached = (1 - p_switch) * forward[step] + draw  # the last step's sum to 1
    backward = np.ones_like(likelihoods)
    entries = np.zeros_like(prior)
    for step in range(len(emissions) - 1, 0, -1):
        ahead = likelihoods[step] * backward[step] / scales[step]
        entries += draw * ahead
        backward[step - 1] = (1 - p_switch) * ahead + draw @ ahead
    posteriors = forward * backward
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    return Evidence(posteriors, entries + posteriors[0], float(np.log(scales).sum() + highest.sum()))


class _WaitingStep(NamedTuple):
    """A step whose state is not known yet."""

    previous: IntArray  # (S,) the state of the step before on the best sequence to each state
    filtered: Float64Array  # (S,) probabilities of the states, given the steps up to this one
    likelihoods: Float64Array  # (S,)


class LaggedStates:
    """The most probable states and their probabilities for steps that come one by one, each known `lag` steps later.

    The answer on a step is that of `most_probable_states` and `forward_backward` on the steps up to `lag` after it, or
    to the end: with a lag as long as the sequence, it is the whole sequence's.
    """

    def __init__(self, prior: Float64Array, p_switch: float, lag: int) -> None:
        self._prior, self._p_switch, self._lag = prior, p_switch, lag
        self._stay, self._draw = np.log((1 - p_switch) + p_switch * prior), np.log(p_switch * prior)
        self._begin()

    def _begin(self) -> None:
        """Begin a sequence."""
        self._best: Float64Array | None = None
        self._filtered = self._prior  # probabilities of the states of the last step, given the steps so far
        self._waiting: deque[_WaitingStep] = deque()

    def push(self, emissions: Float64Array) -> Iterator[tuple[int, float]]:
        """Process the log-likelihoods (S,) of a step; yield state and probability of the step `lag` before, if any."""
        likelihoods = np.exp(emissions - emissions.max())
        previous = np.arange(len(emissions))
        if self._best is None:
            best, reached = np.log(self._prior), self._prior
        else:
            highest = int(np.argmax(self._best))
            drawn = self._best[highest] + self._draw
            stays = self._best + self._stay >= drawn
            previous = np.where(stays, previous, highest)
            best = np.where(stays, self._best + self._stay, drawn)
            reached = self._p_switch * self._prior + (1 - self._p_switch) * self._filtered
        best = best + emissions
        self._best = best - best.max()  # a constant for all states, so that sums do not grow
        self._filtered = _normalised(reached * likelihoods)
        self._waiting.append(_WaitingStep(previous, self._filtered, likelihoods))
        if len(self._waiting) > self._lag:
            yield self._trace(self._best)[0]
            self._waiting.popleft()

    def finish(self) -> Iterator[tuple[int, float]]:
        """Yield states and probabilities of the steps that wait; the next step begins a new sequence."""
        if self._best is not None:
            yield from self._trace(self._best)
        self._begin()

    def _trace(self, best: Float64Array) -> list[tuple[int, float]]:
        """Find state and probability of each step that waits, by the scores (S,) of the best sequences."""
        state, found = int(np.argmax(best)), []
        backward = np.ones(len(best))
        for step in reversed(self._waiting):
            products = step.filtered * backward
            found.append((state, float(products[state] / products.sum())))
            ahead = step.likelihoods * backward
            backward = _normalised(self._p_switch * (self._prior @ ahead) + (1 - self._p_switch) * ahead)
            state = int(step.previous[state])
        return found[::-1]


def _normalised(values: Float64Array) -> Float64Array:
    """Divide by the sum."""
    scaled: Float64Array = values / values.sum()
    return scaled

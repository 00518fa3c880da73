"""Diarisation, one number at a time."""

import itertools

import numpy as np


def all_paths(fits, shares, stay):
    """Sum over all sequences of speakers: posteriors (W, S), expected turns that begin (S,) and log-likelihood.

    A window's speaker is the last one's, with probability `stay`, or is drawn from `shares`: both ways are counted.
    """
    n_windows, n_speakers = fits.shape
    posteriors, entries, total = np.zeros(fits.shape), np.zeros(n_speakers), 0.0
    for path in itertools.product(range(n_speakers), repeat=n_windows):
        for drawn in itertools.product((False, True), repeat=n_windows - 1):
            probability = shares[path[0]] * np.exp(fits[0, path[0]])
            for place in range(1, n_windows):
                if drawn[place - 1]:
                    probability *= (1 - stay) * shares[path[place]]
                else:
                    probability *= stay * (path[place] == path[place - 1])
                probability *= np.exp(fits[place, path[place]])
            total += probability
            entries[path[0]] += probability
            for place in range(n_windows):
                posteriors[place, path[place]] += probability
                if place and drawn[place - 1]:
                    entries[path[place]] += probability
    return posteriors / total, entries / total, np.log(total)


def turns(vectors, psi, first, stay, weight, cost, n_iterations):
    """Posteriors (W, S) after some iterations of variational Bayes; Landini et al. (2022), eqs. 16-24."""
    n_windows, n_speakers = len(vectors), max(first) + 1
    posteriors = np.empty((n_windows, n_speakers))
    for window in range(n_windows):
        for speaker in range(n_speakers):
            posteriors[window, speaker] = np.exp(5.0) if first[window] == speaker else 1.0
        posteriors[window] /= posteriors[window].sum()
    shares = [1 / n_speakers] * n_speakers
    for _ in range(n_iterations):
        fits = np.zeros((n_windows, n_speakers))
        for speaker in range(n_speakers):
            for d, between in enumerate(psi):
                variance = 1 / (1 + weight / cost * posteriors[:, speaker].sum() * between)
                mean = weight / cost * variance * (posteriors[:, speaker] * vectors[:, d]).sum() * np.sqrt(between)
                for window in range(n_windows):
                    x = vectors[window, d]
                    square = x**2 - 2 * x * np.sqrt(between) * mean + between * (mean**2 + variance)
                    fits[window, speaker] -= weight * 0.5 * (square + np.log(2 * np.pi))
        posteriors, entries, _ = all_paths(fits, shares, stay)
        shares = entries / entries.sum()
    return posteriors

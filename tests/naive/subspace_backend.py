"""Supervectors, steps on vectors and support-vector machines, straight from their equations."""

import itertools
import math

import numpy as np

from naive.gmm import posteriors


def supervector(ubm, zeroth, first, relevance_factor):
    """Scaled shifts of the adapted means; the model is (w, m, v)."""
    weights, means, variances = ubm
    result = []
    for c in range(len(weights)):
        for d in range(len(means[c])):
            adapted = (first[c][d] + relevance_factor * means[c][d]) / (zeroth[c] + relevance_factor)
            result.append(math.sqrt(weights[c] / variances[c][d]) * (adapted - means[c][d]))
    return np.array(result)


def fisher_vector(ubm, frames):
    """Gradients of the mean log-likelihood by means and deviations, over the roots of their Fisher information."""
    weights, means, variances = ubm
    by_means, by_deviations = [], []
    gammas = posteriors(frames, *ubm)
    for c in range(len(weights)):
        for d in range(len(means[c])):
            z = [(x[d] - means[c][d]) / math.sqrt(variances[c][d]) for x in frames]
            first = sum(gamma[c] * value for gamma, value in zip(gammas, z, strict=True))
            second = sum(gamma[c] * (value * value - 1) for gamma, value in zip(gammas, z, strict=True))
            by_means.append(first / math.sqrt(weights[c]) / len(frames))
            by_deviations.append(second / math.sqrt(2 * weights[c]) / len(frames))
    return np.array(by_means + by_deviations)


def vlad(means, frames, assigned):
    """Sum of the differences of frames from the mean that each is assigned to."""
    sums = np.zeros_like(means)
    for x, c in zip(frames, assigned, strict=True):
        sums[c] += x - means[c]
    return sums.ravel()


def within_covariance(vectors, speakers):
    """Mean over speakers of the covariance of their vectors."""
    names = sorted(set(speakers))
    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    for name in names:
        own = [x for x, speaker in zip(vectors, speakers, strict=True) if speaker == name]
        mean = sum(own) / len(own)
        total += sum(np.outer(x - mean, x - mean) for x in own) / len(own)
    return total / len(names)


def efr(background, vectors, n_iterations):
    """Bousquet's: divide S^-1/2 (x - m) by the root of (x - m)' S^-1 (x - m), background and vectors alike."""
    for _ in range(n_iterations):
        mean = sum(background) / len(background)
        covariance = sum(np.outer(x - mean, x - mean) for x in background) / (len(background) - 1)
        values, directions = np.linalg.eigh(covariance)
        root = directions @ np.diag(values**-0.5) @ directions.T
        inverse = np.linalg.inv(covariance)

        def once(x, mean=mean, root=root, inverse=inverse):
            return root @ (x - mean) / math.sqrt((x - mean) @ inverse @ (x - mean))

        background, vectors = [once(x) for x in background], [once(x) for x in vectors]
    return np.array(vectors)


def cosine(a, b):
    """Cosine of the angle between two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def support_vector_machine(vectors, signs, penalties):
    """Normal and offset of the best plane: every choice of multipliers at 0, at the penalty and between is solved.

    The first choice that meets the conditions of the optimum is it; with none between, the offset would be free.
    """
    gram = np.outer(signs, signs) * (vectors @ vectors.T)
    for states in itertools.product((0, 1, 2), repeat=len(vectors)):  # 0, at the penalty, between
        free = [i for i, state in enumerate(states) if state == 2]
        alphas = np.array([penalty if state == 1 else 0.0 for state, penalty in zip(states, penalties, strict=True)])
        if not free:
            continue
        system = np.zeros((len(free) + 1, len(free) + 1))
        system[:-1, :-1] = gram[np.ix_(free, free)]
        system[:-1, -1] = system[-1, :-1] = signs[free]
        right = np.append(1 - gram[free] @ alphas, -signs @ alphas)
        if np.linalg.matrix_rank(system) < len(system):
            continue
        solution = np.linalg.solve(system, right)
        alphas[free], offset = solution[:-1], solution[-1]
        margins = gram @ alphas + signs * offset
        zero, bounded = np.array(states) == 0, np.array(states) == 1
        if ((alphas > -1e-9) & (alphas < np.array(penalties) + 1e-9)).all() and (
            (margins[zero] > 1 - 1e-9).all() and (margins[bounded] < 1 + 1e-9).all()
        ):
            return (alphas * signs) @ vectors, offset
    raise AssertionError("no choice meets the conditions")

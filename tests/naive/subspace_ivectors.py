"""i-vectors with full matrices and explicit inverses, recording by recording, straight from the equations."""

import numpy as np


def posterior(zeroth, first, means, loadings, variances):
    """Return mean and covariance of the factors of one recording."""
    rank = loadings.shape[2]
    precision, right = np.eye(rank), np.zeros(rank)
    for c in range(len(means)):
        inverse = np.diag(1 / variances[c])
        precision += zeroth[c] * loadings[c].T @ inverse @ loadings[c]
        right += loadings[c].T @ inverse @ (first[c] - zeroth[c] * means[c])
    covariance = np.linalg.inv(precision)
    return covariance @ right, covariance


def log_likelihood(zeroth, first, second, means, loadings, variances):
    """Return the log-likelihood of frames whose components are known, the factors integrated out, as one Gaussian.

    With n frames of a component, their mean is normal about that of the component with a covariance of 1 / n of its
    own, and their scatter about it does not depend on the factors. Components without frames do not matter.
    """
    here = zeroth > 0
    n, f, s, m, t, v = (array[here] for array in (zeroth, first, second, means, loadings, variances))
    counts = np.repeat(n, m.shape[1])
    stacked = t.reshape(-1, t.shape[2])
    noise = v.ravel() / counts
    covariance = np.diag(noise) + stacked @ stacked.T
    shift = (f / n[:, None] - m).ravel()
    of_means = -0.5 * (shift @ np.linalg.solve(covariance, shift) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    scatter = (s - f**2 / n[:, None]).ravel()
    of_scatter = -0.5 * (counts * np.log(2 * np.pi * v.ravel()) + scatter / v.ravel()).sum()
    return of_means + of_scatter + 0.5 * np.log(2 * np.pi * noise).sum()


def expectations(zeroths, firsts, means, loadings, variances):
    """Return sum_u N E[y y'], sum_u f E[y]', sum_u E[y] and sum_u E[y y']."""
    n_components, n_features, rank = loadings.shape
    moments, products = np.zeros((n_components, rank, rank)), np.zeros((n_components, n_features, rank))
    factor_sum, factor_moments = np.zeros(rank), np.zeros((rank, rank))
    for zeroth, first in zip(zeroths, firsts, strict=True):
        mean, covariance = posterior(zeroth, first, means, loadings, variances)
        expectation = covariance + np.outer(mean, mean)
        factor_sum += mean
        factor_moments += expectation
        for c in range(n_components):
            moments[c] += zeroth[c] * expectation
            products[c] += np.outer(first[c] - zeroth[c] * means[c], mean)
    return moments, products, factor_sum, factor_moments


def explained_share(loadings, variances, weights):
    """Return the share of the variance that the factors explain, the mean over features."""
    n_components, n_features, _ = loadings.shape
    share = 0.0
    for c in range(n_components):
        for d in range(n_features):
            between = sum(loading**2 for loading in loadings[c, d])
            share += weights[c] * between / (between + variances[c, d]) / n_features
    return share

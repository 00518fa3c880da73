"""PLDA from its definition: every set of vectors of a speaker is one draw of a Gaussian over all of them together."""

import numpy as np


def log_density(x, covariance):
    """Log-density of a draw from a Gaussian of mean 0."""
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign > 0
    return -0.5 * (x @ np.linalg.solve(covariance, x) + log_determinant + len(x) * np.log(2 * np.pi))


def joint_covariance(within, between, uncertainties):
    """Covariance of the vectors of one speaker side by side; each has an uncertainty of its own."""
    n = len(uncertainties)
    covariance = np.kron(np.ones((n, n)), between)
    size = len(between)
    for i, uncertainty in enumerate(uncertainties):
        covariance[i * size : (i + 1) * size, i * size : (i + 1) * size] += within + uncertainty
    return covariance


def joint_log_density(vectors, mean, within, between, uncertainties=None):
    """Log-density of vectors of one speaker."""
    if uncertainties is None:
        uncertainties = np.zeros((len(vectors), len(mean), len(mean)))
    return log_density((vectors - mean).ravel(), joint_covariance(within, between, uncertainties))


def llr(enrolled, test, mean, within, between, uncertainties=None, test_uncertainty=None):
    """Log-density of all as one speaker's, less those as two speakers'."""
    if uncertainties is None:
        uncertainties, test_uncertainty = np.zeros((len(enrolled), len(mean), len(mean))), np.zeros_like(within)
    model = mean, within, between
    together = joint_log_density(
        np.vstack([enrolled, test]), *model, np.concatenate([uncertainties, test_uncertainty[None]])
    )
    apart = joint_log_density(test[None], *model, test_uncertainty[None])
    return together - joint_log_density(enrolled, *model, uncertainties) - apart


def em(vectors, speakers, n_iterations, uncertainties=None):
    """Mean, within and between, from I, by the joint posterior of each speaker's part and each recording's."""
    vectors, speakers = np.asarray(vectors), np.asarray(speakers)
    size = vectors.shape[1]
    if uncertainties is None:
        uncertainties = np.zeros((len(vectors), size, size))
    names = np.unique(speakers)
    mean = np.mean([vectors[speakers == name].mean(0) for name in names], axis=0)
    within = between = np.eye(size)
    for _ in range(n_iterations):
        sum_within, sum_between = np.zeros((2, size, size))
        for name in names:
            members = np.flatnonzero(speakers == name)
            inverse = np.linalg.inv(joint_covariance(within, between, uncertainties[members]))
            x = (vectors[members] - mean).ravel()
            cross = np.tile(between, len(members))  # of the speaker's part with all vectors
            y = cross @ inverse @ x
            sum_between += np.outer(y, y) + between - cross @ inverse @ cross.T
            for place in range(len(members)):
                cross = np.zeros((size, len(x)))
                cross[:, place * size : (place + 1) * size] = within
                e = cross @ inverse @ x
                sum_within += np.outer(e, e) + within - cross @ inverse @ cross.T
        within, between = sum_within / len(vectors), sum_between / len(names)
    return mean, within, between

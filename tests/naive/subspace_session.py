"""Speaker and session factors: dense matrices over all means, in the units of the features, one line an equation.

Statistics of a recording are occupancies N (C,) and first-order sums F (C, D). A model is (m, S, U, V, d), with U and V
of shape (C, D, R).
"""

import numpy as np
from scipy.stats import multivariate_normal


def _flat(model):
    """The model over C D means, and a function that repeats occupancies over features."""
    m, variances, u, v, d = (np.asarray(array, float) for array in model)
    n_features, size = m.shape[1], m.size
    flat = (m.ravel(), variances.ravel(), u.reshape(size, u.shape[2]), v.reshape(size, v.shape[2]), d.ravel())
    return flat, lambda n: np.repeat(np.asarray(n), n_features)


def joint_posterior(recordings, model):
    """The mean of the joint posterior of x_1 ... x_H, y and z, from one dense precision matrix."""
    (m, s, u, v, d), repeat = _flat(model)
    n_sessions, n_speaker = len(recordings) * u.shape[1], v.shape[1]
    size = n_sessions + n_speaker + len(m)
    precision, target = np.eye(size), np.zeros(size)
    for h, (n, f) in enumerate(recordings):
        shift = np.zeros((len(m), size))  # of the means, by each factor
        shift[:, h * u.shape[1] : (h + 1) * u.shape[1]] = u
        shift[:, n_sessions : n_sessions + n_speaker] = v
        shift[:, n_sessions + n_speaker :] = np.diag(d)
        precision += shift.T @ np.diag(repeat(n) / s) @ shift
        target += shift.T @ ((np.ravel(f) - repeat(n) * m) / s)
    solved = np.linalg.solve(precision, target)
    x, y, z = np.split(solved, [n_sessions, n_sessions + n_speaker])
    return x.reshape(len(recordings), u.shape[1]), y, z


def sweeps(recordings, model, n_sweeps):
    """y given x and z, x_h given y and z, z given x and y, from 0, over and over."""
    (m, s, u, v, d), repeat = _flat(model)
    x, y, z = np.zeros((len(recordings), u.shape[1])), np.zeros(v.shape[1]), np.zeros(len(m))
    total = sum(repeat(n) for n, _ in recordings)
    for _ in range(n_sweeps):
        rest = sum(np.ravel(f) - repeat(n) * (m + u @ x[h] + d * z) for h, (n, f) in enumerate(recordings))
        y = np.linalg.solve(np.eye(len(y)) + v.T @ np.diag(total / s) @ v, v.T @ (rest / s))
        for h, (n, f) in enumerate(recordings):
            rest = np.ravel(f) - repeat(n) * (m + v @ y + d * z)
            x[h] = np.linalg.solve(np.eye(u.shape[1]) + u.T @ np.diag(repeat(n) / s) @ u, u.T @ (rest / s))
        rest = sum(np.ravel(f) - repeat(n) * (m + v @ y + u @ x[h]) for h, (n, f) in enumerate(recordings))
        z = d * rest / s / (1 + total * d**2 / s)
    return x, y, z


def session_of(n, f, model):
    """x of one recording alone, as if of no speaker, and U x."""
    m, s, u, _, d = model
    x = sweeps([(n, f)], (m, s, u, np.zeros((*np.shape(m), 0)), np.zeros_like(d)), 1)[0][0]
    return x, np.asarray(u) @ x


def log_evidence_gain(n, f, loadings, means, variances):
    """How much the log-density of the mean frames of each component gains by factors with these loadings."""
    seen = np.repeat(np.asarray(n) > 0, means.shape[1])
    count = np.repeat(n, means.shape[1])[seen]
    average = np.ravel(f)[seen] / count - np.ravel(means)[seen]
    within = np.diag(np.ravel(variances)[seen] / count)
    flat = loadings.reshape(means.size, loadings.shape[2])[seen]
    return multivariate_normal.logpdf(average, cov=within + flat @ flat.T) - multivariate_normal.logpdf(
        average, cov=within
    )

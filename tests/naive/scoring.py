"""Scores, their normalisation and calibration, and posteriors of speakers."""

import math
from fractions import Fraction
from statistics import NormalDist, fmean, median, pstdev

import numpy as np

from naive.gmm import log_joints, log_likelihood, log_sum_exp, posteriors


def llr(frames, model, ubm, n_top):
    """Mean over frames of the log ratio of sums over the UBM's best components; a model is (w, m, v)."""
    total = 0.0
    for x in frames:
        background = log_joints(x, *ubm)
        speaker = log_joints(x, *model)
        best = sorted(range(len(background)), key=lambda c: -background[c])[:n_top]
        total += log_sum_exp([speaker[c] for c in best]) - log_sum_exp([background[c] for c in best])
    return total / len(frames)


def centre_and_spread(values, statistics="mean", trimmed_share=0.1, top_n=None):
    """Centre and spread of one list of cohort scores."""
    values = sorted(values)[-top_n:] if top_n else sorted(values)
    factor = 1.0
    if statistics == "median":
        centre = median(values)
        return centre, 1.482602218505602 * median(abs(value - centre) for value in values)
    if statistics == "trimmed":
        n_scores, n_trimmed = len(values), math.floor(Fraction(str(trimmed_share)) * len(values))
        values = values[n_trimmed : n_scores - n_trimmed]
        if n_trimmed:
            q = NormalDist().inv_cdf(1 - n_trimmed / n_scores)
            factor = math.sqrt(1 - 2 * q * NormalDist().pdf(q) / (1 - 2 * n_trimmed / n_scores))
    return fmean(values), pstdev(values) / factor


def mean_reference(cohort, rows, members, **statistics):
    """Mean centre, and mean logarithm of the spread, of a cohort's own rows, each without its own speaker."""
    found = []
    for row in range(len(rows)):
        others = [cohort[row][k] for k in range(len(members)) if members[k] != rows[row]]
        centre, spread = centre_and_spread(others, **statistics)
        found.append((centre, math.log(spread)))
    return fmean(centre for centre, _ in found), fmean(log for _, log in found)


def z_norm(scores, cohort, rows, columns, members, shrinkage=0, reference=None, **statistics):
    """Each score, by the scores of its row against the members who are neither the row nor the column."""
    result = []
    for row, score in enumerate(scores):
        result.append([])
        for column, value in enumerate(score):
            others = [k for k in range(len(members)) if members[k] not in (rows[row], columns[column])]
            centre, spread = centre_and_spread([cohort[row][k] for k in others], **statistics)
            if shrinkage:
                n = len({members[k] for k in others})
                centre = (n * centre + shrinkage * reference[0]) / (n + shrinkage)
                spread = math.exp((n * math.log(spread) + shrinkage * reference[1]) / (n + shrinkage))
            result[-1].append((value - centre) / spread)
    return np.array(result)


def t_norm(scores, cohort, rows, columns, members, **options):
    """Each score, by the scores of its column."""
    return z_norm(np.transpose(scores), np.transpose(cohort), columns, rows, members, **options).T


def normalise(method, scores, z, t, both, models, tests, z_cohort, t_cohort, shrinkage=0, **statistics):
    """Each method as it is defined."""
    by_z, by_t = ({"shrinkage": shrinkage, **statistics} for _ in range(2))
    if shrinkage:
        by_z["reference"] = mean_reference(both, t_cohort, z_cohort, **statistics)
        unknown = [object() for _ in z_cohort]
        of_t = z_norm(both, both, t_cohort, unknown, z_cohort, **by_z) if method == "zt" else both
        by_t["reference"] = mean_reference(of_t.T, z_cohort, t_cohort, **statistics)
    by_model = z_norm(scores, z, models, tests, z_cohort, **by_z)
    by_test = t_norm(scores, t, models, tests, t_cohort, **by_t)
    if method in ("z", "t"):
        return {"z": by_model, "t": by_test}[method]
    if method == "zt":
        cohort = z_norm(t, both, t_cohort, tests, z_cohort, **by_z)
        return t_norm(by_model, cohort, models, tests, t_cohort, **by_t)
    if method == "tz":
        cohort = t_norm(z, both, models, z_cohort, t_cohort, **by_t)
        return z_norm(by_test, cohort, models, tests, z_cohort, **by_z)
    return (by_model + by_test) / 2


def weighted_cost(weights, offset, target, nontarget, p_target):
    """The prior-weighted cost of linear ratios of columns, in nats; it overflows for large ones."""
    prior = math.log(p_target / (1 - p_target))
    cost = 0.0
    for trial in target:
        ratio = sum(w * x for w, x in zip(weights, trial, strict=True)) + offset
        cost += p_target / len(target) * math.log1p(math.exp(-ratio - prior))
    for trial in nontarget:
        ratio = sum(w * x for w, x in zip(weights, trial, strict=True)) + offset
        cost += (1 - p_target) / len(nontarget) * math.log1p(math.exp(ratio + prior))
    return cost


def posterior_cost(parameters, target, nontarget, p_target, evidence, mean, covariance, n_smooth=0):
    """Minus the log of the probability of weights and an offset, in nats: the trials' cost, and the normal prior's.

    The mean cost counts `evidence` times. If smoothed, of n targets n + 1 in n + 2 are targets, of m nontargets 1 in
    m + 2.
    """
    *weights, offset = parameters
    prior = math.log(p_target / (1 - p_target))
    cost = 0.0
    for trials, share, is_target in (
        (target, p_target, 1 - n_smooth / (len(target) + 2)),
        (nontarget, 1 - p_target, n_smooth / (len(nontarget) + 2)),
    ):
        for trial in trials:
            logit = sum(w * x for w, x in zip(weights, trial, strict=True)) + offset + prior
            as_target, as_nontarget = math.log1p(math.exp(-logit)), math.log1p(math.exp(logit))
            cost += share / len(trials) * (is_target * as_target + (1 - is_target) * as_nontarget)
    apart = np.array(parameters) - mean
    return evidence * cost + apart @ np.linalg.inv(covariance) @ apart / 2


def wide_prior(target, nontarget):
    """Mean and covariance of weights and offset, from independent ones of columns in the unit of the nontargets."""
    n_columns = len(target[0])
    covariance = np.zeros((n_columns + 1, n_columns + 1))
    covariance[-1, -1] = 16.0
    for q in range(n_columns):
        own, others = [trial[q] for trial in target], [trial[q] for trial in nontarget]
        centre, variance = (fmean(own) + fmean(others)) / 2, (4.0 / pstdev(others)) ** 2
        covariance[q, q] = variance
        covariance[q, -1] = covariance[-1, q] = -centre * variance
        covariance[-1, -1] += centre**2 * variance
    return np.zeros(n_columns + 1), covariance


def pav_llrs(target, nontarget):
    """The isotonic ratio of each distinct score, with a target below all and a nontarget above all."""
    levels = [-math.inf, *sorted({*target, *nontarget}), math.inf]
    n_targets = [([-math.inf, *target]).count(level) for level in levels]
    n_nontargets = [([*nontarget, math.inf]).count(level) for level in levels]
    ratios = {}
    for i in range(1, len(levels) - 1):
        posterior = max(
            min(
                Fraction(sum(n_targets[j : k + 1]), sum(n_targets[j : k + 1]) + sum(n_nontargets[j : k + 1]))
                for k in range(i, len(levels))
            )
            for j in range(i + 1)
        )
        ratios[levels[i]] = math.log(posterior / (1 - posterior) * Fraction(len(nontarget) + 1, len(target) + 1))
    return ratios


def posteriors_of_speakers(llrs, p_unknown):
    """Bayes' rule over M speakers and, last, none of them."""
    joints = [(1 - p_unknown) / len(llrs) * math.exp(llr) for llr in llrs] + [p_unknown]
    return [joint / sum(joints) for joint in joints]


def linear_score(frames, model, ubm):
    """Glembek and others 2009, over the number of frames: (m - m') S^-1 (F - N m'), summed."""
    gamma = posteriors(frames, *ubm)
    total = 0.0
    for c, (old, new, variance) in enumerate(zip(ubm[1], model[1], ubm[2], strict=True)):
        for d in range(len(old)):
            n = sum(row[c] for row in gamma)
            f = sum(row[c] * x[d] for row, x in zip(gamma, frames, strict=True))
            total += (new[d] - old[d]) / variance[d] * (f - n * old[d])
    return total / len(frames)


def cohort_score(frames, model, cohort, average):
    """The model's mean log-likelihood less the log of the cohort's mean likelihood, of the utterance or each frame."""

    def log_mean(values):
        return log_sum_exp(values) - math.log(len(values))

    own = sum(log_likelihood(frames, *model)) / len(frames)
    of_frames = [log_likelihood(frames, *each) for each in cohort]
    if average == "utterance":
        return own - log_mean([sum(values) / len(frames) for values in of_frames])
    return own - sum(log_mean(values) for values in zip(*of_frames, strict=True)) / len(frames)


def windowed_means(values, window, step):
    """Every window that is full, with its centre."""
    starts = range(0, len(values) - window + 1, step)
    return [(start + (window - 1) / 2, sum(values[start : start + window]) / window) for start in starts]

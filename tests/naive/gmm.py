"""Densities, statistics, updates and adaptation of mixtures."""

import math

import numpy as np


def log_gaussian(x, mean, variance):
    """log N(x; mean, diag(variance))."""
    total = 0.0
    for d in range(len(x)):
        total += -0.5 * math.log(2 * math.pi * variance[d]) - (x[d] - mean[d]) ** 2 / (2 * variance[d])
    return total


def log_joints(x, weights, means, variances):
    """log(w_c N(x; c)) for each component."""
    return [math.log(weights[c]) + log_gaussian(x, means[c], variances[c]) for c in range(len(weights))]


def log_sum_exp(values):
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))


def log_likelihood(frames, weights, means, variances):
    return np.array([log_sum_exp(log_joints(x, weights, means, variances)) for x in frames])


def posteriors(frames, weights, means, variances):
    rows = []
    for x in frames:
        joints = log_joints(x, weights, means, variances)
        total = log_sum_exp(joints)
        rows.append([math.exp(joint - total) for joint in joints])
    return np.array(rows)


def observed_log_joints(x, weights, means, variances):
    """log(w_c N(x_o; c)) for each component, over the features o that are not NaN."""
    joints = []
    for c in range(len(weights)):
        total = math.log(weights[c])
        for d in range(len(x)):
            if not math.isnan(x[d]):
                total += log_gaussian(x[d : d + 1], means[c][d : d + 1], variances[c][d : d + 1])
        joints.append(total)
    return joints


def observed_log_likelihood(frames, weights, means, variances):
    return np.array([log_sum_exp(observed_log_joints(x, weights, means, variances)) for x in frames])


def observed_posteriors(frames, weights, means, variances):
    rows = []
    for x in frames:
        joints = observed_log_joints(x, weights, means, variances)
        rows.append([math.exp(joint - log_sum_exp(joints)) for joint in joints])
    return np.array(rows)


def impute(frames, weights, means, variances):
    """E[x_d | x_o] for each missing feature."""
    gamma = observed_posteriors(frames, weights, means, variances)
    filled = np.array(frames, float)
    for t, x in enumerate(frames):
        for d in range(len(x)):
            if math.isnan(x[d]):
                filled[t, d] = sum(gamma[t, c] * means[c][d] for c in range(len(weights)))
    return filled


def accumulate(frames, weights, means, variances, frame_weights=None):
    """Zeroth, first and second order statistics, and the log-likelihood."""
    gamma = posteriors(frames, weights, means, variances)
    counts = np.ones(len(frames)) if frame_weights is None else frame_weights
    zeroth = np.zeros(len(weights))
    first = np.zeros(np.shape(means))
    second = np.zeros(np.shape(means))
    for t, x in enumerate(frames):
        for c in range(len(weights)):
            for d in range(len(x)):
                first[c, d] += counts[t] * gamma[t, c] * x[d]
                second[c, d] += counts[t] * gamma[t, c] * x[d] ** 2
            zeroth[c] += counts[t] * gamma[t, c]
    return zeroth, first, second, float(counts @ log_likelihood(frames, weights, means, variances))


def accumulate_kept(frames, weights, means, variances, frame_weights, skip_below):
    """The same without components below a share of the likeliest one's density, and the weight left out."""
    zeroth = np.zeros(len(weights))
    first = np.zeros(np.shape(means))
    second = np.zeros(np.shape(means))
    total = skipped = 0.0
    for t, x in enumerate(frames):
        joints = log_joints(x, weights, means, variances)
        kept = [c for c in range(len(weights)) if math.exp(joints[c] - max(joints)) >= skip_below]
        frame_total = log_sum_exp([joints[c] for c in kept])
        total += frame_weights[t] * frame_total
        skipped += frame_weights[t] * (1 - math.exp(frame_total - log_sum_exp(joints)))
        for c in kept:
            gamma = frame_weights[t] * math.exp(joints[c] - frame_total)
            zeroth[c] += gamma
            for d in range(len(x)):
                first[c, d] += gamma * x[d]
                second[c, d] += gamma * x[d] ** 2
    return zeroth, first, second, total, skipped


def ml_update(zeroth, first, second):
    """M step without floors: Reynolds and Rose (1995), eqs. 6-8."""
    weights = zeroth / zeroth.sum()
    means = np.array([first[c] / zeroth[c] for c in range(len(zeroth))])
    variances = np.array([second[c] / zeroth[c] - means[c] ** 2 for c in range(len(zeroth))])
    return weights, means, variances


def map_adapt(weights, means, variances, zeroth, first, second, relevance_factor):
    """Adapt everything, literally as Reynolds, Quatieri, Dunn (2000), eqs. 11-14; components with frames only."""
    n_frames = zeroth.sum()
    new_weights, new_means, new_variances = [], [], []
    for c in range(len(weights)):
        expected = first[c] / zeroth[c]
        expected_square = second[c] / zeroth[c]
        alpha = zeroth[c] / (zeroth[c] + relevance_factor)
        mean = alpha * expected + (1 - alpha) * means[c]
        new_weights.append(alpha * zeroth[c] / n_frames + (1 - alpha) * weights[c])
        new_means.append(mean)
        new_variances.append(alpha * expected_square + (1 - alpha) * (variances[c] + means[c] ** 2) - mean**2)
    return np.array(new_weights) / sum(new_weights), np.array(new_means), np.array(new_variances)


def map_adapt_some(weights, means, variances, zeroth, first, second, relevance, alpha, adapt):
    """Adapt what is named, with a relevance factor for each (or alpha): second moments about the new mean."""
    new_weights, new_means, new_variances = [], [], []
    for c in range(len(weights)):
        n = zeroth[c]
        share = {name: n / (n + relevance[name]) if alpha is None else alpha for name in relevance}
        expected = first[c] / n
        mean = means[c]
        if "means" in adapt:
            mean = share["means"] * expected + (1 - share["means"]) * means[c]
        variance = variances[c]
        if "variances" in adapt:
            spread = second[c] / n - 2 * mean * expected + mean**2
            moved = (means[c] - mean) ** 2
            if alpha is None:
                prior = relevance["variances"] * variances[c] + relevance["means"] * moved
                variance = (n * spread + prior) / (n + relevance["variances"])
            else:
                variance = alpha * spread + (1 - alpha) * (variances[c] + moved)
        weight = weights[c]
        if "weights" in adapt:
            weight = share["weights"] * n / zeroth.sum() + (1 - share["weights"]) * weights[c]
        new_weights.append(weight)
        new_means.append(mean)
        new_variances.append(variance)
    return np.array(new_weights) / sum(new_weights), np.array(new_means), np.array(new_variances)


def map_objective(frames, model, ubm, relevance):
    """Log of the posterior density of means and variances, but for a constant."""
    weights, means, variances = model
    _, old_means, old_variances = ubm
    total = float(log_likelihood(frames, weights, means, variances).sum())
    for c in range(len(weights)):
        for d in range(len(means[c])):
            v = variances[c][d]
            total -= relevance["variances"] / 2 * (math.log(v) + old_variances[c][d] / v)
            total -= relevance["means"] / 2 * (means[c][d] - old_means[c][d]) ** 2 / v
    return total

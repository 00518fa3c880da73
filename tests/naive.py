"""Slow literal twins: one loop per index of the formula, in double precision or exact fractions, nothing clever."""

import math
from fractions import Fraction
from itertools import combinations, pairwise
from statistics import NormalDist, fmean, median, pstdev

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


def llr(frames, model, ubm, n_top):
    """Mean over frames of the log ratio of sums over the UBM's best components; a model is (w, m, v)."""
    total = 0.0
    for x in frames:
        background = log_joints(x, *ubm)
        speaker = log_joints(x, *model)
        best = sorted(range(len(background)), key=lambda c: -background[c])[:n_top]
        total += log_sum_exp([speaker[c] for c in best]) - log_sum_exp([background[c] for c in best])
    return total / len(frames)


def deltas(frames, window):
    """First-order regression deltas, the ends repeated: HTK book, eq. 5.16."""
    n_frames = len(frames)
    result = np.zeros(frames.shape)
    for t in range(n_frames):
        for step in range(1, window + 1):
            after = frames[min(t + step, n_frames - 1)]
            before = frames[max(t - step, 0)]
            result[t] += step * (after - before)
    return result / (2 * sum(step**2 for step in range(1, window + 1)))


def error_rates(target, nontarget):
    """(threshold, P_miss, P_fa) for each distinct score and, with threshold None, for accepting nothing."""
    points = []
    for threshold in sorted({*target, *nontarget}):
        misses = sum(1 for score in target if not score >= threshold)
        false_alarms = sum(1 for score in nontarget if score >= threshold)
        points.append((threshold, Fraction(misses, len(target)), Fraction(false_alarms, len(nontarget))))
    return [*points, (None, Fraction(1), Fraction(0))]


def eer(target, nontarget):
    """Where the line through the operating points crosses the diagonal."""
    points = [(p_fa, p_miss) for _, p_miss, p_fa in error_rates(target, nontarget)]
    for (x0, y0), (x1, y1) in pairwise(points):
        # (x0, y0) + s (x1 - x0, y1 - y0) with equal coordinates
        s = (x0 - y0) / ((y1 - y0) - (x1 - x0))
        if 0 <= s <= 1:
            return y0 + s * (y1 - y0)
    raise AssertionError("the line goes from one side of the diagonal to the other")


def eer_hull(target, nontarget):
    """The least crossing of the diagonal by a line between any two operating points, or at one of them."""
    points = [(p_fa, p_miss) for _, p_miss, p_fa in error_rates(target, nontarget)]
    crossings = [x for x, y in points if x == y]
    for (x0, y0), (x1, y1) in combinations(points, 2):
        if (x0 - y0) * (x1 - y1) < 0:
            s = (x0 - y0) / ((y1 - y0) - (x1 - x0))
            crossings.append(y0 + s * (y1 - y0))
    return min(crossings)


def auc(target, nontarget):
    """Count the pairs in which the target trial scores higher, and half of those that are equal."""
    pairs = [(one, other) for one in target for other in nontarget]
    return Fraction(sum(2 * (one > other) + (one == other) for one, other in pairs), 2 * len(pairs))


def miss_rate_at(target, nontarget, p_fa):
    """The lowest miss rate of all thresholds that accept few enough nontargets."""
    return min(p_miss for _, p_miss, accepted in error_rates(target, nontarget) if accepted <= Fraction(str(p_fa)))


def cost(p_miss, p_fa, costs):
    """The detection cost of Martin and others, over that of the better blind decision."""
    c_miss, c_fa, p_target = costs
    raw = c_miss * p_target * float(p_miss) + c_fa * (1 - p_target) * float(p_fa)
    return raw / min(c_miss * p_target, c_fa * (1 - p_target))


def dcf(target, nontarget, threshold, costs):
    """The cost of one threshold."""
    misses = sum(1 for score in target if not score >= threshold)
    false_alarms = sum(1 for score in nontarget if score >= threshold)
    return cost(Fraction(misses, len(target)), Fraction(false_alarms, len(nontarget)), costs)


def min_dcf(target, nontarget, costs):
    """The lowest cost of any threshold."""
    return min(cost(p_miss, p_fa, costs) for _, p_miss, p_fa in error_rates(target, nontarget))


def cllr(target, nontarget):
    """The formula, which overflows for large scores."""
    of_targets = sum(math.log2(1 + math.exp(-score)) for score in target) / len(target)
    of_nontargets = sum(math.log2(1 + math.exp(score)) for score in nontarget) / len(nontarget)
    return (of_targets + of_nontargets) / 2


def min_cllr(target, nontarget):
    """Cllr of the best isotonic ratios, from the max-min formula of isotonic regression."""
    levels = sorted({*target, *nontarget})
    n_targets = [list(target).count(level) for level in levels]
    n_nontargets = [list(nontarget).count(level) for level in levels]
    total = 0.0
    for i in range(len(levels)):
        posterior = max(
            min(
                Fraction(sum(n_targets[j : k + 1]), sum(n_targets[j : k + 1]) + sum(n_nontargets[j : k + 1]))
                for k in range(i, len(levels))
            )
            for j in range(i + 1)
        )
        # a posterior of 0 has no targets, of 1 no nontargets, and neither costs anything
        if 0 < posterior < 1:
            ratio = float(posterior / (1 - posterior) / Fraction(len(target), len(nontarget)))
            total += n_targets[i] / len(target) * math.log2(1 + 1 / ratio)
            total += n_nontargets[i] / len(nontarget) * math.log2(1 + ratio)
    return total / 2


def identification_rate(scores, truth):
    """Count the tests that no other model wins or shares."""
    n_right = 0
    for test, right in enumerate(truth):
        others = [row[test] for model, row in enumerate(scores) if model != right]
        n_right += all(scores[right][test] > other for other in others)
    return n_right / len(truth)


def rank(scores, test, right):
    """One, and one more for each other model that scores as high as the right one or higher."""
    others = [row[test] for model, row in enumerate(scores) if model != right]
    return 1 + sum(1 for other in others if other >= scores[right][test])


def cmc(scores, truth):
    """For each number of models, the share of tests whose right model is among so many."""
    ranks = [rank(scores, test, right) for test, right in enumerate(truth)]
    return [sum(1 for each in ranks if each <= k) / len(ranks) for k in range(1, len(scores) + 1)]


def confusion(scores, truth):
    """Give each test to the right model if it wins, or else to the first other one that nobody beats."""
    counts = [[0] * len(scores) for _ in scores]
    for test, right in enumerate(truth):
        answer = right
        if rank(scores, test, right) > 1:
            highest = max(row[test] for row in scores)
            answer = next(model for model, row in enumerate(scores) if row[test] == highest and model != right)
        counts[right][answer] += 1
    return counts


def detection_identification_rate(known, truth, unknown, p_fa):
    """The highest rate of any threshold at which few enough unknown tests are answered by a model."""
    best_unknown = [max(row[test] for row in unknown) for test in range(len(unknown[0]))]
    rates = [Fraction(0)]  # a threshold that nothing reaches
    for threshold in {score for row in (*known, *unknown) for score in row}:
        alarms = sum(1 for score in best_unknown if score >= threshold)
        if Fraction(alarms, len(best_unknown)) <= Fraction(str(p_fa)):
            n_right = sum(
                1
                for test, right in enumerate(truth)
                if rank(known, test, right) == 1 and known[right][test] >= threshold
            )
            rates.append(Fraction(n_right, len(truth)))
    return float(max(rates))


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


def z_norm(scores, cohort, rows, columns, members, **statistics):
    """Each score, by the scores of its row against the members who are neither the row nor the column."""
    result = []
    for row, score in enumerate(scores):
        result.append([])
        for column, value in enumerate(score):
            others = [k for k in range(len(members)) if members[k] not in (rows[row], columns[column])]
            centre, spread = centre_and_spread([cohort[row][k] for k in others], **statistics)
            result[-1].append((value - centre) / spread)
    return np.array(result)


def t_norm(scores, cohort, rows, columns, members, **statistics):
    """Each score, by the scores of its column."""
    return z_norm(np.transpose(scores), np.transpose(cohort), columns, rows, members, **statistics).T


def normalise(method, scores, z, t, both, models, tests, z_cohort, t_cohort, **statistics):
    """Each method as it is defined."""
    by_model = z_norm(scores, z, models, tests, z_cohort, **statistics)
    by_test = t_norm(scores, t, models, tests, t_cohort, **statistics)
    if method in ("z", "t"):
        return {"z": by_model, "t": by_test}[method]
    if method == "zt":
        cohort = z_norm(t, both, t_cohort, tests, z_cohort, **statistics)
        return t_norm(by_model, cohort, models, tests, t_cohort, **statistics)
    if method == "tz":
        cohort = t_norm(z, both, models, z_cohort, t_cohort, **statistics)
        return z_norm(by_test, cohort, models, tests, z_cohort, **statistics)
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

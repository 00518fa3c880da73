"""Numbers of trials and of identification, by counting."""

import math
from fractions import Fraction
from itertools import combinations, pairwise


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
    """Give each test to the right model if it wins, or else to the first other one that no model beats."""
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

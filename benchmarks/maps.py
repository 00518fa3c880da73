"""Learn the maps that come with the package: from normalised scores to log-likelihood ratios, on development corpora.

Usage: python benchmarks/maps.py DATA [--work FOLDER] [--without CORPUS ...] [--out FILE]. Each corpus has the same
weight, whatever the number of its draws; degraded copies have a share of it. With --without, the maps are those that a
user with such a corpus would get.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from draws import Draw, development_draws
from scipy.optimize import minimize
from scipy.special import expit

from speechgmm import Engine, open_results, run

SYSTEMS = ("mfcc_raw", "mfcc_full", "lfcc")
NORMALISATIONS = (("s", 10.0), ("zt", 30.0))
DEGRADED = ("band", "mp3")
DEGRADED_SHARE = 0.1
"""Weight of the degraded copies of a corpus: enough to doubt great certainty, too little to be the rule."""

LEAST_VARIANCES = np.diag([0.1, 0.5])
"""Added to the covariance over corpora, which are few."""

OWN_EVIDENCE, OWN_DEVIATIONS = 50.0, (1.0, 2.0)
"""How far the map of one draw may leave that of all."""


class Scores(NamedTuple):
    """The scores of one draw's trials, on the scale of its cohort."""

    draw: Draw
    degraded: bool
    n_cohort: int
    target: np.ndarray
    nontarget: np.ndarray


def scores_of(draw: Draw, systems: Sequence[str], normalisation: tuple[str, float], work: Path) -> Scores:
    """Run the systems on a draw, and return their mean scores of the first list."""
    method, shrinkage = normalisation
    members = [member(name, draw) | {"normalisation": {"method": method, "shrinkage": shrinkage}} for name in systems]
    section = {"systems": members} if len(members) > 1 else members[0]
    recipe = {"name": f"{draw.name}-{'-'.join(systems)}-{method}", "seed": draw.seed, "corpus": draw.section, **section}
    path = work / "recipe.yaml"
    path.write_text(json.dumps(recipe | {"calibration": {"method": "none"}}), encoding="utf-8")
    done = run(path, results=work / "results", engine=Engine("processes"), until_stage="evaluation")
    trials = open_results(done.folder).trials
    target, nontarget = trials.scored(trials.usable()[0])
    means = trials.raw / len(systems)
    print(recipe["name"], f"{len(means):,} trials", flush=True)
    degraded = draw.name.endswith(DEGRADED)
    return Scores(draw, degraded, draw.n_speakers, means[target], means[nontarget])


def member(name: str, draw: Draw) -> dict[str, Any]:
    """Return a system of a recipe: a shipped one, or its like for a corpus of features."""
    if draw.front_end is None:
        return {"base": name}
    mean = {"mfcc_raw": 0.0, "mfcc_full": 1.0, "lfcc": 0.5}[name]
    front_end = {**draw.front_end, "normalisation": {"mean": mean}}
    return {"name": name, "features": front_end, "ubm": {"n_components": 64}}


def learn(all_scores: Sequence[Scores], rise: float) -> dict[str, Any]:
    """Learn one map of all corpora, and how much those of single draws differ from it."""
    weights = list(corpus_weights(all_scores))
    sides = [on_common_scale(scores, rise) for scores in all_scores]
    common = fit(sides, weights)
    corpora: dict[str, list[np.ndarray]] = {}
    for scores, side in zip(all_scores, sides, strict=True):
        if not scores.degraded:
            apart = fit([side], [OWN_EVIDENCE], common) - common
            corpora.setdefault(scores.draw.corpus, []).append(np.outer(apart, apart))
    covariance = np.mean([np.mean(each, axis=0) for each in corpora.values()], axis=0) + LEAST_VARIANCES
    return {"weight": common[0], "offset": common[1], "covariance": covariance.tolist()}


def corpus_weights(all_scores: Sequence[Scores]) -> Iterator[float]:
    """Give each corpus the weight 1 in all, of which degraded copies have their share."""
    for scores in all_scores:
        own = [each for each in all_scores if each.draw.corpus == scores.draw.corpus]
        alike = [each for each in own if each.degraded == scores.degraded]
        has_both = len(alike) < len(own)
        share = (DEGRADED_SHARE if scores.degraded else 1 - DEGRADED_SHARE) if has_both else 1.0
        yield share / len(alike)


def on_common_scale(scores: Scores, rise: float) -> tuple[np.ndarray, np.ndarray]:
    """Bring scores to the common scale, as `ShippedMap.scale` does."""
    factor = scores.n_cohort / (scores.n_cohort + 10)
    return tuple(factor * side - rise * (1 - factor) for side in (scores.target, scores.nontarget))  # type: ignore[return-value]


def fit(
    sides: Sequence[tuple[np.ndarray, np.ndarray]], weights: Sequence[float], around: np.ndarray | None = None
) -> np.ndarray:
    """Find weight and offset of the least weighted mean cost, near those of a prior if there is one."""
    pull = np.zeros(2) if around is None else 1 / np.square(OWN_DEVIATIONS)
    centre = np.zeros(2) if around is None else around

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the cost, and its gradient; labels are smoothed by one trial more at each side."""
        apart = parameters - centre
        value, slope = 0.5 * pull @ apart**2, pull * apart
        for (target, nontarget), weight in zip(sides, weights, strict=True):
            labels = (len(target) + 1) / (len(target) + 2), 1 / (len(nontarget) + 2)
            for scores, label in zip((target, nontarget), labels, strict=True):
                ratios = parameters[0] * scores + parameters[1]
                value += 0.5 * weight * np.mean(np.logaddexp(0, ratios) - label * ratios)
                wrong = expit(ratios) - label
                slope = slope + 0.5 * weight * np.array([np.mean(wrong * scores), np.mean(wrong)])
        return float(value), slope

    start = np.array([3.0, -5.0]) if around is None else around
    return np.asarray(minimize(cost, start, jac=True, method="BFGS", options={"gtol": 1e-9}).x)


def rise_of_small_cohorts(all_scores: Sequence[Scores]) -> float:
    """Fit how the mean score of nontargets rises as the cohort shrinks: factor * mean = level + rise * (1 - factor)."""
    clean = [scores for scores in all_scores if not scores.degraded]
    factors = np.array([scores.n_cohort / (scores.n_cohort + 10) for scores in clean])
    means = factors * np.array([scores.nontarget.mean() for scores in clean])
    corpora = sorted({scores.draw.corpus for scores in clean})
    levels = np.array([[scores.draw.corpus == corpus for corpus in corpora] for scores in clean], np.float64)
    solution, *_ = np.linalg.lstsq(np.column_stack([1 - factors, levels]), means, rcond=None)
    return float(solution[0])


def main() -> None:
    """Learn the maps, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, help="where draws and results are kept; a temporary folder by default")
    parser.add_argument("--without", nargs="+", default=[], metavar="CORPUS", help="corpora to leave out")
    parser.add_argument("--out", type=Path, help="file to write; the package's own by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        draws = [
            draw
            for draw in development_draws(arguments.data.resolve(), work / "draws", DEGRADED)
            if draw.corpus not in arguments.without
        ]
        maps = []
        for normalisation in NORMALISATIONS:
            for n_systems in (1, 2, 3):
                all_scores = [
                    scores_of(draw, systems, normalisation, work)
                    for systems in combinations(SYSTEMS, n_systems)
                    for draw in draws
                ]
                rise = round(rise_of_small_cohorts(all_scores), 2)
                kind = {"method": normalisation[0], "shrinkage": normalisation[1], "n_systems": n_systems, "rise": rise}
                maps.append(kind | rounded(learn(all_scores, rise)))
    document = {"learnt_on": [draw.name for draw in draws], "maps": maps}
    out = arguments.out or Path(__file__).parent.parent / "speechgmm" / "scoring" / "shipped_maps.json"
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {out}")


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Round to three digits, which are more than the draws know."""
    return {name: np.round(value, 3).tolist() for name, value in values.items()}


if __name__ == "__main__":
    main()

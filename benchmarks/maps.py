"""Learn the map that comes with the package: from scores in deviations of unknown speakers' to log-likelihood ratios.

Usage: python benchmarks/maps.py DATA [--work FOLDER] [--without CORPUS ...] [--out FILE]. Each development corpus has
the same weight, whatever the number of its draws; degraded copies have a share of it. With --without, the map is the
one that a user with such a corpus would get. Results in FOLDER are used again.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from draws import Draw, development_draws
from scipy.optimize import minimize
from scipy.special import expit

from speechgmm import Engine, open_results, run
from speechgmm.recipe.layout import CALIBRATION_FILE, METRICS_FILE

SYSTEMS = (("mfcc",), ("mfcc_raw", "mfcc_full", "lfcc_raw", "lfcc"))
NORMALISATIONS = (
    {"method": "none", "shrinkage": 0.0},
    {"method": "s", "shrinkage": 10.0},
    {"method": "zt", "shrinkage": 30.0},
)
DEGRADED = ("band", "mp3")
DEGRADED_SHARE = 0.02
"""Weight of the degraded copies of a corpus: a doubt. With a tenth, the Cllr of all clean draws rises by .01."""

LEAST_VARIANCES = np.diag([0.1, 0.5])
"""Added to the covariance over corpora, which are few."""

OWN_EVIDENCE, OWN_DEVIATIONS = 50.0, (1.0, 2.0)
"""How far the map of one draw may leave that of all."""

Sides = tuple[np.ndarray, np.ndarray]
"""Scores of targets and of nontargets."""


class Scores(NamedTuple):
    """The scores of one draw's trials, in deviations of those of unknown speakers."""

    draw: Draw
    degraded: bool
    sides: Sides


def scores_of(draw: Draw, systems: Sequence[str], normalisation: dict[str, Any], work: Path) -> Scores:
    """Run the systems on a draw, and return their scores of the first list."""
    members = [member(name, draw) | {"normalisation": normalisation} for name in systems]
    section = {"systems": members} if len(members) > 1 else members[0]
    name = f"{draw.name}-{'-'.join(systems)}-{normalisation['method']}"
    calibration = {"on": "trials", "allow_evaluated": True}  # for the standard of unknown speakers alone
    recipe = {**section, "name": name, "seed": draw.seed, "corpus": draw.section, "calibration": calibration}
    folder = work / "results" / name
    if not (folder / METRICS_FILE).exists():
        path = work / "recipe.yaml"
        path.write_text(json.dumps(recipe | {"evaluation": {"bootstrap": 0}}), encoding="utf-8")
        run(path, results=work / "results", engine=Engine("processes"), until_stage="evaluation")
    trials = open_results(folder).trials
    target, nontarget = trials.scored(trials.usable()[0])
    mean, deviation = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))["standard"]
    print(name, f"{target.sum():,} targets", flush=True)
    standardised = (trials.raw - mean) / deviation
    return Scores(draw, draw.name.endswith(DEGRADED), (standardised[target], standardised[nontarget]))


def member(name: str, draw: Draw) -> dict[str, Any]:
    """Return a system of a recipe: a shipped one, or its like for a corpus of features."""
    if draw.front_end is None:
        return {"base": name}
    mean = {"mfcc_raw": 0.0, "mfcc_full": 1.0, "lfcc_raw": 0.25}.get(name, 0.5)
    front_end = {**draw.front_end, "normalisation": {"mean": mean}}
    return {"name": name, "features": front_end, "ubm": {"n_components": 64}}


def learn(all_scores: Sequence[Scores]) -> dict[str, Any]:
    """Learn one map of all corpora, and how much those of single draws differ from it."""
    common = fit([scores.sides for scores in all_scores], list(corpus_weights(all_scores)))
    corpora: dict[str, list[np.ndarray]] = {}
    for scores in all_scores:
        if not scores.degraded:
            apart = fit([scores.sides], [OWN_EVIDENCE], common) - common
            corpora.setdefault(scores.draw.corpus, []).append(np.outer(apart, apart))
    covariance = np.mean([np.mean(each, axis=0) for each in corpora.values()], axis=0) + LEAST_VARIANCES
    numbers = {"weight": common[0], "offset": common[1], "covariance": covariance}
    return {name: np.round(value, 3).tolist() for name, value in numbers.items()}


def corpus_weights(all_scores: Sequence[Scores]) -> Iterator[float]:
    """Give each corpus the weight 1 in all, of which degraded copies have their share."""
    for scores in all_scores:
        own = [each for each in all_scores if each.draw.corpus == scores.draw.corpus]
        alike = [each for each in own if each.degraded == scores.degraded]
        has_both = len(alike) < len(own)
        share = (DEGRADED_SHARE if scores.degraded else 1 - DEGRADED_SHARE) if has_both else 1.0
        yield share / len(alike)


def fit(sides: Sequence[Sides], weights: Sequence[float], around: np.ndarray | None = None) -> np.ndarray:
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


def main() -> None:
    """Learn the map, and write it."""
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
            for draw in development_draws(arguments.data.resolve(), work / "draws", DEGRADED, n_degraded=1)
            if draw.corpus not in arguments.without
        ]
        all_scores = [
            scores_of(draw, systems, normalisation, work)
            for draw in draws
            for systems in SYSTEMS
            for normalisation in NORMALISATIONS
        ]
    document = learn(all_scores) | {"learnt_on": [draw.name for draw in draws]}
    out = arguments.out or Path(__file__).parent.parent / "speechgmm" / "scoring" / "shipped_map.json"
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {out}: {document}")


if __name__ == "__main__":
    main()

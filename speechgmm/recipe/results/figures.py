"""The plots of an experiment, from its folder of results."""

import numpy as np

from speechgmm.arrays import IntArray
from speechgmm.evaluation import plots
from speechgmm.evaluation.report.figures import NamedFigure, draw_scores
from speechgmm.recipe.results.reading import Results


def figures(results: Results) -> tuple[NamedFigure, ...]:
    """Draw the plots of an experiment.

    Parameters
    ----------
    results : Results
        What to show.

    Returns
    -------
    tuple of NamedFigure
        Those of `draw_scores`; ``cmc`` and ``confusion`` where there are tests to identify; ``training`` of each
        background model, with the system and the sex that it is of.
    """
    recipe, decision = results.recipe, results.metrics["decision"]
    threshold = decision["threshold"] if decision else None
    drawn = list(draw_scores(results.trials, recipe.evaluation, recipe.seed, threshold=threshold))
    ranks, confusion = results.metrics["identification"]["cmc"], results.confusion
    if ranks:
        figure = plots.cmc_figure({"closed set": ranks})
        drawn.append(NamedFigure("cmc", "Ranks of the right speaker", plots.CMC_CAPTION, figure))
    if confusion:
        names, counts = _counts(confusion)
        figure = plots.confusion_figure(counts, names)
        drawn.append(NamedFigure("confusion", "Confusions between speakers", plots.CONFUSION_CAPTION, figure))
    for of, rows in results.training.items():
        history = [float(row["log_likelihood_per_frame"]) for row in rows if row["early"] == "False"]
        name, title = "-".join(("training", *of)), ", ".join(("Training of the background model", *of))
        if history:
            drawn.append(NamedFigure(name, title, plots.TRAINING_CAPTION, plots.training_figure(history)))
    return tuple(drawn)


def _counts(confusion: tuple[tuple[str, str, int], ...]) -> tuple[list[str], IntArray]:
    """Put counts of right models and answers into a square."""
    names = sorted({name for right, answer, _ in confusion for name in (right, answer)})
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.intp)
    for right, answer, tests in confusion:
        counts[place[right], place[answer]] += tests
    return names, counts

"""The plots of an experiment, from its results folder."""

import numpy as np

from speechgmm.arrays import IntArray
from speechgmm.evaluation import plots
from speechgmm.evaluation.report.figures import NamedFigure, draw_scores
from speechgmm.recipe.results.reading import Results


def draw_figures(results: Results) -> tuple[NamedFigure, ...]:
    """Draw the plots of an experiment.

    These are the plots of `draw_scores`, ``cmc`` and ``confusion`` if there are tests to identify, and ``training`` of
    each background model; where there are several, with its system and sex in the name.
    """
    recipe, decision = results.recipe, results.metrics["decision"]
    threshold = decision["threshold"] if decision else None
    figures = list(
        draw_scores(results.trials, recipe.evaluation, recipe.seed, threshold=threshold, are_llrs=results.are_llrs)
    )
    ranks, confusion = results.metrics["identification"]["cmc"], results.confusion
    if ranks:
        figure = plots.cmc_figure({"closed set": ranks})
        figures.append(NamedFigure("cmc", "Ranks of the right speaker", plots.CMC_CAPTION, figure))
    if confusion:
        names, counts = _count_matrix(confusion)
        figure = plots.confusion_figure(counts, names)
        figures.append(NamedFigure("confusion", "Confusions between speakers", plots.CONFUSION_CAPTION, figure))
    for labels, rows in results.training.items():
        history = [float(row["log_likelihood_per_frame"]) for row in rows if row["early"] == "False"]
        name, title = "-".join(("training", *labels)), ", ".join(("Training of the background model", *labels))
        if history:
            figures.append(NamedFigure(name, title, plots.TRAINING_CAPTION, plots.training_figure(history)))
    return tuple(figures)


def _count_matrix(confusion: tuple[tuple[str, str, int], ...]) -> tuple[list[str], IntArray]:
    """Return the names of n models, sorted, and how many tests of each were answered as each, shape (n, n)."""
    names = sorted({name for right, answer, _ in confusion for name in (right, answer)})
    index = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.intp)
    for right, answer, tests in confusion:
        counts[index[right], index[answer]] += tests
    return names, counts

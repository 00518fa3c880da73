"""A plot of the training of a model."""

from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from speechgmm.evaluation.plots.style import COLOURS, WIDTH, plot_style

TRAINING_CAPTION: Final = (
    "Log-likelihood of the training frames under the model before each iteration. It never falls; training may stop "
    "where it is flat."
)


def training_figure(log_likelihood: npt.ArrayLike) -> Figure:
    """Draw the log-likelihood per frame, in nats, of each training iteration, under the model before it.

    ValueError if the history is empty, is not one-dimensional or has values that are not finite.
    """
    history = np.asarray(log_likelihood, dtype=np.float64)
    if history.ndim != 1 or history.size == 0:
        raise ValueError(f"log-likelihood: shape {history.shape}, expected one value for each iteration")
    if not np.isfinite(history).all():
        iteration = np.argmin(np.isfinite(history))
        raise ValueError(f"log-likelihood {history[iteration]} in iteration {iteration + 1}: expected numbers")
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.72 * WIDTH), layout="constrained")
        axes = figure.add_subplot(xlabel="iteration", ylabel="log-likelihood per frame, nats")
        axes.plot(np.arange(1, history.size + 1), history, color=COLOURS[0], marker="o", markersize=3.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.ticklabel_format(axis="y", useOffset=False)
    return figure

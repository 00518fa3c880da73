"""Plots of speaker identification: ranks of the true speaker, and confusions between speakers."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.evaluation.plots.style import COLOURS, LINES, WIDTH, plot_style, shorten

CMC_CAPTION: Final = (
    "Cumulative match characteristic: the share of tests whose true speaker is among the k best-scoring models. At "
    "rank 1 it is the identification rate; a fast rise means that the true speaker is seldom far from the top."
)
CONFUSION_CAPTION: Final = (
    "Confusion matrix: rows are true speakers, columns are identified speakers, and the stronger the colour, the "
    "greater the share of the row. Correct answers are on the diagonal. Speakers who are often confused are next to "
    "each other, so that groups of similar voices show as blocks."
)

_MOST_NAMES: Final = 40  # more are not legible
_MOST_NUMBERS: Final = 12
_MOST_ORDERED: Final = 300  # the best order of leaves takes cubic time: half a minute for 1,251 speakers
_LONGEST_NAME: Final = 14
_RIGHT, _WRONG = COLOURS[0], COLOURS[1]


def cmc_figure(curves: Mapping[str, npt.ArrayLike]) -> Figure:
    """Draw cumulative match characteristics, by the name of the system or list.

    Each curve, (M,), has the share of tests whose speaker is among the best k of M models, for k from 1 on, as
    fractions of 1. Ranks are on a logarithmic axis if there are more than 20. ValueError if there are no curves, or one
    is empty, falls, or is not of fractions.
    """
    if not curves:
        raise ValueError("CMC figure: no curves, expected at least one")
    shares = {name: np.asarray(rates, dtype=np.float64) for name, rates in curves.items()}
    for name, rates in shares.items():
        whole = np.concatenate([[0.0], rates, [1.0]]) if rates.ndim == 1 and rates.size else np.array([np.nan])
        if not (np.diff(whole, prepend=0.0) >= 0.0).all():
            raise ValueError(f"CMC of {name!r}: expected fractions of 1 that never fall, for the ranks from 1 on")
    n_ranks = max(map(len, shares.values()))
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.72 * WIDTH + 0.2 * len(shares)), layout="constrained")
        axes = figure.add_subplot(xlabel="rank k", ylabel="tests with the true speaker\namong the best k, %")
        for number, (name, rates) in enumerate(shares.items()):
            axes.plot(
                np.arange(1, len(rates) + 1),
                100.0 * rates,
                color=COLOURS[number % len(COLOURS)],
                linestyle=LINES[number % len(LINES)],
                marker="o",
                markersize=3.5 if n_ranks <= 20 else 0.0,
                label=f"{100.0 * rates[0]:.1f} % at rank 1, {shorten(name)}",
            )
        if n_ranks > 20:
            axes.set_xscale("log")
            ticks = [rank for rank in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if rank <= n_ranks]
            axes.set_xticks(ticks, [str(rank) for rank in ticks])
            axes.minorticks_off()
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        lowest = min(100.0 * min(rates[0] for rates in shares.values()), 99.0)
        axes.set_ylim(lowest - 0.04 * (100.0 - lowest), 100.0 + 0.04 * (100.0 - lowest))
        figure.legend(loc="outside lower left", handlelength=3.2)
    return figure


def confusion_figure(counts: npt.ArrayLike, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix whose speakers are ordered by similarity.

    `counts`, (M, M), has the tests of each true speaker (rows) by identified speaker (columns). Speakers are named if
    there are at most 40, tests are counted if at most 12. The order is that of the leaves of an average-linkage tree,
    where two speakers are the nearer, the greater the share of their tests that is answered by the other; for up to 300
    speakers the optimal such order. ValueError if there are no speakers, `counts` are negative or not square, or
    numbers of names differ.

    References
    ----------
    Bar-Joseph, Gifford, Jaakkola (2001), Bioinformatics 17, "Fast optimal leaf ordering for hierarchical clustering".
    """
    table = np.asarray(counts)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.size == 0 or (table < 0).any():
        raise ValueError(f"confusion counts: shape {table.shape}, expected speakers x speakers, none of them negative")
    if len(names) != len(table):
        raise ValueError(f"confusion counts of {len(table)} speakers: {len(names)} names, expected as many")
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    order = _by_similarity(shares)
    with plot_style():
        figure = Figure(figsize=(WIDTH, 1.12 * WIDTH), layout="constrained")
        axes = figure.add_subplot(xlabel="identified speaker", ylabel="true speaker")
        axes.imshow(_colours(shares[np.ix_(order, order)]), interpolation="none")
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        _name_speakers(axes, [names[number] for number in order])
        if len(table) <= _MOST_NUMBERS:
            for row, column in np.argwhere(table[np.ix_(order, order)]):
                axes.text(column, row, f"{table[order[row], order[column]]}", ha="center", va="center")
        handles = [Patch(color=_RIGHT, label="correct")]
        handles += [
            Patch(color=_WRONG, alpha=float(_strength(np.array(share))), linewidth=0, label=f"{100 * share:g} %")
            for share in (0.01, 0.1, 0.5, 1.0)
        ]
        handles[1].set_label("wrong: 1 %")
        figure.legend(handles=handles, loc="outside lower left", ncols=5, columnspacing=1.0, handlelength=1.0)
    return figure


def _by_similarity(shares: Float64Array) -> IntArray:
    """Order speakers so that those who are often confused are neighbours."""
    if len(shares) == 1:
        return np.zeros(1, np.intp)
    distances = 1.0 - (shares + shares.T) / 2.0
    np.fill_diagonal(distances, 0.0)
    optimal = len(shares) <= _MOST_ORDERED
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=optimal)
    return leaves_list(tree).astype(np.intp)


def _strength(shares: Float64Array) -> Float64Array:
    """Compute how opaque a share is drawn: even one test of many must be visible."""
    strength: Float64Array = np.where(shares > 0.0, 0.12 + 0.78 * np.sqrt(shares), 0.0)
    return strength


def _colours(shares: Float64Array) -> Float64Array:
    """Colour the cells, (M, M, 4); empty ones are transparent."""
    right = np.eye(len(shares), dtype=np.bool_)[:, :, None]
    return np.dstack([np.where(right, to_rgb(_RIGHT), to_rgb(_WRONG)), _strength(shares)])


def _name_speakers(axes: Axes, names: Sequence[str]) -> None:
    """Label rows and columns with names, if there is room."""
    if len(names) > _MOST_NAMES:
        axes.set(xticks=[], yticks=[])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_label_text(f"{axis.get_label_text()}, {len(names)} in all")
        return
    short = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
    size = min(9.5, 240.0 / len(names))
    axes.set_xticks(range(len(names)), short, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), short, fontsize=size)
    axes.tick_params(length=0)

"""The plots of trial lists, for a page and for files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from speechgmm.evaluation import plots
from speechgmm.evaluation.bands import det_band
from speechgmm.evaluation.report.content import Plot
from speechgmm.evaluation.report.trials import TrialTable
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.files import write_bytes


@dataclass(frozen=True, eq=False)
class NamedFigure:
    """A figure with the title and caption of its plot."""

    name: str  # of its files, without a suffix
    title: str
    caption: str
    figure: Figure

    @cached_property
    def plot(self) -> Plot:
        """The plot for a page."""
        return Plot(self.title, self.caption, plots.svg_text(self.figure))

    def save(self, folder: Path, *, png: bool) -> None:
        """Write the plot as a standalone SVG file, and as PNG if asked, which takes most of a report's time."""
        write_bytes(folder / f"{self.name}.svg", plots.standalone_svg(self.plot.svg).encode())
        if png:
            plots.save_figure(self.figure, folder, self.name, ("png",))


def draw_scores(
    table: TrialTable,
    config: EvaluationConfig,
    seed: int,
    *,
    threshold: float | None = None,
    are_llrs: bool = True,
) -> tuple[NamedFigure, ...]:
    """Draw the plots of the trial lists in which both kinds of trial have scores.

    ``det`` of all lists, and ``scores``, ``tippett``, ``bayes-error`` and ``reliability`` of the first; none if there
    is no such list. `seed` is that of the band around a DET curve. `threshold`, in nats, is that of the decisions, if
    there are any. ``bayes-error`` and ``reliability`` are left out where scores are no log-likelihood ratios.
    """
    usable = table.usable()
    if not usable:
        return ()
    first = usable[0]
    llrs, raw = table.by_label(table.llrs, first), table.by_label(table.raw, first)
    is_calibrated = not np.array_equal(table.raw, table.llrs, equal_nan=True)
    ranked_by_llrs = threshold is not None and table.ranks is table.llrs
    bands = {
        name: det_band(*table.trial_groups(name), np.random.default_rng(seed), confidence=config.confidence)
        for name in usable
        if config.bootstrap
    }
    thresholds = {name: threshold for name in usable if threshold is not None and ranked_by_llrs}
    lists = {name: table.by_label(table.ranks, name) for name in usable}
    det = plots.det_figure(lists, config.dcf, bands, thresholds)
    det_caption = plots.det_caption(config.dcf, bands, thresholds)
    tippett = plots.tippett_figure(*llrs, raw if is_calibrated else None)
    figures = (
        NamedFigure("det", "Detection error trade-off", det_caption, det),
        NamedFigure("scores", f"Scores of {first}", plots.HISTOGRAM_CAPTION, plots.histogram_figure(*llrs, threshold)),
        NamedFigure("tippett", f"Tippett plot of {first}", plots.TIPPETT_CAPTION, tippett),
    )
    if not are_llrs:
        return figures
    bayes_error, reliability = plots.bayes_error_figure(*llrs, config.dcf), plots.reliability_figure(*llrs)
    return (
        *figures,
        NamedFigure("bayes-error", f"Detection cost over the prior, {first}", plots.BAYES_ERROR_CAPTION, bayes_error),
        NamedFigure("reliability", f"Calibration of {first}", plots.RELIABILITY_CAPTION, reliability),
    )

"""Plots of scores, decisions and training, as matplotlib figures and as SVG or PNG.

A figure is built without a display and without global state, in the same style whatever the user's matplotlib settings,
and the same values give the same bytes. `save_figure` writes standalone files, on white; `svg_text` returns an element
for a page, whose neutral ink takes the colour of the page's text, light or dark. Curves have mid-tone colours that
colour-blind people can distinguish (after Okabe and Ito 2008), and line styles that differ without colour.

Each figure has a caption, `*_CAPTION` or `det_caption`, which explains in plain words how to read it.
"""

from speechgmm.evaluation.plots.calibration import (
    BAYES_ERROR_CAPTION,
    RELIABILITY_CAPTION,
    bayes_error_figure,
    reliability_figure,
)
from speechgmm.evaluation.plots.detection import det_caption, det_figure
from speechgmm.evaluation.plots.distributions import (
    HISTOGRAM_CAPTION,
    TIPPETT_CAPTION,
    histogram_figure,
    tippett_figure,
)
from speechgmm.evaluation.plots.identification import CMC_CAPTION, CONFUSION_CAPTION, cmc_figure, confusion_figure
from speechgmm.evaluation.plots.style import save_figure, standalone_svg, svg_text
from speechgmm.evaluation.plots.training import TRAINING_CAPTION, training_figure

__all__ = [
    "BAYES_ERROR_CAPTION",
    "CMC_CAPTION",
    "CONFUSION_CAPTION",
    "HISTOGRAM_CAPTION",
    "RELIABILITY_CAPTION",
    "TIPPETT_CAPTION",
    "TRAINING_CAPTION",
    "bayes_error_figure",
    "cmc_figure",
    "confusion_figure",
    "det_caption",
    "det_figure",
    "histogram_figure",
    "reliability_figure",
    "save_figure",
    "standalone_svg",
    "svg_text",
    "tippett_figure",
    "training_figure",
]

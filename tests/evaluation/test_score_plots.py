"""DET, histogram and training plots are checked through the data they draw and the text they show."""

import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from scipy.stats import norm

from speechgmm.evaluation.metrics import PRESETS
from speechgmm.evaluation.plots import det_figure, histogram_figure, save_figure, svg_text, training_figure

AWKWARD = "a<b>&\"'$x$"
QUANTILES = np.linspace(0.001, 0.999, 500)


def lines_of(figure):
    """The points of each line of the first axes, by whether it is a curve or a single mark."""
    data = [np.column_stack(line.get_data()) for line in figure.axes[0].lines]
    return [points for points in data if len(points) > 2], [points[0] for points in data if len(points) == 1]


def texts_of(svg):
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")
    ]


# ---- DET ----


def test_det_of_gaussian_scores_is_a_straight_line():
    # P_miss = Phi(x - 1), P_fa = Phi(-x - 1): their normal deviates add up to -2
    figure = det_figure({"gaussian": (norm.ppf(QUANTILES) + 1, norm.ppf(QUANTILES) - 1)})
    (curve,), (equal_error,) = lines_of(figure)
    inner = curve[np.abs(curve + 1).max(axis=1) < 1]
    assert len(inner) > 100
    np.testing.assert_allclose(inner.sum(axis=1), -2, atol=0.03)
    np.testing.assert_allclose(equal_error, [-1, -1], atol=0.02)


def test_det_draws_no_error_as_half_an_error():
    (curve,), (equal_error,) = lines_of(det_figure({"separated": (np.full(100, 1.0), np.full(1000, 0.0))}))
    np.testing.assert_allclose(curve.min(axis=0), norm.ppf([0.5 / 1000, 0.5 / 100]), rtol=1e-12)
    np.testing.assert_allclose(curve.max(axis=0), norm.ppf([1 - 0.5 / 1000, 1 - 0.5 / 100]), rtol=1e-12)
    np.testing.assert_allclose(equal_error, norm.ppf([0.5 / 1000, 0.5 / 100]), rtol=1e-12)


def test_det_passes_through_its_eer_mark_when_scores_are_tied():
    # from (P_fa, P_miss) = (0.8, 0) to (0, 0.4): the EER is 0.8/3
    target, nontarget = [1, 1, 2, 2, 2], [0, 1, 1, 1, 1]
    (curve,), (equal_error,) = lines_of(det_figure({"tied": (target, nontarget)}))
    np.testing.assert_allclose(equal_error, norm.ppf([0.8 / 3, 0.8 / 3]), rtol=1e-12)
    assert np.abs(curve - equal_error).sum(axis=1).min() < 0.1
    # and the straight line between its ends would miss it by more
    assert abs(equal_error.sum() - norm.ppf([0.1, 0.4]).sum()) > 0.1


def test_det_marks_the_minimum_of_each_cost():
    # at the threshold 2 one of 10 targets is missed and one of 100 nontargets is accepted; 10 * 0.01 * 0.1 + 0.99 *
    # 0.01 is less than accepting 100 nontargets more, or missing nine targets more
    target, nontarget = [1.0] + 9 * [2.0], 99 * [1.0] + [2.0]
    _, marks = lines_of(det_figure({"list": (target, nontarget)}, ["sre08"]))
    np.testing.assert_allclose(marks[1], norm.ppf([0.01, 0.1]), rtol=1e-12)


def test_det_keeps_marks_on_the_edge_of_the_frame():
    _, marks = lines_of(det_figure({"of no use": ([0.0, 1.0], [0.0, 1.0])}, ["sre10", "sre16"]))
    assert len(marks) == 1 + 1 + 2
    for mark in marks:
        assert norm.ppf(0.01) <= mark.min() <= mark.max() <= norm.ppf(0.99)


def test_det_stays_small_with_many_trials():
    rng = np.random.default_rng(0)
    (curve,), _ = lines_of(det_figure({"many": (rng.normal(2, 1, 100_000), rng.normal(0, 1, 100_000))}))
    assert len(curve) < 5000


def test_names_appear_as_they_are():
    lists = {AWKWARD: ([1.0], [0.0]), "_hidden": ([1.0, 2.0], [0.0]), "声": ([1.0], [1.0])}
    texts = texts_of(svg_text(det_figure(lists, ["sre08"])))
    assert {f"EER 0.00 %, {AWKWARD}", "EER 0.00 %, _hidden", "EER 50.00 %, 声", "minimum of DCF sre08"} <= set(texts)


def test_long_names_are_shortened_in_the_middle():
    name = "beginning" + 100 * "-" + "end"
    (label,) = [text for text in texts_of(svg_text(det_figure({name: ([1.0], [0.0])}))) if "EER" in text]
    assert label.startswith("EER 0.00 %, beginning---")
    assert "…" in label
    assert label.endswith("---end")
    assert len(label) < 55


def test_det_of_bad_input():
    with pytest.raises(ValueError, match="no trial lists, expected at least one"):
        det_figure({})
    with pytest.raises(ValueError, match="costs 'sre80': expected one of sre08"):
        det_figure({"list": ([1.0], [0.0])}, ["sre80"])
    with pytest.raises(ValueError, match="nontarget scores: none"):
        det_figure({"list": ([1.0], [])})


# ---- histogram and training ----


@pytest.mark.parametrize(
    ("target", "nontarget"),
    [
        (norm.ppf(QUANTILES), norm.ppf(QUANTILES) - 3),
        ([5.0], [5.0]),
        ([1.0, 1.0 + 2**-52], [1.0]),
        ([1e17], [1e17, 1e17 + 16]),
    ],
)
def test_histogram_adds_up_to_100_percent_a_side(target, nontarget):
    steps = histogram_figure(target, nontarget).axes[0].patches
    assert [sum(step.get_data().values) for step in steps] == pytest.approx([100.0] * 4)


def test_histogram_counts_infinite_scores():
    figure = histogram_figure([1.0, 2.0, np.inf, np.inf], [0.0, -np.inf])
    assert [sum(step.get_data().values) for step in figure.axes[0].patches] == pytest.approx([50.0] * 4)
    assert "score (2 target and 1 nontarget infinite, not shown)" in texts_of(svg_text(figure))


def test_histogram_without_any_finite_score():
    texts = texts_of(svg_text(histogram_figure([np.inf], [-np.inf])))
    assert "score (1 target and 1 nontarget infinite, not shown)" in texts
    assert not [text for text in texts if "threshold" in text]


def test_histogram_shows_the_threshold():
    figure = histogram_figure([2.0, 3.0], [0.0, 1.0])
    assert figure.axes[0].lines[0].get_xdata()[0] == 2.0
    assert "EER threshold 2" in texts_of(svg_text(figure))


def test_training_counts_iterations_from_1():
    (curve,), _ = lines_of(training_figure([-3.0, -2.0, -1.5]))
    assert curve.tolist() == [[1, -3], [2, -2], [3, -1.5]]
    assert "1" in texts_of(svg_text(training_figure([-3.0])))


def test_training_of_bad_input():
    with pytest.raises(ValueError, match=r"log-likelihood: shape \(0,\)"):
        training_figure([])
    with pytest.raises(ValueError, match="log-likelihood nan in iteration 2"):
        training_figure([-3.0, np.nan])


# ---- SVG ----


def some_figures():
    rng = np.random.default_rng(2)
    target, nontarget = rng.normal(1, 1, 200), rng.normal(-1, 1, 400)
    yield det_figure({"one": (target, nontarget), "two": (target + 1, nontarget)}, list(PRESETS))
    yield histogram_figure(target, nontarget)
    yield training_figure(-np.exp(-np.arange(9.0)))


def test_the_same_values_give_the_same_svg_whatever_matplotlib_is_set_to():
    first = [svg_text(figure) for figure in some_figures()]
    with matplotlib.rc_context({"lines.linewidth": 7.0, "svg.fonttype": "path", "font.size": 20.0}):
        assert [svg_text(figure) for figure in some_figures()] == first
        assert matplotlib.rcParams["lines.linewidth"] == 7.0


def test_svg_for_a_page_takes_the_colour_of_the_text_and_a_file_does_not(tmp_path):
    for figure in some_figures():
        inside = svg_text(figure)
        (file,) = save_figure(figure, tmp_path / "plots", "figure", ["svg"])
        alone = file.read_text(encoding="utf-8")
        assert inside.startswith("<svg")
        assert alone.startswith("<svg")
        assert "currentColor" in inside
        assert "#ffffff" not in inside
        assert "currentColor" not in alone
        assert "fill: #ffffff" in alone
        assert texts_of(inside) == texts_of(alone)
        assert "date" not in alone.lower()

"""Plots are checked through the data they draw and the text they show; the report through its HTML."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from scipy.stats import norm

from speechgmm.evaluation.metrics import PRESETS
from speechgmm.evaluation.plots import DET_CAPTION, det_figure, histogram_figure, save_svg, svg_text, training_figure
from speechgmm.evaluation.report import (
    DataRole,
    DecidedResult,
    IdentificationResult,
    Plot,
    ReportContent,
    SkippedItem,
    StageResult,
    TrialListResult,
    WorstTrial,
    render_report,
    write_report,
)

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


def test_histogram_tells_of_infinite_scores():
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
        save_svg(figure, tmp_path / "plots" / "figure.svg")
        alone = (tmp_path / "plots" / "figure.svg").read_text(encoding="utf-8")
        assert inside.startswith("<svg")
        assert alone.startswith("<svg")
        assert "currentColor" in inside
        assert "#ffffff" not in inside
        assert "currentColor" not in alone
        assert "fill: #ffffff" in alone
        assert texts_of(inside) == texts_of(alone)
        assert "date" not in alone.lower()


# ---- report ----


def trial_list(name="test", **changes):
    result = TrialListResult(
        name=name,
        n_target=400,
        n_nontarget=7600,
        n_unscored=12,
        eer=0.0345678,
        min_dcf=dict.fromkeys(PRESETS, 0.25),
        act_dcf=dict.fromkeys(PRESETS, 0.375),
        cllr=0.5004,
        min_cllr=0.125,
        lowest_targets=(WorstTrial("model-1", "test-1", -2.5, "data/one.wav"),),
        highest_nontargets=(WorstTrial("model-2", "test-2", 7.25, "data/two.wav"),),
    )
    return replace(result, **changes)


@cache
def some_plots():
    return tuple(Plot(f"plot {i}", DET_CAPTION, svg_text(figure)) for i, figure in enumerate(some_figures()))


def content(**changes):
    result = ReportContent(
        title="quickstart",
        summary="Twenty embedded voices.",
        costs=PRESETS,
        trial_lists=(trial_list(),),
        identification=IdentificationResult(n_tests=1234, n_models=20, rate=0.875),
        plots=some_plots(),
        data=(DataRole("enrolment", 20, 2100, 61.25, "no activity detection", 3),),
        skipped=(SkippedItem("utterance", "u-1", "test", "data/u-1.wav", "no speech"),),
        recipe="name: quickstart\nseed: 0\n",
        provenance={"python": "3.11"},
        stages=(
            StageResult("ubm", "0123456789abcdef", "2026-11-23T10:00:00+00:00", 1.26, 2.5e8),
            StageResult("scores", "f" * 64, "2026-11-23T11:00:00+00:00", 0.5, None),
        ),
    )
    return replace(result, **changes)


class Page(HTMLParser):
    """Checks that elements are closed in order; collects their attributes and the visible text."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, _tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def test_report_is_well_formed_and_loads_nothing():
    page = Page(render_report(content()))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 0
    links = [value for name, value in page.attributes if name in {"href", "src", "xlink:href", "action"}]
    assert links
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert "<script" not in render_report(content())


def test_report_shows_its_numbers():
    text = Page(render_report(content())).text
    for shown in (
        "Equal error rate on test 3.46 %",
        "400 target",
        "7,600 nontarget",
        "12 unscored",
        "0.500 bit",
        "0.125 bit",
        "1,234 tests",
        "20 models",
        "87.50 %",
        "−2.500 model-1 against test-1 data/one.wav",
        "7.250 model-2 against test-2 data/two.wav",
        "enrolment 20 2,100 61.2 – no activity detection 3",
        "utterance: 1.",
        "utterance u-1 , test data/u-1.wav no speech",
        "name: quickstart seed: 0",
        "python 3.11",
        "ubm 2026-11-23T10:00:00+00:00 1.3 250 0123456789ab",
        "scores 2026-11-23T11:00:00+00:00 0.5 – ffffffffffff",
    ):
        assert shown in text


def test_report_defines_each_number_beside_it():
    text = Page(render_report(content())).text.replace("\u00a0", " ")
    norm_of = "divided by min(c_miss p_target, c_fa (1 − p_target))"
    for definition in (
        "EER The share of errors at the threshold where misses",
        "min DCF sre08 The expected cost of decisions at the threshold that is best for these trials.",
        f"c_miss = 10, c_fa = 1, p_target = 0.01; {norm_of} = 0.1",
        f"c_miss = 1, c_fa = 1, p_target = 0.001; {norm_of} = 0.001",
        f"c_miss = 1, c_fa = 1, p_target = 0.005; {norm_of} = 0.005 The mean of these 2 costs",
        "act DCF sre08 The expected cost, as of min DCF, of the decisions that the scores themselves ask for",
        "Accepted from log(c_fa (1 − p_target) / (c_miss p_target)) on: 2.29 nats. 0.375",
        "on: 4.60 and 5.29 nats.",
        "Cllr What it costs, in bits,",
        "min Cllr The Cllr that would be left after the best monotone recalibration",
        "Identification rate The share of tests for which the right speaker's model scores strictly higher",
    ):
        assert definition in text


def test_report_of_calibrated_scores_shows_what_decisions_by_them_get_wrong():
    decided = DecidedResult(cllr_uncalibrated=0.75, p_miss=0.125, p_fa="no nontarget")
    lists = trial_list("dev", decided=decided, trains_calibration=True), trial_list("eval", decided=decided)
    text = Page(render_report(content(trial_lists=lists, decision="Threshold +4.60 nats: because."))).text
    assert "Cllr, raw The Cllr of the scores before calibration. 0.750 bit" in text
    assert "Misses The share of target trials below the threshold, which are rejected. Threshold +4.60 nats" in text
    assert "because. 12.50 %" in text
    assert "because. – no nontarget" in text
    assert "dev Calibration was trained on this list: its numbers look better than they are. eval" in text
    plain = Page(render_report(content())).text
    assert "Cllr, raw" not in plain
    assert "Misses" not in plain


def test_report_shows_a_dash_and_the_reason_for_a_number_that_does_not_exist():
    why = "no scored nontarget trials"
    none = dict.fromkeys(PRESETS, float("nan"))
    nothing = trial_list("empty", eer=why, cllr=why, min_cllr=why, min_dcf=none, act_dcf=none)
    text = Page(render_report(content(trial_lists=(nothing,)))).text
    assert f"Equal error rate on empty – {why}" in text
    assert text.count(f"– {why}") == 4
    assert text.count("– the computation gave no number") == 2 * len(PRESETS)
    assert "nan" not in text.replace("nontarget", "").split()


def test_report_shows_infinite_costs():
    assert "∞ bit" in Page(render_report(content(trial_lists=(trial_list(cllr=float("inf")),)))).text


def test_report_without_trials_leads_with_identification():
    text = Page(render_report(content(trial_lists=()))).text
    assert "Identification rate of 1,234 tests 87.50 %" in text
    assert "Equal error rate" not in text


def test_report_of_nothing_has_no_empty_sections():
    page = render_report(ReportContent(title="nothing", summary="Nothing was run."))
    assert "Everything that was given was used." in Page(page).text
    assert page.count("<section>") == 1


def test_report_counts_what_it_does_not_list():
    items = tuple(SkippedItem("trial", f"t-{i}", "", "", "no model") for i in range(1051))
    text = Page(render_report(content(skipped=items))).text
    assert "trial: 1,051." in text
    assert "The first 50 of 1,051 are shown; all of them are in skipped.csv" in text
    assert "t-49" in text
    assert "t-50" not in text


def test_report_escapes_everything_that_it_was_told():
    result = trial_list(AWKWARD, lowest_targets=(WorstTrial(AWKWARD, AWKWARD, 0.0, AWKWARD),))
    page = render_report(
        content(
            title=AWKWARD,
            summary=AWKWARD,
            trial_lists=(replace(result, eer=AWKWARD),),
            plots=(Plot(AWKWARD, AWKWARD, svg_text(det_figure({AWKWARD: ([1.0], [0.0])}))),),
            data=(DataRole(AWKWARD, 1, 1, AWKWARD, AWKWARD, 1),),
            skipped=(SkippedItem(AWKWARD, AWKWARD, AWKWARD, AWKWARD, AWKWARD),),
            recipe=AWKWARD,
            provenance={AWKWARD: AWKWARD},
            stages=(StageResult(AWKWARD, AWKWARD, AWKWARD, 0.0, None),),
        )
    )
    assert "a<b>" not in page
    shown = Page(page)
    assert shown.text.count(AWKWARD) > 20
    assert AWKWARD in [value for name, value in shown.attributes if name == "data-list"]


def test_names_inside_plots_are_left_alone_when_identifiers_change():
    name = 'id="x" url(#y)'
    page = render_report(content(plots=(Plot("plot", "", svg_text(det_figure({name: ([1.0], [0.0])}))),)))
    assert f"EER 0.00 %, {name}" in Page(page).text


def test_report_is_the_same_twice(tmp_path):
    write_report(tmp_path / "new" / "one.html", content())
    write_report(tmp_path / "two.html", content())
    assert (tmp_path / "new" / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert (tmp_path / "two.html").read_text(encoding="utf-8") == render_report(content())


def test_report_shows_paths_that_are_not_utf8(tmp_path):
    items = (SkippedItem("utterance", "u", "test", b"caf\xe9.wav".decode(errors="surrogateescape"), "not a file"),)
    write_report(tmp_path / "report.html", content(skipped=items))
    assert r"caf\udce9.wav" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_report_refuses_a_list_without_a_cost_that_was_asked_for():
    with pytest.raises(ValueError, match="trial list 'test': no minimum DCF for sre10, voxceleb"):
        render_report(content(trial_lists=(trial_list(min_dcf={"sre08": 0.1, "sre16": 0.2}),)))

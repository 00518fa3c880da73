"""Pages are checked through their HTML: what they say, that it is escaped, and that they load nothing."""

import re

import pytest

from helpers.pages import Page, comparison, content, identified, numbers
from speechgmm.evaluation.metrics import PRESETS
from speechgmm.evaluation.plots import det_figure, svg_text
from speechgmm.evaluation.report.content import (
    Breakdown,
    ComparedList,
    DataRole,
    Plot,
    ReportContent,
    Setting,
    SkippedItem,
    StageResult,
    Training,
    TrainingRow,
    WorstTrial,
    WorstTrials,
)
from speechgmm.evaluation.report.page import render_comparison, render_report, write_page

AWKWARD = "a<b>&\"'$x$"


@pytest.mark.parametrize("text", [render_report(content()), render_comparison(comparison())], ids=["one", "several"])
def test_a_page_is_well_formed_and_loads_nothing(text):
    page = Page(text)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 0
    links = [value for name, value in page.attributes if name in {"href", "src", "xlink:href", "action", "srcset"}]
    assert links
    inside = [link for link in links if not link.startswith("data:image/png;base64,")]
    assert all(link.startswith("#") and link[1:] in ids for link in inside)
    assert all(target.startswith("#") and target[1:] in ids for target in re.findall(r"url\(([^)]*)\)", text))
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in text
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"' <]*", text)) <= namespaces


def test_report_shows_its_metrics():
    page = Page(render_report(content()))
    for shown in (
        "Equal error rate on test 3.46 % 2.12 – 4.67",
        "Below each value: its 95 % confidence interval, from resampled speakers.",
        "min DCF sre08 on test 0.250 0.100 – 0.400",
        "Cllr on test 0.500 bit Identified of 1,234 tests 87.50 % 81.25 – 90.62",
        "background and enrolment share s1",
        "400 target",
        "7,600 nontarget",
        "12 unscored",
        "0.500 bit",
        "0.125 bit",
        "1,234 tests",
        "20 models",
        "Among the best 2 The share of tests whose right model is among this many best-scoring models; ties",
        "87.50 %",
        "93.75 %",
        "More metrics: EER of the ROC convex hull, Area under the ROC, Miss rate at 1 % false alarms, Miss rate at",
        "0.9877",
        "8.75 %",
        "labels 1 and 0",
        "test: 1 target and 1 nontarget trials",
        "−2.500 model-1 against test-1 spoken by model-1, 3.2 s data/one.wav",
        "7.250 model-2 against test-2 spoken by model-3, 1.0 min data/two.wav",
        "test by sex Fewer than 30 target or nontarget trials, too few to say much: f.",
        "f 7 7,600 3.46 %",
        "(empty) 400 7,600",
        "enrol 20 (12 f, 8 m) 2,100 1.0 h 59.0 s 3",
        "utterance: 1.",
        "utterance u-1 , test data/u-1.wav no speech",
        "1 64 −2.5000 2 64 −2.2500 0.2500 1 removed",
        "ubm.n_components 64 256",
        "corpus.kind folder none, required",
        "name: quickstart seed: 0",
        "python 3.11",
        "ubm 2026-11-23T10:00:00+00:00 1.3 250 0123456789ab",
        "scores 2026-11-23T11:00:00+00:00 0.5 – ffffffffffff",
    ):
        assert shown in page.text
    assert page.marked == ["seed: 0"]


def test_report_defines_each_metric_beside_it():
    text = Page(render_report(content())).text.replace("\u00a0", " ")
    norm_of = "divided by min(c_miss p_target, c_fa (1 − p_target))"
    for definition in (
        "EER Equal error rate: the error rate at the threshold where the miss rate",
        "min DCF sre08 Minimum normalised detection cost: the cost at the best threshold for these trials.",
        f"c_miss = 10, c_fa = 1, p_target = 0.01; {norm_of} = 0.1",
        f"c_miss = 1, c_fa = 1, p_target = 0.001; {norm_of} = 0.001",
        f"c_miss = 1, c_fa = 1, p_target = 0.005; {norm_of} = 0.005 The mean of these 2 costs",
        "act DCF sre08 Actual normalised detection cost: the cost when deciding at the Bayes threshold.",
        "Bayes threshold log(c_fa (1 − p_target) / (c_miss p_target)): 2.29 nats. 0.375",
        ": 4.60 and 5.29 nats.",
        "Cllr Cost of the log-likelihood ratios,",
        "min Cllr Cllr after the best monotone recalibration on these trials",
        "EER of the ROC convex hull The equal error rate on the convex hull",
        "Area under the ROC The probability that a target trial scores above a nontarget trial",
        "Miss rate at 1 % false alarms The lowest miss rate at a threshold with at most this false-alarm rate",
        "Identification rate The share of tests for which the right speaker's model scores strictly higher",
    ):
        assert definition in text


def test_report_of_calibrated_scores_shows_what_decisions_by_them_get_wrong():
    decided = {"cllr_uncalibrated": 0.75, "p_miss": 0.125, "p_fa": None, "n_nontarget": 0}
    lists = {
        "dev": numbers(**decided, trains_calibration=True),
        "eval": numbers(**decided, trains_calibration=False),
    }
    text = Page(render_report(content(trial_lists=lists, decision="Threshold +4.60 nats: because."))).text
    assert "Cllr before calibration Cllr of the scores before calibration. 0.750 bit" in text
    assert (
        "Miss rate The share of target trials below the decision threshold, which are rejected. Threshold +4.60 nats"
        in text
    )
    assert "because. 12.50 %" in text
    assert "because. – needs scored trials of both kinds" in text
    assert text.count("Calibration was trained on trials of this list, so its metrics are optimistic.") == 1
    plain = Page(render_report(content())).text
    assert "Cllr before calibration" not in plain
    assert "Miss rate The share" not in plain


def test_report_of_an_open_set_shows_what_is_detected():
    open_set = {"n_known": 90, "n_unknown": 30, "dir_at_fa": {"0.01": 0.5, "0.1": 0.625}}
    intervals = {"rate": None, "dir_at_fa": {"0.01": [0.25, 0.5625], "0.1": None}}
    text = Page(render_report(content(identification=identified(open_set=open_set, intervals=intervals)))).text
    assert (
        "Open set, 1 % false alarms Detection and identification rate: the share of the tests of enrolled speakers"
        in text
    )
    assert "reaches. 50.00 % 25.00 – 56.25 Open set, 10 % false alarms" in text
    assert "reaches. 62.50 %" in text
    untested = identified(n_tests=0, rate=None, cmc=None, intervals=None)
    assert (
        "Identified of 0 tests – no test of an enrolled" in Page(render_report(content(identification=untested))).text
    )
    assert "Open set" not in Page(render_report(content())).text


def test_report_explains_intervals_only_where_there_are_some():
    note = "Below each value: its 95 % confidence interval"
    none = numbers(intervals={"eer": None, "min_dcf": {"sre08": None}})
    for intervals, is_shown in (({"rate": [0.8, 0.9]}, True), ({"rate": None}, False), (None, False)):
        page = render_report(content(trial_lists={"test": none}, identification=identified(intervals=intervals)))
        assert (note in " ".join(Page(page).text.split())) == is_shown


def test_report_shows_a_dash_and_the_reason_for_a_number_that_does_not_exist():
    none = dict.fromkeys(PRESETS)
    nothing = numbers(n_nontarget=0, eer=None, cllr=None, min_cllr=None, min_dcf=none, act_dcf=none, intervals=None)
    text = Page(render_report(content(trial_lists={"empty": nothing}))).text
    assert "Equal error rate on empty – needs scored trials of both kinds" in text
    # three at the top; EER, Cllr, min Cllr, and two costs of each preset in the table
    assert text.count("– needs scored trials of both kinds") == 3 + 3 + 2 * len(PRESETS)
    nan = Page(render_report(content(trial_lists={"nan": numbers(eer=float("nan"))}))).text
    assert "Equal error rate on nan – the computation gave no number" in nan


def test_report_says_why_a_cost_is_infinite():
    text = Page(render_report(content(trial_lists={"test": numbers(cllr=None)}))).text
    assert "Cllr on test – infinite: some trials are certain and wrong" in text


def test_report_without_trials_leads_with_identification():
    text = Page(render_report(content(trial_lists={}))).text
    assert "Identified of 1,234 tests 87.50 %" in text
    assert "Equal error rate" not in text


def test_report_of_nothing_has_no_empty_sections():
    page = render_report(ReportContent(title="nothing", summary="Nothing was run."))
    assert "<section" not in page
    assert Page(page).text == "nothing nothing Nothing was run."


def test_report_counts_what_it_does_not_list():
    items = tuple(SkippedItem("trial", f"t-{i}", "", "", "no model") for i in range(1051))
    text = Page(render_report(content(skipped=items))).text
    assert "trial: 1,051." in text
    assert "The first 50 of 1,051 are shown; all of them are in skipped.csv" in text
    assert "t-49" in text
    assert "t-50" not in text


def test_pages_escape_all_their_content():
    trial = WorstTrial(AWKWARD, AWKWARD, 0.0, AWKWARD, AWKWARD, 1.0)
    plot = Plot(AWKWARD, AWKWARD, svg_text(det_figure({AWKWARD: ([1.0], [0.0])})))
    page = render_report(
        content(
            title=AWKWARD,
            summary=AWKWARD,
            warnings=(AWKWARD,),
            notes=(AWKWARD,),
            trial_lists={AWKWARD: numbers()},
            decision=AWKWARD,
            plots=(plot,),
            worst=(WorstTrials(AWKWARD, (trial,), (trial,)),),
            breakdowns=(Breakdown(AWKWARD, AWKWARD, {AWKWARD: numbers()}, (AWKWARD,)),),
            data=(DataRole(AWKWARD, 1, AWKWARD, 1, 1.0, 1.0, 1),),
            skipped=(SkippedItem(AWKWARD, AWKWARD, AWKWARD, AWKWARD, AWKWARD),),
            training=(Training(AWKWARD, (TrainingRow(AWKWARD, 1, 1.0, None, AWKWARD),)),),
            settings=(Setting(AWKWARD, AWKWARD, AWKWARD),),
            recipe=AWKWARD,
            provenance={AWKWARD: AWKWARD},
            stages=(StageResult(AWKWARD, AWKWARD, AWKWARD, 0.0, None),),
        )
    )
    several = render_comparison(
        comparison(
            names=(AWKWARD, "other"),
            summaries=(AWKWARD, AWKWARD),
            keys={AWKWARD: (AWKWARD, AWKWARD)},
            lists=(ComparedList(AWKWARD, {AWKWARD: numbers()}, {}, plot),),
        )
    )
    for text, at_least in ((page, 40), (several, 10)):
        assert "a<b>" not in text
        shown = Page(text)
        assert shown.text.count(AWKWARD) > at_least
        assert AWKWARD in [value for name, value in shown.attributes if name == "data-column"]


def test_names_inside_plots_are_left_alone_when_identifiers_change():
    name = 'id="x" url(#y)'
    page = render_report(content(plots=(Plot("plot", "", svg_text(det_figure({name: ([1.0], [0.0])}))),)))
    assert f"EER 0.00 %, {name}" in Page(page).text


def test_comparison_shows_numbers_and_how_sure_their_differences_are():
    text = Page(render_comparison(comparison())).text
    for shown in (
        "small : Of 16 Gaussians.",
        "large : Of 64 Gaussians.",
        "Below each value: its 90 % confidence interval, from resampled speakers",
        "3.46 % 2.12 – 4.67 2.00 % 2.12 – 4.67 −1.46 (−2.10 to −0.20)",
        "+0.000 (−0.250 to +0.125)",
        "Identification rate",
        "75.00 % 81.25 – 90.62",
        "ubm.n_components 16 64",
        "ubm.kernel numpy –",
    ):
        assert shown in text
    sure = re.findall(r'<span class="interval sure">([^<(]*)', render_comparison(comparison()))
    assert [each.strip() for each in sure] == ["−1.46"]
    alike = Page(render_comparison(comparison(keys={}, lists=(), identification={}))).text
    assert "The recipes differ in their names only." in alike


def test_comparison_says_why_one_has_no_number_that_another_has():
    open_set = {"n_known": 90, "n_unknown": 30, "dir_at_fa": {"0.01": 0.5}}
    found = {"open": identified(open_set=open_set), "closed": identified(), "none": identified(rate=None, cmc=None)}
    text = Page(render_comparison(comparison(identification=found))).text
    not_here = "not computed for so few models, or without tests of unknown speakers"
    reasons = f"reaches. 50.00 % – {not_here} – no test of an enrolled"
    assert reasons in text


def test_a_page_is_the_same_twice(tmp_path):
    write_page(tmp_path / "new" / "one.html", render_report(content()))
    write_page(tmp_path / "two.html", render_report(content()))
    assert (tmp_path / "new" / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert (tmp_path / "two.html").read_text(encoding="utf-8") == render_report(content())


def test_a_page_shows_paths_that_are_not_utf8(tmp_path):
    items = (SkippedItem("utterance", "u", "test", b"caf\xe9.wav".decode(errors="surrogateescape"), "not a file"),)
    write_page(tmp_path / "report.html", render_report(content(skipped=items)))
    assert r"caf\udce9.wav" in (tmp_path / "report.html").read_text(encoding="utf-8")

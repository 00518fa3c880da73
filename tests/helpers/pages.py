"""What pages are rendered from, and a reader of them."""

from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np

from speechgmm.evaluation.metrics import PRESETS
from speechgmm.evaluation.plots import confusion_figure, det_caption, det_figure, histogram_figure, svg_text
from speechgmm.evaluation.report.content import (
    Breakdown,
    ComparedList,
    ComparisonContent,
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

WORST = WorstTrials(
    "test",
    (WorstTrial("model-1", "test-1", -2.5, "model-1", "data/one.wav", 3.25),),
    (WorstTrial("model-2", "test-2", 7.25, "model-3", "data/two.wav", 61.0),),
)


def numbers(**changes):
    """The numbers of a trial list, as metrics.json has them."""
    found = {
        "n_target": 400,
        "n_nontarget": 7600,
        "n_unscored": 12,
        "eer": 0.0345678,
        "eer_hull": 0.03125,
        "auc": 0.98765,
        "p_miss_at_fa": {"0.01": 0.0875, "0.001": 0.25},
        "min_dcf": dict.fromkeys(PRESETS, 0.25),
        "act_dcf": dict.fromkeys(PRESETS, 0.375),
        "cllr": 0.5004,
        "min_cllr": 0.125,
        "intervals": {"eer": [0.0212, 0.0467], "min_dcf": {"sre08": [0.1, 0.4]}, "cllr": None},
    }
    return found | changes


def identified(**changes):
    """The numbers of identification, likewise."""
    found = {"n_tests": 1234, "n_models": 20, "rate": 0.875, "cmc": [0.875, 0.9375, 1.0], "open_set": None}
    return found | {"intervals": {"rate": [0.8125, 0.90625], "dir_at_fa": {}}} | changes


@cache
def some_plots():
    rng = np.random.default_rng(2)
    target, nontarget = rng.normal(1, 1, 200), rng.normal(-1, 1, 400)
    figures = (
        det_figure({"one": (target, nontarget), "two": (target + 1, nontarget)}, list(PRESETS)),
        histogram_figure(target, nontarget),
        confusion_figure([[3, 1], [0, 4]], ["a", "b"]),
    )
    return tuple(
        Plot(f"plot {number}", det_caption(list(PRESETS)), svg_text(each)) for number, each in enumerate(figures)
    )


def content(**changes):
    result = ReportContent(
        title="quickstart",
        summary="Twenty embedded voices.",
        warnings=("background and enrolment share s1",),
        notes=("labels 1 and 0",),
        trial_lists={"test": numbers()},
        confidence=0.95,
        identification=identified(),
        plots=some_plots(),
        worst=(WORST,),
        breakdowns=(Breakdown("test", "sex", {"f": numbers(n_target=7), "": numbers()}, ("f",)),),
        data=(DataRole("enrol", 20, "12 f, 8 m", 2100, 3675.0, 59.0, 3),),
        skipped=(SkippedItem("utterance", "u-1", "test", "data/u-1.wav", "no speech"),),
        training=(
            Training("", (TrainingRow("1", 64, -2.5, None, ""), TrainingRow("2", 64, -2.25, 0.25, "1 removed"))),
        ),
        settings=(Setting("ubm.n_components", "64", "256"), Setting("corpus.kind", "folder", None)),
        recipe="name: quickstart\nseed: 0\n",
        marked=frozenset({2}),
        provenance={"python": "3.11"},
        stages=(
            StageResult("ubm", "0123456789abcdef", "2026-11-23T10:00:00+00:00", 1.26, 2.5e8),
            StageResult("scores", "f" * 64, "2026-11-23T11:00:00+00:00", 0.5, None),
        ),
    )
    return replace(result, **changes)


def comparison(**changes):
    result = ComparisonContent(
        names=("small", "large"),
        summaries=("Of 16 Gaussians.", "Of 64 Gaussians."),
        keys={"ubm.n_components": ("16", "64"), "ubm.kernel": ("numpy", "")},
        lists=(
            ComparedList(
                "test",
                {"small": numbers(), "large": numbers(eer=0.02)},
                {"eer": [None, (-0.0145678, -0.021, -0.002)], "cllr": [None, (0.0, -0.25, 0.125)]},
                some_plots()[0],
            ),
        ),
        identification={"small": identified(rate=0.5), "large": identified(rate=0.75)},
        confidence=0.9,
    )
    return replace(result, **changes)


class Page(HTMLParser):
    """Checks that elements are closed in order; collects their attributes and the visible text."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words, self.marked = [], set(), [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if "mark" in self.open:
            self.marked.append(data)

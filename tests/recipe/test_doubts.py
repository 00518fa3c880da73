"""What a run warns of: calibrations that do harm, and numbers of scores that are no log-likelihood ratios."""

import json

import pytest

from helpers.commands import speechgmm
from helpers.pages import Page
from helpers.recipes import synthetic_corpus
from speechgmm import open_results, run
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.figures import draw_figures
from speechgmm.recipe.running.doubts import doubtful_numbers
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.evaluation import scores_are_llrs

CORPUS = {"kind": "synthetic"}
MANY = {"n_target": 100, "n_nontarget": 100, "act_dcf": {"sre08": 0.5, "sre10": None}, "cllr_uncalibrated": 0.4}


def doubts(**numbers):
    return doubtful_numbers({"trials": {"short": {**MANY, **numbers}}})


# ---- calibrations that do harm ----


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"cllr": 0.404}, None),
        ({"cllr": 0.406}, "short: Cllr is 0.406 after calibration and 0.400 before it: calibration makes these scores"),
        ({"cllr": 1.0004, "cllr_uncalibrated": 1.2}, None),
        ({"cllr": 1.234}, "short: Cllr is 1.234 after calibration, above 1: the log-likelihood ratios mislead"),
        ({"cllr": None}, None),
        ({"cllr": 0.9, "cllr_uncalibrated": None}, None),
        ({"cllr": 0.3, "act_dcf": {"sre08": 1.0004}}, None),
        (
            {"cllr": 0.3, "act_dcf": {"sre08": 1.5, "sre10": 2.25, "voxceleb": 1.0}},
            "short: the actual cost is 1.500 (sre08) and 2.250 (sre10), above 1: such decisions are worse than without",
        ),
    ],
)  # fmt: skip
def test_a_calibration_that_does_harm_is_a_doubt(numbers, said):
    found = doubts(**numbers)
    assert len(found) == (said is not None)
    if said:
        assert found[0].startswith(said)
        assert "calibration.on" in found[0]


def test_without_a_calibration_it_can_do_no_harm():
    numbers = {key: value for key, value in MANY.items() if key != "cllr_uncalibrated"}
    assert doubtful_numbers({"trials": {"all": {**numbers, "cllr": 3.0, "act_dcf": {"sre08": 9.0}}}}) == ()


def test_few_trials_are_one_doubt_for_all_lists():
    few = {**MANY, "cllr": 0.3, "n_target": 29}
    found = doubtful_numbers({"trials": {"a": few, "b": {**MANY, "cllr": 0.3}, "c": few}})
    assert [text.endswith("too few to say much, in the list a, c") for text in found] == [True]


@pytest.mark.parametrize(("n_background", "warned"), [(19, True), (20, False)])
def test_a_calibration_on_few_speakers_is_a_doubt(tmp_path, n_background, warned):
    text = f"{synthetic_corpus(n_background=n_background, n_background_utterances=3)}\nubm: {{n_components: 4}}\n"
    (tmp_path / "few.yaml").write_text(text)
    done = run(tmp_path / "few.yaml", results=tmp_path, engine=Engine("serial"), until_stage="evaluation")
    assert done.metrics["calibration"]
    found = [text for text in done.warnings if text.startswith(f"calibrated on {n_background} background speakers")]
    assert bool(found) == warned
    stored = json.loads((done.folder / "provenance.json").read_text())["warnings"]
    assert stored == list(done.warnings)


# ---- scores that are no log-likelihood ratios ----


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, True),
        ({"speakers": {"method": "isv", "rank": 2}}, True),
        ({"speakers": {"method": "independent"}}, True),
        ({"scoring": {"method": "linear"}}, False),
        ({"normalisation": {"method": "s"}}, False),
        ({"vectors": {"kind": "ivector", "rank": 4}, "backend": ["center", "plda"]}, True),
        ({"vectors": {"kind": "ivector", "rank": 4}, "backend": ["cosine"]}, False),
        ({"vectors": {"kind": "supervector"}, "backend": ["svm"]}, False),
        ({"vectors": {"kind": "ivector", "rank": 4}, "backend": ["plda"], "normalisation": {"method": "as"}}, False),
    ],
)
def test_which_scores_are_ratios_before_a_calibration(tmp_path, sections, expected):
    (tmp_path / "r.yaml").write_text(json.dumps({"corpus": CORPUS, **sections}))
    assert scores_are_llrs(load_recipe(tmp_path / "r.yaml")) is expected


def test_sums_over_systems_are_no_ratios():
    one, other = (Recipe(name=name, corpus=CORPUS) for name in ("one", "other"))
    assert not scores_are_llrs(Recipe(name="both", corpus=CORPUS, systems=(one, other)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs that share a cache: normalised scores with and without a calibration, and ratios without one."""
    folder = tmp_path_factory.mktemp("runs")
    evaluation = "evaluation: {dcf: [sre08], bootstrap: 20}"
    text = f"{synthetic_corpus(n_test=3)}\nubm: {{n_components: 8, n_iterations: 3}}\n{evaluation}\n"
    (folder / "r.yaml").write_text(text)
    keys = {
        "normalised": ("calibration.method=none", "normalisation.method=s"),
        "calibrated": ("normalisation.method=s",),
        "ratios": ("calibration.method=none",),
    }
    return {
        name: run(folder / "r.yaml", overrides=(f"name={name}", *sets), results=folder, engine=Engine("serial"))
        for name, sets in keys.items()
    }


def test_scores_that_are_no_ratios_have_no_costs_and_no_cllr(runs):
    without, ratios, calibrated = (runs[name].metrics for name in ("normalised", "ratios", "calibrated"))
    numbers = without["trials"]["trials"]
    assert (numbers["are_llrs"], numbers["act_dcf"], numbers["cllr"]) == (False, {"sre08": None}, None)
    assert (numbers["intervals"]["act_dcf"], numbers["intervals"]["cllr"]) == ({"sre08": None}, None)
    assert without["decision"] is None
    assert numbers["eer"] == calibrated["trials"]["trials"]["eer"]  # the order is the same
    assert numbers["min_dcf"] == calibrated["trials"]["trials"]["min_dcf"]
    assert numbers["intervals"]["min_cllr"]
    for others in (ratios, calibrated):
        numbers = others["trials"]["trials"]
        assert "are_llrs" not in numbers
        assert None not in (numbers["act_dcf"]["sre08"], numbers["cllr"])


def test_the_table_of_a_run_says_so(runs):
    folder = runs["normalised"].folder.parent
    sets = ("--set", "calibration.method=none", "--set", "normalisation.method=s", "--name", "normalised")
    done = speechgmm("run", folder / "r.yaml", "--results", folder, "--engine", "serial", *sets)
    lines = {line.split("  ")[0].strip(): " ".join(line.split()) for line in done.stdout.splitlines()}
    assert lines["actDCF sre08"].startswith("actDCF sre08 not calibrated")
    assert lines["Cllr"].startswith("Cllr not calibrated")
    assert "not calibrated" not in lines["minCllr"]
    assert "needs log-likelihood ratios: calibrate the scores" in " ".join(done.stdout.split())


def test_the_report_says_so(runs):
    done = runs["normalised"]
    page = Page((done.folder / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("no log-likelihood ratios: not calibrated") >= 3  # headline, cost and Cllr; and the parts
    assert "of 100 recordings" not in page.text
    calibrated = Page((runs["calibrated"].folder / "report.html").read_text(encoding="utf-8"))
    assert f"Decisions: {runs['calibrated'].metrics['decision']['errors']}." in calibrated.text


def test_plots_of_ratios_are_left_out(runs):
    drawn = {name: [figure.name for figure in draw_figures(open_results(done.folder))] for name, done in runs.items()}
    assert [name for name in drawn["ratios"] if name not in drawn["normalised"]] == ["bayes-error", "reliability"]
    assert drawn["calibrated"] == drawn["ratios"]


def test_compare_says_so(runs, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    folders = [runs[name].folder for name in ("ratios", "normalised")]
    lines = {line.split()[0]: line for line in speechgmm("compare", *folders).stdout.splitlines() if line.split()}
    assert [lines[f"trials.{name}"].endswith(" not calibrated ") for name in ("cllr", "act_dcf.sre08", "eer")] == [
        *(True, True, False)
    ]
    assert speechgmm("report", *folders, "--out", tmp_path / "both.html").exit_code == 0
    page = Page((tmp_path / "both.html").read_text(encoding="utf-8"))
    assert page.text.count("no log-likelihood ratios: not calibrated") == 2


def test_a_sweep_says_so(runs):
    folder = runs["ratios"].folder.parent
    sets = ("--set", "calibration.method=none", "--set", "normalisation.method=none,s", "--sort", "cllr")
    done = speechgmm("sweep", folder / "r.yaml", "--results", folder, "--engine", "serial", *sets)
    ratios, normalised = (line for line in done.stdout.splitlines() if line.split()[:1] in (["none"], ["s"]))
    assert ratios.split()[-1] == f"{runs['ratios'].metrics['trials']['trials']['cllr']:.3f}"
    assert normalised.split()[0] == "s"
    assert normalised.rstrip().endswith("not calibrated")

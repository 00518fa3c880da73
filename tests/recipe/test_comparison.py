"""Results side by side, from the command line too."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from speechgmm.cli import app
from speechgmm.errors import RecipeError
from speechgmm.evaluation.bootstrap import TrialGroup, differences
from speechgmm.evaluation.metrics import eer
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.running.runner import run
from speechgmm.recipe.series.comparison import compare

SMALL = f"""\
{synthetic_corpus(n_speakers=6, n_background=10, n_enrol=1)}
ubm: {{n_components: 4, n_iterations: 2}}
evaluation: {{dcf: [sre08], bootstrap: 50, confidence: 0.8}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of three runs: another relevance factor, a calibration by pav, and one speaker less."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "small.yaml").write_text(SMALL)
    runs = {
        "first": (),
        "second": ("speakers.relevance_factor=100",),
        "pav": ("calibration.method=pav",),
        "other": ("corpus.n_speakers=5",),
    }
    for name, sets in runs.items():
        run(folder / "small.yaml", overrides=[f"name={name}", *sets], results=folder, engine=Engine("serial"))
    return folder


def test_scores_say_who_speaks_and_in_which_lists_a_trial_is(results):
    table = read_rows(results / "first" / "scores.csv")
    assert list(table[0]) == ["model", "test", "score", "llr", "label", "speaker", "list:trials"]
    assert all((row["speaker"] == row["model"]) == (row["label"] == "target") for row in table)
    assert {row["list:trials"] for row in table} == {"1"}


def test_what_sets_results_apart(results):
    found = compare([results / "first", results / "second"])
    assert found.names == ("first", "second")
    assert found.keys == {"speakers.relevance_factor": ("10.0", "100.0")}
    metrics = [json.loads((results / name / "metrics.json").read_text()) for name in found.names]
    for number in ("eer", "cllr", "min_cllr"):
        assert found.numbers[f"trials.{number}"] == tuple(each["trials"]["trials"][number] for each in metrics)
    assert found.numbers["identification"] == tuple(each["identification"]["rate"] for each in metrics)
    assert "identification" not in found.differences
    assert found.confidence == 0.8


def test_differences_are_paired_on_the_trials_in_any_order(results):
    found = compare([results / "first", results / "second"]).differences
    tables = [read_rows(results / name / "scores.csv") for name in ("first", "second")]
    speakers = sorted({row["model"] for row in tables[0]})
    number = {name: n for n, name in enumerate(speakers)}
    ordered = [sorted(table, key=lambda row: (row["model"], row["test"])) for table in tables]
    sides, others = [], []
    for label in ("target", "nontarget"):
        own, theirs = ([row for row in table if row["label"] == label] for table in ordered)
        codes = [np.array([number[row[column]] for row in own]) for column in ("model", "speaker")]
        sides.append(TrialGroup([float(row["llr"]) for row in own], *codes))
        others.append([float(row["llr"]) for row in theirs])
    settings = {
        "presets": ("sre08",),
        "false_alarm_rates": (0.01, 0.001),
        "n_resamples": 50,
        "confidence": 0.8,
        "rng": np.random.default_rng(0),
    }
    expected = differences(*sides, tuple(others), **settings)
    for name, interval in expected.items():
        first, second = found[f"trials.{name}"]
        assert first is None
        assert (second.low, second.high) == interval


def test_models_that_are_not_named_after_their_speakers_share_their_draws(results, tmp_path):
    # What a model is called makes no difference to how sure a difference is: it counts as often as its speaker.
    for name in ("first", "second"):
        shutil.copytree(results / name, tmp_path / name)
        table = read_rows(tmp_path / name / "scores.csv")
        with (tmp_path / name / "scores.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, table[0])
            writer.writeheader()
            writer.writerows(row | {"model": f"model-of-{row['model']}"} for row in table)
    expected = compare([results / "first", results / "second"]).differences
    assert expected
    assert compare([tmp_path / "first", tmp_path / "second"]).differences == expected


def without_scores(folder, which):
    """Take the scores away from some rows of a table."""
    table = read_rows(folder / "scores.csv")
    with (folder / "scores.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(row | ({"score": "", "llr": ""} if n in which else {}) for n, row in enumerate(table))


def test_differences_are_of_the_trials_that_both_have_scored(results, tmp_path):
    for name in ("first", "second"):
        for each in ("one", "both"):
            shutil.copytree(results / name, tmp_path / each / name)
        without_scores(tmp_path / "both" / name, range(5))
    without_scores(tmp_path / "one" / "second", range(5))
    without_scores(tmp_path / "one" / "first", range(3))
    one, both = (compare([tmp_path / each / name for name in ("first", "second")]) for each in ("one", "both"))
    assert one.differences
    assert one.differences == both.differences
    tables = (
        [row for row in read_rows(tmp_path / "both" / name / "scores.csv") if row["llr"]]
        for name in ("first", "second")
    )
    first, second = (
        eer(*([float(row["llr"]) for row in each if row["label"] == label] for label in ("target", "nontarget")))
        for each in tables
    )
    (_, apart) = one.differences["trials.eer"]
    assert apart.difference == pytest.approx(second - first, abs=1e-12)


def test_without_resamples_there_are_no_differences(results, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(results / name, tmp_path / name)
    text = (tmp_path / "first" / "recipe.yaml").read_text()
    (tmp_path / "first" / "recipe.yaml").write_text(text.replace("bootstrap: 50", "bootstrap: 0"))
    assert compare([tmp_path / "first", tmp_path / "second"]).differences == {}


def test_of_pav_the_order_is_that_of_the_scores(results):
    found = compare([results / "first", results / "pav"])
    # pav calibrates the very same scores: nothing that depends on their order alone is another
    for number in ("eer", "min_dcf.sre08", "min_cllr"):
        assert found.differences[f"trials.{number}"][1] == (0.0, 0.0, 0.0)
    assert found.keys["calibration.method"] == ("logistic", "pav")


def test_other_trials_have_no_differences(results):
    found = compare([results / "first", results / "other"])
    assert found.differences == {}
    assert found.numbers["trials.eer"][1] is not None
    assert found.keys["corpus.n_speakers"] == ("6", "5")


def test_what_is_no_folder_of_results_is_said(results, tmp_path):
    with pytest.raises(
        RecipeError, match=r"nowhere: no results folder \(no such folder\); expected the folder of a run"
    ):
        compare([results / "first", tmp_path / "nowhere"])
    with pytest.raises(RecipeError, match="1 folder of results to compare; expected two or more"):
        compare([results / "first"])
    (tmp_path / "sweep.csv").write_text("")
    with pytest.raises(RecipeError, match=r"no results folder \(a series, with a results folder for each"):
        compare([results / "first", tmp_path])
    for name in ("recipe.yaml", "scores.csv"):
        (tmp_path / name).write_bytes((results / "first" / name).read_bytes())
    (tmp_path / "metrics.json").write_text('{"trials": ')
    with pytest.raises(RecipeError, match="damaged results"):
        compare([results / "first", tmp_path])


def test_the_command_prints_tables_json_and_csv(results):
    folders = [str(results / name) for name in ("first", "second")]
    shown = CliRunner().invoke(app, ["compare", *folders], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    for word in ("relevance_factor", "trials.eer", "first", "second", "80% interval over speakers"):
        assert word in shown.output
    found = compare([results / "first", results / "second"])
    document = json.loads(CliRunner().invoke(app, ["compare", *folders, "--json"]).output)
    assert document["differences"]["trials.cllr"][1]["difference"] == found.differences["trials.cllr"][1].difference
    table = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, ["compare", *folders, "--csv"]).output)))
    assert [row["result"] for row in table[:2]] == ["first", "second"]
    eer = next(row for row in table if row["number"] == "trials.eer" and row["result"] == "second")
    assert float(eer["low"]) == found.differences["trials.eer"][1].low
    wrong = CliRunner().invoke(app, ["compare", folders[0], str(results)])
    assert wrong.exit_code == 2


def test_the_command_runs_a_series_sorts_it_and_tells_what_failed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    sets = ["--set", "ubm.weight_floor=0", "--set", "ubm.n_components=2,4,99999"]
    done = CliRunner().invoke(app, ["sweep", "small.yaml", *sets, "--sort", "cllr", "--engine", "serial"])
    assert done.exit_code == 3
    lines = done.output.splitlines()
    assert lines[0] == "small: 3 experiments, over ubm.n_components"
    assert "failed: n_components-99999: n_components 99999 is more than" in done.output
    assert lines[-1] == "table: results/small/sweep.csv"
    cllr = {
        row["ubm.n_components"]: row["trials.cllr"] for row in read_rows(tmp_path / "results" / "small" / "sweep.csv")
    }
    best = sorted(("2", "4"), key=lambda each: float(cllr[each]))
    body = [line.split()[0] for line in lines if line.split()[:1] in (["2"], ["4"], ["99999"])]
    assert body == [*best, "99999"]
    again = CliRunner().invoke(app, ["sweep", "small.yaml", *sets, "--engine", "serial"])
    assert "1/3 n_components-2: kept" in again.output

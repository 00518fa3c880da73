"""Reports from stored results: what they say, that nothing but the folder is needed, and what is refused."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.commands import speechgmm
from helpers.pages import Page
from helpers.recipes import synthetic_corpus
from helpers.tables import read_rows
from speechgmm import load_gmm, run
from speechgmm.cli import app
from speechgmm.errors import ResultsError
from speechgmm.features.store.store import open_store
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.reading.non_defaults import lines_of, non_default_keys, non_default_settings
from speechgmm.recipe.results.reading import open_results
from speechgmm.recipe.results.report import report_content, report_results

pytestmark = pytest.mark.pictures

SMALL = f"""\
{synthetic_corpus(n_speakers=6, n_background=10)}
ubm: {{n_components: 4, n_iterations: 2}}
evaluation: {{dcf: [sre08], bootstrap: 20, confidence: 0.8}}
"""
FILES = ("metrics.json", "scores.csv", "recipe.yaml", "provenance.json", "skipped.csv", "data.csv", "confusion.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The results of two runs in one folder, and their cache."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "small.yaml").write_text(SMALL)
    for name, factor in (("first", 10), ("second", 100)):
        sets = [f"name={name}", f"speakers.relevance_factor={factor}"]
        run(folder / "small.yaml", overrides=sets, results=folder, engine=Engine("serial"))
    return folder


@pytest.fixture
def results(made, tmp_path):
    """A copy of the first results alone: no cache, no corpus."""
    return shutil.copytree(made / "first", tmp_path / "first")


# ---- one ----


def test_a_report_made_again_is_that_of_the_run(results):
    page = (results / "report.html").read_bytes()
    plots = {path.name: path.read_bytes() for path in (results / "plots").iterdir()}
    (results / "report.html").unlink()
    shutil.rmtree(results / "plots")
    done = speechgmm("report", results)
    assert done.exit_code == 0, done.output
    assert (results / "report.html").read_bytes() == page
    names = ("det", "scores", "tippett", "bayes-error", "reliability", "confusion", "training")
    assert {f"{name}.svg" for name in names} <= plots.keys()
    for name, plot in plots.items():
        assert (results / "plots" / name).read_bytes() == plot
        assert (results / "plots" / name).with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_a_report_elsewhere_leaves_the_folder_as_it_is(results, tmp_path):
    before = {path: path.read_bytes() for path in results.rglob("*.*")}
    done = speechgmm("report", results, "--out", tmp_path / "new" / "page.html")
    assert done.exit_code == 0
    assert (tmp_path / "new" / "page.html").read_bytes() == before[results / "report.html"]
    assert {path: path.read_bytes() for path in results.rglob("*.*")} == before


def test_data_are_those_of_the_stores(made):
    table = read_rows(made / "first" / "data.csv")
    recipe = load_recipe(made / "first" / "recipe.yaml")
    n_speakers, n_background = recipe.corpus.n_speakers, recipe.corpus.n_background
    counts = {role: len([row for row in table if row["role"] == role]) for role in ("background", "enrol", "test")}
    assert counts == {"background": 2 * n_background, "enrol": 2 * n_speakers, "test": 2 * n_speakers}
    stored = {}
    for folder in (made / ".cache" / "features").iterdir():
        stored |= {each.utterance: (each.seconds, each.speech_seconds) for each in open_store(folder).utterances}
    assert {row["id"]: (float(row["seconds"]), float(row["speech_seconds"])) for row in table} == stored
    assert {row["model"] for row in table if row["role"] == "enrol"} == {row["speaker"] for row in rows_of_role(table)}


def rows_of_role(table, role="enrol"):
    return [row for row in table if row["role"] == role]


def test_confusions_add_up_to_the_tests_that_were_identified(made):
    found = read_rows(made / "first" / "confusion.csv")
    identification = json.loads((made / "first" / "metrics.json").read_text())["identification"]
    assert sum(int(row["tests"]) for row in found) == identification["n_tests"] == 12
    right = sum(int(row["tests"]) for row in found if row["model"] == row["answer"])
    assert right / 12 == identification["rate"]
    # of every test against every model the scores are there, so the answers can be found by hand
    best = {}
    for row in read_rows(made / "first" / "scores.csv"):
        best[row["test"]] = max(
            best.get(row["test"], (-np.inf, "", "")), (float(row["llr"]), row["speaker"], row["model"])
        )
    answers = {}
    for _, speaker, model in best.values():
        answers[speaker, model] = answers.get((speaker, model), 0) + 1
    assert {(row["model"], row["answer"]): int(row["tests"]) for row in found} == answers


def test_worst_trials_are_twenty_of_each_kind_with_files_and_durations(made):
    opened = open_results(made / "first")
    (worst,) = report_content(opened, ()).worst
    table = read_rows(made / "first" / "scores.csv")
    tests = {row["id"]: row for row in read_rows(made / "first" / "data.csv") if row["role"] == "test"}
    for label, trials, sign in (("target", worst.targets, 1), ("nontarget", worst.nontargets, -1)):
        llrs = sorted(sign * float(row["llr"]) for row in table if row["label"] == label)[:20]
        assert [sign * trial.score for trial in trials] == llrs
        assert len(trials) == min(20, sum(row["label"] == label for row in table))
        for trial in trials:
            row = tests[trial.test]
            assert (trial.path, trial.seconds, trial.speaker) == (
                row["path"],
                float(row["seconds"]),
                row["speaker"],
            )
    text = Page((made / "first" / "report.html").read_text()).text
    assert worst.targets[0].path in text


def test_a_report_shows_the_data_the_training_and_the_recipe(made):
    page = Page((made / "first" / "report.html").read_text())
    for shown in (
        "6 speakers enrolled against a background model of 4 Gaussians from 10 speakers; 72 trials. "
        "Scores are log-likelihood ratios, calibrated by 2-fold cross-validation on 10 background speakers, "
        "from the map that comes with speechgmm.",
        "its 80 % confidence interval",
        "background 10",
        "Everything that was given was used.",
        "Iterations of the background model: 2",
        "ubm.n_components 4 256",
        "trials by sex of the speaker",
    ):
        assert shown in page.text
    trained_on = json.loads((made / "first" / "metrics.json").read_text())["calibration"]["trained_on"]
    assert trained_on == "trials among the speakers of the background, each fold of them by systems of the others"
    assert "n_components: 4" in [line.strip() for line in page.marked]
    history = read_rows(made / "first" / "training.csv")
    for row in history:
        assert f"{float(row['log_likelihood_per_frame']):.4f}".replace("-", "−") in page.text
    assert load_gmm(made / "first" / "ubm.safetensors").n_components == 4


def test_parts_are_the_numbers_of_their_trials(made):
    from speechgmm.evaluation.metrics import eer

    opened = open_results(made / "first")
    by_sex = [each for each in report_content(opened, ()).breakdowns if each.column == "sex of the speaker"]
    sex = {row["id"]: row["sex"] for row in read_rows(made / "first" / "data.csv") if row["role"] == "test"}
    table = read_rows(made / "first" / "scores.csv")
    assert set(by_sex[0].parts) == set(sex.values())
    for part, numbers in by_sex[0].parts.items():
        own = [row for row in table if sex[row["test"]] == part]
        sides = [[float(row["llr"]) for row in own if row["label"] == label] for label in ("target", "nontarget")]
        assert numbers["eer"] == eer(*sides)
    assert set(by_sex[0].few) == set(sex.values())  # twelve targets in all


def test_parts_go_by_what_a_calibration_by_pav_has_made_equal(made):
    opened = open_results(made / "first")
    flat = replace(opened, trials=replace(opened.trials, llrs=np.zeros_like(opened.trials.llrs)))
    for part, of_flat in zip(report_content(opened, ()).breakdowns, report_content(flat, ()).breakdowns, strict=True):
        for name, numbers in part.parts.items():
            assert of_flat.parts[name]["eer"] == numbers["eer"] < 0.5
            assert of_flat.parts[name]["cllr"] == pytest.approx(1)  # bit, of ratios that say nothing


# ---- settings ----


def test_settings_are_what_is_not_the_default(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "corpus: {kind: synthetic, n_speakers: 7}\nfeatures: {n_cepstra: 19, vad: {range_db: 41}}\n"
        "speakers: {method: independent, n_components: 9}\nevaluation: {dcf: [sre10]}\n"
    )
    settings = non_default_settings(non_default_keys(load_recipe(tmp_path / "a.yaml")))
    assert {each.key for each in settings} == {
        *("corpus.kind", "corpus.n_speakers", "features.n_cepstra", "features.vad.range_db"),
        *("speakers.method", "speakers.n_components", "evaluation.dcf"),
    }
    found = {each.key: each[1:] for each in settings}
    assert found["speakers.method"] == ("independent", "map")
    assert found["evaluation.dcf"] == ("[sre10]", "[sre08, voxceleb]")
    assert found["features.n_cepstra"][0] == "19"


def test_settings_are_found_in_their_lines(made):
    recipe = load_recipe(made / "second" / "recipe.yaml")
    lines = (made / "second" / "recipe.yaml").read_text().splitlines()
    marked = lines_of(made / "second" / "recipe.yaml", non_default_keys(recipe))
    assert "  relevance_factor: 100.0" in [lines[number - 1] for number in marked]
    assert len(marked) == len(non_default_keys(recipe))


# ---- several ----


def test_a_comparison_is_one_page(made, tmp_path):
    out = tmp_path / "both.html"
    done = speechgmm("report", made / "first", made / "second", "--out", out)
    assert done.exit_code == 0, done.output
    page = Page(out.read_text())
    first, second = (
        json.loads((made / name / "metrics.json").read_text())["trials"]["trials"] for name in ("first", "second")
    )
    compared = json.loads(speechgmm("compare", made / "first", made / "second", "--json").output)
    apart = compared["differences"]["trials.cllr"][1]
    for shown in (
        "first, second",
        "speakers.relevance_factor 10.0 100.0",
        f"{first['cllr']:.3f} bit",
        f"{second['cllr']:.3f} bit",
        f"{apart['difference']:+.3f} ({apart['low']:+.3f} to {apart['high']:+.3f})".replace("-", "−"),
        f"EER {100 * first['eer']:.2f} %, first",
        f"EER {100 * second['eer']:.2f} %, second",
    ):
        assert shown in page.text
    assert not [path for path in made.iterdir() if path.suffix == ".html"]


def test_a_comparison_of_other_trials_has_no_differences(made, tmp_path):
    other = tmp_path / "results"
    run(made / "small.yaml", overrides=["name=other", "corpus.n_speakers=3"], results=other, engine=Engine("serial"))
    done = speechgmm("report", made / "first", other / "other", "--out", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    assert "No intervals of differences" in (tmp_path / "page.html").read_text()


# ---- scores of any system ----


def test_scores_alone_have_a_page_with_numbers_parts_and_trials(results, tmp_path):
    table = read_rows(results / "scores.csv")
    (tmp_path / "scores").write_text("".join(f"{row['model']} {row['test']} {row['llr']}\n" for row in table))
    (tmp_path / "trials").write_text("".join(f"{row['model']} {row['test']} {row['label']}\n" for row in table))
    tests = [row for row in read_rows(results / "data.csv") if row["role"] == "test"]
    lines = [",".join(row[column] for column in ("id", "speaker", "sex", "path")) for row in tests]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,speaker,sex,path", *lines, ""]))
    page = tmp_path / "page.html"
    words = ["evaluate", tmp_path / "scores", tmp_path / "trials", "--bootstrap", 20, "--by", "sex"]
    done = CliRunner().invoke(
        app, [*map(str, words), "--manifest", str(tmp_path / "manifest.csv"), "--json", "--report", str(page)]
    )
    assert done.exit_code == 0, done.output
    document, text = json.loads(done.stdout), Page(page.read_text()).text
    (worst,) = report_content(open_results(results), ()).worst
    for shown in (
        f"Equal error rate on trials {100 * document['trials']['eer']:.2f} %",
        "Detection error trade-off",
        "trials by sex",
        f"against {worst.targets[0].test} spoken by {worst.targets[0].speaker} {worst.targets[0].path}",
        *document["notes"],
        *document["warnings"],
    ):
        assert shown in text
    done = CliRunner().invoke(app, [*map(str, words[:3]), "--report", str(tmp_path)])
    assert (done.exit_code, "a folder; expected the name of the page" in done.output) == (2, True)


# ---- bad input ----


def refused(*arguments):
    done = speechgmm("report", *arguments)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


def test_what_is_no_folder_of_results_is_refused(tmp_path, results):
    expected = "expected the folder of a run, such as "
    assert f"nowhere: no results folder (no such folder); {expected}" in refused(tmp_path / "nowhere")
    assert f"report.html: no results folder (a file); {expected}" in refused(results / "report.html")
    (tmp_path / "empty").mkdir()
    assert expected in refused(tmp_path / "empty")
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "sweep.csv").touch()
    assert "series: no results folder (a series, with a results folder for each experiment); " in refused(
        tmp_path / "series"
    )


def test_a_run_may_have_the_name_of_a_series(results):
    (results / "sweep.csv").touch()
    assert CliRunner().invoke(app, ["report", str(results)]).exit_code == 0


def test_an_interrupted_run_is_distinguished_from_older_results(results):
    (results / "data.csv").unlink()
    assert "no data.csv: removed, or these results are of an earlier version; run the recipe again" in refused(results)
    (results / "metrics.json").unlink()
    assert (
        "no metrics.json, no data.csv: the run was stopped, or is still running; run it again to resume it"
        in refused(results)
    )
    for name in FILES:
        (results / name).unlink(missing_ok=True)
    (results / "log.txt").touch()
    assert "the run was stopped" in refused(results)


def test_a_table_of_scores_that_was_cut_short_is_refused(results):
    lines = (results / "scores.csv").read_text().splitlines(keepends=True)
    target = next(line for line in lines if ",target," in line)
    (results / "scores.csv").write_text("".join(line for line in lines if line != target))
    message = "scores.csv: trials: [11, 60] target and nontarget trials with scores, metrics.json has [12, 60]; damaged"
    assert message in refused(results)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("metrics.json", '"trials"', '"trails"', "metrics.json: no 'trials'"),
        ("metrics.json", '"eer":', '"ear":', "metrics.json: no 'eer'"),
        ("metrics.json", '"n_target": 12', '"n_target": "many"', "n_target 'many', expected a number"),
        ("metrics.json", "{", "", "metrics.json: Extra data"),
        ("provenance.json", '"stages"', '"stage"', "provenance.json: no 'stages'"),
        ("scores.csv", "model,test,score,llr", "model,test,score", "scores.csv: columns model,test,score,label"),
        ("scores.csv", ",target,", ",tarket,", "scores.csv: line 2: label 'tarket', expected target or nontarget"),
        ("scores.csv", ",target,", ",", "scores.csv: line 2: 6 values, expected 7"),
        ("scores.csv", "-test-", "-text-", "scores.csv: line 2: test"),
        ("data.csv", ".flac,", ".flac,one", "data.csv: line 2: could not convert string to float"),
        ("confusion.csv", ",1", ",one", "confusion.csv: line 2: invalid literal for int()"),
        ("training.csv", "log_likelihood", "likelihood", "training.csv: no 'log_likelihood_per_frame'"),
        ("recipe.yaml", "n_components:", "n_componets:", "did you mean n_components?"),
        ("ubm.safetensors", None, None, "ubm.safetensors"),
        ("training.csv", None, None, "training.csv: No such file"),
    ],
)
def test_garbled_files_are_named_with_what_to_do(results, name, old, new, expected):
    if old is None:
        (results / name).unlink()
    else:
        text = (results / name).read_text()
        assert old in text
        (results / name).write_text(
            text.replace(old, new, 1) if old != ",1" else re.sub(",\\d+$", new, text, flags=re.M)
        )
    message = refused(results)
    assert expected in message
    assert "run the recipe again" in message


def test_a_page_needs_a_place(made, tmp_path):
    both = made / "first", made / "second"
    assert "2 results folders and no --out; expected the name of the page" in refused(*both)
    assert "a folder; expected the name of the page" in refused(*both, "--out", tmp_path)
    assert "a folder; expected the name of the page" in refused(made / "first", "--out", tmp_path)
    metrics = (made / "first" / "metrics.json").read_bytes()
    expected = "metrics.json: expected the name of the page, with .html or .htm at its end"
    assert expected in refused(made / "first", "--out", made / "first" / "metrics.json")
    assert expected in refused(*both, "--out", made / "first" / "metrics.json")
    assert (made / "first" / "metrics.json").read_bytes() == metrics
    assert "first: given twice" in refused(made / "first", made / "first", "--out", tmp_path / "page.html")
    (tmp_path / "file").touch()
    assert "file" in refused(*both, "--out", tmp_path / "file" / "page.html")


def test_errors_are_of_results(results):
    (results / "scores.csv").unlink()
    with pytest.raises(ResultsError, match=r"no scores\.csv"):
        report_results(results)

"""``speechgmm evaluate`` on the command line: scores with labels alone, distances, and files that are others."""

import json

import pytest
from typer.testing import CliRunner

from speechgmm.cli import app

SCORES = {"scores": ["a t1 3", "a t2 1", "b t1 2", "b t2 4"], "labelled": ["a t1 3 tgt", "a t2 1 imp", "b t2 4 tgt"]}
TRIALS = ["a t1 target", "a t2 nontarget", "b t1 nontarget", "b t2 target"]


def evaluate(*arguments):
    words = ["evaluate", *map(str, arguments), "--bootstrap", "0"]
    return CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "115"})


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, lines in {**SCORES, "trials": TRIALS}.items():
        (tmp_path / name).write_text("\n".join(lines))
    return tmp_path


def test_scores_with_labels_need_no_list():
    done = evaluate("labelled")
    assert done.exit_code == 0, done.output
    heading = done.stdout.split("\n")[1].strip()
    assert heading == "labelled"
    assert "scores: wespeaker's columns: model, test, score, label" in done.stdout
    assert "trials: those of labelled, by its labels" in done.stdout
    assert "labels: tgt for target, imp for nontarget" in done.stdout
    refused = evaluate("scores")
    assert (refused.exit_code, refused.stdout) == (2, "")
    expected = "expected scores with labels, or a trial list as well"
    assert refused.stderr == f"error: scores: no models, tests, scores and labels in a known format; {expected}\n"
    document = json.loads(evaluate("labelled", "--json").stdout)
    assert (document["trials"]["n_target"], document["trials"]["n_nontarget"]) == (2, 1)


def test_distances_are_turned_where_asked(files):
    (files / "distances").write_text("a t1 0.2\na t2 0.9\nb t1 0.8\nb t2 0.1\n")
    shown = evaluate("distances", "trials")
    assert "warning: AUC is 0.0000, below 0.5: a higher score must mean the same speaker" in shown.stdout
    turned = evaluate("distances", "trials", "--distances", "--report", "page.html")
    assert turned.exit_code == 0, turned.output
    assert "AUC is" not in turned.stdout
    assert "scores: negated, as --distances asks" in turned.stdout
    assert "scores: negated, as --distances asks" in (files / "page.html").read_text(encoding="utf-8")
    document = json.loads(evaluate("distances", "trials", "--distances", "--json").stdout)
    assert (document["trials"]["auc"], document["trials"]["eer"]) == (1, 0)
    assert any(note.startswith("scores: negated") for note in document["notes"])


def refused(*arguments):
    done = evaluate(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return done.stderr


def test_folders_are_refused_with_the_file_that_is_meant(files):
    folder = files / "results" / "small"
    folder.mkdir(parents=True)
    assert refused("results/small", "trials") == "error: results/small: a folder; expected a score file\n"
    (folder / "scores.csv").touch()
    assert refused("results/small") == (
        "error: results/small: a folder; expected a score file, as results/small/scores.csv; "
        "speechgmm report results/small makes a page of these results\n"
    )
    assert refused("scores", "results") == "error: results: a folder; expected a trial list\n"


def test_files_that_are_missing_or_given_the_other_way_round_are_named():
    assert "nowhere: not readable (No such file or directory)" in refused("nowhere", "trials")
    assert "nowhere: not readable (No such file or directory)" in refused("scores", "nowhere")
    assert "nowhere: not readable (No such file or directory)" in refused("nowhere")
    assert refused("trials", "scores") == (
        "error: trials holds trials with labels, and scores scores; expected first the scores, then the trials\n"
    )

"""``speechgmm evaluate``: scores of any toolkit, trial lists of any kind, and all that may not fit."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from typer.testing import CliRunner

import naive
from helpers.paths import ROOT
from helpers.recipes import synthetic_corpus
from speechgmm.cli import app
from speechgmm.corpus.scored.score_files import read_scored_trials
from speechgmm.corpus.scored.trial_speakers import read_manifest, trial_speaker_numbers
from speechgmm.evaluation.breakdown import binned


def evaluate(*arguments, columns=115):
    words = ["evaluate", *map(str, arguments)]
    return CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": str(columns)})


def numbers(*arguments):
    done = evaluate(*arguments, "--json", "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def trials(rng):
    """Everybody against two utterances of everybody: models, tests, kinds and scores, some of them equal."""
    found = []
    for test in range(12):
        for model in range(6):
            target = model == test // 2
            found.append((f"s{model}", f"s{test // 2}-{test}", target, round(rng.normal() + 2 * target, 1)))
    return found


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def files(trials, tmp_path):
    """A Kaldi score file, not in the order of the list, and the list."""
    scores = write(tmp_path / "scores", [f"{model} {test} {score}" for model, test, _, score in reversed(trials)])
    lines = [f"{model} {test} {'target' if target else 'nontarget'}" for model, test, target, _ in trials]
    return scores, write(tmp_path / "trials", lines)


FEW = "fewer than 30 target or nontarget trials with scores: the numbers are rough estimates"
LISTS = {
    "nist": ("{model} {test} {label}", "", ("target", "nontarget")),
    "short": ("{model}\t{test}\t{label}", "", ("tgt", "imp")),
    "numbers": ("{model} {test} {label}", "", ("1", "0")),
    "voxceleb": ("{label} {model} {test}", "", ("1", "0")),
    "table": ("{label};{model};{test};x", "label;model;test;other", ("target", "0")),
}
SCORES = {
    "kaldi": ("{model} {test} {score}", ""),
    "tabs": ("{model}\t{test}\t{score:e}", ""),
    "alone": ("{score}", ""),
    "table": ("{test},{score},{model}", "test,score,model"),
    "calibrated": ("{test},99,{score},{model}", "test,score,llr,model"),
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("form", SCORES)
def test_every_file_gives_the_numbers_of_the_scores(trials, tmp_path, kind, form):
    line, header, labels = LISTS[kind]
    lines = [line.format(model=m, test=t, label=labels[0 if target else 1]) for m, t, target, _ in trials]
    listed = write(tmp_path / "list", [header, *lines] if header else lines)
    line, header = SCORES[form]
    lines = [line.format(model=m, test=t, score=score) for m, t, _, score in trials]
    scores = write(tmp_path / "scores", [header, *lines] if header else lines)
    found = numbers(scores, listed, "--preset", "sre08")
    sides = [[score for *_, target, score in trials if target == side] for side in (True, False)]
    assert found["trials"]["eer"] == pytest.approx(float(naive.eer(*sides)), abs=1e-12)
    assert found["trials"]["min_dcf"] == {"sre08": pytest.approx(naive.min_dcf(*sides, (10, 1, 0.01)), abs=1e-12)}
    assert found["trials"]["cllr"] == pytest.approx(naive.cllr(*sides), abs=1e-12)
    assert found["trials"]["eer_hull"] == pytest.approx(float(naive.eer_hull(*sides)), abs=1e-12)
    assert found["trials"]["auc"] == pytest.approx(float(naive.auc(*sides)), abs=1e-12)
    rates = {rate: float(naive.miss_rate_at(*sides, rate)) for rate in ("0.01", "0.001")}
    assert found["trials"]["p_miss_at_fa"] == rates
    assert (found["trials"]["n_target"], found["trials"]["n_nontarget"]) == (12, 60)
    said = f"labels: {labels[0]} for target, {labels[1]} for nontarget"
    assert (said in found["notes"]) == (kind in ("short", "numbers", "voxceleb"))


def test_a_page_is_never_written_over_what_is_evaluated(files, tmp_path):
    before = [path.read_bytes() for path in files]
    for path in (*files, tmp_path / "html", tmp_path / "page.html.txt"):
        refused = evaluate(*files, "--bootstrap", 0, "--report", path)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"--report {path}: expected the name of the page, with .html or .htm at its end" in refused.stderr
    assert [path.read_bytes() for path in files] == before
    assert set(tmp_path.iterdir()) == set(files)
    assert evaluate(*files, "--bootstrap", 0, "--report", tmp_path / "PAGE.HTM").exit_code == 0


def test_one_column_at_a_time(files):
    refused = evaluate(*files, "--by", "sex", "--by", "role")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--by sex --by role: 2 columns; expected one at a time" in refused.stderr


def test_the_order_of_the_lines_does_not_matter(files, trials, tmp_path):
    ordered = write(tmp_path / "ordered", [f"{model} {test} {score}" for model, test, _, score in trials])
    assert numbers(*files) == numbers(ordered, files[1])
    backwards = write(tmp_path / "backwards", reversed(files[1].read_text().splitlines()))
    first, second = (json.loads(evaluate(files[0], each, "--json").stdout) for each in (files[1], backwards))
    for name in ("eer", "auc", "min_dcf"):
        assert first["trials"]["intervals"][name] == second["trials"]["intervals"][name]


FAULTS = {
    "missing": (lambda scores, trials: (scores[:-2], trials), "trials without a score: 2", "missing", 70),
    "nan": (lambda scores, trials: (["s5 s5-11 nan", *scores[1:]], trials), "s5 s5-11 'nan'", "missing", 71),
    "word": (
        lambda scores, trials: (["s5 s5-11 bad", *scores[1:]], trials),
        "scores that are not a number: 1",
        "missing",
        71,
    ),
    "extra": (
        lambda scores, trials: ([*scores, "s9 x 1"], trials),
        "scores of trials that are not in the list: 1",
        "extra",
        72,
    ),
    "again": (lambda scores, trials: ([*scores, scores[3]], trials), "line 4 says", "extra", 72),
    "listed": (lambda scores, trials: (scores, [*trials, trials[3]]), "the same trial is on line 4", "extra", 72),
    "other": (lambda scores, trials: ([*scores, "s5 s5-11 77"], trials), "contradict", None, 0),
    "kind": (lambda scores, trials: (scores, [*trials, "s0 s0-0 nontarget"]), "contradict", None, 0),
    "label": (
        lambda scores, trials: (scores, [*trials, "s0 s0-0 maybe"]),
        "trials:73: 's0 s0-0 maybe'; expected a model, a test utterance and a label: target or nontarget, tgt or imp",
        None,
        0,
    ),
    "form": (lambda scores, trials: ([*scores, "s0 s0-0"], trials), "scores:73: 's0 s0-0'; expected", None, 0),
    "no scores": (lambda _, trials: ([], trials), "no scores; expected", None, 0),
    "no trials": (lambda scores, _: (scores, []), "no trials", None, 0),
    "one kind": (
        lambda scores, trials: (scores, [each for each in trials if " target" in each]),
        "expected some of",
        None,
        0,
    ),
    "short": (lambda _, trials: (["0.1", "0.2"], trials), "2 scores; expected one for each of the 72", None, 0),
    "commas": (lambda _, trials: (["a,0.2"], trials), "or a table with columns model, test and score", None, 0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_counted_and_named_and_an_error_unless_allowed(files, fault):
    spoil, message, allowing, left = FAULTS[fault]
    lines = spoil(*(path.read_text().splitlines() for path in files))
    scores, listed = (write(path, each) for path, each in zip(files, lines, strict=True))
    options = ["--allow-missing", "--allow-extra"]
    refused = evaluate(scores, listed, *([] if allowing else options))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert message in refused.stderr
    if left:
        other = next(each for each in options if each != f"--allow-{allowing}")
        assert evaluate(scores, listed, other).exit_code == 2
        assert f"--allow-{allowing} leaves them out" in refused.stderr
        found = numbers(scores, listed, f"--allow-{allowing}")
        counts = found["trials"]
        assert counts["n_target"] + counts["n_nontarget"] == left
        assert counts["n_unscored"] == 72 - left
        assert any(message in note and "left out" in note for note in found["notes"])


def test_infinite_scores_are_ranks_and_those_that_are_wrong_are_reported(files, trials, tmp_path):
    lines = files[0].read_text().splitlines()
    target = next(f"{model} {test}" for model, test, is_target, _ in trials if is_target)
    spoiled = write(
        tmp_path / "spoiled", [f"{target} -inf" if line.startswith(f"{target} ") else line for line in lines]
    )
    done = evaluate(spoiled, files[1], "--json", "--bootstrap", 20)
    document = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    found = document["trials"]
    assert (found["cllr"], found["n_certain_errors"], found["intervals"]["cllr"]) == (None, 1, None)
    assert found["intervals"]["eer"]
    sides = [
        [-np.inf if f"{m} {t}" == target else score for m, t, kind, score in trials if kind == side]
        for side in (True, False)
    ]
    assert found["eer"] == pytest.approx(float(naive.eer(*sides)), abs=1e-12)
    assert found["auc"] == pytest.approx(float(naive.auc(*sides)), abs=1e-12)
    said = "Cllr is infinite; targets that score -inf or nontargets that score inf: 1"
    assert document["warnings"] == [said, FEW]
    shown = evaluate(spoiled, files[1]).stdout
    assert re.search(r"^ ?Cllr +inf ", shown, re.MULTILINE)
    assert f"warning: {said}" in shown
    right = write(tmp_path / "right", [f"{target} inf" if line.startswith(f"{target} ") else line for line in lines])
    found = numbers(right, files[1])
    assert found["trials"]["n_certain_errors"] == 0
    assert found["trials"]["cllr"] < 2
    assert found["warnings"] == [FEW]


def test_scores_of_which_no_sum_can_be_written_have_no_cllr(files, trials, tmp_path):
    huge = [f"{model} {test} {1e308 * (-1 if target else 1)}" for model, test, target, _ in trials]
    found = numbers(write(tmp_path / "huge", huge), files[1])["trials"]
    assert (found["cllr"], found["n_certain_errors"], found["eer"]) == (None, 0, 1.0)


def test_the_first_of_many_faults_are_named_with_their_lines(files):
    write(files[0], [line for line in files[0].read_text().splitlines() if not line.endswith("1")][:20])
    said = evaluate(*files).stderr
    count = int(re.search(r"trials without a score: (\d+)", said)[1])
    assert f"{files[1]}:1: s0 s0-0\n" in said
    assert said.count(f"{files[1]}:") == 3
    assert f"and {count - 3} more" in said


def test_speakers_come_from_what_knows_them(tmp_path):
    manifest = write(tmp_path / "m.csv", ["path,speaker", "a/1.wav,Ann", "b/1.wav,Bo", "b/2.wav,Bo"])
    listed = write(tmp_path / "list", ["1 b/1.wav b/2.wav", "0 Ann b/1.wav", "1 Ann a/1"])
    scores = write(tmp_path / "scores", ["1", "2", "3"])
    (models, tests), source = trial_speaker_numbers(read_scored_trials(scores, listed), read_manifest(manifest))
    assert source == "the speakers in the manifest"
    assert (models == tests).tolist() == [True, False, True]
    assert models[1] == models[2] != models[0]
    (models, tests), source = trial_speaker_numbers(read_scored_trials(scores, listed), None)
    assert "because no speakers were given" in source
    assert not set(models) & set(tests) - {tests[1]}
    listed = write(tmp_path / "vox", ["1 id10270/x/1.wav id10270/y/2.wav", "0 id10270/x/1.wav id10300/z/1.wav"])
    (models, tests), source = trial_speaker_numbers(read_scored_trials(write(scores, ["1", "2"]), listed), None)
    assert "VoxCeleb" in source
    assert [*models, *tests] == [0, 0, 0, 1]


def test_the_parts_are_those_of_the_column(files, trials, tmp_path):
    rows = [f"{test},{'f' if test.startswith(('s0', 's1')) else 'm'}" for _, test, *_ in trials[::6]]
    manifest = write(tmp_path / "manifest.csv", ["id,sex", *rows])
    found = numbers(*files, "--by", "sex", "--manifest", manifest)
    assert list(found["parts"]) == ["f", "m"]
    for sex, part in found["parts"].items():
        mine = [(target, s) for _, test, target, s in trials if test.startswith(("s0", "s1")) == (sex == "f")]
        sides = [[score for target, score in mine if target == side] for side in (True, False)]
        assert (part["n_target"], part["n_nontarget"]) == tuple(map(len, sides))
        assert part["eer"] == pytest.approx(float(naive.eer(*sides)), abs=1e-12)
    of_parts = "fewer than 30 target or nontarget trials, and so rough estimates, where sex is f, m"
    assert found["warnings"] == [FEW, of_parts]
    shown = evaluate(*files, "--by", "sex", "--manifest", manifest, columns=60)
    assert "…" not in shown.stdout
    assert re.search(r"^ ?m +8 +40 ", shown.stdout, re.MULTILINE)
    assert "warning: fewer than 30" in shown.stdout


def test_a_column_that_is_nowhere_and_a_test_that_the_manifest_lacks_are_errors(files, tmp_path):
    manifest = write(tmp_path / "manifest.csv", ["id,sex", "s0-0,f"])
    assert "no column 'age' in the trial list or the manifest; columns: id, sex" in said(files, "age", manifest)
    assert "no column 'age' in the trial list, and there is no manifest; columns: none" in said(files, "age")
    assert "11 tests are not in the manifest: s0-1, s1-2, s1-3 and 8 more" in said(files, "sex", manifest)
    write(manifest, ["name,sex", "s0-0,f"])
    assert "no column 'id' or 'path' among name, sex" in said(files, "sex", manifest)
    write(manifest, ["id,sex", "s0-0,f", "s0-0,f"])
    assert "manifest.csv:3: a second row for the utterance 's0-0'; expected one" in said(files, "sex", manifest)


def said(files, by, manifest=None):
    done = evaluate(*files, "--by", by, *(["--manifest", manifest] if manifest else []))
    assert done.exit_code == 2
    return done.stderr


def test_numbers_of_many_values_make_four_parts_of_as_many_trials(rng):
    durations = rng.permutation(np.arange(1, 41) / 2)
    parts = binned([str(each) for each in durations])
    assert {part: parts.count(part) for part in sorted(parts)} == {
        "1: 0.5 to 5": 10, "2: 5.5 to 10": 10, "3: 10.5 to 15": 10, "4: 15.5 to 20": 10,
    }  # fmt: skip
    assert parts[int(np.argmax(durations))].startswith("4")
    assert binned(["1", "2", "2"]) == ["1", "2", "2"]
    assert binned([*map(str, range(20)), "x"])[-1] == "x"


def test_a_runs_own_scores_give_its_own_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = synthetic_corpus(n_background=3, n_background_utterances=1, n_enrol=1, seconds=5)
    write(tmp_path / "tiny.yaml", [corpus, "ubm: {n_components: 4, n_iterations: 2}"])
    assert CliRunner().invoke(app, ["run", "tiny.yaml", "--engine", "serial"]).exit_code == 0
    metrics = json.loads((tmp_path / "results/tiny/metrics.json").read_text())
    scores = tmp_path / "results/tiny/scores.csv"
    document = json.loads(evaluate(scores, scores, "--json").stdout)
    own = metrics["trials"]["trials"]
    assert document["trials"] == {name: own[name] for name in document["trials"]}
    assert document["trials"]["intervals"]["eer"]


@pytest.mark.skipif(shutil.which("awk") is None, reason="the page splits a table with awk")
def test_the_page_on_evaluating_shows_what_is_printed(tmp_path, monkeypatch, rng):
    """With drawn scores in place of the quickstart's: all but the numbers is the same."""
    monkeypatch.chdir(tmp_path)
    lines = ["model,test,score,llr,label,speaker"]
    for model, test in np.ndindex(20, 120):
        label = "target" if model == test // 6 else "nontarget"
        score = rng.normal() + 3 * (label == "target")
        lines.append(f"f{model:03},f{test // 6:03}-test-{test % 6:02},0,{score},{label},f{test // 6:03}")
    (tmp_path / "results" / "quickstart").mkdir(parents=True)
    write(tmp_path / "results" / "quickstart" / "scores.csv", lines)
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if "speechgmm evaluate" in each)
    for each in block.split("\n$ "):
        command, _, printed = each.removeprefix("$ ").partition("\n")
        if command.startswith("speechgmm evaluate"):
            done = evaluate(*command.split()[2:])
            assert done.exit_code == 0, done.output
            assert masked(done.output) == masked(printed), command
        else:
            subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def masked(text):
    """The words of a text, numbers and lines as marks: a table may be wider by a digit."""
    return re.sub(r"─+", "─", re.sub(r"[\d,.]*\d", "#", text)).replace("-#)", ")").split()


@pytest.mark.parametrize(("shift", "said"), [(0, True), (1, False)])
def test_the_scores_of_a_run_without_a_calibration_are_known_by_their_columns(trials, tmp_path, shift, said):
    rows = [
        f"{model},{test},{score},{score + shift},{'target' if target else 'nontarget'}"
        for model, test, target, score in trials
    ]
    scores = write(tmp_path / "scores.csv", ["model,test,score,llr,label", *rows])
    found = [text for text in numbers(scores)["warnings"] if "the column llr repeats the column score" in text]
    assert bool(found) == said


def test_scores_that_are_worse_than_none_as_ratios_are_a_doubt(trials, files, tmp_path):
    scaled = write(tmp_path / "scaled", [f"{model} {test} {10 * score}" for model, test, _, score in trials])
    found = numbers(scaled, files[1], "--preset", "sre10")
    cllr, cost = found["trials"]["cllr"], found["trials"]["act_dcf"]["sre10"]
    assert min(cllr, cost) > 1
    (said,) = [text for text in found["warnings"] if "above 1" in text]
    figures = f"Cllr is {cllr:.3f}, above 1, and the actual cost is {cost:.3f} (sre10), above 1"
    assert said.startswith(f"{figures}: as log-likelihood ratios these scores are worse than none; calibrate them")
    turned = write(tmp_path / "turned", [f"{model} {test} {-10 * score}" for model, test, _, score in trials])
    for words in ((turned, files[1]), (turned, files[1], "--distances")):  # no ratios, or for a reason that is given
        assert not [text for text in numbers(*words)["warnings"] if "above 1" in text]
    flat = write(tmp_path / "flat", [f"{model} {test} {0.1 * score}" for model, test, _, score in trials])
    assert numbers(flat, files[1])["warnings"] == [FEW]

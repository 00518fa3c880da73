"""The command line, as a person meets it."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.commands import speechgmm as invoke
from helpers.recipes import synthetic_corpus
from speechgmm import __version__

FULL = Path("/dev/full")


def speechgmm(*arguments, cwd=None):
    command = [sys.executable, "-m", "speechgmm", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "tiny.yaml"
    corpus = synthetic_corpus(n_speakers=2, n_background=2, n_background_utterances=1, n_enrol=1, n_test=1)
    path.write_text(f"{corpus}\nubm: {{n_components: 4, n_iterations: 2}}\n")
    return path


def test_a_run_ends_with_a_table_and_the_path_of_the_results(recipe):
    done = speechgmm("run", recipe, "--jobs", 1, "--set", "seed=3", cwd=recipe.parent)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("EER", "minDCF sre08", "minCllr", "identification", "results/tiny"):
        assert word in done.stdout
    metrics = json.loads((recipe.parent / "results" / "tiny" / "metrics.json").read_text())
    assert metrics["trials"]["trials"]["n_target"] == 2
    assert "seed: 3" in (recipe.parent / "results" / "tiny" / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file; recipes there: tiny.yaml"),
        (["run", "tiny.yaml", "--set", "ubm.n_componets=3"], "did you mean n_components?"),
        (["run", "tiny.yaml", "--set", "ubm.n_components=99999", "--set", "ubm.weight_floor=0"], "is more than the"),
        (["run", "tiny.yaml", "--engine", "threads"], "threads"),
        (["run", "tiny.yaml", "--jobs", "0"], "--jobs"),
        (["run", "tiny.yaml", "--jobs", f"{10**22}"], "'--jobs'"),
        (["run", "tiny.yaml", "--set", f"evaluation.bootstrap={10**22}"], "evaluation.bootstrap"),
        (["evaluate", "scores", "trials", "--bootstrap", f"{10**22}"], "'--bootstrap'"),
        (["run", "tiny.yaml", "--results", "tiny.yaml"], "tiny.yaml"),
        (["run", "tiny.yaml", "--name", "a/b"], "'--name'"),
        (["run", "tiny.yaml", "--name", ".hidden"], "the first a letter or a digit"),
        (["run", "tiny.yaml", "--name", "x" * 101], "at most 100 letters"),
        (["run", "tiny.yaml", "--name", ""], "expected at most 100 letters"),
        (["runn"], "runn"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(recipe, arguments, message, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    done = invoke(*arguments)  # which raises what would be a traceback
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_so_it_is_of_a_process(recipe):
    done = speechgmm("run", "tiny.yaml", "--set", "ubm.n_componets=3", cwd=recipe.parent)
    assert done.returncode == 2
    assert "did you mean n_components?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def results_of(*arguments):
    """Run an experiment without a report in the current folder and this process: its results, and what was printed."""
    done = invoke("run", *arguments, "--engine", "serial", "--until", "evaluation")
    assert done.exit_code == 0, done.stderr
    (folder,) = (line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("results: "))
    return Path(folder), done


@pytest.mark.parametrize("name", ["2024", "null", "a.b_c-d"])
def test_a_name_is_that_of_the_results_and_changes_nothing_else(recipe, monkeypatch, name):
    monkeypatch.chdir(recipe.parent)
    (named, _), (own, _) = results_of("tiny.yaml", "--name", name), results_of("tiny.yaml")
    assert (named, own) == (Path("results") / name, Path("results/tiny"))
    for file in ("metrics.json", "scores.csv", "ubm.safetensors", "data.csv"):
        assert (named / file).read_bytes() == (own / file).read_bytes()
    stages = [json.loads((folder / "provenance.json").read_text())["stages"] for folder in (named, own)]
    assert stages[0] == stages[1]


def test_earlier_results_of_another_recipe_are_announced_with_the_command_that_compares(recipe, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    results_of("tiny.yaml", "--name", "mine")
    _, done = results_of("tiny.yaml", "--name", "mine", "--set", "seed=5")
    assert done.stderr.startswith("note: results/mine had results of another recipe (seed: 0 -> 5): they are kept in ")
    assert "of another recipe: speechgmm compare results/mine.previous results/mine\n" in done.stdout


def test_a_stage_that_a_recipe_does_not_have_has_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = synthetic_corpus(n_speakers=2, n_background=2, n_background_utterances=1, n_enrol=1, n_test=1)
    Path("alone.yaml").write_text(f"{corpus}\nspeakers: {{method: independent, n_components: 2}}\n")
    for until, nothing in (("ubm", True), ("features", False)):
        done = invoke("run", "alone.yaml", "--engine", "serial", "--until", until)
        assert (done.exit_code, done.stderr) == (0, "")
        assert (f"{until}: nothing to do: this recipe has no such stage\n" in done.stdout) is nothing


def test_recordings_that_cannot_be_used_are_one_line_for_each_reason(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    for speaker in "abcdef":
        for number, n_channels in enumerate((2, 1, 1)):
            path = Path("voices", speaker, f"{number}.wav")
            path.parent.mkdir(parents=True, exist_ok=True)
            loudness = np.repeat([0.001, 0.1], 8000)[:, None]
            soundfile.write(path, loudness * rng.normal(size=(16000, n_channels)), 16000)
    Path("voices/a/1.wav").write_bytes(b"")
    Path("r.yaml").write_text(
        "corpus: {kind: folder, root: voices, protocol: {n_enrol: 1, background: 0}}\n"
        "speakers: {method: independent, n_components: 1}\nevaluation: {bootstrap: 0}\n"
    )
    _, done = results_of("r.yaml")
    lines = done.stdout.splitlines()
    start = lines.index("warning: 7 utterances could not be used:")
    assert re.fullmatch(r"  \w/0, \w/0, \w/0 and 3 more: 2 channels.*", lines[start + 1])
    assert lines[start + 2].startswith("  a/1: empty: 0 bytes")
    assert lines[start + 3] == "  each of them: results/r/skipped.csv"


def test_a_bug_is_status_1(recipe, monkeypatch):
    from speechgmm import cli

    def fail(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("speechgmm.recipe.running.runner.run", fail)
    monkeypatch.setattr(sys, "argv", ["speechgmm", "run", str(recipe)])
    with pytest.raises(ZeroDivisionError, match="a bug"):  # uncaught, so Python prints it and exits with 1
        cli.app()


def test_an_interrupted_run_says_so(recipe, monkeypatch, capsys):
    from speechgmm import cli

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("speechgmm.recipe.running.runner.run", interrupt)
    monkeypatch.setattr(sys, "argv", ["speechgmm", "run", str(recipe)])
    with pytest.raises(SystemExit) as caught:
        cli.app()
    assert caught.value.code == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_recordings_of_the_talkers_are_written(tmp_path):
    import soundfile

    done = speechgmm("synthesise", "--n-speakers", 2, "--out", tmp_path / "voices", "--jobs", 2)
    assert (done.returncode, done.stderr) == (0, "")
    lists = tmp_path / "voices" / "lists"
    for role in ("background", "enrol", "test"):
        for line in (lists / role / "wav.scp").read_text().splitlines():
            info = soundfile.info(tmp_path / "voices" / line.split(maxsplit=1)[1])
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert (tmp_path / "voices" / "trials.txt").read_text()


def test_the_table_fits_by_moving_the_meanings_below(recipe, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    command = ["run", recipe, "--engine", "serial", "--until", "evaluation"]
    for columns in (20, 70, 200):  # the second and third run find all stages stored
        monkeypatch.setenv("COLUMNS", str(columns))
        done = invoke(*command)
        lines = done.stdout.splitlines()
        (row,) = (line for line in lines if line.split()[:1] == ["EER"])
        assert row.split()[1].endswith("%")
        assert ("EER: equal error rate" in done.stdout) == (columns < 70)


def test_a_request_to_end_is_an_interruption(recipe, tmp_path):
    # A recipe that takes a while; the signal comes once the log says that features are next. While recordings are
    # written, Python may be in a callback of libsndfile, where it can only print an exception.
    long = ["run", recipe, "--engine", "serial", "--results", tmp_path, "--set", "corpus.n_background=200"]
    started = subprocess.Popen([sys.executable, "-m", "speechgmm", *map(str, long)], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "tiny" / "log.txt"
    while not (log.exists() and "corpus: done" in log.read_text()):
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    _, message = started.communicate()
    assert started.returncode == 130
    assert "interrupted" in message
    assert not list((tmp_path / ".cache").rglob(".running-*"))


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_an_error_of_the_user(recipe):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "speechgmm", "run", str(recipe), "--engine", "serial"],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=recipe.parent, check=False,
        )  # fmt: skip
    assert "No space left" in done.stderr
    assert done.returncode == 2


def test_help_and_version():
    assert speechgmm("--version").stdout.strip() == f"speechgmm {__version__}"
    for arguments in (["--help"], ["run", "--help"], ["synthesise", "--help"]):
        done = speechgmm(*arguments)
        assert done.returncode == 0
        assert "Usage" in done.stdout

"""The command line, as a person meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.recipes import synthetic_corpus
from speechgmm import __version__

FULL = Path("/dev/full")


def speechgmm(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "speechgmm", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, **environment},
    )


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
        (["runn"], "runn"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(recipe, arguments, message):
    done = speechgmm(*arguments, cwd=recipe.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


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


@pytest.mark.parametrize("columns", [20, 70, 200])
def test_the_table_fits_by_moving_the_meanings_below(recipe, columns):
    done = speechgmm(
        "run", recipe, "--engine", "serial", "--until", "evaluation", cwd=recipe.parent, COLUMNS=str(columns)
    )
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

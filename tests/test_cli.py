"""The command line, as a person meets it."""

import json
import subprocess
import sys

import pytest

from speechgmm import __version__


def speechgmm(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "speechgmm", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "tiny.yaml"
    path.write_text(
        "corpus: {kind: synthetic, n_speakers: 2, n_background: 2, n_background_utterances: 1, n_enrol: 1, n_test: 1,"
        " seconds: 2.0}\nubm: {n_components: 4, n_iterations: 2}\n"
    )
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
        (["run", "nowhere.yaml"], "nowhere.yaml: not readable"),
        (["run", "tiny.yaml", "--set", "ubm.n_componets=3"], "did you mean n_components?"),
        (["run", "tiny.yaml", "--set", "ubm.n_components=99999", "--set", "ubm.weight_floor=0"], "is more than the"),
        (["run", "tiny.yaml", "--engine", "threads"], "threads"),
        (["run", "tiny.yaml", "--jobs", "0"], "--jobs"),
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

    monkeypatch.setattr("speechgmm.recipe.runner.run", fail)
    monkeypatch.setattr(sys, "argv", ["speechgmm", "run", str(recipe)])
    with pytest.raises(ZeroDivisionError, match="a bug"):  # uncaught, so Python prints it and exits with 1
        cli.app()


def test_an_interrupted_run_says_so(recipe, monkeypatch, capsys):
    from speechgmm import cli

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("speechgmm.recipe.runner.run", interrupt)
    monkeypatch.setattr(sys, "argv", ["speechgmm", "run", str(recipe)])
    with pytest.raises(SystemExit) as caught:
        cli.app()
    assert caught.value.code == 130
    assert "interrupted" in capsys.readouterr().err


def test_recordings_of_the_voices_are_written(tmp_path):
    import soundfile

    done = speechgmm("synthesise", "--n-speakers", 2, "--out", tmp_path / "voices", "--jobs", 2)
    assert (done.returncode, done.stderr) == (0, "")
    lists = tmp_path / "voices" / "lists"
    for role in ("background", "enrol", "test"):
        for line in (lists / role / "wav.scp").read_text().splitlines():
            info = soundfile.info(tmp_path / "voices" / line.split(maxsplit=1)[1])
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert (tmp_path / "voices" / "trials.txt").read_text()


def test_help_and_version():
    assert speechgmm("--version").stdout.strip() == f"speechgmm {__version__}"
    for arguments in (["--help"], ["run", "--help"], ["synthesise", "--help"]):
        done = speechgmm(*arguments)
        assert done.returncode == 0
        assert "Usage" in done.stdout

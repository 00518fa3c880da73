"""What --help shows, and what a shell completes."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import typer

from helpers.commands import speechgmm
from helpers.voices import enrolment, spoken
from speechgmm.cli import app

GROUP = typer.main.get_command(app)
COMMANDS = {
    **{(name,): command for name, command in GROUP.commands.items() if name != "gallery"},
    **{("gallery", name): command for name, command in GROUP.commands["gallery"].commands.items()},
}
EXAMPLES = {path: command.help.rpartition("Example: speechgmm ")[2] for path, command in COMMANDS.items()}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("path", [(), ("gallery",), *COMMANDS], ids=" ".join)
def test_help_is_short_for_it_too_and_shows_no_type_of_flags(path):
    short, long = speechgmm(*path, "-h"), speechgmm(*path, "--help")
    assert (short.exit_code, short.output) == (0, long.output)
    assert "bool" not in short.output
    assert re.search(r"--help +-h", short.output)


def test_commands_are_in_groups_and_the_exit_status_is_explained():
    shown = speechgmm("--help").output
    places = [shown.index(f"─ {group} ─") for group in ("Experiments", "Galleries", "Features", "Data and scores")]
    assert places == sorted(places)
    assert places[0] < shown.index("│ sweep ") < places[1]
    for status in ("0 for success", "2 for an error", "3 if some", "130 if interrupted", "1 for a bug"):
        assert status in " ".join(shown.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_paragraphs_of_help_have_no_line_ends_of_their_own(path):
    assert all("\n" not in paragraph for paragraph in COMMANDS[path].help.split("\n\n"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_it_accepts(path):
    words = shlex.split(EXAMPLES[path].partition(" > ")[0])
    assert tuple(words[: len(path)]) == path
    context = COMMANDS[path].make_context("speechgmm", words[len(path) :])
    assert not context.args


def run_example(*path):
    done = speechgmm(*shlex.split(EXAMPLES[path]))
    assert done.exit_code == 0, f"{EXAMPLES[path]}: {done.output}{done.stderr}"
    return done.output


@pytest.fixture
def recordings(tmp_path, monkeypatch, rng):
    """Recordings of three speakers of one word, in the current folder."""
    for speaker in "abc":
        for number in range(4):
            path = tmp_path / "recordings" / speaker / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            loudness = np.repeat([0.001, 0.1], 8000)
            soundfile.write(path, loudness * rng.normal(size=16000), 16000)
    monkeypatch.chdir(tmp_path)


def test_the_examples_on_recordings_and_scores_work(recordings, tmp_path):
    assert "wrote recordings.yaml" in run_example("init")
    for command in ("check", "show"):
        assert run_example(command)
    assert "recordings.npz: 12 utterances" in run_example("features")
    (tmp_path / "scores.txt").write_text("a x 1\nb x 0\n")
    (tmp_path / "trials.txt").write_text("a x target\nb x nontarget\n")
    assert "EER" in run_example("evaluate")


@pytest.mark.slow
def test_the_examples_of_experiments_work_one_after_another(recordings):
    run_example("init")
    assert speechgmm("run", "recordings.yaml").exit_code == 0
    assert "results: results/second" in run_example("run")
    assert "table: results/recordings/sweep.csv" in run_example("sweep")
    for command in ("report", "compare", "cache"):
        assert run_example(command)


def test_the_examples_of_galleries_work_one_after_another(voices, results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.move(results, tmp_path / "moved")
    shutil.move(tmp_path / "moved", tmp_path / "results" / "recordings")
    for number, path in enumerate(enrolment(voices, "f001"), 1):
        shutil.copyfile(path, f"ann-{number}.wav")
    first, second = spoken(voices, "f001")
    shutil.copyfile(first, "who.wav")
    samples = [soundfile.read(path)[0] for path in (first, second)]
    soundfile.write("meeting.wav", np.concatenate(samples), 16000)
    for command in ("create", "enrol", "extend", "list", "identify", "verify", "timeline", "forget"):
        assert run_example("gallery", command)


def complete(line, word):
    """What bash is offered for a word of a line."""
    environment = {"_SPEECHGMM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    script = "import sys; sys.argv = ['speechgmm']; from speechgmm.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.split()


def test_commands_options_and_choices_are_completed_and_files_are_left_to_the_shell():
    assert complete("speechgmm ru", 1) == ["run"]
    assert complete("speechgmm gallery id", 2) == ["identify"]
    assert complete("speechgmm run --na", 2) == ["--name"]
    assert complete("speechgmm run --until sp", 3) == ["speakers"]
    assert complete("speechgmm run rec", 2) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_accepts_the_script_that_completes():
    script = "import sys; sys.argv = ['speechgmm', *sys.argv[1:]]; from speechgmm.cli import app; app()"
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run(
        [sys.executable, "-c", script, "--show-completion", "bash"],
        capture_output=True, text=True, check=True, env=environment,
    ).stdout  # fmt: skip
    done = subprocess.run(["bash", "-c", f"{shown}\ncomplete -p speechgmm"], capture_output=True, text=True, check=True)
    assert done.stdout == "complete -o default -F _speechgmm_completion speechgmm\n"

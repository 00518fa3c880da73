"""Shipped recipes on the command line: the list, copies, runs by name, and the note about files that hide them."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import speechgmm
from helpers.paths import ROOT
from helpers.recipes import SMALL, synthetic_corpus
from speechgmm.errors import RecipeError
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.shipped import folder_of, kinds, shipped_names

TINY = ["--set", f"corpus={synthetic_corpus().partition(': ')[2]}", "--set", "ubm.n_components=4"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_that_is_shipped_is_listed_with_a_line_each():
    lines = speechgmm("recipes").stdout.splitlines()
    named = [line.split()[0] for line in lines if line.startswith("  ")]
    assert named == [name for kind in kinds() for name in shipped_names(kind)]
    assert all(len(line.split()) > 4 for line in lines if line.startswith("  "))
    headings = [line for line in lines if line and not line.startswith(" ")]
    assert headings[0] == "Recipes: speechgmm run NAME"
    assert len(headings) == len(kinds())


@pytest.mark.parametrize(("name", "kind"), [("quickstart", "recipes"), ("mfcc_raw", "systems"), ("64", "ubm")])
def test_one_is_printed_with_its_comments(name, kind):
    assert speechgmm("recipes", name).stdout == (folder_of(kind) / f"{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("quickstat", "did you mean quickstart?"),
        ("bset", "did you mean best?"),
        ("ivector", "did you mean so762_ivector or voxceleb1_ivector?"),
        ("nope", "speechgmm recipes lists what there is"),
    ],
)
def test_a_name_that_is_none_is_refused_with_names_like_it(name, meant):
    done = speechgmm("recipes", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {name}: nothing shipped has this name; {meant}\n"


@pytest.mark.parametrize("command", ["run", "check", "show", "sweep", "vectors"])
def test_a_path_is_no_shipped_name(here, command):
    more = ["--out", "v.npz"] if command == "vectors" else []
    done = speechgmm(command, "./quickstart", *more)
    assert done.exit_code == 2
    assert done.stderr == "error: quickstart: no such file; the shipped one is named quickstart\n"
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe("./quickstart")
    (here / "quickstart").write_text("corpus: {kind: synthetic}\nubm: {n_componets: 3}\n")
    done = speechgmm(command, "./quickstart", *more)
    assert done.stderr == "error: quickstart:2:7: ubm.n_componets: unknown key; did you mean n_components?\n"


def test_every_command_takes_a_name(here):
    assert "shipped recipes/quickstart.yaml:7" in speechgmm("show", "quickstart").stdout
    done = speechgmm("run", "quickstart", *TINY, "--until", "ubm", "--engine", "serial")
    assert (done.exit_code, done.stderr) == (0, "")
    assert next((here / "results" / ".cache" / "ubm").glob("*/ubm*.safetensors")).is_file()
    checked = speechgmm("check", "quickstart", *TINY, "--jobs", "1")
    assert (checked.exit_code, checked.stderr) == (0, "")
    swept = speechgmm("sweep", "so762_sweep", "--set", "corpus={kind: synthetic}", "--set", "seed=0,-1")
    assert "--set seed=-1: seed: -1; expected 0 or more" in swept.stderr


@pytest.mark.parametrize("command", ["run", "check", "show", "sweep", "vectors"])
def test_every_command_says_once_that_a_file_is_taken(command):
    Path("quickstart.yaml").write_text(f"{SMALL}ubm: 64\n")
    Path("64.yaml").write_text("n_componets: 4\n")
    more = ["--out", "v.npz"] if command == "vectors" else []
    done = speechgmm(command, "quickstart", *more)
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "note: quickstart is the file quickstart.yaml here, not shipped recipes/quickstart.yaml",
        "note: 64 is the file 64.yaml here, not shipped ubm/64.yaml",
        "error: 64.yaml:1:1: ubm.n_componets: unknown key; did you mean n_components?",
    ]


def test_a_wheel_holds_what_is_shipped_where_it_is_looked_for():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    included = text.partition("[tool.hatch.build.targets.wheel.force-include]\n")[2].partition("\n\n")[0]
    assert included.splitlines() == [f'{folder} = "speechgmm/shipped/{folder}"' for folder in ("recipes", "configs")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What a wheel installs, in a folder, and a function that runs its command in an empty one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    built = subprocess.run(pip, capture_output=True, text=True)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("the package that builds wheels cannot be installed here")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("speechgmm-*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, folder / "site"], check=True)
    (folder / "empty").mkdir()

    def run(*words):
        code = "from speechgmm.cli import app; app()"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=folder / "empty",
            env={"PYTHONPATH": str(folder / "site"), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
            capture_output=True,
            text=True,
        )

    return folder, run


@pytest.mark.slow
def test_the_quickstart_runs_from_a_wheel_by_name_in_an_empty_folder(installed):
    folder, run = installed
    assert {path.name for path in (folder / "site" / "speechgmm" / "shipped").iterdir()} == {"recipes", "configs"}
    done = run("run", "quickstart")
    assert done.returncode == 0, done.stderr
    assert (folder / "empty" / "results" / "quickstart" / "report.html").is_file()
    assert run("recipes", "so762").stdout == (ROOT / "recipes" / "so762.yaml").read_text()
    assert run("recipes").stdout == speechgmm("recipes").stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", ["show so762", "check best --set corpus.kind=kaldi --set corpus.root=none"])
def test_no_message_of_a_wheel_has_a_path_into_it(installed, command):
    folder, run = installed
    done = run(*shlex.split(command))
    assert done.returncode == 2
    assert str(folder / "site") not in done.stdout + done.stderr

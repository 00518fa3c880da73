"""Attempts to run code, to write elsewhere, or to use up memory, by what is only data: each has one result."""

import ast
import contextlib
import json
import shutil
import zipfile
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.paths import ROOT
from speechgmm import load_gmm, run
from speechgmm.cli import app
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError, GalleryError, ModelError, RecipeError
from speechgmm.features.formats.reading import read_features
from speechgmm.features.formats.writing import Matrix, write_features
from speechgmm.gallery.speakers import safe_name
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.reading.loader import load_recipe

SERIAL = Engine("serial")
RECIPE = """
corpus: {kind: kaldi, root: corpus}
ubm: {n_components: 2, n_iterations: 2}
calibration: {method: none}
evaluation: {bootstrap: 0}
"""
RUN_BY_LOADING = b'cbuiltins\nexec\n(S\'open("ran", "w")\'\ntR.'
TRAVERSALS = ["../../x", "/tmp/x", "..", ".", "a/b", "a\\b", ".hidden", "", "a\nb", "-x"]


class Runs:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("open('ran', 'w')",)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A small corpus of Kaldi lists."""
    folder = tmp_path_factory.mktemp("recorded") / "corpus"
    config = SyntheticConfig(n_speakers=2, n_background=2, n_background_utterances=1, n_enrol=1, n_test=1, seconds=1.5)
    for _ in write_recordings(config, folder):
        pass
    return folder


@pytest.fixture
def folder(recorded, tmp_path, monkeypatch):
    """A copy of it, with a recipe, to work in."""
    shutil.copytree(recorded, tmp_path / "corpus")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path, monkeypatch):
    """See that no attempt has run its code."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "ran").exists()


def renamed(folder, old, new):
    """Call a speaker and all utterances of that name otherwise, in all lists."""
    for path in [*folder.glob("corpus/lists/*/*"), folder / "corpus" / "trials.txt"]:
        lines = []
        for line in path.read_text().splitlines():
            words = line.split()
            ours = [word.startswith(old) and not word.endswith(".flac") for word in words]
            words = [new + word if each else word for word, each in zip(words, ours, strict=True)]
            lines.append(" ".join(words) + "\n")
        path.write_text("".join(sorted(lines)))


def outside(folder):
    """List all files but results."""
    return sorted(path for path in folder.parent.rglob("*") if folder / "results" not in [path, *path.parents])


# Writing elsewhere


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_recipe_of_a_name_that_leads_elsewhere(folder, name):
    text = f"name: {json.dumps(name)}{RECIPE}"
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError, match="name"):
        load_recipe(folder / "mine.yaml")
    systems = f"systems: [{{name: {json.dumps(name)}}}, {{name: other}}]"
    (folder / "mine.yaml").write_text(systems + RECIPE.replace("ubm", "#"))
    with pytest.raises(RecipeError, match="name"):
        load_recipe(folder / "mine.yaml")


@pytest.mark.parametrize("prefix", ["../../../", "/", "~/", "C:\\"])
def test_ids_of_speakers_and_utterances_that_lead_elsewhere(folder, prefix):
    renamed(folder, "f001", prefix)
    before = outside(folder)
    done = run("mine.yaml", results="results", engine=SERIAL, until_stage="evaluation")
    assert outside(folder) == before
    assert f"{prefix}f001" in (done.folder / "scores.csv").read_text()


def test_a_sex_that_leads_elsewhere(folder):
    for table in folder.glob("corpus/lists/*/spk2gender"):
        table.write_text("".join(f"{line.split()[0]} ../../../x\n" for line in table.read_text().splitlines()))
    before = outside(folder)
    with pytest.raises((CorpusError, ModelError, RecipeError), match=r"\.\./x"):
        run("mine.yaml", overrides=["ubm.per_sex=true"], results="results", engine=SERIAL)
    assert outside(folder) == before


@pytest.mark.parametrize("name", [name for name in TRAVERSALS if name != "-x"])  # which a gallery takes
def test_a_speaker_of_a_gallery_whose_name_leads_elsewhere(name):
    with pytest.raises(GalleryError, match="speaker name"):
        safe_name(name)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_an_id_that_leads_elsewhere_when_features_are_unpacked(tmp_path, suffix):
    with pytest.raises(CorpusError, match="expected printable characters"):
        write_features(tmp_path / f"out{suffix}", [Matrix.from_array("../../x", np.zeros((2, 2), np.float32))])
    assert not list(tmp_path.iterdir())


def test_files_that_are_links_are_replaced_and_not_written_through(folder):
    treasure = folder / "treasure"
    treasure.write_text("mine")
    results = folder / "results" / "mine"
    (results / "plots").mkdir(parents=True)
    for name in ("log.txt", "metrics.json", "scores.csv", "report.html", "recipe.yaml", "plots/det.svg"):
        (results / name).symlink_to(treasure)
    run("mine.yaml", results="results", engine=SERIAL)
    assert treasure.read_text() == "mine"
    assert not any(path.is_symlink() for path in results.rglob("*"))


def test_a_lock_that_is_a_link(folder):
    treasure = folder / "treasure"
    treasure.write_text("mine")
    locks = folder / "results" / ".cache" / ".locks"
    locks.mkdir(parents=True)
    (locks / "results-results-mine").symlink_to(treasure)
    told = CliRunner().invoke(app, ["run", "mine.yaml", "--engine", "serial"])
    assert told.exit_code == 2
    assert treasure.read_text() == "mine"


def test_a_stage_that_is_a_link(folder):
    run("mine.yaml", results="results", engine=SERIAL, until_stage="ubm")
    (ubm,) = (folder / "results" / ".cache" / "ubm").glob("[0-9a-f]*")
    treasure = folder / "treasure"
    ubm.rename(treasure)
    (treasure / "training.csv").write_text("mine")
    ubm.symlink_to(treasure)
    told = CliRunner().invoke(app, ["run", "mine.yaml", "--engine", "serial"])
    assert told.exit_code == 2
    assert "Cannot call rmtree on a symbolic link" in told.output
    assert (treasure / "training.csv").read_text() == "mine"


# Running code


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "!!python/name:os.system",
        "!run x",
        "!!binary aGk=",
        "!!set {a}",
    ],
)
def test_a_tag_in_a_recipe(folder, text):
    (folder / "mine.yaml").write_text(f"corpus: {text}\n")
    with pytest.raises(RecipeError, match=r"tag .*: a recipe is plain data"):
        load_recipe(folder / "mine.yaml")


@pytest.mark.parametrize("line", ["touch ran |", "cat x; touch ran |", "|touch ran", "touch ran|", "`touch ran` |"])
def test_a_command_in_a_list(folder, line):
    for scp in folder.glob("corpus/lists/test/wav.scp"):
        first, *rest = scp.read_text().splitlines()
        scp.write_text("\n".join([f"{first.split()[0]} {line}", *rest, ""]))
    with contextlib.suppress(CorpusError):  # one that begins with a pipe is the name of a file that is not there
        run("mine.yaml", results="results", engine=SERIAL, until_stage="features")
    assert not list(folder.rglob("ran"))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".ark", ".scp", ".h5", ".htk"])
@pytest.mark.parametrize("data", [RUN_BY_LOADING, bytes(ForkingPickler.dumps(Runs()))], ids=["old", "new"])
def test_a_pickle_in_a_file_of_features(tmp_path, suffix, data):
    path = tmp_path / f"a{suffix}"
    objects = np.array([Runs()], object)
    attempts = [data, b"utt " + data, b"utt \0B" + data, b"utt PKL" + data]
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
        attempts.append(path.read_bytes())
    if suffix == ".npz":
        np.savez(path, a=objects)
        attempts.append(path.read_bytes())
    for attempt in attempts:
        path.write_bytes(attempt)
        with pytest.raises(CorpusError):
            list(read_features(path))


@pytest.mark.parametrize("data", [RUN_BY_LOADING, bytes(ForkingPickler.dumps(Runs()))], ids=["old", "new"])
def test_a_pickle_in_place_of_a_model(tmp_path, data):
    (tmp_path / "ubm.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="not readable as a model file"):
        load_gmm(tmp_path / "ubm.safetensors")


def test_a_stored_array_of_objects(folder):
    done = run("mine.yaml", results="results", engine=SERIAL, until_stage="evaluation")
    for path in (folder / "results" / ".cache").rglob("*.npy"):
        np.save(path, np.array([Runs()], object), allow_pickle=True)
    again = run("mine.yaml", results="results", engine=SERIAL, until_stage="evaluation")
    assert [stage.damage for stage in again.stages if stage.damage]
    assert again.metrics == done.metrics


RUNS_CODE = {"eval", "exec", "compile", "__import__", "system", "popen", "allow_pickle", "shell"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}


def test_nothing_in_the_package_unpickles_or_evaluates():
    found = []
    for path in sorted((ROOT / "speechgmm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = set()
            match node:
                case ast.Import():
                    names = {each.name.split(".")[0] for each in node.names} & UNSAFE_MODULES
                case ast.ImportFrom(module=str(module)):
                    names = {module.split(".")[0]} & UNSAFE_MODULES
                case ast.Call(func=ast.Name(id=name)):
                    names = {name} & RUNS_CODE
                case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=name)):
                    names = {name} & RUNS_CODE
                case ast.keyword(arg=str(name), value=ast.Constant(value=value)) if value is not False:
                    names = {name} & RUNS_CODE
            found += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in names]
    assert found == []


# Using up memory


def test_anchors_that_multiply(folder):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (folder / "mine.yaml").write_text("\n".join(lines))
    with pytest.raises(RecipeError, match="more than 10000 keys"):
        load_recipe(folder / "mine.yaml")


def test_an_archive_that_inflates_a_thousand_times(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("u.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (2**23, 1)})
        for _ in range(32):
            member.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(CorpusError, match=r"bomb\.npz: u: .*bytes announced"):
        list(read_features(path))


# What others read


HTML = "<script>alert(1)</script><img/src=x/onerror=alert(1)>"


def test_names_that_are_markup(folder):
    renamed(folder, "f001", HTML)
    (folder / "corpus" / "trials.txt").rename(folder / "corpus" / "<i>a&b.txt")
    done = run("mine.yaml", overrides=["corpus.trials=['<i>a&b.txt']"], results="results", engine=SERIAL)
    for page in [done.folder / "report.html", *done.folder.rglob("*.svg")]:
        text = page.read_text()
        assert "<script>alert" not in text
        assert "<img/src" not in text
        assert "<i>a" not in text
    assert "&lt;img/src" in (done.folder / "report.html").read_text()


@pytest.mark.parametrize("start", ["=cmd|'/C", "+1+1", "@SUM(1)", "-1+1"])
def test_names_that_are_formulas_stay_as_they_are(folder, start):
    renamed(folder, "f001", start)  # a table that changed names could not be joined with the lists
    done = run("mine.yaml", results="results", engine=SERIAL, until_stage="evaluation")
    assert f"\n{start}f001," in (done.folder / "scores.csv").read_text()


def test_names_that_a_terminal_would_obey(folder):
    escape = "\x1b]0;owned\x07"
    renamed(folder, "bg-f001", "m002-")  # makes a warning of an overlap
    (folder / "corpus" / "lists" / "test" / "utt2spk").write_text(f"{escape}a {escape}b\n")
    told = CliRunner().invoke(app, ["run", "mine.yaml", "--engine", "serial"])
    assert told.exit_code == 2
    assert "\\x1b]0;owned\\x07" in told.output
    assert "\x1b]0" not in told.output

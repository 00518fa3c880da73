"""Faults of what surrounds a run: disk, rights, files, processes, clock, home, locale and names."""

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from harness import RECIPE, at, content, forget, run, speechgmm, stored
from speechgmm import run as run_recipe
from speechgmm.features.store.store import open_store
from speechgmm.gmm import kernels as gmm_kernels
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache import outputs as cache
from speechgmm.recipe.layout import RESULTS_LOCK_PREFIX
from speechgmm.recipe.results import writing as results
from speechgmm.recipe.stages import features as features_stage

KALDI = """
corpus: {kind: kaldi, root: corpus}
ubm: {n_components: 2, n_iterations: 2}
calibration: {method: none}
evaluation: {bootstrap: 0}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A recipe that has run, and its recordings with a recipe for them."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(RECIPE)
    run_recipe(folder / "small.yaml", results=folder / "results", engine=Engine("serial"))
    shutil.copytree(stored(folder, "corpus")[0], folder / "corpus")
    (folder / "kaldi.yaml").write_text(KALDI)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it to do harm to."""
    return shutil.copytree(whole, tmp_path / "copy")


@contextlib.contextmanager
def mounted(folder, *arguments):
    """Mount something there, where one may."""
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", *arguments, folder], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
@pytest.mark.parametrize("size", ["40k", "100k"])
def test_a_disk_that_is_full_from_the_start(folder, size):
    disk = folder / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        if size == "40k":
            with contextlib.suppress(OSError):
                (disk / "filling").write_bytes(bytes(100_000))
        told = run(folder, "--results", "disk")
        assert told.status == 2
        assert told.message.startswith("disk/")
        assert told.message.endswith(": No space left on device")
        assert not [*disk.rglob(".running-*"), *disk.rglob(".writing-*")]


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_results_that_can_only_be_read(folder):
    disk = folder / "disk"
    with mounted(disk, "--bind", folder / "results"):
        subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
        told = run(folder, "--results", "disk")
        assert told.status == 2
        assert told.message.startswith("disk/")
        assert told.message.endswith(": Read-only file system")
        shown = speechgmm(folder, "show", "small.yaml", "--results", "disk", "--json")
        assert all(stage["stored"] for stage in json.loads(shown.out)["stages"])


@pytest.fixture
def ours(whole):
    """A copy for somebody who may not do all, as root may, and what makes us that."""
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(whole, Path(place) / "copy")
        if os.geteuid():
            yield folder, lambda: None
        else:
            for path in [Path(place), folder, *folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
            yield folder, partial(os.setuid, NOBODY)


NOBODY = 65534


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="this system has other rights")
def test_what_one_may_not_do(ours):
    folder, plant = ours
    forget(folder, "features")
    next((folder / "corpus").rglob("*.flac")).chmod(0)
    told = speechgmm(folder, "run", "kaldi.yaml", "--engine", "serial", plant=plant)
    assert (told.status, told.err) == (0, "")
    assert "not readable (Permission denied)" in (folder / "results" / "kaldi" / "skipped.csv").read_text()
    for path in (folder / "results" / ".cache" / "ubm").rglob("ubm.safetensors"):
        path.chmod(0)
    assert "ubm.safetensors: Permission denied); computed again" in run(folder, plant=plant).out
    (folder / "results" / "small").chmod(0o555)
    assert run(folder, plant=plant).message == "results/small/log.txt: Permission denied"
    (folder / "results" / "small").chmod(0o755)
    (folder / "small.yaml").chmod(0)
    told = run(folder, plant=plant)
    assert told.status == 2
    assert "small.yaml: not readable (Permission denied)" in told.err


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="this system has other rights")
def test_a_speaker_and_a_model_that_one_may_not_read(ours):
    folder, plant = ours

    def gallery(*arguments):
        return speechgmm(folder, "gallery", *arguments, plant=plant)

    assert gallery("create", "results/small", "--out", "team").status == 0
    first, second, test = sorted(str(path) for path in (folder / "corpus").rglob("*.flac"))[:3]
    assert gallery("enrol", "team", "Ann", first).status == 0
    assert gallery("enrol", "team", "Bo", second).status == 0
    (folder / "team" / "speakers" / "Ann.safetensors").chmod(0)
    for arguments in (["list", "team"], ["identify", "team", test]):
        told = gallery(*arguments)
        assert told.status == 3
        assert "Ann.safetensors: not readable (Permission denied)" in told.err
        assert "Bo" in told.out
    assert gallery("verify", "team", "Ann", test).message.endswith("Ann.safetensors: not readable (Permission denied)")
    (folder / "team" / "speakers").chmod(0)
    for arguments in (["list", "team"], ["identify", "team", test], ["enrol", "team", "Cy", test]):
        told = gallery(*arguments)
        assert (told.status, told.out, told.message) == (2, "", "team/speakers: Permission denied")
    (folder / "results" / "small" / "ubm.safetensors").chmod(0)
    told = gallery("create", "results/small", "--out", "other")
    assert (told.status, told.message) == (2, "results/small/ubm.safetensors: not readable (Permission denied)")


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="this system has other rights")
@pytest.mark.parametrize("where", [".cache", ".cache/ubm", "small/provenance.json"])
def test_a_cache_that_one_may_not_read(ours, where):
    folder, plant = ours
    (folder / "results" / where).chmod(0)
    for arguments in ([], ["--json"], ["--prune"]):
        told = speechgmm(folder, "cache", *arguments, plant=plant)
        assert (told.status, told.out, told.message) == (2, "", f"results/{where}: Permission denied")
    (folder / "results" / where).chmod(0o755)
    assert speechgmm(folder, "cache", "--prune", plant=plant).out == "0 removed, 0.0 MB freed\n"
    assert speechgmm(folder, "cache", "--results", "elsewhere", plant=plant).out == "0 stored, 0.0 MB\n"


@pytest.mark.parametrize("read", [False, True])
def test_a_recording_that_goes_between_check_and_read(folder, read):
    forget(folder, "features")
    recording, away = next((folder / "corpus").rglob("bg-*.flac")), folder / "away.flac"
    extract = features_stage.write_role_features

    def extract_faultily(*arguments, **options):
        if read:
            extract(*arguments, **options)
        recording.rename(away)
        if not read:
            extract(*arguments, **options)

    def plant():
        features_stage.write_role_features = extract_faultily

    told = speechgmm(folder, "run", "kaldi.yaml", "--engine", "serial", plant=plant)
    assert told.status == 2
    assert told.message.endswith(f"{recording.name}: changed, or gone, while features were extracted; run again")
    assert not stored(folder, "features")
    away.rename(recording)
    again = speechgmm(folder, "run", "kaldi.yaml", "--engine", "serial")
    assert again.status == 0
    assert (folder / "results" / "kaldi" / "skipped.csv").read_text().count("\n") == 1


def test_a_stored_file_that_goes_while_it_is_used(folder):
    forget(folder, "ubm")
    indices = [output / "index.json" for output in stored(folder, "features")]

    def plant():
        for index in indices:
            at("ubm", partial(index.unlink, missing_ok=True), after=False)

    told = run(folder, plant=plant)
    assert told.status == 2
    assert told.message.endswith("index.json: No such file or directory")
    assert run(folder).status == 0


def hide_packages():
    """Let PyTorch and numba not be installed."""
    sys.modules |= dict.fromkeys(("torch", "numba"))
    for name in ("pytorch", "compiled", "skipping"):
        sys.modules.pop(f"speechgmm.gmm.kernels.{name}", None)
        vars(gmm_kernels).pop(name, None)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ubm.kernel=torch", "ubm: kernel torch needs the package torch"),
        ("ubm.kernel=numba", "ubm: kernel numba needs the package numba"),
        ("ubm.skip_below=1e-6", "ubm: skip_below needs the package numba"),
        ("scoring.kernel=cuda", "scoring: kernel cuda needs the package torch"),
        ("speakers={method: independent, kernel: torch}", "speakers: kernel torch needs the package torch"),
    ],
)
def test_a_kernel_whose_package_is_not_there(folder, setting, message):
    (folder / "small.yaml").write_text(RECIPE.replace("ubm: {n_components: 2, n_iterations: 2}\n", ""))
    before = everything(folder / "results")
    told = run(folder, "--set", setting, plant=hide_packages)
    assert told.status == 2
    assert told.message.startswith(f"small: {message}: pip install")
    assert everything(folder / "results") == before
    found = speechgmm(folder, "check", "small.yaml", "--json", "--set", setting, plant=hide_packages)
    assert found.status == 2
    assert [(each["severity"], each["what"]) for each in json.loads(found.out)["findings"]] == [("error", "kernel")]
    assert run(folder, "--set", setting, "--until", "features", plant=hide_packages).status == 0


def everything(folder):
    """Read all files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_of_a_newer_format(folder):
    from safetensors.numpy import load_file, save_file

    model = folder / "results" / "small" / "ubm.safetensors"
    header = {"format_version": 9, "kind": "gmm", "package_version": "7.0", "front_end": None, "names": []}
    save_file(load_file(model), folder / "first.safetensors", {"speechgmm": json.dumps(header)})
    told = run(folder, "--set", "ubm.initial_model=first.safetensors", "--name", "other")
    assert told.status == 2
    assert "first.safetensors: model of format version 9, written by speechgmm 7.0; this speechgmm" in told.message


def test_a_store_and_a_gallery_of_a_newer_format(folder):
    from speechgmm.errors import GalleryError, ModelError
    from speechgmm.gallery.gallery import Gallery

    (folder / "index.json").write_text('{"format_version": 9}')
    with pytest.raises(ModelError, match="feature store of format version 9; expected 2"):
        open_store(folder)
    (folder / "gallery.json").write_text('{"format_version": 9}')
    with pytest.raises(GalleryError, match="gallery of format version 9; this speechgmm reads 1"):
        Gallery(folder)


@pytest.mark.slow
def test_a_worker_that_is_killed(folder):
    (folder / "small.yaml").write_text(RECIPE.replace("n_iterations: 2", "n_iterations: 9, tolerance: 0"))
    program = "import harness; from speechgmm.cli import app; harness.kill_a_worker(4); app()"
    command = [sys.executable, "-c", program, "run", "small.yaml", "--engine", "processes", "--jobs", "2"]
    folders = (Path(__file__).parent, Path(__file__).parents[1])  # of harness, and of helpers
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    told = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (2, "")
    kept, error = told.stderr.splitlines()
    assert kept.startswith("note: results/small had results of another recipe (ubm.n_iterations: 2 -> 9")
    assert error == "error: a worker process was killed, perhaps because memory ran out; try fewer jobs"
    assert "ubm: iteration 3," in (folder / "results" / "small" / "log.txt").read_text()
    assert len(list((folder / "results" / ".cache" / "ubm").glob(".unfinished-*"))) == 1
    assert run(folder, "--until", "ubm").status == 0
    log = (folder / "results" / "small" / "log.txt").read_text()
    assert "ubm: iteration 3," not in log  # which was done before
    assert "ubm: iteration 4," in log


def test_two_runs_on_one_folder_of_results(whole, folder):
    (folder / "results" / ".cache" / ".locks").mkdir(exist_ok=True)
    with FileLock(folder / "results" / ".cache" / ".locks" / f"{RESULTS_LOCK_PREFIX}results-small"):
        told = run(folder)
    assert told.status == 2
    assert told.message == (
        "results/small: another run is writing these results; wait for it, or give this one another name (--name)"
    )
    assert content(folder) == content(whole)


def test_a_clock_that_goes_backwards(whole, folder):
    shutil.rmtree(folder / "results" / ".cache")
    told = run(folder, "--until", "evaluation", plant=turn_back)
    assert (told.status, told.err) == (0, "")
    assert content(folder) == content(whole)
    listed = json.loads(speechgmm(folder, "cache", "--json").out)
    assert {each["made_at"][:4] for each in listed} == {"1971"}
    assert run(folder, "--until", "evaluation").status == 0


def turn_back():
    """Let each look at the clock see an earlier time than the last one."""
    now = iter(range(50_000_000, 0, -1000))

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(next(now), tz)

    cache.datetime = results.datetime = Clock
    time.time = lambda: float(next(now))


BARE = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
ENVIRONMENTS = {
    "no home and no UTF-8": BARE | ASCII | {"HOME": "/nonexistent"},
    "no home": BARE | {"HOME": "/nonexistent"},
    "nothing": {"PATH": os.environ["PATH"]},
}
FEW = [name if number == 0 else pytest.param(name, marks=pytest.mark.slow) for number, name in enumerate(ENVIRONMENTS)]
ODD = ["with space", "quo'te\"d", "new\nline", "日本語 é", "x" * 255, "<b>&amp;", "=cmd|' '!A0", "-dash", "%s{{7*7}}"]
ODD += ["\x1b[2J"]


@pytest.fixture(scope="module")
def odd(whole, tmp_path_factory):
    """Recordings in folders of odd names."""
    folder = tmp_path_factory.mktemp("odd")
    recordings = sorted(path for path in (whole / "corpus").rglob("*.flac"))
    for number, name in enumerate(ODD):
        (folder / "odd" / name).mkdir(parents=True)
        for recording in recordings[number * 2 : number * 2 + 2]:
            shutil.copy(recording, folder / "odd" / name / f"{recording.stem[-2:]} {name[:200]}.flac")
    (folder / "odd.yaml").write_text(
        "corpus: {kind: folder, root: odd, protocol: {background: 0.4, n_enrol: 1}}\n" + KALDI.split("\n", 2)[2]
    )
    return folder


@pytest.mark.parametrize("environment", FEW)
def test_names_in_any_locale_and_without_a_home(odd, environment, tmp_path):
    command = [sys.executable, "-m", "speechgmm", "run", "odd.yaml", "--engine", "serial", "--results", tmp_path]
    told = subprocess.run(command, cwd=odd, env=ENVIRONMENTS[environment], capture_output=True, check=False)
    assert (told.returncode, told.stderr) == (0, b"")
    scores = (tmp_path / "odd" / "scores.csv").read_text(encoding="utf-8")
    names = {row.split(",")[0] for row in scores.splitlines()[1:]}
    enrolled = {name.replace("\n", "%0A").replace("\x1b", "%1B").replace('"', '""') for name in ODD}
    assert {name.strip('"') for name in names} < enrolled
    assert b"\x1b" not in told.stdout + scores.encode()


@pytest.mark.parametrize("name", ["new\nline", "x" * 255])
def test_results_in_folders_of_odd_names(folder, name):
    (folder / "results").rename(folder / name)
    assert run(folder, "--results", name, "--until", "corpus").status == 0
    assert (folder / name / "small" / "log.txt").is_file()


def test_a_name_that_is_too_long(folder):
    told = run(folder, "--results", "x" * 256)
    assert told.status == 2
    assert told.message.endswith(": File name too long")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["cache"], ["show", "small.yaml"], ["run", "small.yaml"]])
def test_output_that_cannot_be_written(folder, arguments):
    told = speechgmm(folder, *arguments, plant=fill_output)
    assert told.status == 2
    assert told.message == "output: No space left on device"


def fill_output():
    """Let standard output be a full disk."""
    sys.stdout = Path("/dev/full").open("w")  # noqa: SIM115  # for as long as the process lives

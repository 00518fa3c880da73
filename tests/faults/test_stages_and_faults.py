"""Faults in each stage of a run: what its user is told, and that nothing half done passes for whole."""

import errno
import json
import os
import resource
import shutil
import signal
from functools import partial
from importlib import import_module

import pytest

from harness import (
    ON_VECTORS,
    RECIPE,
    STAGES,
    STAGES_OF_VECTORS,
    at,
    content,
    forget,
    left_behind,
    run,
    stored,
)
from speechgmm import run as run_recipe
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import STAGE_FILE, StageCache, StageKey

pytestmark = pytest.mark.pictures

SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
ALL_SIGNALS = [
    pytest.param(stage, name, marks=[] if number % len(SIGNALS) == order else pytest.mark.slow)
    for number, stage in enumerate(STAGES)
    for order, name in enumerate(SIGNALS)
]


def slow(stages):
    """Leave these to the slow tests."""
    return [pytest.param(stage, marks=pytest.mark.slow) for stage in sorted(stages)]


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """Runs a recipe once, and returns its folder."""
    folders = {}

    def run_once(recipe):
        if recipe not in folders:
            folder = folders[recipe] = tmp_path_factory.mktemp("whole")
            (folder / "small.yaml").write_text(recipe)
            run_recipe(folder / "small.yaml", results=folder / "results", engine=Engine("serial"))
        return folders[recipe]

    return run_once


@pytest.fixture
def whole(request, run_once):
    """A recipe that has run: one that has the stage of the test, or the recipe that the test names."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    of_vectors = params.get("stage") in STAGES_OF_VECTORS
    return run_once(params.get("recipe", ON_VECTORS if of_vectors else RECIPE))


def stages_of(recipe):
    """The stages of a recipe that are stored."""
    return [stage for stage in STAGES[:-1] if recipe == ON_VECTORS or stage not in STAGES_OF_VECTORS]


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it to do harm to."""
    return shutil.copytree(whole, tmp_path / "copy")


def assert_stopped(folder, stage):
    """Nothing of a stage that was stopped passes for whole, nor do the results."""
    made = {"features": 2, "ubm": 2, "speakers": 2, "scores": 2, "normalisation": 2}
    made |= {"statistics": 9, "subspace": 3, "vectors": 9, "backend": 3}
    assert len(stored(folder, stage)) <= made.get(stage, 1) - 1 or stage == "report"
    whole = {"corpus": (), "report": ("report.html",)}.get(stage, ("metrics.json", "report.html"))  # the last written
    assert not [name for name in whole if (folder / "results" / "small" / name).exists()]
    assert not left_behind(folder)


def assert_goes_on(folder, whole, until="evaluation"):
    """The same command makes what is missing, and ends with the same bytes."""
    again = run(folder, "--until", until)
    assert (again.status, again.err) == (0, "")
    assert content(folder) == content(whole)
    assert not left_behind(folder)


@pytest.mark.parametrize(("stage", "name"), ALL_SIGNALS)
def test_a_request_to_end(whole, folder, stage, name):
    forget(folder, stage)
    told = run(folder, plant=partial(at, stage, partial(send, SIGNALS[name]), after=stage != "report"))
    assert told.status == 130
    assert told.message == "interrupted; finished work is kept, run the same command again to continue"
    assert (folder / "results" / "small" / "log.txt").read_text().endswith(" ERROR ended by KeyboardInterrupt\n")
    assert_stopped(folder, stage)
    assert_goes_on(folder, whole, "report" if stage == "report" else "evaluation")


def send(number):
    """Send a signal to oneself."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(whole, folder, stage):
    forget(folder, stage)
    told = run(folder, plant=partial(at, stage, fill, after=False))
    assert told.status == 2
    assert told.message.endswith(": File too large")  # what the system says where a quota is full
    assert told.message.startswith("results/")
    assert_stopped(folder, stage)


def fill():
    """Let no file grow: the limit of the system stands for the end of the disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


@pytest.mark.parametrize("stage", ["ubm", *slow({*STAGES[:-1]} - {"ubm"})])
def test_a_bug(folder, stage):
    forget(folder, stage)
    told = run(folder, plant=partial(at, stage, stumble))
    assert told.status == 1
    assert "ZeroDivisionError" in told.err  # a traceback is for what the user cannot mend
    assert_stopped(folder, stage)


def stumble():
    """Do what no code of ours should."""
    raise ZeroDivisionError


@pytest.mark.parametrize("stage", ["scores", *slow({*STAGES[:-1]} - {"scores"})])
def test_a_device_that_fails(folder, stage):
    forget(folder, stage)
    told = run(folder, plant=partial(at, stage, fail))
    assert told.status == 2
    assert told.message == "disk: Input/output error"
    assert_stopped(folder, stage)


def fail():
    """Fail as a disk does."""
    raise OSError(errno.EIO, os.strerror(errno.EIO), os.path.join(os.getcwd(), "disk"))  # noqa: PTH109, PTH118


@pytest.mark.parametrize("recipe", [RECIPE, ON_VECTORS])
def test_every_file_of_every_stage_shows_that_a_byte_has_changed(whole, recipe, rng):
    n_files, cache = 0, StageCache(whole / "results" / ".cache")
    for stage in stages_of(recipe):
        version = import_module(f"speechgmm.recipe.stages.{stage}").VERSION
        for output in stored(whole, stage):
            key = StageKey(stage, version, json.loads((output / STAGE_FILE).read_text())["inputs"])
            for path in sorted(path for path in output.rglob("*") if path.is_file()):
                before = path.read_bytes()
                place = int(rng.integers(len(before))) if before else 0
                path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :] if before else b"x")
                found, damage = cache.lookup(key), cache.explain_miss(key)
                path.write_bytes(before)
                assert found is None
                assert path.relative_to(output).as_posix() in damage
                n_files += 1
            assert cache.lookup(key).folder == output
    assert n_files > 50


@pytest.mark.parametrize("recipe", [RECIPE, ON_VECTORS])
def test_a_byte_that_has_changed_in_each_stage(whole, folder, recipe):
    harmed = {}
    for stage in stages_of(recipe):
        path = max(stored(folder, stage)[0].rglob("*.*"), key=lambda path: (path.name != "stage.json", path.name))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        harmed[stage] = path.relative_to(stored(folder, stage)[0]).as_posix()
    told = run(folder)
    assert told.status == 0
    log = (folder / "results" / "small" / "log.txt").read_text()
    assert log.count("it is made again") == told.out.count("; computed again\n") == len(harmed)
    for name in harmed.values():
        assert f"{name} is not as it was written; it is made again" in log
        assert f"stored output was damaged ({name} is not as it was written); computed again" in told.out
    assert content(folder) == content(whole)
    assert "damaged" not in run(folder, "--until", "evaluation").out


@pytest.mark.parametrize("stage", ["ubm", "subspace"])
def test_a_state_of_training_in_which_a_byte_has_changed(whole, folder, stage):
    forget(folder, stage)
    run(folder, plant=partial(at, stage, partial(send, signal.SIGTERM)))
    (state,) = (folder / "results" / ".cache" / stage).glob(".unfinished-*/*")
    data = bytearray(state.read_bytes())
    data[-5] ^= 1
    state.write_bytes(data)
    assert_goes_on(folder, whole)
    log = (folder / "results" / "small" / "log.txt").read_text()
    assert f"{stage}: training starts again: " in log
    assert "its digest is not that of its content" in log

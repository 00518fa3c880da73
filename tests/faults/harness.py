"""Faults, planted in a command that runs in a process of its own, and what its user sees of them."""

import contextlib
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

from helpers.processes import die
from helpers.recipes import synthetic_corpus
from speechgmm.cli import app
from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.layout import CACHE
from speechgmm.recipe.results import writing as results
from speechgmm.recipe.stages import ubm
from speechgmm.recipe.stages.context import STAGES as STAGES

RECIPE = f"""
{synthetic_corpus(n_speakers=2, n_background=10, n_enrol=4, n_test=1)}
ubm: {{n_components: 2, n_iterations: 2}}
normalisation: {{method: z}}
evaluation: {{bootstrap: 20, dcf: [sre08]}}
"""
ON_VECTORS = f"""
{synthetic_corpus(n_speakers=2, n_background=10, n_enrol=4, n_test=1)}
ubm: {{n_components: 2, n_iterations: 2}}
vectors: {{kind: ivector, rank: 2, n_iterations: 2}}
backend: [center, plda]
normalisation: {{method: z}}
evaluation: {{bootstrap: 20, dcf: [sre08]}}
"""
STAGES_OF_VECTORS = ("statistics", "subspace", "vectors", "backend")
SAME_BYTES = ("ubm.safetensors", "speakers.safetensors", "calibration.json", "scores.csv", "metrics.json")


@dataclass(frozen=True)
class Told:
    """What a user sees of a command: its exit status, and all that it prints."""

    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of an error: no traceback, and nothing beside it."""
        line, end, more = self.err.partition("\n")
        assert (line[:7], end, more) == ("error: ", "\n", ""), self.err
        return line[7:]


def speechgmm(folder: Path, *arguments: str, plant=lambda: None) -> Told:
    """Run a command in a folder, in a process of its own that a fault is planted in first."""
    pipes = [os.pipe(), os.pipe()]
    process = multiprocessing.get_context("fork").Process(target=_child, args=(folder, arguments, plant, pipes))
    process.start()
    for _, end in pipes:
        os.close(end)
    out, err = (_read(end) for end, _ in pipes)
    process.join()
    return Told(process.exitcode, out, err)


def _read(end):
    """Read what comes out of a pipe, to its end."""
    with os.fdopen(end, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _child(folder, arguments, plant, pipes):
    """Be the command."""
    for number, (_, end) in enumerate(pipes, 1):
        os.dup2(end, number)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
    status = 1
    try:
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)  # as Python has it where no tests run
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background ignore
        os.chdir(folder)
        plant()
        app(arguments)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:  # noqa: BLE001  # what a user would see of it
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # of a full disk
            stream.flush()
    os._exit(status)


def run(folder: Path, *arguments: str, plant=lambda: None) -> Told:
    """Run the recipe of `RECIPE` there."""
    return speechgmm(folder, "run", "small.yaml", "--engine", "serial", *arguments, plant=plant)


def at(stage: str, fault, *, after: bool = True) -> None:
    """Let something happen in a stage: when it has written its files and is not done, or before it writes any."""
    make, write_report = StageCache._make, results.report_results

    def make_faultily(self, key, write, folder, rerun):
        def write_faultily(running):
            if not after:
                fault()
            write(running)
            if after:
                fault()

        return make(self, key, write_faultily if key.stage == stage else write, folder, rerun)

    def report_faultily(*arguments):
        if not after:
            fault()
        write_report(*arguments)
        if after:
            fault()

    StageCache._make = make_faultily
    if stage == "report":
        results.report_results = report_faultily


def kill_a_worker(number: int) -> None:
    """Let one worker be killed by the system, in a numbered pass of EM over its frames."""
    passes, add = itertools.count(1), ubm.sum_over

    def add_or_die(function, items, engine):
        return add(die if next(passes) == number else function, items, engine)

    ubm.sum_over = add_or_die


def stored(folder: Path, stage: str) -> list[Path]:
    """List the outputs of a stage."""
    return sorted((folder / "results" / CACHE / stage).glob("[0-9a-f]*"))


def content(folder: Path) -> dict[str, bytes]:
    """Read what a run leaves that must be the same, whatever happened before."""
    return {name: (folder / "results" / "small" / name).read_bytes() for name in SAME_BYTES}


def left_behind(folder: Path) -> list[str]:
    """List what is half written."""
    half = (".running-*", ".writing-*")
    return [path.name for pattern in half for path in (folder / "results").rglob(pattern)]


def forget(folder: Path, stage: str) -> None:
    """Remove the stored outputs of one stage, so that it runs again and no other does."""
    shutil.rmtree(folder / "results" / CACHE / stage, ignore_errors=True)

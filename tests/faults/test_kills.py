"""Runs that are killed at random moments, in every stage, and gone on with."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from helpers.recipes import synthetic_corpus
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.running import runner

N_KILLS = int(os.environ.get("SPEECHGMM_KILLS", "30"))
RECIPE = f"""
{synthetic_corpus()}
ubm: {{n_components: 4, n_iterations: 4}}
normalisation: {{method: s}}
evaluation: {{bootstrap: 20}}
"""
TIMES = {"made_at", "seconds", "peak_memory", "created"}
LAST = "what is written after the last stage"

pytestmark = pytest.mark.slow


def run_in_child(recipe, results, begun):
    """Run, telling when each stage begins."""
    only_maker, write = StageCache._only_maker, runner.write_results

    def told(self, folder, title):
        begun.send(title)
        return only_maker(self, folder, title)

    def told_at_last(*arguments, **keys):
        begun.send(LAST)
        return write(*arguments, **keys)

    StageCache._only_maker, runner.write_results = told, told_at_last
    runner.run(recipe, results=results, engine=Engine("serial"))
    os._exit(0)


class Child:
    """A run in a process of its own."""

    def __init__(self, recipe, results):
        self.begun, sender = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.get_context("fork").Process(target=run_in_child, args=(recipe, results, sender))
        self.process.start()
        sender.close()

    def titles(self):
        """What has begun, one by one, with its time; all that a process said before it ended."""
        while True:
            try:
                yield self.begun.recv(), time.perf_counter()
            except EOFError:
                return

    def finish(self):
        times = list(self.titles())
        self.process.join()
        assert self.process.exitcode == 0
        return [*times, (None, time.perf_counter())]


def without_times(folder):
    """All that a run leaves, but what differs between any two runs: its log, and times."""
    left = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == "provenance.json":
            facts = json.loads(path.read_text())
            facts["stages"] = [{key: stage[key] for key in stage.keys() - TIMES} for stage in facts["stages"]]
            left[name] = {key: facts[key] for key in facts.keys() - TIMES}
        elif name == "report.html":
            text = re.sub(r'<details id="stages">.*?</details>', "", path.read_text(), flags=re.DOTALL)
            left[name] = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]*", "", text)
        elif path.is_file() and name != "log.txt":
            left[name] = path.read_bytes()
    return left


@pytest.mark.pictures
def test_a_run_killed_in_any_stage_goes_on_to_the_same_bytes(tmp_path, capsys):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE)
    results = tmp_path / "results"  # the report names recordings, which lie below it
    times = Child(recipe, results).finish()
    lasts = {title: after - begun for (title, begun), (_, after) in pairwise(times)}
    whole = without_times(results / "small")
    assert {"scores.csv", "ubm.safetensors", "calibration.json", "report.html", "plots/det.svg"} <= whole.keys()
    rng = np.random.default_rng(0)
    killed = Counter()
    for number in range(N_KILLS):
        target = [*lasts][number % len(lasts)]
        shutil.rmtree(results)
        child = Child(recipe, results)
        for title, _ in child.titles():
            if title == target:
                time.sleep(rng.uniform(0, 0.8 * lasts[target]))  # less than all: the machine may be quicker by now
                os.kill(child.process.pid, signal.SIGKILL)
                break
        *_, (title, _) = [(target, 0.0), *child.titles()]  # it may have come further meanwhile
        child.process.join()
        killed[title if child.process.exitcode == -signal.SIGKILL else "nothing: it was done"] += 1
        Child(recipe, results).finish()
        assert without_times(results / "small") == whole, f"killed in {title}"
        left = [path for path in (results / ".cache").rglob(".*") if path.name != ".locks"]
        assert not left, f"killed in {title}"
    with capsys.disabled():
        sys.stdout.write(f"{N_KILLS} kills: " + ", ".join(f"{count} in {title}" for title, count in killed.items()))
    assert len(killed.keys() & lasts.keys()) >= 0.8 * len(lasts)  # stages of milliseconds are hit by chance

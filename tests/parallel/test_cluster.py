"""The engine that maps on a cluster of dask: what is lost, what is refused, and what travels."""

import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from typer.testing import CliRunner

from helpers.models import random_gmm
from helpers.paths import ROOT
from helpers.processes import die
from helpers.recipes import synthetic_corpus
from speechgmm import run, train
from speechgmm.cli import app
from speechgmm.errors import SpeechGMMError, WorkerError
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.parallel import cluster
from speechgmm.parallel import engine as engine_module
from speechgmm.parallel.engine import Engine, map_in_order, sum_over, workers
from speechgmm.recipe.cache.outputs import StageCache, StageKey

SMALL = f"""\
name: small
{synthetic_corpus(n_speakers=3, n_background=4, n_enrol=1)}
ubm: {{n_components: 8, n_iterations: 4}}
evaluation: {{bootstrap: 10}}
"""
TIMES = {"log.txt", "provenance.json", "report.html"}


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A cluster that is already running, in another folder; its address."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    settings = {"distributed.scheduler.allowed-failures": 1}  # so that a test of them takes seconds
    try:
        with (
            dask.config.set(settings),
            LocalCluster(
                n_workers=2,
                threads_per_worker=2,
                protocol="tcp://",
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            ) as there,
        ):
            os.chdir(before)
            yield there.scheduler_address
    finally:
        os.chdir(before)


@pytest.fixture
def engine(outside):
    with workers(Engine("dask", scheduler=outside)):
        yield Engine("dask", scheduler=outside)


def itself(item):
    return item


def pid(_):
    time.sleep(0.05)
    return os.getpid()


def late(_):
    raise TimeoutError("of the work itself")


def die_once(mark, function, item):
    """Kill this worker in the middle of its work, the first time that one comes here."""
    try:
        mark.unlink()
    except FileNotFoundError:
        return function(item)
    os.kill(os.getpid(), signal.SIGKILL)


def left_by(folder):
    """All files of a run but those that tell times; where the results are is left out of them."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in TIMES)
    here = str(folder.parent).encode()
    return {path.relative_to(folder).as_posix(): path.read_bytes().replace(here, b"") for path in files}


@pytest.mark.pictures
def test_a_run_on_a_cluster_that_is_there_gives_the_bytes_of_serial(outside, tmp_path, monkeypatch):
    monkeypatch.setattr("speechgmm.features.store.writing.SHARD_SECONDS", 3.0)  # so that sums have several terms
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    serial = run("small.yaml", results="one", engine=Engine("serial"))
    there = run("small.yaml", results="two", engine=Engine("dask", scheduler=outside))
    assert left_by(there.folder) == left_by(serial.folder)
    assert {"scores.csv", "ubm.safetensors", "plots/det.svg"} <= left_by(there.folder).keys()
    assert f"run of small, seed 0, on dask at {outside}" in (there.folder / "log.txt").read_text()


def test_a_worker_killed_in_the_middle_of_em_changes_no_bit(engine, tmp_path, rng):
    paths = [tmp_path / f"{number}.npy" for number in range(6)]
    for path in paths:
        np.save(path, rng.normal(size=(500, 4)).astype(np.float32))
    config = TrainingConfig(n_components=4, n_iterations=5, tolerance=0)
    mark = tmp_path / "mark"

    def told(iteration):
        if iteration.number == 2:
            mark.touch()

    def fragile_sum(function, items):
        return sum_over(partial(die_once, mark, function), items, engine)

    whole = train(paths, config)
    with Client(engine.scheduler, set_as_default=False) as client:
        before = {*client.run(os.getpid).values()}
        survived = train(paths, config, sum_over=fragile_sum, on_iteration=told)
        assert {*client.run(os.getpid).values()} != before
    assert not mark.exists()
    for name in ("weights", "means", "variances"):
        assert np.array_equal(getattr(survived.gmm, name), getattr(whole.gmm, name))


def test_results_that_died_with_their_worker_are_made_again(engine):
    results = map_in_order(pid, range(40), engine)
    first = next(results)
    time.sleep(0.5)  # others are done by now, and lie with their workers
    os.kill(first, signal.SIGKILL)
    pids = [first, *results]
    assert len(pids) == 40
    assert pids.count(first) < 40


def test_work_that_kills_its_workers_is_reported(engine):
    with pytest.raises(WorkerError, match="2 workers died one after another at the same work, perhaps because mem"):
        list(map_in_order(die, range(2), engine))
    assert list(map_in_order(itself, range(3), engine)) == [0, 1, 2]  # nothing of it is left


def test_few_items_are_under_way_and_come_back_in_order(engine):
    taken = []
    with Client(engine.scheduler, set_as_default=False) as client:
        limit = cluster.IN_FLIGHT * sum(client.nthreads().values())
    for n_done, result in enumerate(map_in_order(itself, (taken.append(n) or n for n in range(60)), engine)):
        assert result == n_done
        assert len(taken) <= n_done + limit
    assert len(taken) == 60


def test_a_map_that_is_left_leaves_nothing_behind(engine):
    with Client(engine.scheduler, set_as_default=False) as client:  # a client that connects amid cancelling may fail
        results = map_in_order(itself, range(60), engine)
        next(results)
        results.close()
        for _ in range(100):
            held = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
            if not held:
                break
            time.sleep(0.05)
    assert held == 0


def test_a_timeout_of_the_work_is_the_works(engine):
    with pytest.raises(TimeoutError, match="of the work itself"):
        list(map_in_order(late, range(2), engine))


def test_a_model_its_statistics_and_the_name_of_a_shard_travel(rng, tmp_path):
    gmm = random_gmm(rng, 64, 20)
    n_bytes = 8 * (2 * 64 * 20 + 64)
    np.save(tmp_path / "shard.npy", rng.normal(size=(10_000, 20)).astype(np.float32))
    passes = []

    def spy(function, parts):
        passes.append((function, *parts))
        return sum_over(function, parts)

    config = TrainingConfig(n_components=64, n_iterations=1)
    train([tmp_path / "shard.npy"], config, start=gmm, sum_over=spy)
    ((function, part),) = passes
    assert n_bytes < len(ForkingPickler.dumps(function)) < n_bytes + 1500
    assert len(ForkingPickler.dumps(part)) < 500
    assert n_bytes < len(ForkingPickler.dumps(function(part))) < n_bytes + 600


def test_workers_of_other_versions_are_refused(engine, monkeypatch):
    told = {**engine_module.versions(), "speechgmm": "9.9", "numpy": "1.2.3"}
    monkeypatch.setattr(engine_module, "versions", lambda: told)
    with pytest.raises(WorkerError, match=r"has speechgmm 0\..*, not 9\.9; numpy 2.*, not 1\.2\.3: expected the versi"):
        list(map_in_order(itself, range(2), engine))


def test_machines_without_the_package_are_refused(engine):
    told = r"no no_such_package at the scheduler(, tcp://127\.0\.0\.1:\d+)+: expected the same packages"
    with Client(engine.scheduler, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)  # which other tests have killed
        with pytest.raises(WorkerError, match=told):
            cluster._check_package("no_such_package", client)


@pytest.mark.parametrize(
    ("scheduler", "why"),
    [
        ("tcp://127.0.0.1:9", "no scheduler there .*; expected the address that one prints"),
        ("localhost", "missing port number"),
        ("carrier://pigeon:1", "unknown address scheme 'carrier'"),
    ],
)
def test_a_wrong_address_is_refused(scheduler, why, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    done = CliRunner().invoke(app, ["run", "small.yaml", "--engine", "dask", "--scheduler", scheduler])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: '{scheduler}': no scheduler there")
    with pytest.raises(WorkerError, match=why):
        list(map_in_order(itself, range(2), Engine("dask", scheduler=scheduler)))


def test_options_that_do_not_go_together_are_refused(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    here = "tcp://127.0.0.1:9"
    for options, told in (
        (["--scheduler", here], f"--scheduler {here} with --engine processes: expected --engine dask"),
        (
            ["--engine", "dask", "--scheduler", here, "--jobs", "2"],
            f"--jobs 2 with --scheduler {here}: the cluster has its own workers; leave --jobs out",
        ),
    ):
        for command in ("run", "sweep"):
            done = CliRunner().invoke(app, [command, str(tmp_path / "small.yaml"), *options])
            assert done.exit_code == 2
            assert told in done.stderr


def test_without_dask_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SpeechGMMError, match=r"needs the package distributed: pip install 'speechgmm\[dask\]'"):
        list(map_in_order(itself, range(2), Engine("dask", 2)))


def test_a_cluster_without_workers_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(cluster, "NO_WORKERS_SECONDS", 0.5)
    with (
        LocalCluster(
            n_workers=0, protocol="tcp://", dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
        ) as empty,
        pytest.raises(WorkerError, match="no workers for 0 s: expected some on the cluster"),
    ):
        list(map_in_order(itself, range(2), Engine("dask", scheduler=empty.scheduler_address)))


def test_what_killed_workers_left_half_written_is_no_part_of_a_stage(tmp_path):
    def work(folder):
        (folder / "whole.npy").write_bytes(b"whole")
        (folder / ".writing-x.npy").write_bytes(b"half")

    output = StageCache(tmp_path).get_or_run(StageKey("features", 1, {}), work)
    assert StageCache(tmp_path).lookup(StageKey("features", 1, {}))
    assert sorted(path.name for path in output.folder.iterdir()) == ["stage.json", "whole.npy"]


class Killer(logging.Handler):
    """Kills a worker while an iteration of EM is under way."""

    def __init__(self, engine):
        super().__init__()
        self.engine, self.killed = engine, None

    def emit(self, record):
        if self.killed is None and record.getMessage().startswith("ubm: iteration 3,"):
            _, client = engine_module._shared.get()
            self.killed = next(iter(client.run(os.getpid).values()))
            threading.Timer(0.1, os.kill, (self.killed, signal.SIGKILL)).start()


@pytest.mark.slow
def test_so762_on_two_workers_of_which_one_is_killed_gives_the_bytes_of_serial(speech_data, tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHGMM_DATA", str(speech_data))
    recipe, engine = ROOT / "recipes" / "so762.yaml", Engine("dask", 2)
    serial = run(recipe, results=tmp_path / "serial", engine=Engine("serial"))
    killer = Killer(engine)
    logging.getLogger("speechgmm").addHandler(killer)
    try:
        survived = run(recipe, results=tmp_path / "dask", engine=engine)
    finally:
        logging.getLogger("speechgmm").removeHandler(killer)
    assert killer.killed
    assert "distributed.nanny: Restarting worker" in (survived.folder / "log.txt").read_text()
    assert left_by(survived.folder) == left_by(serial.folder)

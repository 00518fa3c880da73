"""Mapping and adding on engines."""

import signal
import time

import joblib
import numpy as np
import pytest
import threadpoolctl

from helpers.processes import die
from speechgmm.errors import WorkerError
from speechgmm.parallel.engine import Engine, map_in_order, sum_over, workers


def square(number):
    return number * number


def awkward(number):
    """A float whose sums depend on their order."""
    return np.float64(10.0 ** (number % 17) + 1 / (number + 1))


def blas_threads(_):
    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def fail_at_three(number):
    if number == 3:
        raise ValueError("three")
    return number


def slow_first(number):
    time.sleep(0.3 if number == 0 else 0)
    return number


def ignores_interrupts(number):
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


ENGINES = [None, Engine("serial"), Engine("processes", 1), Engine("processes", 2), Engine("dask", 2)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One for all tests."""
    with workers(Engine("dask", 2)):
        yield


@pytest.mark.parametrize("engine", ENGINES)
def test_results_come_in_the_order_of_the_items(engine):
    assert list(map_in_order(square, range(50), engine)) == [number**2 for number in range(50)]
    assert list(map_in_order(square, [], engine)) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slow_first_item_still_comes_first(engine):
    assert list(map_in_order(slow_first, range(6), engine)) == list(range(6))


def test_the_caller_keeps_its_own_joblib_configuration():
    before = joblib.parallel_config().old_parallel_config
    first, second = (map_in_order(square, range(4), Engine("processes", 2)) for _ in range(2))
    assert list(zip(first, second, strict=True)) == [(number**2, number**2) for number in range(4)]
    assert joblib.parallel_config().old_parallel_config == before


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_are_the_same_bits_on_every_engine(engine):
    expected = awkward(0)
    for number in range(1, 60):
        expected = expected + awkward(number)
    assert sum_over(awkward, range(60), engine) == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_blas_has_one_thread(engine):
    assert {threads for found in map_in_order(blas_threads, range(3), engine) for threads in found} == {1}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_is_raised_where_its_result_would_be(engine):
    results = map_in_order(fail_at_three, range(5), engine)
    with pytest.raises(ValueError, match="three"):
        list(results)


def test_a_terminals_interrupt_is_left_to_the_run():
    assert all(map_in_order(ignores_interrupts, range(4), Engine("dask", 2)))


def test_a_killed_worker_is_reported():
    with pytest.raises(WorkerError, match="a worker process was killed, perhaps because memory ran out"):
        list(map_in_order(die, range(4), Engine("processes", 2)))


def test_a_sum_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to add"):
        sum_over(square, [])


def test_engines_are_checked():
    with pytest.raises(ValueError, match="'threads': expected 'serial', 'processes' or 'dask'"):
        Engine("threads")
    with pytest.raises(ValueError, match="0 jobs"):
        Engine("processes", 0)
    with pytest.raises(ValueError, match="scheduler 'tcp://host:8786' with engine 'serial': expected engine 'dask'"):
        Engine("serial", scheduler="tcp://host:8786")

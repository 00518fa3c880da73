"""Mapping over items on one or more processes, and the one place where statistics are added.

An engine may only map. Results come back in the order of the items and are folded one after the other, so every
engine and every number of workers gives the same bits. BLAS runs on one thread in all of them: a matrix product
on two threads may add in another order.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol, Self, TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits

from speechgmm.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Summable(Protocol):
    """A value with an associative sum, such as sufficient statistics."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum; neither operand changes."""
        ...


Sum = TypeVar("Sum", bound=Summable)


class _Limit:
    """The limit of BLAS to one thread, which belongs to the process: from the first who needs it to the last."""

    lock = threading.Lock()
    n_inside = 0
    limiter: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread.

    A product on more threads may add in another order, and a small one is slower on them. Threads of this process may
    be inside at the same time; the last to leave gives BLAS its threads back.

    Yields
    ------
    None
    """
    with _Limit.lock:
        if _Limit.n_inside == 0:
            _take_control()
            _Limit.limiter = _blas().limit(limits=1, user_api="blas")
        _Limit.n_inside += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.n_inside -= 1
            if _Limit.n_inside == 0:
                _take_control()
                _Limit.limiter.restore_original_limits()
                _take_control()


@contextmanager
def one_openmp_thread() -> Iterator[None]:
    """Keep OpenMP to one thread, which scikit-learn's clustering runs on: more of them would add in another order.

    Yields
    ------
    None
    """
    with threadpool_limits(limits=1, user_api="openmp"):
        yield


def _take_control() -> None:
    """Let this thread set limits: from version 3.8 on, threadpoolctl lets the thread that began, which may be gone."""
    for library in _blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """Find the BLAS libraries of numpy and scipy, once: the search takes longer than many a product."""
    import scipy.linalg  # noqa: F401 - so that its library is there to be found

    return ThreadpoolController()


def available_cores() -> int:
    """Count the processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Engine:
    """Where a map runs.

    Parameters
    ----------
    kind : "serial" or "processes"
        In this process, or in worker processes (joblib's).
    n_jobs : int >= 1
        Workers of the processes engine; with 1 it runs in this process.

    Raises
    ------
    ValueError
        If the kind is unknown or there is no worker.
    """

    kind: Literal["serial", "processes"] = "serial"
    n_jobs: int = field(default_factory=available_cores)

    def __post_init__(self) -> None:
        if self.kind not in ("serial", "processes"):
            raise ValueError(f"engine {self.kind!r}: expected 'serial' or 'processes'")
        if self.n_jobs < 1:
            raise ValueError(f"{self.n_jobs} jobs: expected 1 or more")


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], engine: Engine | None = None
) -> Iterator[Result]:
    """Apply a function to each item and give the results in the order of the items.

    Parameters
    ----------
    function : callable
        A function that processes can receive: a module's function, or a `functools.partial` of one.
    items : iterable
        Small values, such as paths; arrays stay on disk.
    engine : Engine, optional
        Where to run; serial when not given.

    Yields
    ------
    object
        One result for each item. An exception of `function` is raised where its result would have been.

    Raises
    ------
    WorkerError
        If a worker process is killed.
    """
    if engine is None or engine.kind == "serial" or engine.n_jobs == 1:
        for item in items:
            with one_thread():
                result = function(item)
            yield result
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        workers = joblib.Parallel(n_jobs=engine.n_jobs, return_as="generator")
    try:
        yield from workers(joblib.delayed(function)(item) for item in items)
    except TerminatedWorkerError as error:
        raise WorkerError("a worker process was killed, perhaps for want of memory; try fewer jobs") from error


def sum_over(function: Callable[[Item], Sum], items: Iterable[Item], engine: Engine | None = None) -> Sum:
    """Add the function's values over the items: the only fold of statistics in the package.

    Parameters
    ----------
    function : callable
        Gives a summable value for an item, as for `map_in_order`.
    items : iterable
        At least one.
    engine : Engine, optional
        Where to run; serial when not given.

    Returns
    -------
    Summable
        ``function(items[0]) + function(items[1]) + ...``, added from the left.

    Raises
    ------
    ValueError
        If there are no items.
    """
    results = map_in_order(function, items, engine)
    try:
        total = next(results)
    except StopIteration:
        raise ValueError("nothing to add: there are no items") from None
    for result in results:
        total = total + result
    return total

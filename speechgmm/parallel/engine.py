"""Mapping over items on one or more processes, and the one place where statistics are added.

An engine may only map. Results come back in the order of the items and are folded one after the other, so every
engine and every number of workers gives the same bits. BLAS runs on one thread in all of them: a matrix product
on two threads may add in another order.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeVar

from speechgmm.errors import WorkerError
from speechgmm.parallel import cluster
from speechgmm.parallel.threads import one_thread
from speechgmm.version import versions

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")


class Summable(Protocol):
    """A value with an associative sum, such as sufficient statistics."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum; neither operand changes."""
        ...


Sum = TypeVar("Sum", bound=Summable)


def available_cores() -> int:
    """Count the processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Engine:
    """Where a map runs.

    Parameters
    ----------
    kind : "serial", "processes" or "dask"
        In this process, in worker processes (joblib's), or on a cluster of dask.
    n_jobs : int >= 1
        Workers of the processes engine, which with 1 runs in this process, and of dask's local cluster.
    scheduler : str, optional
        Address of the scheduler of a cluster that is there, as in ``tcp://host:8786``: it has workers of its own. A
        local one is started and ended when not given.

    Raises
    ------
    ValueError
        If the kind is unknown, there is no worker, or a scheduler for another kind than dask.
    """

    kind: Literal["serial", "processes", "dask"] = "serial"
    n_jobs: int = field(default_factory=available_cores)
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("serial", "processes", "dask"):
            raise ValueError(f"engine {self.kind!r}: expected 'serial', 'processes' or 'dask'")
        if self.n_jobs < 1:
            raise ValueError(f"{self.n_jobs} jobs: expected 1 or more")
        if self.scheduler is not None and self.kind != "dask":
            raise ValueError(f"scheduler {self.scheduler!r} with engine {self.kind!r}: expected engine 'dask'")

    def __str__(self) -> str:
        if self.kind == "serial":
            return self.kind
        return f"{self.kind} at {self.scheduler}" if self.scheduler else f"{self.kind} with {self.n_jobs} jobs"


_kept: ContextVar["tuple[Engine, Client] | None"] = ContextVar("_kept", default=None)
"""The cluster that maps share, in a block of `workers`."""


@contextmanager
def workers(engine: Engine | None) -> Iterator[None]:
    """Keep the workers of an engine from one map to the next.

    Outside of such a block, each map on dask starts a cluster of its own, or connects to one. Processes stay for the
    next map in any case.

    Parameters
    ----------
    engine : Engine, optional
        The one that the block maps on.

    Yields
    ------
    None

    Raises
    ------
    SpeechGMMError
        If dask is not installed.
    WorkerError
        If no scheduler answers at its address.
    """
    if engine is None or engine.kind != "dask":
        yield
        return
    with _client(engine) as client:
        before = _kept.set((engine, client))
        try:
            yield
        finally:
            _kept.reset(before)


@contextmanager
def _client(engine: Engine) -> "Iterator[Client]":
    """Give the cluster that is kept for an engine, or have one for now."""
    kept = _kept.get()
    if kept and kept[0] == engine:
        yield kept[1]
    else:
        with cluster.connected(engine.n_jobs, engine.scheduler) as client:
            yield client


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
        If a worker process is killed, or several of dask's by the same item, or its scheduler does not answer.
    """
    if engine and engine.kind == "dask":
        with _client(engine) as client:
            yield from cluster.map_in_order(partial(_elsewhere, versions(), function), items, client)
        return
    if engine is None or engine.kind == "serial" or engine.n_jobs == 1:
        for item in items:
            yield _alone(function, item)
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=engine.n_jobs, return_as="generator")
    try:
        yield from pool(joblib.delayed(function)(item) for item in items)
    except TerminatedWorkerError as error:
        raise WorkerError("a worker process was killed, perhaps for want of memory; try fewer jobs") from error


def _alone(function: Callable[[Item], Result], item: Item) -> Result:
    """Apply a function to an item, on one thread."""
    with one_thread():
        return function(item)


def _elsewhere(expected: Mapping[str, str], function: Callable[[Item], Result], item: Item) -> Result:
    """Apply a function to an item in a worker that others have started, if it computes with the same programs."""
    here = versions()
    differing = [
        f"{name} {here[name]}, not {version}"
        for name, version in expected.items()
        if here.get(name, version) != version  # an extra may be lacking where nothing needs it
    ]
    if differing:
        raise WorkerError(
            f"the worker on {socket.gethostname()} has {'; '.join(differing)}: expected the versions of this machine"
        )
    return _alone(function, item)


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

"""Mapping over items in one or more processes, and the one place where statistics are added.

An engine only maps. Results come back in the order of the items and are added one after the other, so that every engine
and every number of workers returns the same bits. BLAS runs on one thread in all of them, because a matrix product on
two threads may add in another order.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """A value that can be added to others of its kind, such as sufficient statistics."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum; neither operand changes."""
        ...


Sum = TypeVar("Sum", bound=Summable)


class SumOver(Protocol):
    """A function that adds another function's values over items, in their order, such as `sum_over`, on any engine."""

    def __call__(self, function: Callable[[Item], Sum], items: Sequence[Item], /) -> Sum:
        """Return the sum."""
        ...


def available_cores() -> int:
    """Count the processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Engine:
    """Where work runs: in this process, in worker processes, or on a cluster. Results are the same bits on all of them.

    Parameters
    ----------
    kind : "serial", "processes" or "dask"
        In this process, in worker processes (joblib), or on a dask cluster.
    n_jobs : int >= 1
        Number of workers of ``processes``, which runs in this process if it is 1, or of dask's local cluster; all
        available cores when not given.
    scheduler : str, optional
        Address of the scheduler of a running dask cluster, such as ``tcp://host:8786``, which has workers of its own.
        When not given, a local cluster is started, and ended after the work.

    Raises
    ------
    ValueError
        If the kind is unknown, `n_jobs` is below 1, or a scheduler is given for another kind than ``dask``.

    Examples
    --------
    >>> import speechgmm
    >>> engine = speechgmm.Engine("processes", n_jobs=4)
    >>> print(engine)
    processes with 4 jobs
    >>> speechgmm.run("recipe.yaml", engine=engine)  # doctest: +SKIP
    >>> print(speechgmm.Engine("dask", scheduler="tcp://host:8786"))
    dask at tcp://host:8786
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


_shared: ContextVar["tuple[Engine, Client] | None"] = ContextVar("_shared", default=None)
"""The cluster that maps share within a block of `workers`."""


@contextmanager
def workers(engine: Engine | None) -> Iterator[None]:
    """Keep an engine's workers from one map to the next, within a block.

    Outside such a block, each map on dask starts a cluster of its own, or connects to one. Worker processes of joblib
    stay for the next map in any case. Raises SpeechGMMError if dask is not installed, and WorkerError if no scheduler
    answers.
    """
    if engine is None or engine.kind != "dask":
        yield
        return
    with _client(engine) as client:
        token = _shared.set((engine, client))
        try:
            yield
        finally:
            _shared.reset(token)


@contextmanager
def _client(engine: Engine) -> "Iterator[Client]":
    """Yield a client of the cluster shared for this engine, or of one connected to for this block."""
    shared = _shared.get()
    if shared and shared[0] == engine:
        yield shared[1]
    else:
        with cluster.connect(engine.n_jobs, engine.scheduler) as client:
            yield client


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], engine: Engine | None = None
) -> Iterator[Result]:
    """Apply a function to each item, on an engine or in this process, and yield the results in the order of the items.

    Worker processes must be able to import the function, or that of a `functools.partial`; items should be small values
    such as paths, with arrays left on disk. An exception of the function is raised where its result would have been.
    Raises WorkerError if a worker process is killed, or several of dask's by the same item, or its scheduler does not
    answer.
    """
    if engine and engine.kind == "dask":
        with _client(engine) as client:
            yield from cluster.map_in_order(partial(_apply_on_worker, versions(), function), items, client)
        return
    if engine is None or engine.kind == "serial" or engine.n_jobs == 1:
        for item in items:
            yield _apply_on_one_thread(function, item)
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=engine.n_jobs, return_as="generator")
    try:
        yield from pool(joblib.delayed(function)(item) for item in items)
    except TerminatedWorkerError as error:
        raise WorkerError("a worker process was killed, perhaps because memory ran out; try fewer jobs") from error


def _apply_on_one_thread(function: Callable[[Item], Result], item: Item) -> Result:
    """Apply a function to an item, on one thread."""
    with one_thread():
        return function(item)


def _apply_on_worker(expected: Mapping[str, str], function: Callable[[Item], Result], item: Item) -> Result:
    """Apply a function to an item on a worker of a cluster, and refuse one with other versions of the packages."""
    here = versions()
    differing = [
        f"{name} {here[name]}, not {version}"
        for name, version in expected.items()
        if here.get(name, version) != version  # an extra may be missing where nothing needs it
    ]
    if differing:
        raise WorkerError(
            f"the worker on {socket.gethostname()} has {'; '.join(differing)}: expected the versions of this machine"
        )
    return _apply_on_one_thread(function, item)


def sum_over(function: Callable[[Item], Sum], items: Iterable[Item], engine: Engine | None = None) -> Sum:
    """Add the function's values over the items from the left: the only place in the package where statistics are added.

    `function` and `items` are as for `map_in_order`. Raises ValueError if there are no items.
    """
    results = map_in_order(function, items, engine)
    try:
        total = next(results)
    except StopIteration:
        raise ValueError("nothing to add: there are no items") from None
    for result in results:
        total = total + result
    return total

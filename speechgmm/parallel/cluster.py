"""Maps on a cluster of dask: a local one, or one that others have started. Only this module knows dask."""

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

from speechgmm.errors import SpeechGMMError, WorkerError

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)

IN_FLIGHT = 4
"""Items for each thread of a worker that are sent out before the first of them is back."""

LOOK_SECONDS = 1.0
"""How often workers are counted."""

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer."""

PATIENCE_SECONDS = 60.0
"""How long a cluster may be without workers."""

LOST = "the cluster's scheduler does not answer any more"

LOGGERS = ("distributed", "distributed.client")
"""Those of dask's that write to the terminal themselves."""

SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "1 GiB",  # a map sends its function once, however large
    "distributed.worker.profile.enabled": False,  # which looks a hundred times a second what a worker does
    "distributed.admin.tick.interval": "1s",  # of looks at how the loops do, fifty a second otherwise
}


@contextmanager
def connected(n_jobs: int, scheduler: str | None) -> "Iterator[Client]":
    """Have a cluster.

    Parameters
    ----------
    n_jobs : int >= 1
        Workers of a local cluster, each a process with one thread.
    scheduler : str, optional
        Where the scheduler of another cluster listens, as in ``tcp://host:8786``. It is left running.

    Yields
    ------
    distributed.Client
        To map with.

    Raises
    ------
    SpeechGMMError
        If dask is not installed.
    WorkerError
        If no scheduler answers, or it or a worker lacks this package.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise SpeechGMMError("the engine dask needs the package distributed: pip install 'speechgmm[dask]'") from error
    with ExitStack() as stack:
        stack.enter_context(_told_in_our_log())
        stack.enter_context(dask.config.set(SETTINGS))
        where: Any = scheduler
        if scheduler is None:
            # Memory-mapped shards count as memory, so a limit would hit workers that need none.
            where = stack.enter_context(
                LocalCluster(
                    n_workers=n_jobs,
                    threads_per_worker=1,
                    memory_limit=0,
                    protocol="tcp://",
                    dashboard_address="127.0.0.1:0",  # any free port
                    silence_logs=logging.CRITICAL,
                )
            )
        else:
            _look_for(scheduler)
        client = stack.enter_context(Client(where, set_as_default=False))
        if scheduler is None:
            client.register_worker_callbacks(_ignore_interrupts)
        _look_for_package("speechgmm", client)
        yield client


def _look_for(scheduler: str) -> None:
    """Refuse an address where no scheduler answers; a client that is made for one lives on, and makes noise."""

    async def ask() -> str:
        """Tell what kind of server answers."""
        from distributed import rpc
        from distributed.security import Security

        async with rpc(scheduler, connection_args=Security().get_connection_args("client")) as there:
            return str((await asyncio.wait_for(there.identity(), CONNECT_SECONDS))["type"])

    with ThreadPoolExecutor(1) as thread:  # a notebook's thread has a loop already
        try:
            found = thread.submit(asyncio.run, ask()).result()
        except (OSError, ValueError) as error:
            found = str(error) or f"no answer within {CONNECT_SECONDS} s"
    if found != "Scheduler":
        raise WorkerError(
            f"{scheduler!r}: no scheduler there ({found}); expected the address that one prints when it starts, as in "
            "tcp://host:8786"
        )


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], client: "Client") -> Iterator[Result]:
    """Apply a function to each item, a few at a time, and give the results in the order of the items.

    The function travels once to each worker. What a worker that is lost was doing, or had done and not yet handed over,
    others do again.

    Parameters
    ----------
    function : callable
        What workers can import, or a `functools.partial` of it.
    items : iterable
        Small values.
    client : distributed.Client
        Of the cluster.

    Yields
    ------
    object
        One result for each item. An exception of `function` is raised where its result would have been.

    Raises
    ------
    WorkerError
        If an item costs several workers their lives, there are no workers any more, or the scheduler is lost.
    """
    n_threads, looked_at = _n_threads(client), time.monotonic()
    shared = client.submit(_itself, function, pure=False)
    under_way: deque[Future] = deque()
    try:
        for item in items:
            under_way.append(client.submit(partial(_applied, item), shared, pure=False))
            if time.monotonic() - looked_at > LOOK_SECONDS:  # workers come and go
                n_threads, looked_at = _n_threads(client), time.monotonic()
            if len(under_way) >= IN_FLIGHT * n_threads:
                yield _result(under_way.popleft(), client)
        while under_way:
            yield _result(under_way.popleft(), client)
    finally:
        client.cancel([shared, *under_way])


def _itself(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """Hold the function of a map: a task, because those are done again where they are lost, and data is not."""
    return function


def _applied(item: Item, function: Callable[[Item], Result]) -> Result:
    """Apply a map's function, which comes last because dask puts it there."""
    return function(item)


def _n_threads(client: "Client") -> int:
    """Count the threads of all workers."""
    if client.status == "closed":
        raise WorkerError(LOST)
    try:
        return sum(client.nthreads().values())
    except OSError as error:
        raise WorkerError(LOST) from error


def _result(future: "Future", client: "Client") -> Any:
    """Wait for a result, as long as there are workers."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        while True:
            try:
                return future.result(timeout=PATIENCE_SECONDS)
            except TimeoutError:
                if future.status == "error":  # the function's own, or an error that has come since
                    return future.result()
                if not _n_threads(client):
                    raise WorkerError(
                        f"no workers for {PATIENCE_SECONDS:.0f} s: expected some on the cluster"
                    ) from None
    except KilledWorker as error:
        raise WorkerError(
            f"{error.allowed_failures + 1} workers died one after another at the same work, perhaps for want of memory"
        ) from error
    except CancelledError as error:
        raise WorkerError(LOST) from error


class _ToOurLog(logging.Handler):
    """Gives dask's warnings to the package's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on."""
        logger.warning("%s: %s", record.name, shorten(record.getMessage(), 200))


def _ignore_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the run, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _look_for_package(name: str, client: "Client") -> None:
    """Refuse processes without a package: a worker ends without a word when it is sent what it cannot import."""

    def is_lacking() -> bool:  # it travels as code, because it is within another
        """Tell whether the package cannot be found where this runs."""
        from importlib.util import find_spec

        return find_spec(name) is None

    lacking = [worker for worker, lacks in client.run(is_lacking, on_error="ignore").items() if lacks]
    if client.run_on_scheduler(is_lacking):
        lacking.insert(0, "the scheduler")
    if lacking:
        raise WorkerError(f"no {name} at {', '.join(lacking)}: expected the same packages on all machines")


@contextmanager
def _told_in_our_log() -> Iterator[None]:
    """Keep dask's messages off the terminal, and its warnings in our log."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [each.handlers for each in loggers]
    for each in loggers:
        each.handlers = [_ToOurLog(logging.WARNING)]
    try:
        yield
    finally:
        for each, handlers in zip(loggers, before, strict=True):
            each.handlers = handlers

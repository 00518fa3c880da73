"""Maps on a dask cluster: a local one, or one that is already running. Only this module imports dask."""

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
"""Items per worker thread that are sent out before the first result is back."""

COUNT_WORKERS_SECONDS = 1.0
"""Time between two counts of the workers."""

CONNECT_SECONDS = 10
"""Time that a scheduler may take to answer."""

NO_WORKERS_SECONDS = 60.0
"""Time that a cluster may be without workers."""

SCHEDULER_LOST = "the cluster's scheduler does not answer any more"

LOGGERS = ("distributed", "distributed.client")
"""Loggers of dask that write to the terminal."""

SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "1 GiB",  # a map sends its function once, however large
    "distributed.worker.profile.enabled": False,  # it samples a worker a hundred times a second
    "distributed.admin.tick.interval": "1s",  # of the monitor of event loops; the default is fifty times a second
}


@contextmanager
def connect(n_jobs: int, scheduler: str | None) -> "Iterator[Client]":
    """Start a local cluster of `n_jobs` processes with one thread each, or connect to a scheduler; yield a client.

    A cluster of the scheduler at an address, such as ``tcp://host:8786``, is left running. Raises SpeechGMMError if
    dask is not installed, and WorkerError if no scheduler answers, or it or a worker cannot import this package.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise SpeechGMMError("the engine dask needs the package distributed: pip install 'speechgmm[dask]'") from error
    with ExitStack() as stack:
        stack.enter_context(_forward_warnings())
        stack.enter_context(dask.config.set(SETTINGS))
        address: Any = scheduler
        if scheduler is None:
            # Memory-mapped shards count as memory, so a limit would hit workers that need none.
            address = stack.enter_context(
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
            _check_scheduler(scheduler)
        client = stack.enter_context(Client(address, set_as_default=False))
        if scheduler is None:
            client.register_worker_callbacks(_ignore_interrupts)
        _check_package("speechgmm", client)
        yield client


def _check_scheduler(scheduler: str) -> None:
    """Refuse an address where no scheduler answers, because a client for it would not end and keep logging errors."""

    async def ask() -> str:
        """Return the kind of server that answers."""
        from distributed import rpc
        from distributed.security import Security

        async with rpc(scheduler, connection_args=Security().get_connection_args("client")) as server:
            return str((await asyncio.wait_for(server.identity(), CONNECT_SECONDS))["type"])

    with ThreadPoolExecutor(1) as thread:  # the thread of a notebook already runs an event loop
        try:
            answer = thread.submit(asyncio.run, ask()).result()
        except (OSError, ValueError) as error:
            answer = str(error) or f"no answer within {CONNECT_SECONDS} s"
    if answer != "Scheduler":
        raise WorkerError(
            f"{scheduler!r}: no scheduler there ({answer}); expected the address that one prints when it starts, as in "
            "tcp://host:8786"
        )


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], client: "Client") -> Iterator[Result]:
    """Apply a function to each item, a few at a time, and yield the results in the order of the items.

    The function, which workers must be able to import, is sent once to each worker. If a worker is lost, others repeat
    its work, including results not yet fetched. An exception of the function is raised where its result would have
    been. Raises WorkerError if an item kills several workers, no workers are left, or the scheduler is lost.
    """
    n_threads, counted_at = _n_threads(client), time.monotonic()
    shared = client.submit(_hold_function, function, pure=False)
    pending: deque[Future] = deque()
    try:
        for item in items:
            pending.append(client.submit(partial(_apply, item), shared, pure=False))
            if time.monotonic() - counted_at > COUNT_WORKERS_SECONDS:  # workers come and go
                n_threads, counted_at = _n_threads(client), time.monotonic()
            if len(pending) >= IN_FLIGHT * n_threads:
                yield _result(pending.popleft(), client)
        while pending:
            yield _result(pending.popleft(), client)
    finally:
        client.cancel([shared, *pending])


def _hold_function(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """Return the function of a map, as a task: lost tasks are repeated, and lost data is not."""
    return function


def _apply(item: Item, function: Callable[[Item], Result]) -> Result:
    """Apply a map's function, which is the last argument because dask appends it."""
    return function(item)


def _n_threads(client: "Client") -> int:
    """Count the threads of all workers."""
    if client.status == "closed":
        raise WorkerError(SCHEDULER_LOST)
    try:
        return sum(client.nthreads().values())
    except OSError as error:
        raise WorkerError(SCHEDULER_LOST) from error


def _result(future: "Future", client: "Client") -> Any:
    """Wait for a result as long as there are workers."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker

    try:
        while True:
            try:
                return future.result(timeout=NO_WORKERS_SECONDS)
            except TimeoutError:
                if future.status == "error":  # a TimeoutError of the function itself, or an error since
                    return future.result()
                if not _n_threads(client):
                    raise WorkerError(
                        f"no workers for {NO_WORKERS_SECONDS:.0f} s: expected some on the cluster"
                    ) from None
    except KilledWorker as error:
        raise WorkerError(
            f"{error.allowed_failures + 1} workers died one after another at the same work, "
            "perhaps because memory ran out"
        ) from error
    except CancelledError as error:
        raise WorkerError(SCHEDULER_LOST) from error


class _WarningForwarder(logging.Handler):
    """Forwards dask's warnings to the package's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one, shortened."""
        logger.warning("%s: %s", record.name, shorten(record.getMessage(), 200))


def _ignore_interrupts() -> None:
    """Ignore Ctrl-C, which a terminal sends to all processes: the main process ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_package(name: str, client: "Client") -> None:
    """Refuse a cluster without a package: a worker ends without a message when it is sent what it cannot import."""

    def is_missing() -> bool:  # sent as code, because it is a local function
        """Check whether the package cannot be found where this runs."""
        from importlib.util import find_spec

        return find_spec(name) is None

    missing_at = [worker for worker, missing in client.run(is_missing, on_error="ignore").items() if missing]
    if client.run_on_scheduler(is_missing):
        missing_at.insert(0, "the scheduler")
    if missing_at:
        raise WorkerError(f"no {name} at {', '.join(missing_at)}: expected the same packages on all machines")


@contextmanager
def _forward_warnings() -> Iterator[None]:
    """Keep dask's messages off the terminal, and forward its warnings to the package's log."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [dask_logger.handlers for dask_logger in loggers]
    for dask_logger in loggers:
        dask_logger.handlers = [_WarningForwarder(logging.WARNING)]
    try:
        yield
    finally:
        for dask_logger, handlers in zip(loggers, before, strict=True):
            dask_logger.handlers = handlers

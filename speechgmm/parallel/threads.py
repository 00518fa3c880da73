"""One thread for BLAS and OpenMP while code runs, so that sums have one order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_limits


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

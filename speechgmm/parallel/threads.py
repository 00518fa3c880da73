"""Limits of BLAS and OpenMP to one thread, so that sums have one order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_limits


class _Limit:
    """The process's limit of BLAS to one thread, which the first thread inside `one_thread` sets and the last lifts."""

    lock = threading.Lock()
    n_inside = 0
    limiter: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread, because a product on more threads may add in another order, and a small one is slower.

    Several threads of the process may be inside at the same time; the last to leave restores the number of threads.
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
    """Limit OpenMP, which scikit-learn's clustering uses, to one thread: more threads would add in another order."""
    with threadpool_limits(limits=1, user_api="openmp"):
        yield


def _take_control() -> None:
    """Let this thread change limits: threadpoolctl 3.8 and later lets only the first one, which may have ended."""
    for library in _blas().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """Find the BLAS libraries of numpy and scipy once, because the search takes longer than many matrix products."""
    import scipy.linalg  # noqa: F401 - loads the library, so that the search finds it

    return ThreadpoolController()

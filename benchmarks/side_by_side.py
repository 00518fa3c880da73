"""Timing functions side by side: in turn, several times, so that a machine that slows down slows all of them."""

import time
from collections.abc import Callable, Mapping

from threadpoolctl import threadpool_limits


def seconds(functions: Mapping[str, Callable[[], object]], n_rounds: int = 5) -> dict[str, float]:
    """Return the median time of each function over several rounds, after one that is not counted, on one thread."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    with threadpool_limits(limits=1):  # code is compared, not threading
        for counted in [False] + [True] * n_rounds:
            for name, function in functions.items():
                started = time.perf_counter()
                function()
                if counted:
                    times[name].append(time.perf_counter() - started)
    return {name: sorted(each)[n_rounds // 2] for name, each in times.items()}


def show(title: str, unit: str, amount: float, times: Mapping[str, float], ours: str = "speechgmm") -> None:
    """Print how much each did in a second, and how many times faster speechgmm is."""
    print(f"{title} (one thread, median)")
    for name, each in times.items():
        print(f"  {name:34s} {amount / each:12,.3f} {unit}   {ours} is {each / times[ours]:5.2f} times as fast")

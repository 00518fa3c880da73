"""Cost of an E step and of scores, against hours, components, workers and models; and on a graphics card.

``python benchmarks/scale.py [PART ...] [--quick] [--device cuda]``: `hours` and `sizes` print seconds, frames a second
and peak memory, and the cost model that is fitted to them; `scoring` does so for scores against many models; `card`
needs PyTorch. Without a part, the first three run. All shards are one file under many names, which stays in the file
cache: the cost of reading from disk comes in addition.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

import numpy as np
from em import accumulate_file, problem
from joblib.externals.loky import get_reusable_executor
from scipy.optimize import nnls

from speechgmm import DiagonalGMM, ScoringConfig, accumulate, map_adapt
from speechgmm.gmm.blocks import model_coefficients
from speechgmm.gmm.kernels.choice import torch_kernels
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.parallel.engine import Engine, sum_over
from speechgmm.parallel.threads import one_thread
from speechgmm.recipe.cache.memory import forget_peak, peak_memory
from speechgmm.scoring.linear import mean_shifts, score_statistics
from speechgmm.scoring.stacked import ratio_sums, stack

SHARD_FRAMES, SHARDS_PER_HOUR = 60_000, 6
N_FEATURES = 60
WORKERS = (1, 2)
N_ROUNDS = 3
"""Times that each step is done; the fastest counts, as other work on the machine only slows it down."""

WORK = 1e10
"""Products of a frame, a component and a number of [z, 1, z^2] in a step of `sizes`: about half a second."""

PEAKS = {
    "H200": 66.9,
    "H100 PCIe": 51.2,
    "H100": 66.9,
    "A100": 19.5,
    "V100": 15.7,
    "L40S": 91.6,
    "L4": 30.3,
    "T4": 8.1,
    "RTX 4090": 82.6,
    "RTX 3090": 35.6,
}
"""Single-precision peaks without tensor cores, 10^12 operations a second, of the makers' data sheets: the first that
the card's name has in it."""


@dataclass(frozen=True)
class Step:
    """An E step and its cost: seconds, those of one worker's processor, and memory in megabytes."""

    n_components: int
    n_features: int
    n_shards: int
    n_jobs: int
    seconds: float
    busy: float
    peak: float

    @property
    def n_frames(self) -> int:
        """Frames of all shards."""
        return self.n_shards * SHARD_FRAMES


def measure(n_components: int, n_features: int, n_shards: int, n_jobs: int, n_rounds: int) -> Step:
    """Time an E step over shards, in a process of its own."""
    process = ProcessPoolExecutor(1, get_context("spawn"))  # which may have workers of its own
    with tempfile.TemporaryDirectory() as folder, process:
        _write_shards(folder, n_components, n_features, n_shards)
        took = process.submit(_e_steps, folder, n_components, n_features, n_jobs, n_rounds).result()
    return Step(n_components, n_features, n_shards, n_jobs, *took)


def _write_shards(folder: str, n_components: int, n_features: int, n_shards: int) -> None:
    """Write one shard, and link the others to it."""
    first = Path(folder, "00000.npy")
    np.save(first, problem(SHARD_FRAMES, n_components, n_features)[1])
    for number in range(1, n_shards):
        os.link(first, Path(folder, f"{number:05d}.npy"))


def _e_steps(folder: str, n_components: int, n_features: int, n_jobs: int, n_rounds: int) -> tuple[float, float, float]:
    """Return the cost of the fastest step, and the largest peak of memory of any process."""
    gmm, _ = problem(1, n_components, n_features)
    shards = sorted(Path(folder).iterdir())
    step = partial(sum_over, partial(accumulate_file, gmm, 0.0, "numpy"), engine=Engine("processes", n_jobs=n_jobs))
    step(shards[:n_jobs])  # starts the workers
    forget_peak()
    started = time.process_time()
    seconds = min(_timed(partial(step, shards)) for _ in range(n_rounds))
    busy = (time.process_time() - started) / n_rounds if n_jobs == 1 else np.nan
    peak = (peak_memory() or np.nan) / 2**20
    if n_jobs > 1:
        get_reusable_executor().shutdown(wait=True)  # this process would wait for its workers, and they for more work
    return seconds, busy, peak


def _timed(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of a call."""
    started = clock()
    function()
    return clock() - started


_busy = partial(_timed, clock=time.process_time)
"""The seconds that a call keeps the processor busy."""


def show(step: Step) -> None:
    """Print the cost of a step."""
    print(
        f"  {step.n_frames / 360_000:7.2f} h  {step.n_components:5d} x {step.n_features}  {step.n_jobs} workers  "
        f"{step.seconds:8.2f} s  {step.n_frames / step.seconds / 1e6:7.3f} M frames/s  "
        + ("" if step.n_jobs > 1 else f"{step.n_frames / step.busy / 1e6:7.3f} by its processor's clock  ")
        + f"{step.peak:5.0f} MB",
        flush=True,
    )


def hours(most: int, *, quick: bool) -> list[Step]:
    """Measure against hours of audio."""
    n_components = 64 if quick else 512
    print("An E step against hours of audio, at 100 frames a second: the memory of the largest process")
    steps = []
    for n_hours in [each for each in (1, 4, 16, 100) if each <= (4 if quick else most)]:
        for n_jobs in WORKERS:
            steps.append(measure(n_components, N_FEATURES, n_hours * SHARDS_PER_HOUR, n_jobs, n_rounds=1))
            show(steps[-1])
    peaks = [[each.peak for each in steps if each.n_jobs == n_jobs] for n_jobs in WORKERS]
    for n_jobs, each in zip(WORKERS, peaks, strict=True):
        print(f"  {n_jobs} workers: the most hours take {each[-1] / each[0]:.3f} times the memory of the fewest")
    return steps


def sizes(*, quick: bool) -> list[Step]:
    """Measure against components and features."""
    print("An E step against components and features")
    steps = []
    for n_components in (64, 256) if quick else (64, 128, 256, 512, 1024, 2048):
        for n_features in (20, N_FEATURES):
            pairs = WORK / (n_components * (2 * n_features + 1) * SHARD_FRAMES * 2)
            for n_jobs in WORKERS:
                n_rounds = 1 if quick else N_ROUNDS
                steps.append(measure(n_components, n_features, 2 * max(1, round(pairs)), n_jobs, n_rounds))
                show(steps[-1])
    return steps


def fit(steps: Sequence[Step]) -> None:
    """Fit the processor time of one worker by least squares of relative errors, and print the gain of more workers."""
    alone = [each for each in steps if each.n_jobs == 1]
    seconds = np.array([each.busy for each in alone])
    wide = [2 * each.n_features + 1 for each in alone]
    terms = np.array(
        [
            [1.0, each.n_frames * each.n_components * w, each.n_frames * each.n_components, each.n_frames * w]
            for each, w in zip(alone, wide, strict=True)
        ]
    )
    scale = terms.max(axis=0)
    costs = nnls(terms / scale / seconds[:, None], np.ones(len(alone)))[0] / scale
    errors = terms @ costs / seconds - 1
    print("One worker: its processor's seconds = a + frames (b C (2D + 1) + c C + d (2D + 1)), with")
    print(f"  a = {costs[0]:.2g} s, b = {costs[1]:.3g} s, c = {costs[2]:.3g} s, d = {costs[3]:.3g} s")
    mean, worst = np.sqrt(np.mean(errors**2)), np.abs(errors).max()
    print(f"  errors of {len(alone)} steps: {mean:.1%} on average, {worst:.1%} at most")
    gains = [
        one.seconds / two.seconds
        for one in alone
        for two in steps
        if two.n_jobs == 2
        and (two.n_components, two.n_features, two.n_shards) == (one.n_components, one.n_features, one.n_shards)
    ]
    print(f"Two workers: {np.median(gains):.2f} times as fast ({min(gains):.2f} to {max(gains):.2f})")


def scoring(*, quick: bool) -> None:
    """Measure scores of one test against many models, and enrolment, by the clock of one processor."""
    n_components, n_frames = (64 if quick else 512), 1000
    ubm, frames = problem(30 * n_frames, n_components, N_FEATURES)
    rng = np.random.default_rng(1)
    test = frames[:n_frames]
    with one_thread():
        enrolment = min(_busy(lambda: map_adapt(ubm, accumulate(ubm, frames[:3000]))) for _ in range(N_ROUNDS))
        print(f"Scores of {n_frames:,} frames, {n_components} x {N_FEATURES}; enrolling 3,000 takes {enrolment:.3f} s")
        for n_models in (50, 100) if quick else (100, 400, 1600):
            moves = rng.normal(scale=0.05, size=(n_models, *ubm.means.shape))
            models = [DiagonalGMM(ubm.weights, ubm.means + move, ubm.variances) for move in moves]
            stacked, shifts, statistics = stack(models, ubm), mean_shifts(models, ubm), accumulate(ubm, test)
            sums = ratio_sums(stacked, ScoringConfig().top_components, "numpy")
            best = min(_busy(partial(sums, test)) for _ in range(N_ROUNDS))
            linear = min(_busy(partial(score_statistics, shifts, ubm, [statistics] * 16)) for _ in range(N_ROUNDS)) / 16
            size = stacked.differences.product.nbytes / n_models
            print(
                f"  {n_models:5d} models: top-10 {best:.3f} s, {best / n_frames / n_models * 1e9:.0f} ns a frame and "
                f"model; linear {linear / n_models * 1e6:.1f} us a model; {size / 1e3:.0f} kB a model in memory",
                flush=True,
            )


def card(kernel: TorchKernel, *, quick: bool) -> None:
    """Measure E steps over ten million frames by PyTorch, as a share of the device's peak where it is known."""
    kernels = torch_kernels(kernel)
    torch = kernels.torch
    name = torch.cuda.get_device_name() if kernel == "cuda" else "the processor, one thread"
    peak = next((each for known, each in PEAKS.items() if known in name), None) if kernel == "cuda" else None
    print(f"E steps on {name}, torch {torch.__version__}")
    n_repeats = 1 if quick else 100
    for n_components in (512, 2048):
        gmm, some = problem(100_000, n_components, N_FEATURES)
        frames = np.tile(some, (n_repeats, 1))
        calls = {
            "from memory": partial(accumulate, gmm, frames, kernel=kernel),
            "on the device": partial(_resident, kernels, gmm, _there(kernels, frames, kernel), kernel),
        }
        for where, call in calls.items():
            call()
            seconds = min(_timed(call) for _ in range(1 if quick else N_ROUNDS))
            # Of the two products: a multiplication and an addition each.
            operations = len(frames) * n_components * (2 * N_FEATURES + 1) * 4 / seconds / 1e12
            share = "" if peak is None else f", {operations / peak:.1%} of its {peak} single-precision peak"
            print(
                f"  {n_components:5d} x {N_FEATURES}, {len(frames) / 1e6:.1f} M frames {where:13s} {seconds:8.3f} s  "
                f"{len(frames) / seconds / 1e6:8.2f} M frames/s  {operations:.2f} TFLOP/s{share}",
                flush=True,
            )
    if kernel == "cuda":
        print(f"  {torch.cuda.max_memory_allocated() / 2**20:,.0f} MB of the card at most, frames included")


def _there(kernels: ModuleType, frames: np.ndarray, kernel: TorchKernel) -> object:
    """Copy frames to a device."""
    return kernels.torch.from_numpy(frames).to(kernels.DEVICES[kernel])


def _resident(kernels: ModuleType, gmm: DiagonalGMM, frames: object, kernel: TorchKernel) -> None:
    """Run an E step over frames that are on the device."""
    coefficients = model_coefficients(gmm, np.float32)
    moments = np.zeros((gmm.n_components, 2 * gmm.n_features + 1))
    kernels.add_frames(frames, np.ones(len(frames)), coefficients, moments, kernel)


def main() -> None:
    """Measure the requested parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["hours", "sizes", "scoring"], metavar="PART")
    parser.add_argument("--quick", action="store_true", help="small sizes, once: to see that it runs")
    parser.add_argument("--hours", type=int, default=100, help="most hours of the part of that name")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda", help="of the part card")
    asked = parser.parse_args()
    known = ("hours", "sizes", "scoring", "card")
    if unknown := [part for part in asked.parts if part not in known]:
        parser.error(f"parts {', '.join(unknown)}: expected some of {', '.join(known)}")
    steps = []
    if "hours" in asked.parts:
        steps += hours(asked.hours, quick=asked.quick)
    if "sizes" in asked.parts:
        steps += sizes(quick=asked.quick)
    if steps:
        fit(steps)
    if "scoring" in asked.parts:
        scoring(quick=asked.quick)
    if "card" in asked.parts:
        card("cuda" if asked.device == "cuda" else "torch", quick=asked.quick)


if __name__ == "__main__":
    main()

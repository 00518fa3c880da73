"""One EM iteration: speechgmm, scikit-learn, a loop over components, and the two products that every exact one has."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from side_by_side import seconds, show
from sklearn.mixture import GaussianMixture

from speechgmm import DiagonalGMM, SufficientStats, accumulate, posteriors
from speechgmm.gmm.kernels.dense import Kernel
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update
from speechgmm.parallel.engine import Engine, sum_over

BLOCK = 1024

OVERLAP = 0.46
"""Standard deviation of the means: 512 components over 60 features then leave as many posteriors above 1e-6 in a frame
as a mixture of that size has on speech (about 18)."""

SKIP_BELOW = 2e-7
"""The threshold that `accumulate` recommends."""

MODES: dict[str, tuple[float, Kernel]] = {
    "speechgmm": (0.0, "numpy"),
    "speechgmm, kernel numba": (0.0, "numba"),
    "speechgmm, skipping": (SKIP_BELOW, "numpy"),
}
"""What is skipped, and the kernel that computes the rest."""

LIMIT = "the two bare products"


def problem(n_frames: int, n_components: int, n_features: int) -> tuple[DiagonalGMM, np.ndarray]:
    """Draw a mixture of overlapping components, and frames of it."""
    rng = np.random.default_rng(0)
    means = OVERLAP * rng.standard_normal((n_components, n_features))
    variances = rng.uniform(0.2, 1.0, (n_components, n_features))
    gmm = DiagonalGMM(np.full(n_components, 1 / n_components), means, variances)
    drawn = rng.integers(n_components, size=n_frames)
    noise = rng.standard_normal((n_frames, n_features)) * np.sqrt(variances[drawn])
    return gmm, (means[drawn] + noise).astype(np.float32)


def of_scikit_learn(gmm: DiagonalGMM, frames: np.ndarray) -> Callable[[], object]:
    """Run one E step and one M step from the same start, on single-precision frames as speechgmm does."""
    reference = GaussianMixture(gmm.n_components, covariance_type="diag")
    reference.weights_, reference.means_ = gmm.weights.astype(np.float32), gmm.means.astype(np.float32)
    reference.covariances_ = gmm.variances.astype(np.float32)
    reference.precisions_cholesky_ = 1 / np.sqrt(reference.covariances_)

    def iteration() -> None:
        """Process all frames at once, as its `fit` does."""
        _, log_responsibilities = reference._e_step(frames)
        reference._m_step(frames, log_responsibilities)

    return iteration


def bare_products(gmm: DiagonalGMM, frames: np.ndarray) -> Callable[[], object]:
    """Compute the two products in single precision, block by block, into existing arrays."""
    expanded = np.concatenate([frames, frames**2], axis=1)
    matrix = np.ones((expanded.shape[1], gmm.n_components), np.float32)
    joint = np.empty((BLOCK, gmm.n_components), np.float32)
    sums = np.empty((gmm.n_components, expanded.shape[1]), np.float32)

    def products() -> None:
        """Compute the products only."""
        for start in range(0, len(frames), BLOCK):
            block = expanded[start : start + BLOCK]
            np.matmul(block, matrix, out=joint[: len(block)])
            np.matmul(joint[: len(block)].T, block, out=sums)

    return products


def loop_over_components(gmm: DiagonalGMM, frames: np.ndarray) -> Callable[[], object]:
    """Compute the E step component by component, as short programs do."""

    def iteration() -> None:
        """Keep everything in double precision."""
        joint = np.stack(
            [
                np.log(weight) - 0.5 * (np.log(2 * np.pi * variance) + (frames - mean) ** 2 / variance).sum(axis=1)
                for weight, mean, variance in zip(gmm.weights, gmm.means, gmm.variances, strict=True)
            ],
            axis=1,
        )
        posteriors = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
        for component in range(gmm.n_components):
            gamma = posteriors[:, component, None]
            gamma.sum(), (gamma * frames).sum(axis=0), (gamma * frames**2).sum(axis=0)

    return iteration


def iterate(gmm: DiagonalGMM, frames: np.ndarray, config: TrainingConfig, skip_below: float, kernel: Kernel) -> None:
    """Run one iteration of speechgmm."""
    ml_update(accumulate(gmm, frames, skip_below=skip_below, kernel=kernel), gmm, config)


def speed(gmm: DiagonalGMM, frames: np.ndarray) -> None:
    """Time an iteration of each kind. The slow ones process fewer frames; all are reported in frames per second."""
    config = TrainingConfig(n_components=gmm.n_components)
    few, fewer = frames[: len(frames) // 10], frames[: len(frames) // 100]
    calls: dict[str, Callable[[], object]] = {
        LIMIT: bare_products(gmm, frames),
        **{name: partial(iterate, gmm, frames, config, *mode) for name, mode in MODES.items()},
        "scikit-learn": of_scikit_learn(gmm, few),
        "a loop over components": loop_over_components(gmm, fewer),
    }
    shares = {"scikit-learn": len(frames) / len(few), "a loop over components": len(frames) / len(fewer)}
    times = {name: each * shares.get(name, 1.0) for name, each in seconds(calls).items()}
    print(f"One EM iteration, {gmm.n_components} components x {gmm.n_features}, {len(frames):,} frames, one thread")
    for name, each in times.items():
        print(f"  {name:34s} {len(frames) / each / 1e6:8.3f} M frames/s   {times[LIMIT] / each:6.3f} of {LIMIT}")


def precision(gmm: DiagonalGMM, frames: np.ndarray) -> None:
    """Print how far statistics are from those in double precision that skip nothing."""
    n_above = (posteriors(gmm, frames[:5000], dtype=np.float64) > 1e-6).sum(axis=1).mean()
    print(f"Posteriors above 1e-6 in a frame: {n_above:.1f} of {gmm.n_components}; largest relative errors of")
    exact = accumulate(gmm, frames, dtype=np.float64)
    for name, (skip_below, kernel) in MODES.items():
        stats = accumulate(gmm, frames, skip_below=skip_below, kernel=kernel)
        shown = "  ".join(f"{order} {error:.1e}" for order, error in relative_errors(gmm, stats, exact).items())
        print(f"  {name:34s} {shown}  (skipped: at most {stats.skipped:.2g} frames)")


def relative_errors(gmm: DiagonalGMM, stats: SufficientStats, exact: SufficientStats) -> dict[str, float]:
    """Compare statistics about the model's centre: sums of posteriors, and of their squares, with themselves.

    Sums of what has both signs are compared with the occupancy times the model's scale.
    """
    centre, scale = gmm.reference

    def about_centre(one: SufficientStats) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Move first and second moments to the centre, in units of the scale."""
        occupancy = one.zeroth[:, None]
        first = one.first - occupancy * centre
        return occupancy, first / scale, (one.second - centre * (2 * first + occupancy * centre)) / scale**2

    (zeroth, first, second), (zeroth_64, first_64, second_64) = about_centre(stats), about_centre(exact)
    return {
        "zeroth": float(np.abs(zeroth / zeroth_64 - 1).max()),
        "first": float((np.abs(first - first_64) / zeroth_64).max()),
        "second": float(np.abs(second / second_64 - 1).max()),
        "log-likelihood": abs(stats.log_likelihood / exact.log_likelihood - 1),
    }


def accumulate_file(gmm: DiagonalGMM, skip_below: float, kernel: Kernel, shard: Path) -> SufficientStats:
    """Accumulate a shard, as a worker does."""
    return accumulate(gmm, np.load(shard, mmap_mode="r"), skip_below=skip_below, kernel=kernel)


def workers(gmm: DiagonalGMM, frames: np.ndarray, n_shards: int = 16) -> None:
    """Time two worker processes against one, over shards on disk; a first round starts and warms them up."""
    quarter = frames[: len(frames) // 4]  # of speech, a shard holds about ten minutes: 60,000 frames
    with tempfile.TemporaryDirectory() as folder:
        shards = [Path(folder, f"{number:02d}.npy") for number in range(n_shards)]
        for shard in shards:
            np.save(shard, quarter)
        print(f"Two workers against one, {n_shards} shards of {len(quarter):,} frames")
        for name, mode in MODES.items():
            function = partial(accumulate_file, gmm, *mode)
            times = seconds({n: partial(sum_over, function, shards, Engine("processes", n_jobs=n)) for n in (1, 2)})
            print(f"  {name:34s} {times[1] / times[2]:.2f} times as fast")


def small(n_components: int, n_features: int, n_frames: int = 50_000) -> None:
    """Time a small size against scikit-learn."""
    gmm, frames = problem(n_frames, n_components, n_features)
    config = TrainingConfig(n_components=n_components)
    calls = {
        "speechgmm": lambda: ml_update(accumulate(gmm, frames), gmm, config),
        "scikit-learn": of_scikit_learn(gmm, frames),
    }
    times = seconds(calls, n_rounds=3)
    show(f"One EM iteration, {n_components} components x {n_features}", "M frames/s", n_frames / 1e6, times)


def main() -> None:
    """Print speed and precision of a large size, what a second worker gives, and a table for each small size."""
    gmm, frames = problem(200_000, 512, 60)
    speed(gmm, frames)
    precision(gmm, frames)
    workers(gmm, frames)
    for n_components in (8, 32, 64):
        for n_features in (13, 39):
            small(n_components, n_features)


if __name__ == "__main__":
    main()

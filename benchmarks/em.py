"""One EM iteration: speechgmm, scikit-learn, a loop over components, and the two products that none does without."""

from collections.abc import Callable

import numpy as np
from side_by_side import seconds, show
from sklearn.mixture import GaussianMixture

from speechgmm import DiagonalGMM, accumulate
from speechgmm.gmm.training_config import TrainingConfig
from speechgmm.gmm.update import ml_update

BLOCK = 1024


def problem(n_frames: int, n_components: int, n_features: int) -> tuple[DiagonalGMM, np.ndarray]:
    """Draw a mixture whose components overlap as those of speech do, and frames of it."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((n_components, n_features))
    variances = rng.uniform(0.2, 1.0, (n_components, n_features))
    gmm = DiagonalGMM(np.full(n_components, 1 / n_components), means, variances)
    drawn = rng.integers(n_components, size=n_frames)
    noise = rng.standard_normal((n_frames, n_features)) * np.sqrt(variances[drawn])
    return gmm, (means[drawn] + noise).astype(np.float32)


def of_scikit_learn(gmm: DiagonalGMM, frames: np.ndarray) -> Callable[[], object]:
    """Do one E step and one M step from the same start, on single-precision frames as ours."""
    reference = GaussianMixture(gmm.n_components, covariance_type="diag")
    reference.weights_, reference.means_ = gmm.weights.astype(np.float32), gmm.means.astype(np.float32)
    reference.covariances_ = gmm.variances.astype(np.float32)
    reference.precisions_cholesky_ = 1 / np.sqrt(reference.covariances_)

    def iteration() -> None:
        """Take all frames at once, as its `fit` does."""
        _, log_responsibilities = reference._e_step(frames)
        reference._m_step(frames, log_responsibilities)

    return iteration


def bare_products(gmm: DiagonalGMM, frames: np.ndarray) -> Callable[[], object]:
    """Do the two products in single precision, block by block, into arrays that are there already."""
    expanded = np.concatenate([frames, frames**2], axis=1)
    matrix = np.ones((expanded.shape[1], gmm.n_components), np.float32)
    joint = np.empty((BLOCK, gmm.n_components), np.float32)
    sums = np.empty((gmm.n_components, expanded.shape[1]), np.float32)

    def products() -> None:
        """Nothing else."""
        for start in range(0, len(frames), BLOCK):
            block = expanded[start : start + BLOCK]
            np.matmul(block, matrix, out=joint[: len(block)])
            np.matmul(joint[: len(block)].T, block, out=sums)

    return products


def loop_over_components(gmm: DiagonalGMM, frames: np.ndarray) -> Callable[[], object]:
    """Do the E step component by component, as short programs do."""

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


def compare(n_frames: int, n_components: int, n_features: int, others: bool = True) -> None:
    """Time one size. The slow ones take fewer frames, and all are told as frames in a second."""
    gmm, frames = problem(n_frames, n_components, n_features)
    config = TrainingConfig(n_components=n_components)
    few = frames[: n_frames // 10]
    calls: dict[str, Callable[[], object]] = {
        "speechgmm": lambda: ml_update(accumulate(gmm, frames), gmm, config),
        "scikit-learn": of_scikit_learn(gmm, few if others else frames),
    }
    if others:
        calls |= {
            "the two bare products": bare_products(gmm, frames),
            "a loop over components": loop_over_components(gmm, few[: n_frames // 100]),
        }
    shares = {"scikit-learn": 10.0 if others else 1.0, "a loop over components": 100.0}
    times = {name: each * shares.get(name, 1.0) for name, each in seconds(calls, n_rounds=3).items()}
    show(f"One EM iteration, {n_components} components x {n_features}", "M frames/s", n_frames / 1e6, times)


def main() -> None:
    """Print a table for each size."""
    compare(200_000, 512, 60)
    for n_components in (8, 32, 64):
        for n_features in (13, 39):
            compare(50_000, n_components, n_features, others=False)


if __name__ == "__main__":
    main()

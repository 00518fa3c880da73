"""Peak memory of a training from shards on disk, which must not depend on how many frames there are."""

import multiprocessing
import resource
import tempfile
from pathlib import Path

import numpy as np

from speechgmm import TrainingConfig, train

N_COMPONENTS, N_FEATURES, SHARD_FRAMES = 512, 60, 250_000


def write_shards(folder: str, n_shards: int) -> None:
    """Write a quarter of a million frames into each, all different."""
    from em import problem

    _, frames = problem(SHARD_FRAMES, N_COMPONENTS, N_FEATURES)
    rng = np.random.default_rng(1)
    for number in range(n_shards):
        np.save(Path(folder) / f"{number}.npy", frames + rng.normal(scale=0.1, size=N_FEATURES).astype(np.float32))


def peak_of_training(folder: str) -> float:
    """Train two iterations and return the peak of resident memory of this process in megabytes."""
    shards = sorted(Path(folder).glob("*.npy"))
    train(shards, TrainingConfig(n_components=N_COMPONENTS, n_iterations=2, tolerance=0))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the peak for one and for four million frames, each in a process of its own."""
    new_process = multiprocessing.get_context("spawn").Pool
    for n_shards in (4, 16):
        with tempfile.TemporaryDirectory() as folder:
            with new_process(1) as pool:
                pool.apply(write_shards, (folder, n_shards))
            with new_process(1) as pool:
                peak = pool.apply(peak_of_training, (folder,))
            size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
        print(
            f"Training {N_COMPONENTS} components x {N_FEATURES} on {n_shards * SHARD_FRAMES / 1e6:.0f} million frames, "
            f"{size:,.0f} MB on disk: {peak:,.0f} MB resident at most"
        )


if __name__ == "__main__":
    main()

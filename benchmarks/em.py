"""One EM iteration, 512 components over 60 features: speechgmm and scikit-learn from the same start."""

import numpy as np
from side_by_side import seconds, show
from sklearn.mixture import GaussianMixture

from speechgmm import DiagonalGMM, accumulate
from speechgmm.gmm.training import TrainingConfig, ml_update

N_FRAMES, N_COMPONENTS, N_FEATURES = 20_000, 512, 60


def main() -> None:
    """Time both and print the ratio."""
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((N_FRAMES, N_FEATURES)).astype(np.float32)
    start = DiagonalGMM(
        np.full(N_COMPONENTS, 1 / N_COMPONENTS),
        frames[:N_COMPONENTS],
        np.ones((N_COMPONENTS, N_FEATURES)),
    )
    config = TrainingConfig(n_components=N_COMPONENTS)
    reference = GaussianMixture(N_COMPONENTS, covariance_type="diag")
    reference.weights_ = start.weights.astype(np.float32)
    reference.means_ = start.means.astype(np.float32)
    reference.covariances_ = start.variances.astype(np.float32)
    reference.precisions_cholesky_ = 1 / np.sqrt(reference.covariances_)

    def iteration_of_reference() -> None:
        """Do one E step and one M step, on single-precision frames as ours."""
        _, log_responsibilities = reference._e_step(frames)
        reference._m_step(frames, log_responsibilities)

    times = seconds(
        {
            "speechgmm": lambda: ml_update(accumulate(start, frames), start, config),
            "scikit-learn": iteration_of_reference,
        },
        n_rounds=3,
    )
    show("One EM iteration, 512 components x 60", "M frames/s", N_FRAMES / 1e6, times)


if __name__ == "__main__":
    main()

"""MFCC of ten minutes of 16 kHz audio: speechgmm and librosa, both with 24 cepstra from 30 filters."""

import librosa
import numpy as np
from side_by_side import seconds, show

from speechgmm import FeatureConfig
from speechgmm.features.cepstra import cepstra

SECONDS = 600
RATE = 16000


def main() -> None:
    """Time both and print the ratio."""
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(SECONDS * RATE)).astype(np.float32)
    config = FeatureConfig()
    times = seconds(
        {
            "speechgmm": lambda: cepstra(samples, config),
            "librosa": lambda: librosa.feature.mfcc(
                y=samples, sr=RATE, n_mfcc=24, n_mels=30, n_fft=512, win_length=400, hop_length=160, fmin=20, fmax=7600
            ),
        }
    )
    show("MFCC of 10 minutes", "x real time", SECONDS, times)


if __name__ == "__main__":
    main()

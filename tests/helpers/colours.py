"""Noise of two colours in place of two voices, and a front end that needs no whole recording."""

import numpy as np

from speechgmm import FeatureConfig

COLOURS = {"ann": 0.9, "bo": -0.9}

LOCAL = FeatureConfig(
    vad={"method": "energy", "threshold": 12.0, "mean_scale": 0.0}, normalisation={"mean": 0.0}, deltas={"order": 1}
)


def noise(rng, colour, seconds):
    """Noise of a colour, in bursts of 0.8 s with pauses of 0.2 s."""
    samples = 0.1 * np.convolve(rng.normal(size=round(16000 * seconds)), [1, colour], "same")
    return samples * (np.arange(len(samples)) % 16000 < 12800)

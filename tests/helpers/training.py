"""Frames in clusters, and trainings that are stopped."""

import numpy as np

PLACES = np.array([[-8.0, 0.0], [0.0, 8.0], [8.0, -3.0]])
PARAMETERS = ("weights", "means", "variances")


def clusters(rng, sizes=(600, 1200, 600)):
    """Frames in three places, eight standard deviations or more apart."""
    frames = np.concatenate([place + rng.normal(size=(size, 2)) for place, size in zip(PLACES, sizes, strict=True)])
    return rng.permutation(frames).astype(np.float32)


class Stopped(Exception):
    """Stands for a power cut."""


def stop_after(n_iterations):
    told = []

    def on_iteration(iteration):
        told.append(iteration)
        if len(told) == n_iterations:
            raise Stopped

    return on_iteration

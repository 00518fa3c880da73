"""Features, one frame and coefficient after another."""

import numpy as np


def deltas(frames, window):
    """First-order regression deltas, the ends repeated: HTK book, eq. 5.16."""
    n_frames = len(frames)
    result = np.zeros(frames.shape)
    for t in range(n_frames):
        for step in range(1, window + 1):
            after = frames[min(t + step, n_frames - 1)]
            before = frames[max(t - step, 0)]
            result[t] += step * (after - before)
    return result / (2 * sum(step**2 for step in range(1, window + 1)))

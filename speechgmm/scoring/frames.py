"""Log-likelihood ratios of single frames, of windows, and of audio as it comes in."""

from collections.abc import Sequence

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.stacked import StackedModels, ratio_blocks, stack


def frame_llrs(
    models: Sequence[DiagonalGMM], ubm: DiagonalGMM, frames: FloatArray, config: ScoringConfig
) -> Float64Array:
    """Score each frame against every model.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    frames : np.ndarray, shape (T, D)
        Feature frames, in memory or mapped.
    config : ScoringConfig
        Method `llr`.

    Returns
    -------
    np.ndarray, shape (T, M), float64, nats
        ``log p(x_t | model) - log p(x_t | ubm)``; the mean of a column is the score of `score_matrix`.

    Raises
    ------
    ValueError
        If shapes differ, a frame is not finite, or the method is another.
    """
    stacked = _stack(models, ubm, config)
    ratios = np.empty((len(frames), stacked.n_models))
    end = 0
    for block in ratio_blocks(stacked, frames, config.top_components):
        start, end = end, end + len(block)
        ratios[start:end] = block
    return ratios


def windowed_llr(
    models: Sequence[DiagonalGMM],
    ubm: DiagonalGMM,
    frames: FloatArray,
    config: ScoringConfig,
    *,
    window: int,
    step: int,
) -> tuple[Float64Array, Float64Array]:
    """Score windows of long audio against every model.

    Parameters
    ----------
    models, ubm, frames, config
        As for `frame_llrs`.
    window : int, 1 to T, frames
        Length of a window.
    step : int >= 1, frames
        From one window's first frame to the next one's.

    Returns
    -------
    centres : np.ndarray, shape (W,), float64, frames
        Middle of each window: that of frames 0 to 4 is 2. Frames at the end that fill no window are in none.
    means : np.ndarray, shape (W, M), float64, nats
        Mean frame LLR of each window. Besides them no more than a window's and a block's are in memory.

    Raises
    ------
    ValueError
        As for `frame_llrs`, and if there is no window.
    """
    if window < 1 or step < 1 or len(frames) < window:
        raise ModelError(f"window {window} and step {step} for {len(frames)} frames; expected 1 or more, and a window")
    stacked = _stack(models, ubm, config)
    starts = np.arange(0, len(frames) - window + 1, step)
    means = np.empty((len(starts), stacked.n_models))
    sums = np.zeros((1, stacked.n_models))  # over the frames before frame `first`, `first` + 1, ...
    first = done = 0
    for block in ratio_blocks(stacked, frames, config.top_components):
        sums = np.concatenate([sums, sums[-1] + np.cumsum(block, axis=0, dtype=np.float64)])
        ready = starts[done : np.searchsorted(starts, first + len(sums) - 1 - window, side="right")] - first
        means[done : done + len(ready)] = (sums[ready + window] - sums[ready]) / window
        done += len(ready)
        unused = min(step * done - first, len(sums) - 1)
        sums, first = sums[unused:], first + unused
    centres: Float64Array = starts.astype(np.float64) + (window - 1) / 2
    return centres, means


class RunningLLR:
    """Score live audio against every model as it comes in.

    After any number of pushes the scores are those that `score_matrix` gives the frames so far, bit for bit. For that
    the last block, of up to `dense.BLOCK_FRAMES` frames, is scored anew by each push until it is full: push a few
    tenths of a second at a time, rather than single frames.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    config : ScoringConfig
        Method `llr`.

    Raises
    ------
    ValueError
        If shapes differ, or the method is another.
    """

    def __init__(self, models: Sequence[DiagonalGMM], ubm: DiagonalGMM, config: ScoringConfig) -> None:
        self._stacked = _stack(models, ubm, config)
        self._top_components = config.top_components
        self._total = np.zeros(self._stacked.n_models)
        self._pending: FloatArray = np.empty((0, ubm.n_features), np.float32)
        self._n_frames = 0

    @property
    def n_frames(self) -> int:
        """Frames pushed so far."""
        return self._n_frames

    def push(self, frames: FloatArray) -> Float64Array:
        """Take the next frames.

        Parameters
        ----------
        frames : np.ndarray, shape (T, D), T >= 0
            They follow those of the last push.

        Returns
        -------
        np.ndarray, shape (M,), float64, nats
            Mean frame LLR of all frames so far; NaN while there are none.

        Raises
        ------
        ValueError
            If the shape does not fit, or a frame is not finite. What was pushed before is kept then.
        """
        frames = np.asarray(frames)
        if frames.ndim != 2 or frames.shape[1] != self._pending.shape[1]:
            raise ModelError(f"frames of shape {frames.shape}; the model expects (T, {self._pending.shape[1]})")
        rows = np.concatenate([self._pending, frames])
        n_whole = len(rows) - len(rows) % dense.BLOCK_FRAMES
        total = self._add(self._total, rows[:n_whole])
        so_far = self._add(total, rows[n_whole:])
        self._total, self._pending = total, rows[n_whole:].copy()
        self._n_frames += len(frames)
        return so_far / self._n_frames if self._n_frames else np.full(len(so_far), np.nan)

    def _add(self, total: Float64Array, frames: FloatArray) -> Float64Array:
        """Add the ratios of frames, which begin a block, to a total."""
        total = total.copy()
        for ratios in ratio_blocks(self._stacked, frames, self._top_components):
            total += ratios.sum(axis=0, dtype=np.float64)
        return total


def _stack(models: Sequence[DiagonalGMM], ubm: DiagonalGMM, config: ScoringConfig) -> StackedModels:
    """Prepare models whose frames have scores."""
    if config.method != "llr":
        raise ModelError(f"method {config.method} scores whole utterances; expected llr, for single frames")
    return stack(models, ubm)

"""Log-likelihood ratios of single frames, of windows, and of live audio."""

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
        Feature frames, in memory or memory-mapped.
    config : ScoringConfig
        Method `llr`; the kernel is always numpy.

    Returns
    -------
    np.ndarray, shape (T, M), float64, nats
        ``log p(x_t | model) - log p(x_t | ubm)``; the mean of a column is the score of `score_matrix`.

    Raises
    ------
    ValueError
        If shapes differ, a frame is not finite, or the method is not `llr`.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, ScoringConfig, frame_llrs
    >>> ubm = DiagonalGMM([1.0], [[0.0]], [[1.0]])
    >>> ann = DiagonalGMM([1.0], [[1.0]], [[1.0]])
    >>> frame_llrs([ann], ubm, np.array([[0.0], [1.0], [2.0]]), ScoringConfig()).round(2)
    array([[-0.5],
           [ 0.5],
           [ 1.5]])
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
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    frames : np.ndarray, shape (T, D)
        Feature frames, in memory or memory-mapped.
    config : ScoringConfig
        Method `llr`; the kernel is always numpy.
    window : int, 1 to T, frames
        Length of a window.
    step : int >= 1, frames
        Distance from the first frame of a window to that of the next.

    Returns
    -------
    centres : np.ndarray, shape (W,), float64, frames
        Middle of each window: that of frames 0 to 4 is 2. Frames at the end that do not fill a window are left out.
    means : np.ndarray, shape (W, M), float64, nats
        Mean frame LLR of each window. Apart from this result, memory holds no more than a window and a block of frame
        LLRs.

    Raises
    ------
    ValueError
        As for `frame_llrs`, and if there is not one full window.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, ScoringConfig, windowed_llr
    >>> ubm = DiagonalGMM([1.0], [[0.0]], [[1.0]])
    >>> ann = DiagonalGMM([1.0], [[1.0]], [[1.0]])
    >>> frames = np.array([[0.0], [0.5], [1.0], [1.0], [2.0]])
    >>> centres, means = windowed_llr([ann], ubm, frames, ScoringConfig(), window=2, step=1)
    >>> centres.tolist()
    [0.5, 1.5, 2.5, 3.5]
    >>> means[:, 0].round(2).tolist()
    [-0.25, 0.25, 0.5, 1.0]
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

    After any number of pushes the scores are those that `score_matrix` computes for the frames so far, bit for bit. For
    this, each push scores the last block, of up to `dense.BLOCK_FRAMES` frames, again until it is full: push a few
    tenths of a second at a time rather than single frames.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    config : ScoringConfig
        Method `llr`; the kernel is always numpy.

    Raises
    ------
    ValueError
        If shapes differ, or the method is not `llr`.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, RunningLLR, ScoringConfig
    >>> ubm = DiagonalGMM([1.0], [[0.0]], [[1.0]])
    >>> ann = DiagonalGMM([1.0], [[1.0]], [[1.0]])
    >>> running = RunningLLR([ann], ubm, ScoringConfig())
    >>> running.push(np.array([[0.5], [1.5]])).round(2).tolist()
    [0.5]
    >>> running.push(np.array([[2.5], [1.5]])).round(2).tolist()
    [1.0]
    >>> running.n_frames
    4
    """

    def __init__(self, models: Sequence[DiagonalGMM], ubm: DiagonalGMM, config: ScoringConfig) -> None:
        self._stacked = _stack(models, ubm, config)
        self._top_components = config.top_components
        self._total = np.zeros(self._stacked.n_models)
        self._pending: FloatArray = np.empty((0, ubm.n_features), np.float32)
        self._n_frames = 0

    @property
    def n_frames(self) -> int:
        """Number of frames pushed so far."""
        return self._n_frames

    def push(self, frames: FloatArray) -> Float64Array:
        """Add the next frames, and return the scores of all frames so far.

        Parameters
        ----------
        frames : np.ndarray, shape (T, D), T >= 0
            The frames that follow those of the last push.

        Returns
        -------
        np.ndarray, shape (M,), float64, nats
            Mean frame LLR of all frames so far; NaN while there are none.

        Raises
        ------
        ValueError
            If the shape does not fit, or a frame is not finite. Frames pushed earlier are kept.
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
    """Stack the models for scoring; refuse a method that does not score single frames."""
    if config.method != "llr":
        raise ModelError(f"method {config.method} scores whole utterances; expected llr, for single frames")
    return stack(models, ubm)

"""Normalisation of an utterance's features against its channel, level and noise."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.signal import lfilter
from scipy.special import ndtri

from speechgmm.arrays import BoolArray, Float32Array, Float64Array, FloatArray, IntArray
from speechgmm.configuration import Configuration

# Hermansky and Morgan (1994): 0.1 z^4 (2 + z^-1 - z^-3 - 2 z^-4) / (1 - 0.98 z^-1); z^4 is an advance of four frames.
RASTA_NUMERATOR = (0.2, 0.1, 0.0, -0.1, -0.2)
RASTA_POLE = 0.98
RASTA_ADVANCE = 4

VARIES = 1e-6
"""A column varies where its standard deviation is more than this share of its root mean square."""

WARP_BLOCK = 1024
"""Frames that are ranked at a time: enough for numpy, few enough for the processor's cache."""

DEFAULT_MIN_WINDOW = 100


class NormalisationConfig(Configuration):
    """Which effects of channel, level and noise are removed from an utterance's features.

    The steps, in order, each only where it is set: the RASTA filter; mean and variance, of the whole utterance or of a
    sliding window; feature warping. All columns are treated alike, except for `c0_mean`.

    Parameters
    ----------
    mean : float, 0 to 1
        Share of the mean that is subtracted: 1 removes a fixed channel wholly (and some of the speaker with it),
        0 keeps both; 0.5 is safe where it is not known whether the channel changes.
    c0_mean : float, 0 to 1, optional
        That share for the first column alone; `mean` by default. Where the first column is c0 or the log energy,
        1 makes the features independent of the recording's level.
    variance : bool
        Whether to divide by the standard deviation (of the population). A column that does not vary (standard
        deviation at most a millionth of its root mean square; always so for a single frame) is not divided.
    over : "speech" or "all"
        The frames over which means, deviations and ranks are computed. With "speech" they are what they would be if the
        other frames had been removed before, so that windows count speech frames only; a frame that is not speech
        is treated like the last speech frame before it (the first one, if there is none). Kaldi's recipes slide over
        all frames and select the speech afterwards: that is "all". RASTA runs over all frames in either case.
    window : int >= 2, frames, optional
        Length of the sliding window of mean and variance; the whole utterance by default.
    center : bool
        Whether the window has the frame in its middle (and is moved inwards at the ends), or consists of the frame and
        the `window` frames before it, as for live audio.
    min_window : int >= 1, frames
        Least length of a window that is not centred: the first frames look ahead to fill it.
    warp : int >= 3, frames, optional
        Length of the centred window in which a value's rank is converted to a normal deviate. It is cut at the
        ends of the utterance. Equal values share the mean of their ranks. No warping by default.
    rasta : bool
        Whether to filter every column along time with the RASTA filter, at any frame rate (it was designed for 100 Hz).
        The first frame stands for all before it, so that the filter starts at rest, and the last for all after it.

    References
    ----------
    Hermansky, Morgan (1994), IEEE Transactions on Speech and Audio Processing 2(4): RASTA.
    Pelecanos, Sridharan (2001), Odyssey: feature warping.
    Kaldi's apply-cmvn-sliding: `window`, `center` and `min_window`.
    """

    mean: float = Field(0.5, ge=0, le=1)
    c0_mean: float | None = Field(None, ge=0, le=1)
    variance: bool = False
    over: Literal["speech", "all"] = "speech"
    window: int | None = Field(None, ge=2)
    center: bool = False
    min_window: int = Field(DEFAULT_MIN_WINDOW, ge=1)
    warp: int | None = Field(None, ge=3)
    rasta: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse keys that have no effect because of others."""
        other_minimum = self.min_window != DEFAULT_MIN_WINDOW
        if self.window is None:
            if self.center:
                raise ValueError("center is for a sliding window: give its length as window, or leave center out")
            if other_minimum:
                raise ValueError(f"min_window {self.min_window} is for a sliding window: give its length as window")
            if self.warp is not None and (self.variance or self.c0_mean is not None):
                raise ValueError(
                    "variance and c0_mean of the whole utterance change no rank and so have no effect on warp: "
                    "leave them out, or give a window"
                )
        elif not (self.mean or self.c0_mean or self.variance):
            raise ValueError(f"window {self.window} has no effect where mean is 0 and variance is false")
        elif self.center and other_minimum:
            raise ValueError(f"min_window {self.min_window} is for a window that is not centred, and center is true")
        elif not self.center and self.min_window > self.window:
            raise ValueError(f"min_window {self.min_window} is longer than window {self.window}: set it too")
        return self


def normalise_frames(frames: Float32Array, speech: BoolArray, config: NormalisationConfig) -> Float32Array:
    """Remove the effects of channel, level and noise from an utterance's features (T, D), all finite.

    `speech` (T,) marks the speech frames, at least one. With the defaults the result is ``frames - 0.5 *
    mean(frames[speech])``; it is `frames` itself where no step is set.
    """
    counted = speech if config.over == "speech" else None
    result: FloatArray = frames
    if config.rasta:
        result = _rasta(result)
    if config.mean or config.c0_mean or config.variance:
        result = _standardise(result, counted, config)
    if config.warp is not None:
        reference, places = (
            (result, np.arange(len(result))) if counted is None else (result[counted], _reference_places(counted))
        )
        result = warp(result, reference, places, config.warp)
    return frames if result is frames else to_single(result)


def to_single(values: FloatArray) -> Float32Array:
    """Convert values to single precision; those beyond its range become its greatest."""
    limit = float(np.finfo(np.float32).max)
    return np.clip(values, -limit, limit).astype(np.float32)


def _rasta(frames: FloatArray) -> Float64Array:
    """Filter each column along time; a constant column gives exactly 0."""
    # With its first value subtracted a column is 0 before it begins, the state from which lfilter starts.
    moved = frames.astype(np.float64) - frames[0]
    padded = np.concatenate([moved, np.repeat(moved[-1:], RASTA_ADVANCE, axis=0)])
    filtered: Float64Array = lfilter(RASTA_NUMERATOR, (1.0, -RASTA_POLE), padded, axis=0)
    return filtered[RASTA_ADVANCE:]


def _standardise(frames: FloatArray, counted: BoolArray | None, config: NormalisationConfig) -> Float64Array:
    """Subtract the configured shares of the mean and, where set, divide by the standard deviation."""
    reference = frames if counted is None else frames[counted]
    if config.window is None:
        mean = reference.mean(axis=0, dtype=np.float64)
        variance = reference.var(axis=0, dtype=np.float64) if config.variance else None
    else:
        mean, variance = _sliding_moments(reference.astype(np.float64), config.window, config)
        if counted is not None:
            places = _reference_places(counted)
            mean = mean[places]
            variance = None if variance is None else variance[places]
    return centre_and_scale(frames, mean, variance, config)


def centre_and_scale(
    frames: FloatArray, mean: Float64Array, variance: Float64Array | None, config: NormalisationConfig
) -> Float64Array:
    """Subtract shares of a mean, (D,) or (T, D), from features (T, D); divide by a standard deviation if there is one.

    The shares are `mean` and `c0_mean` of the configuration; `variance` has the shape of the mean.
    """
    share = np.full(frames.shape[1], config.mean)
    if config.c0_mean is not None:
        share[0] = config.c0_mean
    centred: Float64Array = frames - share * mean
    if variance is None:
        return centred
    # Rounding may leave the variance of a constant column just above or below 0.
    varies = variance > VARIES**2 * (variance + mean**2)
    return centred / np.sqrt(np.where(varies, variance, 1.0))


def _reference_places(counted: BoolArray) -> IntArray:
    """Return each frame's position (T,) among the counted ones; others get that of the last counted one before."""
    return np.maximum(np.cumsum(counted, dtype=np.intp) - 1, 0)


def _sliding_moments(
    frames: Float64Array, window: int, config: NormalisationConfig
) -> tuple[Float64Array, Float64Array | None]:
    """Compute the mean, and the variance where set, of each frame's window, both (T, D)."""
    n_frames, frame = len(frames), np.arange(len(frames))
    if config.center:
        length = min(window, n_frames)
        begin = np.clip(frame - window // 2, 0, n_frames - length)
        end = begin + length
    else:
        length = min(window + 1, n_frames)
        begin = np.maximum(frame - window, 0)
        end = np.minimum(np.maximum(frame + 1, config.min_window), n_frames)
    n_counted = (end - begin)[:, None]
    mean = _window_sums(frames, begin, end, length) / n_counted
    if not config.variance:
        return mean, None
    square = _window_sums(frames**2, begin, end, length) / n_counted
    return mean, square - mean**2


def _window_sums(values: Float64Array, begin: IntArray, end: IntArray, length: int) -> Float64Array:
    """Sum values (T, D) from `begin` to before `end`, in windows of the stated length, or shorter ones that begin at 0.

    Cumulative sums restart every `length` frames, and a window is the end of one run and the beginning of the next
    (van Herk's scheme): no sum holds what lies outside its window, so rounding does not grow with the utterance.
    """
    n_frames, n_features = values.shape
    padded = np.pad(values, ((0, -n_frames % length), (0, 0))).reshape(-1, length, n_features)
    prefix_sums = np.cumsum(padded, axis=1).reshape(-1, n_features)
    suffix_sums = np.cumsum(padded[:, ::-1], axis=1)[:, ::-1].reshape(-1, n_features)
    sums: Float64Array = prefix_sums[end - 1]
    across = begin % length != 0
    sums[across] += suffix_sums[begin[across]]
    return sums


def warp(values: FloatArray, reference: FloatArray, places: IntArray, window: int) -> Float64Array:
    """Replace each value (T, D) by the normal deviate of its rank: Pelecanos and Sridharan (2001).

    Values are ranked among the rows of `reference` (S, D) in a window of `window` rows around the frame's position
    there, `places` (T,), cut at the ends. The row at that position itself does not count.
    """
    warped = np.empty(values.shape)
    for start in range(0, len(values), WARP_BLOCK):
        block = slice(start, start + WARP_BLOCK)
        warped[block] = _deviates(values[block], reference, places[block], window)
    return warped


def _deviates(values: FloatArray, reference: FloatArray, places: IntArray, window: int) -> Float64Array:
    """Rank values (B, D) within the window around their places in the reference (S, D), and return normal deviates."""
    twice_above = np.zeros(values.shape, np.int32)  # two for a greater value, one for an equal one
    n_ranked = np.ones((len(values), 1), np.int32)
    for offset in range(-(window // 2), window - window // 2):
        neighbours = places + offset
        inside = (neighbours >= 0) & (neighbours < len(reference))
        if offset == 0 or not inside.any():
            continue
        neighbour_values = reference[np.where(inside, neighbours, 0)]
        greater = (neighbour_values > values).view(np.int8) + (neighbour_values >= values).view(np.int8)
        twice_above += greater if inside.all() else greater * inside[:, None]
        n_ranked += inside[:, None]
    # With rank R = 1 + twice_above / 2 the greatest value has rank 1.
    deviates: Float64Array = ndtri((n_ranked - 0.5 - twice_above / 2) / n_ranked)
    return deviates

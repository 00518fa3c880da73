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

# A column varies where its standard deviation is more than this share of its root mean square.
VARIES = 1e-6

# Frames that are ranked at a time: enough for numpy, few enough for the processor's cache.
WARP_BLOCK = 1024

DEFAULT_MIN_WINDOW = 100


class NormalisationConfig(Configuration):
    """What is taken out of an utterance's features.

    The steps, in order, each only where it is asked for: the RASTA filter; mean and variance, of the whole utterance
    or of a sliding window; feature warping. All columns are treated alike, but for `c0_mean`.

    Parameters
    ----------
    mean : float, 0 to 1
        Share of the mean that is subtracted: 1 removes a fixed channel wholly (and some of the speaker with it),
        0 keeps both; 0.5 is safe where it is not known whether the channel changes.
    c0_mean : float, 0 to 1, optional
        That share for the first column alone; as `mean` when not given. Where the first column is c0 or the log
        energy, 1 makes the features independent of the recording's level.
    variance : bool
        Whether to divide by the standard deviation (of the population). A column that does not vary (standard
        deviation at most a millionth of its root mean square; always so for a single frame) is not divided.
    over : "speech" or "all"
        The frames that means, deviations and ranks are taken over. With "speech" they are what they would be had the
        other frames been removed before, so that windows count speech frames only; a frame that is not speech
        is treated like the last speech frame before it (the first one, if there is none). Kaldi's recipes slide over
        all frames and choose the speech afterwards: that is "all". RASTA runs over all frames in either case.
    window : int >= 2, frames, optional
        Length of the sliding window of mean and variance; the whole utterance when not given.
    center : bool
        Whether the window has the frame in its middle (and is moved inwards at the ends) or, as when features are
        made while somebody speaks, consists of the frame and the `window` frames before it.
    min_window : int >= 1, frames
        Least length of a window that is not centred: the first frames look ahead to fill it.
    warp : int >= 3, frames, optional
        Length of the centred window in which a value's rank is turned into a normal deviate. It is cut at the
        ends of the utterance. Equal values share the mean of their ranks.
    rasta : bool
        Whether to filter every column along time with the RASTA filter, at whatever frame rate (made for 100 a second).
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
                    "variance and c0_mean of the whole utterance change no rank and so nothing that warp gives: "
                    "leave them out, or give a window"
                )
        elif not (self.mean or self.c0_mean or self.variance):
            raise ValueError(f"window {self.window} is of no use where mean is 0 and variance is false")
        elif self.center and other_minimum:
            raise ValueError(f"min_window {self.min_window} is for a window that is not centred, and center is true")
        elif not self.center and self.min_window > self.window:
            raise ValueError(f"min_window {self.min_window} is longer than window {self.window}: set it too")
        return self


def normalise_frames(frames: Float32Array, speech: BoolArray, config: NormalisationConfig) -> Float32Array:
    """Take channel, level and noise out of an utterance's features.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), float32, finite
        Features of all frames.
    speech : np.ndarray, shape (T,), bool
        The frames with speech, at least one.
    config : NormalisationConfig
        Which steps, over which frames; it states their order.

    Returns
    -------
    np.ndarray, shape (T, D), float32, finite
        With the defaults ``frames - 0.5 * mean(frames[speech])``; `frames` itself where no step is asked for.
    """
    counted = speech if config.over == "speech" else None
    result: FloatArray = frames
    if config.rasta:
        result = _rasta(result)
    if config.mean or config.c0_mean or config.variance:
        result = _standardise(result, counted, config)
    if config.warp is not None:
        reference, places = (result, np.arange(len(result))) if counted is None else (result[counted], _places(counted))
        result = warp(result, reference, places, config.warp)
    return frames if result is frames else to_single(result)


def to_single(values: FloatArray) -> Float32Array:
    """Give values in single precision, those beyond its range as the greatest that it has.

    Parameters
    ----------
    values : np.ndarray, any shape

    Returns
    -------
    np.ndarray of the same shape, float32, finite
    """
    limit = float(np.finfo(np.float32).max)
    return np.clip(values, -limit, limit).astype(np.float32)


def _rasta(frames: FloatArray) -> Float64Array:
    """Filter each column along time; a constant gives exactly 0."""
    # Less its first value a column is 0 before it begins, which is the state that lfilter starts from.
    moved = frames.astype(np.float64) - frames[0]
    padded = np.concatenate([moved, np.repeat(moved[-1:], RASTA_ADVANCE, axis=0)])
    filtered: Float64Array = lfilter(RASTA_NUMERATOR, (1.0, -RASTA_POLE), padded, axis=0)
    return filtered[RASTA_ADVANCE:]


def _standardise(frames: FloatArray, counted: BoolArray | None, config: NormalisationConfig) -> Float64Array:
    """Subtract the stated shares of the mean and, if asked for, divide by the standard deviation."""
    reference = frames if counted is None else frames[counted]
    if config.window is None:
        mean = reference.mean(axis=0, dtype=np.float64)
        variance = reference.var(axis=0, dtype=np.float64) if config.variance else None
    else:
        mean, variance = _sliding_moments(reference.astype(np.float64), config.window, config)
        if counted is not None:
            places = _places(counted)
            mean = mean[places]
            variance = None if variance is None else variance[places]
    return centre_and_scale(frames, mean, variance, config)


def centre_and_scale(
    frames: FloatArray, mean: Float64Array, variance: Float64Array | None, config: NormalisationConfig
) -> Float64Array:
    """Subtract the stated shares of a mean and divide by a standard deviation.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D)
        Features.
    mean : np.ndarray, shape (D,) or (T, D)
        Their mean, or that of each frame.
    variance : np.ndarray, shape (D,) or (T, D), optional
        Their variance; not divided when not given.
    config : NormalisationConfig
        The shares: `mean` and `c0_mean`.

    Returns
    -------
    np.ndarray, shape (T, D), float64
    """
    share = np.full(frames.shape[1], config.mean)
    if config.c0_mean is not None:
        share[0] = config.c0_mean
    centred: Float64Array = frames - share * mean
    if variance is None:
        return centred
    # By rounding the variance of what does not vary may be just above or below 0.
    varies = variance > VARIES**2 * (variance + mean**2)
    return centred / np.sqrt(np.where(varies, variance, 1.0))


def _places(counted: BoolArray) -> IntArray:
    """Place of each frame (T,) among the counted ones; others take that of the last counted one before them."""
    return np.maximum(np.cumsum(counted, dtype=np.intp) - 1, 0)


def _sliding_moments(
    frames: Float64Array, window: int, config: NormalisationConfig
) -> tuple[Float64Array, Float64Array | None]:
    """Give mean, and variance if asked for, of each frame's window, both (T, D)."""
    n_frames, now = len(frames), np.arange(len(frames))
    if config.center:
        length = min(window, n_frames)
        begin = np.clip(now - window // 2, 0, n_frames - length)
        end = begin + length
    else:
        length = min(window + 1, n_frames)
        begin = np.maximum(now - window, 0)
        end = np.minimum(np.maximum(now + 1, config.min_window), n_frames)
    n_counted = (end - begin)[:, None]
    mean = _window_sums(frames, begin, end, length) / n_counted
    if not config.variance:
        return mean, None
    square = _window_sums(frames**2, begin, end, length) / n_counted
    return mean, square - mean**2


def _window_sums(values: Float64Array, begin: IntArray, end: IntArray, length: int) -> Float64Array:
    """Sum values (T, D) from `begin` to before `end`, in windows of the stated length, or shorter ones that begin at 0.

    Cumulative sums start anew every `length` frames, and a window is the end of one run and the beginning of the
    next (van Herk's scheme): no sum holds what lies outside its window, so rounding does not grow with the utterance.
    """
    n_frames, n_features = values.shape
    padded = np.pad(values, ((0, -n_frames % length), (0, 0))).reshape(-1, length, n_features)
    up_to = np.cumsum(padded, axis=1).reshape(-1, n_features)
    onwards = np.cumsum(padded[:, ::-1], axis=1)[:, ::-1].reshape(-1, n_features)
    sums: Float64Array = up_to[end - 1]
    across = begin % length != 0
    sums[across] += onwards[begin[across]]
    return sums


def warp(values: FloatArray, reference: FloatArray, places: IntArray, window: int) -> Float64Array:
    """Replace each value by the normal deviate of its rank: Pelecanos and Sridharan (2001).

    Parameters
    ----------
    values : np.ndarray, shape (T, D)
        Features.
    reference : np.ndarray, shape (S, D)
        Features that they are ranked among.
    places : np.ndarray, shape (T,), int
        Where in the reference each frame is; what is there itself does not count.
    window : int >= 3, frames
        Length of the window around that place, cut at the ends of the reference.

    Returns
    -------
    np.ndarray, shape (T, D), float64
    """
    warped = np.empty(values.shape)
    for start in range(0, len(values), WARP_BLOCK):
        block = slice(start, start + WARP_BLOCK)
        warped[block] = _deviates(values[block], reference, places[block], window)
    return warped


def _deviates(values: FloatArray, reference: FloatArray, places: IntArray, window: int) -> Float64Array:
    """Rank values (B, D), each as if it were at its place in the reference (S, D), within the window there."""
    twice_above = np.zeros(values.shape, np.int32)  # two for a greater value, one for an equal one
    n_ranked = np.ones((len(values), 1), np.int32)
    for offset in range(-(window // 2), window - window // 2):
        neighbours = places + offset
        inside = (neighbours >= 0) & (neighbours < len(reference))
        if offset == 0 or not inside.any():
            continue
        other = reference[np.where(inside, neighbours, 0)]
        above = (other > values).view(np.int8) + (other >= values).view(np.int8)
        twice_above += above if inside.all() else above * inside[:, None]
        n_ranked += inside[:, None]
    # With rank R = 1 + twice_above / 2 the greatest value has rank 1.
    deviates: Float64Array = ndtri((n_ranked - 0.5 - twice_above / 2) / n_ranked)
    return deviates

"""Waveforms as arrays: what makes one usable, how loud and how clipped it is, and another sample rate."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import soxr

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.errors import AudioError

LOUDEST = 1e12  # beyond it, squares in single precision overflow; integers taken for samples are far below
LARGEST_RATIO = 100  # of two sample rates; beyond it a header lies, and what follows takes any time and memory
CLIPPED = 1 - 2.0**-15  # the largest value of 16-bit audio, full scale at 1


def check_samples(samples: FloatArray, *, first: int = 0) -> Float32Array:
    """Check an array of samples and give it as contiguous float32.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A mono waveform of floating-point numbers.
    first : int >= 0, samples
        Where in a longer waveform these begin; for the message.

    Returns
    -------
    np.ndarray, shape (n,), float32
        The same samples.

    Raises
    ------
    AudioError
        If it is not one-dimensional, not floating point, empty, or holds NaN, infinity or values above 1e12.
    """
    if samples.ndim != 1:
        raise AudioError(f"samples of shape {samples.shape}; expected one dimension: a mono waveform")
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(f"samples of type {samples.dtype}; expected floating point, full scale at 1")
    if samples.size == 0:
        raise AudioError("holds no samples")
    peak = loudest(samples)
    if not np.isfinite(peak):
        bad = ~np.isfinite(samples)
        raise AudioError(
            f"{np.count_nonzero(bad)} of {samples.size} samples are NaN or infinite, "
            f"the first is sample {first + int(np.argmax(bad))}"
        )
    if peak > LOUDEST:
        raise AudioError(f"samples up to {peak:g}; expected full scale at 1")
    return np.ascontiguousarray(samples, dtype=np.float32)


def only_silence(n_samples: int, value: float) -> AudioError:
    """Say that a waveform never changes.

    Parameters
    ----------
    n_samples : int >= 1
        Its length.
    value : float
        What every sample is.

    Returns
    -------
    AudioError
        To be raised.
    """
    return AudioError(f"nothing but silence: all {n_samples} samples are {value:g}")


def loudest(samples: FloatArray) -> float:
    """Find how far a waveform goes from 0.

    Parameters
    ----------
    samples : np.ndarray, shape (n,)
        Any; not finite ones are found too.

    Returns
    -------
    float >= 0, or NaN
        The greatest absolute value; 0 of no samples, NaN if there is one.
    """
    low, high = float(samples.min(initial=0)), float(samples.max(initial=0))  # without an array of absolute values
    return max(high, -low) if low == low else low


def clipped_share(samples: FloatArray) -> float:
    """Measure how much of a waveform is clipped.

    A sample counts if it and a neighbour are both at least 1 - 2^-15 (16-bit audio's largest value), or both at most
    -(1 - 2^-15); one alone is a peak. The extremes of 8-bit audio, mu-law and A-law are lower, and are not seen.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), full scale at 1

    Returns
    -------
    float in [0, 1]
        Clipped samples over all samples; 0 for none.
    """
    if len(samples) < 2 or loudest(samples) < CLIPPED:
        return 0.0
    clipped = np.zeros(len(samples), bool)
    for extreme in (samples >= CLIPPED, samples <= -CLIPPED):
        pairs = extreme[1:] & extreme[:-1]
        clipped[1:] |= pairs
        clipped[:-1] |= pairs
    return float(clipped.mean())


def check_rates(from_rate: int, to_rate: int) -> None:
    """Refuse sample rates that are too far apart to be turned into each other.

    Parameters
    ----------
    from_rate, to_rate : int > 0, Hz
        The rate that there is, and the rate wanted.

    Raises
    ------
    AudioError
        If one is more than `LARGEST_RATIO` times the other.
    """
    if max(from_rate, to_rate) > LARGEST_RATIO * min(from_rate, to_rate):
        raise AudioError(
            f"sample rate {from_rate} Hz, and {to_rate} Hz is wanted; expected rates of which none is more than "
            f"{LARGEST_RATIO} times the other"
        )


def resample(samples: Float32Array, from_rate: int, to_rate: int) -> Float32Array:
    """Change the sample rate of a waveform, with soxr's high-quality band-limited filter.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
        The waveform.
    from_rate, to_rate : int > 0, Hz
        Its rate, and the rate wanted.

    Returns
    -------
    np.ndarray, shape (about n * to_rate / from_rate,), float32
        The waveform at `to_rate`.

    Raises
    ------
    AudioError
        As `check_rates` does.
    """
    check_rates(from_rate, to_rate)
    resampled: Float32Array = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def resampled(blocks: Iterable[Float32Array], from_rate: int, to_rate: int) -> Iterator[Float32Array]:
    """Change the sample rate of a waveform that comes in blocks, to the same bits as `resample` gives for the whole.

    Parameters
    ----------
    blocks : iterable of np.ndarray, shape (n,), float32
        The waveform, one after the other.
    from_rate, to_rate : int > 0, Hz
        Its rate, and the rate wanted.

    Yields
    ------
    np.ndarray, shape (n,), n >= 1, float32
        The waveform at `to_rate`.

    Raises
    ------
    AudioError
        As `check_rates` does.
    """
    check_rates(from_rate, to_rate)
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    for block in chain(blocks, [np.zeros(0, np.float32)]):
        piece: Float32Array = stream.resample_chunk(block, last=len(block) == 0)
        if len(piece):
            yield piece

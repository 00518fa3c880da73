"""Waveforms as arrays: checks, peak and clipping, and conversion to another sample rate."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.errors import AudioError

MAX_AMPLITUDE = 32.0
"""Far beyond full scale at 1: larger samples are in other units, such as those of 16-bit integers."""

INTEGER_UNITS = {8: 2.0**7, 16: 2.0**15, 24: 2.0**23, 32: 2.0**31}
"""Full scale of samples in the units of integers, by their bits."""

MAX_RATE_RATIO = 100
"""Greatest ratio of two sample rates; beyond it a header is wrong, and resampling takes unbounded time and memory."""

CLIPPING_LEVEL = 1 - 2.0**-15
"""The largest value of 16-bit audio, full scale at 1."""


def check_samples(samples: npt.NDArray[Any], *, first: int = 0) -> Float32Array:
    """Check a mono waveform (n,), n >= 1, and return it as contiguous float32; integers are scaled by their type.

    Raises AudioError for another shape or type, no samples, NaN, infinity, or values beyond `MAX_AMPLITUDE`. `first` is
    the position of these samples in a longer waveform, for the message.
    """
    if samples.ndim != 1:
        raise AudioError(f"samples of shape {samples.shape}; expected one dimension: a mono waveform")
    samples = _scaled(samples)
    if samples.size == 0:
        raise AudioError("holds no samples")
    peak = peak_amplitude(samples)
    if not np.isfinite(peak):
        bad = ~np.isfinite(samples)
        raise AudioError(
            f"{np.count_nonzero(bad)} of {samples.size} samples are NaN or infinite, "
            f"the first is sample {first + int(np.argmax(bad))}"
        )
    if peak > MAX_AMPLITUDE:
        raise AudioError(f"samples up to {peak:g}; expected full scale at 1{_advice(peak)}")
    return np.ascontiguousarray(samples, dtype=np.float32)


def _scaled(samples: npt.NDArray[Any]) -> FloatArray:
    """Scale integers of 8, 16 or 32 bits to full scale at 1, as audio files do; refuse other types but floats."""
    if np.issubdtype(samples.dtype, np.floating):
        floats: FloatArray = samples
        return floats
    if samples.dtype == np.uint8:  # 8-bit audio without a sign has its zero at 128
        unsigned: Float32Array = (samples.astype(np.float32) - np.float32(128)) / np.float32(128)
        return unsigned
    if samples.dtype.newbyteorder("=") in (np.int8, np.int16, np.int32):
        signed: Float32Array = np.multiply(samples, 1 / INTEGER_UNITS[8 * samples.dtype.itemsize], dtype=np.float32)
        return signed
    raise AudioError(
        f"samples of type {samples.dtype}; expected floating point with full scale at 1, or int16, int32, int8 or uint8"
    )


def _advice(peak: float) -> str:
    """Say what to divide samples by that look like integers."""
    bits, full = next(((bits, full) for bits, full in INTEGER_UNITS.items() if peak <= full), (0, 0.0))
    if not bits:
        return ""
    command = f"ffmpeg -i FILE -af volume=1/{full:.0f} NEW.wav"
    return f"; they look like {bits}-bit integers: divide them by {full:.0f} (in a file: {command})"


def silence_error(n_samples: int, value: float) -> AudioError:
    """Format the error for a waveform in which every sample is the same."""
    return AudioError(f"nothing but silence: all {n_samples} samples are {value:g}")


def peak_amplitude(samples: FloatArray) -> float:
    """Return the greatest absolute value of a waveform (n,): 0 if it is empty, NaN if it holds NaN."""
    low, high = float(samples.min(initial=0)), float(samples.max(initial=0))  # saves an array of absolute values
    return max(high, -low) if low == low else low


def clipped_share(samples: FloatArray) -> float:
    """Compute the share of a waveform (n,) that is clipped, from 0 to 1; full scale is 1.

    A sample counts if it and a neighbour are both at least 1 - 2^-15 (16-bit audio's largest value), or both at most
    -(1 - 2^-15); one alone is a peak. The extremes of 8-bit audio, mu-law and A-law are lower, and are not detected.
    """
    if len(samples) < 2 or peak_amplitude(samples) < CLIPPING_LEVEL:
        return 0.0
    clipped = np.zeros(len(samples), bool)
    for extreme in (samples >= CLIPPING_LEVEL, samples <= -CLIPPING_LEVEL):
        pairs = extreme[1:] & extreme[:-1]
        clipped[1:] |= pairs
        clipped[:-1] |= pairs
    return float(clipped.mean())


def check_rates(from_rate: int, to_rate: int) -> None:
    """Refuse, with an AudioError, sample rates in Hz of which one is more than `MAX_RATE_RATIO` times the other."""
    if max(from_rate, to_rate) > MAX_RATE_RATIO * min(from_rate, to_rate):
        raise AudioError(
            f"sample rate {from_rate} Hz, and {to_rate} Hz is wanted; expected rates of which none is more than "
            f"{MAX_RATE_RATIO} times the other"
        )


def resample(samples: Float32Array, from_rate: int, to_rate: int) -> Float32Array:
    """Convert a waveform (n,) to another sample rate in Hz, with soxr's high-quality band-limited filter.

    Raises AudioError as `check_rates` does.
    """
    check_rates(from_rate, to_rate)
    resampled: Float32Array = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def resample_blocks(blocks: Iterable[Float32Array], from_rate: int, to_rate: int) -> Iterator[Float32Array]:
    """Convert a waveform that comes in blocks (n,) to another sample rate; the result has the bits of `resample`.

    Yields blocks (n,), n >= 1. Raises AudioError as `check_rates` does.
    """
    resampler = Resampler(from_rate, to_rate)
    for block in chain(blocks, [np.zeros(0, np.float32)]):
        piece = resampler.push(block, final=len(block) == 0)
        if len(piece):
            yield piece


class Resampler:
    """Converts a waveform that comes in blocks to another sample rate; together they have the bits of `resample`."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        check_rates(from_rate, to_rate)
        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")

    def push(self, samples: Float32Array, *, final: bool = False) -> Float32Array:
        """Process the next samples (n,), and return those that they determine; `final` marks the end."""
        piece: Float32Array = self._stream.resample_chunk(samples, last=final)
        return piece

"""One audio file or array to mono float32 samples at a stated rate; whatever is bad about it is an `AudioError`."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.errors import AudioError

LOUDEST = 1e12
"""Beyond it, squares in single precision overflow; integers taken for samples are far below."""


def read_audio(source: str | Path, *, sample_rate: int | None = None) -> tuple[Float32Array, int]:
    """Read a mono audio file.

    Parameters
    ----------
    source : str or Path
        A file in any format that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, ...).
    sample_rate : int > 0, Hz, optional
        Resample to this rate; the file's own when not given.

    Returns
    -------
    samples : np.ndarray, shape (n,), float32
        The waveform; integer formats are scaled to [-1, 1).
    sample_rate : int, Hz
        Its rate.

    Raises
    ------
    AudioError
        If the file is missing, unreadable, empty, has several channels, or holds NaN or infinity.
    """
    path = Path(source)
    try:
        if not path.is_file():
            raise AudioError(f"{path}: no such audio file")
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: not readable as audio ({error.error_string.rstrip('.')})") from error
    except AudioError:
        raise
    except (OSError, TypeError, ValueError) as error:  # of files named .raw, soundfile wants to be told the format
        raise AudioError(f"{path}: not readable as audio ({error})") from error
    if samples.shape[1] != 1:
        raise AudioError(f"{path}: {samples.shape[1]} channels; expected a mono file")
    try:
        mono = check_samples(samples[:, 0])
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    if sample_rate is None or sample_rate == file_rate:
        return mono, int(file_rate)
    return resample(mono, int(file_rate), sample_rate), sample_rate


def duration(source: str | Path) -> float | None:
    """Look up how long an audio file is, from its header alone.

    Parameters
    ----------
    source : str or Path
        An audio file.

    Returns
    -------
    float, seconds, or None
        Its length; None if the header cannot be read.
    """
    try:
        return float(soundfile.info(str(source)).duration)
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return None


def check_samples(samples: FloatArray) -> Float32Array:
    """Check an array of samples and give it as contiguous float32.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A mono waveform of floating-point numbers.

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
    bad = ~np.isfinite(samples)
    if bad.any():
        raise AudioError(
            f"{np.count_nonzero(bad)} of {samples.size} samples are NaN or infinite, "
            f"the first is sample {int(np.argmax(bad))}"
        )
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise AudioError(f"samples up to {peak:g}; expected full scale at 1")
    return np.ascontiguousarray(samples, dtype=np.float32)


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
    """
    resampled: Float32Array = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled

"""Limiting a recording to a band, as a telephone or a microphone does."""

import numpy as np
from scipy import signal

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.audio.samples import check_samples
from speechgmm.errors import AudioError

STOP_DB = 60.0
"""Attenuation outside the band."""

TRANSITION_HZ = 200.0
"""Width of the band's flanks: from 100 Hz inside an edge to 100 Hz outside; less at lower edges below 100 Hz."""


def band_limit(samples: FloatArray, sample_rate: int, low: float, high: float) -> Float32Array:
    """Keep what is between two frequencies.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A waveform.
    sample_rate : int > 0, Hz
        Its rate.
    low, high : float, 0 <= low < high, Hz
        Edges, where the level is 6 dB lower. From 100 Hz inside on the level is as it was within 0.02 dB; from 100 Hz
        outside on it is 60 dB lower. A lower edge ``low`` below 100 Hz has flanks of its own width. 0 passes low
        frequencies, and half the rate or more passes high ones.

    Returns
    -------
    np.ndarray, shape (n,), float32
        The waveform through a filter of linear phase, without its delay.

    Raises
    ------
    AudioError
        If the waveform is unusable, or the band has nothing of it.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import band_limit
    >>> time = np.arange(16000) / 16000
    >>> tones = np.sin(2 * np.pi * 1000 * time) + np.sin(2 * np.pi * 5000 * time)
    >>> telephone = band_limit(tones, 16000, 300, 3400)
    >>> print(f"{np.sqrt(np.mean(telephone ** 2)):.2f}")
    0.71
    """
    checked = check_samples(np.asarray(samples))
    if not 0 <= low < high or low >= sample_rate / 2:
        raise AudioError(
            f"band from {low:g} to {high:g} Hz at sample rate {sample_rate} Hz; expected edges from 0 on, the lower "
            f"one first and below {sample_rate / 2:g} Hz"
        )
    edges = [*([low] if low > 0 else []), *([high] if high < sample_rate / 2 else [])]
    if not edges:
        return checked
    width = min(TRANSITION_HZ, 2 * low) if low > 0 else TRANSITION_HZ
    n_taps, beta = signal.kaiserord(STOP_DB, min(1.0, 2 * width / sample_rate))
    half = n_taps // 2
    taps = signal.firwin(2 * half + 1, edges, window=("kaiser", beta), pass_zero=low == 0, fs=sample_rate)
    filtered: Float32Array = signal.oaconvolve(checked, taps.astype(np.float32))[half : half + len(checked)]
    return np.ascontiguousarray(filtered, np.float32)

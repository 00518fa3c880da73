"""Adding noise of a stated signal-to-noise ratio, and making noise of a stated colour."""

import numpy as np
from scipy import fft

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.audio.samples import check_samples
from speechgmm.errors import AudioError

CORNER_HZ = 100.0
"""Coloured noise is as strong below as here: without that, most of brown noise would be too low to be heard."""


def mean_power(samples: FloatArray) -> float:
    """Return the mean square of a waveform (n,), n >= 1."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def add_noise(samples: FloatArray, noise: FloatArray, snr_db: float) -> Float32Array:
    """Add noise so that the recording has a stated signal-to-noise ratio.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A waveform.
    noise : np.ndarray, shape (n,)
        The noise, of any level.
    snr_db : float, dB
        Mean power of the waveform over that of the noise, both over all samples.

    Returns
    -------
    np.ndarray, shape (n,), float32
        The sum; the waveform as it was where it or the noise is silent, as there is no ratio then.

    Raises
    ------
    AudioError
        If a waveform is unusable, or their lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import add_noise
    >>> rng = np.random.default_rng(0)
    >>> tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)
    >>> noisy = add_noise(tone, rng.standard_normal(16000), 20)
    >>> print(f"{10 * np.log10(np.mean(tone ** 2) / np.mean((noisy - tone) ** 2)):.1f} dB")
    20.0 dB
    """
    checked, added = check_samples(np.asarray(samples)), check_samples(np.asarray(noise))
    if len(added) != len(checked):
        raise AudioError(f"{len(added)} samples of noise for {len(checked)} samples; expected as many")
    signal_power, noise_power = mean_power(checked), mean_power(added)
    if signal_power == 0 or noise_power == 0:
        return checked
    gain = np.sqrt(signal_power / noise_power) * 10 ** (-snr_db / 20)
    return checked + np.float32(gain) * added


def coloured_noise(n_samples: int, sample_rate: int, exponent: float, rng: np.random.Generator) -> Float32Array:
    """Draw Gaussian noise whose power density falls with the frequency.

    Parameters
    ----------
    n_samples : int >= 1
        Length.
    sample_rate : int > 0, Hz
        Rate.
    exponent : float >= 0
        The density is proportional to ``1 / frequency ** exponent`` above 100 Hz, and constant below: 0 is white noise,
        1 pink, 2 brown.
    rng : np.random.Generator
        Source of the draws.

    Returns
    -------
    np.ndarray, shape (n_samples,), float32
        Noise with a mean power of about 1.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import coloured_noise
    >>> coloured_noise(16000, 16000, 1.0, np.random.default_rng(0)).shape
    (16000,)
    """
    white = rng.standard_normal(n_samples, np.float32)
    if exponent == 0:
        return white
    n_fft = fft.next_fast_len(n_samples, real=True)
    spectrum = fft.rfft(white, n_fft)
    frequencies = np.maximum(np.arange(len(spectrum)) * (sample_rate / n_fft), CORNER_HZ)
    shape = (frequencies / CORNER_HZ) ** (-exponent / 2)
    shape *= np.sqrt(len(shape) / np.sum(np.square(shape)))
    spectrum *= shape.astype(np.float32)
    noise: Float32Array = fft.irfft(spectrum, n_fft)[:n_samples]
    return np.ascontiguousarray(noise, np.float32)

"""Moving a recording into a room: responses with exponential decay, and convolution with a response."""

import math

import numpy as np
from scipy import signal

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.audio.samples import check_samples
from speechgmm.augmentation.noise import mean_power

FIRST_REFLECTION_SECONDS = 0.004
"""When the reflections begin after the direct sound: they have gone 1.4 m further."""


def room_response(rt60: float, drr_db: float, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Draw the impulse response of a room: a direct sound, and reflections as noise that decays exponentially.

    Parameters
    ----------
    rt60 : float > 0, seconds
        Reverberation time, in which the reflections decay by 60 dB. The response ends then.
    drr_db : float, dB
        Energy of the direct sound over that of all reflections.
    sample_rate : int > 0, Hz
        Rate.
    rng : np.random.Generator
        Source of the draws.

    Returns
    -------
    np.ndarray, shape (n,), float32
        The response. Its first sample, 1, is the direct sound.

    Notes
    -----
    The model of Moorer (1979), "About this reverberation business", Computer Music Journal 3(2). No room is simulated:
    there are no single early reflections, and all frequencies decay alike.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import room_response
    >>> response = room_response(0.5, 3.0, 16000, np.random.default_rng(0))
    >>> response.shape, float(response[0])
    ((8000,), 1.0)
    >>> print(f"{-10 * np.log10(np.sum(response[1:] ** 2)):.1f} dB")
    3.0 dB
    """
    n_samples, first = max(2, round(rt60 * sample_rate)), max(1, round(FIRST_REFLECTION_SECONDS * sample_rate))
    response = rng.standard_normal(n_samples)
    response *= np.exp(-3 * math.log(10) / (rt60 * sample_rate) * np.arange(n_samples))
    response[: min(first, n_samples - 1)] = 0.0
    response *= 10 ** (-drr_db / 20) / math.sqrt(np.sum(np.square(response)))
    response[0] = 1.0
    return response.astype(np.float32)


def reverberate(samples: FloatArray, response: FloatArray) -> Float32Array:
    """Let a recording sound as in the room of an impulse response.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A waveform.
    response : np.ndarray, shape (m,), m >= 1
        The impulse response, at the waveform's rate. Its largest sample is taken for the direct sound.

    Returns
    -------
    np.ndarray, shape (n,), float32
        The waveform in the room, of the same mean power, the direct sound where it was. What sounds on after the end is
        cut off. A silent response leaves the waveform as it was.

    Raises
    ------
    AudioError
        If a waveform is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import reverberate
    >>> click = np.zeros(8)
    >>> click[2] = 1
    >>> in_room = reverberate(click, np.array([0.1, 1.0, 0.0, 0.5]))
    >>> print(" ".join(f"{sample:.2f}" for sample in abs(in_room)))
    0.00 0.09 0.89 0.00 0.45 0.00 0.00 0.00
    """
    checked, response = check_samples(np.asarray(samples)), check_samples(np.asarray(response))
    direct = int(np.argmax(np.abs(response)))
    power = mean_power(checked)
    wet: Float32Array = signal.oaconvolve(checked, response)[direct : direct + len(checked)]
    wet_power = mean_power(wet)
    if wet_power == 0:
        return checked
    return np.ascontiguousarray(wet * np.float32(math.sqrt(power / wet_power)), np.float32)

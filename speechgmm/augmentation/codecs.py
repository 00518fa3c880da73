"""Encoding a recording and decoding it again, in memory, by libsndfile."""

import io
from typing import NamedTuple, get_args

import numpy as np
import soundfile

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.audio.samples import check_samples, resample
from speechgmm.augmentation.config import Codec
from speechgmm.errors import AudioError

MP3_BITRATE, OPUS_BITRATE = 24.0, 16.0
"""kb/s: of voice in small MP3 files, and of the voice messages of messengers."""

VORBIS_LEVEL = 0.95
"""Level of compression that gives about 25 kb/s at 16 kHz; Vorbis has no constant bit rate."""

MP3_DELAY = 1105
"""Samples of LAME's encoder and of the decoder before the first one, 576 + 529, if the file doesn't count them."""


class _Format(NamedTuple):
    """How libsndfile calls a codec, and at which rates in Hz it encodes; none: at any."""

    container: str
    subtype: str
    rates: tuple[int, ...] = ()


FORMATS: dict[Codec, _Format] = {
    "mp3": _Format("MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000)),  # above, 24 kb/s are too few
    "opus": _Format("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "vorbis": _Format("OGG", "VORBIS", (8000, 11025, 16000, 22050, 32000, 44100, 48000)),
    "gsm": _Format("WAV", "GSM610", (8000,)),
    "mulaw": _Format("WAV", "ULAW"),
}


def encode_and_decode(samples: FloatArray, sample_rate: int, codec: Codec) -> Float32Array:
    """Pass a recording through a lossy codec.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A waveform with full scale at 1.
    sample_rate : int > 0, Hz
        Its rate. If the codec has not got it, the waveform is resampled to the next higher rate that it has, or else to
        its highest, and back.
    codec : "mp3", "opus", "vorbis", "gsm" or "mulaw"
        MP3 at 24 kb/s and up to 24 kHz, Opus at 16 kb/s, Vorbis at about 25 kb/s (at 16 kHz), GSM full rate at 8 kHz
        (13 kb/s), or mu-law at the waveform's rate (8 bits a sample).

    Returns
    -------
    np.ndarray, shape (n,), float32
        The decoded waveform, without the codec's delay.

    Raises
    ------
    AudioError
        If the waveform is unusable, or libsndfile was built without the codec.
    ValueError
        If there is no such codec.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import encode_and_decode
    >>> tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)
    >>> decoded = encode_and_decode(tone, 16000, "mulaw")
    >>> print(f"{10 * np.log10(np.mean(tone ** 2) / np.mean((decoded - tone) ** 2)):.0f} dB")
    38 dB
    """
    checked = check_samples(np.asarray(samples))
    if codec not in FORMATS:
        raise ValueError(f"codec {codec!r}; expected one of {', '.join(get_args(Codec))}")
    check_codec(codec)
    rates = FORMATS[codec].rates or (sample_rate,)
    rate = min((each for each in rates if each >= sample_rate), default=max(rates))
    if rate == sample_rate:
        return _through(checked, rate, codec)
    converted = resample(checked, sample_rate, rate)
    if not len(converted):
        return checked  # shorter than a sample of the codec's rate
    return of_length(resample(_through(converted, rate, codec), rate, sample_rate), len(checked))


def check_codec(codec: Codec) -> None:
    """Refuse a codec that libsndfile was built without."""
    container, subtype, _ = FORMATS[codec]
    if not soundfile.check_format(container, subtype):
        raise AudioError(
            f"codec {codec}: libsndfile {soundfile.__libsndfile_version__} does not write it; expected one of 1.1 or "
            "newer that was built with this codec"
        )


def _through(samples: Float32Array, rate: int, codec: Codec) -> Float32Array:
    """Encode and decode samples (n,) at a rate that the codec has; the result has as many."""
    container, subtype, _ = FORMATS[codec]
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, subtype, format=container, **_compression(codec, rate)) as encoder:
        encoder.write(np.clip(samples, -1.0, 1.0))
    file.seek(0)
    decoded = _decode(file)
    if codec == "mp3" and len(decoded) >= len(samples) + MP3_DELAY:
        decoded = decoded[MP3_DELAY:]
    return of_length(decoded, len(samples))


def _decode(file: io.BytesIO) -> Float32Array:
    """Read to the end, at once if the length is known: between blocks soundfile seeks, and MP3 then lacks bits."""
    blocks = []
    with soundfile.SoundFile(file) as decoder:
        if decoder.seekable():
            whole: Float32Array = decoder.read(dtype="float32")
            return whole
        while len(block := decoder.read(2**16, dtype="float32")):
            blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _compression(codec: Codec, rate: int) -> dict[str, float | str]:
    """Return what sets the bit rate; libsndfile's levels go linearly from a codec's highest bit rate to its lowest."""
    match codec:
        case "mp3":
            highest = 64 if rate < 16000 else 160
            return {"compression_level": (highest - MP3_BITRATE) / (highest - 8), "bitrate_mode": "CONSTANT"}
        case "opus":
            return {"compression_level": (256 - OPUS_BITRATE) / (256 - 6)}
        case "vorbis":
            return {"compression_level": VORBIS_LEVEL}
        case _:
            return {}


def of_length(samples: Float32Array, n_samples: int) -> Float32Array:
    """Cut or pad samples at their end."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))

"""One augmented copy of a recording: which effects it draws, and their order."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.audio.reading import audio_facts, load_audio
from speechgmm.audio.samples import CLIPPING_LEVEL, MAX_AMPLITUDE, check_samples, resample
from speechgmm.augmentation.band import band_limit
from speechgmm.augmentation.codecs import encode_and_decode, of_length
from speechgmm.augmentation.config import AugmentConfig, NoiseConfig, ReverbConfig
from speechgmm.augmentation.noise import add_noise, coloured_noise
from speechgmm.augmentation.room import reverberate, room_response
from speechgmm.errors import AudioError
from speechgmm.files import files_below, is_audio

TELEPHONE_RATE = 8000
"""Hz: a recording by telephone has nothing above half of it, where a filter leaves a little."""

MAX_RESPONSE_SECONDS = 10.0
"""How much of a measured impulse response is used."""


@dataclass(frozen=True)
class CopyPlan:
    """Which copy of a recording to make: what it draws depends on the seed, the name and the number alone."""

    config: AugmentConfig
    name: str  # of the recording
    number: int  # of the copy, from 1

    @property
    def n_flaws(self) -> int:
        """Number of the copy's effects, beside its level."""
        return sum(name != "level_db" for name in self._draw()[0])

    def apply(self, samples: FloatArray, sample_rate: int) -> Float32Array:
        """Make the copy of the recording's samples (n,), as `augment` does; copies have the effects in turn."""
        effects, rng = self._draw()
        return _apply_effects(effects, samples, sample_rate, self.config, rng)

    def _draw(self) -> tuple[tuple[str, ...], np.random.Generator]:
        """Draw the effects; return them, and the source of their values."""
        rng = copy_generator(self.config.seed, self.name, self.number)
        return draw_effects(self.config, rng, self.effect_in_turn()), rng

    def effect_in_turn(self) -> str | None:
        """Return the effect that this copy has for sure: each of them once in as many copies, in drawn order."""
        others = _others_than_level(self.config)
        if not others:
            return None
        order = copy_generator(self.config.seed, self.name, 0).permutation(len(others))
        return others[int(order[(self.number - 1) % len(others)])]


ONE_MORE = 0.4
"""Probability that a copy has one more effect than it has already: most recordings have one flaw."""


def augment(samples: FloatArray, sample_rate: int, config: AugmentConfig, rng: np.random.Generator) -> Float32Array:
    """Make one copy of a recording as if it had been made elsewhere.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), n >= 1
        A waveform with full scale at 1; integers are scaled by their type.
    sample_rate : int > 0, Hz
        Its rate.
    config : AugmentConfig
        The effects, and the ranges of their values. `copies` and `seed` have no effect here.
    rng : np.random.Generator
        Source of all draws.

    Returns
    -------
    np.ndarray, shape (n,), float32
        The copy, at the same rate and aligned in time: filters and codecs leave no delay. Samples beyond full scale are
        clipped, where a recorder would and after decoding.

    Raises
    ------
    AudioError
        If the waveform is unusable, a band has nothing of it, libsndfile lacks a codec, or a folder has no usable
        recordings.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import AugmentConfig, augment
    >>> tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)
    >>> config = AugmentConfig(noise={"snr_db": [20, 20], "colour": [0, 0]})
    >>> copy = augment(tone, 16000, config, np.random.default_rng(0))
    >>> print(f"{10 * np.log10(np.mean(tone ** 2) / np.mean((copy - tone) ** 2)):.1f} dB")
    20.0 dB
    """
    return _apply_effects(draw_effects(config, rng), samples, sample_rate, config, rng)


def draw_effects(config: AugmentConfig, rng: np.random.Generator, first: str | None = None) -> tuple[str, ...]:
    """Draw the effects of a copy, in their order: the level if it is given, and one or more of the others.

    The `first` of the others is drawn, too, if it is not given.
    """
    others = _others_than_level(config)
    n_drawn = min(1, len(others))
    while 0 < n_drawn < len(others) and rng.random() < ONE_MORE:
        n_drawn += 1
    shuffled = sorted((others[number] for number in rng.permutation(len(others))), key=lambda name: name != first)
    drawn = {"level_db", *shuffled[:n_drawn]}
    return tuple(name for name in config.effects if name in drawn)


def _others_than_level(config: AugmentConfig) -> list[str]:
    """List the effects of which a copy has one or more."""
    return [name for name in config.effects if name != "level_db"]


def _apply_effects(
    effects: tuple[str, ...], samples: FloatArray, sample_rate: int, config: AugmentConfig, rng: np.random.Generator
) -> Float32Array:
    """Apply effects one after another, each with values that it draws."""
    copy = check_samples(np.asarray(samples))
    for effect in effects:
        copy = np.clip(_apply(effect, copy, sample_rate, config, rng), -MAX_AMPLITUDE, MAX_AMPLITUDE)
    return _clip(copy)


def copy_generator(seed: int, name: str, number: int) -> np.random.Generator:
    """Return the source of the draws of one copy of a recording: by seed, name and number alone."""
    digest = hashlib.sha256(f"{seed}\n{number}\n{name}".encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng(np.random.SeedSequence(list(np.frombuffer(digest, "<u4"))))


def folder_recordings(folder: str) -> tuple[Path, ...]:
    """List the recordings of a folder of noise or impulse responses, at any depth, by name."""
    if not Path(folder).is_dir():
        raise AudioError(f"{folder}: no such folder; expected a folder of recordings")
    names = sorted(name for name in files_below(Path(folder)) if is_audio(name))
    if not names:
        raise AudioError(f"{folder}: no audio in it; expected recordings that end as in .wav or .flac")
    return tuple(Path(folder) / name for name in names)


def _apply(
    effect: str, samples: Float32Array, sample_rate: int, config: AugmentConfig, rng: np.random.Generator
) -> Float32Array:
    """Draw the values of one effect, and apply it."""
    match effect:
        case "reverb" if config.reverb is not None:
            return reverberate(samples, _draw_response(config.reverb, sample_rate, rng))
        case "noise" if config.noise is not None:
            noise = _draw_noise(config.noise, len(samples), sample_rate, rng)
            return add_noise(samples, noise, rng.uniform(*config.noise.snr_db))
        case "level_db" if config.level_db is not None:
            return samples * np.float32(10 ** (rng.uniform(*config.level_db) / 20))
        case "band" if config.band is not None:
            return _through_band(_clip(samples), sample_rate, *config.band[rng.integers(len(config.band))], rng)
        case "codec" if config.codec is not None:
            return encode_and_decode(_clip(samples), sample_rate, config.codec[rng.integers(len(config.codec))])
    raise ValueError(f"effect {effect!r}: the configuration has none; expected one of {', '.join(config.effects)}")


def _through_band(
    samples: Float32Array, sample_rate: int, low: float, high: float, rng: np.random.Generator
) -> Float32Array:
    """Limit the band; half of the copies that a telephone's rate holds pass through it, which leaves nothing above."""
    limited = band_limit(samples, sample_rate, low, high)
    if not high < TELEPHONE_RATE / 2 < sample_rate / 2 or rng.random() < 0.5:
        return limited
    narrow = resample(resample(limited, sample_rate, TELEPHONE_RATE), TELEPHONE_RATE, sample_rate)
    return of_length(narrow, len(samples))


def _clip(samples: Float32Array) -> Float32Array:
    """Clip what is beyond full scale, as the converter of a recorder does."""
    clipped: Float32Array = np.clip(samples, np.float32(-1), np.float32(CLIPPING_LEVEL))
    return clipped


def _draw_response(config: ReverbConfig, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Draw the impulse response of a room."""
    if config.folder is None:
        return room_response(rng.uniform(*config.rt60), rng.uniform(*config.drr_db), sample_rate, rng)
    path = _draw_file(config.folder, rng)
    seconds = min(MAX_RESPONSE_SECONDS, audio_facts(path, 0).seconds)
    return load_audio(path, sample_rate=sample_rate, channel=0, stop=seconds)[0]


def _draw_noise(config: NoiseConfig, n_samples: int, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Draw noise (n_samples,): of a colour, or a piece of a recording, which is repeated where it is too short."""
    if config.folder is None:
        return coloured_noise(n_samples, sample_rate, rng.uniform(*config.colour), rng)
    path = _draw_file(config.folder, rng)
    whole, wanted = audio_facts(path, 0).seconds, n_samples / sample_rate
    start = rng.uniform(0.0, max(0.0, whole - wanted))
    piece, *_ = load_audio(path, sample_rate=sample_rate, channel=0, start=start, stop=min(whole, start + wanted))
    return np.resize(piece, n_samples)


def _draw_file(folder: str, rng: np.random.Generator) -> Path:
    """Draw one of the recordings of a folder."""
    files = folder_recordings(folder)
    return files[rng.integers(len(files))]

"""The whole front end for one utterance: its configuration, and `extract`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import model_validator

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.audio import check_samples, read_audio, resample
from speechgmm.errors import AudioError
from speechgmm.features.cepstra import CepstraConfig, cepstra
from speechgmm.features.dynamics import DeltaConfig, append_deltas
from speechgmm.features.normalisation import NormalisationConfig, normalise
from speechgmm.features.vad import VadConfig, speech_frames


class FeatureConfig(CepstraConfig):
    """The front end. The defaults are those that serve speaker recognition at 16 kHz.

    The steps, in order: cepstra of each frame, deltas over all frames, normalisation, choice of the speech frames.
    Deltas come before the choice because frames that were apart do not become neighbours by it; normalisation knows
    which frames are speech, and takes its means over those unless told otherwise.

    Parameters
    ----------
    sample_rate, ..., energy
        Framing, spectrum, filters and cepstra: see `CepstraConfig`.
    vad, deltas, normalisation : sections
        Speech activity, dynamics and normalisation.
    """

    vad: VadConfig = VadConfig()
    deltas: DeltaConfig = DeltaConfig()
    normalisation: NormalisationConfig = NormalisationConfig()

    @model_validator(mode="after")
    def _deltas_fit(self) -> Self:
        """Refuse shifted deltas of more coefficients than there are."""
        self.deltas.n_columns(self.n_static)
        return self

    @property
    def n_features(self) -> int:
        """Features of a frame, D."""
        return self.deltas.n_columns(self.n_static)


@dataclass(frozen=True, eq=False)
class Extraction:
    """What the front end made of one utterance.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), float32
        Features of the speech frames.
    seconds : float, seconds
        Length of the audio.
    speech_seconds : float, seconds
        Of it, what the kept frames stand for: their number times the frame shift.
    """

    frames: Float32Array
    seconds: float
    speech_seconds: float


def extract(
    source: str | Path | FloatArray, config: FeatureConfig | None = None, *, sample_rate: int | None = None
) -> Float32Array:
    """Turn one utterance into features of its speech frames.

    Parameters
    ----------
    source : str, Path, or np.ndarray of shape (n,)
        An audio file, or samples with full scale at 1.
    config : FeatureConfig, optional
        The front end; the defaults when not given.
    sample_rate : int > 0, Hz, optional
        Rate of an array of samples; ``config.sample_rate`` when not given. A file says its own.

    Returns
    -------
    np.ndarray, shape (T, D), float32
        One row for each speech frame; T >= 1.

    Raises
    ------
    AudioError
        If the audio is missing, unreadable, shorter than a frame, constant, not finite, without speech, or has
        too low a rate for the highest filter.
    """
    return analyse(source, config, sample_rate=sample_rate).frames


def analyse(
    source: str | Path | FloatArray, config: FeatureConfig | None = None, *, sample_rate: int | None = None
) -> Extraction:
    """Do what `extract` does, and say how much of the audio was speech.

    Parameters
    ----------
    source, config, sample_rate
        As for `extract`.

    Returns
    -------
    Extraction
        Frames, and the seconds of audio and of speech.

    Raises
    ------
    AudioError
        As for `extract`; the message names the file.
    """
    config = config or FeatureConfig()
    if isinstance(source, np.ndarray):
        if sample_rate is not None and sample_rate < 1:
            raise ValueError(f"sample_rate {sample_rate}: expected a positive number of Hz")
        return _analyse_samples(check_samples(source), sample_rate or config.sample_rate, config)
    if sample_rate is not None:
        raise ValueError(f"sample_rate {sample_rate} given for a file: a file says its own rate")
    samples, file_rate = read_audio(source)
    try:
        return _analyse_samples(samples, file_rate, config)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from error


def _analyse_samples(samples: Float32Array, sample_rate: int, config: FeatureConfig) -> Extraction:
    """Run the steps of the front end, in the order that `FeatureConfig` states."""
    seconds = len(samples) / sample_rate
    if np.ptp(samples) == 0:
        raise AudioError(f"nothing but silence: all {len(samples)} samples are {samples[0]:g}")
    if sample_rate != config.sample_rate:
        if 2 * config.top_frequency > sample_rate:
            raise AudioError(
                f"sample rate {sample_rate} Hz is too low for filters up to {config.top_frequency:g} Hz; "
                f"set sample_rate to {sample_rate}, or high_frequency to at most {sample_rate / 2:g}"
            )
        samples = resample(samples, sample_rate, config.sample_rate)
    if config.dither:
        # The same noise for every utterance: what an utterance gives never depends on the others.
        rng = np.random.default_rng(0)
        noise = rng.standard_normal(len(samples), dtype=np.float32)
        samples = samples + np.float32(config.dither) * noise
    frames, log_energy = cepstra(samples, config)
    if len(frames) == 0:
        raise AudioError(f"{seconds:.4f} s of audio is shorter than one frame of {config.frame_length:g} s")
    speech = speech_frames(log_energy, config.vad, frame_shift=config.shift_samples / config.sample_rate)
    n_speech = int(np.count_nonzero(speech))
    if n_speech == 0:
        raise AudioError(f"no speech: none of {len(frames)} frames is above the level that vad asks for")
    normalised = normalise(append_deltas(frames, config.deltas), speech, config.normalisation)
    return Extraction(normalised[speech], seconds, n_speech * config.shift_samples / config.sample_rate)

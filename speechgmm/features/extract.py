"""The whole front end for one utterance: its configuration, and `extract`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import BoolArray, Float32Array, FloatArray
from speechgmm.audio.reading import Channel, read_audio
from speechgmm.audio.samples import check_samples, clipped_share, loudest, only_silence, resample
from speechgmm.configuration import Configuration
from speechgmm.errors import AudioError
from speechgmm.features.frames.deltas import DeltaConfig, append_deltas
from speechgmm.features.frames.labels import labels_to_frames
from speechgmm.features.frames.normalisation import NormalisationConfig, normalise_frames
from speechgmm.features.frames.vad import VadConfig, speech_frames
from speechgmm.features.presets import preset_values
from speechgmm.features.spectral.cepstra import cepstra
from speechgmm.features.spectral.config import CepstraConfig

STEPS: tuple[Literal["deltas"], Literal["normalisation"], Literal["selection"]] = (
    "deltas",
    "normalisation",
    "selection",
)
"""The steps after the cepstra, in their usual order."""

Labels = BoolArray | Sequence[tuple[float, float]]
"""Which frames are speech: a truth value for each frame, or stretches of speech in seconds."""


class FeatureConfig(CepstraConfig):
    """The front end. The defaults are those that serve speaker recognition at 16 kHz.

    The cepstra of all frames come first, and with them the decision which frames are speech; the other steps follow in
    the stated order. The usual one has deltas before the selection of the speech frames, because frames that were
    apart do not become neighbours by it, and normalisation in between: it knows which frames are speech, and takes
    its means over those unless told otherwise.

    Parameters
    ----------
    sample_rate, ..., energy_last
        Framing, spectrum, filters and cepstra: see `CepstraConfig`.
    resample : bool
        Whether audio of another rate is brought to `sample_rate`; else it is refused.
    order : list of "deltas", "normalisation", "selection", each once
        Order of the steps after the cepstra; the selection keeps the speech frames.
    vad, deltas, normalisation : sections
        Speech activity, dynamics and normalisation.
    """

    resample: bool = False
    order: Annotated[tuple[Literal["deltas", "normalisation", "selection"], ...], Field(strict=False)] = STEPS
    vad: VadConfig = VadConfig()
    deltas: DeltaConfig = DeltaConfig()
    normalisation: NormalisationConfig = NormalisationConfig()

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Start from a front end that gives the numbers of another program.

        Parameters
        ----------
        name : "kaldi", "htk", "librosa" or "psf"
            The program; `speechgmm.features.presets.PRESETS` says which version, and what is called there.
        **changes
            Keys that are to differ from it. Lengths and frequencies follow a changed ``sample_rate``; of the sections
            `vad`, `deltas` and `normalisation` (mappings or configurations) only the keys that are given change.

        Returns
        -------
        FeatureConfig
            The program's front end but for the changes.

        Raises
        ------
        ValueError
            If there is no such preset, or the keys or values are not those of a front end.
        """
        values = preset_values(name, changes.get("sample_rate"))
        for key, value in changes.items():
            given = value.model_dump(exclude_unset=True) if isinstance(value, Configuration) else value
            below = values.get(key)
            values[key] = below | given if isinstance(below, dict) and isinstance(given, dict) else given
        return cls.model_validate(values)

    @model_validator(mode="after")
    def _deltas_fit(self) -> Self:
        """Refuse shifted deltas of more coefficients than there are, and steps that are missing or there twice."""
        self.deltas.n_columns(self.n_static)
        if sorted(self.order) != sorted(STEPS):
            raise ValueError(f"order: {list(self.order)}; expected each of {', '.join(STEPS)} once")
        if self.energy_last and self.normalisation.c0_mean is not None:
            raise ValueError("normalisation.c0_mean is for the first column, and with energy_last c0 is not there")
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
    speech : np.ndarray, shape (all frames,), bool
        Which of all frames these are.
    seconds : float, seconds
        Length of the audio.
    speech_seconds : float, seconds
        Of it, what the kept frames stand for: their number times the frame shift, at most all of it.
    clipped : float, 0 to 1
        Share of the samples that are clipped, as `speechgmm.audio.samples.clipped_share` counts.
    """

    frames: Float32Array
    speech: BoolArray
    seconds: float
    speech_seconds: float
    clipped: float


def extract(
    source: str | Path | FloatArray,
    config: FeatureConfig | None = None,
    *,
    sample_rate: int | None = None,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    speech: Labels | None = None,
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
    channel : int >= 0, or "mean", optional
        Of a file, the channel to read, or their mean; when not given, a file of several channels is refused.
    start, stop : float >= 0, seconds, optional
        Of a file, the segment to read; its ends when not given.
    speech : np.ndarray of shape (frames,), or sequence of (start, stop) in seconds, optional
        Which frames are speech, or stretches of speech from the beginning of what is read, instead of what `vad` finds.

    Returns
    -------
    np.ndarray, shape (T, D), float32
        One row for each speech frame; T >= 1.

    Raises
    ------
    AudioError
        If the audio is missing, unreadable, shorter than a frame, constant, not finite, without speech, or of another
        rate than the front end's with no permission to resample, or a rate too low for the highest filter.
    ValueError
        If an argument is out of its range, or for the other kind of source.
    """
    return analyse(
        source, config, sample_rate=sample_rate, channel=channel, start=start, stop=stop, speech=speech
    ).frames


def analyse(
    source: str | Path | FloatArray,
    config: FeatureConfig | None = None,
    *,
    sample_rate: int | None = None,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    speech: Labels | None = None,
) -> Extraction:
    """Do what `extract` does, and say how much of the audio was speech.

    Parameters
    ----------
    source, config, sample_rate, channel, start, stop, speech
        As for `extract`.

    Returns
    -------
    Extraction
        Frames, and the seconds of audio and of speech.

    Raises
    ------
    AudioError, ValueError
        As for `extract`; the message names the file.
    """
    config = FeatureConfig() if config is None else config
    if not isinstance(config, FeatureConfig):
        raise TypeError(f"config {config!r}: expected a FeatureConfig, such as FeatureConfig.preset('kaldi')")
    if not isinstance(source, str | Path):
        if sample_rate is not None and sample_rate < 1:
            raise ValueError(f"sample_rate {sample_rate}: expected a positive number of Hz")
        if (channel, start, stop) != (None, None, None):
            raise ValueError("channel, start and stop are for files: cut an array of samples as arrays are cut")
        return _analyse_samples(check_samples(np.asarray(source)), sample_rate or config.sample_rate, config, speech)
    if sample_rate is not None:
        raise ValueError(f"sample_rate {sample_rate} given for a file: a file says its own rate")
    samples, file_rate = read_audio(source, channel=channel, start=start, stop=stop)
    try:
        return _analyse_samples(samples, file_rate, config, speech)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from error


def check_rate(sample_rate: int, config: FeatureConfig) -> None:
    """Refuse audio of a rate that a front end cannot or may not take.

    Parameters
    ----------
    sample_rate : int > 0, Hz
        Rate of the audio.
    config : FeatureConfig
        The front end.

    Raises
    ------
    AudioError
        If the rate is another than the front end's, and `resample` is false or the highest filter out of reach.
    """
    if sample_rate == config.sample_rate:
        return
    if 2 * config.top_frequency > sample_rate:
        raise AudioError(
            f"sample rate {sample_rate} Hz is too low for filters up to {config.top_frequency:g} Hz; "
            f"set sample_rate to {sample_rate}, or high_frequency to at most {sample_rate / 2:g}"
        )
    if not config.resample:
        raise AudioError(
            f"sample rate {sample_rate} Hz, and the front end's is {config.sample_rate} Hz; "
            f"set resample to true, or sample_rate to {sample_rate}"
        )


def check_speech(
    n_speech: int, n_frames: int, seconds: float, config: FeatureConfig, *, labelled: bool = False
) -> None:
    """Refuse audio without frames, or without speech.

    Parameters
    ----------
    n_speech, n_frames : int >= 0
        Speech frames, and all frames.
    seconds : float >= 0, seconds
        Length of the audio.
    config : FeatureConfig
        The front end.
    labelled : bool
        Whether labels said what is speech, or the front end.

    Raises
    ------
    AudioError
        If there are no frames, or none of them is speech.
    """
    if n_frames == 0:
        raise AudioError(f"{seconds:.4f} s of audio is shorter than one frame of {config.frame_length:g} s")
    if n_speech == 0:
        level = "labelled as speech" if labelled else "above the level that vad asks for"
        raise AudioError(f"no speech: none of {n_frames} frames is {level}")


def _analyse_samples(
    samples: Float32Array, sample_rate: int, config: FeatureConfig, labels: Labels | None
) -> Extraction:
    """Run the front end."""
    seconds, clipped = len(samples) / sample_rate, clipped_share(samples)
    if np.ptp(samples) == 0:
        raise only_silence(len(samples), float(samples[0]))
    check_rate(sample_rate, config)
    if sample_rate != config.sample_rate:
        samples = resample(samples, sample_rate, config.sample_rate)
    peak = loudest(samples)
    if peak > config.loudest:
        raise AudioError(f"samples up to {peak:g}; expected full scale at 1")
    frames, log_energy = cepstra(samples, config)
    speech = _speech(log_energy, config, labels) if len(frames) else np.zeros(0, np.bool_)
    n_speech = int(np.count_nonzero(speech))
    check_speech(n_speech, len(frames), seconds, config, labelled=labels is not None)
    # Frames that are padded at the end stand for a little more than the audio.
    speech_seconds = min(n_speech * config.shift_seconds, seconds)
    return Extraction(_steps(frames, speech, config), speech, seconds, speech_seconds, clipped)


def _speech(log_energy: Float32Array, config: FeatureConfig, labels: Labels | None) -> BoolArray:
    """Mark the speech frames, as labels say or by their energy."""
    n_frames = len(log_energy)
    if labels is None:
        return speech_frames(log_energy, config.vad, frame_shift=config.shift_seconds)
    if not isinstance(labels, np.ndarray):
        return labels_to_frames(
            labels, n_frames, frame_shift=config.shift_seconds, first_centre=config.first_centre_seconds
        )
    if labels.shape != (n_frames,) or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"speech of shape {labels.shape}; expected a truth value for each of {n_frames} frames")
    return labels.astype(np.bool_)


def _steps(frames: Float32Array, speech: BoolArray, config: FeatureConfig) -> Float32Array:
    """Take the steps after the cepstra, in their order."""
    for step in config.order:
        match step:
            case "deltas":
                frames = append_deltas(frames, config.deltas)
            case "normalisation":
                frames = normalise_frames(frames, speech, config.normalisation)
            case "selection":
                frames, speech = frames[speech], speech[speech]
    return frames

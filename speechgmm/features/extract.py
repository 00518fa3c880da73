"""The whole front end for one utterance: its configuration, and `extract`."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import BoolArray, Float32Array, FloatArray
from speechgmm.audio.clipping import flat_top_share
from speechgmm.audio.condition import Condition, measure_condition
from speechgmm.audio.opening import RawFormat
from speechgmm.audio.reading import Channel, load_audio
from speechgmm.audio.samples import check_samples, clipped_share, peak_amplitude, resample, silence_error
from speechgmm.configuration import Configuration
from speechgmm.errors import AudioError, AudioWarning
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
"""The steps after the cepstra, in their default order."""

Labels = BoolArray | Sequence[tuple[float, float]]
"""Which frames are speech: a truth value for each frame, or stretches of speech in seconds."""


class FeatureConfig(CepstraConfig):
    """The front end. The defaults suit speaker recognition at 16 kHz.

    The cepstra of all frames are computed first, and from their energy it is decided which frames are speech. The other
    steps follow in the stated order. By default the deltas come before the speech frames are selected, so that frames
    that were apart do not become neighbours, and the normalisation comes in between: it knows which frames are speech,
    and computes its means over those unless `normalisation` sets another choice.

    Parameters
    ----------
    sample_rate, ..., energy_last
        Framing, spectrum, filters and cepstra: see `CepstraConfig`.
    resample : bool
        Whether audio of another rate is resampled to `sample_rate`; otherwise it is refused.
    order : list of "deltas", "normalisation", "selection", each once
        Order of the steps after the cepstra; the selection keeps the speech frames.
    vad, deltas, normalisation : sections
        Speech activity, dynamics and normalisation.

    Examples
    --------
    >>> from speechgmm import FeatureConfig
    >>> FeatureConfig(n_cepstra=13, deltas={"order": 1}).n_features
    26

    A front end with the numbers of another program, but for 8 kHz:

    >>> FeatureConfig.preset("kaldi", sample_rate=8000).n_features
    13
    """

    resample: bool = False
    order: Annotated[tuple[Literal["deltas", "normalisation", "selection"], ...], Field(strict=False)] = STEPS
    vad: VadConfig = VadConfig()
    deltas: DeltaConfig = DeltaConfig()
    normalisation: NormalisationConfig = NormalisationConfig()

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Return a front end that computes the numbers of another program.

        Parameters
        ----------
        name : "kaldi", "htk", "librosa" or "psf"
            The program; `speechgmm.features.presets.PRESETS` gives the version and the function or command.
        **changes
            Keys that differ from the preset. Lengths and frequencies follow a changed ``sample_rate``; in the sections
            `vad`, `deltas` and `normalisation` (mappings or configurations) only the keys given here change.

        Returns
        -------
        FeatureConfig
            The program's front end with the changes.

        Raises
        ------
        ValueError
            If there is no such preset, or a key or value is invalid.
        """
        values = preset_values(name, changes.get("sample_rate"))
        for key, value in changes.items():
            change = value.model_dump(exclude_unset=True) if isinstance(value, Configuration) else value
            preset = values.get(key)
            values[key] = preset | change if isinstance(preset, dict) and isinstance(change, dict) else change
        return cls.model_validate(values)

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        """Refuse shifted deltas of more coefficients than there are, and steps that are missing or repeated."""
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
    """The features of one utterance, and how much of its audio they cover."""

    frames: Float32Array  # of the speech frames, (T, D)
    speech: BoolArray  # which frames these are, (all frames,)
    seconds: float  # length of the audio
    speech_seconds: float  # T times the frame shift, at most `seconds`
    clipped: float  # share of clipped samples, 0 to 1, as `clipped_share` counts
    condition: Condition | None  # band, level, noise and flaws, at the rate of the front end; None if not measured
    warnings: tuple[str, ...] = ()  # what is odd about the file, as `audio_warnings` lists it


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
    """Compute the features of an utterance's speech frames.

    Parameters
    ----------
    source : str, Path, or np.ndarray of shape (n,)
        An audio file, or samples with full scale at 1; integers are scaled by their type.
    config : FeatureConfig, optional
        The front end; ``FeatureConfig()`` by default.
    sample_rate : int > 0, Hz, optional
        Rate of an array of samples; ``config.sample_rate`` by default. Not allowed for a file, which has its own.
    channel : int >= 0, or "mean", optional
        The channel of a file to read, or their mean. By default, a file of several channels is refused.
    start, stop : float >= 0, seconds, optional
        The segment of a file to read; the whole file by default.
    speech : np.ndarray of shape (frames,), or sequence of (start, stop) in seconds, optional
        Which frames are speech, or stretches of speech counted from the beginning of what is read, in place of the
        decisions of `vad`.

    Returns
    -------
    np.ndarray, shape (T, D), float32
        One row per speech frame; T >= 1.

    Raises
    ------
    AudioError
        If the audio is missing, unreadable, shorter than a frame, constant, not finite, or without speech; if its rate
        differs from the front end's and ``config.resample`` is false; or if its rate is too low for the highest filter.
    ValueError
        If an argument is out of range, or is for the other kind of source.

    Warns
    -----
    AudioWarning
        If the file can be read, but something about it is odd; see `read_audio`.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import FeatureConfig, extract
    >>> time = np.arange(16000) / 16000
    >>> samples = 0.1 * np.sin(2 * np.pi * 220 * time) * (1 + np.sin(2 * np.pi * 3 * time))
    >>> features = extract(samples)
    >>> features.shape, features.dtype
    ((92, 72), dtype('float32'))

    All 98 frames of Kaldi's MFCC, whether or not they are speech:

    >>> extract(samples, FeatureConfig.preset("kaldi")).shape
    (98, 13)
    """
    extraction = analyse(
        source, config, sample_rate=sample_rate, channel=channel, start=start, stop=stop, speech=speech
    )
    for remark in extraction.warnings:
        warnings.warn(f"{source}: {remark}", AudioWarning, stacklevel=2)
    return extraction.frames


def analyse(
    source: str | Path | FloatArray,
    config: FeatureConfig | None = None,
    *,
    sample_rate: int | None = None,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    speech: Labels | None = None,
    raw: RawFormat | None = None,
    measured: bool = False,
) -> Extraction:
    """Compute the features of `extract`, and measure how much of the audio was speech.

    The arguments and errors are those of `extract`, and `raw` is the format of a file without a header; messages name
    the file. The condition of the audio is `measured` only if asked for, as it takes time.
    """
    config = FeatureConfig() if config is None else config
    if not isinstance(config, FeatureConfig):
        raise TypeError(f"config {config!r}: expected a FeatureConfig, such as FeatureConfig.preset('kaldi')")
    if not isinstance(source, str | Path):
        if sample_rate is not None and sample_rate < 1:
            raise ValueError(f"sample_rate {sample_rate}: expected a positive number of Hz")
        if (channel, start, stop) != (None, None, None):
            raise ValueError("channel, start and stop are for files: cut an array of samples as arrays are cut")
        samples = check_samples(np.asarray(source))
        return _analyse_samples(samples, sample_rate or config.sample_rate, config, speech, measured=measured)
    if sample_rate is not None:
        raise ValueError(f"sample_rate {sample_rate} given for a file: a file says its own rate")
    samples, file_rate, remarks = load_audio(source, channel=channel, start=start, stop=stop, raw=raw)
    try:
        extraction = _analyse_samples(samples, file_rate, config, speech, measured=measured)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from error
    return replace(extraction, warnings=remarks)


def check_rate(sample_rate: int, config: FeatureConfig) -> None:
    """Refuse audio whose sample rate in Hz the front end cannot or may not use, with an AudioError.

    The rate differs from the front end's, and `resample` is false or the highest filter is out of reach.
    """
    if sample_rate == config.sample_rate:
        return
    if 2 * config.top_frequency > sample_rate:
        raise AudioError(
            f"sample rate {sample_rate} Hz is too low for filters up to {config.top_frequency:g} Hz; "
            f"set the key sample_rate to {sample_rate}"
        )
    if not config.resample:
        raise AudioError(
            f"sample rate {sample_rate} Hz, and the front end's is {config.sample_rate} Hz; "
            f"set the key resample to true, or sample_rate to {sample_rate}"
        )


def check_speech(
    n_speech: int, n_frames: int, seconds: float, config: FeatureConfig, *, labelled: bool = False
) -> None:
    """Refuse audio without frames, or without speech frames, with an AudioError.

    `seconds` is the length of the audio; `labelled` says that the speech frames come from labels.
    """
    if n_frames == 0:
        raise AudioError(f"{seconds:.4f} s of audio is shorter than one frame of {config.frame_length:g} s")
    if n_speech == 0:
        level = "labelled as speech" if labelled else "above the level that vad asks for"
        raise AudioError(f"no speech: none of {n_frames} frames is {level}")


def _analyse_samples(
    samples: Float32Array, sample_rate: int, config: FeatureConfig, labels: Labels | None, *, measured: bool
) -> Extraction:
    """Run the front end on samples (n,)."""
    seconds, clipped, original = len(samples) / sample_rate, clipped_share(samples), samples
    if np.ptp(samples) == 0:
        raise silence_error(len(samples), float(samples[0]))
    check_rate(sample_rate, config)
    if sample_rate != config.sample_rate:
        samples = resample(samples, sample_rate, config.sample_rate)
    peak = peak_amplitude(samples)
    if peak > config.max_amplitude:
        raise AudioError(f"samples up to {peak:g}; expected full scale at 1")
    frames, log_energy = cepstra(samples, config)
    speech = _mark_speech(log_energy, config, labels) if len(frames) else np.zeros(0, np.bool_)
    n_speech = int(np.count_nonzero(speech))
    check_speech(n_speech, len(frames), seconds, config, labelled=labels is not None)
    # Frames that are padded at the end cover a little more than the audio.
    speech_seconds = min(n_speech * config.shift_seconds, seconds)
    condition = None
    if measured:
        condition = measure_condition(samples, config.sample_rate, clipped=flat_top_share(original))
    return Extraction(_apply_steps(frames, speech, config), speech, seconds, speech_seconds, clipped, condition)


def _mark_speech(log_energy: Float32Array, config: FeatureConfig, labels: Labels | None) -> BoolArray:
    """Mark the speech frames, by the labels or else by their energy."""
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


def _apply_steps(frames: Float32Array, speech: BoolArray, config: FeatureConfig) -> Float32Array:
    """Apply the steps after the cepstra, in their order."""
    for step in config.order:
        match step:
            case "deltas":
                frames = append_deltas(frames, config.deltas)
            case "normalisation":
                frames = normalise_frames(frames, speech, config.normalisation)
            case "selection":
                frames, speech = frames[speech], speech[speech]
    return frames

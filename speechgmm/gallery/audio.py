"""The audio of a recording in the form that a gallery takes: one channel at the front end's rate.

Audio that has this form already is used as it is.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.audio import seen
from speechgmm.audio.bandwidth import real_bandwidth
from speechgmm.audio.condition import Condition
from speechgmm.audio.reading import Channel, audio_file, load_audio, load_channels
from speechgmm.audio.samples import clipped_share, resample, silence_error
from speechgmm.augmentation.augment import CopyPlan
from speechgmm.augmentation.config import AugmentConfig
from speechgmm.errors import AudioError, ChannelError
from speechgmm.features.extract import Extraction, FeatureConfig, analyse
from speechgmm.files import file_digest
from speechgmm.gallery.config import GalleryConfig, RecogniserConfig, RecogniserFacts

LoadedAudio = tuple[Float32Array, int, tuple[str, ...]]
"""Samples (n,), their rate in Hz, and what is odd about the file: what `load_audio` returns."""

MISSED_SHARE = 0.1
"""Share of the front end's frequencies that audio may lack without a warning."""


@dataclass(frozen=True)
class HeardAudio:
    """What a gallery found in an audio file, and what it made of it."""

    sample_rate: int  # of the file, Hz
    channel: Channel  # None for a file of one channel; otherwise what was taken
    bandwidth: float  # up to which frequency there is sound, in Hz; see `real_bandwidth`
    warnings: tuple[str, ...] = ()  # what is odd about the file, and in what it is unlike the recordings of the models
    distance: float = 0.0  # from anything that the models were trained on; more than 1 is far

    def is_narrow(self, front_end: FeatureConfig) -> bool:
        """Check whether the audio lacks more than `MISSED_SHARE` of the front end's frequencies."""
        return self.bandwidth < (1 - MISSED_SHARE) * front_end.top_frequency


@dataclass(frozen=True, eq=False, kw_only=True)
class GalleryExtraction(Extraction):
    """The features of one recording by a gallery's first front end, and how its audio was brought into its form."""

    audio: HeardAudio
    by_front_end: Mapping[str, Extraction]  # the features by all front ends, by their fingerprints
    copies: tuple[Mapping[str, Extraction], ...] = ()  # the same of its augmented copies, if it is to be enrolled


def extract_recording(
    path: Path,
    config: GalleryConfig,
    front_ends: Mapping[str, FeatureConfig],
    *,
    pieces: Sequence[tuple[float, float]] | None = None,
    enrolled: bool = False,
) -> GalleryExtraction:
    """Extract the features of a recording of any rate and number of channels, as far as the gallery allows.

    `front_ends` are those of the gallery, by their fingerprints. Of `pieces`, (start, stop) in seconds, the samples are
    joined, and what is outside the recording is left out. A recording that is `enrolled` gets its augmented copies, if
    the gallery makes any. A recording that cannot be used raises an AudioError that names it.
    """
    channel, (samples, rate, remarks) = _one_channel(path, config)
    if pieces is not None:
        samples = _joined(path, samples, rate, pieces)
    front_end = next(iter(front_ends.values()))
    if rate != front_end.sample_rate and not config.resample:
        raise AudioError(
            f"{path}: sample rate {rate} Hz; this gallery takes {front_end.sample_rate} Hz, and its gallery.json says "
            '"resample": false'
        )
    facts = config.first_recogniser
    try:
        extractions = _by_front_end(samples, rate, front_ends, measured=is_measured(facts))
    except AudioError as error:
        mixed = ", in the mean of its channels" if channel == "mean" else ""
        raise AudioError(f"{path}: {error}{mixed}") from error
    extraction = next(iter(extractions.values()))
    distance = 0.0
    if extraction.condition is not None:
        unlike, distance = compare_condition(extraction.condition, facts)
        remarks += tuple(unlike.values())
    heard = HeardAudio(rate, channel, real_bandwidth(samples, rate), remarks, distance)
    warnings = remarks
    if heard.is_narrow(front_end) and not config.knows_conditions:
        warnings += (
            f"holds sound up to {heard.bandwidth / 1000:.1f} kHz only, and the features of this gallery reach "
            f"{front_end.top_frequency / 1000:.1f} kHz",
        )
    copies = _copies(samples, rate, facts.enrolment_copies, front_ends) if enrolled else ()
    return GalleryExtraction(
        **vars(replace(extraction, warnings=warnings)), audio=heard, by_front_end=extractions, copies=copies
    )


def is_measured(config: RecogniserConfig) -> bool:
    """Check whether conditions are compared with the recordings of the models, or a calibration may weigh them."""
    return config.recorded is not None or config.trained is not None or config.calibration is not None


def compare_condition(condition: Condition, facts: RecogniserFacts) -> tuple[dict[str, str], float]:
    """Find in what audio is unlike the recordings of the models, by aspect, and its distance from all trained on.

    What is not known of the models makes no difference.
    """
    distance = 0.0
    if facts.trained is not None:
        distance = seen.distance(condition, seen.SeenConditions.from_json(facts.trained))
    if facts.recorded is None:
        return {}, distance
    return seen.unlike_by_aspect(condition, seen.SeenConditions.from_json(facts.recorded)), distance


def _copies(
    samples: Float32Array, rate: int, config: AugmentConfig | None, front_ends: Mapping[str, FeatureConfig]
) -> tuple[dict[str, Extraction], ...]:
    """Extract the features of augmented copies, by all front ends.

    The copies depend on the samples alone. One without speech is left out: noise may hide all of it.
    """
    if config is None:
        return ()
    name = hashlib.sha256(np.ascontiguousarray(samples).data).hexdigest()
    copies = []
    for number in range(1, config.copies + 1):
        copy = CopyPlan(config, name, number).apply(samples, rate)
        with suppress(AudioError):
            copies.append(_by_front_end(copy, rate, front_ends, measured=False))
    return tuple(copies)


def audio_digest(path: Path) -> str:
    """Compute the SHA-256 of an audio file, or of the mean of the channels of one in an archive; 64 digits."""
    if audio_file(str(path)) == path:
        return file_digest(path)
    return hashlib.sha256(load_audio(path, channel="mean")[0].data).hexdigest()


def _one_channel(path: Path, config: GalleryConfig) -> tuple[Channel, LoadedAudio]:
    """Read one channel of a file; return what was taken of several channels, and what `load_audio` returns."""
    try:
        return None, load_audio(path)
    except ChannelError as error:
        if config.channel is None:
            raise AudioError(
                f'{path}: several channels; this gallery takes one, as its gallery.json says "channel": null; '
                'expected a mono file, or "mean" or "loudest" there'
            ) from error
    if config.channel == "mean":
        return "mean", load_audio(path, channel="mean")
    samples, rate, remarks = load_channels(path)
    loudest = int(np.argmax(np.mean(np.square(samples, dtype=np.float64), axis=0)))
    return loudest, (np.ascontiguousarray(samples[:, loudest]), rate, remarks)


def _joined(path: Path, samples: Float32Array, rate: int, pieces: Sequence[tuple[float, float]]) -> Float32Array:
    """Join pieces of a recording."""
    joined = [samples[round(start * rate) : round(stop * rate)] for start, stop in pieces]
    if not sum(map(len, joined)):
        raise AudioError(f"{path}: {len(samples) / rate:.2f} s long, and all pieces to take are later")
    return np.concatenate(joined)


def _by_front_end(
    samples: Float32Array, rate: int, front_ends: Mapping[str, FeatureConfig], *, measured: bool
) -> dict[str, Extraction]:
    """Extract the features by all front ends; the first measures the condition if that is to be `measured`."""
    if any(rate != each.sample_rate for each in front_ends.values()) and np.ptp(samples) == 0:
        raise silence_error(len(samples), float(samples[0]))
    at_rate = {rate: samples}
    extractions: dict[str, Extraction] = {}
    for name, front_end in front_ends.items():
        if front_end.sample_rate not in at_rate:
            at_rate[front_end.sample_rate] = resample(samples, rate, front_end.sample_rate)
        extraction = analyse(at_rate[front_end.sample_rate], front_end, measured=measured and not extractions)
        extractions[name] = extraction if front_end.sample_rate == rate else _of_original(extraction, samples, rate)
    return extractions


def _of_original(extraction: Extraction, samples: Float32Array, rate: int) -> Extraction:
    """Give features of resampled audio, even of a rate too low for the highest filters, the original's lengths."""
    seconds = len(samples) / rate
    return replace(
        extraction,
        seconds=seconds,
        speech_seconds=min(extraction.speech_seconds, seconds),
        clipped=clipped_share(samples),
    )

"""Diarisation: who speaks when in a recording of unknown speakers."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.audio.reading import Channel
from speechgmm.diarisation.clustering import by_first_appearance, cluster, merge, pool, singletons
from speechgmm.diarisation.config import DiarisationConfig
from speechgmm.diarisation.models import DiarisationModels
from speechgmm.diarisation.turns import find_turns
from speechgmm.diarisation.windows import Windows, voice_windows
from speechgmm.errors import ModelError
from speechgmm.features.extract import Extraction, analyse

N_HALVINGS = 5
"""How often the cost of a speaker is halved while fewer speakers are found than there are."""


class SpeakerSegment(NamedTuple):
    """A stretch of a recording in which one speaker speaks."""

    start: float  # seconds
    stop: float  # seconds
    speaker: str  # speaker1, speaker2, ... in the order in which they first speak


@dataclass(frozen=True)
class Diarisation:
    """Who speaks when in a recording."""

    segments: tuple[SpeakerSegment, ...]  # in the order of time; none overlaps another
    seconds: float  # length of the recording
    warnings: tuple[str, ...] = ()  # what is odd about the file

    @property
    def speakers(self) -> dict[str, float]:
        """The seconds that each speaker speaks, in the order in which they first speak."""
        totals: dict[str, float] = {}
        for start, stop, speaker in self.segments:
            totals[speaker] = totals.get(speaker, 0.0) + stop - start
        return totals


def diarise(
    source: str | Path | FloatArray,
    models: DiarisationModels,
    config: DiarisationConfig | None = None,
    *,
    n_speakers: int | None = None,
    channel: Channel = None,
) -> Diarisation:
    """Find who speaks when in a recording, with no speaker enrolled.

    Windows of about a second and a half are compared by i-vectors and PLDA, and clustered; a hidden Markov model of the
    clusters then finds the turns, and the number of speakers. Where two speak at once, one of them is found.

    Parameters
    ----------
    source : str, Path, or np.ndarray of shape (n,)
        An audio file, which is resampled if need be, or samples at the rate of the models' front end.
    models : DiarisationModels
        What voices are compared with.
    config : DiarisationConfig, optional
        Windows, clusters and turns; ``DiarisationConfig()`` by default.
    n_speakers : int >= 1, optional
        How many speakers there are; fewer are found if the recording does not show more. By default the number is
        estimated.
    channel : int >= 0, or "mean", optional
        The channel of a file to read, or their mean. By default, a file of several channels is refused.

    Returns
    -------
    Diarisation
        The segments of ``speaker1``, ``speaker2``, ..., which are named in the order in which they first speak. Beside
        audio and features, memory holds a vector for each hop.

    Raises
    ------
    AudioError
        As by `extract`.
    ModelError
        If `n_speakers` is below 1, or no window has enough speech.

    References
    ----------
    Landini, Profant, Diez, Burget (2022), Computer Speech & Language 71, 101254.

    Examples
    --------
    Noise of two colours stands for two voices:

    >>> import numpy as np
    >>> from speechgmm import DiarisationModels, FeatureConfig, IVectorConfig, TrainingConfig, accumulate, diarise
    >>> from speechgmm import extract, fit_backend, ivectors, train, train_total_variability
    >>> rng = np.random.default_rng(0)
    >>> def noise(colour, seconds):
    ...     return np.convolve(0.1 * rng.normal(size=16000 * seconds), [1, colour], "same")
    >>> front_end = FeatureConfig(normalisation={"mean": 0.0}, vad={"method": "none"})
    >>> background = [extract(noise(colour, 1), front_end) for colour in (-0.9, -0.5, 0.5, 0.9) for _ in range(5)]
    >>> ubm = train(background, TrainingConfig(n_components=1)).gmm
    >>> statistics = [accumulate(ubm, frames) for frames in background]
    >>> factors = train_total_variability(ubm, statistics, IVectorConfig(rank=2)).model
    >>> backend = fit_backend(["plda"], ivectors(factors, statistics), [str(number // 5) for number in range(20)])
    >>> models = DiarisationModels(front_end, ubm, factors, backend)
    >>> meeting = np.concatenate([noise(0.9, 6), noise(-0.9, 8), noise(0.9, 5)])
    >>> [segment.speaker for segment in diarise(meeting, models, n_speakers=2).segments]
    ['speaker1', 'speaker2', 'speaker1']
    """
    front_end = models.front_end.model_copy(update={"resample": True})
    return diarise_extraction(analyse(source, front_end, channel=channel), models, config, n_speakers=n_speakers)


def diarise_extraction(
    extraction: Extraction,
    models: DiarisationModels,
    config: DiarisationConfig | None = None,
    *,
    n_speakers: int | None = None,
) -> Diarisation:
    """Find who speaks when as `diarise`, given the features of a recording by the models' front end."""
    config = DiarisationConfig() if config is None else config
    if n_speakers is not None and n_speakers < 1:
        raise ModelError(f"{n_speakers} speakers; expected 1 or more")
    front_end = models.front_end
    numbers = np.flatnonzero(extraction.speech).astype(np.float64)
    times: Float64Array = front_end.first_centre_seconds + numbers * front_end.shift_seconds
    windows = voice_windows(extraction.frames, times, models, config)
    speakers = find_speakers(windows.vectors, models.plda.psi, config, n_speakers)
    answers = speakers[_nearest(windows, times)]
    segments = _segments(times, answers, front_end.shift_seconds, config.pause, extraction.seconds)
    return Diarisation(segments, extraction.seconds, extraction.warnings)


def find_speakers(
    vectors: Float64Array, psi: Float64Array, config: DiarisationConfig, n_speakers: int | None
) -> IntArray:
    """Return the speaker of each window, from the windows' vectors (W, R) in PLDA's diagonal space."""
    refine = partial(find_turns, vectors, psi, stay=1 - config.hop / config.turn, window_weight=config.window_weight)
    first = cluster(vectors, psi, config.merge_above, n_speakers or 1)
    if n_speakers is None:
        return refine(first, speaker_cost=config.speaker_cost)
    for cost in config.speaker_cost * 0.5 ** np.arange(N_HALVINGS + 1):
        found = by_first_appearance(refine(first, speaker_cost=cost))
        if found.max() + 1 == n_speakers:
            return found
        if found.max() + 1 > n_speakers:
            break
    fewer = merge(pool(singletons(vectors), found), psi, -np.inf, min(n_speakers, int(found.max()) + 1))
    return refine(fewer[found], speaker_cost=cost, equal=True)


def _nearest(windows: Windows, times: Float64Array) -> IntArray:
    """Return the window whose centre is nearest to each time."""
    between = (windows.centres[1:] + windows.centres[:-1]) / 2
    return np.searchsorted(between, times)


def _segments(
    times: Float64Array, answers: IntArray, shift: float, pause: float, seconds: float
) -> tuple[SpeakerSegment, ...]:
    """Join frames of one speaker to segments, over pauses up to `pause` seconds."""
    speakers = by_first_appearance(answers)
    ends = np.flatnonzero((np.diff(speakers) != 0) | (np.diff(times) > pause + shift)) + 1
    starts = np.maximum(times[np.r_[0, ends]] - shift / 2, 0.0)
    stops = np.minimum(times[np.r_[ends, len(times)] - 1] + shift / 2, seconds)
    names = [f"speaker{number + 1}" for number in speakers[np.r_[0, ends]].tolist()]
    return tuple(map(SpeakerSegment, starts.tolist(), stops.tolist(), names))

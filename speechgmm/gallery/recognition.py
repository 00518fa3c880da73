"""Recognition of enrolled speakers: scores of recordings against a gallery, and the decisions that follow from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.audio.condition import Condition
from speechgmm.errors import GalleryError
from speechgmm.evaluation.costs import Costs, bayes_threshold
from speechgmm.gallery.audio import MISSED_SHARE, GalleryExtraction, HeardAudio
from speechgmm.gallery.config import GalleryConfig
from speechgmm.gallery.gallery import Gallery, ModelsOfSpeaker, hear, read_each
from speechgmm.gallery.recogniser import FusedScores, Test
from speechgmm.scoring.identification import Candidate, Identification, IdentificationConfig, identify

TESTS_AT_ONCE = 200
"""Tests that are scored between two reports of progress."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of U tests against M enrolled speakers."""

    names: tuple[str, ...]  # of the speakers whose files can be used
    matrix: Float64Array  # (M, U), in the gallery's `config.score_unit`
    raw: Float64Array  # (M, U), before calibration
    damaged: Mapping[str, str]  # why each speaker's file that cannot be used is unusable, by its path


@dataclass(frozen=True)
class Verification:
    """The decision whether a recording is of one enrolled speaker."""

    score: float  # in the gallery's `config.score_unit`
    threshold: float | None  # the least score that accepts; None with neither a calibration nor a threshold

    @property
    def accepted(self) -> bool | None:
        """Whether the speaker is accepted; None without a threshold."""
        return None if self.threshold is None else self.score >= self.threshold


@dataclass(frozen=True)
class Answer:
    """The speaker of one recording, in an open set unless the prior of an unknown speaker is 0."""

    file: str  # as it was given
    seconds: float  # length of the audio
    speech_seconds: float  # length of its speech
    short: bool  # whether that is less than the gallery asks for
    decided: bool  # whether there is an answer: an open set needs a calibration or a threshold
    name: str | None  # of the speaker; None for a speaker who is not enrolled, if several are best, or if not decided
    candidates: tuple[Candidate, ...]  # all speakers, the best first
    p_unknown: float | None  # posterior probability of a speaker who is not enrolled, if scores are calibrated
    tied: tuple[str, ...]  # the names that would be the answer if they were not equal
    audio: HeardAudio  # how the recording was read
    warnings: tuple[str, ...]  # what makes its scores less reliable, or is odd about its file


@dataclass(frozen=True)
class Answers:
    """The speakers of several recordings, and what could not be used."""

    answers: tuple[Answer, ...]  # of the recordings that could be used, in the order given
    unusable: Mapping[str, str]  # why each other recording could not be used, by its path
    damaged: Mapping[str, str]  # why speakers' files are unusable, by their path; not looked for without any answer


@dataclass(frozen=True)
class Decision:
    """The decision whether one recording is of one enrolled speaker."""

    file: str  # as it was given
    seconds: float  # length of the audio
    speech_seconds: float  # length of its speech
    short: bool  # whether that is less than the gallery asks for
    verification: Verification
    audio: HeardAudio  # how the recording was read
    warnings: tuple[str, ...]  # what makes its score less reliable, or is odd about its file


@dataclass(frozen=True)
class Decisions:
    """The decisions on several recordings, and what could not be used."""

    decisions: tuple[Decision, ...]  # on the recordings that could be used, in the order given
    unusable: Mapping[str, str]  # why each other recording could not be used, by its path


@dataclass(frozen=True, eq=False)
class HeardTest:
    """The speech of a recording, or of a piece of one."""

    frames: Test  # by the fingerprint of the front end
    bandwidth: float  # up to which frequency there is sound, in Hz
    distance: float = 0.0  # from anything that the models were trained on; more than 1 is far
    condition: Condition | None = None  # of the recording; None if it was not measured


def as_test(gallery: Gallery, heard: HeardTest | GalleryExtraction | FloatArray) -> HeardTest:
    """Return what `read` returned, or frames (T, D) by a gallery's only front end, as a test."""
    if isinstance(heard, HeardTest):
        return heard
    if isinstance(heard, GalleryExtraction):
        return HeardTest(
            {name: each.frames for name, each in heard.by_front_end.items()},
            heard.audio.bandwidth,
            heard.audio.distance,
            heard.condition,
        )
    if len(gallery.front_ends) > 1:
        raise GalleryError(
            f"{gallery.folder}: frames of one front end, and this gallery has {len(gallery.front_ends)}; expected what "
            "its `read` returns"
        )
    return HeardTest(dict.fromkeys(gallery.front_ends, heard), np.inf)


def score_tests(
    gallery: Gallery,
    tests: Sequence[HeardTest | GalleryExtraction | FloatArray],
    *,
    on_scored: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score tests against all speakers of a gallery; each is what `as_test` takes.

    `on_scored` is called with the numbers of tests scored and to score. A ValueError is raised if no speaker is
    enrolled or usable, if frames have other features, or if a file that the whole gallery depends on is damaged.
    """
    models, damaged = gallery.models()
    blocks = [FusedScores(*[np.empty((len(models), 0))] * 2)]
    for start in range(0, len(tests), TESTS_AT_ONCE):
        block = [as_test(gallery, heard) for heard in tests[start : start + TESTS_AT_ONCE]]
        blocks.append(score_models(gallery, models, block))
        if on_scored is not None:
            on_scored(min(start + TESTS_AT_ONCE, len(tests)), len(tests))
    matrix = np.concatenate([block.matrix for block in blocks], axis=1)
    raw = np.concatenate([block.raw for block in blocks], axis=1)
    return Scores(tuple(models), matrix, raw, damaged)


def identify_speaker(
    gallery: Gallery, heard: GalleryExtraction | FloatArray, config: IdentificationConfig | None = None
) -> Identification:
    """Identify the enrolled speaker of a test, or answer that the speaker is unknown.

    Parameters
    ----------
    gallery : Gallery
        The enrolled speakers.
    heard : Extraction, or np.ndarray, shape (T, D), T >= 1
        The test as ``gallery.read(path)`` returns it, or its frames, if the gallery has one front end.
    config : IdentificationConfig, optional
        Prior probability of an unknown speaker, and threshold; the gallery's own when not given.

    Returns
    -------
    Identification
        The answer, and all speakers ranked by their scores. Without a calibration the posteriors have no meaning. If
        several speakers are best, as two names with the same recordings are, there is no answer.

    Raises
    ------
    GalleryError
        If the set is open and the gallery has no calibration and `config` no threshold; if no speaker is enrolled or
        usable; or if a file that the whole gallery depends on is damaged.
    ValueError
        If the frames have other features than the background model.

    Examples
    --------
    Noise of two colours stands for two voices:

    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, IdentificationConfig, TrainingConfig, create_gallery, enrol, extract
    >>> from speechgmm import identify_speaker, save_gmm, train
    >>> noise = np.hanning(32000) * np.random.default_rng(0).normal(scale=0.1, size=(4, 32000))
    >>> colours = {"ann-1.wav": 0.9, "bo-1.wav": -0.9, "ann-2.wav": 0.9, "bo-2.wav": -0.9}
    >>> for samples, (name, colour) in zip(noise, colours.items()):
    ...     soundfile.write(name, np.convolve(samples, [1, colour]), 16000)
    >>> ubm = train([extract("ann-1.wav"), extract("bo-1.wav")], TrainingConfig(n_components=2, n_iterations=2)).gmm
    >>> save_gmm("ubm.safetensors", ubm, front_end=FeatureConfig().model_dump(mode="json"))
    >>> gallery = create_gallery("identified", "ubm.safetensors")
    >>> for name in ("ann", "bo"):
    ...     speaker = enrol(gallery, name, [gallery.record(f"{name}-1.wav")])

    This gallery is not calibrated, so a threshold separates enrolled from unknown speakers:

    >>> test = gallery.read("ann-2.wav").frames
    >>> identify_speaker(gallery, test, IdentificationConfig(threshold=0.0)).answer
    'ann'
    >>> print(identify_speaker(gallery, test, IdentificationConfig(threshold=1000.0)).answer)
    None
    """
    config = gallery.config.decisions.identification if config is None else config
    check_decidable(gallery, config)
    scores = score_tests(gallery, [heard])
    return identify(scores.matrix[:, 0], scores.names, config, ranks=scores.raw[:, 0])


def identify_recordings(
    gallery: Gallery,
    files: Iterable[Path],
    config: IdentificationConfig | None = None,
    *,
    at_least: float = 0.0,
) -> Answers:
    """Identify the speakers of audio files, as ``speechgmm gallery identify`` does.

    Files that cannot be used are listed, also those with less than `at_least` seconds of speech. A gallery that cannot
    decide ranks the speakers without an answer. Errors are those of `score_tests`.
    """
    config = gallery.config.decisions.identification if config is None else config
    tests, unusable = read_each(files, partial(hear, gallery, at_least=at_least))
    if not tests:
        return Answers((), unusable, {})
    scores = score_tests(gallery, [extraction for _, extraction in tests])
    decided = is_decidable(gallery, config)
    answers = []
    for (path, extraction), column, raw in zip(tests, scores.matrix.T, scores.raw.T, strict=True):
        identified = identify(column, scores.names, config, ranks=raw)
        answers.append(
            Answer(
                file=str(path),
                seconds=extraction.seconds,
                speech_seconds=extraction.speech_seconds,
                short=gallery.config.decisions.is_short(extraction.speech_seconds),
                decided=decided,
                name=identified.answer if decided else None,
                candidates=identified.candidates,
                p_unknown=identified.p_unknown if gallery.config.calibrated else None,
                tied=identified.tied,
                audio=extraction.audio,
                warnings=extraction.warnings,
            )
        )
    return Answers(tuple(answers), unusable, scores.damaged)


def check_decidable(gallery: Gallery, config: IdentificationConfig) -> None:
    """Refuse an open set where neither a calibration nor a threshold separates enrolled from unknown speakers."""
    if not is_decidable(gallery, config):
        raise GalleryError(f"{gallery.folder}: not calibrated; expected a threshold, or a closed set (p_unknown 0)")


def is_decidable(gallery: Gallery, config: IdentificationConfig) -> bool:
    """Check whether the set is closed, there is a threshold, or the gallery is calibrated."""
    return gallery.config.calibrated or config.threshold is not None or config.p_unknown == 0


def verify_speaker(
    gallery: Gallery, name: str, heard: GalleryExtraction | FloatArray, threshold: float | None = None
) -> Verification:
    """Decide whether a test is of one enrolled speaker.

    Parameters
    ----------
    gallery : Gallery
        The gallery in which the speaker is enrolled.
    name : str
        Name of the speaker.
    heard : Extraction, or np.ndarray, shape (T, D), T >= 1
        The test as ``gallery.read(path)`` returns it, or its frames, if the gallery has one front end.
    threshold : float, optional, unit of the score
        The least score that accepts. When not given, the gallery's own or, if it has none and scores are calibrated,
        the Bayes threshold of the gallery's costs.

    Returns
    -------
    Verification
        Score, threshold and decision. Files of other speakers make no difference.

    Raises
    ------
    GalleryError
        If no speaker of that name is enrolled, or a file that the score depends on is damaged.
    ValueError
        If the frames have other features than the background model.

    Examples
    --------
    Noise of two colours stands for two voices:

    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, TrainingConfig, create_gallery, enrol, extract, save_gmm, train
    >>> from speechgmm import verify_speaker
    >>> noise = np.hanning(32000) * np.random.default_rng(0).normal(scale=0.1, size=(3, 32000))
    >>> for samples, (name, colour) in zip(noise, {"ann-1.wav": 0.9, "ann-2.wav": 0.9, "bo.wav": -0.9}.items()):
    ...     soundfile.write(name, np.convolve(samples, [1, colour]), 16000)
    >>> ubm = train([extract("ann-1.wav"), extract("bo.wav")], TrainingConfig(n_components=2, n_iterations=2)).gmm
    >>> save_gmm("ubm.safetensors", ubm, front_end=FeatureConfig().model_dump(mode="json"))
    >>> gallery = create_gallery("verified", "ubm.safetensors")
    >>> speaker = enrol(gallery, "ann", [gallery.record("ann-1.wav")])
    >>> verify_speaker(gallery, "ann", gallery.read("ann-2.wav").frames, threshold=0.0).accepted
    True
    >>> verify_speaker(gallery, "ann", gallery.read("bo.wav").frames, threshold=0.0).accepted
    False
    """
    scores = score_models(gallery, {name: gallery.models_of(name)}, [as_test(gallery, heard)])
    score = float(scores.matrix[0, 0])
    return Verification(score, verification_threshold(gallery.config) if threshold is None else threshold)


def verification_threshold(config: GalleryConfig) -> float | None:
    """Return the least score that accepts: the gallery's own, or the Bayes threshold of its costs if calibrated."""
    decisions = config.decisions
    if decisions.threshold is None and config.calibrated:
        return bayes_threshold(Costs(**decisions.costs.model_dump()))
    return decisions.threshold


def verify_recordings(
    gallery: Gallery,
    name: str,
    files: Iterable[Path],
    threshold: float | None = None,
    *,
    at_least: float = 0.0,
) -> Decisions:
    """Decide whether audio files are of one enrolled speaker, as ``speechgmm gallery verify`` does.

    Files that cannot be used are listed, also those with less than `at_least` seconds of speech. Errors are those of
    `verify_speaker`.
    """
    tests, unusable = read_each(files, partial(hear, gallery, at_least=at_least))
    decisions = [
        Decision(
            file=str(path),
            seconds=extraction.seconds,
            speech_seconds=extraction.speech_seconds,
            short=gallery.config.decisions.is_short(extraction.speech_seconds),
            verification=verify_speaker(gallery, name, extraction, threshold),
            audio=extraction.audio,
            warnings=extraction.warnings,
        )
        for path, extraction in tests
    ]
    return Decisions(tuple(decisions), unusable)


def score_models(gallery: Gallery, models: Mapping[str, ModelsOfSpeaker], tests: Sequence[HeardTest]) -> FusedScores:
    """Score tests against speakers by name, each pair by the widest recogniser whose band both fill.

    Ratios of a test that is far from anything that the models were trained on are divided by its distance.
    """
    needed = [
        [_recogniser_of(gallery, min(each.bandwidth, test.bandwidth)) for test in tests] for each in models.values()
    ]
    by_which = np.array(needed, np.intp).reshape(len(models), len(tests))
    matrix, raw = np.empty(by_which.shape), np.empty(by_which.shape)
    for number, recogniser in enumerate(gallery.recognisers):
        chosen = by_which == number
        rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
        if not len(rows):
            continue
        names = list(models)
        scores = recogniser.score(
            {names[row]: models[names[row]].by_recogniser[number] for row in rows.tolist()},
            [tests[column].frames for column in columns.tolist()],
            [tests[column].condition for column in columns.tolist()],
        )
        block = np.ix_(rows, columns)
        matrix[block] = np.where(chosen[block], scores.matrix, matrix[block])
        raw[block] = np.where(chosen[block], scores.raw, raw[block])
    if gallery.config.calibrated:
        matrix /= np.maximum(1.0, [test.distance for test in tests])
    return FusedScores(matrix, raw)


def _recogniser_of(gallery: Gallery, bandwidth: float) -> int:
    """Return the number of the widest recogniser whose band is filled; of the narrowest, if none is."""
    for number, recogniser in enumerate(gallery.recognisers):
        if bandwidth >= (1 - MISSED_SHARE) * recogniser.top_frequency:
            return number
    return len(gallery.recognisers) - 1

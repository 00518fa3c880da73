"""Creation of a gallery of one system, and enrolment of speakers: one writer at a time, and every file whole or absent.

Features are extracted before the lock is taken, so that a writer holds it for milliseconds. It is a lock of the
operating system, which ends with the process that holds it.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from filelock import FileLock, Timeout

from speechgmm.errors import AudioError, GalleryError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import WRITING, sync_folder
from speechgmm.gallery.building import RecogniserSource, build_gallery, check_new, system_source
from speechgmm.gallery.config import DecisionConfig, RecogniserFacts
from speechgmm.gallery.gallery import Gallery, hear, read_each, record_heard, unknown_speaker_error
from speechgmm.gallery.layout import speaker_file, speakers_folder
from speechgmm.gallery.speakers import EnrolledSpeaker, Recording, safe_name, save_speaker
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import check_front_end
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig

LOCK_FILE = ".lock"

PATIENCE = 60.0
"""Seconds that a writer waits for others."""

SHORTEST_DIGEST = 8
"""Least number of digits of a recording's digest that identify it."""


def create_gallery(
    folder: str | Path,
    ubm: str | Path,
    *,
    front_end: FeatureConfig | None = None,
    channel: Literal["mean", "loudest"] | None = "mean",
    adaptation: AdaptationConfig | None = None,
    speakers: ISVConfig | JFAConfig | None = None,
    vectors: IVectorConfig | SupervectorConfig | None = None,
    factors: str | Path | None = None,
    backend: str | Path | None = None,
    scoring: ScoringConfig | None = None,
    decisions: DecisionConfig | None = None,
    cohort: str | Path | None = None,
    normalisation: ScoreNormalisationConfig | None = None,
    calibration: str | Path | None = None,
    synthetic: bool = False,
) -> Gallery:
    """Create a gallery without speakers.

    Parameters
    ----------
    folder : str or Path
        A new or an empty folder. It is filled under a temporary name and renamed, so that it is whole or absent.
    ubm : str or Path
        The file of the background model, which holds the front end; see `save_gmm`.
    front_end : FeatureConfig, optional
        The front end that the model is expected to have; a model of another one is refused.
    channel : "mean", "loudest" or None
        What is taken of a recording of several channels: their mean, or the one of the greatest mean power. With None,
        such recordings are refused.
    adaptation : AdaptationConfig, optional
        How models are adapted from the background model; the default when none of this and the next two is given.
    speakers : ISVConfig or JFAConfig, optional
        What models are made by instead: factors of sessions and speakers, as `factors` was trained.
    vectors : IVectorConfig or SupervectorConfig, optional
        What recordings become instead: vectors, which `backend` compares.
    factors : str or Path, optional
        The file of the factors that `speakers` or i-vectors need; see `save_joint_factors` and
        `save_total_variability`. They are trained with this background model.
    backend : str or Path, optional
        The file of the back end that vectors need; see `speechgmm.subspace.backend.storage.save_backend`.
    scoring, decisions : ScoringConfig, DecisionConfig, optional
        How to score and decide; the defaults when not given. A back end needs no `scoring`.
    cohort : str or Path, optional
        The file of a cohort that normalises scores; see `speechgmm.gallery.cohort.save_cohort`.
    normalisation : ScoreNormalisationConfig, optional
        How scores are normalised; given exactly if there is a cohort.
    calibration : str or Path, optional
        The file of a calibration of these scores; see `speechgmm.gallery.config.read_calibration`.
    synthetic : bool
        Whether the background is of synthetic talkers; answers then say that they mean nothing for real voices.

    Returns
    -------
    Gallery
        The gallery, without speakers.

    Raises
    ------
    GalleryError
        If the folder is not empty; if the calibration, the cohort, the factors or the back end do not fit, are missing,
        or are not used; or if speakers are to be adapted in several iterations, for which a gallery would need their
        frames.
    ModelError
        If a model's file is missing, damaged or of another kind, was made with another front end, or does not hold
        one; or if the back end does not take these vectors.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import FeatureConfig, TrainingConfig, create_gallery, extract, save_gmm, train
    >>> recordings = np.hanning(32000) * np.random.default_rng(0).normal(scale=0.1, size=(3, 32000))  # or audio files
    >>> ubm = train([extract(samples) for samples in recordings], TrainingConfig(n_components=2, n_iterations=2)).gmm
    >>> save_gmm("ubm.safetensors", ubm, front_end=FeatureConfig().model_dump(mode="json"))
    >>> gallery = create_gallery("created", "ubm.safetensors")
    >>> gallery.names
    ()
    >>> sorted(path.name for path in gallery.folder.iterdir())
    ['gallery.json', 'speakers', 'ubm.safetensors']
    """
    folder, ubm = Path(folder), Path(ubm)
    check_new(folder)
    if front_end is not None:
        check_front_end(ubm, front_end.model_dump(mode="json"))
    system = system_source(
        ubm,
        adaptation=adaptation,
        speakers=speakers,
        vectors=vectors,
        factors=factors,
        backend=backend,
        scoring=scoring,
        cohort=cohort,
        normalisation=normalisation,
    )
    facts = RecogniserFacts(synthetic=synthetic)
    source = RecogniserSource({"": system}, None if calibration is None else Path(calibration), facts)
    return build_gallery(folder, {"": source}, channel=channel, decisions=decisions)


def enrol(gallery: Gallery, name: str, recordings: Sequence[Recording]) -> EnrolledSpeaker:
    """Enrol a new speaker.

    Parameters
    ----------
    gallery : Gallery
        The gallery; its folder is written.
    name : str
        Name of the speaker, which becomes a file name; see `speechgmm.gallery.speakers.safe_name`.
    recordings : sequence of Recording, at least one
        Different recordings of the speaker, from ``gallery.record(path)``.

    Returns
    -------
    EnrolledSpeaker
        The speaker as stored.

    Raises
    ------
    GalleryError
        If the name is no safe file name, or is taken in this or another case; if there are no recordings, or one twice;
        or if other writers lock the gallery for longer than a minute.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, TrainingConfig, create_gallery, enrol, extract, save_gmm, train
    >>> noise = np.hanning(32000) * np.random.default_rng(0).normal(scale=0.1, size=(2, 32000))
    >>> for name, samples in zip(("first.wav", "second.wav"), noise):
    ...     soundfile.write(name, samples, 16000)
    >>> ubm = train([extract("first.wav")], TrainingConfig(n_components=2, n_iterations=2)).gmm
    >>> save_gmm("ubm.safetensors", ubm, front_end=FeatureConfig().model_dump(mode="json"))
    >>> gallery = create_gallery("enrolled", "ubm.safetensors")
    >>> speaker = enrol(gallery, "Ann", [gallery.record("first.wav"), gallery.record("second.wav")])
    >>> speaker.name, len(speaker.recordings)
    ('Ann', 2)
    >>> gallery.names
    ('Ann',)
    """
    name = safe_name(name)
    with _only_writer(gallery):
        check_free(gallery, name)
        return _write(gallery, name, recordings)


def check_free(gallery: Gallery, name: str) -> None:
    """Refuse a name that an enrolled speaker has, in this or another case; `safe_name` has returned it."""
    for taken in gallery.names:
        if taken == name:
            raise GalleryError(f"{gallery.folder}: {name} is already enrolled; extend adds recordings, forget removes")
        if taken.casefold() == name.casefold():
            raise GalleryError(
                f"{gallery.folder}: {name} and {taken}, who is enrolled, would be one file on some systems"
            )


def record_each(
    gallery: Gallery,
    files: Iterable[Path],
    enrolled: Collection[Recording] = (),
    *,
    record: Callable[[Path], Recording] | None = None,
) -> tuple[list[Recording], dict[str, str]]:
    """Compute the statistics of audio files, and collect why unusable ones cannot be used, by their path.

    A recording that is among `enrolled`, or twice in `files`, cannot be used again. `record` computes the statistics of
    a file, usually of all of it.
    """
    names: dict[Hashable, str] = {}

    def add(recording: Recording) -> None:
        """Note a recording, by its file and by what is in it."""
        names[recording.digest] = names[recording.content] = recording.file

    def record_new(path: Path) -> Recording:
        """Compute the statistics of a new recording."""
        recording = record_heard(gallery, path, hear(gallery, path, enrolled=True)) if record is None else record(path)
        same = names.get(recording.digest) or names.get(recording.content)
        if same:
            raise AudioError(f"{path}: the same recording as {same}, which is there already")
        add(recording)
        return recording

    for each in enrolled:
        add(each)
    recorded, unusable = read_each(files, record_new)
    return [recording for _, recording in recorded], unusable


def extend(gallery: Gallery, name: str, recordings: Sequence[Recording]) -> EnrolledSpeaker:
    """Add recordings, from the gallery's `record`, to an enrolled speaker.

    A speaker who is not enrolled, or has one of the recordings, raises a GalleryError, as do the reasons of `enrol`.
    """
    with _only_writer(gallery):
        speaker = gallery.speaker(name)
        return _write(gallery, speaker.name, [*speaker.recordings, *recordings])


def forget(gallery: Gallery, name: str) -> None:
    """Remove a speaker, even if the speaker's file is damaged."""
    name = normalize("NFC", name)
    with _only_writer(gallery):
        if name not in gallery.names:
            raise unknown_speaker_error(gallery, name)
        speaker_file(gallery.folder, name).unlink()
        sync_folder(speakers_folder(gallery.folder))


def forget_recording(gallery: Gallery, name: str, which: str) -> EnrolledSpeaker:
    """Remove one recording of a speaker, which leaves the same bytes as if it had never been enrolled.

    `which` is the name of the recording's file, or at least the first `SHORTEST_DIGEST` digits of its digest. If it is
    not exactly one recording, or the speaker's only one, a GalleryError is raised.
    """
    with _only_writer(gallery):
        speaker = gallery.speaker(name)
        meant = [recording for recording in speaker.recordings if _is_meant(recording, which)]
        if len(meant) != 1:
            n = len(meant) or "no"
            raise GalleryError(f"{speaker.name} has {n} recordings {which}; expected the file's name or digest of one")
        left = [recording for recording in speaker.recordings if recording is not meant[0]]
        if not left:
            raise GalleryError(f"{which} is the only recording of {speaker.name}; forget the speaker")
        return _write(gallery, speaker.name, left)


def _is_meant(recording: Recording, which: str) -> bool:
    """Check whether a name or a digest is that of a recording."""
    by_digest = len(which) >= SHORTEST_DIGEST and recording.digest.startswith(which)
    return by_digest or recording.file in (which, Path(which).name)


def _write(gallery: Gallery, name: str, recordings: Sequence[Recording]) -> EnrolledSpeaker:
    """Write a speaker's file while the lock is held."""
    if not recordings:
        raise GalleryError(f"{name}: no recordings; expected at least one")
    seen: dict[str, str] = {}
    for recording in recordings:
        if recording.digest in seen:
            raise GalleryError(f"{name}: {recording.file} is the same recording as {seen[recording.digest]}")
        seen[recording.digest] = recording.file
    speaker = EnrolledSpeaker(name, tuple(recordings))
    save_speaker(speaker_file(gallery.folder, name), speaker, gallery.config.background)
    return speaker


@contextmanager
def _only_writer(gallery: Gallery) -> Iterator[None]:
    """Lock the gallery for one writer, and remove the temporary files of a writer that was killed."""
    lock = FileLock(gallery.folder / LOCK_FILE)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise GalleryError(f"{gallery.folder}: others have been writing to it for {PATIENCE:g} s; try again") from error
    try:
        for temporary in speakers_folder(gallery.folder).glob(f"{WRITING}*"):
            temporary.unlink()
        yield
    finally:
        lock.release()

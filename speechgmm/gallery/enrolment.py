"""Making a gallery and changing who is enrolled: one writer at a time, and every file whole or not there.

Features are extracted before the lock is taken, so that a writer holds it for milliseconds. It is a lock of the
operating system, which ends with the process that holds it.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal
from unicodedata import normalize

from filelock import FileLock, Timeout

from speechgmm.configuration import fingerprint
from speechgmm.errors import GalleryError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import UMASK, file_digest, sync_folder, write_durably
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.config import (
    NO_ITERATIONS,
    DecisionConfig,
    GalleryConfig,
    front_end_of,
    model_front_end,
    read_calibration,
)
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.layout import CALIBRATION_FILE, COHORT_FILE, CONFIG_FILE, UBM_FILE
from speechgmm.gallery.speakers import EnrolledSpeaker, Recording, safe_name, save_speaker
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import check_front_end, load_gmm
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig

LOCK_FILE = ".lock"

PATIENCE = 60.0
"""Seconds that a writer waits for others."""

SHORTEST_DIGEST = 8
"""Digits of a recording's digest that may stand for it."""


def create_gallery(
    folder: str | Path,
    ubm: str | Path,
    *,
    front_end: FeatureConfig | None = None,
    channel: Literal["mean"] | None = None,
    adaptation: AdaptationConfig | None = None,
    scoring: ScoringConfig | None = None,
    decisions: DecisionConfig | None = None,
    cohort: str | Path | None = None,
    normalisation: ScoreNormalisationConfig | None = None,
    calibration: str | Path | None = None,
) -> Gallery:
    """Make a gallery in which nobody is enrolled.

    Parameters
    ----------
    folder : str or Path
        A new or an empty folder. It is filled beside its place and renamed.
    ubm : str or Path
        File of the background model, which says its front end.
    front_end : FeatureConfig, optional
        The front end that is expected; a model of another one is refused.
    channel : "mean", optional
        The mean of a recording's channels is read; when not given, one of several channels is not read.
    adaptation, scoring, decisions : sections, optional
        How to adapt, score and decide; the defaults when not given.
    cohort : str or Path, optional
        File of a cohort; see `speechgmm.gallery.cohort.save_cohort`.
    normalisation : ScoreNormalisationConfig, optional
        How scores are normalised by the cohort, which both are there or neither.
    calibration : str or Path, optional
        File of a calibration of these scores; see `speechgmm.gallery.config.read_calibration`.

    Returns
    -------
    Gallery
        The gallery.

    Raises
    ------
    ValueError
        If the folder holds something, a file is damaged, the model has another front end or does not say which, or
        speakers are to be adapted in several iterations, which takes their frames.
    OSError
        If it cannot be written.
    """
    folder, ubm = Path(folder), Path(ubm)
    adaptation = adaptation or AdaptationConfig()
    if adaptation.n_iterations > 1:
        raise GalleryError(f"adaptation n_iterations {adaptation.n_iterations}: {NO_ITERATIONS}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GalleryError(f"{folder}: there already; expected a new or an empty folder")
    trained_on = model_front_end(ubm)
    front_end_of(ubm, trained_on)
    if front_end is not None:
        check_front_end(ubm, front_end.model_dump(mode="json"))
    load_gmm(ubm)
    files = {UBM_FILE: ubm}
    if (cohort is None) != (normalisation is None or normalisation.method == "none"):
        raise GalleryError(
            "normalisation without a cohort, or a cohort without normalisation; expected both or neither"
        )
    if cohort is not None:
        check_front_end(cohort, trained_on)
        load_cohort(cohort)
        files[COHORT_FILE] = Path(cohort)
    if calibration is not None:
        read_calibration(Path(calibration))
        files[CALIBRATION_FILE] = Path(calibration)
    config = GalleryConfig(
        front_end=trained_on,
        fingerprint=fingerprint(trained_on),
        channel=channel,
        adaptation=adaptation,
        scoring=scoring or ScoringConfig(),
        normalisation=normalisation or ScoreNormalisationConfig(),
        decisions=decisions or DecisionConfig(),
        digests={name: file_digest(path) for name, path in files.items()},
    )
    _build(folder, config, files)
    return Gallery(folder)


def enrol(gallery: Gallery, name: str, recordings: Sequence[Recording]) -> EnrolledSpeaker:
    """Add a speaker.

    Parameters
    ----------
    gallery : Gallery
        Where to.
    name : str
        A safe file name; see `speechgmm.gallery.speakers.safe_name`.
    recordings : sequence of Recording, at least one
        From the gallery's `record`, each once.

    Returns
    -------
    EnrolledSpeaker
        What is there now.

    Raises
    ------
    GalleryError
        If the name is not safe, or taken in this or another case; if there are no recordings, or one twice; or if
        another writer keeps the gallery locked.
    OSError
        If the file cannot be written.
    """
    name = safe_name(name)
    with _only_writer(gallery):
        check_free(gallery, name)
        return _write(gallery, name, recordings)


def check_free(gallery: Gallery, name: str) -> None:
    """Refuse a name that is taken.

    Parameters
    ----------
    gallery : Gallery
        Any.
    name : str
        As `safe_name` gives it.

    Raises
    ------
    GalleryError
        If somebody has it, or has one that differs in case only.
    """
    for taken in gallery.names:
        if taken == name:
            raise GalleryError(f"{gallery.folder}: {name} is already enrolled; extend adds recordings, forget removes")
        if taken.casefold() == name.casefold():
            raise GalleryError(
                f"{gallery.folder}: {name} and {taken}, who is enrolled, would be one file on some systems"
            )


def extend(gallery: Gallery, name: str, recordings: Sequence[Recording]) -> EnrolledSpeaker:
    """Add recordings to a speaker.

    Parameters
    ----------
    gallery : Gallery
        Where the speaker is enrolled.
    name : str
        Of the speaker.
    recordings : sequence of Recording, at least one
        From the gallery's `record`; none that the speaker has.

    Returns
    -------
    EnrolledSpeaker
        What is there now.

    Raises
    ------
    GalleryError
        If nobody of that name is enrolled, the file is damaged, the speaker has a recording already, or as for `enrol`.
    OSError
        If the file cannot be written.
    """
    with _only_writer(gallery):
        speaker = gallery.speaker(name)
        return _write(gallery, speaker.name, [*speaker.recordings, *recordings])


def forget(gallery: Gallery, name: str) -> None:
    """Remove a speaker; one whose file is damaged can be removed too.

    Parameters
    ----------
    gallery : Gallery
        Where the speaker is enrolled.
    name : str
        Of the speaker.

    Raises
    ------
    GalleryError
        If nobody of that name is enrolled, or another writer keeps the gallery locked.
    OSError
        If the file cannot be removed.
    """
    name = normalize("NFC", name)
    with _only_writer(gallery):
        if name not in gallery.names:
            raise gallery.nobody(name)
        gallery.path(name).unlink()
        sync_folder(gallery.speakers_folder)


def forget_recording(gallery: Gallery, name: str, which: str) -> EnrolledSpeaker:
    """Remove one recording of a speaker.

    Parameters
    ----------
    gallery : Gallery
        Where the speaker is enrolled.
    name : str
        Of the speaker.
    which : str
        Name of the recording's file, or at least `SHORTEST_DIGEST` first digits of its digest.

    Returns
    -------
    EnrolledSpeaker
        What is left: the same bytes as if it had never been there.

    Raises
    ------
    GalleryError
        If not exactly one recording is meant, or it is the speaker's only one; or as for `extend`.
    OSError
        If the file cannot be written.
    """
    with _only_writer(gallery):
        speaker = gallery.speaker(name)
        meant = [each for each in speaker.recordings if _is_meant(each, which)]
        if len(meant) != 1:
            n = len(meant) or "no"
            raise GalleryError(f"{speaker.name} has {n} recordings {which}; expected the file's name or digest of one")
        left = [each for each in speaker.recordings if each is not meant[0]]
        if not left:
            raise GalleryError(f"{which} is the only recording of {speaker.name}; forget the speaker")
        return _write(gallery, speaker.name, left)


def _is_meant(recording: Recording, which: str) -> bool:
    """Tell whether a recording goes by a name or a digest."""
    return recording.file == which or (len(which) >= SHORTEST_DIGEST and recording.digest.startswith(which))


def _write(gallery: Gallery, name: str, recordings: Sequence[Recording]) -> EnrolledSpeaker:
    """Write a speaker's file, with the lock held."""
    if not recordings:
        raise GalleryError(f"{name}: no recordings; expected at least one")
    seen: dict[str, str] = {}
    for each in recordings:
        if each.digest in seen:
            raise GalleryError(f"{name}: {each.file} is the same recording as {seen[each.digest]}")
        seen[each.digest] = each.file
    speaker = EnrolledSpeaker(name, tuple(recordings))
    save_speaker(gallery.path(name), speaker, gallery.background)
    return speaker


@contextmanager
def _only_writer(gallery: Gallery) -> Iterator[None]:
    """Be the only writer, and remove what one that was killed has left."""
    lock = FileLock(gallery.folder / LOCK_FILE)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise GalleryError(f"{gallery.folder}: others have been writing to it for {PATIENCE:g} s; try again") from error
    try:
        for left in gallery.speakers_folder.glob(".writing-*"):
            left.unlink()
        yield
    finally:
        lock.release()


def _build(folder: Path, config: GalleryConfig, files: Mapping[str, Path]) -> None:
    """Fill a folder beside its place, and rename it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            (made / "speakers").mkdir()
            for name, path in files.items():
                write_durably(made / name, path.read_bytes())
            unset = {"channel"} if config.channel is None else None  # an earlier speechgmm does not know it
            write_durably(made / CONFIG_FILE, config.model_dump_json(indent=2, exclude=unset).encode() + b"\n")
            made.chmod(0o777 & ~UMASK)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        sync_folder(folder.parent)
    except OSError as error:
        error.filename = str(folder)  # nobody knows the one beside
        raise

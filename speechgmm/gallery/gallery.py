"""A gallery: a folder of enrolled speakers, with all that is needed to score a recording against them.

``gallery.json`` holds the settings, ``ubm.safetensors`` the background model, and ``speakers/NAME.safetensors`` the
statistics of each recording of a speaker. The speaker's model is made of these alone, so that recordings and speakers
are added and removed without training. Models by factors or of vectors also need ``subspace.safetensors`` and
``backend.safetensors``. If the files are there, scores are normalised by ``cohort.safetensors`` and mapped to
log-likelihood ratios by ``calibration.json``. A gallery of several systems has a folder for each system's files; one
of several recognisers, a folder for each recogniser.

A file is written beside its place and renamed into it, by one writer at a time: however a writer ends, a speaker's
file is whole or absent. Readers need no lock. A damaged file is listed with the reason, and the other speakers still
work.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from unicodedata import normalize

from speechgmm.errors import AudioError, AudioWarning, GalleryError
from speechgmm.features.extract import Extraction, FeatureConfig
from speechgmm.gallery.audio import GalleryExtraction, audio_digest, extract_recording
from speechgmm.gallery.config_file import read_config
from speechgmm.gallery.layout import CONFIG_FILE, SUFFIX, speaker_file, speakers_folder
from speechgmm.gallery.recogniser import ModelFolder, Recogniser, SpeakerModels, StoredSystem
from speechgmm.gallery.speakers import EnrolledSpeaker, Recording, load_speaker
from speechgmm.gallery.systems import GalleryModel
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats

Result = TypeVar("Result")


@dataclass(frozen=True)
class Roster:
    """The enrolled speakers."""

    speakers: tuple[EnrolledSpeaker, ...]  # in the order of their names
    damaged: Mapping[str, str]  # why each speaker's file that cannot be used is unusable, by its path


class Gallery:
    """A gallery on disk: it reads speakers and recordings, and makes the speakers' models.

    What other processes enrol or forget is seen by the next call. `create_gallery` and `enrol` write.

    Parameters
    ----------
    folder : str or Path
        The gallery's folder.

    Attributes
    ----------
    folder : Path
        The folder.
    config : GalleryConfig
        The content of ``gallery.json``.

    Raises
    ------
    GalleryError
        If the folder is not a gallery, or its ``gallery.json`` is damaged or in a newer format.

    Examples
    --------
    A gallery of one speaker; noise stands for the recordings:

    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, Gallery, TrainingConfig, create_gallery, enrol, extract, save_gmm, train
    >>> noise = np.hanning(32000) * np.random.default_rng(0).normal(scale=0.1, size=(2, 32000))
    >>> for name, samples in zip(("first.wav", "second.wav"), noise):
    ...     soundfile.write(name, samples, 16000)
    >>> ubm = train([extract("first.wav")], TrainingConfig(n_components=2, n_iterations=2)).gmm
    >>> save_gmm("ubm.safetensors", ubm, front_end=FeatureConfig().model_dump(mode="json"))
    >>> gallery = create_gallery("readers", "ubm.safetensors")
    >>> speaker = enrol(gallery, "Ann", [gallery.record("first.wav")])

    Later, or in another process:

    >>> gallery = Gallery("readers")
    >>> gallery.names
    ('Ann',)
    >>> [recording.file for recording in gallery.speaker("Ann").recordings]
    ['first.wav']
    >>> test = gallery.read("second.wav")
    >>> test.seconds, test.frames.shape[1]
    (2.0, 72)
    >>> gallery.model("Ann").n_components
    2
    >>> gallery.config.score_unit
    'nats per frame, not calibrated'
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config = read_config(self.folder / CONFIG_FILE)
        self._models: dict[str, tuple[tuple[int, ...], ModelsOfSpeaker]] = {}

    @cached_property
    def recognisers(self) -> tuple[Recogniser, ...]:
        """What recordings are compared by, the one of the widest band first."""
        folder = ModelFolder(self.folder, self.folder / CONFIG_FILE)
        return tuple(Recogniser(folder.sub(name), each) for name, each in self.config.recognisers.items())

    @cached_property
    def front_ends(self) -> dict[str, FeatureConfig]:
        """The front ends of all systems, by their fingerprints; the first is that of the first system."""
        return {name: each for recogniser in self.recognisers for name, each in recogniser.front_ends.items()}

    @property
    def front_end(self) -> FeatureConfig:
        """The front end of the first system."""
        return self._first.front_end

    @property
    def ubm(self) -> DiagonalGMM:
        """The background model of the first system."""
        return self._first.ubm

    @property
    def _first(self) -> StoredSystem:
        """The first system."""
        return self.recognisers[0].systems[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all speakers in order, including those whose files are damaged."""
        folder = speakers_folder(self.folder)
        paths = folder.iterdir() if folder.is_dir() else ()  # a folder that may not be read is not an empty one
        names = [path.stem for path in paths if path.suffix == SUFFIX and not path.name.startswith(".")]
        return tuple(sorted(normalize("NFC", name) for name in names))

    def roster(self) -> Roster:
        """Read all enrolled speakers.

        Returns
        -------
        Roster
            The speakers in the order of their names, and why each damaged speaker's file is unusable, by its path.

        Raises
        ------
        OSError
            If the folder of the speakers cannot be read.
        """
        speakers, damaged = read_all(self, self.names, self._speaker)
        return Roster(tuple(speakers.values()), damaged)

    def speaker(self, name: str) -> EnrolledSpeaker:
        """Read one enrolled speaker.

        Parameters
        ----------
        name : str
            Name of the speaker.

        Returns
        -------
        EnrolledSpeaker
            The speaker's recordings, each with its statistics.

        Raises
        ------
        GalleryError
            If no speaker of that name is enrolled, or the speaker's file is damaged.
        """
        return self._read_one(name, self._speaker)

    def models(self) -> tuple[dict[str, "ModelsOfSpeaker"], Mapping[str, str]]:
        """Make the models of all speakers; each stays in memory until the speaker's file changes.

        Returns
        -------
        models : dict of str to ModelsOfSpeaker
            The models of each speaker by name, in the order of the names.
        damaged : dict of str to str
            Why each damaged speaker's file is unusable, by its path.

        Raises
        ------
        GalleryError
            If no speaker is enrolled, no speaker's file can be used, or a file that the models depend on is damaged.
        OSError
            If the folder of the speakers cannot be read.
        """
        self._load()
        models, damaged = read_all(self, self.names, self._models_of)
        if damaged and not models:
            raise GalleryError(f"no speaker can be used; {'; '.join(map(': '.join, damaged.items()))}")
        if not models:
            raise GalleryError(f"{self.folder}: no speaker is enrolled in this gallery")
        return models, damaged

    def models_of(self, name: str) -> "ModelsOfSpeaker":
        """Make the models of one speaker by all systems; they stay in memory until the speaker's file changes.

        Parameters
        ----------
        name : str
            Name of the speaker.

        Returns
        -------
        ModelsOfSpeaker
            The models, by recogniser and system.

        Raises
        ------
        GalleryError
            If no speaker of that name is enrolled, or a file that the models depend on is damaged.
        """
        self._load()
        return self._read_one(name, self._models_of)

    def model(self, name: str) -> GalleryModel:
        """Make the model of one speaker in the first system; it stays in memory until the speaker's file changes.

        Parameters
        ----------
        name : str
            Name of the speaker.

        Returns
        -------
        DiagonalGMM or EnrolledVectors
            The background model, adapted to all recordings of the speaker; in a gallery of ISV or JFA, with its means
            shifted by the speaker's factors. In a gallery of i-vectors or supervectors, what its back end has made of
            the speaker's vectors.

        Raises
        ------
        GalleryError
            If no speaker of that name is enrolled, or a file that the model depends on is damaged.
        """
        return self.models_of(name).by_recogniser[0][0]

    def read(self, path: str | Path) -> GalleryExtraction:
        """Extract the features of a recording with the gallery's front end.

        Audio of another rate is resampled, and of several channels the mean is taken, unless ``gallery.json`` says
        otherwise (``resample``, ``channel``).

        Parameters
        ----------
        path : str or Path
            An audio file.

        Returns
        -------
        Extraction
            The frames of speech (T, D), float32, and the lengths of the audio and of its speech in seconds. Its
            ``warnings`` are those below.

        Raises
        ------
        AudioError
            If the recording cannot be used, for example because there is no speech in it.

        Warns
        -----
        AudioWarning
            If the recording lacks frequencies that the features use, as speech from a telephone does in a gallery of
            16 kHz, which makes its scores unreliable; or if something about its file is odd, as for `read_audio`.
        """
        extraction = hear(self, Path(path))
        _warn(path, extraction.warnings)
        return extraction

    def record(self, path: str | Path) -> Recording:
        """Compute the statistics of a recording, which `enrol` stores.

        Parameters
        ----------
        path : str or Path
            An audio file.

        Returns
        -------
        Recording
            Statistics of its speech under the background model, the name of the file, its digest and its lengths in
            seconds.

        Raises
        ------
        AudioError
            If the recording cannot be used, as for `read`.

        Warns
        -----
        AudioWarning
            As `read` does.
        """
        extraction = hear(self, Path(path), enrolled=True)
        _warn(path, extraction.warnings)
        return record_heard(self, Path(path), extraction)

    def _load(self) -> None:
        """Read what all models depend on, so that its damage is not taken for that of the speakers' files."""
        for recogniser in self.recognisers:
            recogniser.load()

    def _read_one(self, name: str, read: Callable[[str], Result]) -> Result:
        """Read one speaker, or refuse a name that is not enrolled."""
        name = normalize("NFC", name)
        if name in self.names:
            with suppress(FileNotFoundError):  # forgotten meanwhile
                return read(name)
        raise unknown_speaker_error(self, name)

    def _speaker(self, name: str) -> EnrolledSpeaker:
        """Read a speaker's file."""
        return load_speaker(speaker_file(self.folder, name), self.config.background)

    def _models_of(self, name: str) -> "ModelsOfSpeaker":
        """Return a speaker's models from memory, or make them if the speaker's file has changed."""
        status = speaker_file(self.folder, name).stat()
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._models.get(name)
        if known is not None and known[0] == signature:
            return known[1]
        recordings = self._speaker(name).recordings
        models, start = [], 0
        for recogniser in self.recognisers:
            stop = start + len(recogniser.backgrounds)
            rows = [row[start:stop] for recording in recordings for row in (recording.statistics, *recording.copies)]
            models.append(recogniser.model(rows))
            start = stop
        bandwidth = min(recording.bandwidth for recording in recordings)
        made = ModelsOfSpeaker(tuple(models), bandwidth)
        self._models[name] = signature, made
        return made


@dataclass(frozen=True, eq=False)
class ModelsOfSpeaker:
    """The models of one speaker by all systems."""

    by_recogniser: tuple[SpeakerModels, ...]
    bandwidth: float  # up to which frequency there is sound in all of the speaker's recordings, in Hz


def _warn(path: str | Path, remarks: Iterable[str]) -> None:
    """Warn of what is odd about a recording, where a method of the gallery is called."""
    for remark in remarks:
        warnings.warn(f"{path}: {remark}", AudioWarning, stacklevel=3)


def hear(gallery: Gallery, path: Path, *, at_least: float = 0.0, enrolled: bool = False) -> GalleryExtraction:
    """Extract features as the gallery's `read` does, for a caller that shows the warnings in the result itself.

    A recording with less than `at_least` seconds of speech raises an AudioError. One that is to be `enrolled` gets its
    augmented copies.
    """
    extraction = extract_recording(path, gallery.config, gallery.front_ends, enrolled=enrolled)
    if extraction.speech_seconds < at_least:
        raise AudioError(f"{path}: {extraction.speech_seconds:.1f} s of speech; expected at least {at_least:g} s")
    return extraction


def record_heard(gallery: Gallery, path: Path, extraction: GalleryExtraction) -> Recording:
    """Compute the statistics of a recording that `hear` has read, `enrolled`, and of its augmented copies."""
    return Recording(
        file=path.name,
        digest=audio_digest(path),
        seconds=extraction.seconds,
        speech_seconds=extraction.speech_seconds,
        statistics=_statistics(gallery, extraction.by_front_end),
        copies=tuple(_statistics(gallery, copy) for copy in extraction.copies),
        bandwidth=extraction.audio.bandwidth,
        audio=extraction.audio,
    )


def _statistics(gallery: Gallery, by_front_end: Mapping[str, Extraction]) -> tuple[SufficientStats, ...]:
    """Accumulate the statistics of a recording under all background models of a gallery."""
    frames = {name: each.frames for name, each in by_front_end.items()}
    return tuple(each for recogniser in gallery.recognisers for each in recogniser.statistics(frames))


def read_all(
    gallery: Gallery, names: Iterable[str], read: Callable[[str], Result]
) -> tuple[dict[str, Result], dict[str, str]]:
    """Read speakers by name, and collect why damaged files are unusable, by their path."""
    results, damaged = {}, {}
    for name in names:
        path = speaker_file(gallery.folder, name)
        try:
            results[name] = read(name)
        except FileNotFoundError:
            continue  # forgotten meanwhile
        except GalleryError as error:
            damaged[str(path)] = str(error).removeprefix(f"{path}: ")
    return results, damaged


def unknown_speaker_error(gallery: Gallery, name: str) -> GalleryError:
    """Build the error of a name that is not enrolled, with the nearest name that is."""
    close = get_close_matches(name, gallery.names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return GalleryError(f"{gallery.folder}: no speaker is enrolled as {name}{hint}")


def read_each(
    paths: Iterable[Path], read: Callable[[Path], Result]
) -> tuple[list[tuple[Path, Result]], dict[str, str]]:
    """Read recordings one by one, and collect why unusable ones cannot be used, by their path."""
    results, unusable = [], {}
    for path in paths:
        try:
            results.append((path, read(path)))
        except AudioError as error:
            unusable[str(path)] = str(error).removeprefix(f"{path}: ")
    return results, unusable

"""A gallery: a folder of enrolled speakers, with all that it takes to score a recording against them.

``gallery.json`` says how, ``ubm.safetensors`` is the background model, and ``speakers/NAME.safetensors`` holds the
statistics of each recording of a speaker. The speaker's model is adapted from their sum, so that recordings and
speakers come and go without training. Where they are there, scores are normalised by ``cohort.safetensors`` and mapped
to log-likelihood ratios by ``calibration.json``.

A file is written beside its place and renamed into it, by one writer at a time: whatever ends a writer, a speaker is
there in whole or not at all. Readers need no lock. A file that is damaged is named, and the other speakers still work.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from unicodedata import normalize
from weakref import WeakKeyDictionary

from speechgmm.arrays import Float64Array
from speechgmm.audio.reading import read_audio
from speechgmm.configuration import fingerprint
from speechgmm.errors import AudioError, ChannelError, GalleryError
from speechgmm.features.extract import Extraction, FeatureConfig, analyse
from speechgmm.files import file_digest
from speechgmm.gallery.cohort import Cohort, adapt_cohort, load_cohort
from speechgmm.gallery.config import front_end_of, read_calibration, read_config
from speechgmm.gallery.layout import CALIBRATION_FILE, COHORT_FILE, CONFIG_FILE, SUFFIX, UBM_FILE
from speechgmm.gallery.speakers import (
    EnrolledSpeaker,
    Recording,
    load_speaker,
)
from speechgmm.gmm.adaptation import map_adapt
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import accumulate
from speechgmm.gmm.storage import load_gmm
from speechgmm.scoring.calibration import Calibration
from speechgmm.scoring.llr import score_matrix


@dataclass(frozen=True)
class Roster:
    """Who is enrolled.

    Parameters
    ----------
    speakers : tuple of EnrolledSpeaker
        In the order of their names.
    damaged : dict of str to str
        What is wrong with each speaker's file that cannot be used, by its path.
    """

    speakers: tuple[EnrolledSpeaker, ...]
    damaged: Mapping[str, str]


class Gallery:
    """A gallery on disk. What others enrol or forget meanwhile is seen by the next call.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    GalleryError
        If it is no gallery, or its ``gallery.json`` is damaged or in a newer format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config = read_config(self.folder / CONFIG_FILE)
        self._models: dict[str, tuple[tuple[int, ...], DiagonalGMM]] = {}
        self._against_cohort: WeakKeyDictionary[DiagonalGMM, Float64Array] = WeakKeyDictionary()

    @cached_property
    def front_end(self) -> FeatureConfig:
        """The front end of the background model."""
        return front_end_of(self.folder / CONFIG_FILE, self.config.front_end)

    @cached_property
    def ubm(self) -> DiagonalGMM:
        """The background model."""
        return load_gmm(self._intact(UBM_FILE))

    @cached_property
    def calibration(self) -> Calibration | None:
        """What maps scores to log-likelihood ratios, if there is anything."""
        return read_calibration(self._intact(CALIBRATION_FILE)) if self.calibrated else None

    @cached_property
    def cohort(self) -> Cohort | None:
        """The utterances that scores are normalised by, if there are any."""
        return load_cohort(self._intact(COHORT_FILE)) if COHORT_FILE in self.config.digests else None

    @cached_property
    def cohort_models(self) -> dict[str, DiagonalGMM]:
        """Models of the speakers of the cohort, none if there is no cohort."""
        return {} if self.cohort is None else adapt_cohort(self.cohort, self.ubm, self.config.adaptation)

    @property
    def unit(self) -> str:
        """What scores are in."""
        if self.calibrated:
            return "nats, calibrated"
        if COHORT_FILE in self.config.digests:
            return "deviations of the cohort's scores, not calibrated"
        return "nats per frame, not calibrated"

    @property
    def quantity(self) -> str:
        """What scores are."""
        normalised = COHORT_FILE in self.config.digests and not self.calibrated
        return "score" if normalised else "log-likelihood ratio"

    @property
    def calibrated(self) -> bool:
        """Whether scores are calibrated."""
        return CALIBRATION_FILE in self.config.digests

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all speakers, those too whose files are damaged, in order."""
        folder = self.speakers_folder
        found = folder.iterdir() if folder.is_dir() else ()  # a folder that may not be read is no empty one
        names = [path.stem for path in found if path.suffix == SUFFIX and not path.name.startswith(".")]
        return tuple(sorted(normalize("NFC", name) for name in names))

    def roster(self) -> Roster:
        """Read who is enrolled.

        Returns
        -------
        Roster
            The speakers, and what is damaged.
        """
        speakers, damaged = [], {}
        for name in self.names:
            try:
                speakers.append(load_speaker(self.path(name), self.background))
            except FileNotFoundError:
                continue  # forgotten meanwhile
            except GalleryError as error:
                damaged[str(self.path(name))] = _reason(error, self.path(name))
        return Roster(tuple(speakers), damaged)

    def speaker(self, name: str) -> EnrolledSpeaker:
        """Read one speaker.

        Parameters
        ----------
        name : str
            Of the speaker.

        Returns
        -------
        EnrolledSpeaker
            The speaker's recordings.

        Raises
        ------
        GalleryError
            If nobody of that name is enrolled, or the file is damaged.
        """
        name = normalize("NFC", name)
        if name in self.names:
            with suppress(FileNotFoundError):  # forgotten meanwhile
                return load_speaker(self.path(name), self.background)
        raise self.nobody(name)

    def read(self, path: str | Path) -> Extraction:
        """Run the gallery's front end over a recording.

        Parameters
        ----------
        path : str or Path
            An audio file.

        Returns
        -------
        Extraction
            Its frames, and how much of it is speech.

        Raises
        ------
        AudioError
            If it cannot be used, as when its sample rate is not the front end's.
        """
        try:
            samples, rate = read_audio(path, channel=self.config.channel)
        except ChannelError as error:
            choice = f'"channel": "mean" in {self.folder / CONFIG_FILE}, which takes their mean'
            raise AudioError(f"{path}: several channels; expected a mono file, or {choice}") from error
        expected = self.front_end.sample_rate
        if rate != expected and not self.front_end.resample:
            raise AudioError(f"{path}: sample rate {rate} Hz; this gallery takes {expected} Hz")
        try:
            return analyse(samples, self.front_end, sample_rate=rate)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error

    def record(self, path: str | Path) -> Recording:
        """Take from a recording what a speaker's model is made of.

        Parameters
        ----------
        path : str or Path
            An audio file.

        Returns
        -------
        Recording
            Statistics, and where they are from.

        Raises
        ------
        AudioError
            As for `read`.
        """
        read = self.read(path)
        statistics = accumulate(self.ubm, read.frames)
        return Recording(Path(path).name, file_digest(Path(path)), read.seconds, read.speech_seconds, statistics)

    def models(self) -> tuple[dict[str, DiagonalGMM], Mapping[str, str]]:
        """Adapt the speakers' models, each once for as long as its file stays as it is.

        Returns
        -------
        models : dict of str to DiagonalGMM
            By the name of the speaker, in order.
        damaged : dict of str to str
            As of `Roster`.

        Raises
        ------
        GalleryError
            If nobody is enrolled, or no speaker's file can be used.
        """
        models, damaged = {}, {}
        for name in self.names:
            try:
                models[name] = self._model(name)
            except FileNotFoundError:
                continue  # forgotten meanwhile
            except GalleryError as error:
                damaged[str(self.path(name))] = _reason(error, self.path(name))
        if damaged and not models:
            raise GalleryError(f"no speaker can be used; {'; '.join(map(': '.join, damaged.items()))}")
        if not models:
            raise GalleryError(f"{self.folder}: nobody is enrolled in this gallery")
        return models, damaged

    def is_short(self, speech_seconds: float) -> bool:
        """Tell whether that much speech is less than decisions should rest on.

        Parameters
        ----------
        speech_seconds : float, seconds
            Of a test, or of all recordings of a speaker.

        Returns
        -------
        bool
            Whether it is less than ``decisions.min_speech``.
        """
        return speech_seconds < self.config.decisions.min_speech

    @property
    def speakers_folder(self) -> Path:
        """The folder of the speakers' files."""
        return self.folder / "speakers"

    @cached_property
    def background(self) -> str:
        """Digest of what statistics rest on."""
        return fingerprint([self.config.fingerprint, self.config.digests.get(UBM_FILE)])

    def path(self, name: str) -> Path:
        """Name the file of a speaker.

        Parameters
        ----------
        name : str
            Of the speaker, as `speechgmm.gallery.speakers.safe_name` gives it.

        Returns
        -------
        Path
            Where it is, or would be.
        """
        return self.speakers_folder / f"{name}{SUFFIX}"

    def _intact(self, name: str) -> Path:
        """Find a file that all speakers rest on, and see that it is the one that was put there."""
        path = self.folder / name
        try:
            found = file_digest(path)
        except OSError as error:
            raise GalleryError(f"{path}: not readable ({error.strerror})") from error
        if found != self.config.digests.get(name):
            raise GalleryError(f"{path}: damaged, or another file than this gallery was made with")
        return path

    def model(self, name: str) -> DiagonalGMM:
        """Adapt the model of one speaker, once for as long as the speaker's file stays as it is.

        Parameters
        ----------
        name : str
            Of the speaker.

        Returns
        -------
        DiagonalGMM
            The model.

        Raises
        ------
        GalleryError
            If nobody of that name is enrolled, or the file is damaged.
        """
        name = normalize("NFC", name)
        if name in self.names:
            with suppress(FileNotFoundError):  # forgotten meanwhile
                return self._model(name)
        raise self.nobody(name)

    def against_cohort(self, model: DiagonalGMM) -> Float64Array:
        """Score a model against the utterances of the cohort, once for as long as the model is in memory.

        Parameters
        ----------
        model : DiagonalGMM
            Of a speaker, enrolled or in the cohort.

        Returns
        -------
        np.ndarray, shape (K,), float64, nats per frame
            Of the K utterances; none if there is no cohort.
        """
        if model not in self._against_cohort:
            utterances = () if self.cohort is None else self.cohort.frames
            self._against_cohort[model] = score_matrix([model], self.ubm, utterances, self.config.scoring)[0]
        return self._against_cohort[model]

    def _model(self, name: str) -> DiagonalGMM:
        """Adapt a speaker's model, or take it from memory."""
        status = self.path(name).stat()
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._models.get(name)
        if known is not None and known[0] == signature:
            return known[1]
        config = self.config.adaptation
        statistics = load_speaker(self.path(name), self.background).statistics
        model = map_adapt(
            self.ubm, statistics, relevance_factor=config.factor_of, alpha=config.alpha, adapt=config.adapt
        )
        self._models[name] = signature, model
        return model

    def nobody(self, name: str) -> GalleryError:
        """Make the error of a name that is not enrolled.

        Parameters
        ----------
        name : str
            The name.

        Returns
        -------
        GalleryError
            With the nearest name, if any is near.
        """
        close = get_close_matches(name, self.names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return GalleryError(f"{self.folder}: nobody is enrolled as {name}{hint}")


def _reason(error: GalleryError, path: Path) -> str:
    """Take the path off the front of a message."""
    return str(error).removeprefix(f"{path}: ")

"""Building a gallery's folder from the files of systems, so that it is whole or absent."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from speechgmm.configuration import fingerprint
from speechgmm.errors import GalleryError
from speechgmm.files import UMASK, WRITING, file_digest, sync_folder, write_durably
from speechgmm.gallery.cohort import load_cohort
from speechgmm.gallery.config import (
    DecisionConfig,
    GalleryConfig,
    RecogniserConfig,
    RecogniserFacts,
    SystemConfig,
    front_end_of,
    model_front_end,
    read_calibration,
    read_scales,
)
from speechgmm.gallery.config_file import config_text
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.layout import (
    BACKEND_FILE,
    CALIBRATION_FILE,
    COHORT_FILE,
    CONFIG_FILE,
    SUBSPACE_FILE,
    UBM_FILE,
    speakers_folder,
)
from speechgmm.gallery.systems import check_system, load_system
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import FrontEnd, check_front_end, load_gmm
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.subspace.backend.storage import load_backend
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig

RecordingChannel = Literal["mean", "loudest"] | None


@dataclass(frozen=True)
class SystemSource:
    """A system that is to be put into a gallery."""

    config: SystemConfig
    files: Mapping[str, Path]  # by the names that they have in the gallery


@dataclass(frozen=True)
class RecogniserSource:
    """Systems that are to be fused in a gallery, by name."""

    systems: Mapping[str, SystemSource]
    calibration: Path | None
    facts: RecogniserFacts

    def config(self, systems: Mapping[str, SystemConfig]) -> RecogniserConfig:
        """Return the settings of the recogniser, whose systems may have other digests than here."""
        calibration = None if self.calibration is None else file_digest(self.calibration)
        return RecogniserConfig(systems=dict(systems), calibration=calibration, **dict(self.facts))


def system_source(
    ubm: Path,
    *,
    adaptation: AdaptationConfig | None = None,
    speakers: ISVConfig | JFAConfig | None = None,
    vectors: IVectorConfig | SupervectorConfig | None = None,
    factors: str | Path | None = None,
    backend: str | Path | None = None,
    scoring: ScoringConfig | None = None,
    cohort: str | Path | None = None,
    normalisation: ScoreNormalisationConfig | None = None,
) -> SystemSource:
    """Collect the files of a system, and check that they fit one another; see `create_gallery`.

    A GalleryError or ModelError says what does not fit.
    """
    trained_on = model_front_end(ubm)
    front_end_of(ubm, trained_on)
    background = load_gmm(ubm)
    if (cohort is None) != (normalisation is None or normalisation.method == "none"):
        raise GalleryError(
            "normalisation without a cohort, or a cohort without normalisation; expected both or neither"
        )
    parts = {COHORT_FILE: cohort, SUBSPACE_FILE: factors, BACKEND_FILE: backend}
    files = {UBM_FILE: ubm} | {name: Path(path) for name, path in parts.items() if path is not None}
    _check_files(files, trained_on)
    if vectors is None:
        scoring = scoring or ScoringConfig()
        adaptation = adaptation or (None if speakers else AdaptationConfig())
    config = SystemConfig(
        front_end=trained_on,
        fingerprint=fingerprint(trained_on),
        adaptation=adaptation,
        speakers=speakers,
        vectors=vectors,
        scorer=None if backend is None else load_backend(backend).scorer.config.step,
        scoring=scoring,
        normalisation=normalisation or ScoreNormalisationConfig(),
        digests={name: file_digest(path) for name, path in files.items()},
    )
    if config.contradiction:
        raise GalleryError(config.contradiction)
    check_system(load_system(config, background, files.__getitem__), background)
    return SystemSource(config, files)


def build_gallery(
    folder: Path,
    sources: Mapping[str, RecogniserSource],
    *,
    channel: RecordingChannel = "mean",
    decisions: DecisionConfig | None = None,
) -> Gallery:
    """Write a gallery without speakers, of recognisers by name, the one of the widest band first.

    `folder` is new or empty. It is filled under a temporary name and renamed. A GalleryError says what does not fit.
    """
    check_new(folder)
    for source in sources.values():
        if source.calibration is not None:
            read_calibration(source.calibration, len(source.systems))
            read_scales(source.calibration, len(source.systems))
    config = GalleryConfig(
        channel=channel,
        decisions=decisions or DecisionConfig(),
        recognisers={
            name: source.config({system: each.config for system, each in source.systems.items()})
            for name, source in sources.items()
        },
    )
    if config.contradiction:
        raise GalleryError(config.contradiction)
    files = {path: content for name, source in sources.items() for path, content in _files(Path(name), source).items()}
    _write(folder, config, files)
    return Gallery(folder)


def check_new(folder: Path) -> None:
    """Refuse a folder that holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GalleryError(f"{folder}: there already; expected a new or an empty folder")


def _files(folder: Path, source: RecogniserSource) -> dict[Path, Path]:
    """Return where each file of a recogniser is from, by its path in the gallery."""
    files = {
        folder / name / file: path for name, system in source.systems.items() for file, path in system.files.items()
    }
    return files if source.calibration is None else {**files, folder / CALIBRATION_FILE: source.calibration}


def _check_files(files: Mapping[str, Path], front_end: FrontEnd) -> None:
    """Refuse a cohort that cannot be read, and models of another front end."""
    for name in (COHORT_FILE, SUBSPACE_FILE, BACKEND_FILE):
        if name in files:
            check_front_end(files[name], front_end)
    if COHORT_FILE in files:
        load_cohort(files[COHORT_FILE])


def _write(folder: Path, config: GalleryConfig, files: Mapping[Path, Path]) -> None:
    """Fill a temporary folder and rename it into place."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=WRITING, dir=folder.parent))
        try:
            speakers_folder(temporary).mkdir()
            for name, path in files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                write_durably(temporary / name, path.read_bytes())
            write_durably(temporary / CONFIG_FILE, config_text(config).encode())
            temporary.chmod(0o777 & ~UMASK)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(folder.parent)
    except OSError as error:
        error.filename = str(folder)  # the user has never seen the temporary one
        raise

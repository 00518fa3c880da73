"""Recognisers that come with the package: folders of ``speechgmm/pretrained``, trained by ``recipes/pretrained``."""

import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue, ValidationError

from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import file_digest, replacing, write_bytes
from speechgmm.gallery.building import RecogniserSource, SystemSource, build_gallery
from speechgmm.gallery.config import DecisionConfig, RecogniserConfig, SystemConfig, front_end_of, model_front_end
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.layout import CALIBRATION_FILE, SUBSPACE_FILE
from speechgmm.gallery.recogniser import ModelFolder, Recogniser
from speechgmm.subspace.total_variability.storage import load_total_variability, save_total_variability
from speechgmm.subspace.vectors import IVectorConfig

ABOUT_FILE = "about.json"

BY_RATE = "speech"
"""The name that stands for the recogniser of a front end's sample rate."""

MISSING = "install speechgmm again, or in a checkout run make pretrained"
"""What to do where the package lacks its models."""


class DataSource(Configuration):
    """Speech that a recogniser was trained on.

    Parameters
    ----------
    name, licence, url : str
        The corpus, its licence, and where it is from.
    """

    name: str
    licence: str
    url: str


class Pretrained(Configuration):
    """What a pretrained recogniser is.

    Parameters
    ----------
    name : str
        Its name, such as ``speech16k``.
    version : int >= 1
        Rises when it is trained again.
    recipe : str
        The recipe that trained it.
    sources : list of section
        The speech that it was trained on.
    recogniser : section
        Its systems and their files.
    """

    name: str
    version: int = Field(ge=1)
    recipe: str
    sources: Annotated[tuple[DataSource, ...], Field(strict=False)]
    recogniser: RecogniserConfig


def pretrained_folder() -> Path:
    """Return the folder of the recognisers that come with the package."""
    return Path(str(files("speechgmm") / "pretrained"))


def pretrained_names() -> tuple[str, ...]:
    """List the recognisers that come with the package, the one of the widest band first."""
    found = [path.parent.name for path in pretrained_folder().glob(f"*/{ABOUT_FILE}")]
    return tuple(sorted(found, key=lambda name: -load_pretrained(name).top_frequency))


def about_pretrained(name: str, folder: Path | None = None) -> Pretrained:
    """Read what a pretrained recogniser is; an unknown name, or a damaged file, raises a ModelError."""
    path = (folder or pretrained_folder()) / name / ABOUT_FILE
    try:
        return Pretrained.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(sorted(each.parent.name for each in path.parent.parent.glob(f"*/{ABOUT_FILE}")))
        found = f"expected one of {known}" if known else f"{path.parent.parent} holds none; {MISSING}"
        raise ModelError(f"{name}: no such pretrained model; {found}") from error
    except (OSError, ValidationError) as error:
        raise ModelError(f"{path}: not readable as a pretrained model ({error})") from error


def load_pretrained(name: str, folder: Path | None = None) -> Recogniser:
    """Open a pretrained recogniser; its files are read when they are needed, and compared with their digests."""
    return Recogniser(_folder((folder or pretrained_folder()) / name), about_pretrained(name, folder).recogniser)


def pretrained_source(name: str, folder: Path | None = None) -> RecogniserSource:
    """Return a pretrained recogniser as what a gallery is built from; a damaged file raises a ModelError."""
    path = (folder or pretrained_folder()) / name
    config = about_pretrained(name, folder).recogniser
    systems = {system: intact_source(_source(path / system, each)) for system, each in config.systems.items()}
    return RecogniserSource(systems, None if config.calibration is None else path / CALIBRATION_FILE, config.facts)


def pretrained_gallery(folder: str | Path, *, min_speech: float = 2.0) -> Gallery:
    """Create a gallery without speakers from the pretrained recogniser, of the widest band if there are several.

    It knows telephones, too.

    Parameters
    ----------
    folder : str or Path
        The gallery: a folder that does not exist or is empty.
    min_speech : float >= 0, seconds
        Recordings with less speech than this are flagged when they are enrolled or tested.

    Returns
    -------
    Gallery
        With the recogniser that comes with the package.

    Raises
    ------
    GalleryError, ModelError
        If the folder is not empty, or the package's files are missing or damaged.
    OSError
        If the gallery cannot be written.

    Examples
    --------
    >>> from speechgmm import pretrained_gallery
    >>> gallery = pretrained_gallery("team")
    >>> gallery.names, gallery.config.score_unit
    ((), 'nats, calibrated')
    """
    names = pretrained_names()
    if not names:
        raise ModelError(f"{pretrained_folder()}: no pretrained models here; expected a complete installation")
    decisions = DecisionConfig(min_speech=min_speech)
    return build_gallery(Path(folder), {names[0]: pretrained_source(names[0])}, decisions=decisions)


def pretrained_system(name: str, front_end: FeatureConfig, *, vectors: bool = False) -> SystemSource:
    """Return the system of a pretrained recogniser that has a front end, and its files by their names.

    `vectors` asks for a system of i-vectors. Audio may be resampled for the one front end and not for the other. If
    there is no such system, a ModelError lists the front ends that there are, with the keys that differ.
    """
    config, path = about_pretrained(name).recogniser, pretrained_folder() / name
    others: dict[str, str] = {}
    for system, each in config.systems.items():
        if vectors and not isinstance(each.vectors, IVectorConfig):
            continue
        differences = _differences(front_end_of(path / ABOUT_FILE, each.front_end), front_end)
        if not differences:
            return _source(path / system, each)
        others.setdefault(differences, system)
    known = "; ".join(f"{system} ({differences})" for differences, system in others.items())
    what = "i-vectors" if vectors else "background model"
    raise ModelError(f"{name}: no {what} of this front end; expected that of one of its systems: {known or 'none'}")


def intact_source(source: SystemSource) -> SystemSource:
    """Return a pretrained system; raise ModelError for a file of it that is missing, or not what it was."""
    for file, path in source.files.items():
        _folder(path.parent).intact(file, source.config.digests[file])
    return source


def _source(folder: Path, config: SystemConfig) -> SystemSource:
    """Return the system whose files are in a folder."""
    return SystemSource(config, {file: folder / file for file in config.digests})


def _folder(path: Path) -> ModelFolder:
    """Return a folder of the package's models, which are mended by installing them again."""
    damaged = f"damaged: its digest is not that of its {ABOUT_FILE}"
    return ModelFolder(path, path / ABOUT_FILE, ModelError, damaged, "; install speechgmm again")


def pretrained_name(name: str, sample_rate: int) -> str:
    """Return the name of a recogniser; ``speech`` stands for the one of a sample rate in Hz, such as ``speech16k``.

    If there is none of that rate, a ModelError says which there are.
    """
    if name != BY_RATE:
        return name
    chosen = f"{BY_RATE}{sample_rate / 1000:g}k"
    known = pretrained_names()
    if chosen not in known:
        if not known:
            raise ModelError(f"{name}: no such pretrained model; {pretrained_folder()} holds none; {MISSING}")
        raise ModelError(
            f"{name}: no pretrained model of features at {sample_rate} Hz; there are {', '.join(known)}: set "
            "features.sample_rate to the rate of one, and features.resample: true"
        )
    return chosen


def _differences(there: FeatureConfig, here: FeatureConfig) -> str:
    """Say in which keys two front ends differ that compute other features; empty if in none."""
    values = [_leaves(each) for each in (there, here)]
    keys = [key for key in values[0] if values[0][key] != values[1].get(key)]
    return ", ".join(f"{key} {values[0][key]} there, {values[1].get(key)} here" for key in keys)


def _leaves(front_end: FeatureConfig) -> dict[str, JsonValue]:
    """List the values that features depend on by dotted keys; the filters' upper edge is always a number."""
    data = front_end.model_dump(mode="json", exclude={"resample"}) | {"high_frequency": front_end.top_frequency}
    leaves: dict[str, JsonValue] = {}
    for key, value in data.items():
        inner = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        leaves |= inner
    return leaves


def write_pretrained(source: RecogniserSource, about: Mapping[str, JsonValue], folder: Path) -> Pretrained:
    """Write a recogniser into a folder as the package holds it: loadings in half precision, digests in ``about.json``.

    `about` has the keys of `Pretrained` but for the recogniser.
    """
    systems = {}
    for name, system in source.systems.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file, path in system.files.items():
            _copy(path, folder / name / file)
        digests = {file: file_digest(folder / name / file) for file in system.files}
        systems[name] = system.config.model_copy(update={"digests": digests})
    if source.calibration is not None:
        _copy(source.calibration, folder / CALIBRATION_FILE)
    written = Pretrained.model_validate({**about, "recogniser": source.config(systems)})
    write_bytes(folder / ABOUT_FILE, written.model_dump_json(indent=2).encode() + b"\n")
    return written


def _copy(source: Path, target: Path) -> None:
    """Copy a file of a system; a total-variability model with its loadings in half precision."""
    if target.name == SUBSPACE_FILE:
        front_end = model_front_end(source)
        save_total_variability(target, load_total_variability(source), front_end=front_end, half=True)
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)

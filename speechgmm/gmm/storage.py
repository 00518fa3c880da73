"""Models on disk: safetensors files, which cannot run code, with a header that says what made them.

The header is one JSON text under the key ``speechgmm``: kind, format version, package version, the front end and its
fingerprint, and the names of the speakers. The same models give the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from speechgmm.arrays import Float64Array, read_only
from speechgmm.configuration import fingerprint
from speechgmm.errors import ModelError
from speechgmm.files import check_readable, write_bytes
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.version import __version__

FORMAT_VERSION = 1
FrontEnd = Mapping[str, JsonValue]

PARAMETERS = ("weights", "means", "variances")

DAMAGE = (
    *(SafetensorError, OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
)
"""What comes of reading a damaged safetensors file, arrays of types that numpy does not have, and its header."""


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says of itself.

    Parameters
    ----------
    kind : "gmm", "speakers" or "independent"
        One model; one for each speaker, adapted from a common one; or one for each speaker that was trained alone.
    package_version : str
        Version of speechgmm that wrote it.
    front_end : dict or None
        The configuration that made the frames, as JSON data, where it is known.
    names : tuple of str
        The speakers, in the order of the arrays' first axis.
    sizes : tuple of int
        Components of each speaker's model, where each was trained alone.
    """

    kind: str
    package_version: str
    front_end: FrontEnd | None
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()


def save_gmm(path: str | Path, gmm: DiagonalGMM, *, front_end: FrontEnd | None = None) -> None:
    """Write a model to a file.

    Parameters
    ----------
    path : str or Path
        Where to; replaced in one step if it exists.
    gmm : DiagonalGMM
        The model.
    front_end : mapping, optional
        The configuration that made its frames, ``config.model_dump(mode="json")``, so that others are refused later.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    _save(Path(path), {name: getattr(gmm, name) for name in PARAMETERS}, "gmm", front_end, ())


def load_gmm(path: str | Path) -> DiagonalGMM:
    """Read a model that `save_gmm` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    DiagonalGMM
        The model, bit for bit.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.
    """
    tensors = _load(Path(path), "gmm")[0]
    try:
        return DiagonalGMM(**tensors)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


def save_speakers(
    path: str | Path, ubm: DiagonalGMM, speakers: Mapping[str, DiagonalGMM], *, front_end: FrontEnd | None = None
) -> None:
    """Write the models of several speakers, and once what they share with their background model.

    Parameters
    ----------
    path : str or Path
        Where to; replaced in one step if it exists.
    ubm : DiagonalGMM, C components over D features
        The model that they were adapted from.
    speakers : mapping of name to DiagonalGMM
        At least one; each of the shape of `ubm`.
    front_end : mapping, optional
        As for `save_gmm`.

    Raises
    ------
    ModelError
        If there are no speakers, or one is not of the shape of `ubm`.
    OSError
        If the file cannot be written.
    """
    if not speakers:
        raise ModelError(f"{path}: no speakers to write; expected one or more")
    for speaker, gmm in speakers.items():
        if gmm.means.shape != ubm.means.shape:
            raise ModelError(f"{path}: model of {speaker!r} of shape {gmm.means.shape}; expected {ubm.means.shape}")
    tensors = {}
    for name in PARAMETERS:
        shared = getattr(ubm, name)
        own = [getattr(gmm, name) for gmm in speakers.values()]
        same = all(np.array_equal(array, shared) for array in own)
        tensors[name] = shared if same else np.stack(own)
    _save(Path(path), tensors, "speakers", front_end, tuple(speakers))


def load_speakers(path: str | Path) -> dict[str, DiagonalGMM]:
    """Read the models that `save_speakers` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict of str to DiagonalGMM
        The speakers' models, in the order they were written.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.
    """
    tensors, header = _load(Path(path), "speakers")
    shared_rank = {"weights": 1, "means": 2, "variances": 2}
    models: dict[str, DiagonalGMM] = {}
    shared = {key: read_only(tensors[key]) for key in PARAMETERS if tensors[key].ndim == shared_rank[key]}
    for key in PARAMETERS:
        if key not in shared and tensors[key].shape[:1] != (len(header.names),):
            n_speakers = len(header.names)
            raise ModelError(f"{path}: {key} of shape {tensors[key].shape}; the header names {n_speakers} speakers")
    try:
        for row, name in enumerate(header.names):
            models[name] = DiagonalGMM(*(shared[key] if key in shared else tensors[key][row] for key in PARAMETERS))
    except ValueError as error:
        raise ModelError(f"{path}: damaged speaker models ({error})") from error
    return models


def save_independent(
    path: str | Path, speakers: Mapping[str, DiagonalGMM], *, front_end: FrontEnd | None = None
) -> None:
    """Write the models of several speakers that were trained alone, one after the other.

    Parameters
    ----------
    path : str or Path
        Where to; replaced in one step if it exists.
    speakers : mapping of name to DiagonalGMM over D features
        At least one; their sizes may differ.
    front_end : mapping, optional
        As for `save_gmm`.

    Raises
    ------
    ModelError
        If there are no speakers, or their models are over different numbers of features.
    OSError
        If the file cannot be written.
    """
    if not speakers:
        raise ModelError(f"{path}: no speakers to write; expected one or more")
    if len(dimensions := {gmm.n_features for gmm in speakers.values()}) > 1:
        raise ModelError(f"{path}: models over {sorted(dimensions)} features; expected one number")
    tensors = {name: np.concatenate([getattr(gmm, name) for gmm in speakers.values()]) for name in PARAMETERS}
    sizes = tuple(gmm.n_components for gmm in speakers.values())
    _save(Path(path), tensors, "independent", front_end, tuple(speakers), sizes)


def load_independent(path: str | Path) -> dict[str, DiagonalGMM]:
    """Read the models that `save_independent` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict of str to DiagonalGMM
        The speakers' models, in the order they were written.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.
    """
    tensors, header = _load(Path(path), "independent")
    if len(header.sizes) != len(header.names) or {len(array) for array in tensors.values()} != {sum(header.sizes)}:
        raise ModelError(f"{path}: the header's {len(header.sizes)} sizes of models are not those of the arrays")
    ends = np.cumsum(header.sizes)
    try:
        return {
            name: DiagonalGMM(*(tensors[key][end - size : end] for key in PARAMETERS))
            for name, size, end in zip(header.names, header.sizes, ends, strict=True)
        }
    except ValueError as error:
        raise ModelError(f"{path}: damaged speaker models ({error})") from error


def read_header(path: str | Path) -> ModelHeader:
    """Read what a model file says of itself, without its arrays.

    Parameters
    ----------
    path : str or Path
        A file that `save_gmm` or `save_speakers` wrote.

    Returns
    -------
    Header
        Kind, version, front end, names.

    Raises
    ------
    ModelError
        If the file is missing, not to be read, damaged, not ours, or in a newer format.
    """
    path = Path(path)
    try:
        check_readable(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ModelError(f"{path}: no such model file") from error
    except OSError as error:
        raise ModelError(f"{path}: not readable ({error.strerror})") from error
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not readable as a model file ({error})") from error
    try:
        text = json.loads(metadata["speechgmm"])
        version, package_version = text["format_version"], text["package_version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: a safetensors file, but not a model of speechgmm") from error
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path}: model of format version {version}, written by speechgmm {package_version}; "
            f"this speechgmm reads version {FORMAT_VERSION}"
        )
    try:
        kind, front_end, names, sizes = text["kind"], text["front_end"], text["names"], text.get("sizes", [])
        if not isinstance(front_end, dict | None):
            raise TypeError(f"front_end {front_end!r}; expected keys and values, or null")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("names; expected a list of texts")
        if len(set(names)) < len(names):
            raise TypeError("one name twice; expected a name of its own for each speaker")
        if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
            raise TypeError("sizes; expected a list of whole numbers above 0")
        return ModelHeader(kind, package_version, front_end, tuple(names), tuple(sizes))
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: damaged header ({error})") from error


def check_front_end(path: str | Path, front_end: FrontEnd) -> None:
    """Refuse a model whose frames came from another front end.

    Parameters
    ----------
    path : str or Path
        The model file.
    front_end : mapping
        The configuration of the front end in use, as JSON data.

    Raises
    ------
    ModelError
        If the file says another one; the message names the keys that differ.
    """
    trained_on = read_header(path).front_end
    if trained_on is None or trained_on == front_end:
        return
    keys = [key for key in {**trained_on, **front_end} if trained_on.get(key) != front_end.get(key)]
    changes = ", ".join(f"{key} {trained_on.get(key)!r} there, {front_end.get(key)!r} here" for key in keys)
    raise ModelError(f"{path}: trained on features of another front end: {changes}")


def _save(
    path: Path,
    tensors: Mapping[str, Float64Array],
    kind: str,
    front_end: FrontEnd | None,
    names: tuple[str, ...],
    sizes: tuple[int, ...] = (),
) -> None:
    """Write arrays and a header; one metadata key, because safetensors keeps several in no fixed order."""
    header = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "package_version": __version__,
        "front_end": front_end and dict(front_end),
        "fingerprint": front_end and fingerprint(dict(front_end)),
        "names": list(names),
        **({"sizes": list(sizes)} if sizes else {}),
    }
    write_bytes(path, save(dict(tensors), {"speechgmm": json.dumps(header, sort_keys=True, ensure_ascii=False)}))


def _load(path: Path, kind: str) -> tuple[dict[str, Float64Array], ModelHeader]:
    """Read arrays and header, of one kind."""
    header = read_header(path)
    if header.kind != kind:
        raise ModelError(f"{path}: holds {header.kind!r}; expected {kind!r}")
    with safe_open(path, framework="numpy") as file:
        types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a mapping
        if types != dict.fromkeys(PARAMETERS, "F64"):
            held = ", ".join(f"{name} ({types[name]})" for name in sorted(types))
            raise ModelError(f"{path}: holds arrays {held}; expected {', '.join(PARAMETERS)}, each F64")
        return {name: file.get_tensor(name) for name in PARAMETERS}, header

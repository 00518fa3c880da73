"""Models on disk: safetensors files, which cannot run code, with a header about what made them.

The header holds the kind of models, the front end and its fingerprint, and the names of the speakers; see
`speechgmm.tensors` for the container. The same models give the same bytes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from speechgmm.arrays import read_only
from speechgmm.configuration import fingerprint
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.tensors import Arrays, FileFormat, load_arrays, load_header, save_arrays

FrontEnd = Mapping[str, JsonValue]

PARAMETERS = ("weights", "means", "variances")

MODEL_FORMAT = FileFormat(
    "model",
    ModelError,
    unreadable="not readable as a model file",
    foreign="a safetensors file, but not a model of speechgmm",
)


@dataclass(frozen=True)
class ModelHeader:
    """The header of a model file."""

    kind: str  # "gmm", "speakers" adapted from one model, "independent" ones trained alone, or "cohort"
    package_version: str  # of the speechgmm that wrote it
    front_end: FrontEnd | None  # the configuration that made the frames, as JSON data, where it is known
    names: tuple[str, ...] = ()  # of the speakers, in the order of the arrays' first axis
    sizes: tuple[int, ...] = ()  # components of each speaker's model, if each was trained alone


def save_gmm(path: str | Path, gmm: DiagonalGMM, *, front_end: FrontEnd | None = None) -> None:
    """Write a model to a file.

    Parameters
    ----------
    path : str or Path
        The file to write; an existing one is replaced in one step.
    gmm : DiagonalGMM
        The model.
    front_end : mapping, optional
        The configuration of the front end that made the training frames, as ``config.model_dump(mode="json")``
        returns it. With it in the file, features of another front end are refused later, and a gallery can be created.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, FeatureConfig, load_gmm, save_gmm
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[0.0, 1.0], [2.0, 3.0]], variances=np.ones((2, 2)))
    >>> save_gmm("model.safetensors", gmm)
    >>> bool(np.array_equal(load_gmm("model.safetensors").means, gmm.means))
    True

    With the front end that made the frames:

    >>> save_gmm("model.safetensors", gmm, front_end=FeatureConfig().model_dump(mode="json"))
    """
    save_model_arrays(Path(path), {name: getattr(gmm, name) for name in PARAMETERS}, "gmm", front_end)


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

    Examples
    --------
    >>> from speechgmm import DiagonalGMM, load_gmm, save_gmm
    >>> save_gmm("model.safetensors", DiagonalGMM(weights=[1.0], means=[[0.0, 2.5]], variances=[[1.0, 4.0]]))
    >>> gmm = load_gmm("model.safetensors")
    >>> gmm.n_components, gmm.n_features
    (1, 2)
    >>> gmm.means.tolist()
    [[0.0, 2.5]]
    """
    arrays, _ = load_model_arrays(Path(path), "gmm", PARAMETERS)
    try:
        return DiagonalGMM(**arrays)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error


def save_speakers(
    path: str | Path, ubm: DiagonalGMM, speakers: Mapping[str, DiagonalGMM], *, front_end: FrontEnd | None = None
) -> None:
    """Write the models of speakers to a file; parameters that they share with the background model are stored once.

    Parameters
    ----------
    path : str or Path
        The file to write; an existing one is replaced in one step.
    ubm : DiagonalGMM, C components over D features
        The background model that they were adapted from.
    speakers : mapping of str to DiagonalGMM
        The model of each speaker by name, at least one; each of the shape of `ubm`.
    front_end : mapping, optional
        The configuration of the front end, as for `save_gmm`.

    Raises
    ------
    ModelError
        If there are no speakers, or a model has another shape than `ubm`.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate, load_speakers, map_adapt, save_speakers
    >>> ubm = DiagonalGMM(weights=[0.5, 0.5], means=[[-1.0, 0.0], [1.0, 0.0]], variances=np.ones((2, 2)))
    >>> rng = np.random.default_rng(0)
    >>> speakers = {}
    >>> for name, shift in (("ann", 0.5), ("bo", -0.5)):
    ...     frames = rng.normal(shift, 1.0, size=(200, 2))
    ...     speakers[name] = map_adapt(ubm, accumulate(ubm, frames), relevance_factor=10)
    >>> save_speakers("speakers.safetensors", ubm, speakers)
    >>> list(load_speakers("speakers.safetensors"))
    ['ann', 'bo']
    """
    _check_any(path, speakers)
    for speaker, gmm in speakers.items():
        if gmm.means.shape != ubm.means.shape:
            raise ModelError(f"{path}: model of {speaker!r} of shape {gmm.means.shape}; expected {ubm.means.shape}")
    arrays = {}
    for name in PARAMETERS:
        shared = getattr(ubm, name)
        by_speaker = [getattr(gmm, name) for gmm in speakers.values()]
        same = all(np.array_equal(array, shared) for array in by_speaker)
        arrays[name] = shared if same else np.stack(by_speaker)
    save_model_arrays(Path(path), arrays, "speakers", front_end, tuple(speakers))


def load_speakers(path: str | Path) -> dict[str, DiagonalGMM]:
    """Read the models that `save_speakers` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict of str to DiagonalGMM
        The model of each speaker by name, bit for bit, in the order in which they were written.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.

    Examples
    --------
    >>> from speechgmm import DiagonalGMM, load_speakers, save_speakers
    >>> ubm = DiagonalGMM(weights=[1.0], means=[[0.0, 0.0]], variances=[[1.0, 1.0]])
    >>> ann = DiagonalGMM(ubm.weights, means=[[0.5, -0.5]], variances=ubm.variances)
    >>> save_speakers("speakers.safetensors", ubm, {"ann": ann})
    >>> load_speakers("speakers.safetensors")["ann"].means.tolist()
    [[0.5, -0.5]]
    """
    arrays, header = load_model_arrays(Path(path), "speakers", PARAMETERS)
    shared_rank = {"weights": 1, "means": 2, "variances": 2}
    models: dict[str, DiagonalGMM] = {}
    shared = {key: read_only(arrays[key]) for key in PARAMETERS if arrays[key].ndim == shared_rank[key]}
    for key in PARAMETERS:
        if key not in shared and arrays[key].shape[:1] != (len(header.names),):
            n_speakers = len(header.names)
            raise ModelError(f"{path}: {key} of shape {arrays[key].shape}; the header names {n_speakers} speakers")
    try:
        for row, name in enumerate(header.names):
            models[name] = DiagonalGMM(*(shared[key] if key in shared else arrays[key][row] for key in PARAMETERS))
    except ValueError as error:
        raise ModelError(f"{path}: damaged speaker models ({error})") from error
    return models


def save_independent(
    path: str | Path, speakers: Mapping[str, DiagonalGMM], *, front_end: FrontEnd | None = None
) -> None:
    """Write the models of speakers that were trained alone; their sizes may differ, their number of features may not.

    Without speakers, or with models over different numbers of features, a ModelError is raised.
    """
    _check_any(path, speakers)
    if len(dimensions := {gmm.n_features for gmm in speakers.values()}) > 1:
        raise ModelError(f"{path}: models over {sorted(dimensions)} features; expected one number")
    arrays = {name: np.concatenate([getattr(gmm, name) for gmm in speakers.values()]) for name in PARAMETERS}
    sizes = tuple(gmm.n_components for gmm in speakers.values())
    save_model_arrays(Path(path), arrays, "independent", front_end, tuple(speakers), sizes)


def load_independent(path: str | Path) -> dict[str, DiagonalGMM]:
    """Read the models that `save_independent` wrote, in the order in which they were written."""
    arrays, header = load_model_arrays(Path(path), "independent", PARAMETERS)
    if len(header.sizes) != len(header.names) or {len(array) for array in arrays.values()} != {sum(header.sizes)}:
        raise ModelError(f"{path}: the header's {len(header.sizes)} sizes of models are not those of the arrays")
    ends = np.cumsum(header.sizes)
    try:
        return {
            name: DiagonalGMM(*(arrays[key][end - size : end] for key in PARAMETERS))
            for name, size, end in zip(header.names, header.sizes, ends, strict=True)
        }
    except ValueError as error:
        raise ModelError(f"{path}: damaged speaker models ({error})") from error


def read_header(path: str | Path) -> ModelHeader:
    """Read the header of a model file of any kind, without its arrays."""
    path = Path(path)
    try:
        return _model_header(path, load_header(path, MODEL_FORMAT))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error


def check_front_end(path: str | Path, front_end: FrontEnd) -> None:
    """Refuse a model whose frames came from another front end, and list the keys that differ.

    The front end is given as JSON data; a model whose file does not hold one is not refused.
    """
    trained_on = read_header(path).front_end
    if trained_on is None or trained_on == front_end:
        return
    keys = [key for key in {**trained_on, **front_end} if trained_on.get(key) != front_end.get(key)]
    changes = ", ".join(f"{key} {trained_on.get(key)!r} there, {front_end.get(key)!r} here" for key in keys)
    raise ModelError(f"{path}: trained on features of another front end: {changes}")


def save_model_arrays(
    path: Path,
    arrays: Arrays,
    kind: str,
    front_end: FrontEnd | None,
    names: Sequence[str] = (),
    sizes: Sequence[int] = (),
) -> None:
    """Write arrays with the header of a model file; the values are those of `ModelHeader`."""
    metadata = {
        "front_end": front_end and dict(front_end),
        "fingerprint": front_end and fingerprint(dict(front_end)),
        "names": list(names),
        **({"sizes": list(sizes)} if sizes else {}),
    }
    save_arrays(path, MODEL_FORMAT, metadata, arrays, kind=kind)


def load_model_arrays(
    path: Path,
    kind: str,
    names: Sequence[str] | None = None,
    file_format: FileFormat = MODEL_FORMAT,
    maybe_half: Collection[str] = (),
) -> tuple[dict[str, npt.NDArray[Any]], ModelHeader]:
    """Read arrays and header of a model file of one kind.

    With `names`, exactly these arrays, each float64; those of `maybe_half` may be stored as float16.
    """
    try:
        header, arrays = load_arrays(path, file_format, kind=kind, names=names, maybe_half=maybe_half)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    return arrays, _model_header(path, header)


def _model_header(path: Path, header: Mapping[str, Any]) -> ModelHeader:
    """Check the part of a header that is about models."""
    try:
        front_end, names, sizes = header["front_end"], header["names"], header.get("sizes", [])
        if not isinstance(front_end, dict | None):
            raise TypeError(f"front_end {front_end!r}; expected keys and values, or null")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("names; expected a list of texts")
        if len(set(names)) < len(names):
            raise TypeError("one name twice; expected a different name for each speaker")
        if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
            raise TypeError("sizes; expected a list of whole numbers above 0")
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: damaged header ({error})") from error
    return ModelHeader(header["kind"], header["package_version"], front_end, tuple(names), tuple(sizes))


def _check_any(path: str | Path, speakers: Mapping[str, DiagonalGMM]) -> None:
    """Refuse to write a file without speakers."""
    if not speakers:
        raise ModelError(f"{path}: no speakers to write; expected one or more")

"""Files of arrays: one container for models, states of a training, enrolled speakers and cohorts.

A file is a safetensors file, which cannot run code. Beside its arrays it holds one header, a JSON text in the metadata:
the kind of content, the format version, the version of speechgmm that wrote it, and what the kind adds; some formats
also keep a digest of all that. The header's keys are sorted, and safetensors orders the arrays, so the same content
gives the same bytes.
"""

import errno
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from speechgmm.errors import SpeechGMMError
from speechgmm.files import check_readable, write_bytes, write_durably
from speechgmm.version import __version__

Header = Mapping[str, Any]
Arrays = Mapping[str, npt.NDArray[Any]]

DAMAGE = (
    *(SafetensorError, OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
)
"""What comes of reading a damaged safetensors file, arrays of types that numpy does not have, and its header."""

VERSIONED = ("format_version", "kind", "package_version")
"""Keys of a header that the container writes and reads itself."""


@dataclass(frozen=True)
class FileFormat:
    """A format of files: how messages name it, which error they raise, and what its headers hold."""

    name: str  # "model"
    error: type[SpeechGMMError]  # raised for a file that cannot be used
    unreadable: str  # of a damaged file: "not readable as a model file"; the reason follows in brackets
    foreign: str  # of a safetensors file without such a header
    version: int | None = 1  # None for headers that have neither version nor kind
    key: str = "speechgmm"  # of the header in the safetensors metadata
    digest: Callable[[Header, Arrays], str] | None = None  # of header and arrays, kept in the header


def save_arrays(
    path: Path, file_format: FileFormat, metadata: Header, arrays: Arrays, *, kind: str = "", durably: bool = False
) -> None:
    """Write arrays and a header to a file in one step, which a loss of power does not undo if `durably`."""
    header = dict(metadata)
    if file_format.version is not None:
        header |= dict(zip(VERSIONED, (file_format.version, kind, __version__), strict=True))
    if file_format.digest:
        header["digest"] = file_format.digest(header, arrays)
    # One key of metadata, because safetensors keeps several in no fixed order.
    data = save(dict(arrays), {file_format.key: canonical(header)})
    (write_durably if durably else write_bytes)(path, data)


def load_header(path: Path, file_format: FileFormat) -> dict[str, Any]:
    """Read the header of a file without its arrays; errors are those of `load_arrays`."""
    _check_there(path, file_format)
    with refuse_damage(file_format.error, f"{path}: {file_format.unreadable}"):
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
        return _parse_header(path, texts, file_format)


def load_arrays(
    path: Path,
    file_format: FileFormat,
    *,
    kind: str = "",
    names: Sequence[str] | None = None,
    maybe_half: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read the header and the arrays of a file, bit for bit.

    With `names`, the file has to hold exactly these arrays, all of float64; those of `maybe_half` may be of float16,
    and are widened. A file that is not there raises
    FileNotFoundError; one that may not be read, is damaged, of another kind or in another format version, raises the
    error of the format.
    """
    _check_there(path, file_format)
    with refuse_damage(file_format.error, f"{path}: {file_format.unreadable}"):
        # Opened once: a file that is replaced meanwhile must not have the header of one and the arrays of another.
        with safe_open(path, framework="numpy") as file:
            header = _parse_header(path, file.metadata() or {}, file_format)
            if file_format.version is not None and header["kind"] != kind:
                raise file_format.error(f"{path}: holds {header['kind']!r}; expected {kind!r}")
            if names is not None:
                _check_types(path, file, names, file_format, maybe_half)
            arrays = {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
        if file_format.digest and header.pop("digest") != file_format.digest(header, arrays):
            raise file_format.error(f"{path}: damaged: its digest is not that of its content")
        arrays |= {name: arrays[name].astype(np.float64, copy=False) for name in maybe_half}
        return header, arrays


@contextmanager
def refuse_damage(error_type: type[SpeechGMMError], message: str) -> Iterator[None]:
    """Turn what damaged content raises into one error: the message, and the reason in brackets.

    Errors of this type already, and FileNotFoundError, pass as they are.
    """
    try:
        yield
    except (error_type, FileNotFoundError):
        raise
    except DAMAGE as error:
        raise error_type(f"{message} ({error})") from error


def canonical(header: Header) -> str:
    """Write a header as text, independently of the order of its keys."""
    return json.dumps(header, sort_keys=True, ensure_ascii=False, allow_nan=False)


def content_digest(header: Header, arrays: Arrays) -> str:
    """Digest a header and all arrays with their types and shapes (SHA-256)."""
    digest = hashlib.sha256(canonical(header).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _check_there(path: Path, file_format: FileFormat) -> None:
    """Refuse a file that may not be read, with the reason, which safetensors does not give."""
    try:
        check_readable(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from error
    except OSError as error:
        raise file_format.error(f"{path}: not readable ({error.strerror})") from error


def _parse_header(path: Path, texts: Mapping[str, str], file_format: FileFormat) -> dict[str, Any]:
    """Read the header from the texts of a file, and refuse that of another format version."""
    version, package_version = None, None
    try:
        header = json.loads(texts[file_format.key])
        if not isinstance(header, dict):
            raise TypeError(f"{type(header).__name__}; expected keys and values")
        if file_format.version is not None:
            version, package_version = header["format_version"], header["package_version"]
    except DAMAGE as error:
        raise file_format.error(f"{path}: {file_format.foreign}") from error
    if version != file_format.version:
        raise file_format.error(
            f"{path}: {file_format.name} of format version {version}, written by speechgmm {package_version}; "
            f"this speechgmm reads version {file_format.version}"
        )
    if version is not None and "kind" not in header:
        raise file_format.error(f"{path}: damaged header ('kind')")
    return header


def _check_types(
    path: Path, file: Any, names: Sequence[str], file_format: FileFormat, maybe_half: Collection[str]
) -> None:
    """Refuse arrays of other names or types before they are read: numpy does not have every type."""
    types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a mapping
    widened = {name: "F64" if kind == "F16" and name in maybe_half else kind for name, kind in types.items()}
    if widened != dict.fromkeys(names, "F64"):
        held = ", ".join(f"{name} ({types[name]})" for name in sorted(types))
        raise file_format.error(f"{path}: holds arrays {held}; expected {', '.join(names)}, each F64")

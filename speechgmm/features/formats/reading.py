"""Reading features from files of other programs: Kaldi, HTK, HDF5 and numpy.

Files are not trusted: no code in them and no command in an index is run, no link is followed, and no more memory is
used than the file's bytes can fill.
"""

import io
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float32Array
from speechgmm.errors import CorpusError
from speechgmm.features.formats.common import (
    HTK_CHECKSUM,
    HTK_COMPRESSED,
    HTK_SUFFIXES,
    MAX_INFLATION,
    MAX_UNCHECKED_BYTES,
    READABLE,
    as_frames,
    check_kind,
    corpus_errors,
    file_size,
    missing_package,
)
from speechgmm.features.formats.hdf5 import read_hdf5
from speechgmm.files import numbered_lines

LONGEST_NPY_HEADER = 2**14
"""More bytes than numpy reads of a header; a header that announces more uses no memory for it."""

KALDI_MATRIX = re.compile(rb"\x00B(?:([FD]M) \x04(.{4})\x04(.{4})|(CM[23]?) .{8}(.{4})(.{4}))", re.DOTALL)
SCP_PLACE = re.compile(r"(?P<path>.+?)(?::(?P<offset>[0-9]+))?(?:\[(?:(?P<first>[0-9]+):(?P<last>[0-9]+)|:)\])?")
NUMBER_WORD = re.compile(rb"[-+.0-9A-Za-z]+")
"""What a number may be made of: Python reads others as well, such as ``1_000``."""

HTK_INTEGER_KINDS = {0: "a waveform", 5: "reflection coefficients in 16 bits", 10: "vector quantisation symbols"}


def read_features(path: str | Path) -> Iterator[tuple[str, Float32Array]]:
    """Read the features of every utterance in a file of another program.

    Parameters
    ----------
    path : str or Path
        The suffix selects the format: Kaldi's archive (``.ark``, binary, compressed or text) or index (``.scp``, with
        row ranges; relative paths start at the current folder, as in Kaldi), HDF5 (``.h5``, ``.hdf5``: a dataset for
        each utterance; those in groups are named ``group/dataset``; of SIDEKIT's files all frames of ``cep``, ``fb``
        and ``bnf``, unpacked), numpy's ``.npz`` and ``.npy``, or an HTK parameter file of either byte order (``.htk``,
        ``.mfc``, ``.plp``, ``.fea``).

    Yields
    ------
    utterance : str
        Its id; for ``.npy`` and HTK's files, the file's name without the suffix. HDF5 yields the ids sorted, the others
        in the order of the file.
    frames : np.ndarray, shape (T, D), float32
        Its features; numbers of other types are converted. T may be 0; Kaldi's empty matrices have D = 0 as well.

    Raises
    ------
    CorpusError
        If the file is missing, damaged or cut short, repeats an id, or holds anything but matrices of finite numbers;
        the message names the file, and the utterance where it is known. The utterances before the fault are yielded.
    SpeechGMMError
        If the package that reads such files is not installed; the message says how to install it.

    References
    ----------
    Young et al. (2006), The HTK book 3.4, section 5.10.1; Kaldi, "Kaldi I/O mechanisms" (kaldi-asr.org/doc/io.html).

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import read_features
    >>> np.savez("features.npz", ann1=np.zeros((120, 39)), bob1=np.zeros((98, 39)))
    >>> for utterance, frames in read_features("features.npz"):
    ...     print(utterance, frames.shape)
    ann1 (120, 39)
    bob1 (98, 39)
    """
    path = Path(path)
    seen: set[str] = set()
    with corpus_errors(str(path)):
        for utterance, array in _arrays(path):
            if utterance in seen:
                raise CorpusError(f"{path}: utterance {utterance!r} is in it twice; expected each once")
            seen.add(utterance)
            yield utterance, as_frames(array, f"{path}: {utterance}")


def _arrays(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Read the arrays of a file, unconverted, with their utterances' ids."""
    with path.open("rb") as stream:
        match path.suffix.lower():
            case ".ark":
                yield from _read_ark(path, stream)
            case ".scp":
                yield from _read_scp(path)
            case ".h5" | ".hdf5":
                yield from read_hdf5(path, stream)
            case ".npz":
                yield from _read_npz(path, stream)
            case ".npy":
                yield path.stem, _numpy_array(stream, file_size(stream), str(path))
            case suffix if suffix in HTK_SUFFIXES:
                yield path.stem, _htk_matrix(stream, str(path))
            case suffix:
                raise CorpusError(f"{path}: suffix {suffix!r}; features are read from {', '.join(READABLE)}")


def _read_ark(path: Path, stream: BinaryIO) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Read a Kaldi archive: ids, each followed by a matrix."""
    while True:
        start = stream.tell()
        head = stream.read(4096)
        if not head.strip():
            return
        id_match = re.match(rb"\s*(\S+)[ \t]", head)
        if id_match is None:
            raise CorpusError(f"{path}: byte {start}: expected an utterance id and a matrix; cut short, or no archive")
        utterance = id_match[1].decode()
        stream.seek(start + id_match.end())
        yield utterance, _kaldi_matrix(stream, f"{path}: {utterance}")


def _read_scp(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Read the matrices that a Kaldi index points to."""
    for number, line in numbered_lines(path):
        utterance, place = (*line.split(None, 1), "")[:2]
        place_match = SCP_PLACE.fullmatch(place)
        if place_match is None or "|" in (place[0], place[-1]):
            raise CorpusError(
                f"{path}:{number}: {line!r}; expected utterance and file, perhaps :offset and [first:last]; "
                "commands are not run"
            )
        yield utterance, _placed_matrix(place_match, f"{path}:{number}: {utterance}: {place_match['path']}")


def read_place(place: str) -> Float32Array:
    """Read the features (T, D) of one utterance from a place as a Kaldi index gives it.

    A place is a file, optionally followed by ``:OFFSET`` and by ``[FIRST:LAST]`` for some rows. Raises CorpusError if
    it is malformed or the file is missing, damaged or cut short, and SpeechGMMError if the package that reads it is
    not installed.
    """
    return as_frames(_placed_matrix(_parse_place(place), place), place)


def shape_of_place(place: str) -> tuple[int, int]:
    """Return how many frames and features the utterance at a place has, by the header of its matrix if it has one.

    Raises the errors of `read_place`; but a matrix of which only the header is read may hold anything.
    """
    parsed = _parse_place(place)
    if not parsed["first"]:
        with corpus_errors(place), Path(parsed["path"]).open("rb") as stream:
            stream.seek(int(parsed["offset"] or 0))
            if header := _kaldi_header(stream, place):
                return header
    n_frames, n_features = read_place(place).shape
    return n_frames, n_features


def file_of_place(place: str) -> str:
    """Return the path of the file in a place of a Kaldi index; CorpusError if the place is malformed."""
    return _parse_place(place)["path"]


def _parse_place(place: str) -> re.Match[str]:
    """Parse a place in a file as a Kaldi index gives it."""
    place_match = SCP_PLACE.fullmatch(place)
    if place_match is None or "|" in (place[0], place[-1]):
        raise CorpusError(f"{place!r}: expected a file, perhaps with :offset and [first:last]; commands are not run")
    return place_match


def _placed_matrix(place: re.Match[str], where: str) -> npt.NDArray[Any]:
    """Read the matrix at a place in a file, or the stated rows of it."""
    with corpus_errors(where), Path(place["path"]).open("rb") as stream:
        stream.seek(int(place["offset"] or 0))
        matrix = _kaldi_matrix(stream, where)
        first, last = int(place["first"] or 0), int(place["last"] or 0)
    if place["first"]:
        # Kaldi accepts up to 3 frames too many: segments are cut by time, regardless of the last window's length.
        if not first <= last < len(matrix) + 3 or first >= len(matrix):
            raise CorpusError(f"{where}: rows {first} to {last} of {len(matrix)}; expected rows within the matrix")
        matrix = matrix[first : last + 1]
    return matrix


def _kaldi_matrix(stream: BinaryIO, where: str) -> npt.NDArray[Any]:
    """Read the matrix that starts here, binary or text."""
    if _kaldi_header(stream, where) is None:
        return _kaldi_text_matrix(stream, where)
    try:
        from kaldiio.matio import read_kaldi
    except ImportError as error:
        raise missing_package("kaldiio", "kaldi") from error
    with corpus_errors(where), np.errstate(over="ignore", invalid="ignore"):  # `as_frames` refuses such values
        matrix: npt.NDArray[Any] = read_kaldi(stream)
    return matrix


def _kaldi_header(stream: BinaryIO, where: str) -> tuple[int, int] | None:
    """Read how many frames and features the binary matrix that starts here has, and stay there; None for a text one."""
    start = stream.tell()
    head = stream.read(32)
    stream.seek(start)
    if re.match(rb"\s*\[", head):
        return None
    # kaldiio accepts anything: pickles, which may run any code, audio, vectors, and sizes beyond the file's.
    header = KALDI_MATRIX.match(head)
    if header is None:
        raise CorpusError(f"{where}: expected a Kaldi matrix at byte {start}; cut short, or something else")
    kind, packed = header[1] or header[4], (header[2] or header[5]) + (header[3] or header[6])
    n_frames, n_features = struct.unpack("<ii", packed)
    width = {b"FM": 4, b"DM": 8, b"CM": 1, b"CM2": 2, b"CM3": 1}[kind]
    n_bytes = header.end() + width * n_frames * n_features + (8 * n_features if kind == b"CM" else 0)
    if n_frames < 0 or n_features < 0 or start + n_bytes > file_size(stream):
        raise CorpusError(f"{where}: {n_frames} x {n_features} values announced, but the file ends before them")
    return n_frames, n_features


def _kaldi_text_matrix(stream: BinaryIO, where: str) -> npt.NDArray[Any]:
    """Read rows of numbers between brackets; kaldiio cannot read an empty matrix."""
    first, *rows = _bracketed_lines(stream, where)
    if first:
        raise CorpusError(f"{where}: a vector; expected a matrix, which starts on the line after its bracket")
    with corpus_errors(where):
        odd = next((word for row in rows for word in row if not NUMBER_WORD.fullmatch(word)), None)
        if odd is not None:
            raise CorpusError(f"{where}: {odd.decode(errors='replace')!r}; expected a number")
        values = [np.array(row, np.float64) for row in rows if row]
        return np.stack(values) if values else np.empty((0, 0))


def _bracketed_lines(stream: BinaryIO, where: str) -> Iterator[list[bytes]]:
    """Split the lines between brackets into words."""
    opened = False
    for line in stream:
        content, closing, _ = line.partition(b"]")
        if not opened and b"[" in content:
            opened, content = True, content.partition(b"[")[2]
        if opened:
            yield content.split()
        if closing:
            return
    raise CorpusError(f"{where}: a matrix without its closing bracket; the file is cut short")


def _read_npz(path: Path, stream: BinaryIO) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Read every array of a numpy archive."""
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            utterance = info.filename.removesuffix(".npy")
            where = f"{path}: {utterance}"
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise CorpusError(f"{where}: packed by ZIP's method {info.compress_type}; numpy stores or deflates")
            if info.compress_size > file_size(stream):
                raise CorpusError(f"{where}: {info.compress_size} bytes announced, {file_size(stream)} in the file")
            if info.file_size > max(MAX_UNCHECKED_BYTES, MAX_INFLATION * info.compress_size):
                raise CorpusError(f"{where}: {info.file_size} bytes announced, {info.compress_size} in the file")
            with corpus_errors(where), archive.open(info) as member:
                array = _numpy_array(member, info.file_size, where)
            yield utterance, array


def _numpy_array(stream: Any, size: int, where: str) -> npt.NDArray[Any]:
    """Read a `.npy` file of known length, open for reading bytes."""
    with corpus_errors(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files that Python 2 wrote, and obsolete names of types
        head = io.BytesIO(stream.read(LONGEST_NPY_HEADER))
        version = np.lib.format.read_magic(head)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(head)
        stream.seek(head.tell())
        check_kind(shape, dtype, where)
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes != size - stream.tell():
            raise CorpusError(f"{where}: {n_bytes} bytes announced, {size - stream.tell()} in the file")
        return np.frombuffer(stream.read(n_bytes), dtype).reshape(shape, order="F" if fortran_order else "C")


def _htk_matrix(stream: BinaryIO, where: str) -> npt.NDArray[Any]:
    """Read an HTK parameter file, in the byte order in which its header announces the bytes that are there."""
    head, size = stream.read(12), file_size(stream)
    with corpus_errors(where):
        headers = {order: _HtkHeader(*struct.unpack(f"{order}iihH", head)) for order in "><"}
    fitting = [order for order, header in headers.items() if header.fits(size)]
    fitting.sort(key=lambda order: headers[order].kind & 0o77 in HTK_INTEGER_KINDS)  # where both fit, that of features
    order = next(iter(fitting), None)
    if order is None:
        header = headers[">"]
        raise CorpusError(
            f"{where}: HTK header of {header.n_samples} samples of {header.sample_size} bytes, which makes "
            f"{header.n_bytes} bytes in all; the file has {size}"
        )
    n_samples, _, sample_size, kind = headers[order]
    if kind & 0o77 in HTK_INTEGER_KINDS:
        raise CorpusError(f"{where}: holds {HTK_INTEGER_KINDS[kind & 0o77]}; expected features")
    shape = n_samples, sample_size // headers[order].width
    if not kind & HTK_COMPRESSED:
        return np.frombuffer(stream.read(n_samples * sample_size), f"{order}f4").reshape(shape)
    # Two vectors of floats come first, counted as the four samples whose size they have: x = (stored + offset) / scale.
    scale, offset = np.frombuffer(stream.read(4 * sample_size), f"{order}f4").reshape(2, -1)
    stored = np.frombuffer(stream.read((n_samples - 4) * sample_size), f"{order}i2").reshape(n_samples - 4, shape[1])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # `as_frames` refuses such values
        frames: npt.NDArray[Any] = (stored + offset) / scale
    return frames


class _HtkHeader(NamedTuple):
    """The header of an HTK parameter file."""

    n_samples: int
    period: int  # in 100 ns
    sample_size: int  # in bytes
    kind: int

    @property
    def width(self) -> int:
        """Bytes of a value."""
        return 2 if self.kind & HTK_COMPRESSED or self.kind & 0o77 in HTK_INTEGER_KINDS else 4

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return 12 + self.n_samples * self.sample_size + (2 if self.kind & HTK_CHECKSUM else 0)

    def fits(self, size: int) -> bool:
        """Check whether it announces whole values, and as many bytes as the file has."""
        n_least = 4 if self.kind & HTK_COMPRESSED else 0
        whole = self.n_samples >= n_least and self.sample_size >= 0 and self.sample_size % self.width == 0
        return whole and self.n_bytes == size

"""Vectors of recordings by name, in files: numpy, HDF5, CSV and Kaldi's archives of vectors.

Files are written one vector at a time, first to a temporary file, which is then moved into place. Files that are read
are not trusted, as those of features are not.
"""

import csv
import io
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array
from speechgmm.errors import CorpusError
from speechgmm.features.formats.common import MAX_INFLATION, MAX_UNCHECKED_BYTES, corpus_errors, file_size, import_h5py
from speechgmm.features.formats.hdf5 import check_stored
from speechgmm.features.formats.writing import DeferredErrorFile
from speechgmm.files import read_number, replacing

VECTOR_SUFFIXES = (".npz", ".h5", ".hdf5", ".csv", ".ark")
"""Suffixes of the files of vectors that are written and read."""

KALDI_VECTOR = re.compile(rb"\x00B([FD])V \x04(.{4})", re.DOTALL)

Named = Iterator[tuple[str, npt.NDArray[Any]]]
"""Vectors with the names of their recordings."""


def write_vectors(path: str | Path, names: Sequence[str], vectors: Iterable[npt.ArrayLike]) -> None:
    """Write a vector for each of the named recordings to a file that other programs read.

    Parameters
    ----------
    path : str or Path
        The suffix selects the format: ``.npz`` (an array for each name), ``.h5`` or ``.hdf5`` (a dataset for each
        name, in groups where it has slashes), ``.csv`` (columns ``id``, ``1``, ``2``, ...) or ``.ark`` (Kaldi's binary
        vectors, with the index ``.scp`` beside, which names the archive by `path`). `read_vectors` reads them all.
        Numbers are float64 in all but Kaldi's archives, which hold float32, as Kaldi's own i-vectors. Existing files
        are replaced once the new ones are complete. The same vectors give the same bytes.
    names : sequence of U str
        Names of the recordings, each once.
    vectors : iterable of U arrays, each of shape (R,)
        Their vectors in this order, as an array (U, R) or one after another; taken one at a time.

    Raises
    ------
    CorpusError
        If the suffix is another, a name is repeated or cannot be one in such a file, or a vector is not one of R finite
        numbers, in Kaldi's archives of float32; the message names the file and the recording.
    ValueError
        If there are fewer or more vectors than names.
    SpeechGMMError
        If the package that writes HDF5 is not installed; the message says how to install it.
    OSError
        If the file cannot be written, for example because the disk is full.

    Examples
    --------
    >>> from pathlib import Path
    >>> from speechgmm import read_vectors, write_vectors
    >>> write_vectors("vectors.csv", ["ann-1", "bob-1"], [[0.5, -1.25], [2.0, 0.1]])
    >>> print(Path("vectors.csv").read_text(), end="")
    id,1,2
    ann-1,0.5,-1.25
    bob-1,2.0,0.1
    >>> read_vectors("vectors.csv")["bob-1"]
    array([2. , 0.1])
    """
    path = Path(path)
    check_vector_file(path, names)
    named = _checked(path, _named(path, names, vectors))
    match path.suffix.lower():
        case ".npz":
            _write_npz(path, named)
        case ".h5" | ".hdf5":
            _write_hdf5(path, named)
        case ".csv":
            _write_csv(path, named)
        case _:
            _write_ark(path, named)


def read_vectors(path: str | Path) -> dict[str, Float64Array]:
    """Read the vectors of recordings by their names.

    Parameters
    ----------
    path : str or Path
        A file as `write_vectors` writes it: ``.npz``, ``.h5``, ``.hdf5``, ``.csv``, or ``.ark`` with Kaldi's binary
        vectors of float32 or float64.

    Returns
    -------
    dict of str to np.ndarray, shape (R,), float64
        Each recording's vector, in the order of the file, of HDF5 sorted by name.

    Raises
    ------
    CorpusError
        If the file is missing, damaged or cut short, repeats a name, or holds anything but vectors of R finite numbers;
        the message names the file, and the recording where it is known.
    SpeechGMMError
        If the package that reads HDF5 is not installed; the message says how to install it.

    References
    ----------
    Kaldi, "Kaldi I/O mechanisms" (kaldi-asr.org/doc/io.html).

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import read_vectors
    >>> np.savez("vectors.npz", **{"ann-1": [0.5, -1.25], "bob-1": [2.0, 0.1]})
    >>> vectors = read_vectors("vectors.npz")
    >>> np.stack([vectors[name] for name in ("bob-1", "ann-1")])
    array([[ 2.  ,  0.1 ],
           [ 0.5 , -1.25]])
    """
    path = Path(path)
    vectors: dict[str, Float64Array] = {}
    with corpus_errors(str(path)), path.open("rb") as stream:
        room = max(MAX_UNCHECKED_BYTES, MAX_INFLATION * file_size(stream))
        for name, vector in _checked(path, _arrays(path, stream)):
            if name in vectors:
                raise CorpusError(f"{path}: recording {name!r} is in it twice; expected each once")
            vectors[name] = vector
            room -= vector.nbytes
            if room < 0:
                raise CorpusError(
                    f"{path}: more than {MAX_INFLATION} times as many numbers as fit into its {file_size(stream)} bytes"
                )
    return vectors


def check_vector_file(path: Path, names: Sequence[str]) -> None:
    """Refuse, before there are vectors, what `write_vectors` would refuse of a file and its names."""
    suffix = path.suffix.lower()
    if suffix not in VECTOR_SUFFIXES:
        raise CorpusError(f"{path}: suffix {path.suffix!r}; vectors are written to {', '.join(VECTOR_SUFFIXES)}")
    if path.is_dir():
        raise CorpusError(f"{path}: a folder; expected the name of a file")
    if suffix == ".ark" and (not str(path).isprintable() or str(path) != str(path).strip(" |")):
        raise CorpusError(f"{str(path)!r}: cannot stand in a Kaldi index; expected another name")
    known: set[str] = set()
    for name in names:
        if name in known:
            raise CorpusError(f"{path}: recording {name!r} is given twice; expected each once")
        known.add(name)
        if not name or not name.isprintable():
            raise CorpusError(f"{path}: recording {name!r}; expected printable characters")
        if suffix == ".ark" and name.split() != [name]:
            raise CorpusError(f"{path}: recording {name!r}; expected a name without white space")
        if suffix not in (".csv", ".ark") and ("\\" in name or {"", ".", ".."}.intersection(name.split("/"))):
            raise CorpusError(
                f"{path}: recording {name!r}; expected a name without \\, and between slashes something other than . "
                "and .."
            )
    if suffix in (".h5", ".hdf5"):
        import_h5py()
        _check_groups(path, known)


def _check_groups(path: Path, names: set[str]) -> None:
    """Refuse a name that HDF5 needs for a group, too: ``a`` beside ``a/b``."""
    for name in sorted(names):
        groups = {name[:at] for at, letter in enumerate(name) if letter == "/"}
        for group in sorted(groups & names):
            raise CorpusError(
                f"{path}: recordings {group!r} and {name!r}: HDF5 cannot hold both; expected .npz, .csv or .ark"
            )


def _named(path: Path, names: Sequence[str], vectors: Iterable[npt.ArrayLike]) -> Named:
    """Give each vector its name; there are as many of them."""
    rows = iter(vectors)
    for n_before, name in enumerate(names):
        for vector in rows:
            yield name, np.asarray(vector)
            break
        else:
            raise ValueError(f"{path}: {n_before} vectors for {len(names)} names; expected as many")
    if any(True for _ in rows):
        raise ValueError(f"{path}: more than {len(names)} vectors for {len(names)} names; expected as many")


def _checked(path: Path, named: Named) -> Iterator[tuple[str, Float64Array]]:
    """Convert vectors to float64, and refuse what is not one, or of another dimension than the first."""
    first: tuple[str, int] | None = None
    for name, array in named:
        where = f"{path}: {name}"
        _check_kind(array.shape, array.dtype, where)
        with np.errstate(over="ignore", invalid="ignore"):  # longer floats, signalling NaN; checked below
            vector = np.array(array, np.float64)
        if not np.isfinite(vector).all():
            n = int(np.argmin(np.isfinite(vector)))
            raise CorpusError(f"{where}: number {n + 1} is {vector[n]}; expected finite numbers")
        first = first or (name, len(vector))
        if len(vector) != first[1]:
            raise CorpusError(f"{where}: {len(vector)} numbers, and {first[0]} has {first[1]}; expected as many")
        yield name, vector


def _check_kind(shape: tuple[int, ...] | None, dtype: np.dtype[Any], where: str) -> None:
    """Refuse an array that is not a vector of real numbers, one at least."""
    if shape is None or len(shape) != 1 or not shape[0] or dtype.kind not in "fiu":
        raise CorpusError(f"{where}: an array of {dtype}, shape {shape}; expected a vector of numbers")


def _write_npz(path: Path, named: Iterable[tuple[str, Float64Array]]) -> None:
    """Write a numpy archive, not compressed."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, vector in named:
            member = io.BytesIO()
            np.save(member, vector.astype("<f8", copy=False))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())  # dated 1980


def _write_hdf5(path: Path, named: Iterable[tuple[str, Float64Array]]) -> None:
    """Write an HDF5 file of datasets."""
    h5py = import_h5py()
    with replacing(path) as temporary, DeferredErrorFile(temporary, "w+") as stream:
        with h5py.File(stream, "w") as file:
            for name, vector in named:
                file.create_dataset(name, data=vector, dtype="<f8", track_times=False)
                stream.check()
        stream.check()


def _write_csv(path: Path, named: Iterable[tuple[str, Float64Array]]) -> None:
    """Write a table of numbers that read back as the same."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        n_numbers = None
        for name, vector in named:
            if n_numbers is None:
                n_numbers = len(vector)
                writer.writerow(["id", *range(1, n_numbers + 1)])
            writer.writerow([name, *map(repr, vector.tolist())])
        if n_numbers is None:
            writer.writerow(["id"])


def _write_ark(path: Path, named: Iterable[tuple[str, Float64Array]]) -> None:
    """Write a Kaldi archive of binary vectors, and its index."""
    # The archive is renamed first: an index may be missing, but never points to a missing archive.
    with (
        replacing(path.with_suffix(".scp")) as new_index,
        replacing(path) as new_archive,
        new_archive.open("wb") as stream,
        new_index.open("w", encoding="utf-8", newline="\n") as index,
    ):
        for name, vector in named:
            stream.write(f"{name} ".encode())
            index.write(f"{name} {path}:{stream.tell()}\n")
            stream.write(struct.pack("<5sbi", b"\0BFV ", 4, len(vector)))
            stream.write(_single_precision(vector, f"{path}: {name}").data)


def _single_precision(vector: Float64Array, where: str) -> npt.NDArray[np.float32]:
    """Convert a vector to float32, which does not hold the largest numbers."""
    with np.errstate(over="ignore"):  # checked below
        single = vector.astype("<f4")
    if not np.isfinite(single).all():
        n = int(np.argmin(np.isfinite(single)))
        raise CorpusError(f"{where}: number {n + 1} is {vector[n]:g}; expected float32, which ends at 3.4e38")
    return single


def _arrays(path: Path, stream: BinaryIO) -> Named:
    """Read the arrays of a file, unconverted, with their names."""
    match path.suffix.lower():
        case ".npz":
            yield from _read_npz(path, stream)
        case ".h5" | ".hdf5":
            yield from _read_hdf5(path, stream)
        case ".csv":
            yield from _read_csv(path, stream)
        case ".ark":
            yield from _read_ark(path, stream)
        case _:
            raise CorpusError(f"{path}: suffix {path.suffix!r}; vectors are read from {', '.join(VECTOR_SUFFIXES)}")


def _read_npz(path: Path, stream: BinaryIO) -> Named:
    """Read every array of a numpy archive."""
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            where = f"{path}: {name}"
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise CorpusError(f"{where}: packed by ZIP's method {info.compress_type}; numpy stores or deflates")
            if info.file_size > max(MAX_UNCHECKED_BYTES, MAX_INFLATION * min(info.compress_size, file_size(stream))):
                raise CorpusError(f"{where}: {info.file_size} bytes announced, {info.compress_size} in the file")
            with corpus_errors(where), archive.open(info) as member:
                yield name, _numpy_vector(member.read(info.file_size), where)


def _numpy_vector(content: bytes, where: str) -> npt.NDArray[Any]:
    """Read the vector in a `.npy` file."""
    head = io.BytesIO(content)
    version = np.lib.format.read_magic(head)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(head)
    _check_kind(shape, dtype, where)
    n_bytes, n_left = shape[0] * dtype.itemsize, len(content) - head.tell()
    if n_bytes != n_left:
        raise CorpusError(f"{where}: {n_bytes} bytes announced, {n_left} in the file")
    return np.frombuffer(content, dtype, offset=head.tell())


def _read_hdf5(path: Path, stream: BinaryIO) -> Named:
    """Read every dataset of an HDF5 file."""
    h5py = import_h5py()
    with h5py.File(stream, "r") as file:
        links: dict[str, Any] = {}
        file.visititems_links(links.__setitem__)
        for name, link in links.items():
            where = f"{path}: {name}"
            if not isinstance(link, h5py.HardLink):
                raise CorpusError(f"{where}: a link to something else; expected datasets, in groups or not")
            with corpus_errors(where):
                item = file[name]
                if isinstance(item, h5py.Group):
                    continue
                _check_kind(item.shape, item.dtype, where)
                check_stored(item, where, file_size(stream))
                yield name, item[()]


def _read_csv(path: Path, stream: BinaryIO) -> Named:
    """Read the rows of a table."""
    with closing(io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")) as text:
        reader = csv.reader(_whole_lines(path, text), strict=True)
        try:
            header = next(reader, [])
            if header[:1] != ["id"]:
                raise CorpusError(f"{path}:1: column {''.join(header[:1])!r}; expected id, and one for each number")
            for row in reader:
                if len(row) != len(header):
                    raise CorpusError(f"{path}:{reader.line_num}: {len(row)} columns; expected {len(header)}, as above")
                yield row[0], _numbers(row[1:], f"{path}:{reader.line_num}")
        except csv.Error as error:
            raise CorpusError(f"{path}:{reader.line_num}: no row of a table ({error})") from error


def _whole_lines(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Pass lines on; the last one without an end is cut short."""
    for line in lines:
        if not line.endswith(("\n", "\r")):
            raise CorpusError(f"{path}: the last line has no end; expected one, as the file may be cut short")
        yield line


def _numbers(words: Sequence[str], where: str) -> Float64Array:
    """Read the numbers of a row."""
    numbers = np.array([read_number(word) for word in words])
    if np.isnan(numbers).any():
        n = int(np.argmax(np.isnan(numbers)))
        raise CorpusError(f"{where}: column {n + 2}: {words[n]!r}; expected a number")
    return numbers


def _read_ark(path: Path, stream: BinaryIO) -> Named:
    """Read a Kaldi archive: names, each followed by a binary vector."""
    while True:
        start = stream.tell()
        head = stream.read(4096)
        if not head.strip():
            return
        name_match = re.match(rb"\s*(\S+)[ \t]", head)
        if name_match is None:
            raise CorpusError(f"{path}: byte {start}: expected a name and a vector; cut short, or no archive")
        stream.seek(start + name_match.end())
        name = name_match[1].decode()
        yield name, _kaldi_vector(stream, f"{path}: {name}")


def _kaldi_vector(stream: BinaryIO, where: str) -> npt.NDArray[Any]:
    """Read the binary vector that starts here."""
    start = stream.tell()
    header = KALDI_VECTOR.match(stream.read(10))
    if header is None:
        raise CorpusError(f"{where}: expected a binary Kaldi vector at byte {start}; cut short, or something else")
    dtype = np.dtype("<f4" if header[1] == b"F" else "<f8")
    (n_numbers,) = struct.unpack("<i", header[2])
    n_bytes = n_numbers * dtype.itemsize
    if not 0 <= n_bytes <= file_size(stream) - stream.tell():
        raise CorpusError(f"{where}: {n_numbers} numbers announced, but the file ends before them")
    return np.frombuffer(stream.read(n_bytes), dtype)

"""Writing features to files that other programs read: Kaldi, HTK, HDF5 and numpy.

Files are written block by block, so that an utterance of ten hours needs no more memory than a short one: first to a
temporary file, which is then moved into place.
"""

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.errors import CorpusError
from speechgmm.features.formats.common import HTK_USER, MAX_COUNT, WRITABLE, Matrix, as_frames, import_h5py
from speechgmm.features.frames.vad import check_shift
from speechgmm.files import replacing


def write_features(path: str | Path, utterances: Iterable[Matrix], *, frame_shift: float = 0.010) -> None:
    """Write features to a file that other programs read.

    Parameters
    ----------
    path : str or Path
        The suffix, one of ``.ark``, ``.h5``, ``.hdf5``, ``.npz``, ``.npy``, ``.htk`` and ``.mfc``, selects the format;
        `read_features` reads them all. Beside ``x.ark`` the index ``x.scp`` is written, which names the archive by
        `path`. Existing files are replaced once the new ones are complete. The same utterances give the same bytes.
    utterances : iterable of Matrix
        The features to write, in order, with their utterances' ids; processed one at a time. A file of ``.npy``,
        ``.htk`` or ``.mfc`` holds exactly one utterance, without its id.
    frame_shift : float > 0, seconds
        From one frame to the next. Only HTK's files store it, in whole units of 100 ns.

    Raises
    ------
    CorpusError
        If an id is repeated or cannot be a name in such a file, a value is not finite, or the format cannot hold so
        many features or utterances; the message names the file and the utterance.
    ValueError
        If the blocks of an utterance differ from its announced size, or `frame_shift` is out of range.
    SpeechGMMError
        If the package that writes HDF5 is not installed; the message says how to install it.
    OSError
        If the file cannot be written, for example because the disk is full.

    Notes
    -----
    Kaldi has no empty matrix with columns: an utterance without frames becomes 0 x 0 in its archives.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import read_features, write_features
    >>> from speechgmm.features.formats.common import Matrix
    >>> frames = np.arange(6, dtype=np.float32).reshape(3, 2)
    >>> write_features("ann-1.htk", [Matrix.from_array("ann-1", frames)])
    >>> [(utterance, features.tolist()) for utterance, features in read_features("ann-1.htk")]
    [('ann-1', [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])]
    """
    path = Path(path)
    matrices = _check_names(path, utterances)
    match path.suffix.lower():
        case ".ark":
            _write_ark(path, matrices)
        case ".h5" | ".hdf5":
            _write_hdf5(path, matrices)
        case ".npz":
            _write_npz(path, matrices)
        case ".npy":
            _write_npy(path, _single(path, matrices))
        case ".htk" | ".mfc":
            _write_htk(path, _single(path, matrices), frame_shift)
        case suffix:
            raise CorpusError(f"{path}: suffix {suffix!r}; features are written to {', '.join(WRITABLE)}")


def _check_names(path: Path, utterances: Iterable[Matrix]) -> Iterator[Matrix]:
    """Refuse ids that are repeated, or cannot be names in such a file."""
    seen: set[str] = set()
    for matrix in utterances:
        name = matrix.utterance
        if name in seen:
            raise CorpusError(f"{path}: utterance {name!r} is given twice; expected each once")
        seen.add(name)
        match path.suffix.lower():
            case ".ark" if not name.isprintable() or name.split() != [name]:
                raise CorpusError(f"{path}: utterance {name!r}; expected printable characters without white space")
            case ".h5" | ".hdf5" | ".npz" if (
                not name.isprintable() or "\\" in name or {"", ".", ".."}.intersection(name.split("/"))
            ):
                raise CorpusError(
                    f"{path}: utterance {name!r}; expected printable characters but \\, and between slashes something "
                    "other than . and .."
                )
        yield matrix


def _single(path: Path, matrices: Iterator[Matrix]) -> Matrix:
    """Return the one utterance of a file that holds one, and refuse none or several."""
    first_two = list(islice(matrices, 2))
    if len(first_two) != 1:
        n_utterances = "more than one utterance" if first_two else "no utterance"
        raise CorpusError(f"{path}: {n_utterances}; such a file holds one")
    return first_two[0]


def _blocks(path: Path, matrix: Matrix) -> Iterator[Float32Array]:
    """Yield the frames of an utterance, and check them against its announced size."""
    n_frames = 0
    for block in matrix.blocks():
        frames = as_frames(block, f"{path}: {matrix.utterance}")
        n_frames += len(frames)
        if frames.shape[1] != matrix.n_features or n_frames > matrix.n_frames:
            raise ValueError(
                f"{path}: {matrix.utterance}: {n_frames} x {frames.shape[1]} frames x features so far; "
                f"{matrix.n_frames} x {matrix.n_features} were announced"
            )
        yield frames.astype("<f4", copy=False)
    if n_frames != matrix.n_frames:
        raise ValueError(f"{path}: {matrix.utterance}: {n_frames} frames; {matrix.n_frames} were announced")


def _write_ark(path: Path, matrices: Iterator[Matrix]) -> None:
    """Write a Kaldi archive of binary matrices, and its index."""
    index = path.with_suffix(".scp")
    if not str(path).isprintable() or str(path) != str(path).strip(" |"):
        raise CorpusError(f"{str(path)!r}: cannot stand in a Kaldi index; expected another name")
    lines: list[str] = []
    # The archive is renamed first: an index may be missing, but never points to a missing archive.
    with replacing(index) as new_index, replacing(path) as new_archive:
        with new_archive.open("wb") as stream:
            for matrix in matrices:
                stream.write(f"{matrix.utterance} ".encode())
                lines.append(f"{matrix.utterance} {path}:{stream.tell()}\n")
                n_features = matrix.n_features if matrix.n_frames else 0
                stream.write(struct.pack("<5sbibi", b"\0BFM ", 4, matrix.n_frames, 4, n_features))
                for block in _blocks(path, matrix):
                    stream.write(block.data)
        new_index.write_text("".join(lines), encoding="utf-8", newline="\n")


def _write_hdf5(path: Path, matrices: Iterator[Matrix]) -> None:
    """Write an HDF5 file of datasets."""
    h5py = import_h5py()
    with replacing(path) as temporary, DeferredErrorFile(temporary, "w+") as stream:
        with h5py.File(stream, "w") as file:
            for matrix in matrices:
                shape = matrix.n_frames, matrix.n_features
                try:
                    dataset = file.create_dataset(matrix.utterance, shape, "<f4", track_times=False)
                except (TypeError, ValueError) as error:  # ids such as "a" and "a/b"
                    raise CorpusError(f"{path}: utterance {matrix.utterance!r} beside the others: {error}") from error
                start = 0
                for block in _blocks(path, matrix):
                    dataset[start : start + len(block)] = block
                    start += len(block)
                    stream.check()
        stream.check()


class DeferredErrorFile(io.FileIO):
    """A file that stores its errors for later, because HDF5 ends the whole process over a full disk."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, or store the error."""
        view = memoryview(data).cast("B")
        n_bytes = len(view)
        try:
            while view:
                view = view[super().write(view) :]
        except OSError as error:
            self.failure = error
        return n_bytes

    def truncate(self, size: int | None = None) -> int:
        """Change the length, or store the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = error
            return size or 0

    def check(self) -> None:
        """Raise the stored error, if there is one."""
        if self.failure is not None:
            raise self.failure


def _write_npz(path: Path, matrices: Iterator[Matrix]) -> None:
    """Write a numpy archive, not compressed."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for matrix in matrices:
            info = zipfile.ZipInfo(f"{matrix.utterance}.npy")  # dated 1980
            with archive.open(info, "w", force_zip64=True) as member:
                _write_array(member, path, matrix)


def _write_npy(path: Path, matrix: Matrix) -> None:
    """Write a numpy file."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        _write_array(stream, path, matrix)


def _write_array(stream: Any, path: Path, matrix: Matrix) -> None:
    """Write an array as numpy does."""
    shape = matrix.n_frames, matrix.n_features
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for block in _blocks(path, matrix):
        stream.write(block.data)


def _write_htk(path: Path, matrix: Matrix, frame_shift: float) -> None:
    """Write an HTK parameter file of kind USER."""
    check_shift(frame_shift)
    period = round(frame_shift * 1e7)
    if not 0 < period <= MAX_COUNT:
        raise ValueError(f"frame_shift {frame_shift} s; HTK's files hold 1 to {MAX_COUNT} units of 100 ns")
    if 4 * matrix.n_features > 32767:
        raise CorpusError(f"{path}: {matrix.utterance}: {matrix.n_features} features; HTK's files hold up to 8191")
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(struct.pack(">iihH", matrix.n_frames, period, 4 * matrix.n_features, HTK_USER))
        for block in _blocks(path, matrix):
            stream.write(block.astype(">f4").data)

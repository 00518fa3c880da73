"""Features into files that other programs read: Kaldi, HTK, HDF5 and numpy.

Whatever is written goes block by block, so that an utterance of ten hours takes no more memory than a short one,
beside the file and then into its place.
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
        Its suffix, one of `WRITABLE`, says what it becomes: those that `read_features` reads. Beside ``x.ark`` the
        index ``x.scp`` is written, which names the archive as it is named here. Existing files are replaced once
        the new ones are complete. The same utterances give the same bytes.
    utterances : iterable of Matrix
        What to write, in order; taken one at a time. `ONE_UTTERANCE` files hold exactly one and not its id.
    frame_shift : float > 0, seconds
        From one frame to the next. Only HTK's files tell it, in whole units of 100 ns.

    Raises
    ------
    CorpusError
        If an id is there twice or cannot be a name in such a file, a value is not finite, or the format cannot hold
        so many features or utterances; the message names the file and the utterance.
    ValueError
        If the blocks of an utterance are not what it announced, or `frame_shift` is out of range.
    SpeechGMMError
        If the package that writes HDF5 is not installed; the message says how to install it.
    OSError
        If the file cannot be written, as when the disk is full.

    Notes
    -----
    Kaldi knows no empty matrix with columns: an utterance without frames becomes 0 x 0 in its archives.
    """
    path = Path(path)
    matrices = _checked(path, utterances)
    match path.suffix.lower():
        case ".ark":
            _write_ark(path, matrices)
        case ".h5" | ".hdf5":
            _write_hdf5(path, matrices)
        case ".npz":
            _write_npz(path, matrices)
        case ".npy":
            _write_npy(path, _only(path, matrices))
        case ".htk" | ".mfc":
            _write_htk(path, _only(path, matrices), frame_shift)
        case suffix:
            raise CorpusError(f"{path}: suffix {suffix!r}; features are written to {', '.join(WRITABLE)}")


def _checked(path: Path, utterances: Iterable[Matrix]) -> Iterator[Matrix]:
    """Refuse ids that are there twice, or cannot be names in such a file."""
    seen: set[str] = set()
    for matrix in utterances:
        name = matrix.utterance
        if name in seen:
            raise CorpusError(f"{path}: utterance {name!r} is there twice")
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


def _only(path: Path, matrices: Iterator[Matrix]) -> Matrix:
    """Take the one utterance of a file that holds one."""
    taken = list(islice(matrices, 2))
    if len(taken) != 1:
        raise CorpusError(f"{path}: {'more than one utterance' if taken else 'no utterance'}; such a file holds one")
    return taken[0]


def _blocks(path: Path, matrix: Matrix) -> Iterator[Float32Array]:
    """Make the frames of an utterance, and hold them to what it announced."""
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
    # The archive is renamed first: an index may be missing, but never points to what is not there.
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
    with replacing(path) as temporary, _SteadyFile(temporary, "w+") as stream:
        with h5py.File(stream, "w") as file:
            for matrix in matrices:
                shape = matrix.n_frames, matrix.n_features
                try:
                    dataset = file.create_dataset(matrix.utterance, shape, "<f4", track_times=False)
                except (TypeError, ValueError) as error:  # "a" and "a/b"
                    raise CorpusError(f"{path}: utterance {matrix.utterance!r} beside the others: {error}") from error
                start = 0
                for block in _blocks(path, matrix):
                    dataset[start : start + len(block)] = block
                    start += len(block)
                    stream.check()
        stream.check()


class _SteadyFile(io.FileIO):
    """A file that keeps its errors for later, because HDF5 ends the whole process over a full disk."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, or keep the error."""
        view = memoryview(data).cast("B")
        n_bytes = len(view)
        try:
            while view:
                view = view[super().write(view) :]
        except OSError as error:
            self.failure = error
        return n_bytes

    def truncate(self, size: int | None = None) -> int:
        """Change the length, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = error
            return size or 0

    def check(self) -> None:
        """Raise what was kept."""
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

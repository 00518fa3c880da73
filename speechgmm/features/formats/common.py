"""What reading and writing other programs' feature files share: suffixes, checks and the matrix to write."""

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float32Array
from speechgmm.errors import CorpusError, SpeechGMMError

HTK_SUFFIXES = (".htk", ".mfc", ".plp", ".fea")
"""Suffixes of HTK's parameter files."""

READABLE = (".ark", ".scp", ".h5", ".hdf5", ".npz", ".npy", *HTK_SUFFIXES)
"""Suffixes of the files that `read_features` reads."""

WRITABLE = (".ark", ".h5", ".hdf5", ".npz", ".npy", ".htk", ".mfc")
"""Suffixes of the files that `write_features` writes."""

ONE_UTTERANCE = (".npy", ".htk", ".mfc")
"""Suffixes of files that hold one utterance, whose id is the file's name."""

DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError),
    *(SystemError, TypeError, ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""Errors that the libraries' readers raise over files with unexpected contents."""

MAX_INFLATION = 100
"""Greatest growth of a large compressed array: features hardly grow, a decompression bomb grows a thousandfold."""

MAX_UNCHECKED_BYTES = 2**24
"""Size of an array up to which its growth is not limited."""

MATRIX_BLOCK_FRAMES = 8192
"""Frames in a block of `Matrix.from_array`."""

MAX_COUNT = 2**31 - 1
"""Kaldi and HTK count in 32 bits."""

HTK_USER, HTK_COMPRESSED, HTK_CHECKSUM = 9, 0o2000, 0o10000
"""Kind of an HTK file, and the flags added to it."""


@dataclass(frozen=True)
class Matrix:
    """The frames of an utterance to write, produced when they are needed."""

    utterance: str  # its id
    n_frames: int  # T >= 0
    n_features: int  # D > 0, or 0 if there are no frames
    blocks: Callable[[], Iterable[Float32Array]]  # yields the frames as arrays (any, D), T rows in all; called once

    def __post_init__(self) -> None:
        n_frames, n_features = self.n_frames, self.n_features
        if not (0 <= n_frames <= MAX_COUNT and 0 <= n_features <= MAX_COUNT and (n_features or not n_frames)):
            raise ValueError(
                f"{self.utterance}: n_frames {n_frames}, n_features {n_features}; expected 0 to {MAX_COUNT}, and 1 "
                "feature at least in a frame"
            )

    @classmethod
    def from_array(cls, utterance: str, frames: Float32Array) -> "Matrix":
        """Return a matrix that refers to frames (T, D) in memory, or mapped into it."""
        n_frames, n_features = frames.shape

        def blocks() -> Iterator[Float32Array]:
            """Slice the frames."""
            for start in range(0, n_frames, MATRIX_BLOCK_FRAMES):
                yield frames[start : start + MATRIX_BLOCK_FRAMES]

        return cls(utterance, n_frames, n_features, blocks)


def check_kind(shape: tuple[int, ...] | None, dtype: np.dtype[Any], where: str) -> None:
    """Refuse an array that is not a matrix of real numbers, or has frames without features, with a CorpusError.

    `where` names file and utterance in the message.
    """
    if shape is None or len(shape) != 2 or dtype.kind not in "fiu" or (shape[0] and not shape[1]):
        raise CorpusError(f"{where}: an array of {dtype}, shape {shape}; expected numbers, frames x features")


def as_frames(array: npt.NDArray[Any], where: str) -> Float32Array:
    """Convert a matrix of numbers to finite float32 frames (T, D); anything else is a CorpusError.

    `where` names file and utterance in the message.
    """
    check_kind(array.shape, array.dtype, where)
    with np.errstate(over="ignore", invalid="ignore"):  # checked below
        frames = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(frames).all():
        frame, feature = np.argwhere(~np.isfinite(frames))[0]
        raise CorpusError(
            f"{where}: frame {frame}, feature {feature} is {array[frame, feature]}; expected finite float32"
        )
    return frames


def import_h5py() -> Any:
    """Import h5py; if it is not installed, raise a SpeechGMMError that says how to install it."""
    try:
        import h5py
    except ImportError as error:
        raise missing_package("h5py", "hdf5") from error
    return h5py


def missing_package(package: str, extra: str) -> SpeechGMMError:
    """Format the error for an optional package that is not installed, with the extra that installs it."""
    return SpeechGMMError(f"such files need the package {package}: pip install 'speechgmm[{extra}]'")


@contextmanager
def corpus_errors(where: str) -> Iterator[None]:
    """Convert any error that a reader raises over a damaged file to a CorpusError that names the place."""
    try:
        yield
    except SpeechGMMError:
        raise
    except OSError as error:
        raise CorpusError(f"{where}: not readable ({error.strerror or error})") from error
    except DAMAGE as error:
        raise CorpusError(f"{where}: damaged, or not what the suffix says ({error or type(error).__name__})") from error


def file_size(stream: BinaryIO) -> int:
    """Return the length of an open file in bytes."""
    return os.fstat(stream.fileno()).st_size

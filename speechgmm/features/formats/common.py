"""What the files of other programs that hold features have in common: their suffixes, and what is written to them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float32Array
from speechgmm.errors import CorpusError, SpeechGMMError

READABLE = (".ark", ".scp", ".h5", ".hdf5", ".npz", ".npy", ".htk", ".mfc")
"""Suffixes that `speechgmm.features.formats.reading` knows."""

WRITABLE = (".ark", ".h5", ".hdf5", ".npz", ".npy", ".htk", ".mfc")
"""Suffixes that `speechgmm.features.formats.writing` knows."""

ONE_UTTERANCE = (".npy", ".htk", ".mfc")
"""Suffixes of files that hold one utterance, whose id is the file's name."""

BLOCK_FRAMES = 8192
"""Frames that `Matrix.of` gives at a time."""

MAX_COUNT = 2**31 - 1
"""Kaldi and HTK count in 32 bits."""

HTK_USER, HTK_COMPRESSED, HTK_CHECKSUM = 9, 0o2000, 0o10000
"""Kind of an HTK file, and flags beside it."""


@dataclass(frozen=True)
class Matrix:
    """The frames of an utterance to write, made when they are asked for.

    Parameters
    ----------
    utterance : str
        Its id.
    n_frames : int >= 0, frames
        How many there are, T.
    n_features : int > 0, or 0 if there are no frames
        Features of a frame, D.
    blocks : callable
        Gives the frames as arrays of shape (any, D), T rows in all. It is called once.
    """

    utterance: str
    n_frames: int
    n_features: int
    blocks: Callable[[], Iterable[Float32Array]]

    def __post_init__(self) -> None:
        n_frames, n_features = self.n_frames, self.n_features
        if not (0 <= n_frames <= MAX_COUNT and 0 <= n_features <= MAX_COUNT and (n_features or not n_frames)):
            raise ValueError(
                f"{self.utterance}: n_frames {n_frames}, n_features {n_features}; expected 0 to {MAX_COUNT}, and 1 "
                "feature at least in a frame"
            )

    @classmethod
    def of(cls, utterance: str, frames: Float32Array) -> "Matrix":
        """Take frames that are at hand.

        Parameters
        ----------
        utterance : str
            Their utterance's id.
        frames : np.ndarray, shape (T, D)
            In memory, or mapped into it.

        Returns
        -------
        Matrix
            It refers to `frames`.
        """
        n_frames, n_features = frames.shape

        def blocks() -> Iterator[Float32Array]:
            """Slice the frames."""
            for start in range(0, n_frames, BLOCK_FRAMES):
                yield frames[start : start + BLOCK_FRAMES]

        return cls(utterance, n_frames, n_features, blocks)


def check_kind(shape: tuple[int, ...] | None, dtype: np.dtype[Any], where: str) -> None:
    """Refuse what is no matrix of real numbers.

    Parameters
    ----------
    shape : tuple of int, or None
        Of the array.
    dtype : np.dtype
        Of the array.
    where : str
        File and utterance, for the message.

    Raises
    ------
    CorpusError
        If it is not two-dimensional, not of numbers, or has frames without features.
    """
    if shape is None or len(shape) != 2 or dtype.kind not in "fiu" or (shape[0] and not shape[1]):
        raise CorpusError(f"{where}: an array of {dtype}, shape {shape}; expected numbers, frames x features")


def as_frames(array: npt.NDArray[Any], where: str) -> Float32Array:
    """Make finite float32 frames of an array.

    Parameters
    ----------
    array : np.ndarray
        Any.
    where : str
        File and utterance, for the message.

    Returns
    -------
    np.ndarray, shape (T, D), float32, finite

    Raises
    ------
    CorpusError
        If it is no matrix of finite numbers.
    """
    check_kind(array.shape, array.dtype, where)
    with np.errstate(over="ignore", invalid="ignore"):  # found out below
        frames = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(frames).all():
        frame, feature = np.argwhere(~np.isfinite(frames))[0]
        raise CorpusError(
            f"{where}: frame {frame}, feature {feature} is {array[frame, feature]}; expected finite float32"
        )
    return frames


def import_h5py() -> Any:
    """Import HDF5's package, which not everybody has.

    Returns
    -------
    module

    Raises
    ------
    SpeechGMMError
        If it is not installed; says how to install it.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_package("h5py", "hdf5") from error
    return h5py


def missing_package(package: str, extra: str) -> SpeechGMMError:
    """Say how to install a package.

    Parameters
    ----------
    package, extra : str
        The package, and the extra that brings it.

    Returns
    -------
    SpeechGMMError
        To be raised.
    """
    return SpeechGMMError(f"such files need the package {package}: pip install 'speechgmm[{extra}]'")

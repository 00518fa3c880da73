"""Recordings as scikit-learn passes them around: a list of frames or paths of audio files, or a table of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import FloatArray
from speechgmm.errors import ModelError, SpeechGMMError
from speechgmm.features.extract import FeatureConfig, extract
from speechgmm.gmm.checks import real_numbers
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.sklearn.rows import PRECISIONS
from speechgmm.subspace.statistics import RECORDINGS_AT_ONCE

RecordingsLike = Sequence[npt.ArrayLike | str | Path] | npt.ArrayLike
"""What transformers of recordings take as `X`."""


def as_items(X: RecordingsLike) -> list[Any] | None:
    """Return the recordings of a list or array of them, or None if `X` is a table, for scikit-learn to check.

    A table is two-dimensional, or a list of numbers or of rows that have one length.
    """
    if isinstance(X, str | Path):
        raise ModelError(f"X is one path, {X}; expected a list of recordings, such as [{str(X)!r}]")
    if not isinstance(X, list | tuple):
        X = np.asarray(X)
        if X.ndim not in (1, 3):
            return None
    items = list(X)
    shapes = set(map(_shape, items))
    shape = shapes.pop() if len(shapes) == 1 else None
    return items if shape is None or len(shape) > 1 else None


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings that are read and checked one at a time; errors name them by their place in `X`."""

    items: Sequence[Any]
    front_end: FeatureConfig | None  # of paths
    n_features: int | None = None  # D; that of the first recording if it is not known

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[FloatArray]:
        n_features = self.n_features
        for number, item in enumerate(self.items):
            with _named(number):
                frames = _read(item, self.front_end)
                n_features = n_features or frames.shape[1]
                if frames.shape[1] != n_features:
                    raise ModelError(f"frames of shape {frames.shape}; expected (T, {n_features})")
            yield frames

    def statistics(self, ubm: DiagonalGMM) -> Iterator[SufficientStats]:
        """Accumulate the statistics of one recording after the other, each in the precision of its frames."""
        for number, frames in enumerate(self):
            with _named(number):
                stats = accumulate(ubm, frames, dtype=frames.dtype.type)
            yield stats

    def statistics_in_blocks(self, ubm: DiagonalGMM) -> Iterator[list[SufficientStats]]:
        """Accumulate the statistics of some recordings at a time."""
        statistics = self.statistics(ubm)
        while block := list(islice(statistics, RECORDINGS_AT_ONCE)):
            yield block


@contextmanager
def _named(number: int) -> Iterator[None]:
    """Put the place of a recording before the message of an error."""
    try:
        yield
    except SpeechGMMError as error:
        raise type(error)(f"X[{number}]: {error}") from error


def _shape(item: Any) -> tuple[int, ...] | None:
    """Return the shape of an item of a list, or None for a path, and for rows that differ in length."""
    if isinstance(item, str | Path):
        return None
    try:
        shape: tuple[int, ...] = np.shape(item)
    except ValueError:
        return None
    return shape


def _read(item: Any, front_end: FeatureConfig | None) -> FloatArray:
    """Return the frames of a recording, extracted if it is a path; refuse those that cannot be used."""
    if isinstance(item, str | Path):
        return extract(item, front_end)
    is_object = isinstance(item, np.ndarray) and item.dtype == object
    frames = real_numbers("frames", item.tolist() if is_object else item)
    if frames.ndim != 2:
        raise ModelError(
            f"an array of shape {frames.shape}; expected frames, of shape (T, D), or the path of an audio file"
        )
    if 0 in frames.shape:
        raise ModelError(f"frames of shape {frames.shape}; expected one frame and one feature or more")
    if frames.dtype not in PRECISIONS:
        frames = frames.astype(PRECISIONS[0])
    finite = np.isfinite(frames).all(axis=1)
    if not finite.all():
        raise ModelError(f"frame {int(np.argmin(finite))} holds NaN or infinity; expected finite features")
    return frames

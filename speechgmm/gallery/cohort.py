"""A cohort: utterances of speakers who are not enrolled, for the normalisation of scores.

Its utterances are what models are scored against (Z), and the models of its speakers what tests are scored against (T).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float32Array
from speechgmm.errors import ModelError
from speechgmm.gmm.storage import MODEL_FORMAT, load_model_arrays, save_model_arrays
from speechgmm.tensors import Arrays, refuse_damage

COHORT_FORMAT = replace(MODEL_FORMAT, unreadable="damaged cohort")


@dataclass(frozen=True, eq=False)
class Cohort:
    """Utterances of speakers who are not enrolled."""

    speakers: tuple[str, ...]  # of each of K utterances; a speaker may have several
    frames: Sequence[Float32Array]  # of each utterance, (T, D) with T >= 1


def save_cohort(path: str | Path, cohort: Cohort, front_end: Mapping[str, JsonValue]) -> None:
    """Write a cohort of at least one utterance, and the front end that made its frames, as JSON data.

    The same cohort gives the same bytes.
    """
    names = list(dict.fromkeys(cohort.speakers))
    arrays: Arrays = {
        "frames": np.concatenate(cohort.frames).astype(np.float32, copy=False),
        "lengths": np.array([len(frames) for frames in cohort.frames], np.int64),
        "speakers": np.array([names.index(speaker) for speaker in cohort.speakers], np.int64),
    }
    save_model_arrays(Path(path), arrays, "cohort", front_end, names)


def load_cohort(path: str | Path) -> Cohort:
    """Read a cohort that `save_cohort` wrote, bit for bit.

    A file that is missing, damaged, of another kind, or in a newer format, raises a ModelError.
    """
    arrays, header = load_model_arrays(Path(path), "cohort", file_format=COHORT_FORMAT)
    with refuse_damage(ModelError, f"{path}: {COHORT_FORMAT.unreadable}"):
        frames, lengths, speakers = (arrays[name] for name in ("frames", "lengths", "speakers"))
        float32, int64 = np.dtype(np.float32), np.dtype(np.int64)
        types = [(array.dtype, array.ndim) for array in (frames, lengths, speakers)]
        if types != [(float32, 2), (int64, 1), (int64, 1)] or len(lengths) != len(speakers):
            raise ValueError("expected frames, and a length and a speaker of each utterance")
        if lengths.min() < 1 or lengths.max() > len(frames) or lengths.sum() != len(frames) or speakers.min() < 0:
            raise ValueError(f"lengths that do not make {len(frames)} frames, or speakers that are not named")
        return Cohort(
            tuple(header.names[number] for number in speakers), tuple(np.split(frames, np.cumsum(lengths)[:-1]))
        )

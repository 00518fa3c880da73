"""A cohort: utterances of speakers who are not enrolled, for the normalisation of scores.

Its utterances are what models are scored against (Z), and the models of its speakers what tests are scored against (T).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from safetensors import safe_open
from safetensors.numpy import save

from speechgmm.arrays import Float32Array
from speechgmm.configuration import fingerprint
from speechgmm.errors import ModelError
from speechgmm.files import write_bytes
from speechgmm.gmm.adaptation import AdaptationConfig, map_adapt
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import accumulate
from speechgmm.gmm.storage import DAMAGE, FORMAT_VERSION, read_header
from speechgmm.version import __version__


@dataclass(frozen=True, eq=False)
class Cohort:
    """Utterances of speakers who are not enrolled.

    Parameters
    ----------
    speakers : tuple of K str
        The speaker of each utterance; a speaker may have several.
    frames : tuple of K np.ndarray, each of shape (T, D), T >= 1, float32
        The utterances.
    """

    speakers: tuple[str, ...]
    frames: Sequence[Float32Array]


def save_cohort(path: str | Path, cohort: Cohort, front_end: Mapping[str, JsonValue]) -> None:
    """Write a cohort to a safetensors file; the same cohort gives the same bytes.

    Parameters
    ----------
    path : str or Path
        Where to; replaced in one step if it exists.
    cohort : Cohort
        At least one utterance.
    front_end : mapping
        The configuration that made the frames, ``config.model_dump(mode="json")``.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    names = list(dict.fromkeys(cohort.speakers))
    header = {
        "format_version": FORMAT_VERSION,
        "kind": "cohort",
        "package_version": __version__,
        "front_end": dict(front_end),
        "fingerprint": fingerprint(dict(front_end)),
        "names": names,
    }
    tensors: dict[str, npt.NDArray[Any]] = {
        "frames": np.concatenate(cohort.frames).astype(np.float32, copy=False),
        "lengths": np.array([len(each) for each in cohort.frames], np.int64),
        "speakers": np.array([names.index(each) for each in cohort.speakers], np.int64),
    }
    write_bytes(Path(path), save(tensors, {"speechgmm": json.dumps(header, sort_keys=True, ensure_ascii=False)}))


def load_cohort(path: str | Path) -> Cohort:
    """Read a cohort that `save_cohort` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Cohort
        The same utterances, bit for bit.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.
    """
    header = read_header(path)
    if header.kind != "cohort":
        raise ModelError(f"{path}: holds {header.kind!r}; expected 'cohort'")
    try:
        with safe_open(path, framework="numpy") as file:
            frames, lengths, speakers = map(file.get_tensor, ("frames", "lengths", "speakers"))
        kinds = [(array.dtype, array.ndim) for array in (frames, lengths, speakers)]
        if kinds != [(np.float32, 2), (np.int64, 1), (np.int64, 1)] or len(lengths) != len(speakers):
            raise ModelError("expected frames, and a length and a speaker of each utterance")
        if lengths.min() < 1 or lengths.max() > len(frames) or lengths.sum() != len(frames) or speakers.min() < 0:
            raise ModelError(f"lengths that do not make {len(frames)} frames, or speakers that are not named")
        return Cohort(
            tuple(header.names[number] for number in speakers), tuple(np.split(frames, np.cumsum(lengths)[:-1]))
        )
    except DAMAGE as error:
        raise ModelError(f"{path}: damaged cohort ({error})") from error


def adapt_cohort(cohort: Cohort, ubm: DiagonalGMM, config: AdaptationConfig) -> dict[str, DiagonalGMM]:
    """Adapt a model of each speaker of a cohort from all of the speaker's utterances.

    Parameters
    ----------
    cohort : Cohort
        The utterances.
    ubm : DiagonalGMM, C components over D features
        The background model.
    config : AdaptationConfig
        How to adapt, in one iteration.

    Returns
    -------
    dict of str to DiagonalGMM
        By the speaker, in the order of first utterances.

    Raises
    ------
    ValueError
        If the frames have other features than the model.
    """
    statistics = [accumulate(ubm, frames) for frames in cohort.frames]
    models = {}
    for speaker in dict.fromkeys(cohort.speakers):
        own = [each for each, name in zip(statistics, cohort.speakers, strict=True) if name == speaker]
        models[speaker] = map_adapt(
            ubm, reduce(add, own), relevance_factor=config.factor_of, alpha=config.alpha, adapt=config.adapt
        )
    return models

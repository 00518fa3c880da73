"""Stages of systems without a background model: each speaker has a model of their own, scored against a cohort."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import ModelError
from speechgmm.features.store.store import open_store
from speechgmm.files import replacing
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import check_front_end, load_independent, read_header, save_independent
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.gmm.training.em import train
from speechgmm.gmm.training.shards import Part
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.stages.scores import ProgressCallback, score_in_blocks
from speechgmm.recipe.stages.ubm import SPEAKERS_FILE, ids_of_speakers
from speechgmm.scoring.cohort_llr import cohort_score_matrix

UNTRAINED_FILE = "untrained.json"
"""Speakers without a model, and why."""


def train_speakers(
    folder: Path,
    *,
    features: Path,
    utterances: Sequence[Utterance],
    config: IndependentConfig,
    seed: int,
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Train one model for each speaker alone: ``speakers.safetensors`` and ``untrained.json``.

    Parameters
    ----------
    folder : Path
        Where to write.
    features : Path
        Feature store of the speakers.
    utterances : sequence of Utterance
        Whose each utterance is.
    config : IndependentConfig
        The training.
    seed : int >= 0
        Of the first models; each speaker's has a stream of its own, whoever else is trained.
    engine : Engine
        Where to run: a speaker at a time in each worker.
    tick : callable
        Told of progress.

    Raises
    ------
    ModelError
        If no speaker has enough frames.
    """
    store = open_store(features)
    of_speaker = ids_of_speakers(utterances, store)
    models: dict[str, DiagonalGMM] = {}
    untrained: dict[str, str] = {}
    tick(0, len(of_speaker))
    for speaker, made in zip(
        of_speaker, map_in_order(partial(_train, features, config, seed), of_speaker.items(), engine), strict=True
    ):
        if isinstance(made, DiagonalGMM):
            models[speaker] = made
        else:
            untrained[speaker] = made
        tick(len(models) + len(untrained), len(of_speaker))
    if not models:
        speaker, reason = next(iter(untrained.items()))
        raise ModelError(f"none of {len(untrained)} speakers could have a model, {speaker} for one: {reason}")
    save_independent(folder / SPEAKERS_FILE, models, front_end=store.front_end)
    with replacing(folder / UNTRAINED_FILE) as temporary:
        temporary.write_text(json.dumps(untrained, ensure_ascii=False), encoding="utf-8")


def load_untrained(folder: Path) -> dict[str, str]:
    """Read which speakers `train_speakers` left without a model.

    Parameters
    ----------
    folder : Path
        The stage's folder.

    Returns
    -------
    dict of str to str
        Why, by their names.
    """
    untrained: dict[str, str] = json.loads((folder / UNTRAINED_FILE).read_text(encoding="utf-8"))
    return untrained


def score_against_cohort(
    folder: Path,
    *,
    speakers: Path,
    cohort: Path,
    speaker_of: tuple[Mapping[str, str], Mapping[str, str]],
    features: Path,
    utterances: Sequence[str],
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Score every test with features against every model, relative to a cohort: the files of `stages.score_tests`.

    Parameters
    ----------
    folder : Path
        Where to write.
    speakers, cohort : Path
        The models, and those that stand for everybody else; of these a speaker's own does not count for them.
    speaker_of : two mappings of str to str
        Whose each of the models is, and each of the cohort's.
    features : Path
        Feature store of the tests.
    utterances : sequence of str
        The tests.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.

    Raises
    ------
    ModelError
        If no test utterance has features, or the cohort has nobody but the speaker.
    """
    front_end = open_store(features).front_end
    check_front_end(speakers, front_end)
    check_front_end(cohort, front_end)
    names, others = read_header(speakers).names, read_header(cohort).names
    owners = [speaker_of[0][name] for name in names]
    cohort_owners = [speaker_of[1][name] for name in others]
    for name, owner in zip(names, owners, strict=True):
        if not {*cohort_owners} - {owner}:
            raise ModelError(
                f"{name} is alone: without a background model a score needs other speakers to compare with"
            )
    own: BoolArray = np.array(owners)[:, None] == np.array(cohort_owners)
    score = partial(_score_block, speakers, cohort, own, features)
    score_in_blocks(folder, names, features, utterances, score, engine, tick)


def _train(
    features: Path, config: IndependentConfig, seed: int, speaker: tuple[str, Sequence[str]]
) -> DiagonalGMM | str:
    """Train the model of one speaker, or say why there can be none."""
    name, utterances = speaker
    stream = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    parts = [Part(str(path), path, None, start, stop) for path, start, stop in open_store(features).ranges(utterances)]
    try:
        return train(parts, config, rng=np.random.default_rng([seed, stream])).gmm
    except ModelError as error:
        return str(error)


def _score_block(speakers: Path, cohort: Path, own: BoolArray, features: Path, tests: Sequence[str]) -> Float64Array:
    """Score some tests against all models, without those of the cohort (M, B) that are a model's own speaker's."""
    store = open_store(features)
    models, others = _models(speakers), _models(cohort)
    frames = [store.frames(test) for test in tests]
    return cohort_score_matrix([*models.values()], [*others.values()], frames, excluded=own)


@lru_cache(maxsize=4)
def _models(path: Path) -> Mapping[str, DiagonalGMM]:
    """Read models, once in a worker."""
    return load_independent(path)

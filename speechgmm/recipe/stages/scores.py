"""Scores as a stage: every test against every model, relative to a background model or to the models of a cohort.

Files: those of a score matrix.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.errors import ModelError
from speechgmm.features.store.store import open_store
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import check_front_end, load_gmm, load_independent, load_speakers, read_header
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import SPEAKERS_FILE, UBM_FILE
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures, opened_store, why_empty
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, write_score_matrix
from speechgmm.recipe.stages.speakers import SpeakerModels
from speechgmm.scoring.cohort_llr import cohort_score_matrix
from speechgmm.scoring.llr import Scorer, ScoringConfig, prepare

VERSION = 4
"""Rises whenever the same inputs would give another output."""

TESTS_AT_ONCE = 32
"""Test utterances that a worker scores at a time."""

ScoredGroups = tuple[StageOutput, ...]
"""Scores against all models: of one stage, or of one for each sex."""


def scores_against_ubm(
    config: ScoringConfig,
    ubm: StageOutput,
    models: SpeakerModels,
    test: RoleFeatures,
    context: StageContext,
    title: str,
) -> StageOutput:
    """Score tests against models relative to the background model that these were adapted from, or find the scores."""
    work = partial(
        write_scores_against_ubm,
        ubm=ubm.folder / UBM_FILE,
        speakers=models.speakers.folder / SPEAKERS_FILE,
        features=test.features.folder,
        tests=test.ids,
        config=config,
    )
    inputs: dict[str, JsonValue] = {"config": to_json(config), **_inputs_of(models, test)}
    return context.output(StageKey("scores", VERSION, inputs), work, title)


def scores_against_cohort(
    cohort: SpeakerModels, models: SpeakerModels, test: RoleFeatures, context: StageContext, title: str
) -> StageOutput:
    """Score tests against models relative to the models of a cohort, or find the scores."""
    work = partial(
        write_scores_against_cohort,
        speakers=models.speakers.folder / SPEAKERS_FILE,
        cohort=cohort.speakers.folder / SPEAKERS_FILE,
        speaker_of=models.speaker_of,
        cohort_speaker_of=cohort.speaker_of,
        features=test.features.folder,
        tests=test.ids,
    )
    inputs: dict[str, JsonValue] = {
        **_inputs_of(models, test),
        "cohort": cohort.speakers.digest,
        "models": [dict(models.speaker_of), dict(cohort.speaker_of)],
    }
    return context.output(StageKey("scores", VERSION, inputs), work, title)


def write_scores_against_ubm(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    ubm: Path,
    speakers: Path,
    features: Path,
    tests: Sequence[str],
    config: ScoringConfig,
) -> None:
    """Score every test that has features against every model."""
    check_front_end(ubm, open_store(features).front_end)
    score = partial(_score_against_ubm, ubm, speakers, features, config)
    write_score_blocks(folder, engine, progress, read_header(speakers).names, usable_tests(features, tests), score)


def write_scores_against_cohort(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    speakers: Path,
    cohort: Path,
    speaker_of: Mapping[str, str],
    cohort_speaker_of: Mapping[str, str],
    features: Path,
    tests: Sequence[str],
) -> None:
    """Score every test that has features against every model, without the cohort's models of its own speaker.

    Raise ModelError where the cohort has no other speaker.
    """
    front_end = open_store(features).front_end
    check_front_end(speakers, front_end)
    check_front_end(cohort, front_end)
    names = read_header(speakers).names
    owners = [speaker_of[name] for name in names]
    cohort_owners = [cohort_speaker_of[name] for name in read_header(cohort).names]
    for name, owner in zip(names, owners, strict=True):
        if not {*cohort_owners} - {owner}:
            raise ModelError(
                f"{name} is alone: without a background model a score needs other speakers to compare with"
            )
    same_speaker: BoolArray = np.array(owners)[:, None] == np.array(cohort_owners)
    score = partial(_score_against_cohort, speakers, cohort, same_speaker, features)
    write_score_blocks(folder, engine, progress, names, usable_tests(features, tests), score)


def _inputs_of(models: SpeakerModels, test: RoleFeatures) -> dict[str, JsonValue]:
    """State what any scores depend on: models, features and the names of the tests."""
    return {
        "speakers": models.speakers.digest,
        "features": test.features.digest,
        "tests": list[JsonValue](test.ids),
    }


def usable_tests(features: Path, tests: Sequence[str]) -> list[str]:
    """List the tests that have features; raise ModelError if there are none."""
    store = open_store(features)
    usable = [test for test in tests if test in store]
    if not usable:
        raise ModelError(f"there is nothing to score: {why_empty(store)}")
    return usable


def write_score_blocks(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    models: Sequence[str],
    tests: Sequence[str],
    score: Callable[[Sequence[str]], Float64Array],
) -> None:
    """Score tests a block at a time; `score` returns the scores of a block of B tests, shape (M, B)."""
    blocks = [tests[start : start + TESTS_AT_ONCE] for start in range(0, len(tests), TESTS_AT_ONCE)]
    columns = []
    n_scored = 0
    progress(0, len(tests))
    for scores in map_in_order(score, blocks, engine):
        columns.append(scores)
        n_scored += scores.shape[1]
        progress(n_scored, len(tests))
    write_score_matrix(folder, ScoreMatrix(tuple(models), tuple(tests), np.concatenate(columns, axis=1)))


@lru_cache(maxsize=1)
def _scorer(ubm: Path, speakers: Path, config: ScoringConfig) -> Scorer:
    """Read and prepare models, once in a worker."""
    return prepare([*load_speakers(speakers).values()], load_gmm(ubm), config)


@lru_cache(maxsize=4)
def _independent(path: Path) -> Mapping[str, DiagonalGMM]:
    """Read models that were trained alone, once in a worker."""
    return load_independent(path)


def _score_against_ubm(
    ubm: Path, speakers: Path, features: Path, config: ScoringConfig, tests: Sequence[str]
) -> Float64Array:
    """Score a block of tests against all models."""
    store = opened_store(features)
    return _scorer(ubm, speakers, config)([store.frames(test) for test in tests])


def _score_against_cohort(
    speakers: Path, cohort: Path, same_speaker: BoolArray, features: Path, tests: Sequence[str]
) -> Float64Array:
    """Score a block of tests against all models, relative to the cohort's models of other speakers (M, B)."""
    store = opened_store(features)
    frames = [store.frames(test) for test in tests]
    models, others = _independent(speakers), _independent(cohort)
    return cohort_score_matrix([*models.values()], [*others.values()], frames, excluded=same_speaker)

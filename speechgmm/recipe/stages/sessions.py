"""Speakers and scores of systems with session factors, as stages: the speakers' models leave out what sessions change.

Files of ``speakers``: ``speakers.safetensors``, models that differ from the background model in their means. Of
``scores``: those of a score matrix.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import load_gmm, load_speakers, read_header, save_speakers
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import SPEAKERS_FILE, SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import opened_store
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.scores import VERSION as SCORES_VERSION
from speechgmm.recipe.stages.scores import write_score_blocks
from speechgmm.recipe.stages.speakers import VERSION as SPEAKERS_VERSION
from speechgmm.recipe.stages.speakers import SpeakerModels, inputs_of_enrolment
from speechgmm.recipe.stages.statistics import RoleStatistics
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.subspace.session.enrolment import speaker_shift
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.session.scoring import session_llrs, session_scores
from speechgmm.subspace.session.storage import load_joint_factors
from speechgmm.subspace.statistics import StatsStore


def session_speakers(
    ubm: StageOutput, factors: StageOutput, role: RoleStatistics, context: StageContext, title: str
) -> SpeakerModels:
    """Enrol a role's speakers, or find their models."""
    inputs: dict[str, JsonValue] = {
        "subspace": factors.digest,
        "statistics": role.statistics.digest,
        "speakers": inputs_of_enrolment(role.role),
    }
    work = partial(
        write_session_speakers,
        ubm=ubm.folder / UBM_FILE,
        factors=factors.folder / SUBSPACE_FILE,
        statistics=role.statistics.folder,
        enrols={each.id: each.enrols for each in role.role.utterances},
    )
    speakers = context.output(StageKey("speakers", SPEAKERS_VERSION, inputs), work, title)
    return SpeakerModels(ubm, speakers, role.role.speaker_of, factors=factors)


def write_session_speakers(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    ubm: Path,
    factors: Path,
    statistics: Path,
    enrols: Mapping[str, str],
) -> None:
    """Write a model for each speaker who has statistics: the background model, shifted by the speaker's factors."""
    prior = load_gmm(ubm)
    rows_by_model = rows_of_models(StatsStore(statistics).names, enrols)
    models: dict[str, DiagonalGMM] = {}
    progress(0, len(rows_by_model))
    shifts = map_in_order(partial(_shift, factors, statistics), rows_by_model.values(), engine)
    for name, shift in zip(rows_by_model, shifts, strict=True):
        models[name] = DiagonalGMM(prior.weights, prior.means + shift, prior.variances)
        progress(len(models), len(rows_by_model))
    save_speakers(folder / SPEAKERS_FILE, prior, models, front_end=read_header(ubm).front_end)


def session_scores_of(
    config: ScoringConfig, models: SpeakerModels, test: RoleStatistics, context: StageContext, title: str
) -> StageOutput:
    """Score tests against models of the same factors, or find the scores."""
    assert models.ubm is not None
    assert models.factors is not None
    inputs: dict[str, JsonValue] = {
        "config": to_json(config),
        "speakers": models.speakers.digest,
        "subspace": models.factors.digest,
        "statistics": test.statistics.digest,
    }
    work = partial(
        write_session_scores,
        ubm=models.ubm.folder / UBM_FILE,
        factors=models.factors.folder / SUBSPACE_FILE,
        speakers=models.speakers.folder / SPEAKERS_FILE,
        statistics=test.statistics.folder,
        features=test.role.features.folder,
        config=config,
    )
    return context.output(StageKey("scores", SCORES_VERSION, inputs), work, title)


def write_session_scores(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    ubm: Path,
    factors: Path,
    speakers: Path,
    statistics: Path,
    features: Path,
    config: ScoringConfig,
) -> None:
    """Score all recordings of a store of statistics against every model."""
    score = partial(_score, config, ubm, factors, speakers, statistics, features)
    names = StatsStore(statistics).names
    write_score_blocks(folder, engine, progress, read_header(speakers).names, names, score)


def rows_of_models(names: Sequence[str], enrols: Mapping[str, str]) -> dict[str, list[int]]:
    """Group the rows of named recordings by the model that each enrols, in the order of the recordings."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(enrols[name], []).append(row)
    return rows


@lru_cache(maxsize=2)
def _factors(path: Path) -> JointFactorModel:
    """Read factors, once in a worker."""
    return load_joint_factors(path)


@lru_cache(maxsize=2)
def _shifts(ubm: Path, speakers: Path) -> tuple[DiagonalGMM, Float64Array]:
    """Read the background model and how far the speakers' means are from its own, (M, C, D), once in a worker."""
    prior = load_gmm(ubm)
    return prior, np.stack([model.means - prior.means for model in load_speakers(speakers).values()])


@lru_cache(maxsize=2)
def _row_of(statistics: Path) -> dict[str, int]:
    """Return the row of each recording, once in a worker."""
    return {name: row for row, name in enumerate(StatsStore(statistics).names)}


def _shift(factors: Path, statistics: Path, rows: Sequence[int]) -> Float64Array:
    """Compute how far the means of one speaker are from those of the background model."""
    return speaker_shift(_factors(factors), StatsStore(statistics).rows(rows))


def _score(
    config: ScoringConfig,
    ubm: Path,
    factors: Path,
    speakers: Path,
    statistics: Path,
    features: Path,
    tests: Sequence[str],
) -> Float64Array:
    """Score a block of tests against all models."""
    prior, shifts = _shifts(ubm, speakers)
    if config.method == "linear":
        rows = [_row_of(statistics)[test] for test in tests]
        return session_scores(_factors(factors), shifts, StatsStore(statistics).rows(rows))
    store = opened_store(features)
    frames = [store.frames(test) for test in tests]
    return session_llrs(_factors(factors), prior.weights, shifts, frames, top_components=config.top_components)

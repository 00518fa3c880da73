"""Scores as a stage: every test against every model, and normalised by those of a cohort."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.corpus.manifest import Trial
from speechgmm.errors import CorpusError, ModelError
from speechgmm.features.store.store import FeatureStore, open_store
from speechgmm.files import replacing, write_array
from speechgmm.gmm.storage import check_front_end, load_gmm, load_speakers, read_header
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.scoring.llr import Scorer, ScoringConfig, prepare
from speechgmm.scoring.normalisation import ScoreNormalisationConfig, Speakers, normalise_scores

ProgressCallback = Callable[[int, int], None]
"""Told how many of how many are done."""

TESTS_AT_ONCE = 32
"""Test utterances that a worker scores at a time."""


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """The scores of an experiment.

    Parameters
    ----------
    models, tests : tuple of str
        The models and the test utterances that there are scores of.
    matrix : np.ndarray, shape (M, U), float64, nats
        The score of each test against each model.
    """

    models: tuple[str, ...]
    tests: tuple[str, ...]
    matrix: Float64Array

    def for_trials(self, trials: Sequence[Trial]) -> Float64Array:
        """Look up the scores of trials.

        Parameters
        ----------
        trials : sequence of n Trial
            Any.

        Returns
        -------
        np.ndarray, shape (n,), nats
            In the order of the trials; NaN where the model or the test could not be used.
        """
        row = {model: number for number, model in enumerate(self.models)}
        column = {test: number for number, test in enumerate(self.tests)}
        scores = np.full(len(trials), np.nan)
        for number, trial in enumerate(trials):
            if trial.model in row and trial.test in column:
                scores[number] = self.matrix[row[trial.model], column[trial.test]]
        return scores


def score_tests(
    folder: Path,
    *,
    ubm: Path,
    speakers: Path,
    features: Path,
    utterances: Sequence[str],
    config: ScoringConfig,
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Score every test with features against every model: ``scores.npy``, shape (M, U), and ``scores.json``.

    Parameters
    ----------
    folder : Path
        Where to write.
    ubm, speakers : Path
        The models.
    features : Path
        Feature store of the tests.
    utterances : sequence of str
        The tests.
    config : ScoringConfig
        How to score.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.

    Raises
    ------
    ModelError
        If no test utterance has features.
    """
    check_front_end(ubm, open_store(features).front_end)
    score = partial(_score_block, ubm, speakers, features, config)
    score_in_blocks(folder, read_header(speakers).names, features, utterances, score, engine, tick)


def score_in_blocks(
    folder: Path,
    models: Sequence[str],
    features: Path,
    utterances: Sequence[str],
    score: Callable[[Sequence[str]], Float64Array],
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Score the tests with features, some at a time: ``scores.npy``, shape (M, U), and ``scores.json``.

    Parameters
    ----------
    folder : Path
        Where to write.
    models : sequence of M str
        The speakers.
    features : Path
        Feature store of the tests.
    utterances : sequence of str
        The tests.
    score : callable
        Takes ids of tests, and gives their scores against all models, shape (M, U).
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.

    Raises
    ------
    ModelError
        If no test utterance has features.
    """
    store = open_store(features)
    tests = [utterance for utterance in utterances if utterance in store]
    if not tests:
        raise ModelError(f"there is nothing to score: {why_none(store)}")
    blocks = [tests[start : start + TESTS_AT_ONCE] for start in range(0, len(tests), TESTS_AT_ONCE)]
    columns = []
    n_scored = 0
    tick(0, len(tests))
    for scores in map_in_order(score, blocks, engine):
        columns.append(scores)
        n_scored += scores.shape[1]
        tick(n_scored, len(tests))
    _write_scores(folder, models, tests, np.concatenate(columns, axis=1))


def write_normalised_scores(
    folder: Path,
    *,
    parts: Mapping[str, Sequence[Path]],
    speaker_of: Mapping[str, str],
    cohort: Mapping[str, str],
    config: ScoreNormalisationConfig,
) -> None:
    """Normalise scores by those of a cohort: the files of `score_tests`.

    Parameters
    ----------
    folder : Path
        Where to write.
    parts : mapping of str to sequence of Path
        Folders of ``scores`` and, as far as the method needs them, of ``z_scores`` (the models against the cohort's
        utterances), ``t_scores`` (the cohort's models against the tests) and ``cohort_scores`` (the cohort by itself).
    speaker_of : mapping of str to str
        The speaker of each model.
    cohort : mapping of str to str
        The speaker of each of the cohort's utterances; the cohort of a trial does not hold the speaker of its model.
    config : ScoreNormalisationConfig
        How.

    Raises
    ------
    ModelError
        If the cohort is too small, or its scores do not vary.
    """
    loaded = {name: load_scores(folders) for name, folders in parts.items()}
    scores, z, t = loaded.pop("scores"), loaded.get("z_scores"), loaded.get("t_scores")
    speakers = Speakers(
        [speaker_of[each] for each in scores.models],
        None if z is None else [cohort[each] for each in z.tests],
        None if t is None else t.models,
    )
    matrices = {name: each.matrix for name, each in loaded.items()}
    matrix = normalise_scores(
        scores.matrix,
        config,
        z_scores=matrices.get("z_scores"),
        t_scores=matrices.get("t_scores"),
        cohort_scores=matrices.get("cohort_scores"),
        speakers=speakers,
        test_names=scores.tests,
    )
    _write_scores(folder, scores.models, scores.tests, matrix)


def load_scores(folders: Sequence[Path]) -> ScoreMatrix:
    """Read what `score_tests` or `write_normalised_scores` wrote.

    Parameters
    ----------
    folders : sequence of one Path or more
        The stage's folder; several where the models are in groups, each scored against the same tests.

    Returns
    -------
    ScoreMatrix
        Names and matrix; several groups together, in the order of the models' names.

    Raises
    ------
    CorpusError
        If names and matrix do not fit each other.
    """
    groups = [_load_scores(folder) for folder in folders]
    if len(groups) == 1:
        return groups[0]
    names = [name for each in groups for name in each.models]
    order = sorted(range(len(names)), key=names.__getitem__)
    matrix = np.concatenate([each.matrix for each in groups])[order]
    return ScoreMatrix(tuple(names[row] for row in order), groups[0].tests, matrix)


def _load_scores(folder: Path) -> ScoreMatrix:
    """Read the scores of one group of models."""
    names = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    scores = ScoreMatrix(tuple(names["models"]), tuple(names["tests"]), np.load(folder / "scores.npy"))
    if scores.matrix.shape != (len(scores.models), len(scores.tests)):
        raise CorpusError(f"{folder}: {scores.matrix.shape} scores of {len(scores.models)} models")
    return scores


def _write_scores(folder: Path, models: Sequence[str], tests: Sequence[str], matrix: Float64Array) -> None:
    """Write scores and the names of what was scored."""
    write_array(folder / "scores.npy", matrix)
    with replacing(folder / "scores.json") as temporary:
        names = {"models": list(models), "tests": list(tests)}
        temporary.write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


def restrict_to_common(systems: Sequence[ScoreMatrix]) -> tuple[ScoreMatrix, ...]:
    """Restrict the scores of several systems to the models and tests that all of them have.

    Parameters
    ----------
    systems : sequence of ScoreMatrix
        Each of its own models and tests.

    Returns
    -------
    tuple of ScoreMatrix
        Of the same, in the order of the first.
    """
    in_all = (
        set.intersection(*({*each.models} for each in systems)),
        set.intersection(*({*each.tests} for each in systems)),
    )
    models, tests = (
        [name for name in names if name in kept]
        for names, kept in zip((systems[0].models, systems[0].tests), in_all, strict=True)
    )
    shared = []
    for each in systems:
        rows = {name: number for number, name in enumerate(each.models)}
        columns = {name: number for number, name in enumerate(each.tests)}
        matrix = each.matrix[np.ix_([rows[name] for name in models], [columns[name] for name in tests])]
        shared.append(ScoreMatrix(tuple(models), tuple(tests), matrix))
    return tuple(shared)


def sum_systems(systems: Sequence[ScoreMatrix]) -> ScoreMatrix:
    """Add up the scores of several systems.

    Parameters
    ----------
    systems : sequence of ScoreMatrix
        Of the same models and tests.

    Returns
    -------
    ScoreMatrix
        Of a single system its own.
    """
    return replace(systems[0], matrix=np.sum([each.matrix for each in systems], axis=0))


def why_none(store: FeatureStore) -> str:
    """Say why a store is empty, by its first utterance.

    Parameters
    ----------
    store : FeatureStore
        Of utterances of which none could be used.

    Returns
    -------
    str
        For a message.
    """
    first = store.unusable[0]
    return f"none of {len(store.unusable)} utterances could be used, {first.utterance} for one: {first.reason}"


@lru_cache(maxsize=4)
def _store(folder: Path) -> FeatureStore:
    """Open a store, once in a worker."""
    return open_store(folder)


@lru_cache(maxsize=1)
def _scorer(ubm: Path, speakers: Path, config: ScoringConfig) -> Scorer:
    """Read and prepare models, once in a worker."""
    return prepare([*load_speakers(speakers).values()], load_gmm(ubm), config)


def _score_block(
    ubm: Path, speakers: Path, features: Path, config: ScoringConfig, tests: Sequence[str]
) -> Float64Array:
    """Score some tests against all models."""
    store = _store(features)
    return _scorer(ubm, speakers, config)([store.frames(test) for test in tests])

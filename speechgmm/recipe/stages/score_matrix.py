"""The scores of every test against every model, as stages write and read them.

Files: ``scores.npy``, shape (M, U), and ``scores.json`` with the names of the models and tests.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.corpus.manifest import Trial
from speechgmm.errors import CorpusError
from speechgmm.files import replacing, write_array


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """The scores of M models and U test utterances."""

    models: tuple[str, ...]
    tests: tuple[str, ...]
    matrix: Float64Array  # (M, U), nats

    def for_trials(self, trials: Sequence[Trial]) -> Float64Array:
        """Look up the scores of n trials, shape (n,); NaN where the model or the test could not be used."""
        row, column = index_of(self.models), index_of(self.tests)
        scores = np.full(len(trials), np.nan)
        for number, trial in enumerate(trials):
            if trial.model in row and trial.test in column:
                scores[number] = self.matrix[row[trial.model], column[trial.test]]
        return scores

    def restricted_to(self, models: Sequence[str], tests: Sequence[str]) -> "ScoreMatrix":
        """Return the scores of these models and tests, in this order."""
        row, column = index_of(self.models), index_of(self.tests)
        chosen = np.ix_([row[name] for name in models], [column[name] for name in tests])
        return ScoreMatrix(tuple(models), tuple(tests), self.matrix[chosen])


def index_of(names: Sequence[str]) -> dict[str, int]:
    """Return the place of each name."""
    return {name: number for number, name in enumerate(names)}


def restrict_to_common(systems: Sequence[ScoreMatrix]) -> tuple[ScoreMatrix, ...]:
    """Restrict the scores of systems to the models and tests that all of them have, in the order of the first."""
    models = _common([system.models for system in systems])
    tests = _common([system.tests for system in systems])
    return tuple(system.restricted_to(models, tests) for system in systems)


def _common(names: Sequence[Sequence[str]]) -> list[str]:
    """List the names that stand in every sequence, in the order of the first."""
    shared = set.intersection(*map(set, names))
    return [name for name in names[0] if name in shared]


def sum_systems(systems: Sequence[ScoreMatrix]) -> ScoreMatrix:
    """Add up the scores of systems that have the same models and tests."""
    return replace(systems[0], matrix=np.sum([each.matrix for each in systems], axis=0))


def write_score_matrix(folder: Path, scores: ScoreMatrix) -> None:
    """Write the files of a stage that scores."""
    write_array(folder / "scores.npy", scores.matrix)
    with replacing(folder / "scores.json") as temporary:
        names = {"models": list(scores.models), "tests": list(scores.tests)}
        temporary.write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


def load_scores(folders: Sequence[Path]) -> ScoreMatrix:
    """Read what one stage has written; or several, each with other models and the same tests, by names of models."""
    groups = [_load(folder) for folder in folders]
    if len(groups) == 1:
        return groups[0]
    names = [name for group in groups for name in group.models]
    order = sorted(range(len(names)), key=names.__getitem__)
    matrix = np.concatenate([group.matrix for group in groups])[order]
    return ScoreMatrix(tuple(names[row] for row in order), groups[0].tests, matrix)


def _load(folder: Path) -> ScoreMatrix:
    """Read the scores of one group of models; raise CorpusError if names and matrix do not fit."""
    names = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    scores = ScoreMatrix(tuple(names["models"]), tuple(names["tests"]), np.load(folder / "scores.npy"))
    if scores.matrix.shape != (len(scores.models), len(scores.tests)):
        raise CorpusError(f"{folder}: {scores.matrix.shape} scores of {len(scores.models)} models")
    return scores

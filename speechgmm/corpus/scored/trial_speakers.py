"""What is known of the two sides of trials: who speaks, and what a table says of the tests."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechgmm.arrays import IntArray
from speechgmm.corpus.formats.tables import id_of_path, named_rows, read_column_names
from speechgmm.corpus.manifest import first_few
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.scored.score_files import ScoredTrials
from speechgmm.corpus.trials import known_name
from speechgmm.errors import CorpusError

VOXCELEB = re.compile(r"(id\d{5})/")
"""How the names of VoxCeleb's recordings begin: with the speaker."""

Manifest = dict[str, dict[str, str]]
"""The rows of a table of utterances, by id."""


def read_manifest(path: Path) -> Manifest:
    """Read a table of utterances.

    Parameters
    ----------
    path : Path
        A table with a column ``id``, or ``path``, whose suffix is no part of the id then, and any others.

    Returns
    -------
    dict of str to dict of str to str
        By id, the fields by column.

    Raises
    ------
    CorpusError
        If it cannot be read, has neither column, or an id twice.
    """
    names = read_column_names(path)
    if not {"id", "path"} & set(names):
        raise CorpusError(f"{path}:1: no column 'id' or 'path' among {', '.join(names) or 'none'}; it names the tests")
    problems = Problems()
    manifest: Manifest = {}
    for number, row in named_rows(path, problems):
        name = row.get("id") or (row.get("path") and id_of_path(row["path"]))
        if not name:
            problems.add(f"{path}:{number}: no id and no path")
        elif manifest.setdefault(name, row) is not row:
            problems.add(f"{path}:{number}: utterance {name!r} is there already")
    problems.check()
    return manifest


def values_of(column: str, trials: ScoredTrials, manifest: Manifest | None) -> list[str]:
    """Find what a column says of each trial.

    Parameters
    ----------
    column : str
        Of the trial list, if it is a table that has it, otherwise of the manifest, which tells of the test.
    trials : ScoredTrials
        The trials.
    manifest : Manifest or None
        The table of utterances, if there is one.

    Returns
    -------
    list of str, length n
        Empty where the field is.

    Raises
    ------
    CorpusError
        If neither has the column, or a test is not in the manifest.
    """
    if column in trials.columns:
        return trials.columns[column]
    known = list(next(iter(manifest.values()))) if manifest else []
    if manifest is None or column not in known:
        where = "the trial list, and there is no manifest" if manifest is None else "the trial list or the manifest"
        there = ", ".join((*trials.columns, *known)) or "none"
        raise CorpusError(f"no column {column!r} in {where}; columns: {there}")
    keys = {test: known_name(test, manifest) for test in dict.fromkeys(trials.tests)}
    if unknown := [test for test, key in keys.items() if key not in manifest]:
        raise CorpusError(f"{len(unknown):,} tests are not in the manifest: {first_few(unknown)}")
    return [manifest[keys[test]][column] for test in trials.tests]


def speakers_of(trials: ScoredTrials, manifest: Manifest | None) -> tuple[tuple[IntArray, IntArray], str]:
    """Tell who speaks on the two sides, for intervals by speaker.

    A name that the manifest has as an utterance is of the speaker it says; a test of a list with a column ``speaker``
    is of that one; VoxCeleb's names begin with the speaker. What is not known goes by its own name, as a model that is
    called by its speaker's does.

    Parameters
    ----------
    trials : ScoredTrials
        The trials.
    manifest : Manifest or None
        A table of utterances, if there is one.

    Returns
    -------
    speakers : two np.ndarrays of int, shape (n,)
        Numbers of the models' speakers and of the tests', the same number for the same speaker.
    how : str
        What they were taken from.
    """
    models, tests, how = trials.models, trials.tests, "names of models and tests as they are, for want of speakers"
    if manifest and "speaker" in next(iter(manifest.values())):
        models, tests, how = _by_manifest(models, manifest), _by_manifest(tests, manifest), "speakers of the manifest"
    elif "speaker" in trials.columns:
        tests, how = trials.columns["speaker"], "models, and the column speaker of the trial list"
    elif all(VOXCELEB.match(name) for side in (models, tests) for name in side):
        models, tests = ([name.partition("/")[0] for name in side] for side in (models, tests))
        how = "speakers, by whom VoxCeleb names its recordings"
    number = {name: number for number, name in enumerate(sorted({*models, *tests}))}  # whatever the order of the trials
    numbers = [np.array([number[name] for name in side], np.intp) for side in (models, tests)]
    return (numbers[0], numbers[1]), how


def _by_manifest(names: Sequence[str], manifest: Manifest) -> list[str]:
    """Give the speaker of each name that the manifest has, and the others themselves."""
    speaker = {name: manifest.get(known_name(name, manifest), {}).get("speaker") or name for name in set(names)}
    return [speaker[name] for name in names]

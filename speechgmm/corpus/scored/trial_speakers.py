"""The speakers of models and tests of scored trials, and the columns that tables have for them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechgmm.arrays import IntArray
from speechgmm.corpus.formats.tables import id_of_path
from speechgmm.corpus.named_columns import named_rows, read_column_names
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.scored.score_files import ScoredTrials
from speechgmm.corpus.trials import known_name
from speechgmm.errors import CorpusError
from speechgmm.wording import first_few

VOXCELEB = re.compile(r"(id\d{5})/")
"""Start of the name of a VoxCeleb recording: its speaker."""

Manifest = dict[str, dict[str, str]]
"""A table of utterances: rows by id, fields by column."""


def read_manifest(path: Path) -> Manifest:
    """Read a table of utterances with a column ``id``, or ``path``, whose suffix is not part of the id.

    Raises `CorpusError` if the table cannot be read, has neither column, or repeats an id.
    """
    names = read_column_names(path)
    if not {"id", "path"} & set(names):
        raise CorpusError(
            f"{path}:1: no column 'id' or 'path' among {', '.join(names) or 'none'}; expected ids of the tests"
        )
    problems = Problems()
    manifest: Manifest = {}
    for number, row in named_rows(path, problems):
        name = row.get("id") or (row.get("path") and id_of_path(row["path"]))
        if not name:
            problems.add(f"{path}:{number}: no id and no path")
        elif manifest.setdefault(name, row) is not row:
            problems.add(f"{path}:{number}: a second row for the utterance {name!r}; expected one")
    problems.check()
    return manifest


def column_values(column: str, trials: ScoredTrials, manifest: Manifest | None) -> list[str]:
    """Return the value of a column for each trial: from the trial list, or else from the test's row in the manifest.

    Raises `CorpusError` if neither has the column, or a test is not in the manifest.
    """
    if column in trials.columns:
        return trials.columns[column]
    known = list(next(iter(manifest.values()))) if manifest else []
    if manifest is None or column not in known:
        where = "the trial list, and there is no manifest" if manifest is None else "the trial list or the manifest"
        columns = ", ".join((*trials.columns, *known)) or "none"
        raise CorpusError(f"no column {column!r} in {where}; columns: {columns}")
    keys = {test: known_name(test, manifest) for test in dict.fromkeys(trials.tests)}
    if unknown := [test for test, key in keys.items() if key not in manifest]:
        raise CorpusError(f"{len(unknown):,} tests are not in the manifest: {first_few(unknown)}")
    return [manifest[keys[test]][column] for test in trials.tests]


def trial_speaker_numbers(trials: ScoredTrials, manifest: Manifest | None) -> tuple[tuple[IntArray, IntArray], str]:
    """Find the speaker numbers of models and tests, for a bootstrap over speakers, and where the speakers come from.

    A name that is an utterance in the manifest stands for its speaker there; a test of a trial list with a column
    ``speaker`` for that one; VoxCeleb's names begin with the speaker. Any other name counts as a speaker of its own, as
    a model with its speaker's name does.

    The numbers have shape (n,) for models and for tests; the same speaker has the same number in both.
    """
    models, tests, source = trials.models, trials.tests, "model and test names, because no speakers were given"
    if manifest and "speaker" in next(iter(manifest.values())):
        models, tests = _manifest_speakers(models, manifest), _manifest_speakers(tests, manifest)
        source = "the speakers in the manifest"
    elif "speaker" in trials.columns:
        tests, source = trials.columns["speaker"], "model names and the column speaker of the trial list"
    elif all(VOXCELEB.match(name) for name in (*models, *tests)):
        models, tests = ([name.partition("/")[0] for name in names] for names in (models, tests))
        source = "the speakers in the names of VoxCeleb's recordings"
    # Numbers follow the sorted names, so they do not depend on the order of the trials.
    number_of = {name: number for number, name in enumerate(sorted({*models, *tests}))}
    of_models, of_tests = (np.array([number_of[name] for name in names], np.intp) for names in (models, tests))
    return (of_models, of_tests), source


def _manifest_speakers(names: Sequence[str], manifest: Manifest) -> list[str]:
    """Return the speaker of each name; a name that has none in the manifest stands for itself."""
    speaker = {name: manifest.get(known_name(name, manifest), {}).get("speaker") or name for name in set(names)}
    return [speaker[name] for name in names]

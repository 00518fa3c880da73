"""Score files of any toolkit, joined with trial lists.

Scores are lines of model, test and score (Kaldi's; with VoxCeleb's lists enrolment, test and score), one score a line
in the order of the list, or a table with columns ``model``, ``test`` and ``llr`` or ``score``. Trial lists are those
of `speechgmm.corpus.trials`, or a table with columns ``model``, ``test`` and ``label``.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.corpus.formats.tables import named_rows, read_column_names
from speechgmm.corpus.manifest import Trial
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.trials import LAST, labelled_lines
from speechgmm.errors import CorpusError
from speechgmm.files import numbered_lines

Option = Literal["--allow-missing", "--allow-extra"]

MISSING = "trials without a score"
NO_NUMBER = "scores that are no number"
EXTRA = "scores of trials that are not in the list"
REPEATED = "lines that repeat an earlier one"
CONTRADICTING = "lines that contradict an earlier one"
ALLOWED_BY: dict[str, Option] = {
    MISSING: "--allow-missing",
    NO_NUMBER: "--allow-missing",
    EXTRA: "--allow-extra",
    REPEATED: "--allow-extra",
}
"""What may be wrong between scores and trials, and the option that leaves it out; nothing allows the others."""

MOST_NAMED = 3
"""Lines that are named of each kind of fault."""

EXPECTED = "lines of model, test and score, or of one score each, or a table with columns model, test and score"

Line = tuple[int, int | None, str, str]
"""A line of scores: its number, the trial's place in the list if it is there, its name, and the score as text."""


@dataclass(frozen=True, eq=False)
class ScoredTrials:
    """The trials of a list, each once, with their scores.

    Parameters
    ----------
    models, tests : list of str, length n
        The two sides of each trial.
    target : np.ndarray, shape (n,), bool
        Which are target trials.
    scores : np.ndarray, shape (n,)
        NaN where there is none.
    columns : dict of str to list of str
        What a list that is a table says of each trial besides, by column.
    notes : tuple of str
        How the files were read, and what was left out: a sentence each.
    """

    models: list[str]
    tests: list[str]
    target: BoolArray
    scores: Float64Array
    columns: dict[str, list[str]]
    notes: tuple[str, ...]


@dataclass
class _Listed:
    """A trial list: its distinct trials, where each stands, and for each line which trial it is."""

    trials: list[Trial] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    place: dict[tuple[str, str], int] = field(default_factory=dict)
    of_line: list[int] = field(default_factory=list)
    labels: dict[str, bool] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class _Faults:
    """What is wrong, counted by kind, the first few named."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, path: Path, number: int, what: str) -> None:
        """Count a fault, and name it if it is among the first of its kind."""
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_NAMED:
            self._first[kind].append(f"{path}:{number}: {what}")

    def settle(self, allowed: set[Option]) -> tuple[str, ...]:
        """Raise an error that tells all that is not allowed, or give what is left out as sentences."""
        if refused := [kind for kind in self._counts if ALLOWED_BY.get(kind) not in allowed]:
            raise CorpusError("\n".join(self._told(kind, "; {} leaves them out") for kind in refused))
        return tuple(self._told(kind, ", left out") for kind in self._counts)

    def _told(self, kind: str, consequence: str) -> str:
        """Tell of a kind, on lines."""
        option = ALLOWED_BY.get(kind)
        more = self._counts[kind] - len(self._first[kind])
        heading = f"{kind}: {self._counts[kind]:,}" + (consequence.format(option) if option else "")
        return "\n  ".join([heading, *self._first[kind], *([f"and {more:,} more"] if more else [])])


def read_scored_trials(
    scores: Path, trials: Path, *, allow_missing: bool = False, allow_extra: bool = False
) -> ScoredTrials:
    """Read a trial list and the scores of its trials.

    Parameters
    ----------
    scores, trials : Path
        The files. In a table of scores ``llr`` is taken before ``score``.
    allow_missing : bool
        Whether trials may have no score, or one that is no number.
    allow_extra : bool
        Whether there may be scores of other trials, and trials or scores that are there twice and say the same.

    Returns
    -------
    ScoredTrials
        In the order of the list.

    Raises
    ------
    CorpusError
        If a file cannot be read, or what is wrong is not allowed; each kind is counted, and its first lines named.
    """
    faults = _Faults()
    listed = _read_list(trials, faults)
    values, line_of = [math.nan] * len(listed.trials), [0] * len(listed.trials)
    lines, notes = _score_lines(scores, trials, listed)
    for number, place, name, text in lines:
        if place is None:
            faults.add(EXTRA, scores, number, name)
        elif line_of[place]:
            kind = REPEATED if _number(text) == values[place] else CONTRADICTING
            faults.add(kind, scores, number, f"{name} {text}; line {line_of[place]} says {values[place]:g}")
        else:
            line_of[place], values[place] = number, _number(text)
            if math.isnan(values[place]):
                faults.add(NO_NUMBER, scores, number, f"{name} {text!r}")
    for trial, number, line in zip(listed.trials, listed.numbers, line_of, strict=True):
        if not line:
            faults.add(MISSING, trials, number, f"{trial.model} {trial.test}")
    allowed: set[Option] = {"--allow-missing"} if allow_missing else set()
    left_out = faults.settle(allowed | ({"--allow-extra"} if allow_extra else set()))
    return ScoredTrials(
        [each.model for each in listed.trials],
        [each.test for each in listed.trials],
        np.array([each.target for each in listed.trials], np.bool_),
        np.array(values, np.float64),
        dict(listed.columns),
        (*_labels_told(listed), *notes, *left_out),
    )


def _read_list(path: Path, faults: _Faults) -> _Listed:
    """Read a trial list; of trials that are there twice the first."""
    listed, problems = _Listed(), Problems()
    table = _is_table(path)
    rows = _labelled_rows(path, problems) if table else ((*each, {}) for each in labelled_lines(path, problems))
    for number, trial, label, columns in rows:
        pair = trial.model, trial.test
        place = listed.place.setdefault(pair, len(listed.trials))
        listed.of_line.append(place)
        listed.labels[label] = trial.target
        if place == len(listed.trials):
            listed.trials.append(trial)
            listed.numbers.append(number)
            for name, value in columns.items():
                listed.columns[name].append(value)
        else:
            kind = REPEATED if listed.trials[place] == trial else CONTRADICTING
            faults.add(kind, path, number, f"{' '.join(pair)} {label}; it is on line {listed.numbers[place]} already")
    problems.check()
    return listed


def _labelled_rows(path: Path, problems: Problems) -> Iterator[tuple[int, Trial, str, dict[str, str]]]:
    """Read the trials of a table, with all that it says of them."""
    if "label" not in (names := read_column_names(path)):
        raise CorpusError(f"{path}:1: no column 'label' among {', '.join(names)}; it says which trials are target")
    number = 0
    for number, row in named_rows(path, problems):
        if row["label"] in LAST:
            yield number, Trial(row["model"], row["test"], LAST[row["label"]]), row["label"], row
        else:
            problems.add(f"{path}:{number}: label {row['label']!r}; expected one of {', '.join(LAST)}")
    if not number:
        problems.add(f"{path}: no trials")


def _score_lines(path: Path, trials: Path, listed: _Listed) -> tuple[Iterator[Line], list[str]]:
    """Tell what kind of file the scores are in; give its lines, and how it is read where that is a choice."""
    if _is_table(path):
        names = read_column_names(path)
        column = next((name for name in ("llr", "score") if name in names), None)
        if column is None:
            raise CorpusError(f"{path}:1: no column 'llr' or 'score' among {', '.join(names)}")
        return _table_lines(path, column, listed), [f"scores: column {column} of {path}"]
    first = next(numbered_lines(path), None)
    n_fields = len(first[1].split()) if first else 0
    if first and n_fields == 3:
        return _pair_lines(path, listed), []
    if first and n_fields == 1 and not set(first[1]) & set(",;"):
        return _single_lines(path, trials, listed), [f"scores: line by line in the order of {trials}"]
    found = f"{path}:{first[0]}: {first[1]!r}" if first else f"{path}: no scores"
    raise CorpusError(f"{found}; expected {EXPECTED}")


def _table_lines(path: Path, column: str, listed: _Listed) -> Iterator[Line]:
    """Read the scores of a table."""
    problems = Problems()
    for number, row in named_rows(path, problems):
        pair = row["model"], row["test"]
        yield number, listed.place.get(pair), " ".join(pair), row[column]
    problems.check()


def _pair_lines(path: Path, listed: _Listed) -> Iterator[Line]:
    """Read lines of model, test and score."""
    problems = Problems()
    for number, line in numbered_lines(path):
        fields = line.split()
        if len(fields) == 3:
            model, test, text = fields
            yield number, listed.place.get((model, test)), f"{model} {test}", text
        else:
            problems.add(f"{path}:{number}: {line!r}; expected a model, a test and a score, as in the first line")
    problems.check()


def _single_lines(path: Path, trials: Path, listed: _Listed) -> Iterator[Line]:
    """Read lines of one score, the first for the first trial."""
    lines = list(numbered_lines(path))
    if len(lines) != len(listed.of_line):
        raise CorpusError(
            f"{path}: {len(lines):,} scores; expected one for each of the {len(listed.of_line):,} lines of {trials}"
        )
    for (number, text), place in zip(lines, listed.of_line, strict=True):
        yield number, place, f"{listed.trials[place].model} {listed.trials[place].test}", text


def _is_table(path: Path) -> bool:
    """Tell whether the first line names columns."""
    _, first = next(numbered_lines(path), (0, ""))
    return any(mark in first for mark in ",;\t") and {"model", "test"} <= set(read_column_names(path))


def _number(text: str) -> float:
    """Read a score, NaN for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _labels_told(listed: _Listed) -> list[str]:
    """Say what labels were taken for, where they are not target and nontarget themselves."""
    others = [
        f"{label} for {'target' if target else 'nontarget'}"
        for label, target in sorted(listed.labels.items(), reverse=True)
        if label not in ("target", "nontarget")
    ]
    return [f"labels: {', '.join(others)}"] if others else []

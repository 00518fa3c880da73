"""Score files of any toolkit, joined with trial lists.

Scores are lines of model, test and score (Kaldi's; with VoxCeleb's lists enrolment, test and score), lines of one score
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
from speechgmm.corpus.trials import LABELS_LAST, labelled_lines
from speechgmm.errors import CorpusError
from speechgmm.files import numbered_lines

Option = Literal["--allow-missing", "--allow-extra"]

MISSING = "trials without a score"
NOT_A_NUMBER = "scores that are not a number"
EXTRA = "scores of trials that are not in the list"
REPEATED = "lines that repeat an earlier one"
CONTRADICTING = "lines that contradict an earlier one"
ALLOWED_BY: dict[str, Option] = {
    MISSING: "--allow-missing",
    NOT_A_NUMBER: "--allow-missing",
    EXTRA: "--allow-extra",
    REPEATED: "--allow-extra",
}
"""Kinds of mismatch that an option allows, by leaving them out; the others are always errors."""

MAX_LISTED = 3
"""Lines that a message lists for each kind of mismatch."""

EXPECTED_SCORES = "lines of model, test and score, or of one score each, or a table with columns model, test and score"

ScoreLine = tuple[int, int | None, str, str]
"""A line of scores: line number, index of the trial or None if it is not in the list, the trial's name, score text."""


@dataclass(frozen=True, eq=False)
class ScoredTrials:
    """The distinct trials of a list, in its order, with their scores."""

    models: list[str]  # length n
    tests: list[str]  # length n
    target: BoolArray  # (n,), which are target trials
    scores: Float64Array  # (n,), NaN for trials without a score
    columns: dict[str, list[str]]  # the columns of a trial list that is a table, each of length n
    notes: tuple[str, ...]  # how the files were read and what was left out, one sentence each


@dataclass
class _TrialList:
    """The distinct trials of a list, and where they are in it."""

    trials: list[Trial] = field(default_factory=list)
    line_numbers: list[int] = field(default_factory=list)  # of each trial
    index_of: dict[tuple[str, str], int] = field(default_factory=dict)  # of each trial, by model and test
    index_of_line: list[int] = field(default_factory=list)  # index of the trial on each line
    labels: dict[str, bool] = field(default_factory=dict)  # labels in the list, and whether they mean target
    columns: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class _Mismatches:
    """Lines that do not fit, counted by kind; the first of each kind are kept for the message."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, path: Path, number: int, what: str) -> None:
        """Count a line; keep it for the message if it is among the first of its kind."""
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_LISTED:
            self._first[kind].append(f"{path}:{number}: {what}")

    def check(self, allowed: set[Option]) -> tuple[str, ...]:
        """Raise a `CorpusError` for the kinds that are not allowed; return a note on each kind that is left out."""
        if refused := [kind for kind in self._counts if ALLOWED_BY.get(kind) not in allowed]:
            raise CorpusError("\n".join(self._format(kind, "; {} leaves them out") for kind in refused))
        return tuple(self._format(kind, ", left out") for kind in self._counts)

    def _format(self, kind: str, consequence: str) -> str:
        """Format the count of a kind and its first lines."""
        option = ALLOWED_BY.get(kind)
        more = self._counts[kind] - len(self._first[kind])
        heading = f"{kind}: {self._counts[kind]:,}" + (consequence.format(option) if option else "")
        return "\n  ".join([heading, *self._first[kind], *([f"and {more:,} more"] if more else [])])


def read_scored_trials(
    scores: Path, trials: Path, *, allow_missing: bool = False, allow_extra: bool = False
) -> ScoredTrials:
    """Read a trial list and the scores of its trials; the column ``llr`` of a table is preferred to ``score``.

    `allow_missing` leaves out trials whose score is missing or not a number; `allow_extra` leaves out scores of other
    trials, and repeated trials and scores that agree. Raises `CorpusError` if a file cannot be read, or for any other
    mismatch; it counts each kind and lists its first lines.
    """
    mismatches = _Mismatches()
    trial_list = _read_trial_list(trials, mismatches)
    values, line_of = [math.nan] * len(trial_list.trials), [0] * len(trial_list.trials)
    lines, notes = _score_lines(scores, trials, trial_list)
    for number, index, name, text in lines:
        if index is None:
            mismatches.add(EXTRA, scores, number, name)
        elif line_of[index]:
            kind = REPEATED if _number(text) == values[index] else CONTRADICTING
            mismatches.add(kind, scores, number, f"{name} {text}; line {line_of[index]} says {values[index]:g}")
        else:
            line_of[index], values[index] = number, _number(text)
            if math.isnan(values[index]):
                mismatches.add(NOT_A_NUMBER, scores, number, f"{name} {text!r}")
    for trial, number, line in zip(trial_list.trials, trial_list.line_numbers, line_of, strict=True):
        if not line:
            mismatches.add(MISSING, trials, number, f"{trial.model} {trial.test}")
    allowed: set[Option] = {"--allow-missing"} if allow_missing else set()
    left_out = mismatches.check(allowed | ({"--allow-extra"} if allow_extra else set()))
    return ScoredTrials(
        [trial.model for trial in trial_list.trials],
        [trial.test for trial in trial_list.trials],
        np.array([trial.target for trial in trial_list.trials], np.bool_),
        np.array(values, np.float64),
        dict(trial_list.columns),
        (*_label_notes(trial_list), *notes, *left_out),
    )


def _read_trial_list(path: Path, mismatches: _Mismatches) -> _TrialList:
    """Read a trial list; a repeated trial counts once, as its first line says."""
    trial_list, problems = _TrialList(), Problems()
    table = _is_table(path)
    rows = _labelled_rows(path, problems) if table else ((*line, {}) for line in labelled_lines(path, problems))
    for number, trial, label, columns in rows:
        pair = trial.model, trial.test
        index = trial_list.index_of.setdefault(pair, len(trial_list.trials))
        trial_list.index_of_line.append(index)
        trial_list.labels[label] = trial.target
        if index == len(trial_list.trials):
            trial_list.trials.append(trial)
            trial_list.line_numbers.append(number)
            for name, value in columns.items():
                trial_list.columns[name].append(value)
        else:
            kind = REPEATED if trial_list.trials[index] == trial else CONTRADICTING
            first = trial_list.line_numbers[index]
            mismatches.add(kind, path, number, f"{' '.join(pair)} {label}; it is on line {first} already")
    problems.check()
    return trial_list


def _labelled_rows(path: Path, problems: Problems) -> Iterator[tuple[int, Trial, str, dict[str, str]]]:
    """Read the rows of a trial list that is a table: line number, trial, label, and the fields by column."""
    if "label" not in (names := read_column_names(path)):
        raise CorpusError(f"{path}:1: no column 'label' among {', '.join(names)}; it marks target trials")
    number = 0
    for number, row in named_rows(path, problems):
        if row["label"] in LABELS_LAST:
            yield number, Trial(row["model"], row["test"], LABELS_LAST[row["label"]]), row["label"], row
        else:
            problems.add(f"{path}:{number}: label {row['label']!r}; expected one of {', '.join(LABELS_LAST)}")
    if not number:
        problems.add(f"{path}: no trials")


def _score_lines(path: Path, trials: Path, trial_list: _TrialList) -> tuple[Iterator[ScoreLine], list[str]]:
    """Read the lines of a score file of any kind; notes say how it is read if there is a choice."""
    if _is_table(path):
        names = read_column_names(path)
        column = next((name for name in ("llr", "score") if name in names), None)
        if column is None:
            raise CorpusError(f"{path}:1: no column 'llr' or 'score' among {', '.join(names)}")
        return _table_lines(path, column, trial_list), [f"scores: column {column} of {path}"]
    first = next(numbered_lines(path), None)
    n_fields = len(first[1].split()) if first else 0
    if first and n_fields == 3:
        return _pair_lines(path, trial_list), []
    if first and n_fields == 1 and not set(first[1]) & set(",;"):
        return _single_lines(path, trials, trial_list), [f"scores: line by line in the order of {trials}"]
    message = f"{path}:{first[0]}: {first[1]!r}" if first else f"{path}: no scores"
    raise CorpusError(f"{message}; expected {EXPECTED_SCORES}")


def _table_lines(path: Path, column: str, trial_list: _TrialList) -> Iterator[ScoreLine]:
    """Read the scores of a table."""
    problems = Problems()
    for number, row in named_rows(path, problems):
        pair = row["model"], row["test"]
        yield number, trial_list.index_of.get(pair), " ".join(pair), row[column]
    problems.check()


def _pair_lines(path: Path, trial_list: _TrialList) -> Iterator[ScoreLine]:
    """Read lines of model, test and score."""
    problems = Problems()
    for number, line in numbered_lines(path):
        fields = line.split()
        if len(fields) == 3:
            model, test, text = fields
            yield number, trial_list.index_of.get((model, test)), f"{model} {test}", text
        else:
            problems.add(f"{path}:{number}: {line!r}; expected a model, a test and a score, as in the first line")
    problems.check()


def _single_lines(path: Path, trials: Path, trial_list: _TrialList) -> Iterator[ScoreLine]:
    """Read lines of one score, in the order of the lines of the trial list."""
    lines, indices = list(numbered_lines(path)), trial_list.index_of_line
    if len(lines) != len(indices):
        raise CorpusError(
            f"{path}: {len(lines):,} scores; expected one for each of the {len(indices):,} lines of {trials}"
        )
    for (number, text), index in zip(lines, indices, strict=True):
        yield number, index, f"{trial_list.trials[index].model} {trial_list.trials[index].test}", text


def _is_table(path: Path) -> bool:
    """Check whether the first line names columns."""
    _, first = next(numbered_lines(path), (0, ""))
    return any(mark in first for mark in ",;\t") and {"model", "test"} <= set(read_column_names(path))


def _number(text: str) -> float:
    """Read a score, NaN if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _label_notes(trial_list: _TrialList) -> list[str]:
    """List how labels other than target and nontarget were read."""
    others = [
        f"{label} for {'target' if target else 'nontarget'}"
        for label, target in sorted(trial_list.labels.items(), key=lambda item: (not item[1], item[0]))
        if label not in ("target", "nontarget")
    ]
    return [f"labels: {', '.join(others)}"] if others else []

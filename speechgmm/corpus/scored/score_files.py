"""Score files of any toolkit, joined with trial lists.

Scores are lines of words in one of `speechgmm.corpus.scored.columns.LINE_FORMATS`, lines of one score in the order of
the list, or a table whose first line names the columns. Trial lists are those of `speechgmm.corpus.trials`, tables, and
score files with labels. Formats are recognised by their content.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.corpus.scored.columns import KALDI, Columns
from speechgmm.corpus.scored.mismatches import (
    COMMAS,
    CONTRADICTING,
    EXTRA,
    MISSING,
    NOT_A_NUMBER,
    OTHER_LABEL,
    REPEATED,
    Mismatches,
    Option,
)
from speechgmm.corpus.scored.recognition import are_swapped, labelled_columns, score_columns
from speechgmm.corpus.scored.rows import read_rows
from speechgmm.corpus.scored.trial_list import FindTrial, TrialList, read_trial_list
from speechgmm.corpus.vocabulary import DECIMAL_COMMA, is_target
from speechgmm.errors import CorpusError
from speechgmm.files import read_number

ScoreLine = tuple[int, int | None, str, str, str, str]
"""A line of scores: line number, index of the trial or None if it is not in the list, model, test, score, label."""


@dataclass(frozen=True, eq=False)
class ScoredTrials:
    """The distinct trials of a list, in its order, with their scores."""

    models: list[str]  # length n
    tests: list[str]  # length n
    target: BoolArray  # (n,), which are target trials
    scores: Float64Array  # (n,), NaN for trials without a score
    columns: dict[str, list[str]]  # the columns of a trial list that names them, each of length n
    notes: tuple[str, ...]  # how the files were read and what was left out, one sentence each


def read_scored_trials(
    scores: Path, trials: Path | None, *, allow_missing: bool = False, allow_extra: bool = False
) -> ScoredTrials:
    """Read a trial list and the scores of its trials; without a list, the scores have labels.

    `allow_missing` leaves out trials whose score is missing or not a number; `allow_extra` leaves out scores of other
    trials, and repeated trials and scores that agree. Raises `CorpusError` if a file cannot be read, or for any other
    mismatch; it counts each kind and lists its first lines.
    """
    mismatches = Mismatches()
    try:
        trial_list, lines, notes = _read(scores, trials, mismatches)
    except CorpusError as error:
        if trials is not None and are_swapped(scores, trials):
            raise CorpusError(
                f"{scores} holds trials with labels, and {trials} scores; expected first the scores, then the trials"
            ) from error
        raise
    values = _join(scores, trials or scores, trial_list, lines, mismatches)
    allowed: set[Option] = {"--allow-missing"} if allow_missing else set()
    left_out = mismatches.check(allowed | ({"--allow-extra"} if allow_extra else set()))
    return ScoredTrials(
        trial_list.models,
        trial_list.tests,
        np.array(trial_list.target, np.bool_),
        np.array(values, np.float64),
        dict(trial_list.columns),
        (*trial_list.label_notes(), *notes, *left_out),
    )


def _read(
    scores: Path, trials: Path | None, mismatches: Mismatches
) -> tuple[TrialList, Iterator[ScoreLine], list[str]]:
    """Read the trial list, and open the scores; notes say how they are read."""
    if trials is None:
        columns = _labelled_scores(scores)
        trial_list = read_trial_list(scores, columns, Mismatches())  # joining the lines counts them
        lines = _named_lines(scores, columns, trial_list.index_of.get)
        return trial_list, lines, [f"trials: those of {scores}, by its labels", _note(scores, columns)]
    of_list = labelled_columns(trials)
    trial_list = read_trial_list(trials, of_list, mismatches)
    of_scores, find, names = score_columns(scores, trials, trial_list)
    notes = [f"trials: {of_list}"] if of_list and not (of_list.header and of_list.are_plain) else []
    if not of_scores.has_trials:
        lines = _ordered_lines(scores, of_scores, trials, trial_list)
        return trial_list, lines, [*notes, f"scores: line by line in the order of {trials}"]
    if of_scores != KALDI:
        notes.append(_note(scores, of_scores))
    return trial_list, _named_lines(scores, of_scores, find), [*notes, *([names] if names else [])]


def _labelled_scores(path: Path) -> Columns:
    """Recognise the columns of scores with labels; raises `CorpusError` if there are none."""
    hint = "expected scores with labels, or a trial list as well"
    try:
        columns = labelled_columns(path)
    except CorpusError as error:
        raise CorpusError(f"{error}; {hint}") from error
    if columns is None:
        raise CorpusError(f"{path}: no models, tests, scores and labels in a known format; {hint}")
    if "score" not in columns.roles:
        named = f"no column 'score' among {', '.join(columns.names)}" if columns.header else "no scores beside labels"
        raise CorpusError(f"{path}: {named}; {hint}")
    return columns


def _note(path: Path, columns: Columns) -> str:
    """Say how a score file is read."""
    if not columns.header:
        return f"scores: {columns}"
    score = f"scores: column {columns.names[columns.roles['score']]} of {path}"
    return score if columns.are_plain else f"{score}; {columns}"


def _named_lines(path: Path, columns: Columns, find: FindTrial) -> Iterator[ScoreLine]:
    """Read scores with their trials."""
    for number, model, test, score, label, _ in read_rows(path, columns):
        yield number, find((model, test)), model, test, score, label


def _ordered_lines(path: Path, columns: Columns, trials: Path, trial_list: TrialList) -> Iterator[ScoreLine]:
    """Read scores in the order of the lines of the trial list."""
    indices = trial_list.index_of_line
    n_rows = 0
    for n_rows, (number, _, _, score, label, _) in enumerate(read_rows(path, columns), 1):
        if n_rows <= len(indices):
            index = indices[n_rows - 1]
            yield number, index, trial_list.models[index], trial_list.tests[index], score, label
    if n_rows != len(indices):
        raise CorpusError(f"{path}: {n_rows:,} scores; expected one for each of the {len(indices):,} lines of {trials}")


def _join(
    scores: Path, trials: Path, trial_list: TrialList, lines: Iterator[ScoreLine], mismatches: Mismatches
) -> list[float]:
    """Return the score of each trial, NaN without one; `mismatches` counts the lines that do not fit."""
    target = trial_list.target
    values, line_of = [math.nan] * len(target), [0] * len(target)
    number = 0
    for number, index, model, test, text, label in lines:
        if index is None:
            mismatches.add(EXTRA, scores, number, f"{model} {test}")
            continue
        value = read_number(text)
        if label and is_target(label) == (not target[index]):
            theirs = f"line {trial_list.line_numbers[index]} of {trials} has the other label"
            mismatches.add(OTHER_LABEL, scores, number, f"{model} {test} {label}; {theirs}")
        elif line_of[index]:
            kind = REPEATED if value == values[index] else CONTRADICTING
            first = f"line {line_of[index]} says {values[index]:g}"
            mismatches.add(kind, scores, number, f"{model} {test} {text}; {first}")
        else:
            line_of[index], values[index] = number, value
            if math.isnan(value):
                kind = COMMAS if DECIMAL_COMMA.fullmatch(text) else NOT_A_NUMBER
                mismatches.add(kind, scores, number, f"{model} {test} {text!r}")
    if not number:
        raise CorpusError(f"{scores}: no scores; the file holds only a line that names the columns")
    for index, line in enumerate(line_of):
        if not line:
            pair = f"{trial_list.models[index]} {trial_list.tests[index]}"
            mismatches.add(MISSING, trials, trial_list.line_numbers[index], pair)
    return values

"""Which format a score file or a trial list has, recognised by its content."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from speechgmm.corpus.named_columns import read_column_names, separator_of, without_comments
from speechgmm.corpus.scored.columns import LINE_FORMATS, SCORE_FIRST, VOXCELEB_LIST, Columns, named_columns
from speechgmm.corpus.scored.rows import Row, read_rows
from speechgmm.corpus.scored.trial_list import FindTrial, TrialList, ways_to_find
from speechgmm.corpus.vocabulary import is_target, may_be_data
from speechgmm.errors import CorpusError
from speechgmm.files import numbered_lines

SAMPLE = 1000
"""Lines at the start of a file that decide on its format, unless they leave a choice."""

EXPECTED_SCORES = (
    "lines of model, test and score, or of one score each, or a table with columns model, test and score, or scores of "
    "SpeechBrain, wespeaker, NIST, Bob or LIA_RAL"
)

NAME_THEM = "expected one format; name the columns in the first line, as in: model test label score"


def possible_columns(path: Path) -> list[Columns]:
    """List the columns that a file of scores or trials may have by its first lines, the most specific ones first."""
    lines = _first_lines(path)
    if lines and (named := _header(path, lines)):
        return [named]
    separator = separator_of(lines)
    fields = _usual_fields(lines)
    fitting = [
        replace(columns, separator=separator)
        for columns in LINE_FORMATS
        if 2 * sum(map(columns.fit, fields)) > len(fields)
    ]
    if VOXCELEB_LIST.names in (columns.names for columns in fitting):  # not scores of 1 and 0
        fitting = [columns for columns in fitting if columns.names != SCORE_FIRST.names]
    return sorted(fitting, key=lambda columns: -columns.specificity)


def _first_lines(path: Path) -> Sequence[str]:
    """Read the lines at the start of a file, without comments before them."""
    return without_comments([line for _, line in islice(numbered_lines(path), SAMPLE)])


def _likely(candidates: Sequence[Columns]) -> list[Columns]:
    """Choose the most specific columns of those that are possible, which name trials."""
    most = max((columns.specificity for columns in candidates), default=0)
    return [columns for columns in candidates if columns.specificity == most and columns.has_trials]


def _header(path: Path, lines: Sequence[str]) -> Columns | None:
    """Read the names of columns in the first line, None if it does not name them."""
    first, *others = lines[:2]
    if any(mark in first for mark in ",;\t"):
        columns = named_columns(read_column_names(path), "table")
        certain = any(mark in first for mark in ",;")
        if columns and (certain or not _may_be_data(columns, others[0].split("\t") if others else [])):
            return columns
    columns = named_columns(first.lstrip("#").split(), "words")
    if columns is None or (first.startswith("#") and not columns.has_trials):
        return None
    return None if _may_be_data(columns, others[0].split() if others else []) else columns


def _may_be_data(columns: Columns, next_fields: Sequence[str]) -> bool:
    """Check whether a line that could name columns may be data; `next_fields` are those of the line after it."""
    return may_be_data(columns.names, columns.roles, next_fields)


def _usual_fields(lines: Sequence[str]) -> list[list[str]]:
    """Return the fields of the lines that have the most common number of fields, without comments."""
    separator = separator_of(lines)
    fields = [line.split(separator) for line in lines if not line.startswith("#")]
    fields = fields or [line.split(separator) for line in lines]
    ((width, _),) = Counter(map(len, fields)).most_common(1) or [(0, 0)]
    return [[field.strip() for field in each] for each in fields if len(each) == width]


def labelled_columns(path: Path) -> Columns | None:
    """Recognise the columns of a trial list, None for lines of three words; raises `CorpusError` without labels."""
    candidates = possible_columns(path)
    named = next((columns for columns in candidates if columns.header), None)
    if named and not (named.has_trials and named.has_labels):
        missing = "label" if named.has_trials else "model" if "model" not in named.roles else "test"
        what = "marks target trials" if named.has_trials else "names the trials"
        raise CorpusError(f"{path}:1: no column {missing!r} among {', '.join(named.names)}; it {what}")
    labelled = [columns for columns in _likely(candidates) if columns.has_labels]
    if not labelled or (len(labelled[0].names) == 3 and not named and labelled[0].separator is None):
        return None
    rivals = {columns.source: columns for columns in labelled}
    if len(rivals) > 1:
        raise CorpusError(f"{_first_line(path)}; it fits {_listed(rivals.values(), ' and ')}; {NAME_THEM}")
    return labelled[0]


def score_columns(path: Path, trials: Path, trial_list: TrialList) -> tuple[Columns, FindTrial, str]:
    """Recognise the columns of a score file, and how its names are compared with those of the trial list.

    Of several possible formats, it is the one whose trials, and labels, are those of the list on most lines. The
    string is a note on the names, or empty. Raises `CorpusError` if no format fits, or several do.
    """
    candidates = [columns for columns in possible_columns(path) if "score" in columns.roles]
    exactly, _ = next(ways_to_find(trial_list))
    if not candidates:
        raise CorpusError(_why_no_scores(path))
    if not candidates[0].has_trials:
        _check_unnamed(path, candidates[0], trials, trial_list)
        return candidates[0], exactly, ""
    found: list[tuple[Columns, FindTrial, str]] = []
    for n_rows in (SAMPLE, None):
        found = _fitting_trials(path, candidates, trial_list, n_rows)
        if len(found) == 1:
            return found[0]
    if not found and (turned := [each for each in candidates if _are_turned(path, each, exactly)]):
        test, model = (turned[0].names[turned[0].roles[role]] for role in ("model", "test"))
        raise CorpusError(
            f"{_first_line(path)}; the models of {trials} are in the column {model}, and its tests in {test}; expected "
            "models before tests, or the names of the columns in the first line, as in: test model score"
        )
    if not found and len(candidates) == 1:
        return candidates[0], exactly, ""  # the join lists what does not fit
    if not found:
        raise CorpusError(f"{_first_line(path)}; no trial of {trials} is in {_listed(candidates, ' nor in ')}")
    tied = _listed((columns for columns, *_ in found), " and ")
    raise CorpusError(f"{_first_line(path)}; with {trials} it fits {tied}; {NAME_THEM}")


def _check_unnamed(path: Path, columns: Columns, trials: Path, trial_list: TrialList) -> None:
    """Refuse a table without columns for models and tests if other columns hold them, perhaps in another order."""
    rows = [fields for *_, fields in islice(_rows_so_far(path, columns), SAMPLE)]
    known = {*trial_list.models, *trial_list.tests}
    holding = [name for name in columns.names if rows and name and all(row.get(name) in known for row in rows)]
    if holding:
        raise CorpusError(
            f"{path}:1: {' and '.join(holding)} hold models or tests of {trials}; expected columns model and test"
        )


def _fitting_trials(
    path: Path, candidates: Sequence[Columns], trial_list: TrialList, n_rows: int | None
) -> list[tuple[Columns, FindTrial, str]]:
    """List the candidates that agree best with the trial list in the first rows of a file, or in all.

    They are found by the strictest comparison of names that finds a trial; candidates that read the same are listed
    once.
    """
    for find, note in ways_to_find(trial_list):
        agreement = [
            _agreement(islice(_rows_so_far(path, columns), n_rows), find, trial_list) for columns in candidates
        ]
        if not any(found for _, found in agreement):
            continue
        best = [columns for columns, each in zip(candidates, agreement, strict=True) if each == max(agreement)]
        different = {tuple(row[1:5] for row in islice(_rows_so_far(path, each), SAMPLE)): each for each in best[::-1]}
        return [(columns, find, note) for columns in different.values()]
    return []


def _rows_so_far(path: Path, columns: Columns) -> Iterator[Row]:
    """Read the rows of a file without an error for those that do not fit."""
    rows = read_rows(path, columns)
    while True:
        try:
            yield next(rows)
        except (StopIteration, CorpusError):
            return


def _are_turned(path: Path, columns: Columns, find: FindTrial) -> bool:
    """Check whether the first rows of a file name a trial's test before its model."""
    rows = list(islice(_rows_so_far(path, columns), SAMPLE))
    return bool(rows) and all(find((test, model)) is not None for _, model, test, *_ in rows)


def _agreement(rows: Iterable[Row], find: FindTrial, trial_list: TrialList) -> tuple[int, int]:
    """Count the rows whose trial is in the list without another label, and all whose trial is in the list."""
    n_agreeing = n_found = 0
    for _, model, test, _, label, _ in rows:
        if (index := find((model, test))) is not None:
            n_found += 1
            n_agreeing += is_target(label) in (None, trial_list.target[index])
    return n_agreeing, n_found


def are_swapped(scores: Path, trials: Path) -> bool:
    """Check whether the two files look as if they were given in the wrong order."""
    try:
        of_scores, of_trials = possible_columns(scores), possible_columns(trials)
    except CorpusError:
        return False
    has_trials, has_labels = (any(each.has_labels for each in _likely(of)) for of in (of_scores, of_trials))
    has_scores, are_scores = (any("score" in each.roles for each in of) for of in (of_scores, of_trials))
    return has_trials and are_scores and not (has_scores and has_labels)


def _why_no_scores(path: Path) -> str:
    """Explain that a file has no scores in a known format, with the formats tried."""
    lines = _first_lines(path)
    if not lines:
        return f"{path}: no scores; expected {EXPECTED_SCORES}"
    if named := _header(path, lines):
        return f"{path}:1: no column 'llr' or 'score' among {', '.join(named.names)}"
    (fields, *_) = _usual_fields(lines)
    tried = [each for each in LINE_FORMATS if len(each.names) == len(fields) and {"score", "test"} <= each.roles.keys()]
    return f"{_first_line(path)}; expected {EXPECTED_SCORES}" + (f"; tried {_listed(tried, ', ')}" if tried else "")


def _first_line(path: Path) -> str:
    """Quote the first line of a file."""
    number, line = next(numbered_lines(path))
    return f"{path}:{number}: {line!r}"


def _listed(formats: Iterable[Columns], separator: str) -> str:
    """List formats with their columns."""
    return separator.join(f"{each.source}'s columns ({', '.join(each.names)})" for each in formats)

"""Trial lists, read and written: VoxCeleb's (label first), NIST's (label last), and tables with column names."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speechgmm.corpus.linked_paths import list_path
from speechgmm.corpus.manifest import Trial
from speechgmm.corpus.named_columns import (
    named_rows,
    read_column_names,
    read_header,
    separator_of,
    without_comments,
)
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.vocabulary import EXPECTED_LABELS, column_roles, is_label, is_target, may_be_data
from speechgmm.errors import CorpusError
from speechgmm.files import TABLE_SUFFIXES, is_audio, numbered_lines, replacing

EXPECTED_TRIAL = "a model, a test utterance and a label: target or nontarget, tgt or imp, 1 or 0"

TrialLine = tuple[int, Trial]
"""A trial and its line number."""


class TrialColumns(NamedTuple):
    """The table's names of the columns of a trial list; None for no label."""

    model: str
    test: str
    label: str | None


def trial_lists(root: Path, names: Iterable[str], problems: Problems) -> dict[str, tuple[Path, list[TrialLine]]]:
    """Read trial lists, by file name without ``.txt``, or the ``.csv`` or ``.tsv`` of a table with column names.

    `names` are their paths, relative to `root`; `problems` collects the errors of the lists.
    """
    lists: dict[str, tuple[Path, list[TrialLine]]] = {}
    for name in names:
        path = list_path(root, name)
        try:
            key = list_name(path)
            if key in lists:
                problems.add(f"{path}: a second trial list by the name of {key}")
            else:
                lists[key] = path, parse_trials(path, problems)
        except CorpusError as error:
            problems.add(str(error))
    return lists


def list_name(path: Path) -> str:
    """Return the name of a list in results; suffixes of lists without column names are part of it, but ``.txt``."""
    is_table = path.suffix.lower() in TABLE_SUFFIXES and trial_columns(path) is not None
    return path.stem if is_table else path.name.removesuffix(".txt")


def parse_trials(path: Path, problems: Problems) -> list[TrialLine]:
    """Read a trial list without checking its models and tests.

    Lines are a model, a test and a label (target or nontarget, tgt or imp, 1 or 0), or, as in VoxCeleb's lists, 1 or
    0, an enrolment and a test; the first line decides which. Or the first line names columns for models, tests and
    labels, as NIST's keys do (``modelid``, ``segmentid``, ``targettype``). `problems` collects malformed lines and
    repeated trials. Raises `CorpusError` if the list cannot be read.
    """
    trials: list[TrialLine] = []
    first_lines: dict[tuple[str, str], int] = {}
    for number, trial, _, _ in labelled_rows(path, problems):
        first_line = first_lines.setdefault((trial.model, trial.test), number)
        if first_line != number:
            pair = f"{trial.model} {trial.test}"
            problems.add(f"{path}:{number}: trial {pair} is on line {first_line} as well; expected each trial once")
            continue
        trials.append((number, trial))
    return trials


def labelled_rows(path: Path, problems: Problems) -> Iterator[tuple[int, Trial, str, Mapping[str, str]]]:
    """Read a trial list of any format: line number, trial, label as it is written, and the fields of a table by column.

    Formats and errors are those of `parse_trials`, but repeated trials are yielded again.
    """
    columns = trial_columns(path)
    if columns is None:
        for number, trial, label in labelled_lines(path, problems):
            yield number, trial, label, {}
        return
    if columns.label is None:
        line, names = read_header(path)
        there = ", ".join(filter(None, names))
        raise CorpusError(f"{path}:{line}: no column 'label' among {there}; it marks target trials")
    number = 0
    for number, row in named_rows(path, problems):
        model, test, label = (row[name] for name in columns if name is not None)
        target = is_target(label)
        if not model or not test:
            problems.add(f"{path}:{number}: {columns.model} {model!r}, {columns.test} {test!r}; expected both")
        elif target is None:
            problems.add(f"{path}:{number}: {columns.label} {label!r}; expected one of {EXPECTED_LABELS}")
        else:
            yield number, Trial(model, test, target), label, row
    if not number:
        problems.add(f"{path}: no trials")


def trial_columns(path: Path) -> TrialColumns | None:
    """Find the columns of a list or of scores that is a table with names for models and tests; None for other lists.

    Raises `CorpusError` if it cannot be read.
    """
    first, *others = without_comments([line for _, line in numbered_lines(path)])[:2] or [""]
    if not set(first) & set(",;\t"):
        return None
    try:
        names = read_column_names(path)
    except CorpusError:  # a list without column names has no quoting either
        return None
    roles = column_roles(names)
    if not {"model", "test"} <= roles.keys():
        return None
    if not set(first) & set(",;") and may_be_data(names, roles, others[0].split("\t") if others else []):
        return None
    label = names[roles["label"]] if "label" in roles else None
    return TrialColumns(names[roles["model"]], names[roles["test"]], label)


def labelled_lines(path: Path, problems: Problems) -> Iterator[tuple[int, Trial, str]]:
    """Read the lines of a trial list without column names: line number, trial and the label as it is written.

    Formats and errors are those of `parse_trials`, but repeated trials are yielded again.
    """
    label_first: bool | None = None
    separator: str | None = None
    number = 0
    for number, line in numbered_lines(path):
        if label_first is None:
            separator = separator_of([line])
        fields = [field.strip() for field in line.split(separator)]
        if line.startswith("#") and not (len(fields) == 3 and (is_label(fields[0]) or is_label(fields[2]))):
            continue  # a comment
        if label_first is None and len(fields) == 3:
            label_first = is_label(fields[0]) and not is_label(fields[2])
        label = fields[0 if label_first else -1]
        target = is_target(label)
        if len(fields) != 3 or target is None:
            expected = "1 or 0, an enrolment and a test" if label_first else EXPECTED_TRIAL
            problems.add(f"{path}:{number}: {line!r}; expected {expected}")
            continue
        model, test = fields[1:] if label_first else fields[:2]
        yield number, Trial(model, test, target), label
    if not number:
        problems.add(f"{path}: no trials")


def check_trials(
    path: Path, lines: Iterable[TrialLine], models: Collection[str], tests: Collection[str], problems: Problems
) -> tuple[Trial, ...]:
    """Return the trials of a list, in its order; `problems` collects those with unknown models or tests."""
    models, tests = set(models), set(tests)
    trials = []
    for number, trial in lines:
        if trial.model not in models:
            problems.add(f"{path}:{number}: unknown model {trial.model!r}; no enrolment utterance is of this speaker")
        if trial.test not in tests:
            problems.add(f"{path}:{number}: unknown test {trial.test!r}; it is not among the test utterances")
        trials.append(trial)
    return tuple(trials)


def known_name(name: str, known: Collection[str]) -> str:
    """Return the id that a name in a trial list means: some lists name audio files instead.

    That is the name without its audio suffix if only that is a known id, otherwise the name itself.
    """
    if name not in known and is_audio(name) and (stem := PurePosixPath(name).with_suffix("").as_posix()) in known:
        return stem
    return name


def check_names(names: Iterable[str]) -> None:
    """Raise `ValueError` for names that lists with columns of words cannot hold: empty, or with white space."""
    for name in names:
        if len(name.split()) != 1:
            raise ValueError(f"{name!r}: expected a name without white space, which ends a name in lists")


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Write a trial list: lines of model, test, and target or nontarget.

    Raises `ValueError` if a name holds white space.
    """
    trials = tuple(trials)
    check_names(name for trial in trials for name in (trial.model, trial.test))
    with replacing(path) as temporary:
        lines = (f"{trial.model} {trial.test} {'target' if trial.target else 'nontarget'}\n" for trial in trials)
        temporary.write_text("".join(lines), encoding="utf-8")

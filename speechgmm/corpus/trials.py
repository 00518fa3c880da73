"""Trial lists, read and written: VoxCeleb's (label first) and NIST's (label last)."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from speechgmm.corpus.manifest import Trial
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import is_audio, numbered_lines, replacing

LABELS_FIRST = {"1": True, "0": False}
LABELS_LAST = {"target": True, "nontarget": False, "tgt": True, "imp": False, **LABELS_FIRST}
"""Whether a label means target, for labels in the first and in the last column."""

EXPECTED_TRIAL = "a model, a test utterance and a label: target or nontarget, tgt or imp, 1 or 0"

TrialLine = tuple[int, Trial]
"""A trial and its line number."""


def trial_lists(root: Path, names: Iterable[str], problems: Problems) -> dict[str, tuple[Path, list[TrialLine]]]:
    """Read trial lists, by file name without ``.txt``; `problems` collects their errors.

    `names` are their paths, relative to `root`.
    """
    lists: dict[str, tuple[Path, list[TrialLine]]] = {}
    for name in names:
        path = root / name
        key = path.name.removesuffix(".txt")
        if key in lists:
            problems.add(f"{path}: a second trial list by the name of {key}")
            continue
        try:
            lists[key] = path, parse_trials(path, problems)
        except CorpusError as error:
            problems.add(str(error))
    return lists


def parse_trials(path: Path, problems: Problems) -> list[TrialLine]:
    """Read a trial list without checking its models and tests.

    Lines are a model, a test and a label (target or nontarget, tgt or imp, 1 or 0), or, as in VoxCeleb's lists, 1 or
    0, an enrolment and a test; the first line decides which. `problems` collects malformed lines and repeated trials.
    Raises `CorpusError` if the list cannot be read.
    """
    trials: list[TrialLine] = []
    first_lines: dict[tuple[str, str], int] = {}
    for number, trial, _ in labelled_lines(path, problems):
        first_line = first_lines.setdefault((trial.model, trial.test), number)
        if first_line != number:
            problems.add(f"{path}:{number}: trial {trial.model} {trial.test} stands on line {first_line} already")
            continue
        trials.append((number, trial))
    return trials


def labelled_lines(path: Path, problems: Problems) -> Iterator[tuple[int, Trial, str]]:
    """Read the lines of a trial list: line number, trial and the label as it is written.

    Formats and errors are those of `parse_trials`, but repeated trials are yielded again.
    """
    label_first: bool | None = None
    number = 0
    for number, line in numbered_lines(path):
        fields = line.split()
        if label_first is None and len(fields) == 3:
            label_first = fields[0] in LABELS_FIRST and fields[2] not in LABELS_LAST
        label = fields[0 if label_first else -1]
        labels = LABELS_FIRST if label_first else LABELS_LAST
        if len(fields) != 3 or label not in labels:
            expected = "1 or 0, an enrolment and a test" if label_first else EXPECTED_TRIAL
            problems.add(f"{path}:{number}: {line!r}; expected {expected}")
            continue
        model, test = fields[1:] if label_first else fields[:2]
        yield number, Trial(model, test, labels[label]), label
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

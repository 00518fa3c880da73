"""Trial lists: VoxCeleb's (label first) and NIST's (label last), read and written."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from speechgmm.corpus.manifest import Trial
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import is_audio, numbered_lines, replacing

FIRST = {"1": True, "0": False}
LAST = {"target": True, "nontarget": False, "tgt": True, "imp": False, **FIRST}
"""What labels mean, by where they stand."""

EXPECTED = "a model, a test utterance and a label: target or nontarget, tgt or imp, 1 or 0"

TrialLine = tuple[int, Trial]
"""A trial, and the number of its line."""


def trial_lists(root: Path, names: Iterable[str], problems: Problems) -> dict[str, tuple[Path, list[TrialLine]]]:
    """Read trial lists.

    Parameters
    ----------
    root : Path
        Folder that they are in.
    names : iterable of str
        Their paths from there.
    problems : Problems
        Takes what is wrong with them.

    Returns
    -------
    dict from str to (Path, list of TrialLine)
        By the name of the file without ``.txt``.
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
    """Read a trial list, whatever its models and tests.

    Parameters
    ----------
    path : Path
        Lines of model, test and label (target or nontarget, tgt or imp, 1 or 0), or, as VoxCeleb's, of 1 or 0, an
        enrolment and a test. The first line tells which.
    problems : Problems
        Takes the lines that are neither, and the trials that are there twice.

    Returns
    -------
    list of (int, Trial)
        With the number of each line.

    Raises
    ------
    CorpusError
        If the list cannot be read.
    """
    found: list[TrialLine] = []
    lines: dict[tuple[str, str], int] = {}
    for number, trial, _ in labelled_lines(path, problems):
        before = lines.setdefault((trial.model, trial.test), number)
        if before != number:
            problems.add(f"{path}:{number}: trial {trial.model} {trial.test} stands on line {before} already")
            continue
        found.append((number, trial))
    return found


def labelled_lines(path: Path, problems: Problems) -> Iterator[tuple[int, Trial, str]]:
    """Read the lines of a trial list, those that are there twice as well.

    Parameters
    ----------
    path : Path
        As for `parse_trials`.
    problems : Problems
        Takes the lines that are no trials.

    Yields
    ------
    number : int >= 1
        Of the line.
    trial : Trial
        What it says.
    label : str
        The word that says whether it is a target trial.

    Raises
    ------
    CorpusError
        If the list cannot be read.
    """
    label_first: bool | None = None
    number = 0
    for number, line in numbered_lines(path):
        fields = line.split()
        if label_first is None and len(fields) == 3:
            label_first = fields[0] in FIRST and fields[2] not in LAST
        label = fields[0 if label_first else -1]
        labels = FIRST if label_first else LAST
        if len(fields) != 3 or label not in labels:
            expected = "1 or 0, an enrolment and a test" if label_first else EXPECTED
            problems.add(f"{path}:{number}: {line!r}; expected {expected}")
            continue
        model, test = fields[1:] if label_first else fields[:2]
        yield number, Trial(model, test, labels[label]), label
    if not number:
        problems.add(f"{path}: no trials")


def check_trials(
    path: Path, lines: Iterable[TrialLine], models: Collection[str], tests: Collection[str], problems: Problems
) -> tuple[Trial, ...]:
    """Hold a trial list against the utterances.

    Parameters
    ----------
    path : Path
        The list.
    lines : iterable of TrialLine
        What it says.
    models, tests : collection of str
        The models and the test utterances that a trial may name.
    problems : Problems
        Takes the lines that name others.

    Returns
    -------
    tuple of Trial
        In the order of the list.
    """
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
    """Give the id that a trial list means, which may name the file instead.

    Parameters
    ----------
    name : str
        As the list has it.
    known : collection of str
        The ids that there are.

    Returns
    -------
    str
        The name without the suffix of an audio file, if that is an id and the name is none.
    """
    if name not in known and is_audio(name) and (stem := PurePosixPath(name).with_suffix("").as_posix()) in known:
        return stem
    return name


def check_names(names: Iterable[str]) -> None:
    """Refuse names that lists with columns of words cannot hold.

    Parameters
    ----------
    names : iterable of str
        Of utterances or models.

    Raises
    ------
    ValueError
        If one holds white space, or is empty.
    """
    for name in names:
        if len(name.split()) != 1:
            raise ValueError(f"{name!r}: expected a name without white space, which ends a name in lists")


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Write a trial list: lines of model, test, and target or nontarget.

    Parameters
    ----------
    path : Path
        Where.
    trials : iterable of Trial
        In the order of the lines.

    Raises
    ------
    ValueError
        If a name holds white space.
    OSError
        If the file cannot be written.
    """
    trials = tuple(trials)
    check_names(name for trial in trials for name in (trial.model, trial.test))
    with replacing(path) as temporary:
        lines = (f"{each.model} {each.test} {'target' if each.target else 'nontarget'}\n" for each in trials)
        temporary.write_text("".join(lines), encoding="utf-8")

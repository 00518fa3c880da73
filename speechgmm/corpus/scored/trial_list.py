"""Trial lists that scores are joined with: their distinct trials, found by the names of models and tests."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from speechgmm.corpus.problems import Problems
from speechgmm.corpus.scored.columns import Columns
from speechgmm.corpus.scored.mismatches import CONTRADICTING, REPEATED, Mismatches
from speechgmm.corpus.scored.rows import Row, read_rows
from speechgmm.corpus.trials import labelled_lines
from speechgmm.corpus.vocabulary import EXPECTED_LABELS, is_target
from speechgmm.files import is_audio


@dataclass
class TrialList:
    """The distinct trials of a list, and where they are in it."""

    models: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    target: list[bool] = field(default_factory=list)
    line_numbers: list[int] = field(default_factory=list)  # of each trial
    index_of: dict[tuple[str, str], int] = field(default_factory=dict)  # of each trial, by model and test
    index_of_line: list[int] = field(default_factory=list)  # index of the trial on each line
    labels: dict[str, bool] = field(default_factory=dict)  # labels in the list, and whether they mean target
    columns: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # of a list with named columns

    def label_notes(self) -> list[str]:
        """List how labels other than target and nontarget were read."""
        others = [
            f"{label} for {'target' if target else 'nontarget'}"
            for label, target in sorted(self.labels.items(), key=lambda item: (not item[1], item[0]))
            if label not in ("target", "nontarget")
        ]
        return [f"labels: {', '.join(others)}"] if others else []


def read_trial_list(path: Path, columns: Columns | None, mismatches: Mismatches) -> TrialList:
    """Read a trial list by its columns, or without them lines of model, test and label, or of label, model and test.

    A repeated trial counts once, as its first line says; `mismatches` counts the others.
    """
    trials, problems = TrialList(), Problems()
    names: dict[str, str] = {}  # one copy of each name
    rows = read_rows(path, columns) if columns else _plain_rows(path, problems)
    number = 0
    for number, model, test, _, label, fields in rows:
        target = is_target(label)
        if target is None:
            problems.add(f"{path}:{number}: label {label!r}; expected one of {EXPECTED_LABELS}")
            continue
        pair = names.setdefault(model, model), names.setdefault(test, test)
        trials.labels[label] = target
        index = trials.index_of.setdefault(pair, len(trials.models))
        trials.index_of_line.append(index)
        if index == len(trials.models):
            trials.models.append(pair[0])
            trials.tests.append(pair[1])
            trials.target.append(target)
            trials.line_numbers.append(number)
            for name, value in fields.items():
                trials.columns[name].append(value)
        else:
            kind = REPEATED if trials.target[index] == target else CONTRADICTING
            first = trials.line_numbers[index]
            mismatches.add(kind, path, number, f"{' '.join(pair)} {label}; the same trial is on line {first}")
    if not number and not problems.lines:
        problems.add(f"{path}: no trials")
    problems.check()
    return trials


def _plain_rows(path: Path, problems: Problems) -> Iterator[Row]:
    """Read the lines of a list without names of columns."""
    for number, trial, label in labelled_lines(path, problems):
        yield number, trial.model, trial.test, "", label, {}


class FindTrial(Protocol):
    """Finds a trial by its model and its test."""

    def __call__(self, pair: tuple[str, str], /) -> int | None:
        """Return the index of the trial, or None if it is not in the list."""


class _Keys(dict[str, str]):
    """What names are compared by, computed once for each name."""

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key

    def __missing__(self, name: str) -> str:
        key = self[name] = self._key(name)
        return key


def ways_to_find(trials: TrialList) -> Iterator[tuple[FindTrial, str]]:
    """Yield ways to find trials by names that may be written in another way, the strictest first, with a note on each.

    Names are compared as they are, without the suffixes of audio, and at last without leading folders too. A way that
    takes two names of the list for the same is left out.
    """
    yield trials.index_of.get, ""
    stems = _Keys(_without_suffix), _Keys(_without_suffix)
    if find := _find_by(trials, stems):
        yield find, "names: compared without the suffixes of audio files"
    depths = [_depth_needed(map(_without_suffix, set(names))) for names in (trials.models, trials.tests)]
    ends = _Keys(lambda name: _end(name, depths[0])), _Keys(lambda name: _end(name, depths[1]))
    if find := _find_by(trials, ends):
        yield find, "names: compared without the suffixes of audio files and without leading folders"


def _find_by(trials: TrialList, keys: tuple[Mapping[str, str], Mapping[str, str]]) -> FindTrial | None:
    """Return what finds trials by the keys of models and tests, None if two names of the list have one key."""
    of_models, of_tests = keys
    for of_names, names in ((of_models, set(trials.models)), (of_tests, set(trials.tests))):
        if len({of_names[name] for name in names}) < len(names):
            return None
    index_of = {(of_models[model], of_tests[test]): index for (model, test), index in trials.index_of.items()}
    return lambda pair: index_of.get((of_models[pair[0]], of_tests[pair[1]]))


def _without_suffix(name: str) -> str:
    """Return a name without the suffix of an audio file, with the slashes of an address."""
    name = name.replace("\\", "/")
    return name.removesuffix(PurePosixPath(name).suffix) if is_audio(name) else name


def _end(name: str, depth: int) -> str:
    """Return the last parts of a path."""
    return "/".join(_without_suffix(name).split("/")[-depth:])


def _depth_needed(names: Iterable[str]) -> int:
    """Count the last parts of paths that tell the names apart."""
    paths: Sequence[list[str]] = [name.split("/") for name in names]
    deepest = max(map(len, paths), default=1)
    return next((n for n in range(1, deepest) if len({tuple(path[-n:]) for path in paths}) == len(paths)), deepest)

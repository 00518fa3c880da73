"""Detection of trial lists: which files are some, and which of them fit the recordings that were found."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speechgmm.corpus.formats.discovered import DiscoveredCorpus, relative_path
from speechgmm.corpus.manifest import ROLES, Corpus
from speechgmm.corpus.named_columns import separator_of, without_comments
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import assemble
from speechgmm.corpus.trials import TrialLine, known_name, list_name, parse_trials, trial_columns
from speechgmm.corpus.vocabulary import is_label
from speechgmm.errors import CorpusError
from speechgmm.files import TABLE_SUFFIXES, numbered_lines
from speechgmm.wording import first_few

SUFFIXES = ("", ".txt", ".lst", ".list", ".trials", ".trial", ".trl", ".key", ".ndx", *TABLE_SUFFIXES)
"""Suffixes that trial lists have."""

LISTS_OF_KALDI = frozenset(
    (
        *("text", "utt2spk", "spk2utt", "segments", "reco2file_and_channel", "utt2dur", "reco2dur", "utt2num_frames"),
        *("spk2gender", "utt2lang", "utt2uniq", "frame_shift", "stm", "glm", "utt2spk_unk", "spk2num_utts", "num_utts"),
    )
)
"""Files of data directories that are no trial lists, whatever their words are."""

FIRST_LINES = 10
"""Lines that have to be trials for a file to be taken for a list of them."""

MAX_LISTS = 10
"""Trial lists of a corpus that are read, at most."""


class TrialList(NamedTuple):
    """A file of trials, and what is wrong with it."""

    path: Path
    name: str  # the file relative to the folder that was looked through
    key: str  # its name in results
    lines: list[TrialLine]
    errors: tuple[str, ...]  # with file and line


def find_trial_lists(place: Path, files: Iterable[str]) -> list[str]:
    """List the files in a folder that are trial lists by their names or first lines, those above others first."""
    found = [name for name in files if _may_be_trials(place / name)]
    return sorted(found, key=lambda name: (name.count("/"), len(name), name))


def _may_be_trials(path: Path) -> bool:
    """Whether a file may be a trial list: ``trial`` in its name, or a label in each of its first lines, two or more."""
    if path.suffix.lower() not in SUFFIXES or path.name in LISTS_OF_KALDI:
        return False
    if "trial" in path.name.lower() or path.name.startswith("veri_"):
        return True
    try:
        columns = trial_columns(path)
        first = without_comments([line for _, line in numbered_lines(path)])[:FIRST_LINES]
    except (CorpusError, OSError):
        return False
    if columns is not None:
        return columns.label is not None
    fields = [[field.strip() for field in line.split(separator_of(first[:1]))] for line in first]
    labels_first, labels_last = ([is_label(words[end]) for words in fields] for end in (0, -1))
    return len(fields) > 1 and {*map(len, fields)} == {3} and (all(labels_first) or all(labels_last))


def read_trial_lists(place: Path, names: Sequence[str]) -> list[TrialList]:
    """Read the first trial lists, with what is wrong with each."""
    lists = []
    for name in names[:MAX_LISTS]:
        path, problems = place / name, Problems()
        key, lines = PurePosixPath(name).name, list[TrialLine]()
        try:
            key, lines = list_name(path), parse_trials(path, problems)
        except CorpusError as error:
            problems.add(str(error))
        lists.append(TrialList(path, name, key, lines, tuple(problems.lines)))
    return lists


def with_trials(found: DiscoveredCorpus, lists: Sequence[TrialList]) -> DiscoveredCorpus:
    """Return a corpus with the trial lists that fit its recordings; why others do not is said among what is ignored."""
    fitting: list[TrialList] = []
    corpus: Corpus | None = None
    ignored: list[str] = []
    for each in lists:
        try:
            _check_list(each, fitting)
            tables = {fit.key: (fit.path, fit.lines) for fit in (*fitting, each)}
            corpus = assemble(found.utterances, tables, None, Problems())
        except CorpusError as error:
            ignored.append(_why_unfit(each, found, str(error)))
        else:
            fitting.append(each)
    if corpus is None:
        return replace(found, ignored=(*found.ignored, *ignored))
    return replace(
        found,
        utterances={role: corpus.role(role) for role in ROLES},
        how=f"{found.how}; trials of {', '.join(each.name for each in fitting)}",
        keys={**found.keys, "trials": tuple(relative_path(each.path, found.root) for each in fitting)},
        ignored=(*found.ignored, *ignored, *corpus.notes),
    )


def _check_list(trials: TrialList, others: Iterable[TrialList]) -> None:
    """Refuse a list that has errors, or the name of another in results."""
    if trials.errors:
        more = len(trials.errors) - 1
        raise CorpusError(trials.errors[0] + f", and {more:,} more problem{'s' * (more > 1)}" * (more > 0))
    if same := [each.name for each in others if each.key == trials.key]:
        raise CorpusError(f"called {trials.key} in results, as {same[0]} is")


def _why_unfit(trials: TrialList, found: DiscoveredCorpus, error: str) -> str:
    """Say why a list does not fit the recordings: its own errors, or the names that are not listed."""
    known = {name for each in found.all_utterances for name in (each.id, each.enrols)}
    names = dict.fromkeys(name for _, trial in trials.lines for name in (trial.model, trial.test))
    unlisted = {name: None for name in names if known_name(name, known) not in known}
    if trials.errors or not unlisted:
        first = error.partition("\n")[0].replace(str(trials.path), trials.name)
        return first if first.startswith(trials.name) else f"{trials.name}: {first}"
    strange = [line for line in trials.lines if line[1].model in unlisted or line[1].test in unlisted]
    if len(strange) == len(trials.lines):
        return f"{trials.name}: its trials are of other models or tests"
    number, trial = strange[0]
    return (
        f"{trials.name}: {len(strange):,} of {len(trials.lines):,} trials are of models or tests that are not listed: "
        f"{first_few([*unlisted])} (line {number}: {trial.model} {trial.test}); list them, or leave out their trials"
    )

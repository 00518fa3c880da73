"""Detection of how recordings are laid out: a table, Kaldi's lists, a known layout, or a folder for each speaker."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from speechgmm.corpus.formats.discovered import DiscoveredCorpus, KeyValue, counted, other_files
from speechgmm.corpus.formats.discovered_files import without_speakers
from speechgmm.corpus.formats.discovered_lists import discover_lists
from speechgmm.corpus.formats.discovered_tables import discover_table, discover_tables, written_by_init
from speechgmm.corpus.formats.discovered_trials import (
    MAX_LISTS,
    TrialList,
    find_trial_lists,
    read_trial_lists,
    with_trials,
)
from speechgmm.corpus.formats.folders import LAYOUTS, FoundFiles, divide_by_folder, expected_path, find_utterances
from speechgmm.corpus.formats.sets import (
    FoundSets,
    find_sets,
    is_role,
    kind_of_set,
    role_sets,
    roles_of_sets,
    sets_of_same_names,
)
from speechgmm.corpus.manifest import ROLES, Role, Utterance
from speechgmm.errors import CorpusError
from speechgmm.files import files_below, is_audio, is_file, kinds_of_files, printable_name
from speechgmm.wording import first_few

UNSPECIFIC = ("fsdd",)
"""Layouts whose names other files may have too: most of the audio has to match."""

EXPECTED = (
    "expected a folder for each speaker, a table (.csv or .tsv) with columns path and speaker, or names as "
    "DIGIT_SPEAKER_TAKE.wav"
)


def discover(place: Path) -> DiscoveredCorpus:
    """Detect how the recordings in a folder, or in a table of recordings, are laid out.

    A table with columns for files and speakers comes first; then Kaldi's data directories; then the known layout that
    most recordings match; then folders, one for each speaker, perhaps in sets. Raises `CorpusError` if nothing
    matches, or a list has errors.
    """
    place = place.absolute()
    if place.is_file():
        found = discover_table(place)
        beside = sorted(each.name for each in place.parent.iterdir() if each != place and is_file(each))
        return with_trials(found, read_trial_lists(place.parent, find_trial_lists(place.parent, beside)))
    if not place.is_dir():
        raise CorpusError(f"{place}: no such folder or table")
    files = files_below(place)
    written = written_by_init(files)
    trials = find_trial_lists(place, files)
    files = [name for name in files if name not in written and name not in trials]
    found, useless = _discover(place, files, read_trial_lists(place, trials))
    useless += tuple(f"the table {table}, because init wrote it for {recipe}" for table, recipe in written.items())
    useless += (f"{counted(trials[MAX_LISTS:], 'more trial list')}: {first_few(trials[MAX_LISTS:])}",) * (
        len(trials) > MAX_LISTS
    )
    return replace(found, ignored=(*useless, *found.ignored))


def _discover(
    place: Path, files: Sequence[str], lists: Sequence[TrialList]
) -> tuple[DiscoveredCorpus, tuple[str, ...]]:
    """Return the recordings in a folder, in the roles that trial lists give, and what lists and tables are useless."""
    by_table, useless = discover_tables(place, files)
    useless += tuple(f"{name}, because no utt2spk beside it says who speaks" for name in without_speakers(files))
    if by_table:
        return with_trials(by_table, lists), useless
    if by_lists := discover_lists(place, files, lists):
        return by_lists, useless
    if not any(map(is_audio, files)):
        held = f"{counted(files, 'file')}, none of them audio ({kinds_of_files(files)})" if files else "no files"
        raise CorpusError(f"{place}: {held}; expected recordings, which end as in .wav or .flac")
    return with_trials(_by_layout(place, files) or _by_folders(place, files), lists), useless


class _Match(NamedTuple):
    """A known layout and the files that match it."""

    kind: str
    found: FoundFiles


def _by_layout(root: Path, files: Sequence[str]) -> DiscoveredCorpus | None:
    """Return the recordings by the known layout that most of them match, if there is one."""
    matches = []
    for kind in LAYOUTS:
        if kind == "folder":
            continue
        try:
            found = find_utterances(root, kind, files=files)
        except CorpusError:
            continue
        if _is_convincing(root, kind, found):
            matches.append(_Match(kind, found))
    if not matches:
        return None
    kind, found = max(matches, key=lambda match: len(match.found.utterances))
    how = f"files named as in {kind}: {_with_suffix(LAYOUTS[kind].expected, found.utterances)}"
    return _with_roles(DiscoveredCorpus(kind, root, {}, how), found, None)


def _is_convincing(root: Path, kind: str, found: FoundFiles) -> bool:
    """Whether the files that match a layout are a corpus of several speakers, and not a few among other speakers'.

    Copies beside the recordings do not count against the layout, nor do folders of noise.
    """
    speakers = {utterance.speaker for utterance in found.utterances}
    if len(speakers) < 2:
        return False
    if kind in UNSPECIFIC:
        return len(found.utterances) >= len(found.others)
    folders = {Path(utterance.path).parent for utterance in found.utterances}
    apart = [path for path in (root / name for name in found.others) if path.parent not in folders]
    apart = [path for path in apart if not any(kind_of_set(part) == "noise" for part in path.relative_to(root).parts)]
    return len(apart) <= len(found.utterances) or len({path.parent for path in apart}) <= 2 * len(speakers)


def _by_folders(place: Path, files: Sequence[str]) -> DiscoveredCorpus:
    """Return the recordings with a folder for each speaker; folders that hold all others are skipped."""
    root, audio = place, [name for name in files if is_audio(name)]
    while len(tops := {name.partition("/")[0] for name in audio}) == 1 and all(name.count("/") > 1 for name in audio):
        (top,) = tops
        root, audio = root / top, [name.partition("/")[2] for name in audio]
    folders = {name.rpartition("/")[0] for name in audio}
    if len(folders) == 1:
        names = [name.rpartition("/")[2] for name in audio]
        place = root / folders.pop()
        raise CorpusError(f"{place}: {first_few(names)} are in one folder, and nothing names the speakers; {EXPECTED}")
    sets = find_sets(audio)
    if sets.flat:
        raise CorpusError(
            f"{root}: {first_few(sets.flat)} are named as sets, and nothing in them names the speakers; {EXPECTED}"
        )
    found = find_utterances(root, "folder", sets.sets)
    found = found._replace(rest=tuple(printable_name(name) for name in files if not is_audio(name)))
    n_sessions = sum(1 for utterance in found.utterances if utterance.session)
    name = "SPEAKER/SESSION/NAME.wav" if n_sessions == len(found.utterances) else LAYOUTS["folder"].expected
    how = "a folder for each speaker: " + _with_suffix(f"{'SET/' if sets.sets else ''}{name}", found.utterances)
    if sets.sets:
        how += f", in {first_few(sets.sets)}"
    keys: dict[str, KeyValue] = {"sets": sets.sets} if sets.sets else {}
    return _with_roles(
        DiscoveredCorpus("folder", root, {}, how, keys, doubts=tuple(_doubts(sets, found))), found, sets.sets
    )


def _doubts(sets: FoundSets, found: FoundFiles) -> Iterator[str]:
    """Say what is guessed about the folders of speakers."""
    noises = [name for name in sets.doubtful if kind_of_set(name) == "noise"]
    if noises:
        yield f"{first_few(noises)} taken as a speaker's name; if it holds noise, move it out of the folder"
    if others := [name for name in sets.doubtful if name not in noises]:
        yield (
            f"{first_few(others)} taken as a speaker's name; if it holds folders of speakers, list such folders in "
            "corpus.sets"
        )
    sessions = sorted({each.session for each in found.utterances if each.session})
    if sets.is_guess and sets.sets:
        yield f"{first_few(sets.sets)} taken as sets of speakers; if they are the speakers, leave out corpus.sets"
    elif sets.is_guess:
        yield (
            f"the folders in a speaker's folder ({first_few(sessions)}) taken as sessions; if they are the speakers, "
            "list the folders that hold them in corpus.sets"
        )
    roles = [name for name in sessions if is_role(name)]
    if len({kind_of_set(name) for name in roles}) > 1:
        yield (
            f"{first_few(roles)} in the folders of speakers taken as sessions, not as roles; for roles, put the "
            f"speakers into them: {roles[0]}/SPEAKER/NAME.wav"
        )
    if versions := sets_of_same_names(found.utterances, sets.sets):
        yield (
            f"{first_few(versions)} hold recordings of the same names, taken as different recordings; if they are "
            "versions of the same ones, keep one of these folders in corpus.sets"
        )


def _with_roles(corpus: DiscoveredCorpus, found: FoundFiles, sets: Sequence[str] | None) -> DiscoveredCorpus:
    """Return a corpus with its recordings, in the roles that the names of its sets state, and what it leaves out.

    `sets` are the folders that hold the speakers' folders, or None for a known layout.
    """
    contents = role_sets(corpus.root, found.utterances, sets)
    roles = roles_of_sets(contents)
    folders: dict[Role | None, Sequence[str]] = {}
    how, keys = corpus.how, dict(corpus.keys)
    if roles:
        folders = {role: roles.folders.get(role, ()) for role in ROLES} | {None: roles.folders.get("evaluation", ())}
        how = f"{how}; {roles.words}"
        keys |= roles.folders
    by_role, n_left_out = divide_by_folder(found.utterances, corpus.root, folders)
    ignored = _left_out(found, corpus, sets or ())
    if roles and n_left_out:
        names = first_few(roles.left_out) if roles.left_out else "other folders"
        ignored = (f"{n_left_out:,} recordings in {names}, which have no role", *ignored)
    utterances = {role: tuple(those) for role, those in by_role.items()}
    return replace(corpus, utterances=utterances, how=how, keys=keys, ignored=ignored)


def _left_out(found: FoundFiles, corpus: DiscoveredCorpus, sets: Sequence[str]) -> tuple[str, ...]:
    """List the files that are no recordings of the corpus: one sentence for each kind."""
    taken = {Path(utterance.path).relative_to(corpus.root).as_posix() for utterance in found.utterances}
    stems = {name.rpartition(".")[0] for name in taken}
    converted = [name for name in found.others if name.rpartition(".")[0] in taken | stems]
    strays = sorted({*found.others} - {*converted})
    copies = sorted((*converted, *found.copies))
    layout = expected_path(corpus.kind, sets)
    left_out = []
    if copies:
        left_out.append(f"{counted(copies, 'audio file')} beside recordings of the same name: {first_few(copies)}")
    if strays:
        left_out.append(f"{kinds_of_files(strays)}, not named as {layout}: {first_few(strays)}")
    return (*left_out, *other_files(found.rest))


def _with_suffix(expected: str, utterances: Iterable[Utterance]) -> str:
    """Return the path of an utterance as messages show it, with the suffix that most recordings have."""
    counts = Counter(PurePosixPath(utterance.path).suffix for utterance in utterances)
    return str(PurePosixPath(expected).with_suffix(counts.most_common(1)[0][0]))

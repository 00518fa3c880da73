"""Detection of Kaldi data directories: which are background, enrolment and tests, and where their audio is."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from speechgmm.audio.reading import audio_file
from speechgmm.corpus.formats.commands import is_command
from speechgmm.corpus.formats.discovered import (
    DiscoveredCorpus,
    KeyValue,
    find_root,
    likely_roots,
    other_files,
    relative_path,
    unlisted_audio,
)
from speechgmm.corpus.formats.kaldi import KaldiConfig, read_data_directory, read_kaldi, read_speakers
from speechgmm.corpus.formats.sets import SetContents, kind_of_set, roles_of_sets
from speechgmm.corpus.linked_paths import audio_path
from speechgmm.corpus.manifest import ROLES, Role, Utterance
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import is_audio, numbered_lines
from speechgmm.wording import first_few

SPEAKERS = {"utt2spk", "spk2utt"}
"""The files of which a data directory of recordings has one beside ``wav.scp``."""

MAX_TRIAL_LISTS = 5
"""Trial lists of a corpus that are tried, at most."""


def discover_lists(place: Path, files: Sequence[str]) -> DiscoveredCorpus | None:
    """Return the recordings of the Kaldi data directories in a folder, or of the folder itself, if there are any.

    Raises `CorpusError` if lists are malformed, or if no list names files.
    """
    folders = _data_directories(files)
    if not folders:
        _check_incomplete(place, files)
        return None
    root = _find_root([place / folder for folder in folders])
    names = {folder: relative_path(place / folder, root) for folder in folders}
    contents = {folder: _contents(place / folder) for folder in folders}
    chosen, words = _roles(contents)
    kind = "Kaldi data directories" if len(folders) > 1 else "a Kaldi data directory"
    how = f"{kind}: {(place / words).name if words in folders else words}"
    keys = {key: None if folder is None else names[folder] for key, folder in chosen.items()}
    trials = _trial_lists(place, files, root)
    found = _read(root, keys, trials, how)
    others = [folder for folder in folders if folder not in chosen.values()]
    ignored = (f"data directories {first_few(others)}",) if others else ()
    return replace(found, ignored=(*ignored, *found.ignored, *_left_out(place, files, folders, root, trials)))


def _left_out(
    place: Path, files: Sequence[str], folders: Sequence[str], root: Path, trials: Sequence[str]
) -> tuple[str, ...]:
    """List the audio that no data directory names, and the other files outside them: one sentence for each."""
    paths = [line.split(maxsplit=1)[-1] for folder in folders for _, line in numbered_lines(place / folder / "wav.scp")]
    named = {str(audio_file(audio_path(root, path))) for path in paths}
    others = [
        name
        for name in files
        if not (is_audio(name) or f"{place}/{name}" in named or relative_path(place / name, root) in trials)
        and not {str(PurePosixPath(name).parent), *map(str, PurePosixPath(name).parents[:-1])} & {*folders}
    ]
    return (*unlisted_audio(named, place, files, "no wav.scp names"), *other_files(others))


def _data_directories(files: Iterable[str]) -> list[str]:
    """List the folders that are data directories, but not those within one, which are parts or copies of it."""
    names: dict[str, set[str]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        names.setdefault(folder or ".", set()).add(name)
    found = [folder for folder, held in names.items() if "wav.scp" in held and held & SPEAKERS]
    above = {folder: set(map(str, PurePosixPath(folder).parents)) - {folder} for folder in found}
    return [folder for folder in found if not above[folder].intersection(found)]


def _check_incomplete(place: Path, files: Sequence[str]) -> None:
    """Refuse lists of Kaldi that lack what is needed, if there is nothing else to read."""
    if any(is_audio(name) for name in files):
        return
    lists = {name: PurePosixPath(name).parent for name in files if PurePosixPath(name).name in ("wav.scp", "feats.scp")}
    for name, folder in lists.items():
        here = {PurePosixPath(other).name for other, parent in lists.items() if parent == folder}
        if "wav.scp" in here:
            raise CorpusError(f"{place / name}: no utt2spk beside it; expected one, which says who speaks")
        if "feats.scp" in here:
            raise CorpusError(
                f"{place / name}: features without a wav.scp; init reads audio. For features, write a recipe with "
                "kind: kaldi and input: features in its corpus section"
            )


def _contents(folder: Path) -> SetContents:
    """Count the utterances of each speaker of a data directory; its name says what it is for."""
    speakers = Counter(speaker for _, speaker in read_speakers(folder, Problems()).values())
    return SetContents(kind_of_set(folder.name), speakers)


def _roles(contents: Mapping[str, SetContents]) -> tuple[dict[str, str | None], str]:
    """Choose the data directory of each key of a recipe's corpus section, and say so in words.

    Without roles in the names, only the largest is used.
    """
    roles = roles_of_sets(contents)
    if roles is None:
        largest = _largest(contents, contents)
        return {"data": largest}, largest
    chosen = {key: _largest(names, contents) for key, names in roles.folders.items()}
    evaluated = chosen.pop("evaluation", None)
    if evaluated is not None:
        return {**chosen, "data": evaluated}, roles.words
    return {"background": None, **chosen}, roles.words


def _largest(names: Iterable[str], contents: Mapping[str, SetContents]) -> str:
    """Return the data directory with the most utterances."""
    return max(names, key=lambda name: contents[name].speakers.total())


def _find_root(folders: Sequence[Path]) -> Path:
    """Find the folder that the paths in ``wav.scp`` start from; the parent of the directories if no file exists."""
    paths: list[str] = []
    for folder in folders:
        for number, line in numbered_lines(folder / "wav.scp"):
            path = line.split(maxsplit=1)[-1]
            if is_command(path):
                raise CorpusError(
                    f"{folder / 'wav.scp'}:{number}: {path} is a command, which init does not run; expected files. If "
                    "you trust the list, write a recipe with allow_commands: true in its corpus section"
                )
            paths.append(path)
    first = folders[0]
    relative = [path for path in paths if not Path(path).is_absolute()]
    return (find_root(relative, likely_roots(first)) if relative else None) or (
        first if len(folders) == 1 else first.parent
    )


def _trial_lists(place: Path, files: Iterable[str], root: Path) -> list[str]:
    """List the files that may be trial lists by their names."""
    named = [name for name in files if "trial" in PurePosixPath(name).name.lower() and not is_audio(name)]
    lists = [name for name in named if PurePosixPath(name).suffix not in (".py", ".sh")]
    return [relative_path(place / name, root) for name in sorted(lists, key=lambda name: (len(name), name))]


def _read(root: Path, folders: Mapping[str, str | None], lists: Sequence[str], how: str) -> DiscoveredCorpus:
    """Read data directories with the trial lists that fit them, or without any."""
    fitting = [name for name in lists[:MAX_TRIAL_LISTS] if _fits(root, folders, name)]
    ignored = [f"{name}: its trials are of other models or tests" for name in lists if name not in fitting]
    config = _config(root, folders, fitting)
    by_role: dict[Role | None, tuple[Utterance, ...]]
    if fitting:
        corpus = read_kaldi(config)
        by_role = {role: corpus.role(role) for role in ROLES}
        ignored += corpus.notes
        how = f"{how}; trials of {', '.join(fitting)}"
    else:
        problems = Problems()
        named = {role: folders.get(role or "data") for role in (*ROLES, None)}
        by_role = {
            role: read_data_directory(root / name, root, problems, config=config)
            for role, name in named.items()
            if name
        }
        problems.check()
    trials: dict[str, KeyValue] = {"trials": tuple(fitting)} if fitting or "data" not in folders else {}
    return DiscoveredCorpus("kaldi", root, by_role, how, {**folders, **trials}, tuple(ignored))


def _config(root: Path, folders: Mapping[str, str | None], trials: Sequence[str]) -> KaldiConfig:
    """Return the configuration of data directories and trial lists."""
    return KaldiConfig.model_validate({"root": str(root), "trials": tuple(trials), **folders})


def _fits(root: Path, folders: Mapping[str, str | None], trials: str) -> bool:
    """Whether a file is a trial list of models and tests in data directories."""
    try:
        read_kaldi(_config(root, folders, (trials,)))
    except CorpusError:
        return False
    return True

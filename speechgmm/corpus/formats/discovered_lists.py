"""Detection of Kaldi data directories: which are background, enrolment and tests, and where their files are."""

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from speechgmm.audio.reading import audio_file
from speechgmm.corpus.formats.discovered import (
    DiscoveredCorpus,
    KeyValue,
    other_files,
    relative_path,
    unlisted_audio,
)
from speechgmm.corpus.formats.discovered_files import (
    SCRIPTS,
    DataDirectories,
    DataDirectory,
    Input,
    common_root,
    contents_of,
    data_folders,
    find_directories,
    without_speakers,
)
from speechgmm.corpus.formats.discovered_roles import ListRoles, likely_roles
from speechgmm.corpus.formats.discovered_trials import TrialList, with_trials
from speechgmm.corpus.formats.kaldi import KaldiConfig, read_data_directory
from speechgmm.corpus.linked_paths import audio_path
from speechgmm.corpus.manifest import ROLES, Role, Utterance
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import is_audio, numbered_lines
from speechgmm.wording import first_few


def discover_lists(place: Path, files: Sequence[str], lists: Sequence[TrialList]) -> DiscoveredCorpus | None:
    """Return the recordings of the Kaldi data directories in a folder, or of the folder itself, if there are any.

    Their roles are the first likely ones that the trial lists do not contradict. Raises `CorpusError` if lists are
    malformed, or if no list names files.
    """
    folders = data_folders(files)
    if not folders:
        _check_incomplete(place, files)
        return None
    directories = find_directories(place, folders)
    for roles in likely_roles({name: contents_of(name, each.folder) for name, each in directories.there.items()}):
        if roles.needs_trials and not lists:
            continue
        found = with_trials(_read(place, directories, roles), lists)
        if not roles.needs_trials or found.keys.get("trials"):
            break
    others = [name for name in directories.there if name not in roles.folders.values()]
    ignored = [f"data directories {first_few(others)}"] if others else []
    ignored += [f"{name}: {why}".replace(f"{place}/", "") for name, why in directories.unreadable.items()]
    ignored += _left_out(place, files, directories, [each.name for each in lists])
    return replace(found, ignored=(*ignored, *found.ignored))


def _left_out(place: Path, files: Sequence[str], directories: DataDirectories, trials: Sequence[str]) -> Iterable[str]:
    """List the audio that no data directory names, and the other files outside them: one sentence for each."""
    named = {
        str(audio_file(audio_path(each.root or place, line.split(maxsplit=1)[-1])))
        for each in directories.there.values()
        for _, line in numbered_lines(each.folder / SCRIPTS[directories.input])
    }
    folders = {*directories.there, *directories.unreadable}
    others = [
        name
        for name in files
        if not (is_audio(name) or f"{place}/{name}" in named or name in trials)
        and not {str(PurePosixPath(name).parent), *map(str, PurePosixPath(name).parents[:-1])} & folders
    ]
    why = f"no {SCRIPTS[directories.input]} names"
    return (*unlisted_audio(named, place, files, why), *other_files(others))


def _check_incomplete(place: Path, files: Sequence[str]) -> None:
    """Refuse lists of Kaldi that lack what is needed, if there is nothing else to read."""
    alone = without_speakers(files)
    if alone and not any(is_audio(name) for name in files):
        raise CorpusError(f"{place / alone[0]}: no utt2spk beside it; expected one, which says who speaks")


def _read(place: Path, directories: DataDirectories, roles: ListRoles) -> DiscoveredCorpus:
    """Read data directories in their roles, without trial lists."""
    chosen = {key: directories.there[name] for key, name in roles.folders.items() if name is not None}
    root, needs_table = _root(place, [*chosen.values()], directories.input)
    problems = Problems()
    config = KaldiConfig(root=str(root), trials=(), input=directories.input)
    by_role: dict[Role | None, tuple[Utterance, ...]] = {
        role: read_data_directory(each.folder, each.root or root, problems, config=config)
        for role in (*ROLES, None)
        if (each := chosen.get(role or "data"))
    }
    problems.check()
    keys: dict[str, KeyValue] = {"input": "features"} if directories.input == "features" else {}
    keys |= {key: relative_path(chosen[key].folder, root) if key in chosen else None for key in roles.folders}
    keys |= {} if "data" in keys else {"trials": ()}
    has_unread = "input" in keys and any((each.folder / "vad.scp").exists() for each in chosen.values())
    doubts = ("vad.scp is not read: all frames of the features are taken as speech",) if has_unread else ()
    how = _how(place, directories, roles) + _where(place, [*chosen.values()], directories.input)
    return DiscoveredCorpus("kaldi", root, by_role, how, keys, doubts=doubts, needs_table=needs_table)


def _root(place: Path, chosen: Sequence[DataDirectory], kind: Input) -> tuple[Path, bool]:
    """Return the root of the corpus, and whether only a table can name recordings whose paths start elsewhere."""
    if root := common_root(chosen):
        return root, False
    starts = [f"{each.folder / SCRIPTS[kind]}: {each.root}" for each in chosen if each.root]
    if not starts:
        return Path(os.path.commonpath([each.folder for each in chosen])), False
    if kind == "features":
        raise CorpusError(
            f"paths start from different folders ({first_few(starts)}); expected one folder for all lists"
        )
    return place, True


def _how(place: Path, directories: DataDirectories, roles: ListRoles) -> str:
    """Say in words what was recognised."""
    n_folders = len(directories.there) + len(directories.unreadable)
    kind = "Kaldi data directories" if n_folders > 1 else "a Kaldi data directory"
    kind = f"features in {kind}" if directories.input == "features" else kind
    return f"{kind}: {(place / roles.words).name if roles.words in directories.there else roles.words}"


def _where(place: Path, chosen: Sequence[DataDirectory], kind: Input) -> str:
    """Say from which folders the paths in lists start, if that is not the one that was given."""
    starts = [*dict.fromkeys(str(each.root) for each in chosen if each.root)]
    return f"; paths in {SCRIPTS[kind]} start at {first_few(starts)}" if starts and starts != [str(place)] else ""

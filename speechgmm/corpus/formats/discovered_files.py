"""Kaldi data directories in a folder, and where the files are that their lists name."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from speechgmm.audio.reading import audio_file
from speechgmm.corpus.formats.commands import is_command
from speechgmm.corpus.formats.discovered import find_root, likely_roots, root_below
from speechgmm.corpus.formats.kaldi import read_speakers
from speechgmm.corpus.formats.sets import SetContents, kind_of_set
from speechgmm.corpus.problems import Problems
from speechgmm.errors import CorpusError
from speechgmm.files import is_file, numbered_lines

Input = Literal["audio", "features"]

SCRIPTS: Mapping[Input, str] = {"audio": "wav.scp", "features": "feats.scp"}
"""The list of files of each kind of input."""

SPEAKERS = {"utt2spk", "spk2utt"}
"""The files of which a data directory has one beside its list of files."""


@dataclass(frozen=True)
class DataDirectory:
    """A data directory whose files exist."""

    folder: Path
    root: Path | None  # the folder that relative paths in it start from; None if all are absolute


class DataDirectories(NamedTuple):
    """The data directories in a folder that can be read, by their paths in it."""

    input: Input
    there: dict[str, DataDirectory]
    unreadable: dict[str, str]  # why others cannot, with file and line


def data_folders(files: Iterable[str]) -> list[str]:
    """List the folders that are data directories, but not those within one, which are parts or copies of it."""
    found = [folder for folder, held in _held(files).items() if held & {*SCRIPTS.values()} and held & SPEAKERS]
    above = {folder: set(map(str, PurePosixPath(folder).parents)) - {folder} for folder in found}
    return [folder for folder in found if not above[folder].intersection(found)]


def without_speakers(files: Iterable[str]) -> list[str]:
    """List the lists of files in folders where nothing says who speaks."""
    alone = [(folder, held) for folder, held in _held(files).items() if not held & SPEAKERS]
    return [
        f"{folder}/{name}".removeprefix("./") for folder, held in alone for name in SCRIPTS.values() if name in held
    ]


def _held(files: Iterable[str]) -> dict[str, set[str]]:
    """Return the names of the files in each folder."""
    names: dict[str, set[str]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        names.setdefault(folder or ".", set()).add(name)
    return names


def find_directories(place: Path, folders: Sequence[str]) -> DataDirectories:
    """Find where the files of data directories are: audio, or features where more directories have these.

    Raises `CorpusError` with the reasons if no list names files that exist.
    """
    found: dict[Input, dict[str, DataDirectory]] = {"audio": {}, "features": {}}
    why_not: dict[str, list[str]] = {}
    for name in folders:
        for kind, script in SCRIPTS.items():
            if (place / name / script).exists():
                try:
                    found[kind][name] = _find_files(place / name, script)
                except CorpusError as error:
                    why_not.setdefault(name, []).append(str(error))
    kind = max(found, key=lambda kind: len(found[kind]))
    if not found[kind]:
        raise CorpusError("\n".join(reason for reasons in why_not.values() for reason in reasons))
    others = {name: why_not.get(name, [f"no {SCRIPTS[kind]}"])[0] for name in folders if name not in found[kind]}
    return DataDirectories(kind, found[kind], others)


def _find_files(folder: Path, script: str) -> DataDirectory:
    """Find where the files are that a list names; raise `CorpusError` with file and line if none is found."""
    paths: dict[str, int] = {}
    for number, line in numbered_lines(folder / script):
        path = line.split(maxsplit=1)[-1]
        if is_command(path):
            raise CorpusError(
                f"{folder / script}:{number}: {path} is a command, which init does not run; expected files. If "
                "you trust the list, write a recipe with allow_commands: true in its corpus section"
            )
        paths.setdefault(path if script == "wav.scp" else path.partition("[")[0], number)
    if not paths:
        raise CorpusError(f"{folder / script}: empty; expected a line for each recording")
    relative = [path for path in paths if not Path(path).is_absolute()]
    root = find_root(relative, likely_roots(folder)) if relative else None
    root = root or (root_below(relative[0], folder) if relative else None)
    if root is None and not any(is_file(audio_file(path)) for path in paths if Path(path).is_absolute()):
        path, number = next(iter(paths.items()))
        looked = (
            "" if Path(path).is_absolute() else f", neither in {folder}, nor above or below it, nor in {Path.cwd()}"
        )
        raise CorpusError(f"{folder / script}:{number}: {path}: no such file{looked}")
    return DataDirectory(folder, root)


def common_root(directories: Sequence[DataDirectory]) -> Path | None:
    """Return the folder that the relative paths of all data directories start from, or None if there is none."""
    roots = {each.root for each in directories if each.root}
    return roots.pop() if len(roots) == 1 else None


def contents_of(name: str, folder: Path) -> SetContents:
    """Count the utterances of each speaker of a data directory; its name, or those above it, say what it is for."""
    speakers = Counter(speaker for _, speaker in read_speakers(folder, Problems()).values())
    parts = PurePosixPath(name).parts or (folder.name,)
    kinds = [kind_of_set(part) for part in reversed(parts)]
    return SetContents(next((kind for kind in kinds if kind not in (None, "plain")), kinds[0]), speakers)

"""What was found in a folder of recordings: a corpus, and the values of a recipe that describe it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from speechgmm.audio.reading import audio_file
from speechgmm.corpus.manifest import Role, Utterance
from speechgmm.files import files_below, is_audio, is_file, kinds_of_files
from speechgmm.wording import first_few

KeyValue = str | None | tuple[str, ...] | Mapping[str, str]

TRIED_FILES = 20
"""Files of a list that are looked for in a folder."""


@dataclass(frozen=True)
class DiscoveredCorpus:
    """Recordings, and the values of a recipe's corpus section that describe them."""

    kind: str  # kind of corpus, a key of the recipe
    root: Path
    utterances: dict[Role | None, tuple[Utterance, ...]]  # by role; the key None has those without a role
    how: str  # what was recognised, in words
    keys: Mapping[str, KeyValue] = field(default_factory=dict)  # the other keys of the corpus section
    ignored: tuple[str, ...] = ()  # what else is in the folder, one sentence each
    doubts: tuple[str, ...] = ()  # what was guessed, and how to say otherwise, one sentence each
    needs_table: bool = False  # whether only a table can name the recordings: their paths start from several folders

    @property
    def has_features(self) -> bool:
        """Whether the corpus has features of another program instead of audio."""
        return self.keys.get("input") == "features"

    @property
    def all_utterances(self) -> list[Utterance]:
        """The recordings of all roles."""
        return [each for utterances in self.utterances.values() for each in utterances]


def find_root(paths: Sequence[str], folders: Iterable[Path]) -> Path | None:
    """Find the first folder that relative paths start from, by the files that exist; None if none does."""
    tried = paths[:: max(1, len(paths) // TRIED_FILES)]
    for folder in folders:
        if any(is_file(audio_file(str(folder / path))) for path in tried):
            return folder
    return None


def root_below(path: str, folder: Path) -> Path | None:
    """Find the folder below another one that a relative path starts from; None if no such file is there."""
    wanted = Path(path).as_posix()
    below = next((name for name in files_below(folder) if name.endswith(f"/{wanted}")), None)
    return folder / below.removesuffix(f"/{wanted}") if below else None


def likely_roots(place: Path) -> list[Path]:
    """List the folders that relative paths in a list may start from: its own, those above, and the current one."""
    return [place, *list(place.parents)[:-1], Path.cwd()]


def relative_path(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, or the absolute path if a link between them stands in the way."""
    relative = os.path.relpath(path, folder)
    return Path(relative).as_posix() if (folder / relative).resolve() == path.resolve() else str(path)


def unlisted_audio(listed: Iterable[str], place: Path, files: Iterable[str], why: str) -> tuple[str, ...]:
    """List the audio files in a folder that are not listed, as one sentence or none; `why` says who does not."""
    real_path = cache(os.path.realpath)

    def split(path: str) -> tuple[str, str]:
        """Return the folder of a file, as it is behind all links, and its name."""
        folder, name = os.path.split(path)
        return real_path(folder), name

    there = set(map(split, listed))
    unlisted = [name for name in files if is_audio(name) and split(f"{place}/{name}") not in there]
    return (f"{counted(unlisted, 'audio file')} that {why}: {first_few(unlisted)}",) if unlisted else ()


def other_files(names: Sequence[str]) -> tuple[str, ...]:
    """List files that are not audio by their kinds, as one sentence or none."""
    return (f"{counted(names, 'other file')}: {kinds_of_files(names)}",) if names else ()


def counted(names: Sequence[str], noun: str) -> str:
    """Format the number of things, as in ``1 file`` and ``2 files``."""
    return f"{len(names):,} {noun}{'s' * (len(names) != 1)}"

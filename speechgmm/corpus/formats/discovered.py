"""What was found in a folder of recordings: a corpus, and the values of a recipe that describe it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechgmm.audio.reading import audio_file
from speechgmm.corpus.manifest import Role, Utterance
from speechgmm.files import is_file

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


def likely_roots(place: Path) -> list[Path]:
    """List the folders that relative paths in a list may start from: its own, those above, and the current one."""
    return [place, *list(place.parents)[:-1], Path.cwd()]


def relative_path(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, or the absolute path if a link between them stands in the way."""
    relative = os.path.relpath(path, folder)
    return Path(relative).as_posix() if (folder / relative).resolve() == path.resolve() else str(path)


def counted(names: Sequence[str], noun: str) -> str:
    """Format the number of things, as in ``1 file`` and ``2 files``."""
    return f"{len(names):,} {noun}{'s' * (len(names) != 1)}"

"""Augmented copies of recordings: their names, what their audio depends on, and which roles have them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import JsonValue

from speechgmm.augmentation.augment import CopyPlan, folder_recordings
from speechgmm.augmentation.codecs import check_codec
from speechgmm.augmentation.config import AugmentConfig
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError
from speechgmm.files import file_digest

VERSION = 3
"""Rises whenever the same recording would give another copy."""

MARK = "#aug"
"""What stands between the name of a recording and the number of its copy."""


@dataclass(frozen=True)
class Copy(Utterance):
    """An augmented copy of an utterance: the same speaker and audio file, under a name of its own."""

    of: str = ""  # the name of the utterance
    number: int = 1  # among its copies, from 1

    def plan(self, config: AugmentConfig) -> CopyPlan:
        """Return how its samples are made."""
        return CopyPlan(config, self.of, self.number)


def with_copies(utterances: Iterable[Utterance], n_copies: int) -> tuple[Utterance, ...]:
    """Return utterances, each followed by its copies; raise CorpusError if a copy would have the name of another."""
    utterances = tuple(utterances)
    known = {each.id for each in utterances}
    joined: list[Utterance] = []
    for utterance in utterances:
        joined.append(utterance)
        values = {each.name: getattr(utterance, each.name) for each in fields(Utterance)}
        for number in range(1, n_copies + 1):
            name = f"{utterance.id}{MARK}{number}"
            if name in known:
                raise CorpusError(
                    f"{name}: an utterance has the name that copy {number} of {utterance.id} gets; expected another one"
                )
            joined.append(Copy(**{**values, "id": name}, of=utterance.id, number=number))
    return tuple(joined)


def without_copies(utterances: Iterable[Utterance]) -> tuple[Utterance, ...]:
    """Return those utterances that are recordings of the corpus."""
    return tuple(each for each in utterances if not isinstance(each, Copy))


def copied_recording(name: str) -> str:
    """Return the name of the recording that a copy is of, by the copy's name."""
    return name.rpartition(MARK)[0]


def check_copies(config: AugmentConfig) -> None:
    """Refuse, with an AudioError, folders without recordings, and codecs that libsndfile lacks."""
    for codec in config.codec or ():
        check_codec(codec)
    for section in (config.noise, config.reverb):
        if section is not None and section.folder is not None:
            folder_recordings(section.folder)


def inputs_of_copies(config: AugmentConfig) -> JsonValue:
    """State what the audio of copies depends on, beside their recordings: effects, seed, and the files of folders.

    Raises AudioError as `check_copies` does.
    """
    check_copies(config)
    effects = config.model_dump(mode="json", include={*config.effects, "seed"})
    for name in ("noise", "reverb"):
        section = effects.get(name)
        if section and section["folder"] is not None:
            files = folder_recordings(section["folder"])
            folder = Path(section["folder"])
            section["folder"] = [[file.relative_to(folder).as_posix(), file_digest(file)] for file in files]
    return {"version": VERSION, "effects": effects}

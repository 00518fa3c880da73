"""One recording under several names: in enrolment and test, of two speakers, or twice among the same utterances."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.files import file_digest, is_file
from speechgmm.wording import first_few

MIDDLE_BYTES = 4096
"""Read from the middle of files of one size before they are read whole: other recordings differ there."""

Shared = tuple[tuple[Role, Utterance], ...]
"""Utterances that are the same recording, each with its role."""


class SharedRecordingsConfig(Configuration):
    """Whether a model may be tested on its own enrolment.

    Parameters
    ----------
    allow_shared_recordings : bool
        Whether trials may compare a model with a recording that it was enrolled from. By default that is an error,
        because such scores are too good.
    """

    allow_shared_recordings: bool = False

    @model_serializer(mode="wrap")
    def _without_idle_key(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the key out unless it is set: recipes that were written before it existed stay the same text."""
        data: dict[str, Any] = serialise(self)
        if not self.allow_shared_recordings:
            data.pop("allow_shared_recordings", None)
        return data


@dataclass(frozen=True)
class SharedRecordings:
    """The recordings of a corpus that have several names."""

    tested: tuple[Shared, ...]  # enrolment of a model and a test that it is compared with
    overlapping: tuple[Shared, ...]  # the same where they are segments of one file that only overlap
    of_speakers: tuple[Shared, ...]  # of two speakers or more
    repeated: tuple[Shared, ...]  # several times among the background, the tests, or the enrolment of one model


def find_shared(corpus: Corpus, content: Callable[[Utterance], Hashable]) -> SharedRecordings:
    """Find the recordings that have several names; `content` is equal for utterances that are the same recording."""
    groups: defaultdict[Hashable, list[tuple[Role, Utterance]]] = defaultdict(list)
    for role in ROLES:
        for utterance in corpus.role(role):
            groups[content(utterance)].append((role, utterance))
    same = [tuple(group) for group in groups.values() if len(group) > 1]
    return SharedRecordings(
        tuple(_tested(corpus, same)),
        tuple(_overlapping(corpus, content)),
        tuple(group for group in same if len({utterance.speaker for _, utterance in group}) > 1),
        tuple(_repeated(same)),
    )


def _tested(corpus: Corpus, groups: Iterable[Shared]) -> Iterator[Shared]:
    """Yield pairs of an enrolment and a test that are the same recording and compared in a trial."""
    for group in groups:
        tests = [each for role, each in group if role == "test"]
        for enrol in (each for role, each in group if role == "enrol"):
            for test in tests:
                if (enrol.enrols, test.id) in corpus.compared:
                    yield ("enrol", enrol), ("test", test)


def _overlapping(corpus: Corpus, content: Callable[[Utterance], Hashable]) -> Iterator[Shared]:
    """Yield pairs of an enrolment and a test that are different segments with common audio, and compared in a trial."""
    enrolled: defaultdict[tuple[Any, ...], list[Utterance]] = defaultdict(list)
    for enrol in corpus.enrol:
        enrolled[enrol.path, enrol.channel].append(enrol)
    for test in corpus.test:
        for enrol in enrolled.get((test.path, test.channel), ()):
            common = min(_end(enrol), _end(test)) - max(enrol.start or 0.0, test.start or 0.0)
            if common > 0 and content(enrol) != content(test) and (enrol.enrols, test.id) in corpus.compared:
                yield ("enrol", enrol), ("test", test)


def _end(utterance: Utterance) -> float:
    """Return where an utterance ends in its file, in seconds: infinity for the file's own end."""
    return math.inf if utterance.end is None else utterance.end


def _repeated(groups: Iterable[Shared]) -> Iterator[Shared]:
    """Yield the utterances of a speaker that are the same recording, where one of them would do."""
    for group in groups:
        alike: defaultdict[tuple[str, ...], list[tuple[Role, Utterance]]] = defaultdict(list)
        for role, utterance in group:
            alike[role, utterance.speaker, utterance.enrols].append((role, utterance))
        yield from (tuple(each) for each in alike.values() if len(each) > 1)


def name_shared(shared: Shared) -> str:
    """Name utterances that are the same recording, as in ``enrol ann-1 (ann/1.wav), test ann-9 (ann/9.wav)``."""
    return first_few([f"{role} {utterance.id} ({utterance.path})" for role, utterance in shared])


def speakers_of(shared: Shared) -> str:
    """Name the speakers of utterances that are the same recording, as in ``ann and bob``."""
    return " and ".join(dict.fromkeys(utterance.speaker for _, utterance in shared))


def same_files(files: Iterable[str]) -> Mapping[str, str]:
    """Return the files whose bytes another file has too, each with the first of those that are the same.

    Sizes are compared first, then a few bytes of each file; only files that agree in both are read whole. Files that
    are empty or cannot be read are left out.
    """
    groups = [list(dict.fromkeys(files))]
    for measure in (_size, _middle, file_digest):
        groups = [alike for group in groups for alike in _alike(group, measure)]
    return {file: group[0] for group in groups for file in group}


def _alike(files: Iterable[str], measure: Callable[[Path], Hashable]) -> list[list[str]]:
    """Group files of which a measure is equal, without those that are alone or cannot be measured."""
    groups: defaultdict[Hashable, list[str]] = defaultdict(list)
    for file in files:
        try:
            groups[measure(Path(file))].append(file)
        except (OSError, ValueError):
            continue
    return [group for value, group in groups.items() if value and len(group) > 1]


def _size(path: Path) -> int:
    """Return the size of a file in bytes; 0 for what is no file."""
    return path.stat().st_size if is_file(path) else 0


def _middle(path: Path) -> bytes:
    """Return the digest of a few bytes in the middle of a file."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - MIDDLE_BYTES) // 2)
        return hashlib.sha256(stream.read(MIDDLE_BYTES)).digest()

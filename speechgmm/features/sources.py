"""Finding the recordings that paths stand for, their ids, and where labels mark speech in them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgmm.audio.reading import Channel
from speechgmm.errors import CorpusError
from speechgmm.features.frames.labels import read_rttm, read_segments
from speechgmm.features.store.store import UnusableUtterance
from speechgmm.features.store.writing import Source
from speechgmm.files import files_below, is_audio, numbered_lines, printable_name


@dataclass(frozen=True)
class _Recording:
    """A recording, the short id that it gets if no other recording has it, and the long one that it gets otherwise."""

    short_id: str
    long_id: str
    path: Path


def find_sources(paths: Sequence[str | Path], *, channel: Channel = None) -> tuple[Source, ...]:
    """Find the recordings that paths stand for, and give each an id.

    Paths are audio files, whatever their suffix; Kaldi data directories, which hold ``wav.scp`` (relative paths in it
    start at the current folder, as in Kaldi); and other folders, in which files with one of
    `speechgmm.files.AUDIO_SUFFIXES` are found at any depth, through links too, except hidden ones. The recordings come
    in the order of the paths, and within a folder sorted by name.

    The id of a file is its name without the suffix, in a folder with the folders below that one: ``a/b``. Files that
    would share an id keep their suffixes. Characters that cannot be printed are escaped as in a URL: ``%0A``.

    Raises CorpusError, naming the paths, for a path that does not exist, a folder without audio, a malformed
    ``wav.scp`` or one with commands, or two recordings with the same id; and OSError for a folder that cannot be read.
    """
    if any(str(path) == "" for path in paths):
        raise CorpusError("an empty path; expected the name of a file or a folder")
    recordings = [recording for path in paths for recording in _find_recordings(Path(path))]
    n_uses = Counter(recording.short_id for recording in recordings)
    sources = tuple(
        Source(
            printable_name(recording.long_id if n_uses[recording.short_id] > 1 else recording.short_id),
            str(recording.path),
            channel,
        )
        for recording in recordings
    )
    _check_ids(sources)
    return sources


def without_spaces(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Replace white space in ids, which Kaldi's files cannot hold, by ``_``; CorpusError if two ids become one."""
    renamed = tuple(replace(source, utterance=re.sub(r"\s", "_", source.utterance)) for source in sources)
    _check_ids(renamed)
    return renamed


def label_sources(
    sources: Sequence[Source], labels: str | Path, *, channel: Channel = None
) -> tuple[tuple[Source, ...], tuple[UnusableUtterance, ...]]:
    """Attach labelled stretches of speech to recordings; return the labelled recordings, and the unusable others.

    `labels` is NIST's RTTM if its suffix is ``.rttm``, else a Kaldi ``segments`` file. It names a recording by its id,
    or by its file's name without the suffix. `channel` selects RTTM's lines, as in `read_rttm`. Raises CorpusError if
    the labels cannot be read, or a name in them fits several recordings.
    """
    labels = Path(labels)
    if labels.suffix.lower() == ".rttm":
        speech = read_rttm(labels, channel=channel)
    else:
        speech = {recording: tuple(pairs.values()) for recording, pairs in read_segments(labels).items()}
    stems = Counter(Path(source.path).stem for source in sources)
    labelled, unlabelled = [], []
    for source in sources:
        stem = Path(source.path).stem
        if source.utterance not in speech and stem in speech and stems[stem] > 1:
            raise CorpusError(
                f"{labels}: {stem} may be any of {stems[stem]} recordings; expected ids: {source.utterance}"
            )
        pairs = speech.get(source.utterance) or speech.get(stem)
        if pairs:
            labelled.append(replace(source, speech=pairs))
        else:
            unlabelled.append(UnusableUtterance(source.utterance, f"{labels} has no labels of {source.utterance}"))
    return tuple(labelled), tuple(unlabelled)


def _find_recordings(path: Path) -> Iterator[_Recording]:
    """Find the recordings that one path stands for."""
    if (path / "wav.scp").exists():
        yield from _read_wav_scp(path / "wav.scp")
    elif path.is_dir():
        names = files_below(path)
        audio = [name for name in names if is_audio(name)]
        if not audio:
            raise CorpusError(f"{path}: no audio among {len(names)} files; expected names that end as in .wav or .flac")
        for name in audio:
            yield _Recording(Path(name).with_suffix("").as_posix(), name, path / name)
    elif path.exists():
        yield _Recording(path.stem, path.name, path)
    else:
        raise CorpusError(f"{path}: no such file or folder")


def _read_wav_scp(scp: Path) -> Iterator[_Recording]:
    """Read the recordings of a Kaldi data directory."""
    number = 0
    for number, line in numbered_lines(scp):
        utterance, audio = (*line.split(maxsplit=1), "")[:2]
        if not audio:
            raise CorpusError(f"{scp}:{number}: {line!r}; expected an utterance and its file")
        if audio.endswith("|"):
            raise CorpusError(f"{scp}:{number}: {utterance} is the output of a command; only files are read")
        yield _Recording(utterance, utterance, Path(audio))
    if not number:
        raise CorpusError(f"{scp}: empty; expected lines of an utterance and its file")


def _check_ids(sources: Sequence[Source]) -> None:
    """Refuse repeated ids."""
    paths: dict[str, str] = {}
    for source in sources:
        if source.utterance in paths:
            if source.path == paths[source.utterance]:
                raise CorpusError(f"{source.path}: given twice")
            raise CorpusError(
                f"{paths[source.utterance]} and {source.path} would share the id {source.utterance}; expected distinct "
                "ids"
            )
        paths[source.utterance] = source.path

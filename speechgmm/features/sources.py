"""Finding the recordings that paths stand for, and their ids."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgmm.audio.opening import RawFormat
from speechgmm.audio.reading import Channel, audio_file
from speechgmm.errors import CorpusError
from speechgmm.features.frames.label_formats import channel_index, read_segments
from speechgmm.features.store.writing import Source
from speechgmm.files import RAW_SUFFIXES, files_below, is_audio, kinds_of_files, numbered_lines, printable_name

"""Suffixes of files without a header, which are taken from folders where their format is given."""


@dataclass(frozen=True)
class FoundSources:
    """Recordings, and what users should know about how they were found."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]  # which files were left out, and where relative paths start


@dataclass(frozen=True)
class _Recording:
    """A recording, the short id that it gets if no other recording has it, and the long one that it gets otherwise."""

    short_id: str
    long_id: str
    path: str  # perhaps with an offset in an archive
    start: float | None = None
    stop: float | None = None
    channel: Channel = None


def find_sources(
    paths: Sequence[str | Path],
    *,
    channel: Channel = None,
    raw: RawFormat | None = None,
    by_segment: bool = True,
) -> FoundSources:
    """Find the recordings that paths stand for, and give each an id.

    Paths are audio files, whatever their suffix; Kaldi data directories, which hold ``wav.scp`` and perhaps
    ``segments``; and other folders, in which audio files are found at any depth by their suffix, through links too,
    except hidden ones. Each segment is an entry of its own, unless `by_segment` is false. Relative paths in ``wav.scp``
    start at the current folder, as in Kaldi, or else at the directory or a folder above it. `raw` is the format of
    files whose suffix is no audio file's. The recordings come in the order of the paths, and within a folder sorted by
    name.

    The id of a file is its name without the suffix, in a folder with the folders below that one: ``a/b``. Files that
    would share an id keep their suffixes. Characters that cannot be printed are escaped as in a URL: ``%0A``.

    Raises CorpusError, naming the paths, for a path that does not exist, a folder without audio, a malformed list or
    one with commands, or two recordings with the same id; and OSError for a folder that cannot be read.
    """
    if any(str(path) == "" for path in paths):
        raise CorpusError("an empty path; expected the name of a file or a folder")
    notes: list[str] = []
    recordings = [
        recording for path in paths for recording in _find_recordings(Path(path), notes, raw, by_segment=by_segment)
    ]
    n_uses = Counter(recording.short_id for recording in recordings)
    sources = tuple(
        Source(
            printable_name(recording.long_id if n_uses[recording.short_id] > 1 else recording.short_id),
            recording.path,
            channel if recording.channel is None else recording.channel,
            start=recording.start,
            stop=recording.stop,
            raw=raw if is_headerless(recording.path) else None,
        )
        for recording in recordings
    )
    _check_ids(sources)
    return FoundSources(sources, tuple(notes))


def is_headerless(path: str) -> bool:
    """Check by the name of a recording whether a stated format is that of its file, which has no header to tell."""
    file = audio_file(path)
    return not (is_audio(file.name) or file.suffix.lower() == ".ark")


def count_of_files(names: Sequence[str]) -> str:
    """Count files, and their kinds, as in ``3 files: 2 .txt, 1 .json (a.json)``."""
    count = f"{len(names):,} file{'s' * (len(names) != 1)}"
    return f"{count}: {kinds_of_files(names)}" if names else count


def without_spaces(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Replace white space in ids, which Kaldi's files cannot hold, by ``_``; CorpusError if two ids become one."""
    renamed = tuple(replace(source, utterance=re.sub(r"\s", "_", source.utterance)) for source in sources)
    _check_ids(renamed)
    return renamed


def _find_recordings(path: Path, notes: list[str], raw: RawFormat | None, *, by_segment: bool) -> Iterator[_Recording]:
    """Find the recordings that one path stands for; add to the notes."""
    if (path / "wav.scp").exists():
        yield from _find_in_kaldi_directory(path, notes, by_segment=by_segment)
    elif path.is_dir():
        yield from _find_in_folder(path, notes, raw)
    elif path.exists():
        yield _Recording(path.stem, path.name, str(path))
    else:
        raise CorpusError(f"{path}: no such file or folder")


def _find_in_folder(path: Path, notes: list[str], raw: RawFormat | None) -> Iterator[_Recording]:
    """Find the recordings in a folder by the names of its files, and note which files are left out."""
    names = files_below(path)
    headerless = {name for name in names if Path(name).suffix.lower() in RAW_SUFFIXES}
    audio = [name for name in names if is_audio(name) or (raw is not None and name in headerless)]
    others = kinds_of_files(sorted({*names} - {*audio}))
    hint = "; --raw RATE,CHANNELS,FORMAT reads those without a header" if headerless and raw is None else ""
    if not audio:
        if lists := [Path(name).parent.as_posix() for name in names if Path(name).name == "wav.scp"]:
            hint += f"; to read Kaldi's data directories, give the folder of each wav.scp, as {path / lists[0]}"
        raise CorpusError(
            f"{path}: no audio among {count_of_files(names)}; expected names that end as in .wav or .flac{hint}"
        )
    if others:
        notes.append(f"{path}: left out, because of their names: {others}{hint}")
    stems = Counter(Path(name).with_suffix("").as_posix() for name in audio)
    if several := [stem for stem, count in stems.items() if count > 1]:
        shown = " and ".join(name for name in audio if Path(name).with_suffix("").as_posix() == several[0])
        notes.append(
            f"{path}: {len(several):,} recording{'s' * (len(several) > 1)} in several formats, as {shown}; each file "
            "is read, and its id keeps the suffix"
        )
    for name in audio:
        yield _Recording(Path(name).with_suffix("").as_posix(), name, str(path / name))


def _find_in_kaldi_directory(path: Path, notes: list[str], *, by_segment: bool) -> Iterator[_Recording]:
    """Find the recordings of a Kaldi data directory, or its segments."""
    recordings = list(_read_wav_scp(path / "wav.scp", notes))
    segments = path / "segments"
    if not (by_segment and segments.exists()):
        yield from recordings
        return
    paths = {recording.short_id: recording.path for recording in recordings}
    for segment in read_segments(segments):
        if segment.recording not in paths:
            raise CorpusError(
                f"{segments}:{segment.line}: {segment.text}: recording {segment.recording} has no line in "
                f"{path / 'wav.scp'}"
            )
        stop = None if segment.stop == math.inf else segment.stop
        channel = channel_index(segment.channel) if segment.channel else None
        name = segment.text
        yield _Recording(name, name, paths[segment.recording], segment.start, stop, channel)


def _read_wav_scp(scp: Path, notes: list[str]) -> Iterator[_Recording]:
    """Read the recordings of a Kaldi data directory, and note where their paths start."""
    number = 0
    folders: Counter[Path] = Counter()
    lines: dict[str, int] = {}
    for number, line in numbered_lines(scp):
        utterance, audio = (*line.split(maxsplit=1), "")[:2]
        if not audio:
            raise CorpusError(f"{scp}:{number}: {line!r}; expected an utterance and its file")
        if lines.setdefault(utterance, number) != number:
            raise CorpusError(f"{scp}:{number}: {utterance} is on line {lines[utterance]} as well; expected it once")
        if audio.endswith("|"):
            raise CorpusError(f"{scp}:{number}: {utterance} is the output of a command; only files are read")
        folder = _folder_of(audio, scp.parent)
        folders[folder] += 1
        yield _Recording(utterance, utterance, str(folder / audio))
    if not number:
        raise CorpusError(f"{scp}: empty; expected lines of an utterance and its file")
    notes += [f"{scp}: {n:,} of its paths start at {folder}" for folder, n in folders.items() if folder != Path()]


def _folder_of(audio: str, directory: Path) -> Path:
    """Find the folder where a path in ``wav.scp`` starts: the current one, or else the directory or one above it."""
    if not audio_file(audio).exists():
        here = Path(os.path.abspath(directory))  # noqa: PTH100  # not through links: the user's names
        for folder in (here, *here.parents):
            if audio_file(str(folder / audio)).exists():
                return folder
    return Path()


def _check_ids(sources: Iterable[Source]) -> None:
    """Refuse repeated ids."""
    known: dict[str, Source] = {}
    for source in sources:
        other = known.setdefault(source.utterance, source)
        if other is source:
            continue
        if replace(other, utterance=source.utterance) == source:
            raise CorpusError(f"{source.path}: given twice")
        raise CorpusError(
            f"{other.path} and {source.path} would share the id {source.utterance}; expected distinct ids"
        )

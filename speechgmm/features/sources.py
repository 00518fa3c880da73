"""Finding the recordings that somebody points to, giving each an id, and telling where there is speech in it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgmm.audio.reading import Channel
from speechgmm.errors import CorpusError
from speechgmm.features.frames.labels import read_rttm, read_segments
from speechgmm.features.store.store import Unusable
from speechgmm.features.store.writing import Source
from speechgmm.files import files_below, is_audio, numbered_lines, printable_name


@dataclass(frozen=True)
class _Found:
    """A recording, the id that it gets if nothing else gets it, and the one that it gets otherwise."""

    utterance: str
    longer: str
    path: Path


def find_sources(paths: Sequence[str | Path], *, channel: Channel = None) -> tuple[Source, ...]:
    """Find recordings and give each an id.

    Parameters
    ----------
    paths : sequence of str or Path
        Audio files, whatever their suffix; Kaldi data directories, which hold ``wav.scp`` (relative paths in it start
        at the current folder, as for Kaldi); and other folders, in which files that end as
        `speechgmm.files.AUDIO_SUFFIXES` say are found at any depth, through links too, but for hidden ones.
    channel : int >= 0, or "mean", optional
        Of several channels, which to read.

    Returns
    -------
    tuple of Source
        In the order of `paths`, and below a folder in the order of the names. The id of a file is its name without
        the suffix, in a folder with the folders below that one: ``a/b``. Where files would share an id, each keeps its
        suffix. What cannot be printed is written as in an address: ``%0A``.

    Raises
    ------
    CorpusError
        If a path does not exist, a folder is without audio, a ``wav.scp`` is malformed or asks for a command to be run,
        or two recordings share an id; the message names them.
    OSError
        If a folder cannot be read.
    """
    if any(str(path) == "" for path in paths):
        raise CorpusError("an empty path; expected the name of a file or a folder")
    found = [each for path in paths for each in _find(Path(path))]
    shared = {name for name, number in Counter(each.utterance for each in found).items() if number > 1}
    names = [each.longer if each.utterance in shared else each.utterance for each in found]
    sources = tuple(
        Source(printable_name(name), str(each.path), channel) for name, each in zip(names, found, strict=True)
    )
    _check_ids(sources)
    return sources


def without_spaces(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Put ``_`` in the place of white space in ids, which Kaldi's files cannot hold.

    Parameters
    ----------
    sources : sequence of Source
        Recordings with distinct ids.

    Returns
    -------
    tuple of Source
        The same recordings.

    Raises
    ------
    CorpusError
        If two ids become one.
    """
    renamed = tuple(replace(source, utterance=re.sub(r"\s", "_", source.utterance)) for source in sources)
    _check_ids(renamed)
    return renamed


def label_sources(
    sources: Sequence[Source], labels: str | Path, *, channel: Channel = None
) -> tuple[tuple[Source, ...], tuple[Unusable, ...]]:
    """Tell where there is speech in recordings, by labels from outside.

    Parameters
    ----------
    sources : sequence of Source
        Recordings.
    labels : str or Path
        NIST's RTTM if its suffix is ``.rttm``, else a Kaldi ``segments`` file. A recording goes there by its id, or by
        the name of its file without the suffix.
    channel : int >= 0, or "mean", optional
        Of RTTM's channels, whose labels count, as for `read_rttm`.

    Returns
    -------
    labelled : tuple of Source
        The recordings that have labels, with them.
    unlabelled : tuple of Unusable
        The others.

    Raises
    ------
    CorpusError
        If the labels cannot be read, or a name in them may be one of several recordings; the message says where.
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
            unlabelled.append(Unusable(source.utterance, f"{labels} has no labels of {source.utterance}"))
    return tuple(labelled), tuple(unlabelled)


def _find(path: Path) -> Iterator[_Found]:
    """Find the recordings that one path stands for."""
    if (path / "wav.scp").exists():
        yield from _listed(path / "wav.scp")
    elif path.is_dir():
        names = files_below(path)
        audio = [name for name in names if is_audio(name)]
        if not audio:
            raise CorpusError(f"{path}: no audio among {len(names)} files; expected names that end as in .wav or .flac")
        for name in audio:
            yield _Found(Path(name).with_suffix("").as_posix(), name, path / name)
    elif path.exists():
        yield _Found(path.stem, path.name, path)
    else:
        raise CorpusError(f"{path}: no such file or folder")


def _listed(scp: Path) -> Iterator[_Found]:
    """Read the recordings of a Kaldi data directory."""
    number = 0
    for number, line in numbered_lines(scp):
        utterance, audio = (*line.split(maxsplit=1), "")[:2]
        if not audio:
            raise CorpusError(f"{scp}:{number}: {line!r}; expected an utterance and its file")
        if audio.endswith("|"):
            raise CorpusError(f"{scp}:{number}: {utterance} is the output of a command; only files are read")
        yield _Found(utterance, utterance, Path(audio))
    if not number:
        raise CorpusError(f"{scp}: empty; expected lines of an utterance and its file")


def _check_ids(sources: Sequence[Source]) -> None:
    """Refuse ids that are there twice."""
    paths: dict[str, str] = {}
    for source in sources:
        if source.utterance in paths:
            if source.path == paths[source.utterance]:
                raise CorpusError(f"{source.path}: given twice")
            raise CorpusError(
                f"{paths[source.utterance]} and {source.path} would share the id {source.utterance}; expected ids of "
                "their own"
            )
        paths[source.utterance] = source.path

"""Attaching labelled stretches of speech to recordings, from a file of labels or a folder of them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgmm.audio.reading import Channel
from speechgmm.errors import CorpusError
from speechgmm.features.frames.label_formats import BY_SUFFIX, LabelFile, Stretches, read_labels
from speechgmm.features.frames.textgrids import TEXTGRID_SUFFIX
from speechgmm.features.sources import count_of_files
from speechgmm.features.store.store import UnusableUtterance
from speechgmm.features.store.writing import Source
from speechgmm.files import files_below

NAMING_SUFFIXES = (".rttm", ".ctm", ".mlf", ".segments", "")
"""Suffixes of the files in a folder that name their recordings; one without is called ``segments``."""

MAX_BEYOND = 10
"""Labels of other units, or of another recording, reach beyond so many times a recording's length."""


@dataclass(frozen=True)
class LabelledSources:
    """Recordings with their labelled speech, the others, and what was taken from the labels."""

    sources: tuple[Source, ...]
    unusable: tuple[UnusableUtterance, ...]
    summary: str  # the formats of the labels, and which labels are speech


def label_sources(sources: Sequence[Source], labels: str | Path, *, channel: Channel = None) -> LabelledSources:
    """Attach labelled stretches of speech to recordings.

    `labels` is a file in one of the formats of `read_labels`, or a folder of such files, at any depth. They name a
    recording by its id, or by its file's name with or without the suffix. A file of one recording has its name, or
    belongs to the only recording. `channel` is that of `read_labels`. Raises CorpusError if the labels cannot be read,
    or a name in them fits several recordings.
    """
    labels = Path(labels)
    files = _read_folder(labels, sources, channel) if labels.is_dir() else _read_file(labels, sources, channel)
    speech = _by_recording(labels, files)
    stems: dict[str, list[str]] = {}
    for name in speech:
        stems.setdefault(Path(name).name, []).append(name)
    n_alike = Counter(_stem(source) for source in sources)
    labelled, unusable = [], []
    for source in sources:
        stretches = _stretches_of(source, labels, speech, stems, n_alike)
        reason = _why_unusable(source, labels, stretches)
        if reason:
            unusable.append(UnusableUtterance(source.utterance, reason))
        else:
            labelled.append(replace(source, speech=stretches))
    return LabelledSources(tuple(labelled), tuple(unusable), _summary(labels, list(files.values())))


def _read_file(labels: Path, sources: Sequence[Source], channel: Channel) -> dict[str, LabelFile]:
    """Read a file of labels, by the recording that it is for if it does not name recordings."""
    file = read_labels(labels, channel=channel)
    if "" not in file.speech:
        return {str(labels): file}
    if len(sources) == 1:
        recording = sources[0].utterance
    elif labels.stem in {name for source in sources for name in (source.utterance, _stem(source))}:
        recording = labels.stem
    else:
        raise CorpusError(
            f"{labels}: {file.format} of one recording, and none of {len(sources):,} is called {labels.stem}; expected "
            "a folder of such files, named after the recordings"
        )
    return {str(labels): replace(file, speech={recording: file.speech[""]})}


def _read_folder(labels: Path, sources: Sequence[Source], channel: Channel) -> dict[str, LabelFile]:
    """Read the files of labels in a folder: all that name recordings, and those named after a recording."""
    names = files_below(labels)
    stems = {Path(name).name for source in sources for name in (source.utterance, _stem(source))}
    suffixes = (*BY_SUFFIX, TEXTGRID_SUFFIX)
    chosen = [name for name in names if Path(name).name == "segments" or Path(name).suffix.lower() in suffixes]
    taken = {Path(name).with_suffix("") for name in chosen}
    chosen += [name for name in names if name.lower().endswith(".txt") and Path(name).with_suffix("") not in taken]
    chosen = [name for name in chosen if Path(name).stem in stems or Path(name).suffix.lower() in NAMING_SUFFIXES]
    if not chosen:
        raise CorpusError(
            f"{labels}: no labels of these recordings among {count_of_files(names)}; expected names such as "
            f"{min(stems)}.lab, or .rttm"
        )
    files = {}
    for name in chosen:
        file = read_labels(labels / name, channel=channel)
        if "" in file.speech:
            file = replace(file, speech={Path(name).with_suffix("").as_posix(): file.speech[""]})
        files[str(labels / name)] = file
    return files


def _by_recording(labels: Path, files: Mapping[str, LabelFile]) -> dict[str, Stretches]:
    """Join the speech of several files, which may not be of the same recording."""
    speech: dict[str, Stretches] = {}
    places: dict[str, str] = {}
    for place, file in files.items():
        for recording, stretches in file.speech.items():
            if recording in places:
                raise CorpusError(
                    f"{labels}: {recording} has labels in {places[recording]} and in {place}; expected one"
                )
            speech[recording], places[recording] = stretches, place
    return speech


def _stretches_of(
    source: Source,
    labels: Path,
    speech: Mapping[str, Stretches],
    stems: Mapping[str, Sequence[str]],
    n_alike: Mapping[str, int],
) -> Stretches | None:
    """Find the speech of a recording by its id, or by the name of its file, which may not fit several."""
    if source.utterance in speech:
        return speech[source.utterance]
    names = next((stems[name] for name in (_stem(source), Path(source.path).name) if name in stems), ())
    if not names:
        return None
    if n_alike[_stem(source)] > 1:
        raise CorpusError(
            f"{labels}: {names[0]} may be any of {n_alike[_stem(source)]} recordings; expected ids: {source.utterance}"
        )
    if len(names) > 1:
        raise CorpusError(
            f"{labels}: labels of {' and '.join(names)} may be of {source.utterance}; expected one of them"
        )
    return speech[names[0]]


def _why_unusable(source: Source, labels: Path, stretches: Stretches | None) -> str:
    """Format the reason why a recording cannot be used with its labels; empty if it can."""
    if not stretches:
        return f"no labels in {labels}" if stretches is None else f"no speech in {labels}"
    last = max((stop for start, stop in stretches if stop < math.inf), default=0.0)
    whole = source.seconds
    if whole and last > MAX_BEYOND * whole:
        return (
            f"{labels} has labels up to {last:,.6g} s, and the recording is {whole:.6g} s long; expected labels of "
            "this recording, in seconds"
        )
    return ""


def _summary(labels: Path, files: Sequence[LabelFile]) -> str:
    """Format which formats the labels were taken for, and which labels are speech."""
    formats = Counter(file.format for file in files)
    counted = ", ".join(f"{n:,} of {name}" if len(files) > 1 else name for name, n in formats.most_common())
    parts = [f"{labels}: {counted}"]
    for title, labels_ in (("speech", "spoken"), ("not speech", "silent")):
        counts: Counter[str] = sum((getattr(file, labels_) for file in files), Counter())
        if counts:
            parts.append(f"{title}: {_few(sorted(counts, key=lambda name: -counts[name]))}")
    return "; ".join(parts)


def _few(names: Sequence[str]) -> str:
    """List up to five names, and count the others."""
    shown = [" ".join(name.split()) or "(no text)" for name in names[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5:,} others" if len(names) > 5 else "")


def _stem(source: Source) -> str:
    """Return the name of a recording's file without the suffix."""
    return Path(source.path).stem

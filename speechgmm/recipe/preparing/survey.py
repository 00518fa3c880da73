"""A survey of recordings by their headers: which can be used, how long they are, and their sample rates."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from speechgmm.audio.reading import duration
from speechgmm.corpus.formats.discovered import DiscoveredCorpus
from speechgmm.corpus.manifest import Role, Utterance, by_speaker
from speechgmm.errors import CorpusError
from speechgmm.features.formats.reading import shape_of_place
from speechgmm.features.spectral.config import CepstraConfig
from speechgmm.features.store.imported import ImportedConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.headers import AudioHeader, AudioSegment, read_headers
from speechgmm.wording import first_few

FRAME: float = CepstraConfig.model_fields["frame_length"].default
"""Length of a frame in seconds."""

FRAME_SHIFT: float = ImportedConfig.model_fields["frame_shift"].default
"""Seconds between frames of features whose shift is not known."""

WITHOUT_CHANNEL = ("csv", "kaldi")
"""Kinds of corpora that have no key for a channel."""

Progress = Callable[[int, int], None]
"""A function of the headers that are read, and of all."""

Roles = dict[Role | None, list[Utterance]]


@dataclass(frozen=True)
class Survey:
    """The recordings, or utterances with features, that an experiment can use."""

    corpus: DiscoveredCorpus  # all recordings that were found, and their layout
    usable: Roles  # the recordings with a readable header and the length of a frame at least, by role
    headers: dict[AudioSegment, AudioHeader]  # of all recordings; those of features have no sample rate
    n_unusable: int = 0  # recordings that cannot be used
    unusable: tuple[str, ...] = ()  # those and why: one sentence for each reason
    odd: tuple[str, ...] = ()  # what is odd about usable recordings: one sentence for each kind
    mixes_channels: bool = False  # whether channels are averaged that the keys of the corpus cannot ask for
    n_static: int | None = None  # features of a frame, where the corpus has features instead of audio

    @property
    def utterances(self) -> list[Utterance]:
        """The usable recordings."""
        return [each for utterances in self.usable.values() for each in utterances]

    @cached_property
    def of_speaker(self) -> dict[str, list[Utterance]]:
        """The usable recordings, by speaker."""
        return by_speaker(self.utterances)

    @property
    def needs_table(self) -> bool:
        """Whether the recipe has to list the recordings in a table of its own.

        It does where some of them cannot be used and others would be drawn for that, where their channels are mixed
        and the kind of corpus has no key for that, or where the paths in its lists start from several folders. Tables
        have no features.
        """
        is_whole = len(self.utterances) == len(self.corpus.all_utterances)
        keeps_lists = is_whole or self.corpus.keys.get("trials") or self.corpus.has_features
        return self.mixes_channels or self.corpus.needs_table or not keeps_lists

    def rates(self, utterances: Sequence[Utterance]) -> Counter[int]:
        """Count how many usable recordings have each sample rate, in Hz."""
        return Counter(rate for each in utterances if (rate := self.headers[each.audio].sample_rate))

    def seconds(self, utterances: Sequence[Utterance]) -> float:
        """Return the total length of usable recordings in seconds, according to their headers."""
        return sum(self.headers[each.audio].seconds for each in utterances)


def survey(corpus: DiscoveredCorpus, engine: Engine | None = None, progress: Progress | None = None) -> Survey:
    """Read the headers of recordings; files with several channels are averaged unless a list names a channel.

    Recordings that cannot be read as they are, are read once more with their channels averaged. `progress` is called
    with the number of headers read and of all, each time.
    """
    if corpus.has_features:
        return _survey_features(corpus)
    headers = read_headers(corpus.all_utterances, engine, progress)
    unread = [each for each in corpus.all_utterances if each.channel is None and not headers[each.audio].sample_rate]
    mixed_headers = read_headers(_mixed(unread), engine, progress)
    mixes = any(header.sample_rate for header in mixed_headers.values())
    if mixes:
        corpus = replace(corpus, utterances={role: _mixed(those) for role, those in corpus.utterances.items()})
        headers = {
            (path, start, end, "mean" if channel is None else channel): header
            for (path, start, end, channel), header in headers.items()
        } | mixed_headers
    has_key = corpus.kind not in WITHOUT_CHANNEL
    if mixes and has_key:
        corpus = replace(corpus, keys={**corpus.keys, "channel": "mean"})
    headers = {audio: _without_frameless(audio, header) for audio, header in headers.items()}
    usable: Roles = {
        role: [each for each in utterances if headers[each.audio].sample_rate]
        for role, utterances in corpus.utterances.items()
    }
    unusable = [(audio[0], header.error) for audio, header in headers.items() if header.error]
    odd = [(audio[0], each) for audio, header in headers.items() if header.sample_rate for each in header.warnings]
    return Survey(
        corpus,
        usable,
        headers,
        len(unusable),
        _grouped(unusable, corpus.root),
        _grouped(odd, corpus.root),
        mixes and not has_key,
    )


def _survey_features(corpus: DiscoveredCorpus) -> Survey:
    """Read how long the features of utterances are, and how many a frame has: as many as in most utterances."""
    shapes: dict[str, tuple[int, int]] = {}
    errors: dict[str, str] = {}
    for place in dict.fromkeys(each.path for each in corpus.all_utterances):
        try:
            shapes[place] = shape_of_place(place)
        except CorpusError as error:
            errors[place] = str(error)
    counts = Counter(n_features for n_frames, n_features in shapes.values() if n_frames)
    n_static = counts.most_common(1)[0][0] if counts else None
    for place, (n_frames, n_features) in shapes.items():
        if not n_frames:
            errors[place] = "no frames"
        elif n_features != n_static:
            errors[place] = f"{n_features} features; expected {n_static}, as most have"
    headers = {
        each.audio: AudioHeader(shapes.get(each.path, (0, 0))[0] * FRAME_SHIFT, error=errors.get(each.path))
        for each in corpus.all_utterances
    }
    usable: Roles = {
        role: [each for each in utterances if each.path not in errors] for role, utterances in corpus.utterances.items()
    }
    return Survey(corpus, usable, headers, len(errors), _grouped(errors.items(), corpus.root), n_static=n_static)


def _mixed(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Return recordings with their channels averaged, where no channel is chosen."""
    return tuple(replace(each, channel="mean") if each.channel is None else each for each in utterances)


def _grouped(reasons: Iterable[tuple[str, str]], root: Path) -> tuple[str, ...]:
    """List files by the reasons that are given for them, the most frequent first: one sentence for each reason.

    Reasons that differ in numbers and names of files alone are one, and the first of them is shown.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, reason in reasons:
        text = reason.removeprefix(f"{path}: ")
        alike = re.sub(rf"(?<!\w){re.escape(Path(path).stem)}(?!\w)", "", text.replace(path, ""))
        groups.setdefault(re.sub(r"[0-9][0-9.,]*", "", alike), []).append((path, text))
    return tuple(
        f"{first_few([path.removeprefix(f'{root}/') for path, _ in those])}: {those[0][1].replace(f'{root}/', '')}"
        for those in sorted(groups.values(), key=len, reverse=True)
    )


def _without_frameless(audio: AudioSegment, header: AudioHeader) -> AudioHeader:
    """Return the header, marked as unusable if the recording is known to be shorter than a frame."""
    if header.sample_rate is None or header.seconds >= FRAME or duration(audio[0]) is None:
        return header
    why = f"{audio[0]}: {header.seconds:.3f} s; shorter than a frame of {FRAME:g} s"
    return header._replace(sample_rate=None, error=why)

"""Headers of the recordings of a corpus: their lengths, sample rates, errors and warnings."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from speechgmm.audio.probing import check_units
from speechgmm.audio.reading import AudioFacts, Channel, audio_blocks, audio_facts, audio_file
from speechgmm.corpus.formats.commands import is_command
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import AudioError, ChannelError
from speechgmm.features.store.writing import segment_stop
from speechgmm.files import is_file
from speechgmm.parallel.engine import Engine, map_in_order

FILES_AT_ONCE = 200
"""Headers that a worker reads in one task."""


class AudioHeader(NamedTuple):
    """What the header of a recording says about an utterance."""

    seconds: float = 0.0  # 0 if the length is not known
    sample_rate: int | None = None  # Hz; None if the recording cannot be used
    missing: bool = False  # whether the file does not exist
    error: str | None = None  # why the recording cannot be used
    several_channels: bool = False  # whether that is because none of several channels is chosen
    warnings: tuple[str, ...] = ()  # what is odd about it, as `audio_warnings` lists it


AudioSegment = tuple[str, float | None, float | None, Any]
"""A file, the start and end of a segment in seconds, and a channel: `Utterance.audio`."""


def read_headers(
    utterances: Iterable[Utterance],
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[AudioSegment, AudioHeader]:
    """Read the headers of utterances by `Utterance.audio`, each once; the output of a command has no header to read.

    `progress` takes how many are read, and how many there are.
    """
    wanted = list(dict.fromkeys(each.audio for each in utterances if not is_command(each.path)))
    blocks = [wanted[start : start + FILES_AT_ONCE] for start in range(0, len(wanted), FILES_AT_ONCE)]
    headers: list[AudioHeader] = []
    for block in map_in_order(_read_headers, blocks, engine):
        headers += block
        if progress:
            progress(len(headers), len(wanted))
    return dict(zip(wanted, headers, strict=True))


def _read_headers(block: Sequence[AudioSegment]) -> list[AudioHeader]:
    """Read a block of headers, in a worker; what is known about a file is found once for all its segments."""
    facts_of = cache(audio_facts)
    return [_read_header(each, facts_of) for each in block]


def _read_header(audio: AudioSegment, facts_of: Callable[[str, Channel], AudioFacts]) -> AudioHeader:
    """Read a header, and check that it has the segment and the channel, and samples in the usual units."""
    path, start, end, channel = audio
    try:
        facts = facts_of(path, channel)
        end = segment_stop(path, end)
        if (start, end) != (None, None):
            audio_blocks(path, channel=channel, start=start, stop=end)
        check_units(path, facts.subtype, channel=channel, start=start, stop=end)
    except AudioError as error:
        several = isinstance(error, ChannelError)
        return AudioHeader(missing=not is_file(audio_file(path)), error=str(error), several_channels=several)
    stop = facts.seconds if end is None else end
    return AudioHeader(stop - (start or 0.0), facts.sample_rate, warnings=facts.warnings)

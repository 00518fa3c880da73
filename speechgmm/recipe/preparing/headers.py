"""Headers of the recordings of a corpus: how long they are, at which rate, and what is wrong with them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speechgmm.audio.reading import audio_blocks, duration
from speechgmm.corpus.formats.commands import is_command
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import AudioError
from speechgmm.features.store.writing import segment_stop
from speechgmm.files import is_file
from speechgmm.parallel.engine import Engine, map_in_order

FILES_AT_ONCE = 200
"""Headers that a worker reads at a time."""


class AudioHeader(NamedTuple):
    """What the header of a recording says of an utterance.

    Attributes
    ----------
    seconds : float, seconds
        Its length; 0 where it is not known.
    sample_rate : int or None, Hz
        None if the recording cannot be used.
    missing : bool
        Whether there is no such file.
    error : str or None
        Why it cannot be used.
    """

    seconds: float = 0.0
    sample_rate: int | None = None
    missing: bool = False
    error: str | None = None


Audio = tuple[str, float | None, float | None, Any]
"""A file, a segment of it, and a channel: `Utterance.audio`."""


def read_headers(utterances: Iterable[Utterance], engine: Engine | None = None) -> dict[Audio, AudioHeader]:
    """Read the headers of recordings, once for each part of one that is used.

    Parameters
    ----------
    utterances : iterable of Utterance
        Those that are the output of commands have no header to read.
    engine : Engine, optional
        Where to read.

    Returns
    -------
    dict from Audio to AudioHeader
        By `Utterance.audio`.
    """
    wanted = list(dict.fromkeys(each.audio for each in utterances if not is_command(each.path)))
    blocks = [wanted[start : start + FILES_AT_ONCE] for start in range(0, len(wanted), FILES_AT_ONCE)]
    headers = (each for block in map_in_order(_read_headers, blocks, engine) for each in block)
    return dict(zip(wanted, headers, strict=True))


def _read_headers(block: Sequence[Audio]) -> list[AudioHeader]:
    """Read some headers, in a worker."""
    return [_read_header(each) for each in block]


def _read_header(audio: Audio) -> AudioHeader:
    """Read a header, and hold the segment and the channel against it."""
    path, start, end, channel = audio
    try:
        end = segment_stop(path, end)
        _, rate = audio_blocks(path, channel=channel, start=start, stop=end)
    except AudioError as error:
        return AudioHeader(missing=not is_file(Path(path)), error=str(error))
    stop = duration(path) if end is None else end
    return AudioHeader((stop or 0.0) - (start or 0.0), rate)

"""What decoding a file, or its beginning, shows: which audio it is, and whether its samples are in the usual units."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import soundfile

from speechgmm.arrays import Float32Array
from speechgmm.audio.reading import Channel, audio_blocks, audio_file

FIRST_SECONDS = 1.0
"""Length of the part in which most recordings differ."""

FLOATS = ("FLOAT", "DOUBLE")
"""Subtypes of samples that may be in other units than full scale at 1."""


def samples_digest(
    source: str,
    *,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    first_only: bool = False,
) -> str:
    """Compute the SHA-256 of the samples that `read_audio` reads, or of the first `FIRST_SECONDS` of them.

    It is the same for every file format and header that gives the same samples. Raises AudioError as `read_audio` does.
    """
    blocks, _ = audio_blocks(source, block_seconds=FIRST_SECONDS, channel=channel, start=start, stop=stop)
    digest = hashlib.sha256()
    for block in islice(blocks, 1 if first_only else None):
        digest.update(block.astype("<f4", copy=False).data)
    return digest.hexdigest()


def check_units(source: str, blocks: Iterator[Float32Array]) -> None:
    """Decode the beginning of a file that may hold samples far beyond full scale, until there is sound.

    `blocks` are those of `audio_blocks`, which raise AudioError for such samples. Other files are not decoded.
    """
    if audio_file(source) != Path(source) or _holds_floats(source):
        any(block.any() for block in blocks)


def _holds_floats(source: str) -> bool:
    """Whether the samples of a file are floating-point numbers; False where libsndfile does not know."""
    try:
        return soundfile.info(source).subtype in FLOATS
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return False

"""What decoding a file, or its beginning, shows: which audio it is, and whether its samples are in the usual units."""

import hashlib
from itertools import islice
from pathlib import Path

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


def check_units(
    source: str,
    subtype: str,
    *,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
) -> None:
    """Decode the beginning of a file that may hold samples far beyond full scale, until there is sound.

    `subtype` is that of `audio_facts`. Such samples raise AudioError, as in `audio_blocks`. Other files are not
    decoded.
    """
    if subtype in FLOATS or audio_file(source) != Path(source):
        blocks, _ = audio_blocks(source, block_seconds=FIRST_SECONDS, channel=channel, start=start, stop=stop)
        any(block.any() for block in blocks)

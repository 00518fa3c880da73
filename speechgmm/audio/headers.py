"""What the headers of audio files say of their length, so that a file that was cut is not taken for a short one."""

import re
from typing import BinaryIO, Literal, Protocol

STREAMED = (0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)  # sizes written into pipes, some less the header's own
WIDTHS = {
    "PCM_U8": 1,
    "PCM_S8": 1,
    "ULAW": 1,
    "ALAW": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
"""Bytes of a sample, of the subtypes in which all samples have the same."""


class Opened(Protocol):
    """What libsndfile made of a file: `soundfile.SoundFile`."""

    format: str
    subtype: str
    channels: int
    frames: int


def announced_samples(stream: BinaryIO, n_bytes: int, file: Opened) -> int:
    """Read from a header how many samples there should be, where libsndfile gives what there are.

    Parameters
    ----------
    stream : binary file
        Open at any place.
    n_bytes : int
        Its size.
    file : Opened
        The same file as libsndfile sees it; WAV, WAVEX, RF64, W64, AIFF, AU or NIST.

    Returns
    -------
    int >= 0
        Samples of each channel; 0 if the header does not say, or says no more than there is.
    """
    stream.seek(0)
    head = stream.read(1024)
    if file.format == "NIST":
        count = re.search(rb"\nsample_count -i (\d+)", head)
        return int(count[1]) if count else 0
    if file.format == "AU":
        order: Literal["big", "little"] = "big" if head[:1] == b"." else "little"
        at, size = (int.from_bytes(head[k : k + 4], order) for k in (4, 8))
    else:
        at, size = _data_chunk(stream, head, n_bytes)
    streamed = file.format != "W64" and any(0 <= unknown - size < 256 for unknown in STREAMED)
    if streamed or size <= n_bytes - at:
        return 0
    width = WIDTHS.get(file.subtype)  # else they are packed in blocks of one size
    return size // (width * int(file.channels)) if width else int(file.frames) * size // max(1, n_bytes - at)


def _data_chunk(stream: BinaryIO, head: bytes, n_bytes: int) -> tuple[int, int]:
    """Find where the samples of a file of chunks begin, and the bytes that they should take; (0, 0) if not found."""
    order: Literal["big", "little"] = "big" if head[:4] in {b"FORM", b"RIFX"} else "little"
    wave64 = head[:4] == b"riff"
    at, n_name, n_size, align = (40, 16, 8, 8) if wave64 else (12, 4, 4, 2)
    long_size = 0
    for _ in range(1000):  # more chunks than any file has
        if at + n_name + n_size > n_bytes:
            break
        stream.seek(at)
        chunk = stream.read(n_name + n_size)
        body, size = at + len(chunk), int.from_bytes(chunk[n_name:], order) - wave64 * len(chunk)
        if chunk[:4] == b"data":
            return body, long_size or size
        if chunk[:4] == b"SSND":  # 8 bytes that say nothing here come first
            return body + 8, size - 8
        if chunk[:4] == b"ds64":  # of RF64: the sizes that 32 bits do not hold
            long_size = int.from_bytes(stream.read(16)[8:], "little")
        at = body + -(-max(size, 0) // align) * align
    return 0, 0


def ogg_has_end(stream: BinaryIO, n_bytes: int) -> bool:
    """Tell whether the last page of an OGG file is whole and marked as the last (RFC 3533, section 6).

    Parameters
    ----------
    stream : binary file
        Open at any place.
    n_bytes : int
        Its size.

    Returns
    -------
    bool
        False for a file that was cut.
    """
    stream.seek(max(0, n_bytes - 2**17))  # a page has at most 65,307 bytes
    tail = stream.read()
    page = tail[tail.rfind(b"OggS\0") :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])

"""The length that the header of an audio file announces, so that a truncated file is not mistaken for a short one."""

import re
from typing import BinaryIO, Literal, Protocol

STREAMED_SIZES = (0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Sizes that programs write into the header of a pipe; some subtract the header's own size."""

SAMPLE_BYTES = {
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
"""Bytes of a sample, for the subtypes in which all samples have the same size."""


class SoundFileInfo(Protocol):
    """What libsndfile reports about a file: the attributes of `soundfile.SoundFile` used here."""

    format: str
    subtype: str
    channels: int
    frames: int


def announced_samples(stream: BinaryIO, n_bytes: int, file: SoundFileInfo) -> int:
    """Return the samples per channel that a header announces; libsndfile reports those that are present.

    0 if the header announces none, or no more than are present. `stream` is the file, open at any position, and
    `n_bytes` its size; `file` is the same file in libsndfile: WAV, WAVEX, RF64, W64, AIFF, AU or NIST.
    """
    stream.seek(0)
    head = stream.read(1024)
    if file.format == "NIST":
        count = re.search(rb"\nsample_count -i (\d+)", head)
        return int(count[1]) if count else 0
    if file.format == "AU":
        order: Literal["big", "little"] = "big" if head[:1] == b"." else "little"
        offset, size = (int.from_bytes(head[k : k + 4], order) for k in (4, 8))
    else:
        offset, size = _data_chunk(stream, head, n_bytes)
    streamed = file.format != "W64" and any(0 <= unknown - size < 256 for unknown in STREAMED_SIZES)
    if streamed or size <= n_bytes - offset:
        return 0
    width = SAMPLE_BYTES.get(file.subtype)  # without one, samples are packed in blocks of equal size
    return size // (width * int(file.channels)) if width else int(file.frames) * size // max(1, n_bytes - offset)


def _data_chunk(stream: BinaryIO, head: bytes, n_bytes: int) -> tuple[int, int]:
    """Find the offset of the samples in a file of chunks, and their announced size in bytes; (0, 0) if not found."""
    order: Literal["big", "little"] = "big" if head[:4] in {b"FORM", b"RIFX"} else "little"
    wave64 = head[:4] == b"riff"
    offset, n_name, n_size, align = (40, 16, 8, 8) if wave64 else (12, 4, 4, 2)
    long_size = 0
    for _ in range(1000):  # more chunks than any file has
        if offset + n_name + n_size > n_bytes:
            break
        stream.seek(offset)
        chunk = stream.read(n_name + n_size)
        body, size = offset + len(chunk), int.from_bytes(chunk[n_name:], order) - wave64 * len(chunk)
        if chunk[:4] == b"data":
            return body, long_size or size
        if chunk[:4] == b"SSND":  # its first 8 bytes are an offset and a block size, both unused
            return body + 8, size - 8
        if chunk[:4] == b"ds64":  # in RF64: the sizes that do not fit 32 bits
            long_size = int.from_bytes(stream.read(16)[8:], "little")
        offset = body + -(-max(size, 0) // align) * align
    return 0, 0


def ogg_has_end(stream: BinaryIO, n_bytes: int) -> bool:
    """Check that the last page of an OGG file is complete and marked as the last (RFC 3533, section 6).

    False for a truncated file. `stream` is the file, open at any position, and `n_bytes` its size.
    """
    stream.seek(max(0, n_bytes - 2**17))  # a page has at most 65,307 bytes
    tail = stream.read()
    page = tail[tail.rfind(b"OggS\0") :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])

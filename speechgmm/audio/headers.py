"""What the header of an audio file announces, and what is there: truncated, unfinished and joined files.

libsndfile reads what it can and says nothing. Here a truncated file is not mistaken for a short one, a length that was
never written (by a recorder that crashed, or a program that wrote to a pipe) is replaced by the real one, and whatever
follows after the end is noticed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

from speechgmm.audio.counts import first_flac_frame, has_more_voc_blocks, is_stereo_svx, last_flac_frame, stated_samples
from speechgmm.audio.following import find_frames, find_recording, joined_warning, recording_at
from speechgmm.audio.mpeg import Data

Order = Literal["big", "little"]

STREAMED_SIZES = (0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Sizes that programs write into the header of a pipe; some subtract or add the header's own size."""

UNKNOWN_LENGTH = 2**62
"""Lengths from here on are libsndfile's way to report that a header gives none."""

STREAMED_LONG_SIZE = 2**62 - 256
"""In 64 bits, sizes from here on are not the real ones."""

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

GUID_END = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the code of a format in its long form."""

TEXT_TAGS = (b"TAG", b"ID3", b"APET", b"LYRI")
"""First bytes of tags that some programs append to any audio file."""

HEADER_SIZES = (8, 16, 24, 36, 44)
"""Sizes in bytes of parts of headers, which some programs count as samples."""

MAX_CHUNKS = 1000
"""More chunks than any file has."""

UNFINISHED = "the header was never finished (its length is {}); read to the end of the file"


class SoundFileInfo(Protocol):
    """What libsndfile reports about a file: the attributes of `soundfile.SoundFile` used here."""

    @property
    def subtype(self) -> str:
        """The type of the samples."""

    @property
    def channels(self) -> int:
        """Their number at a time."""

    @property
    def frames(self) -> int:
        """Samples per channel."""


@dataclass(frozen=True)
class Header:
    """What the header of a file says about its samples, and what must be put right before libsndfile reads it."""

    announced: int = 0  # bytes of samples that the header announces; 0 if it announces no more than are there
    present: int = 0  # bytes of samples that are there
    replaced: Mapping[int, bytes] = field(default_factory=dict)  # bytes to put in place of others, by position
    stop: int | None = None  # where another file begins that was joined to it
    warnings: tuple[str, ...] = ()  # one sentence each
    is_misread: bool = False  # whether libsndfile reads other samples than those that are there, or not all


class _Chunk(NamedTuple):
    """A chunk of a file: a name, a size and a body."""

    name: bytes
    size_at: int  # position of its size
    body: int  # position of its body
    size: int  # of its body, as announced


class _Container(NamedTuple):
    """How a format of chunks is laid out."""

    first: int  # position of the first chunk
    n_name: int  # bytes of a name
    n_size: int  # bytes of a size
    order: Order
    align: int
    size_extra: int = 0  # bytes that a size counts beside the body
    data: bytes = b"data"  # name of the chunk of samples
    n_before: int = 0  # bytes of that chunk before the samples


def read_header(data: Data) -> Header:
    """Examine the header of a WAV, RF64, W64, AIFF, CAF, AU, NIST or FLAC file; of others nothing is known."""
    match bytes(data[:4]):
        case b"RIFF" | b"RF64" | b"BW64":
            return _chunked_header(data, _Container(12, 4, 4, "little", 2))
        case b"RIFX":
            return _chunked_header(data, _Container(12, 4, 4, "big", 2))
        case b"riff":
            return _chunked_header(data, _Container(40, 16, 8, "little", 8, 24))
        case b"FORM" if data[8:12] in (b"AIFF", b"AIFC"):
            return _chunked_header(data, _Container(12, 4, 4, "big", 2, 0, b"SSND", 8))
        case b"caff":
            return _chunked_header(data, _Container(8, 4, 8, "big", 1, 0, b"data", 4))
        case b".snd":
            return _au_header(data, "big")
        case b"dns.":
            return _au_header(data, "little")
        case b"NIST":
            return _nist_header(data)
        case b"fLaC":
            return _flac_header(data)
        case _:
            return _counted_header(data)


def finished(data: bytes) -> bytes:
    """Return an audio file with the length in its header, if that was never written."""
    content = bytearray(data)
    for place, other in read_header(data).replaced.items():
        content[place : place + len(other)] = other
    return bytes(content)


def _chunks(data: Data, container: _Container, position: int) -> Iterator[_Chunk]:
    """Read the heads of chunks from a position on, until they end or make no sense."""
    n_head = container.n_name + container.n_size
    for _ in range(MAX_CHUNKS):
        if position + n_head > len(data):
            return
        size_at = position + container.n_name
        size = int.from_bytes(data[size_at : size_at + container.n_size], container.order)
        chunk = _Chunk(bytes(data[position : position + 4]), size_at, position + n_head, size - container.size_extra)
        yield chunk
        position = chunk.body + -(-max(chunk.size, 0) // container.align) * container.align


def _chunked_header(data: Data, container: _Container) -> Header:
    """Examine a file of chunks."""
    others: dict[bytes, _Chunk] = {}
    for chunk in _chunks(data, container, container.first):
        if chunk.name == container.data:
            header = _samples_header(data, container, chunk, others)
            plain = _plain_format(data, container, others)
            return replace(header, replaced={**header.replaced, **plain}) if plain else header
        others[chunk.name] = chunk
    return Header()


def _samples_header(data: Data, container: _Container, chunk: _Chunk, others: Mapping[bytes, _Chunk]) -> Header:
    """Examine the chunk of samples, knowing the chunks before it."""
    start = chunk.body + container.n_before
    present, size, sized = max(0, len(data) - start), chunk.size - container.n_before, chunk
    if b"ds64" in others and size >= 0xFFFFFFFF - 256:  # in RF64, sizes that do not fit 32 bits
        at = others[b"ds64"].body + 8
        size, sized = int.from_bytes(data[at : at + 8], "little"), _Chunk(b"ds64", at, at, 0)
    is_missing = size <= 0 and present > 0 and not _is_empty(data, container, chunk)
    if is_missing or _is_streamed(size, container):
        replaced = _with_size(data, container, sized, present, others)
        is_allowed = data[:4] == b"caff" and size + container.n_before == 2**64 - 1
        why = UNFINISHED.format(max(size, 0) if is_missing else "that of a pipe")
        return Header(0, present, replaced, warnings=() if is_allowed else (why,))
    if size > present:
        return _too_large(size, present, start)
    return _what_follows(data, container, start, size)


def _plain_format(data: Data, container: _Container, others: Mapping[bytes, _Chunk]) -> dict[int, bytes]:
    """Return the plain code of a W64 file's format in place of the one that says to look further on.

    libsndfile does not look, and takes floating-point numbers for integers.
    """
    if container.n_name != 16 or b"fmt " not in others:
        return {}
    at = others[b"fmt "].body
    is_extensible = data[at : at + 2] == b"\xfe\xff" and data[at + 26 : at + 40] == GUID_END
    return {at: bytes(data[at + 24 : at + 26])} if is_extensible else {}


def _with_size(
    data: Data, container: _Container, chunk: _Chunk, n_bytes: int, others: Mapping[bytes, _Chunk]
) -> dict[int, bytes]:
    """Return the size of the samples, and in AIFF their number, as the bytes to put in place of those in the header."""
    if chunk.name == b"ds64":
        return {chunk.size_at: n_bytes.to_bytes(8, "little")}
    size = n_bytes + container.n_before + container.size_extra
    replaced = {chunk.size_at: min(size, 256**container.n_size - 1).to_bytes(container.n_size, container.order)}
    if container.data == b"SSND" and b"COMM" in others:
        at = others[b"COMM"].body
        n_channels, bits = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (0, 6))
        packet = 34 if data[at + 18 : at + 22] == b"ima4" else -(-bits // 8)
        replaced[at + 2] = min(n_bytes // max(1, n_channels * packet), 0xFFFFFFFF).to_bytes(4, "big")
    return replaced


def _is_streamed(size: int, container: _Container) -> bool:
    """Check whether a size stands for an unknown one."""
    if container.n_size == 8 or size > 0xFFFFFFFF:
        return size >= STREAMED_LONG_SIZE
    return is_streamed(size)


def is_streamed(size: int) -> bool:
    """Check whether a size of 32 bits is one that programs write into a pipe, where they cannot know it."""
    return any(abs(unknown - size) < 256 for unknown in STREAMED_SIZES)


def _is_empty(data: Data, container: _Container, chunk: _Chunk) -> bool:
    """Check whether a chunk without samples is followed by other chunks to the very end of the file."""
    position = chunk.body + max(chunk.size, 0)
    return _after_chunks(data, container, position) >= max(position + 1, len(data) - 1)


def _after_chunks(data: Data, container: _Container, position: int) -> int:
    """Return where the chunks end that begin at a position and are neither samples nor another recording."""
    for chunk in _chunks(data, container, position):
        is_text = min(chunk.name, default=0) >= ord(" ") and chunk.name != container.data
        if not is_text or chunk.body + chunk.size > len(data) or recording_at(data, position):
            return position
        position = chunk.body + chunk.size
        position += min(-position % container.align, len(data) - position)
    return position


def _what_follows(data: Data, container: _Container, start: int, size: int) -> Header:
    """Warn if the bytes after the samples are neither chunks, tags of text nor padding."""
    end = start + size
    ends = [_after_chunks(data, container, place) for place in (end + -end % container.align, end)]  # padded or not
    if max(ends) >= len(data) - 1:
        return Header(0, len(data) - start)
    position = next((place for place in ends if recording_at(data, place)), max(ends))
    return _after_samples(data, len(data) - start, position)


def _after_samples(data: Data, present: int, position: int) -> Header:
    """Warn of what follows after the samples, unless it is a tag of text or all zero."""
    if recording_at(data, position):
        return _joined(data, present, position)
    if data[position : position + 4].startswith(TEXT_TAGS) or not any(data[position : position + 2**16]):
        return Header(0, present, stop=position)
    n_bytes = len(data) - position
    unread = f"{n_bytes:,} bytes follow after the samples that the header announces; they are not read"
    return Header(0, present, stop=position, warnings=(unread,))


def _joined(data: Data, present: int, position: int) -> Header:
    """Warn that another file begins at a position."""
    return Header(0, present, stop=position, warnings=(joined_warning(len(data) - position),))


def _too_large(size: int, present: int, offset: int) -> Header:
    """Examine a size beyond the end of the file: a truncated file, or a size that counts a header too."""
    excess = size - present
    if excess in {offset, offset - 8, *HEADER_SIZES}:
        why = f"the header announces {excess} bytes more than there are, as if it counted itself; read to the end"
        return Header(0, present, warnings=(why,))
    return Header(size, present)


def _au_header(data: Data, order: Order) -> Header:
    """Examine the header of an AU file."""
    offset, size = (int.from_bytes(data[k : k + 4], order) for k in (4, 8))
    present = max(0, len(data) - offset)
    if size == 0 and present:
        replaced = {8: min(present, 0xFFFFFFFF).to_bytes(4, order)}
        return Header(0, present, replaced, warnings=(UNFINISHED.format(0),))
    if size == 0xFFFFFFFF:  # Sun's own way to say that it is not known
        return Header(0, present)
    if is_streamed(size):
        return Header(0, present, warnings=(UNFINISHED.format("that of a pipe"),))
    if size > present:
        return _too_large(size, present, offset)
    return _after_samples(data, present, offset + size)


def _nist_header(data: Data) -> Header:
    """Examine the header of a NIST SPHERE file: lines of text, in a stated number of bytes."""
    head = bytes(data[:1024])
    size = re.match(rb"NIST_1A\n\s*(\d+)\n", head)
    n_head = int(size[1]) if size else 1024
    fields = {name: int(number) for name, number in re.findall(rb"\n(\w+) -i (\d+)", bytes(data[:n_head]))}
    width = fields.get(b"channel_count", 1) * fields.get(b"sample_n_bytes", 1)
    present = max(0, len(data) - n_head)
    n_announced = fields.get(b"sample_count")
    if not n_announced:
        return Header(0, present, warnings=(UNFINISHED.format(0),) if present else ())
    size_in_bytes = n_announced * max(1, width)
    if size_in_bytes > present:
        return Header(size_in_bytes, present)
    return _after_samples(data, present, n_head + size_in_bytes)


def _flac_header(data: Data) -> Header:
    """Examine a FLAC file: libsndfile reads no more samples than its header counts."""
    n_counted = int.from_bytes(data[21:26], "big") & (2**36 - 1)
    first, last = first_flac_frame(data), last_flac_frame(data)
    is_whole = last is not None and n_counted in {0, last.stop}  # so that no more than a last frame is left to search
    rest = last.start if last and is_whole else first
    places = (find_recording(data, first, (b"fLaC",)), find_recording(data, rest), find_frames(data, rest))
    if found := [place for place in places if place is not None]:
        return _joined(data, 0, min(found))
    if last is None or not 0 < n_counted < last.stop:
        return Header()
    bits = int.from_bytes(data[21:26], "big") >> 36 << 36
    why = f"the header counts {n_counted} samples, and {last.stop} are there; all are read"
    return Header(replaced={21: (bits | last.stop).to_bytes(5, "big")}, warnings=(why,))


def _counted_header(data: Data) -> Header:
    """Examine a file of a less common format whose header counts its samples."""
    if is_stereo_svx(data) or has_more_voc_blocks(data):
        return Header(is_misread=True)
    samples = stated_samples(data)
    if samples is None:
        return Header()
    present, size = max(0, len(data) - samples.start), samples.end - samples.start
    return Header(size, present) if size > present else _after_samples(data, present, samples.end)


def announced_samples(header: Header, file: SoundFileInfo) -> int:
    """Return the samples per channel that a header announces beyond those that are there; 0 if it does not.

    `file` is the file in libsndfile.
    """
    if not header.announced:
        return 0
    width = SAMPLE_BYTES.get(file.subtype)  # without one, samples are packed in blocks of equal size
    if width:
        return header.announced // (width * int(file.channels))
    return int(file.frames) * header.announced // max(1, header.present)

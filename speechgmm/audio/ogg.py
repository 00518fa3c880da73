"""Ogg files: how they are made of pages, where files were joined, and whether the last page is there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from speechgmm.audio.mpeg import Data


class OggFile(NamedTuple):
    """One file of an Ogg stream: several, if files were joined end to end, which the format allows."""

    start: int
    stop: int
    has_end: bool  # whether its last page is marked as the last
    is_whole: bool  # whether its last page is complete
    n_missing: int = 0  # pages between others
    end_mark: Mapping[int, bytes] = {}  # what to put in place of other bytes so that its last page is marked


def _checksums() -> tuple[int, ...]:
    """Tabulate the checksum of Ogg pages for each byte: the remainder by the polynomial of RFC 3533."""
    values = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        values.append(value)
    return tuple(values)


CHECKSUMS = _checksums()


class _Page(NamedTuple):
    """A page of an Ogg stream (RFC 3533, section 6)."""

    start: int
    end: int
    stream: bytes  # the serial number of what it belongs to: sound, pictures or what describes them
    number: int  # in that stream
    is_first: bool  # in that stream
    is_last: bool
    is_whole: bool


def ogg_files(data: Data) -> list[OggFile]:
    """Find the files that were joined in an Ogg stream, one usually: each begins with first pages of streams."""
    files: list[list[_Page]] = []
    was_first = False
    for page in _pages(data):
        if page.is_first and not was_first:
            files.append([])
        was_first = page.is_first
        if files:
            files[-1].append(page)
    return [_file(data, pages) for pages in files]


def _pages(data: Data) -> Iterator[_Page]:
    """Walk through the pages, and skip other bytes between them."""
    position = data.find(b"OggS\0")
    while position >= 0:
        head = bytes(data[position : position + 27]).ljust(27, b"\0")
        sizes = data[position + 27 : position + 27 + head[26]]
        end = position + 27 + head[26] + sum(sizes)
        is_whole = len(sizes) == head[26] and end <= len(data)
        number = int.from_bytes(head[18:22], "little")
        yield _Page(position, min(end, len(data)), head[14:18], number, bool(head[5] & 2), bool(head[5] & 4), is_whole)
        position = data.find(b"OggS\0", end if is_whole else position + 4)


def _file(data: Data, pages: Sequence[_Page]) -> OggFile:
    """Describe the file that is made of consecutive pages."""
    last, n_missing = pages[-1], 0
    numbers: dict[bytes, int] = {}  # of the latest page of each stream
    for page in pages:
        n_missing += max(0, page.number - numbers.get(page.stream, page.number) - 1)
        numbers[page.stream] = page.number
    end_mark = _end_mark(data[last.start : last.end], last.start) if last.is_whole and not last.is_last else {}
    return OggFile(pages[0].start, last.end, last.is_last, last.is_whole, n_missing, end_mark)


def _end_mark(page: bytes, position: int) -> dict[int, bytes]:
    """Return the bytes that mark a page as the last, and make its checksum right, by their position in the file."""
    flags = bytes([page[5] | 4])
    checksum = 0
    for byte in page[:5] + flags + page[6:22] + bytes(4) + page[26:]:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ CHECKSUMS[checksum >> 24 ^ byte]
    return {position + 5: flags, position + 22: checksum.to_bytes(4, "little")}

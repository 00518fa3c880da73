"""MPEG audio frames (MP3, MP2): how many there are, whatever a length tag says, and where files were joined.

A frame begins with a header that gives its length, so that the frames are counted without being decoded. A file that
LAME, FFmpeg or Fraunhofer's encoder wrote begins with a frame without audio, the length tag: ``Xing``, ``Info`` or
``VBRI``. ISO/IEC 11172-3 and 13818-3; the tags are described by their programs only.
"""

import mmap
from typing import NamedTuple

Data = bytes | mmap.mmap
"""The bytes of a file."""

KILOBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of a header's index 1 to 14, by generation (1: 32 kHz and above, 2: below) and layer."""

RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates in Hz, by a header's bits of the version."""

LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")

ID3V1_BYTES = 128
"""Length of the tag of text that stands at the end of a file."""

TEXT_TAGS = (b"ID3", b"TAG", b"APE", b"LYR", b"\0\0\0")
"""First bytes of tags of text, and of padding, between frames."""


class FrameHeader(NamedTuple):
    """What the header of a frame says."""

    n_bytes: int
    n_samples: int
    kind: tuple[int, int, int]  # version, layer and sample rate, which are the same throughout a file


class MpegFile(NamedTuple):
    """Consecutive frames that were written as one file."""

    start: int  # the first byte: of the length tag, if there is one
    audio_start: int  # the first byte after the length tag
    stop: int  # the byte after the last frame
    n_frames: int  # with audio: without the length tag
    n_tagged: int | None  # frames that the length tag announces, 0 if libsndfile finds none in it; None without a tag
    header: FrameHeader  # of the first frame
    n_skipped: int = 0  # bytes between its frames that are neither frames nor tags of text

    @property
    def n_samples(self) -> int:
        """Samples per channel in all frames: encoders add some, and a length tag may say how many to leave out."""
        return self.n_frames * self.header.n_samples

    @property
    def has_right_tag(self) -> bool:
        """Whether the length tag counts the frames, or more of them, as in a file that was cut."""
        return self.n_tagged is not None and self.n_tagged >= self.n_frames


def _frame_headers() -> dict[int, FrameHeader]:
    """Tabulate the headers by their second and third byte; a free bit rate is not among them."""
    headers = {}
    for version, rates in RATES.items():
        for layer in (1, 2, 3):
            generation = 1 if version == 3 else 2
            n_samples = 384 if layer == 1 else 576 if layer == 3 and generation == 2 else 1152
            for index, kilobits in enumerate(KILOBITS[generation, layer], 1):
                for rate_index, rate in enumerate(rates):
                    for rest in range(8):  # padding, private bit, protection
                        padding, private, protection = rest & 1, rest >> 1 & 1, rest >> 2
                        second = 0xE0 | version << 3 | (4 - layer) << 1 | protection
                        third = index << 4 | rate_index << 2 | padding << 1 | private
                        if layer == 1:
                            n_bytes = (12000 * kilobits // rate + padding) * 4
                        else:
                            n_bytes = n_samples // 8 * 1000 * kilobits // rate + padding
                        headers[second << 8 | third] = FrameHeader(n_bytes, n_samples, (version, layer, rate))
    return headers


FRAME_HEADERS = _frame_headers()


def is_mpeg(head: bytes) -> bool:
    """Check whether a file begins with a frame, or with the tag of text that may come before."""
    return head[:3] == b"ID3" or (len(head) > 2 and head[0] == 0xFF and (head[1] << 8 | head[2]) in FRAME_HEADERS)


def mpeg_files(data: Data, start: int, stop: int) -> list[MpegFile]:
    """Find the MPEG files that were joined between two positions, one usually, by walking through their frames.

    Tags of text and other bytes between frames are skipped, and a last frame that is cut off. Empty if there are no
    frames, or their bit rate is free.
    """
    files: list[MpegFile] = []
    position = start
    while position + 4 <= stop:
        header = _header_at(data, position)
        expected = files[-1].header.kind if files else None
        if header is None or (header.kind != expected and not _is_followed(data, position, header)):
            after = min(stop, _after_tag(data, position) or _next_frame(data, position, stop))
            if files and after < stop and not data[position : position + 3].startswith(TEXT_TAGS):
                files[-1] = files[-1]._replace(n_skipped=files[-1].n_skipped + after - position)
            position = after
            continue
        end = position + header.n_bytes
        if end > stop:
            break
        tag = _length_tag(data, position, header)
        if tag is not None:
            files.append(MpegFile(position, end, end, 0, tag, header))
        elif header.kind != expected:
            files.append(MpegFile(position, position, end, 1, None, header))
        else:
            n_frames, end = _consecutive(data, position, stop, expected)
            files[-1] = files[-1]._replace(stop=end, n_frames=files[-1].n_frames + n_frames)
        position = end
    return [file for file in files if file.n_frames]


def _consecutive(data: Data, position: int, stop: int, kind: tuple[int, int, int]) -> tuple[int, int]:
    """Count the frames of a kind that follow one another from a position to a length tag, and find their end."""
    n_frames = 0
    while (header := _header_at(data, position)) is not None and header.kind == kind:
        if position + header.n_bytes > stop or (n_frames and _length_tag(data, position, header) is not None):
            break
        position += header.n_bytes
        n_frames += 1
    return n_frames, position


def _header_at(data: Data, position: int) -> FrameHeader | None:
    """Read the header of a frame, or None if there is none at a position."""
    if position + 3 > len(data) or data[position] != 0xFF:
        return None
    return FRAME_HEADERS.get(data[position + 1] << 8 | data[position + 2])


def _is_followed(data: Data, position: int, header: FrameHeader) -> bool:
    """Check whether a frame of the same kind follows, so that this is one and no chance."""
    following = _header_at(data, position + header.n_bytes)
    return following is not None and following.kind == header.kind


def starts_frames(data: Data, position: int) -> bool:
    """Check whether three frames of MPEG audio begin at a position: two are found by chance in some files."""
    header = _header_at(data, position)
    if header is None or not _is_followed(data, position, header):
        return False
    second = position + header.n_bytes
    following = _header_at(data, second)
    return following is not None and _is_followed(data, second, following)


def after_tags(data: Data, position: int) -> int:
    """Return where the tags of text end (ID3, APE) that begin at a position; the position itself if there are none."""
    while (end := _after_tag(data, position)) is not None:
        position = end
    return position


def _after_tag(data: Data, position: int) -> int | None:
    """Return where a tag of text ends that begins at a position, or None if there is none."""
    head = bytes(data[position : position + 32])
    if head[:3] == b"ID3" and len(head) >= 10:  # its size in four times seven bits, and 10 more bytes for a footer
        size = sum(digit << shift for digit, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return min(len(data), position + 10 + size + 10 * (head[5] >> 4 & 1))
    if head[:8] == b"APETAGEX" and len(head) == 32:  # its size counts the items after this header, and a footer
        return min(len(data), position + 32 + (int.from_bytes(head[12:16], "little") if head[23] & 0x20 else 0))
    if head[:3] == b"TAG" and position + ID3V1_BYTES <= len(data):
        return position + ID3V1_BYTES
    return None


def _next_frame(data: Data, position: int, stop: int) -> int:
    """Find the next position of a frame after something else, or `stop`."""
    while (position := data.find(b"\xff", position + 1, stop - 2)) >= 0:
        header = _header_at(data, position)
        if header is not None and _is_followed(data, position, header):
            return position
    return stop


def _length_tag(data: Data, position: int, header: FrameHeader) -> int | None:
    """Return the number of frames that a length tag announces, 0 if libsndfile finds none in it; None without a tag."""
    if header.kind[1] != 3:
        return None
    is_mono = data[position + 3] >> 6 == 3
    side = ((17, 9) if is_mono else (32, 17))[header.kind[0] != 3]
    head = data[position + 4 + side : position + 4 + side + 14]
    for at in (0, 2):  # without and with a checksum
        if head[at : at + 4] in LENGTH_TAGS[:2]:
            flags = int.from_bytes(head[at + 4 : at + 8], "big")
            return int.from_bytes(head[at + 8 : at + 12], "big") if flags & 1 else 0
    return 0 if data[position + 36 : position + 40] == LENGTH_TAGS[2] else None  # libsndfile knows nothing of VBRI

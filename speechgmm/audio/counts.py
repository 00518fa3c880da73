"""How far the samples reach by the headers of less common formats, and by the last frame of a FLAC file.

libsndfile reads such files to their last byte, cut or extended, and a FLAC file up to the count in its header.
"""

from typing import Literal, NamedTuple

from speechgmm.audio.mpeg import Data

Order = Literal["big", "little"]

MATLAB_BYTES = (8, 4, 4, 2, 2, 1)
"""Bytes of a number by the second digit of the type of a matrix in MATLAB's format 4."""

FLAC_TAILS = (2**15, 2**20)
"""Bytes before the end of a FLAC file in which to look for its last frame: first few, then more than any frame has."""


class Samples(NamedTuple):
    """The bytes that hold the samples by a header; the file may end before."""

    start: int
    end: int


def stated_samples(data: Data) -> Samples | None:
    """Find the samples by the header of an SVX, VOC, AVR, WVE, MPC2K, MAT4 or MAT5 file.

    None for files of other formats, and if the header makes no sense.
    """
    head = bytes(data[:64])
    if head[:4] == b"FORM" and head[8:12] in {b"8SVX", b"16SV"}:
        return _svx_samples(data)
    if head.startswith(b"Creative Voice File"):
        at = int.from_bytes(head[20:22], "little")  # of its first block, the only one that libsndfile writes
        n_before = {b"\1": 2, b"\x09": 12}.get(bytes(data[at : at + 1]))
        return Samples(at + 4 + n_before, at + 4 + _number(data, at + 1, 3, "little")) if n_before else None
    if head.startswith(b"2BIT") and head[12:14] == b"\0\0":  # mono; programs count stereo in two ways
        return Samples(128, 128 + _number(head, 26, 4, "big") * _number(head, 14, 2, "big") // 8)
    if head.startswith(b"ALawSoundFile**"):
        return Samples(32, 32 + _number(head, 18, 4, "big"))
    if head.startswith(b"\1\4") and len(head) > 42 and head[21] < 2:
        return Samples(42, 42 + _number(head, 30, 4, "little") * 2 * (1 + head[21]))
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        at = data.find(b"wavedata", 128, 1024) + 16
        return Samples(at, at + _number(data, at - 4, 4, "little")) if at > 16 else None
    return _matlab4_samples(data) if head[20:31] == b"samplerate\0" else None


def is_stereo_svx(data: Data) -> bool:
    """Check whether an 8SVX file holds two channels, which stand one after the other."""
    return data[8:12] == b"8SVX" and b"CHAN\0\0\0\4\0\0\0\6" in data[:512]


def has_more_voc_blocks(data: Data) -> bool:
    """Check whether a VOC file is made of several blocks, up to a byte of 0 that ends it, and not of one."""
    if not data[:20].startswith(b"Creative Voice File"):
        return False
    position, n_blocks = _number(data, 20, 2, "little"), 0
    while position < len(data) and data[position] in range(1, 10):
        position += 4 + _number(data, position + 1, 3, "little")
        n_blocks += 1
    return n_blocks > 1 and position < len(data) and data[position] == 0


def _number(data: Data, at: int, n_bytes: int, order: Order) -> int:
    """Read a number."""
    return int.from_bytes(data[at : at + n_bytes], order)


def _svx_samples(data: Data) -> Samples | None:
    """Find the chunk of samples."""
    position = 12
    while position + 8 <= len(data):
        end = position + 8 + _number(data, position + 4, 4, "big")
        if data[position : position + 4] == b"BODY":
            return Samples(position + 8, end)
        position = end + end % 2
    return None


def _matlab4_samples(data: Data) -> Samples | None:
    """Find the numbers of the second of two matrices; the first is the sample rate."""
    order: Order = "little" if data[4] else "big"
    at = 20 + len("samplerate") + 1 + 8
    kind, n_rows, n_columns, _, n_name = (_number(data, at + k, 4, order) for k in range(0, 20, 4))
    digit, start = kind // 10 % 10, at + 20 + n_name
    if digit >= len(MATLAB_BYTES):
        return None
    return Samples(start, start + n_rows * n_columns * MATLAB_BYTES[digit])


class FlacFrame(NamedTuple):
    """A frame of a FLAC file."""

    start: int  # its first byte
    stop: int  # the sample after its last


def last_flac_frame(data: Data) -> FlacFrame | None:
    """Find the last frame of a FLAC file; its number says how many samples there are. None if there is none."""
    first = first_flac_frame(data)
    like = bytes(data[first : first + 4])  # all frames have the same rate, channels and bits
    if len(like) < 4:
        return None
    block_size = int.from_bytes(data[10:12], "big")  # of every frame but the last, if all are of one size
    starts = (max(first, len(data) - n_bytes) for n_bytes in FLAC_TAILS)
    found = (_last_frame_from(data, start, like, block_size) for start in starts)
    return next((frame for frame in found if frame is not None), None)


def _last_frame_from(data: Data, start: int, like: bytes, block_size: int) -> FlacFrame | None:
    """Find the last frame that begins from a position on, and whose head says what others say."""
    tail = bytes(data[start:])
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        head = tail[position : position + 16]
        is_alike = len(head) > 3 and _format(head) == _format(like)
        if is_alike and (end := _frame_end(head, block_size)) is not None:
            return FlacFrame(start + position, end)
    return None


def _format(head: bytes) -> tuple[int, int, int, int]:
    """Return what the heads of all frames have in common: block strategy, rate, channels and bits."""
    channels = head[3] >> 4
    return head[1], head[2] & 15, 1 if channels >= 8 else channels, head[3] & 15  # from 8 on: two, by their difference


def first_flac_frame(data: Data) -> int:
    """Find the first frame of a FLAC file, after the blocks that describe it; the end of the file if there is none."""
    position, is_last = 4, data[:4] != b"fLaC"
    while not is_last and position + 4 <= len(data):
        is_last = bool(data[position] & 0x80)
        position += 4 + _number(data, position + 1, 3, "big")
    return position if is_last and position + 4 <= len(data) and data[:4] == b"fLaC" else len(data)


def _frame_end(head: bytes, block_size: int) -> int | None:
    """Read the head of a FLAC frame (RFC 9639, section 9.1): the sample after its last; None if it is none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1 or 0x80 <= head[4] < 0xC0 or head[4] == 0xFF:
        return None
    n_coded = 1 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length()  # as in UTF-8
    number = head[4] & (0x7F if n_coded == 1 else (1 << 7 - n_coded) - 1)
    for byte in head[5 : 4 + n_coded]:
        number = number << 6 | byte & 0x3F
    code, at = head[2] >> 4, 4 + n_coded
    n_size = {6: 1, 7: 2}.get(code, 0)
    n_rate = {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    n_head = at + n_size + n_rate
    if not code or n_head >= len(head) or _crc8(head[:n_head]) != head[n_head]:
        return None
    if n_size:
        n_samples = int.from_bytes(head[at : at + n_size], "big") + 1
    else:
        n_samples = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    return (number if head[1] & 1 else number * block_size) + n_samples


def _crc8(data: bytes) -> int:
    """Compute the checksum of the head of a FLAC frame: the remainder by x^8 + x^2 + x + 1."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x107 if value & 0x80 else 0)) & 0x1FF
    return value

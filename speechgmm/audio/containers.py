"""How far a container of sound reaches by its own bytes: whether it was cut, and whether more follows its end.

FFmpeg reads what is left of a cut WebM, WMA, AVI or AMR file, and the first of several joined ones, without a word.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from speechgmm.audio.following import joined_warning, recording_at
from speechgmm.audio.headers import is_streamed
from speechgmm.audio.mpeg import ID3V1_BYTES
from speechgmm.errors import AudioError

MOST_TAGS = 2**20
"""Bytes to read after the end of a container, to see what follows behind tags of text."""

MP4_BOXES = {
    *(b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"sidx", b"mfra", b"styp", b"meta"),
    *(b"pdin", b"emsg", b"pnot", b"prft", b"ssix", b"udta"),
}

EBML, SEGMENT, VOID = 0x1A45DFA3, 0x18538067, 0xEC
"""Elements of Matroska and WebM that stand at the top."""

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")

UNFINISHED = "the header was never finished; read to the end of the file"

AMR_FRAME_BYTES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}
"""Bytes of a frame for each mode (RFC 4867, section 5.3)."""


class Extent(NamedTuple):
    """The bytes of a file that belong to its first container, and what is odd about it, one sentence each."""

    end: int
    warnings: tuple[str, ...] = ()


class Piece(NamedTuple):
    """A part of a container at its top level."""

    name: bytes
    end: int  # where its header says that it ends
    finished: bool = True  # false if its header gives no length


PieceReader = Callable[[BinaryIO, int, int], Piece | None]
"""Reads the header of a part in an open file, at a position, of so many bytes; None if there is none that is known."""


def sound_extent(stream: BinaryIO) -> Extent:
    """Find the end of the container that a file starts with; an AudioError reports one that was cut.

    Files of other kinds have no structure to check: they reach to the end of the file, or to an ID3v1 tag there.
    """
    n_bytes = stream.seek(0, 2)
    if n_bytes > ID3V1_BYTES:
        stream.seek(-ID3V1_BYTES, 2)
        n_bytes -= ID3V1_BYTES * (stream.read(3) == b"TAG")
    stream.seek(0)
    head = stream.read(16)
    for magic, frame_bytes in AMR_FRAME_BYTES.items():
        if head.startswith(magic):
            return _amr_extent(stream, n_bytes, magic, frame_bytes)
    if head[4:8] in MP4_BOXES:
        return _mp4_extent(stream, n_bytes)
    if head.startswith(EBML.to_bytes(4, "big")):
        return _extent(stream, n_bytes, _pieces(stream, n_bytes, _matroska_element))
    if head.startswith(ASF_HEADER):
        return _first_extent(stream, n_bytes, _asf_object)
    if head.startswith(b"FLV"):
        return _first_extent(stream, n_bytes, _flv_tag)
    if head.startswith((b"RIFF", b"RF64")):
        return _extent(stream, n_bytes, _pieces(stream, n_bytes, _riff_chunk))
    if head.startswith(b"caff"):
        return _extent(stream, n_bytes, _pieces(stream, n_bytes, _caf_chunk))
    return Extent(n_bytes)


def _pieces(stream: BinaryIO, n_bytes: int, read_piece: PieceReader) -> Iterator[Piece]:
    """Walk along the parts of a container at its top level, as far as they are known."""
    position = 0
    while position < n_bytes:
        stream.seek(position)
        piece = read_piece(stream, position, n_bytes)
        if piece is None or piece.end <= position:
            return
        yield piece
        position = piece.end


def _mp4_box(stream: BinaryIO, position: int, n_bytes: int) -> Piece | None:
    """Read the header of a box of MP4, M4A, MOV or 3GP."""
    head = stream.read(16)
    name, size = head[4:8], int.from_bytes(head[:4], "big")
    if name not in MP4_BOXES:
        return None
    if size == 1:
        size = int.from_bytes(head[8:], "big")
    return Piece(name, position + size if size else n_bytes)


def _mp4_extent(stream: BinaryIO, n_bytes: int) -> Extent:
    """Check the boxes of the first file of those joined; without its index, nothing in it can be found."""
    boxes = list(_pieces(stream, n_bytes, _mp4_box))
    names = [box.name for box in boxes]
    second = next((k for k in range(1, len(names)) if names[k] == b"ftyp" and b"moov" in names[:k]), None)
    extent = _extent(stream, n_bytes, iter(boxes)) if second is None else _more_follows(boxes[second - 1].end, n_bytes)
    if b"moov" not in names[:second]:
        raise AudioError("has no index (moov); expected one: the recording was never finished, or it was cut short")
    return extent


def _matroska_element(stream: BinaryIO, position: int, n_bytes: int) -> Piece | None:
    """Read the header of an element of Matroska or WebM."""
    head = stream.read(12)
    name_bytes = 9 - head[0].bit_length()
    size_bytes = 9 - head[name_bytes].bit_length() if name_bytes < len(head) else 9
    name, size = head[:name_bytes], head[name_bytes : name_bytes + size_bytes]
    if int.from_bytes(name, "big") not in {EBML, SEGMENT, VOID} or len(size) != size_bytes or size_bytes > 8:
        return None
    unknown = (1 << 7 * size_bytes) - 1
    length = int.from_bytes(size, "big") & unknown
    if length == unknown:  # as recorders write it that cannot go back
        return Piece(name, n_bytes)
    return Piece(name, position + name_bytes + size_bytes + length)


def _asf_object(stream: BinaryIO, position: int, n_bytes: int) -> Piece | None:
    """Read the header of an object of ASF: WMA or WMV."""
    head = stream.read(24)
    size = int.from_bytes(head[16:], "little")
    if head[:16] == ASF_DATA and size <= 50:  # the size of nothing
        return Piece(ASF_DATA, n_bytes, finished=position + 50 >= n_bytes)
    is_known = head[:16] in {ASF_HEADER, ASF_DATA} or size <= n_bytes - position
    return Piece(head[:16], position + size) if len(head) == 24 and size >= 24 and is_known else None


def _riff_chunk(stream: BinaryIO, position: int, n_bytes: int) -> Piece | None:
    """Read the header of a RIFF file, AVI or WAV; a long AVI file has several."""
    head = stream.read(12)
    size = int.from_bytes(head[4:8], "little")
    if head[:4] not in {b"RIFF", b"RF64"} or len(head) < 12:
        return None
    if size == 0 or is_streamed(size):
        return Piece(head[:4], n_bytes, finished=head[8:] == b"WAVE")  # of WAV, `headers` knows more
    end = position + 8 + size
    return Piece(head[:4], end + (size % 2 if end < n_bytes else 0))


def _caf_chunk(stream: BinaryIO, position: int, n_bytes: int) -> Piece | None:
    """Read the header of a chunk of CAF, or of the file."""
    head = stream.read(12)
    if head[:4] == b"caff":
        return Piece(b"caff", position + 8)
    size = int.from_bytes(head[4:], "big", signed=True)
    if len(head) < 12 or not head[:4].isalnum():
        return None
    return Piece(head[:4], n_bytes if size < 0 else position + 12 + size)


def _flv_tag(stream: BinaryIO, position: int, _: int) -> Piece | None:
    """Read the header of a tag of FLV, or of the file."""
    head = stream.read(13)
    if head[:3] == b"FLV":
        return Piece(b"FLV", position + 13)
    if len(head) < 11 or head[0] not in {8, 9, 18}:  # sound, pictures, script
        return None
    return Piece(head[:1], position + 15 + int.from_bytes(head[1:4], "big"))


def _extent(stream: BinaryIO, n_bytes: int, pieces: Iterator[Piece]) -> Extent:
    """Check containers of which FFmpeg reads all that are joined; refuse one that ends before its last part does."""
    found = list(pieces)
    end = found[-1].end if found else n_bytes
    if end > n_bytes:
        raise AudioError(f"cut short: {end} bytes expected, only {n_bytes} are there")
    stream.seek(end)
    if recording_at(stream.read(MOST_TAGS), 0):
        return _more_follows(end, n_bytes)
    return Extent(n_bytes, () if all(piece.finished for piece in found) else (UNFINISHED,))


def _first_extent(stream: BinaryIO, n_bytes: int, read_piece: PieceReader) -> Extent:
    """Check a container of which FFmpeg reads the first alone if several are joined."""
    found: list[Piece] = []
    for piece in _pieces(stream, n_bytes, read_piece):
        if found and piece.name == found[0].name:
            return _more_follows(found[-1].end, n_bytes)
        found.append(piece)
    return _extent(stream, n_bytes, iter(found))


def _more_follows(end: int, n_bytes: int) -> Extent:
    """Report a file after the first one."""
    return Extent(end, (joined_warning(n_bytes - end),))


def _amr_extent(stream: BinaryIO, n_bytes: int, magic: bytes, frame_bytes: tuple[int, ...]) -> Extent:
    """Walk along the frames of an AMR file."""
    stream.seek(0)
    data, position = stream.read(n_bytes), len(magic)
    while position < n_bytes and not data[position] & 0x83:  # bits that are 0 in every frame
        position += frame_bytes[data[position] >> 3 & 15]
    if position > n_bytes:
        raise AudioError(f"cut short: its last frame ends at byte {position}, only {n_bytes} are there")
    if position == n_bytes:
        return Extent(n_bytes)
    if recording_at(data, position):
        return _more_follows(position, n_bytes)
    raise AudioError(f"damaged: no frame of AMR at byte {position} of {n_bytes}")

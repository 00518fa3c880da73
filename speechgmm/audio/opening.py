"""Opening an audio file of any kind, with what is odd about it: its own bytes show how long it is and what follows."""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from speechgmm.audio.following import joined_warning, recording_at
from speechgmm.audio.headers import (
    SAMPLE_BYTES,
    UNKNOWN_LENGTH,
    Header,
    announced_samples,
    is_streamed,
    read_header,
)
from speechgmm.audio.media import open_media
from speechgmm.audio.mpeg import ID3V1_BYTES, Data, MpegFile, is_mpeg, mpeg_files
from speechgmm.audio.ogg import OggFile, ogg_files
from speechgmm.audio.streams import AudioStream, ForwardSoundFile, JoinedStream, Opener, Part
from speechgmm.errors import AudioError

MOST_READ = 2**19
"""Bytes of files that are read as a whole to be examined."""

LARGEST_BIT_RATE_RATIO = 64
"""More than the ratio of the highest to the lowest bit rate of MPEG audio."""


class RawFormat(NamedTuple):
    """The format of a file without a header.

    Parameters
    ----------
    sample_rate : int > 0, Hz
        The sample rate.
    channels : int >= 1
        The number of channels, whose samples alternate.
    subtype : str
        How a sample is written: PCM_U8, PCM_S8, PCM_16, PCM_24, PCM_32, FLOAT, DOUBLE, ULAW or ALAW.
    endian : "LITTLE" or "BIG"
        Which byte of a sample comes first: the lowest or the highest.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import RawFormat, read_audio
    >>> np.array([0, 16384, -32768], "<i2").tofile("dump.raw")
    >>> samples, sample_rate = read_audio("dump.raw", raw=RawFormat(8000))
    >>> samples.tolist(), sample_rate
    ([0.0, 0.5, -1.0], 8000)
    """

    sample_rate: int
    channels: int = 1
    subtype: str = "PCM_16"
    endian: str = "LITTLE"


class OpenAudio(NamedTuple):
    """An open audio file, and what is known about it."""

    stream: AudioStream
    n_samples: int | None  # per channel; None if only decoding can show it
    warnings: tuple[str, ...] = ()  # what is odd about the file, one sentence each, without its name


class OggFiles(NamedTuple):
    """The files that were joined in an Ogg stream, one usually."""

    files: Sequence[OggFile]


class MpegFiles(NamedTuple):
    """The MPEG files that were joined, one usually."""

    files: Sequence[MpegFile]


Examined = OggFiles | MpegFiles | Header
"""What the bytes of a recording show."""


def open_audio(path: Path, raw: RawFormat | None = None) -> OpenAudio:
    """Open a file; raise AudioError if it shows that it is truncated before it is decoded, and what libsndfile raises.

    Joined MP3 and Ogg files are read as one; of other joined files the first is read, with a warning.
    """
    if raw is not None:
        _check_raw(path, raw)
        return _opened(ForwardSoundFile(path, "r", *raw, "RAW"))
    with _mapped(path) as data:
        part = Part(path, str(path), data)
        return _open_part(part, _examined_before(path) if len(data) > MOST_READ else _examine(data))


def open_archived(path: Path, start: int) -> OpenAudio:
    """Open the recording that begins at a byte of a Kaldi archive, behind its id; errors are those of `open_audio`.

    Its end is known from the size in a WAV header, or in kaldiio's mark; other formats know their end themselves.
    """
    place = f"{path}:{start}"
    with _mapped(path) as data:
        head = data[start : start + 16]
        if head[:5] == b"AUDIO" and len(head) > 6:
            size = int.from_bytes(data[start + 6 : start + 6 + head[5]], "little")
            start += 6 + head[5]
        elif head[:4] == b"RIFF":
            size = int.from_bytes(head[4:8], "little")
            if size == 0 or is_streamed(size):
                raise AudioError(
                    f"{place}: the WAV header gives no length; expected one, as other recordings follow in the archive"
                )
            size += 8
        else:
            return _opened(Part(path, place, data, 0, is_all=False).open_between(start, None))
        if start + size > len(data):
            raise AudioError(f"{place}: cut short: {start + size:,} bytes expected, {len(data):,} are there")
        part = Part(path, place, data[start : start + size], start, is_all=False)
        return _open_part(part, _examine(part.data))


def _examine(data: Data) -> Examined:
    """Find out what the bytes of a recording show, by walking through all of them where nothing else shows its end."""
    if data[:4] == b"OggS":
        return OggFiles(ogg_files(data))
    if is_mpeg(data[:16]) and (files := mpeg_files(data, 0, len(data))):
        return MpegFiles(files)
    return read_header(data)


def _examined_before(path: Path) -> Examined:
    """Examine a large file once while it stays the same: its segments are opened one by one."""
    status = path.stat()
    return _examine_file(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=64)
def _examine_file(path: Path, stamp: tuple[int, ...]) -> Examined:
    """Examine a file that is known by its stamp."""
    del stamp
    with _mapped(path) as data:
        return _examine(data)


def _open_part(part: Part, examined: Examined) -> OpenAudio:
    """Open a recording by what its bytes show."""
    if isinstance(examined, OggFiles):
        return _open_ogg(part, examined.files)
    if isinstance(examined, MpegFiles):
        return _open_mpeg(part, examined.files)
    data, header = part.data, examined
    if header.is_misread and part.is_all:
        return _opened(open_media(part.path))
    is_right = not header.replaced and header.stop is None
    opened = _checked(part, part.open() if is_right else part.open_between(0, header.stop, header.replaced), header)
    if opened.stream.subtype.startswith("MPEG_LAYER"):  # behind other bytes: libsndfile estimates its length
        stop = len(data) if header.stop is None else header.stop
        if files := mpeg_files(data, 0, stop):
            opened.stream.close()
            opened = _open_mpeg(part, files)
            return opened._replace(warnings=tuple(dict.fromkeys((*header.warnings, *opened.warnings))))
        free = "its bit rate is free, so that its frames cannot be counted; its length may be wrong"
        return opened._replace(warnings=(*opened.warnings, free))
    return opened


def _opened(stream: AudioStream, warnings: tuple[str, ...] = ()) -> OpenAudio:
    """Return an open file with what is known about its length."""
    n_samples = None if stream.frames >= UNKNOWN_LENGTH else int(stream.frames)
    return OpenAudio(stream, n_samples, (*stream.warnings, *warnings))


def _checked(part: Part, stream: AudioStream, header: Header) -> OpenAudio:
    """Return an open file that has all samples that its header announces."""
    if (expected := announced_samples(header, stream)) > stream.frames:
        stream.close()
        raise truncation_error(part.place, expected, stream.frames)
    return _opened(stream, header.warnings)


def _open_ogg(part: Part, files: Sequence[OggFile]) -> OpenAudio:
    """Open an Ogg file, or several that were joined."""
    if len(files) < 2 and all(file.has_end for file in files):
        opened = _opened(part.open())
    else:
        opened = _open_joined([partial(part.open_between, file.start, file.stop, file.end_mark) for file in files])
    if files and not files[-1].is_whole:
        opened.stream.close()
        n_readable = "" if opened.n_samples is None else f"{opened.n_samples} samples can be read, then "
        raise AudioError(f"{part.place}: cut short: {n_readable}its end is missing")
    if files and not files[-1].has_end:
        unmarked = "its last page is not marked as the end, so more may be missing"
        opened = opened._replace(warnings=(*opened.warnings, unmarked))
    if n_missing := sum(file.n_missing for file in files):
        opened = opened._replace(warnings=(*opened.warnings, f"pages that are missing in it: {n_missing:,}"))
    return _with_what_follows(part, opened, files)


def _open_mpeg(part: Part, files: Sequence[MpegFile]) -> OpenAudio:
    """Open an MPEG file, or several that were joined; a length that libsndfile would only estimate is counted."""
    n_skipped = sum(file.n_skipped for file in files)
    damaged = (f"{n_skipped:,} bytes between its frames are no audio and were skipped",) if n_skipped else ()
    if len(files) > 1:
        opened = _open_joined([partial(_open_mpeg_file, part, file) for file in files])
    elif files[0].has_right_tag and len(part.data) - files[0].stop <= ID3V1_BYTES:
        opened = _opened(part.open())
    else:
        opened = _opened(_open_mpeg_file(part, files[0]))
    return _with_what_follows(part, opened._replace(warnings=(*opened.warnings, *damaged)), files)


def _open_mpeg_file(part: Part, file: MpegFile) -> AudioStream:
    """Open one of the MPEG files that were joined, and count its frames if no length tag does.

    libsndfile estimates the length from the file's size and the first frame's bit rate, and reads no further: here the
    file seems so large that the estimate is always too long.
    """
    if file.has_right_tag:
        return part.open_between(file.start, file.stop)
    length = (file.stop - file.audio_start) * LARGEST_BIT_RATE_RATIO
    return JoinedStream([partial(part.open_between, file.audio_start, file.stop, length=length)], file.n_samples)


def _with_what_follows(part: Part, opened: OpenAudio, files: Sequence[OggFile] | Sequence[MpegFile]) -> OpenAudio:
    """Warn if a recording of another kind follows after the last of the files that are read."""
    if not files or not recording_at(part.data, files[-1].stop):
        return opened
    return opened._replace(warnings=(*opened.warnings, joined_warning(len(part.data) - files[-1].stop)))


def _open_joined(openers: Sequence[Opener]) -> OpenAudio:
    """Open files that were joined end to end: all until one has another rate or number of channels."""
    formats: list[tuple[int, int]] = []
    n_samples = []
    for opener in openers:
        with opener() as stream:
            formats.append((stream.channels, stream.samplerate))
            n_samples.append(stream.frames)
    n_alike = next((k for k, each in enumerate(formats) if each != formats[0]), len(formats))
    stream = JoinedStream(openers[:n_alike], sum(n_samples[:n_alike]))
    if len(openers) == 1:
        return _opened(stream)
    joined = f"{len(openers)} recordings were joined end to end in it"
    if n_alike == len(openers):
        which = "all are read"
    else:
        which = f"{n_alike} read, as the next has {formats[n_alike][0]} channels at {formats[n_alike][1]} Hz"
    return _opened(stream, (f"{joined}; {which}",))


@contextmanager
def _mapped(path: Path) -> Iterator[Data]:
    """Map a file into memory, or read a small one, which is quicker."""
    with path.open("rb", buffering=0) as file:
        if file.seek(0, 2) <= MOST_READ:
            file.seek(0)
            yield file.read()
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _check_raw(path: Path, raw: RawFormat) -> None:
    """Refuse a raw format that cannot be the file's."""
    if raw.subtype not in SAMPLE_BYTES:
        raise AudioError(f"{path}: raw subtype {raw.subtype!r}; expected one of {', '.join(SAMPLE_BYTES)}")
    if raw.sample_rate < 1 or raw.channels < 1:
        raise AudioError(f"{path}: raw {raw.channels} channels at {raw.sample_rate} Hz; expected positive numbers")
    n_bytes, width = path.stat().st_size, SAMPLE_BYTES[raw.subtype] * raw.channels
    if n_bytes % width:
        raise AudioError(f"{path}: {n_bytes} bytes; expected a multiple of {width}, or another format than {raw}")


def truncation_error(path: str | Path, expected: int, n_readable: int) -> AudioError:
    """Format the error for a file that has fewer samples than announced."""
    return AudioError(f"{path}: cut short or damaged: {expected} samples expected, only {n_readable} can be read")

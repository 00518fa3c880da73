"""Opening an audio file of any kind, with what is odd about it: libsndfile reads it, or else FFmpeg's libraries do."""

import io
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import soundfile

from speechgmm.audio.following import joined_warning, recording_at
from speechgmm.audio.headers import (
    SAMPLE_BYTES,
    UNKNOWN_LENGTH,
    Header,
    OggFile,
    announced_samples,
    ogg_files,
    read_header,
)
from speechgmm.audio.media import open_media
from speechgmm.audio.mpeg import ID3V1_BYTES, Data, MpegFile, is_mpeg, mpeg_files
from speechgmm.audio.views import FileView, buffered, raising_lost_errors
from speechgmm.errors import AudioError
from speechgmm.files import MEDIA_SUFFIXES

UNRECOGNISED = 1
UNREAD_CODES = {UNRECOGNISED, 4, 18, 26, 29, 64, 65, 115, 161}
"""libsndfile's errors for what FFmpeg may read.

1: no known format; 4, 64, 65: an encoding that libsndfile lacks; 18: shortened SPHERE; 26: a tag before the file;
29: Speex, Ogg with pictures; 115: a VOC file without end; 161: FLAC in Ogg.
"""

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


class AudioStream(Protocol):
    """An open audio file that is read from front to back."""

    samplerate: int
    channels: int
    format: str
    subtype: str
    warnings: tuple[str, ...]  # what only reading shows to be odd

    @property
    def frames(self) -> int:
        """Samples per channel; `UNKNOWN_LENGTH` or more if they are not known."""

    def read(self, frames: int, dtype: str, always_2d: bool) -> npt.NDArray[Any]:
        """Read the next samples (n, channels), fewer at the end."""

    def seek(self, frames: int) -> int:
        """Move to a sample, counted from the beginning."""

    def tell(self) -> int:
        """Return the position in samples."""

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        """Return the stream."""

    def __exit__(self, *args: object) -> None:
        """Close the file."""


class OpenAudio(NamedTuple):
    """An open audio file, and what is known about it."""

    stream: AudioStream
    n_samples: int | None  # per channel; None if only decoding can show it
    warnings: tuple[str, ...] = ()  # what is odd about the file, one sentence each, without its name


Opener = Callable[[], AudioStream]
"""Opens a file, from its beginning."""


class ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file read from front to back: soundfile seeks after each read in files that are seekable."""

    warnings: tuple[str, ...] = ()

    def __init__(self, *args: Any) -> None:
        with raising_lost_errors():
            super().__init__(*args)

    def seekable(self) -> bool:
        """Return False, whatever the file."""
        return False

    def read(self, frames: int, dtype: str, always_2d: bool) -> npt.NDArray[Any]:
        """Read the next samples (n, channels), fewer at the end."""
        with raising_lost_errors():
            samples: npt.NDArray[Any] = super().read(frames, dtype, always_2d)
        return samples

    def seek(self, frames: int, whence: int = 0) -> int:
        """Move to a sample, counted as in `io`; in files that are not seekable, by reading up to it."""
        if whence == 0 and not super().seekable():
            return _skip(self, frames)
        with raising_lost_errors():
            return int(super().seek(frames, whence))

    def tell(self) -> int:
        """Return the position in samples; 0 in files that are not seekable."""
        return int(super().tell()) if super().seekable() else 0


class JoinedStream:
    """Files of one rate and number of channels, `n_samples` long in all, read one after the other as one file."""

    warnings: tuple[str, ...] = ()

    def __init__(self, openers: Sequence[Opener], n_samples: int) -> None:
        self._openers = openers
        self._number = -1
        self._open_next()
        self._position = 0
        self.samplerate, self.channels = self._stream.samplerate, self._stream.channels
        self.format, self.subtype = self._stream.format, "joined"
        self.frames = n_samples

    def read(self, frames: int, dtype: str, always_2d: bool) -> npt.NDArray[Any]:
        """Read the next samples (n, channels), fewer at the end."""
        pieces = [self._stream.read(frames, dtype=dtype, always_2d=always_2d)]
        while (n_missing := frames - sum(map(len, pieces))) and self._number + 1 < len(self._openers):
            self._stream.close()
            self._open_next()
            pieces.append(self._stream.read(n_missing, dtype=dtype, always_2d=always_2d))
        block = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        self._position += len(block)
        return block

    def seek(self, frames: int) -> int:
        """Move forward to a sample, by reading up to it."""
        return self._position + _skip(self, frames - self._position)

    def tell(self) -> int:
        """Return the position in samples."""
        return self._position

    def close(self) -> None:
        """Close the file that is open."""
        self._stream.close()

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(self, *args: object) -> None:
        """Close the file that is open."""
        self.close()

    def _open_next(self) -> None:
        """Open the next file."""
        self._number += 1
        self._stream = self._openers[self._number]()


def open_audio(path: Path, raw: RawFormat | None = None) -> OpenAudio:
    """Open a file; raise AudioError if it shows that it is truncated before it is decoded, and what libsndfile raises.

    Joined MP3 and Ogg files are read as one; of other joined files the first is read, with a warning.
    """
    if raw is not None:
        _check_raw(path, raw)
        return _opened(ForwardSoundFile(path, "r", *raw, "RAW"))
    with _mapped(path) as data:
        if bytes(data[:4]) == b"OggS":
            return _with_what_follows(data, _open_ogg(path, files := ogg_files(data)), files)
        if is_mpeg(data[:16]) and (parts := mpeg_files(data, 0, len(data))):
            return _open_mpeg(path, data, parts)
        header = read_header(data)
        if header.is_misread:
            return _opened(open_media(path))
        is_whole = not header.replaced and header.stop is None
        stream = _open_file(path) if is_whole else _open_part(path, 0, header.stop, header.replaced)
        opened = _checked(path, stream, header)
        if not stream.subtype.startswith("MPEG_LAYER") or not (
            parts := mpeg_files(data, 0, len(data) if header.stop is None else header.stop)
        ):
            return opened
        stream.close()  # libsndfile has found frames behind other bytes, and would estimate their number
        mpeg = _open_mpeg(path, data, parts)
        return mpeg._replace(warnings=tuple(dict.fromkeys((*header.warnings, *mpeg.warnings))))


def open_archived(path: Path, start: int) -> OpenAudio:
    """Open the recording that begins at a byte of a Kaldi archive, behind its id; errors are those of `open_audio`.

    Its end is known from the size in a WAV header, or in kaldiio's mark; other formats know their end themselves.
    """
    with _mapped(path) as data:
        head = data[start : start + 16]
        stop = len(data)
        if head[:5] == b"AUDIO" and len(head) > 6:
            n_bytes = int.from_bytes(data[start + 6 : start + 6 + head[5]], "little")
            start += 6 + head[5]
            stop = start + n_bytes
        elif head[:4] == b"RIFF":
            stop = start + 8 + int.from_bytes(head[4:8], "little")
        if stop > len(data):
            raise AudioError(f"{path}:{start}: cut short: {stop:,} bytes expected, {len(data):,} are there")
        header = read_header(data[start:stop] if head[:4] == b"RIFF" else b"")
    replaced = {start + place: other for place, other in header.replaced.items()}
    return _checked(path, _open_part(path, start, stop, replaced), header)


def _open_file(path: Path) -> AudioStream:
    """Open a file with libsndfile, or else with FFmpeg's libraries."""
    return _with_either(path, partial(ForwardSoundFile, path), None)


def _open_part(path: Path, start: int, stop: int | None, replaced: Mapping[int, bytes] | None = None) -> AudioStream:
    """Open a part of a file as a file, with bytes replaced by position, as `_open_file` does."""

    def open_bytes() -> io.BufferedReader:
        return buffered(FileView(path, start, stop, replaced=replaced))

    return _with_either(path, lambda: ForwardSoundFile(open_bytes()), open_bytes)


def _with_either(path: Path, open_sound: Opener, open_bytes: Callable[[], BinaryIO] | None) -> AudioStream:
    """Open with libsndfile, or else with FFmpeg's libraries; `open_bytes` opens the part to read, if it is not all."""
    try:
        return open_sound()
    except soundfile.LibsndfileError as error:
        if error.code not in UNREAD_CODES:
            raise
        try:
            return open_media(path, open_bytes)
        except AudioError:
            if error.code == UNRECOGNISED and path.suffix.lower() not in MEDIA_SUFFIXES:
                raise error from None
            raise


def _opened(stream: AudioStream, warnings: tuple[str, ...] = ()) -> OpenAudio:
    """Return an open file with what is known about its length."""
    n_samples = None if stream.frames >= UNKNOWN_LENGTH else int(stream.frames)
    return OpenAudio(stream, n_samples, (*stream.warnings, *warnings))


def _checked(path: Path, stream: AudioStream, header: Header) -> OpenAudio:
    """Return an open file that has all samples that its header announces."""
    if (expected := announced_samples(header, stream)) > stream.frames:
        stream.close()
        raise truncation_error(path, expected, stream.frames)
    return _opened(stream, header.warnings)


def _open_ogg(path: Path, files: Sequence[OggFile]) -> OpenAudio:
    """Open an Ogg file, or several that were joined."""
    if len(files) < 2 and all(file.has_end for file in files):
        opened = _opened(_open_file(path))
    else:
        opened = _open_joined([partial(_open_part, path, file.start, file.stop, file.end_mark) for file in files])
    if files and not files[-1].is_whole:
        opened.stream.close()
        n_readable = "" if opened.n_samples is None else f"{opened.n_samples} samples can be read, then "
        raise AudioError(f"{path}: cut short: {n_readable}its end is missing")
    if files and not files[-1].has_end:
        unmarked = "its last page is not marked as the end, so more may be missing"
        return opened._replace(warnings=(*opened.warnings, unmarked))
    return opened


def _open_mpeg(path: Path, data: Data, files: Sequence[MpegFile]) -> OpenAudio:
    """Open an MPEG file, or several that were joined; a length that libsndfile would only estimate is counted."""
    n_skipped = sum(file.n_skipped for file in files)
    damaged = (f"{n_skipped:,} bytes between its frames are no audio and were skipped",) if n_skipped else ()
    if len(files) > 1:
        opened = _open_joined([partial(_mpeg_part, path, file) for file in files])
    elif files[0].has_right_tag and len(data) - files[0].stop <= ID3V1_BYTES:
        opened = _opened(ForwardSoundFile(path))
    else:
        opened = _opened(_mpeg_part(path, files[0]))
    return _with_what_follows(data, opened._replace(warnings=(*opened.warnings, *damaged)), files)


def _with_what_follows(data: Data, opened: OpenAudio, files: Sequence[OggFile] | Sequence[MpegFile]) -> OpenAudio:
    """Warn if a recording of another kind follows after the last of the files that are read."""
    if not files or not recording_at(data, files[-1].stop):
        return opened
    return opened._replace(warnings=(*opened.warnings, joined_warning(len(data) - files[-1].stop)))


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


def _mpeg_part(path: Path, file: MpegFile) -> AudioStream:
    """Open one of several MPEG files that were joined."""
    return _open_part(path, file.start, file.stop) if file.has_right_tag else _untagged(path, file)


def _untagged(path: Path, file: MpegFile) -> AudioStream:
    """Open an MPEG file without a length tag, or without its wrong one, and count its frames.

    libsndfile estimates the length from the file's size and the first frame's bit rate, and reads no further: here the
    file seems so large that the estimate is always too long.
    """
    n_bytes = file.stop - file.audio_start
    view = FileView(path, file.audio_start, file.stop, length=n_bytes * LARGEST_BIT_RATE_RATIO)
    return JoinedStream([partial(ForwardSoundFile, buffered(view))], file.n_samples)


def _skip(stream: AudioStream, n_samples: int) -> int:
    """Read up to `n_samples` and drop them; return how many there were."""
    n_left = n_samples
    while n_left > 0 and (n_read := len(stream.read(min(2**16, n_left), dtype="float32", always_2d=True))):
        n_left -= n_read
    return n_samples - n_left


@contextmanager
def _mapped(path: Path) -> Iterator[Data]:
    """Map a file into memory."""
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            yield b""
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

"""Streams of samples from libsndfile or FFmpeg's libraries, of a file, of a part of it or of parts that were joined."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import soundfile

from speechgmm.audio.media import open_media
from speechgmm.audio.mpeg import Data
from speechgmm.audio.views import FileView, buffered, raising_lost_errors
from speechgmm.errors import AudioError
from speechgmm.files import MEDIA_SUFFIXES

UNRECOGNISED = 1
UNREAD_CODES = {UNRECOGNISED, 4, 18, 26, 29, 64, 65, 115, 161}
"""libsndfile's errors for what FFmpeg may read.

1: no known format; 4, 64, 65: an encoding that libsndfile lacks; 18: shortened SPHERE; 26: a tag before the file;
29: Speex, Ogg with pictures; 115: a VOC file without end; 161: FLAC in Ogg.
"""


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


Opener = Callable[[], AudioStream]
"""Opens a file, from its beginning."""


class ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file read from front to back: soundfile seeks after each read in files that are seekable."""

    warnings: tuple[str, ...] = ()
    # What to read in: libsndfile reads open files by calling Python.
    _calling: Callable[[], AbstractContextManager[None]]

    def __init__(self, file: Path | io.BufferedReader, *args: Any) -> None:
        self._calling = nullcontext if isinstance(file, Path) else raising_lost_errors
        with self._calling():
            super().__init__(file, *args)

    def seekable(self) -> bool:
        """Return False, whatever the file."""
        return False

    def read(self, frames: int, dtype: str, always_2d: bool) -> npt.NDArray[Any]:
        """Read the next samples (n, channels), fewer at the end."""
        with self._calling():
            samples: npt.NDArray[Any] = super().read(frames, dtype, always_2d)
        return samples

    def seek(self, frames: int, whence: int = 0) -> int:
        """Move to a sample, counted as in `io`; in files that are not seekable, by reading up to it."""
        if whence == 0 and not super().seekable():
            return _skip(self, frames)
        with self._calling():
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


class Part(NamedTuple):
    """A file, or the part of it that holds one recording."""

    path: Path
    place: str  # its name in messages
    data: Data  # its bytes
    start: int = 0  # of the first of them in the file
    is_all: bool = True  # whether they are all of the file

    def open(self) -> AudioStream:
        """Open it with libsndfile, or else with FFmpeg's libraries."""
        if not self.is_all:
            return self.open_between(0, None)
        try:
            return self._open_either(lambda: ForwardSoundFile(self.path), None)
        except (soundfile.LibsndfileError, AudioError):
            if (self.path.parent / f"._{self.path.name}").exists():  # macOS's, which libsndfile reads first, and fails
                return self.open_between(0, None)
            raise

    def open_between(
        self,
        start: int,
        stop: int | None,
        replaced: Mapping[int, bytes] | None = None,
        *,
        length: int | None = None,
    ) -> AudioStream:
        """Open what lies between two of its bytes as `open` does, with others in place of some, by position.

        With a `length`, it seems that many bytes long.
        """
        first, last = self.start + start, self.start + (len(self.data) if stop is None else stop)
        others = {self.start + place: other for place, other in (replaced or {}).items()}
        path = self.path  # not the bytes, which are gone when the file is opened again

        def open_bytes() -> io.BufferedReader:
            """Open the bytes between them."""
            return buffered(FileView(path, first, last, length=length, replaced=others))

        return self._open_either(lambda: ForwardSoundFile(open_bytes()), open_bytes)

    def _open_either(self, open_sound: Opener, open_bytes: Callable[[], io.BufferedReader] | None) -> AudioStream:
        """Open with libsndfile, or else with FFmpeg's libraries; `open_bytes` opens the bytes if they are not all."""
        try:
            return open_sound()
        except soundfile.LibsndfileError as error:
            if error.code not in UNREAD_CODES:
                raise
            try:
                return open_media(Path(self.place), open_bytes)
            except AudioError:
                if error.code == UNRECOGNISED and self.path.suffix.lower() not in MEDIA_SUFFIXES:
                    raise error from None
                raise


def _skip(stream: AudioStream, n_samples: int) -> int:
    """Read up to `n_samples` and drop them; return how many there were."""
    n_left = n_samples
    while n_left > 0 and (n_read := len(stream.read(min(2**16, n_left), dtype="float32", always_2d=True))):
        n_left -= n_read
    return n_samples - n_left

"""A part of a file as a file of its own, with some bytes replaced, for libsndfile and FFmpeg's libraries to read.

They read it by calling Python, which has its own errors to report.
"""

import io
import sys
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


class Stretch(NamedTuple):
    """Consecutive bytes of a view: some of the file, or others."""

    start: int  # position in the file
    stop: int
    other: bytes | None = None  # these bytes, in place of the file's

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self.stop - self.start if self.other is None else len(self.other)


class FileView(io.RawIOBase):
    """A file that shows a part of another one, from `start` to `stop`, with bytes before it and bytes replaced.

    `replaced` maps positions in the file to the bytes that stand there instead. The file is closed with the view.
    """

    def __init__(
        self,
        path: Path,
        start: int = 0,
        stop: int | None = None,
        *,
        length: int | None = None,
        replaced: Mapping[int, bytes] | None = None,
    ) -> None:
        super().__init__()
        self._file = path.open("rb")
        stop = self._file.seek(0, 2) if stop is None else stop
        stretches: list[Stretch] = []
        for place, other in sorted((replaced or {}).items()):
            stretches += [Stretch(start, place), Stretch(place, place + len(other), other)]
            start = place + len(other)
        self._stretches = [*stretches, Stretch(start, max(start, stop))]
        self._firsts = [0, *accumulate(map(len, self._stretches))]  # of each stretch in the view, and the view's length
        self._length = self._firsts[-1] if length is None else length
        self._position = 0

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self._length

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position, counted from the beginning, from here or from the end."""
        origin = (0, self._position, len(self))[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]
        """Read the next bytes, up to the end of a stretch."""
        number = bisect_right(self._firsts, self._position) - 1
        if number >= len(self._stretches):
            n_zeros = min(len(buffer), self._length - self._position) if self._position >= self._length - 128 else 0
            buffer[:n_zeros] = bytes(n_zeros)
            self._position += n_zeros
            return n_zeros
        stretch, inside = self._stretches[number], self._position - self._firsts[number]
        n_wanted = min(len(buffer), len(stretch) - inside)
        if stretch.other is None:
            self._file.seek(stretch.start + inside)
            data = self._file.read(n_wanted)
        else:
            data = stretch.other[inside : inside + n_wanted]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def buffered(view: FileView) -> io.BufferedReader:
    """Return a view whose reads are whole, as libsndfile expects them."""
    return io.BufferedReader(view, 2**16)


class _Lost(threading.local):
    """What was raised in Python in this thread while a library called it."""

    errors: list[BaseException] | None = None  # None where no one asks for it


class _Hook:
    """Python's hook for errors that no one can catch, set while at least one thread asks for them."""

    def __init__(self) -> None:
        self.lost = _Lost()
        self._lock = threading.Lock()
        self._n_askers = 0
        self._before = sys.unraisablehook

    def ask(self) -> None:
        """Set the hook, unless it is set."""
        with self._lock:
            if self._n_askers == 0:
                self._before, sys.unraisablehook = sys.unraisablehook, self._keep
            self._n_askers += 1

    def leave(self) -> None:
        """Set the earlier hook again, unless another thread still asks."""
        with self._lock:
            self._n_askers -= 1
            if self._n_askers == 0:
                sys.unraisablehook = self._before

    def _keep(self, unraisable: "UnraisableHookArgs") -> None:
        """Keep an error of a thread that asks, and report others as before."""
        if self.lost.errors is None or unraisable.exc_value is None:
            self._before(unraisable)
        else:
            self.lost.errors.append(unraisable.exc_value)


_hook = _Hook()


def keep_error(error: BaseException) -> None:
    """Keep an error for `raising_lost_errors`, in Python that a library calls; raise it where no one asks for it."""
    if _hook.lost.errors is None:
        raise error
    _hook.lost.errors.append(error)


@contextmanager
def raising_lost_errors() -> Iterator[None]:
    """Raise in the end what was raised in Python while a library called it.

    The libraries would only print it: an interrupt, or a fault of the disk, would look like the end of the file.
    """
    earlier, errors = _hook.lost.errors, list[BaseException]()
    _hook.lost.errors = errors
    _hook.ask()
    try:
        yield
    finally:
        _hook.leave()
        _hook.lost.errors = earlier
        if errors:
            raise errors[0]

"""Audio that comes in blocks while it is made: from a microphone, or as samples without a header through a pipe."""

import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile

from speechgmm.arrays import Float32Array
from speechgmm.audio.headers import SAMPLE_BYTES
from speechgmm.audio.opening import RawFormat
from speechgmm.audio.samples import check_samples
from speechgmm.errors import AudioError, ChannelError

NO_PACKAGE = "the microphone needs the package sounddevice: pip install 'speechgmm[live]', or pip install sounddevice"
NO_LIBRARY = (
    "the microphone needs the library PortAudio, which sounddevice did not find: sudo apt install libportaudio2 "
    "(Debian, Ubuntu), sudo dnf install portaudio (Fedora)"
)


class LiveAudio(NamedTuple):
    """Audio that comes in blocks."""

    blocks: Iterator[Float32Array]  # (n,) each, full scale at 1
    sample_rate: int  # Hz


def raw_audio(stream: BinaryIO, name: str, raw: RawFormat, block_seconds: float, *, mean: bool) -> LiveAudio:
    """Read samples without a header from a stream; all blocks but the last have the same length.

    Of several channels the mean is taken if `mean` is set; otherwise they raise a ChannelError. A part of a sample at
    the end is left out.
    """
    if raw.channels > 1 and not mean:
        raise ChannelError(f"{name}: {raw.channels} channels; expected one")
    width = SAMPLE_BYTES[raw.subtype] * raw.channels
    size = max(1, round(block_seconds * raw.sample_rate)) * width

    def blocks() -> Iterator[Float32Array]:
        """Decode block by block."""
        first = 0
        while data := _read_all(stream, size):
            whole = data[: len(data) - len(data) % width]
            if whole:
                with soundfile.SoundFile(io.BytesIO(whole), "r", *raw, "RAW") as file:
                    samples = file.read(dtype="float32", always_2d=True)
                yield _checked(name, samples.mean(axis=1, dtype=np.float64).astype(np.float32), first)
                first += len(samples)
            if len(data) < size:
                return

    return LiveAudio(blocks(), raw.sample_rate)


def microphone_audio(block_seconds: float, on_lost: Callable[[], None]) -> LiveAudio:
    """Record one channel from the default microphone, at its own rate, until the iterator is closed.

    `on_lost` is called when samples were lost because they were not read in time. What is missing on this machine
    raises an AudioError.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise AudioError(NO_PACKAGE) from error
    except OSError as error:
        raise AudioError(NO_LIBRARY) from error
    try:
        rate = round(sounddevice.query_devices(kind="input")["default_samplerate"])
        microphone = sounddevice.InputStream(samplerate=rate, channels=1, dtype="float32")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(f"microphone: {error}; expected one, or --file FILE, or - for standard input") from error

    def blocks() -> Iterator[Float32Array]:
        """Record block by block."""
        try:
            with microphone:
                while True:
                    samples, lost = microphone.read(max(1, round(block_seconds * rate)))
                    if lost:
                        on_lost()
                    yield _checked("microphone", samples[:, 0].copy(), 0)
        except sounddevice.PortAudioError as error:
            raise AudioError(f"microphone: {error}") from error

    return LiveAudio(blocks(), rate)


def _read_all(stream: BinaryIO, size: int) -> bytes:
    """Read bytes until there are `size` of them, or the end: a pipe gives fewer at a time."""
    pieces: list[bytes] = []
    missing = size
    while missing and (piece := stream.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _checked(name: str, samples: np.ndarray[Any, Any], first: int) -> Float32Array:
    """Check samples as `check_samples` does, and name their source in the error."""
    try:
        return check_samples(samples, first=first)
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from error

"""Sound that libsndfile cannot read (M4A, WebM, WMA, AMR, MP4, ...), decoded with FFmpeg's libraries by PyAV.

PyAV (``av``) is the optional extra ``media``. The samples are those of the ``ffmpeg`` program: FFmpeg's decoders drop
what an encoder adds before the sound, and after it where the file says so. Opus is decoded at 48 kHz, and has the rate
before encoding if the file gives one, as libsndfile gives it for Opus in Ogg.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soxr

from speechgmm.arrays import Float32Array
from speechgmm.audio.containers import UNFINISHED, Extent, sound_extent
from speechgmm.audio.headers import UNKNOWN_LENGTH
from speechgmm.audio.views import keep_error, raising_lost_errors
from speechgmm.errors import AudioError

CONTAINERS = (
    *("mov", "matroska", "asf", "aac", "amr", "ac3", "eac3", "mp3", "mpeg", "mpegts", "avi", "flv", "wv", "ape", "tta"),
    *("shn", "nistsphere", "ogg", "wav", "w64", "aiff", "caf", "au", "loas", "flac", "voc", "iff"),
)
"""FFmpeg's names of the containers to read: none is a playlist or names other files to open."""

OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
"""Options of FFmpeg that keep a file from opening others, here or elsewhere."""

EXACT_LENGTHS = {"nistsphere", "tta", "wv", "ape"}
"""Containers, by FFmpeg's names, that give the number of samples."""

ANNOUNCED_LENGTHS = {"mov", "matroska", "asf", "flv", "avi"}
"""Containers that give a length in seconds; of others, FFmpeg estimates it."""

LENGTHS_OF_ALL = {"matroska", "flv", "asf"}
"""Containers that give one length for all streams together."""

FIRST_ALONE = {"tta", "ape"}
"""Containers without parts to walk along, of which FFmpeg reads the first if several are joined."""

OPUS_RATES = (8000, 12000, 16000, 24000)
"""Rates in Hz below 48 kHz at which Opus codes sound."""

MISSING_SECONDS = 0.5
"""A container that announces this much more than can be decoded is reported; the padding of encoders is shorter."""


class MediaFile:
    """A file that PyAV decodes from front to back, with the attributes and methods of `soundfile.SoundFile` used here.

    `warnings` has a sentence for each odd thing, and is complete when the file has been read to its end.
    """

    format = "MEDIA"
    frames = UNKNOWN_LENGTH
    samplerate: int
    channels: int
    subtype: str
    warnings: tuple[str, ...]
    _ready: list[Float32Array]  # decoded, but not read
    _n_ready: int  # samples in them
    _decoded_rate: int  # Hz, before `samplerate` is made of it

    def __init__(self, path: Path, open_part: Callable[[], BinaryIO] | None = None) -> None:
        self.path = path
        self._open_bytes: Callable[[], BinaryIO] = open_part or partial(_open_whole, path)
        self._av = _import_av(path)
        self._open()

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> Float32Array:
        """Decode the next samples (n, channels), fewer at the end; other types and shapes are a TypeError."""
        if dtype != "float32" or not always_2d:
            raise TypeError(f"{dtype} samples, always_2d={always_2d}; expected float32 in two dimensions")
        with raising_lost_errors():
            while self._n_ready < frames and (block := next(self._blocks, None)) is not None:
                self._ready.append(block)
                self._n_ready += len(block)
        samples = np.concatenate(self._ready)
        self._ready, self._n_ready = [samples[frames:]], max(0, self._n_ready - frames)
        self._position += len(samples) - self._n_ready
        return samples[:frames]

    def seek(self, frames: int) -> int:
        """Go to a sample, by decoding all before it; return where that ended, which is the end if there are fewer."""
        if frames < self._position:
            self.close()
            self._open()
        while self._position < frames and len(self.read(min(frames - self._position, 2**16))):
            pass
        return self._position

    def tell(self) -> int:
        """Return the position of the next sample."""
        return self._position

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with raising_lost_errors():
            if self._container is not None:
                self._container.close()
        if self._source is not None:
            self._source.close()

    def _open(self) -> None:
        """Open the file, and decode its first samples, which show the rate and the number of channels."""
        with raising_lost_errors():
            self._open_first()

    def _open_first(self) -> None:
        """Open the file up to its first samples; an AudioError says what is wrong with it."""
        self._source: BinaryIO | None = None
        self._container: Any = None
        try:
            self._source = self._open_bytes()
            extent = self._extent(self._source)
            self._view = _View(self._source, extent.end)
            self._container = self._av.open(self._view, container_options=OPTIONS, metadata_errors="replace")
            self.warnings = extent.warnings
            self._position, self._n_decoded = 0, 0
            stream = self._first_stream()
            self._blocks = self._resample(self._decode(stream), _opus_rate(stream))
            self._ready = [next(self._blocks)]
            self._n_ready = len(self._ready[0])
        except StopIteration:
            raise self._fault("holds no samples") from None
        except self._av.error.FFmpegError as error:
            raise self._fault("not readable as audio (of a kind that is not read here, or damaged)") from error
        except OSError as error:
            raise self._fault(f"not readable ({error.strerror})") from error

    def _extent(self, source: BinaryIO) -> Extent:
        """Check the container as `sound_extent` does, and name the file in the error."""
        try:
            return sound_extent(source)
        except AudioError as error:
            raise self._fault(str(error)) from error

    def _first_stream(self) -> Any:
        """Choose the audio stream to read."""
        streams = self._container.streams.audio
        if not streams:
            raise self._fault("holds no sound; expected an audio stream")
        if streams[0].codec_context is None:
            raise self._fault("holds sound of a codec that FFmpeg does not read; convert it to WAV or FLAC")
        if len(streams) > 1:
            self.warnings += (f"holds {len(streams)} audio streams; the first is read",)
        self.subtype = str(streams[0].codec_context.name)
        streams[0].codec_context.thread_count = 1
        return streams[0]

    def _decode(self, stream: Any) -> Iterator[Float32Array]:
        """Decode a stream in blocks (n, channels), n >= 1."""
        n_to_drop = end = 0
        try:
            for number, packet in enumerate(self._container.demux(stream)):
                frames = packet.decode()
                end = max(end, (packet.pos or 0) + packet.size)
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise self._fault(f"damaged after sample {self._n_decoded}")
                if number == 0:
                    n_to_drop = _missed_skip(self._container.format.name, stream, packet, frames)
                for frame in frames:
                    samples = self._samples(frame)[n_to_drop:]
                    n_to_drop -= min(n_to_drop, frame.samples)
                    self._n_decoded += len(samples)
                    if len(samples):
                        yield samples
        except self._av.error.FFmpegError as error:
            raise self._fault(f"damaged after sample {self._n_decoded}") from error
        self._check_end(stream, end)

    def _resample(self, blocks: Iterator[Float32Array], rate: int | None) -> Iterator[Float32Array]:
        """Convert blocks (n, channels) to another rate in Hz, if there is one."""
        first = next(blocks, None)
        if first is None:
            return
        self.samplerate = self._decoded_rate if rate is None else rate
        if self.samplerate == self._decoded_rate:
            yield first
            yield from blocks
            return
        stream = soxr.ResampleStream(self._decoded_rate, self.samplerate, self.channels, dtype="float32", quality="HQ")
        for block in chain([first], blocks, [first[:0]]):
            piece: Float32Array = stream.resample_chunk(block, last=len(block) == 0)
            if len(piece):
                yield piece

    def _samples(self, frame: Any) -> Float32Array:
        """Convert a frame to samples (n, channels), integers scaled to [-1, 1) as libsndfile does."""
        rate, n_channels = int(frame.sample_rate), len(frame.layout.channels)
        if self._n_decoded == 0:
            self._decoded_rate, self.channels = rate, n_channels
        if (rate, n_channels) != (self._decoded_rate, self.channels):
            raise self._fault(
                f"changes to {n_channels} channels at {rate} Hz after sample {self._n_decoded}; "
                f"expected {self.channels} at {self._decoded_rate} Hz throughout"
            )
        values = frame.to_ndarray()
        samples = values.T if frame.format.is_planar else values.reshape(-1, n_channels)
        scaled: Float32Array = np.ascontiguousarray(samples, dtype=np.float32)
        if samples.dtype == np.uint8:
            scaled -= 128
            scaled /= 128
        elif samples.dtype.kind == "i":
            scaled *= 0.5 ** (8 * samples.itemsize - 1)
        return scaled

    def _check_end(self, stream: Any, end: int) -> None:
        """Compare what was decoded, up to byte `end`, with what the container announces, and look for what follows."""
        if not self._n_decoded:
            return
        kinds = set(self._container.format.name.split(","))
        seconds = self._n_decoded / self._decoded_rate
        announced = float(stream.duration * stream.time_base) if stream.duration else 0.0
        n_announced = round(announced * self._decoded_rate)
        if kinds & EXACT_LENGTHS and n_announced > self._n_decoded:
            raise self._fault(
                f"cut short or damaged: {n_announced} samples expected, only {self._n_decoded} can be read"
            )
        if kinds & {"matroska", "flv"}:  # a length of the stream itself is an estimate there
            announced = 0.0 if stream.duration else (self._container.duration or 0) / 1e6
        if kinds & LENGTHS_OF_ALL and self._container.streams.video:  # pictures may last longer
            announced = 0.0
        if kinds & ANNOUNCED_LENGTHS and UNFINISHED not in self.warnings and announced - seconds > MISSING_SECONDS:
            self.warnings += (f"its sound lasts {seconds:.2f} s, but the file announces {announced:.2f} s",)
        if kinds & FIRST_ALONE and self._view.holds_another(end):
            self.warnings += ("another recording follows after its end (files joined?); only the first is read",)

    def _fault(self, reason: str) -> AudioError:
        """Close the file, and format an error with its name."""
        self.close()
        return AudioError(f"{self.path}: {reason}")


class _View:
    """The first bytes of an open file, without its name: FFmpeg judges by content, and opens nothing itself."""

    def __init__(self, stream: BinaryIO, end: int) -> None:
        self._stream, self._end = stream, end
        stream.seek(0)

    def read(self, n: int) -> bytes:
        """Read up to `n` bytes; none after an error, which is kept."""
        try:
            return self._stream.read(max(0, min(n, self._end - self._stream.tell())))
        except (OSError, KeyboardInterrupt, SystemExit) as error:
            keep_error(error)
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte; -1, as FFmpeg expects, for one before the first, and after an error, which is kept."""
        try:
            target = offset + (0, self._stream.tell(), self._end)[whence]
            if target >= 0:
                self._stream.seek(min(target, self._end))
        except (OSError, KeyboardInterrupt, SystemExit) as error:
            keep_error(error)
            return -1
        return max(-1, target)

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._stream.tell()

    def holds_another(self, end: int) -> bool:
        """Check whether what the file starts with, stands again after a byte."""
        self.seek(0)
        magic = self.read(4)
        self.seek(end)
        tail = b""
        while block := self.read(2**20):
            if magic in tail + block:
                return True
            tail = block[-3:]
        return False


def open_media(path: Path, open_part: Callable[[], BinaryIO] | None = None) -> MediaFile:
    """Open a file that libsndfile cannot read, or the part of it that `open_part` opens.

    An AudioError names the file and what is wrong with it.
    """
    return MediaFile(path, open_part)


def _open_whole(path: Path) -> BinaryIO:
    """Open a file."""
    return path.open("rb")


def _import_av(path: Path) -> Any:
    """Import PyAV, or raise an error that names two ways to read the file."""
    try:
        import av
        import av.error
    except ImportError as error:
        kind = path.suffix[1:].upper() or "a file without a suffix"
        raise AudioError(
            f"{path}: not readable here: {kind} needs the extra media (pip install 'speechgmm[media]'), "
            "or convert it: ffmpeg -i FILE NEW.wav"
        ) from error
    return av


def _missed_skip(container: str, stream: Any, packet: Any, frames: list[Any]) -> int:
    """Count the samples before the sound that FFmpeg 8 leaves in Opus in WebM and Matroska.

    It counts what is to be skipped at the rate before encoding, not at Opus's 48 kHz, if the file gives that rate.
    """
    head = bytes(stream.codec_context.extradata or b"")
    if "matroska" not in container or not head.startswith(b"OpusHead") or len(head) < 12 or not frames:
        return 0
    n_skipped = _opus_samples(bytes(packet)) - sum(frame.samples for frame in frames)
    return max(0, int.from_bytes(head[10:12], "little") - n_skipped) if n_skipped > 0 else 0


def _opus_rate(stream: Any) -> int | None:
    """Return the rate in Hz that Opus was encoded from (RFC 7845, section 5.1); None if it is 48 kHz or not given."""
    head = bytes(stream.codec_context.extradata or b"")
    rate = int.from_bytes(head[12:16], "little") if head.startswith(b"OpusHead") else 0
    return rate if rate in OPUS_RATES else None


def _opus_samples(packet: bytes) -> int:
    """Count the samples at 48 kHz of an Opus packet (RFC 6716, section 3.1)."""
    if not packet:
        return 0
    mode, code = packet[0] >> 3, packet[0] & 3
    if mode < 12:
        n = (480, 960, 1920, 2880)[mode & 3]
    elif mode < 16:
        n = (480, 960)[mode & 1]
    else:
        n = (120, 240, 480, 960)[mode & 3]
    return n * (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]

"""Reading one audio file as mono float32 samples at a stated rate; every fault is an `AudioError`."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from speechgmm.arrays import Float32Array
from speechgmm.audio.headers import SAMPLE_BYTES, announced_samples, ogg_has_end
from speechgmm.audio.samples import check_rates, check_samples, resample, resample_blocks
from speechgmm.errors import AudioError, ChannelError

READ_SAMPLES = 2**20
"""Samples of all channels decoded at a time: memory follows the file's contents, not the length in its header."""

UNKNOWN_LENGTH = 2**62
"""Lengths from here on are libsndfile's way to report that a header gives none."""

Channel = int | Literal["mean"] | None


class RawFormat(NamedTuple):
    """The format of a file without a header."""

    sample_rate: int  # Hz
    channels: int = 1  # interleaved
    subtype: str = "PCM_16"  # also PCM_U8, PCM_S8, PCM_24, PCM_32, FLOAT, DOUBLE, ULAW or ALAW
    endian: str = "LITTLE"  # or BIG: which byte of a sample comes first


def read_audio(
    source: str | Path,
    *,
    sample_rate: int | None = None,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    raw: RawFormat | None = None,
) -> tuple[Float32Array, int]:
    """Read one channel of an audio file, or of a segment of it.

    Parameters
    ----------
    source : str or Path
        A file in any format that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, NIST SPHERE, ...).
    sample_rate : int > 0, Hz, optional
        Resample to this rate; the file's own rate by default.
    channel : int >= 0, or "mean", optional
        The channel to read, or their mean. By default, a file of several channels is refused.
    start, stop : float >= 0, seconds, optional
        The segment to decode, to the nearest sample; the whole file by default.
    raw : RawFormat, optional
        The format of a file without a header.

    Returns
    -------
    samples : np.ndarray, shape (n,), float32
        The waveform; integer formats are scaled to [-1, 1).
    sample_rate : int, Hz
        Its rate.

    Raises
    ------
    AudioError
        If the file is missing, unreadable, empty or cut short, lacks the channel or segment, or holds NaN or infinity.

    Notes
    -----
    A truncated file is recognised where the header gives a length (WAV, WAVEX, RF64, W64, AIFF, AU, NIST, FLAC, MP3
    with a length tag) or the format marks its end (OGG). A header that was written to a pipe gives no length, and a raw
    file has no header. For an MP3 file without the tag, libsndfile assumes the first frame's bit rate throughout: if it
    varies, the end may be missing.

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import read_audio
    >>> soundfile.write("tone.wav", 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000), 16000)
    >>> samples, sample_rate = read_audio("tone.wav")
    >>> samples.shape, samples.dtype, sample_rate
    ((16000,), dtype('float32'), 16000)

    The first half second, resampled to 8 kHz:

    >>> samples, sample_rate = read_audio("tone.wav", sample_rate=8000, stop=0.5)
    >>> samples.shape, sample_rate
    ((4000,), 8000)
    """
    path = Path(source)
    file, first, last = _open(path, channel, start, stop, raw)
    with file:
        file_rate = _usable_rate(path, int(file.samplerate), sample_rate)
        blocks = [
            _select_channel(block, channel) for block in _decode(path, file, first, last, _samples_per_read(file))
        ]
    samples = _check_samples(path, blocks[0] if len(blocks) == 1 else np.concatenate(blocks), first)
    if sample_rate is None or sample_rate == file_rate:
        return samples, file_rate
    return resample(samples, file_rate, sample_rate), sample_rate


def audio_blocks(
    source: str | Path,
    *,
    sample_rate: int | None = None,
    block_seconds: float = 60.0,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    raw: RawFormat | None = None,
) -> tuple[Iterator[Float32Array], int]:
    """Read an audio file of any length in bounded memory, in blocks that together are the samples of `read_audio`.

    Returns an iterator of blocks (n,), n >= 1, and the sample rate. The samples are those of `read_audio` bit for bit;
    every block but the last is `block_seconds` long, unless the rate is changed. Faults that only decoding reveals
    (NaN, a truncated FLAC) are raised at their block.
    """
    path = Path(source)
    if not 0 < block_seconds < np.inf:
        raise AudioError(f"{path}: blocks of {block_seconds:g} s; expected a positive length")
    with _open(path, channel, start, stop, raw)[0] as file:
        file_rate = _usable_rate(path, int(file.samplerate), sample_rate)
    blocks = _read_blocks(path, max(1, round(block_seconds * file_rate)), channel, start, stop, raw)
    if sample_rate is None or sample_rate == file_rate:
        return blocks, file_rate
    return resample_blocks(blocks, file_rate, sample_rate), sample_rate


def duration(source: str | Path) -> float | None:
    """Return the length of an audio file in seconds by its header; None if the header is unreadable or gives none."""
    try:
        info = soundfile.info(str(source))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return None
    return None if info.frames >= UNKNOWN_LENGTH else float(info.duration)


def audio_warnings(source: str | Path, *, raw: RawFormat | None = None) -> tuple[str, ...]:
    """List what is odd about an audio file that can be read, one sentence each without its name.

    Its header was never finished, or more follows after its end. Empty for a file that cannot be read.
    """
    del source, raw
    return ()


def audio_file(place: str) -> Path:
    """Return the file of a recording: its path, or the archive that holds it, as in Kaldi's ``FILE.ark:OFFSET``."""
    return Path(re.sub(r"(?<=\.ark):[0-9]+$", "", place))


class _ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file read from front to back: soundfile seeks after each read in files that are seekable."""

    def seekable(self) -> bool:
        """Return False, whatever the file."""
        return False


def _open(
    path: Path, channel: Channel, start: float | None, stop: float | None, raw: RawFormat | None
) -> tuple[_ForwardSoundFile, int, int | None]:
    """Open a file that shows no truncation before decoding; return it with the bounds of `_segment`."""
    try:
        if not path.is_file():
            raise AudioError(f"{path}: no such audio file")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{path}: not readable (Permission denied)")  # libsndfile would report another reason
        if raw is not None:
            _check_raw(path, raw)
        elif path.suffix.lower() == ".raw":
            raise AudioError(
                f"{path}: not readable as audio: no header; expected raw=RawFormat({', '.join(RawFormat._fields)})"
            )
        file = _ForwardSoundFile(path, "r", *(raw or ()), *(["RAW"] if raw else []))
        _check_not_truncated(path, file)
        _check_channel(path, file, channel)
        return file, *_segment(path, file, start, stop)
    except UnicodeEncodeError as error:
        raise AudioError(f"{path}: not readable: its name is not UTF-8 text, and libsndfile asks for that") from error
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(f"{path}: not readable as audio ({reason})") from error


def _check_raw(path: Path, raw: RawFormat) -> None:
    """Refuse a raw format that cannot be the file's."""
    if raw.subtype not in SAMPLE_BYTES:
        raise AudioError(f"{path}: raw subtype {raw.subtype!r}; expected one of {', '.join(SAMPLE_BYTES)}")
    if raw.sample_rate < 1 or raw.channels < 1:
        raise AudioError(f"{path}: raw {raw.channels} channels at {raw.sample_rate} Hz; expected positive numbers")
    n_bytes, width = path.stat().st_size, SAMPLE_BYTES[raw.subtype] * raw.channels
    if n_bytes % width:
        raise AudioError(f"{path}: {n_bytes} bytes; expected a multiple of {width}, or another format than {raw}")


def _check_not_truncated(path: Path, file: _ForwardSoundFile) -> None:
    """Refuse a file whose own bytes show that it was cut: libsndfile silently reads what is left."""
    if file.format not in {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "OGG"}:
        return
    with path.open("rb") as stream:
        n_bytes = stream.seek(0, 2)
        if file.format != "OGG":
            expected = announced_samples(stream, n_bytes, file)
            if expected > file.frames:
                raise _truncation_error(path, expected, file.frames)
        elif not ogg_has_end(stream, n_bytes):
            raise AudioError(f"{path}: cut short: {file.frames} samples can be read, then its end is missing")


def _truncation_error(path: Path, expected: int, n_readable: int) -> AudioError:
    """Format the error for a file that has fewer samples than announced."""
    return AudioError(f"{path}: cut short or damaged: {expected} samples expected, only {n_readable} can be read")


def _announced_length(path: Path, file: _ForwardSoundFile) -> int | None:
    """Return the samples per channel that the header announces; None if it announces none."""
    n = int(file.frames)
    if n >= UNKNOWN_LENGTH:
        return None
    if file.format == "MP3" or file.subtype == "MPEG_LAYER_III":
        with path.open("rb") as stream:
            head = stream.read(10)
            if head[:3] == b"ID3":  # a tag before the audio, its size in four times seven bits
                stream.seek(sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False)), 1)
            return n if re.search(rb"Xing|Info|VBRI", stream.read(256)) else None
    return n


def _segment(path: Path, file: _ForwardSoundFile, start: float | None, stop: float | None) -> tuple[int, int | None]:
    """Convert a segment in seconds to its first sample and the one after its last (None: the file's unknown end)."""
    n = _announced_length(path, file)
    if start is None and stop is None:
        return 0, n
    rate, end = int(file.samplerate), UNKNOWN_LENGTH if n is None else n
    bounds = (start or 0.0) * rate, end if stop is None else stop * rate
    if 0 <= bounds[0] <= bounds[1] < np.inf:  # false for NaN
        first, last = round(bounds[0]), round(bounds[1])
        if first and not soundfile.SoundFile.seekable(file):
            raise AudioError(f"{path}: start {start:g} s; {file.subtype} audio can only be read from its beginning")
        if first < last <= end:
            return first, None if last == UNKNOWN_LENGTH else last
    length = "of unknown length" if n is None else f"{n / rate:g} s long"
    segment = f"from {start or 0:g} s to {'its end' if stop is None else f'{stop:g} s'}"
    raise AudioError(f"{path}: has no segment {segment}; it is {length}")


def _check_channel(path: Path, file: _ForwardSoundFile, channel: Channel) -> None:
    """Refuse a channel that the file lacks, and several channels without a choice."""
    n = int(file.channels)
    if channel is None and n != 1:
        raise ChannelError(f"{path}: {n} channels; expected a mono file, or a choice: channel=0 to {n - 1}, or 'mean'")
    if channel not in {None, "mean", *range(n)}:
        raise AudioError(f"{path}: has no channel {channel!r}; it has {n}, counted from 0, and their 'mean'")


def _select_channel(block: Float32Array, channel: Channel) -> Float32Array:
    """Select one channel of samples (n, channels), or compute the mean of all, added in their order."""
    if channel != "mean":
        return block[:, channel or 0]
    with np.errstate(invalid="ignore"):  # infinities of both signs, which the check reports
        mean: Float32Array = (sum(block.T.astype(np.float64)) / block.shape[1]).astype(np.float32)
    return mean


def _usable_rate(path: Path, file_rate: int, sample_rate: int | None) -> int:
    """Return the file's rate; refuse one that cannot be converted to the requested rate."""
    try:
        check_rates(file_rate, file_rate if sample_rate is None else sample_rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    return file_rate


def _check_samples(path: Path, samples: Float32Array, first: int) -> Float32Array:
    """Check samples as `check_samples` does, and name the file in the error."""
    try:
        return check_samples(samples, first=first)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def _samples_per_read(file: _ForwardSoundFile) -> int:
    """Compute the number of samples per channel to decode at a time."""
    return max(1, READ_SAMPLES // int(file.channels))


def _read_samples(file: _ForwardSoundFile, n_samples: int) -> Float32Array:
    """Read the next samples (n, channels), up to `n_samples` of them, piece by piece."""
    pieces = [_read_piece(file, min(n_samples, _samples_per_read(file)))]
    while len(pieces[-1]) == _samples_per_read(file) and (n_samples := n_samples - _samples_per_read(file)):
        pieces.append(_read_piece(file, min(n_samples, _samples_per_read(file))))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _read_piece(file: _ForwardSoundFile, n_samples: int) -> Float32Array:
    """Read the next samples; 16-bit ones are scaled here, exactly as libsndfile does, but faster."""
    piece: Float32Array
    if file.subtype == "PCM_16":
        piece = np.multiply(file.read(n_samples, dtype="int16", always_2d=True), 2.0**-15, dtype=np.float32)
    else:
        piece = file.read(n_samples, dtype="float32", always_2d=True)
    return piece


def _decode(path: Path, file: _ForwardSoundFile, first: int, last: int | None, size: int) -> Iterator[Float32Array]:
    """Decode a segment in blocks (up to `size`, channels): at least one sample, or an error."""
    position = first
    try:
        if first:
            file.seek(first)
        while last is None or position < last:
            n_wanted = size if last is None else min(size, last - position)
            block = _read_samples(file, n_wanted)
            position += len(block)
            if len(block):
                yield block
            if len(block) < n_wanted:
                break
    except soundfile.LibsndfileError as error:
        if last is None or not soundfile.SoundFile.seekable(file):
            raise AudioError(f"{path}: damaged after sample {position} ({error.error_string.rstrip('.')})") from error
        raise _truncation_error(path, last, max(position, file.tell())) from error
    if last is not None and position < last:
        raise _truncation_error(path, last, position)
    if position == first:
        raise AudioError(f"{path}: holds no samples")


def _read_blocks(
    path: Path, size: int, channel: Channel, start: float | None, stop: float | None, raw: RawFormat | None
) -> Iterator[Float32Array]:
    """Read a file in checked blocks of `size` samples."""
    file, first, last = _open(path, channel, start, stop, raw)
    with file:
        for block in _decode(path, file, first, last, size):
            yield _check_samples(path, _select_channel(block, channel), first)
            first += len(block)

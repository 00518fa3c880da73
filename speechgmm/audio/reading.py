"""Reading one audio file as mono float32 samples at a stated rate; every fault is an `AudioError`."""

import os
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from speechgmm.arrays import Float32Array
from speechgmm.audio.following import RECORDING
from speechgmm.audio.headers import UNKNOWN_LENGTH
from speechgmm.audio.opening import OpenAudio, RawFormat, open_archived, open_audio, truncation_error
from speechgmm.audio.samples import check_rates, check_samples, resample, resample_blocks
from speechgmm.audio.streams import AudioStream
from speechgmm.errors import AudioError, AudioWarning, ChannelError
from speechgmm.files import RAW_SUFFIXES

READ_SAMPLES = 2**20
"""Samples of all channels decoded at a time: memory follows the file's contents, not the length in its header."""

ARCHIVED = re.compile(r"(?P<file>.+\.ark):(?P<offset>[0-9]+)")
"""The place of a recording in a Kaldi archive."""

Channel = int | Literal["mean"] | None


class _Decoded(NamedTuple):
    """What decoding all of a file shows."""

    seconds: float | None  # None if it fails
    warnings: tuple[str, ...] = ()


class _Segment(NamedTuple):
    """An open file and the part of it to read."""

    opened: OpenAudio
    first: int  # sample
    last: int | None  # the sample after the last one; None for the file's unknown end


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
        A file in any format that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, NIST SPHERE, ...); with the extra
        ``media`` also M4A, WebM, WMA, AMR, MP4 and others that FFmpeg's libraries read. ``FILE.ark:OFFSET`` is a
        recording in a Kaldi archive.
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
        If the file is missing, unreadable, empty or cut short, lacks the channel or segment, or holds NaN, infinity
        or samples far beyond full scale.

    Warns
    -----
    AudioWarning
        If the file can be read, but its header was never finished or counts too much, or more follows after its end.

    Notes
    -----
    A truncated file is recognised where the header gives a length (WAV, WAVEX, RF64, W64, AIFF, AU, NIST, FLAC, MP3
    with a length tag) or pages show it (OGG). A header that was never finished, or was written to a pipe, gives no
    length, and a raw file has no header: they are read to their end. MP3 files and OGG files that were joined end to
    end are read as one; of other joined files the first is read.

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
    samples, rate, remarks = load_audio(
        source, sample_rate=sample_rate, channel=channel, start=start, stop=stop, raw=raw
    )
    for remark in remarks:
        warnings.warn(f"{source}: {remark}", AudioWarning, stacklevel=2)
    return samples, rate


def load_audio(
    source: str | Path,
    *,
    sample_rate: int | None = None,
    channel: Channel = None,
    start: float | None = None,
    stop: float | None = None,
    raw: RawFormat | None = None,
) -> tuple[Float32Array, int, tuple[str, ...]]:
    """Read as `read_audio` does; return samples, rate and what is odd about the file, as `audio_warnings` lists it."""
    segment = _open(source, channel, start, stop, raw)
    with segment.opened.stream as stream:
        file_rate = _usable_rate(source, int(stream.samplerate), sample_rate)
        size = max(1, READ_SAMPLES // int(stream.channels))
        blocks = [_select_channel(block, channel) for block in _decode(source, segment, size)]
    samples = _check_samples(source, blocks[0] if len(blocks) == 1 else np.concatenate(blocks), segment.first)
    if sample_rate is not None and sample_rate != file_rate:
        samples = resample(samples, file_rate, sample_rate)
    return samples, sample_rate or file_rate, _remarks(segment.opened)


class AudioFacts(NamedTuple):
    """What is known about an audio file without its samples."""

    seconds: float
    sample_rate: int  # Hz
    subtype: str  # how libsndfile calls the type of the samples
    warnings: tuple[str, ...]  # what is odd about the file, as `audio_warnings` lists it


def audio_facts(source: str | Path, channel: Channel = None) -> AudioFacts:
    """Open a file once, and check that it has the channel, with the errors of `read_audio`.

    The file is decoded as `duration` does.
    """
    opened = _open(source, channel, None, None, None).opened
    with opened.stream as stream:
        rate, subtype = _usable_rate(source, int(stream.samplerate), None), str(stream.subtype)
    if opened.n_samples is not None:
        return AudioFacts(opened.n_samples / rate, rate, subtype, opened.warnings)
    decoded = _decoded(str(source), _stamp(source))
    return AudioFacts(decoded.seconds or 0.0, rate, subtype, decoded.warnings)


def channel_count(source: str | Path) -> int:
    """Return the number of channels of an audio file, with the errors of `read_audio`."""
    with _open_any(source, None).stream as stream:
        return int(stream.channels)


def load_channels(source: str | Path) -> tuple[Float32Array, int, tuple[str, ...]]:
    """Read all channels of a file at once, each with the checks of `read_audio`.

    Returns samples (n, channels), their rate in Hz, and what is odd about the file.
    """
    opened = _open_any(source, None)
    with opened.stream as stream:
        rate, n_channels = _usable_rate(source, int(stream.samplerate), None), int(stream.channels)
        whole = _Segment(opened, 0, opened.n_samples)
        samples = np.concatenate(list(_decode(source, whole, max(1, READ_SAMPLES // n_channels))))
    for column in samples.T:
        _check_samples(source, column, 0)
    return samples, rate, _remarks(opened)


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
    if not 0 < block_seconds < np.inf:
        raise AudioError(f"{source}: blocks of {block_seconds:g} s; expected a positive length")
    with _open(source, channel, start, stop, raw).opened.stream as stream:
        file_rate = _usable_rate(source, int(stream.samplerate), sample_rate)
    blocks = _read_blocks(source, max(1, round(block_seconds * file_rate)), channel, start, stop, raw)
    if sample_rate is None or sample_rate == file_rate:
        return blocks, file_rate
    return resample_blocks(blocks, file_rate, sample_rate), sample_rate


def duration(source: str | Path, *, raw: RawFormat | None = None) -> float | None:
    """Return the seconds of an audio file that reading gives; None if it cannot be read.

    The file is decoded only if nothing else shows its length, and once while it stays the same.
    """
    try:
        stated = stated_duration(source, raw=raw)
    except AudioError:
        return None
    return _decoded(str(source), _stamp(source)).seconds if stated is None else stated


def stated_duration(source: str | Path, *, raw: RawFormat | None = None) -> float | None:
    """Return the seconds of an audio file by what its bytes say, None if they do not say it; AudioError as reading."""
    opened = _open_any(source, raw)
    with opened.stream as stream:
        return None if opened.n_samples is None else opened.n_samples / int(stream.samplerate)


def audio_warnings(source: str | Path, *, raw: RawFormat | None = None) -> tuple[str, ...]:
    """List what is odd about an audio file that can be read, one sentence each without its name.

    Its header was never finished or counts too much, or more follows after its end. Empty for a file that cannot be
    read. The file is decoded as `duration` does.
    """
    try:
        opened = _open_any(source, raw)
    except AudioError:
        return ()
    opened.stream.close()
    return opened.warnings if opened.n_samples is not None else _decoded(str(source), _stamp(source)).warnings


def _stamp(source: str | Path) -> tuple[int, int]:
    """Return what shows that a file has changed: its size and its time."""
    status = audio_file(str(source)).stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=2**14)
def _decoded(source: str, stamp: tuple[int, int]) -> _Decoded:
    """Decode a file, once while it stays the same."""
    del stamp
    opened = _open_any(source, None)
    with opened.stream as stream:
        try:
            blocks = _decode(source, _Segment(opened, 0, None), max(1, READ_SAMPLES // int(stream.channels)))
            seconds = sum(map(len, blocks)) / int(stream.samplerate)
            return _Decoded(seconds, _remarks(opened))
        except AudioError:
            return _Decoded(None)


def audio_file(place: str) -> Path:
    """Return the file of a recording: its path, or the archive that holds it, as in Kaldi's ``FILE.ark:OFFSET``."""
    archived = ARCHIVED.fullmatch(place)
    return Path(archived["file"] if archived else place)


def _remarks(opened: OpenAudio) -> tuple[str, ...]:
    """List what is odd about a file that was read: some of it only reading to the end of it shows."""
    return tuple(dict.fromkeys((*opened.warnings, *opened.stream.warnings)))


def _open(
    source: str | Path, channel: Channel, start: float | None, stop: float | None, raw: RawFormat | None
) -> _Segment:
    """Open a file that has the channel and the segment."""
    opened = _open_any(source, raw)
    try:
        _check_channel(source, int(opened.stream.channels), channel)
        return _segment(source, opened, start, stop)
    except AudioError:
        opened.stream.close()
        raise


def _open_any(source: str | Path, raw: RawFormat | None) -> OpenAudio:
    """Open a file, or a recording in a Kaldi archive, that shows no truncation before decoding."""
    archived, path = ARCHIVED.fullmatch(str(source)), audio_file(str(source))
    try:
        if not path.is_file():
            raise AudioError(f"{source}: no such audio file")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{source}: not readable (Permission denied)")  # libsndfile would report another reason
        if path.stat().st_size == 0:
            raise AudioError(f"{source}: empty: 0 bytes")
        if raw is None and path.suffix.lower() in RAW_SUFFIXES and not _has_header(path):
            raise AudioError(
                f"{source}: not readable as audio: no header; expected its rate, channels and sample format, as in "
                "--raw 16000,1,s16le (in Python: raw=RawFormat(16000))"
            )
        return open_archived(path, int(archived["offset"])) if archived else open_audio(path, raw)
    except UnicodeEncodeError as error:
        raise AudioError(f"{source}: not readable: its name is not UTF-8 text, and libsndfile asks for that") from error
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(f"{source}: not readable as audio ({reason})") from error


def _has_header(path: Path) -> bool:
    """Check whether a file begins as one with a header does, whatever its suffix says."""
    with path.open("rb") as file:
        return RECORDING.match(file.read(64)) is not None


def _segment(source: str | Path, opened: OpenAudio, start: float | None, stop: float | None) -> _Segment:
    """Convert a segment in seconds to samples."""
    n, stream = opened.n_samples, opened.stream
    if start is None and stop is None:
        return _Segment(opened, 0, n)
    rate, end = int(stream.samplerate), UNKNOWN_LENGTH if n is None else n
    bounds = (start or 0.0) * rate, end if stop is None else stop * rate
    if 0 <= bounds[0] <= bounds[1] < np.inf:  # false for NaN
        first, last = round(bounds[0]), round(bounds[1])
        if first < last <= end:
            return _Segment(opened, first, None if last == UNKNOWN_LENGTH else last)
    length = "of unknown length" if n is None else f"{n / rate:g} s long"
    segment = f"from {start or 0:g} s to {'its end' if stop is None else f'{stop:g} s'}"
    raise AudioError(f"{source}: has no segment {segment}; it is {length}")


def _check_channel(source: str | Path, n: int, channel: Channel) -> None:
    """Refuse a channel that a file of `n` channels lacks, and several channels without a choice."""
    if channel is None and n != 1:
        raise ChannelError(f"{source}: {n} channels; expected a mono file, or a channel: 0 to {n - 1}, or mean")
    if channel not in {None, "mean", *range(n)}:
        raise AudioError(f"{source}: has no channel {channel!r}; it has {n}, counted from 0, and their mean")


def _select_channel(block: Float32Array, channel: Channel) -> Float32Array:
    """Select one channel of samples (n, channels), or compute the mean of all, added in their order."""
    if channel != "mean":
        return block[:, channel or 0]
    with np.errstate(invalid="ignore"):  # infinities of both signs, which the check reports
        mean: Float32Array = (sum(block.T.astype(np.float64)) / block.shape[1]).astype(np.float32)
    return mean


def _usable_rate(source: str | Path, file_rate: int, sample_rate: int | None) -> int:
    """Return the file's rate; refuse one that cannot be converted to the requested rate."""
    try:
        check_rates(file_rate, file_rate if sample_rate is None else sample_rate)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from error
    return file_rate


def _check_samples(source: str | Path, samples: Float32Array, first: int) -> Float32Array:
    """Check samples as `check_samples` does, and name the file in the error."""
    try:
        return check_samples(samples, first=first)
    except AudioError as error:
        raise AudioError(f"{source}: {error}") from error


def _read_samples(stream: AudioStream, n_samples: int) -> Float32Array:
    """Read the next samples (n, channels), up to `n_samples` of them, piece by piece."""
    at_once = max(1, READ_SAMPLES // int(stream.channels))
    pieces = [_read_piece(stream, min(n_samples, at_once))]
    while len(pieces[-1]) == at_once and (n_samples := n_samples - at_once):
        pieces.append(_read_piece(stream, min(n_samples, at_once)))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _read_piece(stream: AudioStream, n_samples: int) -> Float32Array:
    """Read the next samples; 16-bit ones are scaled here, exactly as libsndfile does, but faster."""
    piece: Float32Array
    if stream.subtype == "PCM_16":
        piece = np.multiply(stream.read(n_samples, dtype="int16", always_2d=True), 2.0**-15, dtype=np.float32)
    else:
        piece = stream.read(n_samples, dtype="float32", always_2d=True)
    return piece


def _decode(source: str | Path, segment: _Segment, size: int) -> Iterator[Float32Array]:
    """Decode a segment in blocks (up to `size`, channels): at least one sample, or an error."""
    stream, position, last = segment.opened.stream, segment.first, segment.last
    try:
        if position:
            stream.seek(position)
        while last is None or position < last:
            n_wanted = size if last is None else min(size, last - position)
            block = _read_samples(stream, n_wanted)
            position += len(block)
            if len(block):
                yield block
            if len(block) < n_wanted:
                break
    except soundfile.LibsndfileError as error:
        if last is None:
            raise AudioError(f"{source}: damaged after sample {position} ({error.error_string.rstrip('.')})") from error
        raise truncation_error(source, last, max(position, stream.tell())) from error
    except OSError as error:
        raise AudioError(f"{source}: not readable ({error.strerror})") from error
    if last is not None and position < last:
        raise truncation_error(source, last, position)
    if position == segment.first:
        raise AudioError(f"{source}: holds no samples")


def _read_blocks(
    source: str | Path, size: int, channel: Channel, start: float | None, stop: float | None, raw: RawFormat | None
) -> Iterator[Float32Array]:
    """Read a file in checked blocks of `size` samples."""
    segment = _open(source, channel, start, stop, raw)
    first = segment.first
    with segment.opened.stream:
        for block in _decode(source, segment, size):
            yield _check_samples(source, _select_channel(block, channel), first)
            first += len(block)

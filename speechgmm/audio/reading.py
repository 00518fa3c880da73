"""One audio file or array to mono float32 samples at a stated rate; whatever is bad about it is an `AudioError`."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from speechgmm.arrays import Float32Array
from speechgmm.audio.headers import WIDTHS, announced_samples, ogg_has_end
from speechgmm.audio.samples import check_rates, check_samples, resample, resampled
from speechgmm.errors import AudioError, ChannelError

CHUNK = 2**20  # samples of all channels decoded at a time: memory follows what a file holds, not what its header says
NO_LENGTH = 2**62  # from here on, libsndfile's way to say that a header gives no number of samples

Channel = int | Literal["mean"] | None


class RawFormat(NamedTuple):
    """What a file without a header does not say.

    Attributes
    ----------
    sample_rate : int > 0, Hz
    channels : int > 0, interleaved
    subtype : {"PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
        How a sample is written.
    endian : {"LITTLE", "BIG"}
        Which byte of a sample comes first.
    """

    sample_rate: int
    channels: int = 1
    subtype: str = "PCM_16"
    endian: str = "LITTLE"


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
        Resample to this rate; the file's own when not given.
    channel : int >= 0, or "mean", optional
        The channel to read, or their mean; when not given, a file of several channels is refused.
    start, stop : float >= 0, seconds, optional
        The segment to decode, to the nearest sample; the file's own ends when not given.
    raw : RawFormat, optional, for a file without a header

    Returns
    -------
    samples : np.ndarray, shape (n,), float32
        The waveform; integer formats are scaled to [-1, 1).
    sample_rate : int, Hz
        Its rate.

    Raises
    ------
    AudioError
        If the file is missing, unreadable, empty, cut short, lacks what was chosen, or holds NaN or infinity.

    Notes
    -----
    A cut shows where the header gives a length (WAV, WAVEX, RF64, W64, AIFF, AU, NIST, FLAC, MP3 with a length tag)
    or the format marks its end (OGG). A header that was written into a pipe gives none, nor do raw files. Of an MP3
    file without the tag, libsndfile takes the first frame's bit rate for all: if it varies, the end may be missing.
    """
    path = Path(source)
    file, first, last = _open(path, channel, start, stop, raw)
    with file:
        file_rate = _convertible(path, int(file.samplerate), sample_rate)
        blocks = [_pick(block, channel) for block in _decode(path, file, first, last, _most(file))]
    samples = _checked(path, blocks[0] if len(blocks) == 1 else np.concatenate(blocks), first)
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
    """Read an audio file of any length in bounded memory: one after the other, the blocks are what `read_audio` gives.

    Parameters
    ----------
    source, sample_rate, channel, start, stop, raw
        As for `read_audio`.
    block_seconds : float > 0, seconds; at least one sample is decoded at a time

    Returns
    -------
    blocks : iterator of np.ndarray, shape (n,), n >= 1, float32
        The waveform, bit for bit; blocks of one length but for the last, unless the rate is changed.
    sample_rate : int, Hz

    Raises
    ------
    AudioError
        As for `read_audio`; what only decoding shows (NaN, a cut FLAC) at its block, by the position in the file.
    """
    path = Path(source)
    if not 0 < block_seconds < np.inf:
        raise AudioError(f"{path}: blocks of {block_seconds:g} s; expected a positive length")
    with _open(path, channel, start, stop, raw)[0] as file:
        file_rate = _convertible(path, int(file.samplerate), sample_rate)
    blocks = _blocks(path, max(1, round(block_seconds * file_rate)), channel, start, stop, raw)
    if sample_rate is None or sample_rate == file_rate:
        return blocks, file_rate
    return resampled(blocks, file_rate, sample_rate), sample_rate


def duration(source: str | Path) -> float | None:
    """Look up how long an audio file is, from its header alone.

    Parameters
    ----------
    source : str or Path
        An audio file.

    Returns
    -------
    float, seconds, or None
        Its length; None if the header cannot be read, or does not say.
    """
    try:
        info = soundfile.info(str(source))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return None
    return None if info.frames >= NO_LENGTH else float(info.duration)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file read from front to back: after each read, soundfile seeks in files that say they can."""

    def seekable(self) -> bool:
        """Say no."""
        return False


def _open(
    path: Path, channel: Channel, start: float | None, stop: float | None, raw: RawFormat | None
) -> tuple[_Forward, int, int | None]:
    """Open a file that was not cut, as far as that shows before decoding; the segment as `_segment` gives it."""
    try:
        if not path.is_file():
            raise AudioError(f"{path}: no such audio file")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{path}: not readable (Permission denied)")  # libsndfile would not say so
        if raw is not None:
            _check_raw(path, raw)
        elif path.suffix.lower() == ".raw":
            raise AudioError(
                f"{path}: not readable as audio: no header; expected raw=RawFormat({', '.join(RawFormat._fields)})"
            )
        file = _Forward(path, "r", *(raw or ()), *(["RAW"] if raw else []))
        _check_whole(path, file)
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
    if raw.subtype not in WIDTHS:
        raise AudioError(f"{path}: raw subtype {raw.subtype!r}; expected one of {', '.join(WIDTHS)}")
    if raw.sample_rate < 1 or raw.channels < 1:
        raise AudioError(f"{path}: raw {raw.channels} channels at {raw.sample_rate} Hz; expected positive numbers")
    n_bytes, width = path.stat().st_size, WIDTHS[raw.subtype] * raw.channels
    if n_bytes % width:
        raise AudioError(f"{path}: {n_bytes} bytes; expected a multiple of {width}, or another format than {raw}")


def _check_whole(path: Path, file: _Forward) -> None:
    """Refuse a file whose own bytes show that it was cut: there, libsndfile gives what is left and says nothing."""
    if file.format not in {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "OGG"}:
        return
    with path.open("rb") as stream:
        n_bytes = stream.seek(0, 2)
        if file.format != "OGG":
            expected = announced_samples(stream, n_bytes, file)
            if expected > file.frames:
                raise _cut_short(path, expected, file.frames)
        elif not ogg_has_end(stream, n_bytes):
            raise AudioError(f"{path}: cut short: {file.frames} samples can be read, then its end is missing")


def _cut_short(path: Path, expected: int, found: int) -> AudioError:
    """Say that a file has fewer samples than it should."""
    return AudioError(f"{path}: cut short or damaged: {expected} samples expected, only {found} can be read")


def _length(path: Path, file: _Forward) -> int | None:
    """Give the samples that a file has by its header; None if the header does not say."""
    n = int(file.frames)
    if n >= NO_LENGTH:
        return None
    if file.format == "MP3" or file.subtype == "MPEG_LAYER_III":
        with path.open("rb") as stream:
            head = stream.read(10)
            if head[:3] == b"ID3":  # a tag before the audio, its size in four times seven bits
                stream.seek(sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False)), 1)
            return n if re.search(rb"Xing|Info|VBRI", stream.read(256)) else None
    return n


def _segment(path: Path, file: _Forward, start: float | None, stop: float | None) -> tuple[int, int | None]:
    """Turn a segment in seconds into its first sample and the one after its last; None for wherever the file ends."""
    n = _length(path, file)
    if start is None and stop is None:
        return 0, n
    rate, end = int(file.samplerate), NO_LENGTH if n is None else n
    bounds = (start or 0.0) * rate, end if stop is None else stop * rate
    if 0 <= bounds[0] <= bounds[1] < np.inf:  # false for NaN
        first, last = round(bounds[0]), round(bounds[1])
        if first and not soundfile.SoundFile.seekable(file):
            raise AudioError(f"{path}: start {start:g} s; {file.subtype} audio can only be read from its beginning")
        if first < last <= end:
            return first, None if last == NO_LENGTH else last
    length = "of unknown length" if n is None else f"{n / rate:g} s long"
    wanted = f"from {start or 0:g} s to {'its end' if stop is None else f'{stop:g} s'}"
    raise AudioError(f"{path}: has no segment {wanted}; it is {length}")


def _check_channel(path: Path, file: _Forward, channel: Channel) -> None:
    """Refuse a choice of channel that a file does not have, and several channels without a choice."""
    n = int(file.channels)
    if channel is None and n != 1:
        raise ChannelError(f"{path}: {n} channels; expected a mono file, or a choice: channel=0 to {n - 1}, or 'mean'")
    if channel not in {None, "mean", *range(n)}:
        raise AudioError(f"{path}: has no channel {channel!r}; it has {n}, counted from 0, and their 'mean'")


def _pick(block: Float32Array, channel: Channel) -> Float32Array:
    """Take one channel of (n, channels) samples, or the mean of all, added in their order."""
    if channel != "mean":
        return block[:, channel or 0]
    with np.errstate(invalid="ignore"):  # infinities of both signs, which the check names
        mean: Float32Array = (sum(block.T.astype(np.float64)) / block.shape[1]).astype(np.float32)
    return mean


def _convertible(path: Path, file_rate: int, sample_rate: int | None) -> int:
    """Give a file's rate, if it can be turned into the one that is wanted."""
    try:
        check_rates(file_rate, file_rate if sample_rate is None else sample_rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    return file_rate


def _checked(path: Path, samples: Float32Array, first: int) -> Float32Array:
    """Do what `check_samples` does, and name the file."""
    try:
        return check_samples(samples, first=first)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def _most(file: _Forward) -> int:
    """Say how many samples of each channel make a piece."""
    return max(1, CHUNK // int(file.channels))


def _read(file: _Forward, n_samples: int) -> Float32Array:
    """Read the next samples (n, channels), as many as there are, piece by piece."""
    pieces = [_read_piece(file, min(n_samples, _most(file)))]
    while len(pieces[-1]) == _most(file) and (n_samples := n_samples - _most(file)):
        pieces.append(_read_piece(file, min(n_samples, _most(file))))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _read_piece(file: _Forward, n_samples: int) -> Float32Array:
    """Read the next samples; those of 16 bits scaled here, exactly as libsndfile does, but quicker."""
    piece: Float32Array
    if file.subtype == "PCM_16":
        piece = np.multiply(file.read(n_samples, dtype="int16", always_2d=True), 2.0**-15, dtype=np.float32)
    else:
        piece = file.read(n_samples, dtype="float32", always_2d=True)
    return piece


def _decode(path: Path, file: _Forward, first: int, last: int | None, size: int) -> Iterator[Float32Array]:
    """Decode a segment in blocks of (up to `size`, channels) samples; at least one sample or an error."""
    at = first
    try:
        if first:
            file.seek(first)
        while last is None or at < last:
            want = size if last is None else min(size, last - at)
            block = _read(file, want)
            at += len(block)
            if len(block):
                yield block
            if len(block) < want:
                break
    except soundfile.LibsndfileError as error:
        if last is None or not soundfile.SoundFile.seekable(file):
            raise AudioError(f"{path}: damaged after sample {at} ({error.error_string.rstrip('.')})") from error
        raise _cut_short(path, last, max(at, file.tell())) from error
    if last is not None and at < last:
        raise _cut_short(path, last, at)
    if at == first:
        raise AudioError(f"{path}: holds no samples")


def _blocks(
    path: Path, size: int, channel: Channel, start: float | None, stop: float | None, raw: RawFormat | None
) -> Iterator[Float32Array]:
    """Read a file in checked blocks of `size` samples."""
    file, first, last = _open(path, channel, start, stop, raw)
    with file:
        for block in _decode(path, file, first, last, size):
            yield _checked(path, _pick(block, channel), first)
            first += len(block)

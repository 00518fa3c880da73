"""Extracting the features of a list of recordings into the shards of a feature store."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.audio.clipping import FlatTops
from speechgmm.audio.condition import Condition, ConditionMeter
from speechgmm.audio.opening import RawFormat
from speechgmm.audio.reading import (
    Channel,
    audio_blocks,
    audio_file,
    audio_warnings,
    duration,
    load_audio,
    stated_duration,
)
from speechgmm.audio.samples import clipped_share, resample_blocks, silence_error
from speechgmm.augmentation.augment import CopyPlan
from speechgmm.configuration import Configuration
from speechgmm.errors import AudioError
from speechgmm.features.extract import Extraction, FeatureConfig, analyse, check_rate
from speechgmm.features.store.store import FORMAT_VERSION, StoredUtterance, UnusableUtterance
from speechgmm.features.streaming.stream import FeatureStream
from speechgmm.files import replacing
from speechgmm.parallel.engine import Engine, map_in_order

SHARD_SECONDS = 600.0
"""A shard is closed once it holds this much audio, and a file this long is streamed if the front end allows."""

MEDIA_BYTE_RATE = 16000
"""Bytes a second by which the length of a compressed file is estimated: 128 kb/s."""

MAX_OVERSHOOT = 0.5
"""Seconds by which a segment may end after its file, as in Kaldi; it then ends with the file."""


def segment_stop(path: str, stop: float | None, raw: RawFormat | None = None) -> float | None:
    """Return the stop of a segment of a file in seconds; None stands for the file's end.

    A stop beyond the end by at most `MAX_OVERSHOOT` becomes None.
    """
    whole = None if stop is None else duration(path, raw=raw)
    return None if stop is None or (whole is not None and whole < stop <= whole + MAX_OVERSHOOT) else stop


@dataclass(frozen=True)
class Source:
    """An utterance to extract."""

    utterance: str  # its id
    path: str  # its audio file
    channel: Channel = None  # of several channels, the one to read, or "mean"
    speech: tuple[tuple[float, float], ...] | None = None  # (start, stop), seconds from `start`, in place of the VAD
    start: float | None = None  # seconds; the segment of the file, by default all of it
    stop: float | None = None
    raw: RawFormat | None = None  # the format of a file without a header
    copy: CopyPlan | None = None  # which augmented copy of the recording to take in its place

    @property
    def seconds(self) -> float:
        """Its length, by the file's header and the segment; 0 if the header cannot be read."""
        return self._within(duration(self.path, raw=self.raw) or 0.0)

    @property
    def planned_seconds(self) -> float:
        """Its length for plans: where only decoding the file would tell, an estimate by its size; 0 if unreadable."""
        try:
            stated = stated_duration(self.path, raw=self.raw)
        except AudioError:
            return 0.0
        return self._within(audio_file(self.path).stat().st_size / MEDIA_BYTE_RATE if stated is None else stated)

    def _within(self, whole: float) -> float:
        """Return the length of the segment in a file of so many seconds; a copy is not longer than a shard."""
        seconds = max(0.0, min(whole, math.inf if self.stop is None else self.stop) - (self.start or 0.0))
        return seconds if self.copy is None else min(seconds, SHARD_SECONDS)


class _Measures(NamedTuple):
    """What `StoredUtterance` keeps of an utterance beside its frames."""

    seconds: float
    speech_seconds: float
    clipped: float
    warnings: tuple[str, ...]
    condition: Condition | None


def write_store(
    folder: str | Path, sources: Sequence[Source], config: FeatureConfig, engine: Engine | None = None
) -> Iterator[int]:
    """Extract the features of a list of utterances into a folder, and report progress.

    Parameters
    ----------
    folder : str or Path
        The store; created if it does not exist.
    sources : sequence of Source
        The utterances, with distinct ids, and their audio files.
    config : FeatureConfig
        The front end.
    engine : Engine, optional
        Where to run; this process by default.

    Yields
    ------
    int
        Utterances done so far, after each shard. The store is complete when the iteration ends. Utterances whose audio
        is unusable are listed in it with the reasons.

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, open_store, write_store
    >>> from speechgmm.features.store.writing import Source
    >>> soundfile.write("ann-1.wav", 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000), 16000)
    >>> for n_done in write_store("features", [Source("ann-1", "ann-1.wav")], FeatureConfig.preset("kaldi")):
    ...     print(n_done, "of 1")
    1 of 1
    >>> open_store("features").n_frames
    98
    """
    folder = Path(folder).resolve()  # workers may have started in another folder
    folder.mkdir(parents=True, exist_ok=True)
    sources = [replace(source, path=str(Path(source.path).absolute())) for source in sources]
    shards = plan_shards(sources)
    tasks = [(folder / f"shard-{number:05d}.npy", shard) for number, shard in enumerate(shards)]
    stored: list[StoredUtterance] = []
    unusable: list[UnusableUtterance] = []
    if len(tasks) <= 1:
        engine = None  # a single shard is done before workers have started
    for shard_stored, shard_unusable in map_in_order(partial(_write_shard, config=config), tasks, engine):
        stored += shard_stored
        unusable += shard_unusable
        yield len(stored) + len(unusable)
    write_index(folder, config.n_features, config, stored, unusable)


def write_index(
    folder: Path,
    n_features: int,
    front_end: Configuration,
    stored: Sequence[StoredUtterance],
    unusable: Sequence[UnusableUtterance],
) -> None:
    """Write the index that completes a feature store.

    `front_end` is the configuration that computed the features, `n_features` their number in a frame.
    """
    index = {
        "format_version": FORMAT_VERSION,
        "n_features": n_features,
        "front_end": front_end.model_dump(mode="json"),
        "utterances": [asdict(entry) for entry in stored],
        "unusable": [asdict(entry) for entry in unusable],
    }
    with replacing(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(index, ensure_ascii=False, indent=1), encoding="utf-8")


def plan_shards(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Group utterances, in their order, into shards of about ten minutes of audio.

    Lengths are read from the headers, or estimated by the file's size; an unreadable file counts as 0 s.
    """
    shards: list[tuple[Source, ...]] = []
    group: list[Source] = []
    seconds = 0.0
    for source in sources:
        group.append(source)
        seconds += source.planned_seconds
        if seconds >= SHARD_SECONDS:
            shards.append(tuple(group))
            group, seconds = [], 0.0
    if group:
        shards.append(tuple(group))
    return shards


def _write_shard(
    task: tuple[Path, tuple[Source, ...]], config: FeatureConfig
) -> tuple[list[StoredUtterance], list[UnusableUtterance]]:
    """Extract one shard's utterances and save their frames; return the stored and the unusable utterances."""
    path, sources = task
    stored: list[StoredUtterance] = []
    unusable: list[UnusableUtterance] = []
    with replacing(path) as temporary, temporary.open("wb") as stream:
        writer = _ShardWriter(stream, config.n_features)
        for source in sources:
            start = writer.n_rows
            try:
                measures = _extract(source, source is sources[-1], config, writer)
            except AudioError as error:
                writer.truncate(start)
                unusable.append(UnusableUtterance(source.utterance, str(error).removeprefix(f"{source.path}: ")))
            else:
                stored.append(StoredUtterance(source.utterance, path.name, start, writer.n_rows, *measures))
        writer.close()
    if not stored:
        path.unlink()
    return stored, unusable


def _extract(source: Source, is_last: bool, config: FeatureConfig, writer: "_ShardWriter") -> _Measures:
    """Append an utterance's frames, and return its measures.

    A file that is too long to be read at once is the last of its shard, which it fills.
    """
    if is_last and source.speech is None and source.copy is None and source.planned_seconds >= SHARD_SECONDS:
        stream = _stream_or_none(config)
        if stream is not None:
            return _extract_long(source, config, stream, writer)
    extraction = _analyse(source, config) if source.copy is None else _analyse_copy(source, source.copy, config)
    writer.append(extraction.frames)
    return _Measures(
        extraction.seconds, extraction.speech_seconds, extraction.clipped, extraction.warnings, extraction.condition
    )


def _analyse(source: Source, config: FeatureConfig) -> Extraction:
    """Compute the features of an utterance that is read at once."""
    return analyse(
        source.path,
        config,
        channel=source.channel,
        start=source.start,
        stop=segment_stop(source.path, source.stop, source.raw),
        speech=source.speech,
        raw=source.raw,
        measured=True,
    )


def _analyse_copy(source: Source, copy: CopyPlan, config: FeatureConfig) -> Extraction:
    """Compute the features of an augmented copy, of at most the first `SHARD_SECONDS` of the recording."""
    start, stop = source.start or 0.0, segment_stop(source.path, source.stop, source.raw)
    if source.planned_seconds >= SHARD_SECONDS:
        stop = start + SHARD_SECONDS
    samples, rate, _ = load_audio(source.path, channel=source.channel, start=source.start, stop=stop, raw=source.raw)
    if np.ptp(samples) == 0:
        raise silence_error(len(samples), float(samples[0]))
    return analyse(copy.apply(samples, rate), config, sample_rate=rate, speech=source.speech, measured=True)


def _stream_or_none(config: FeatureConfig) -> FeatureStream | None:
    """Return a stream, or None if a step of the front end needs the whole utterance."""
    try:
        return FeatureStream(config)
    except ValueError:
        return None


def _extract_long(source: Source, config: FeatureConfig, stream: FeatureStream, writer: "_ShardWriter") -> _Measures:
    """Extract as `_extract` does, but block by block: memory does not grow with the file."""
    start, totals, meter = writer.n_rows, _SampleTotals(), ConditionMeter(config.sample_rate)
    stop = segment_stop(source.path, source.stop, source.raw)
    blocks, file_rate = audio_blocks(source.path, channel=source.channel, start=source.start, stop=stop, raw=source.raw)
    check_rate(file_rate, config)
    blocks = totals.count(blocks)
    if file_rate != config.sample_rate:
        blocks = resample_blocks(blocks, file_rate, config.sample_rate)
    for block in blocks:
        writer.append(stream.push(block))
        meter.push(block)
    if totals.low == totals.high:
        raise silence_error(totals.n_samples, totals.low)
    writer.append(stream.finish())
    seconds = totals.n_samples / file_rate
    speech_seconds = min((writer.n_rows - start) * config.shift_seconds, seconds)
    clipped = totals.n_clipped / totals.n_samples
    return _Measures(
        seconds,
        speech_seconds,
        clipped,
        audio_warnings(source.path, raw=source.raw),
        meter.finish(clipped=totals.tops.share()),
    )


class _SampleTotals:
    """Totals over samples that were read block by block. A run of clipped samples ends with its block."""

    def __init__(self) -> None:
        self.n_samples = 0
        self.n_clipped = 0.0
        self.tops = FlatTops()
        self.low = np.inf
        self.high = -np.inf

    def count(self, blocks: Iterable[Float32Array]) -> Iterator[Float32Array]:
        """Add the blocks to the totals, and pass them on."""
        for block in blocks:
            self.n_samples += len(block)
            self.n_clipped += clipped_share(block) * len(block)
            self.tops.push(block)
            self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))
            yield block


class _ShardWriter:
    """A `.npy` file of frames, whose number is known at the end."""

    def __init__(self, stream: BinaryIO, n_features: int) -> None:
        self.n_rows = 0
        self._stream = stream
        self._n_features = n_features
        self._write_header()
        self._first = stream.tell()

    def append(self, rows: Float32Array) -> None:
        """Write frames after those already written."""
        self._stream.write(np.ascontiguousarray(rows, "<f4").data)
        self.n_rows += len(rows)

    def truncate(self, n_rows: int) -> None:
        """Drop all but the first `n_rows` frames."""
        self.n_rows = n_rows
        self._stream.seek(self._first + n_rows * self._n_features * 4)
        self._stream.truncate()

    def close(self) -> None:
        """Write the number of frames: numpy leaves space for it in the header."""
        self._stream.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        """Write numpy's header for the number of frames so far."""
        shape = (self.n_rows, self._n_features)
        np.lib.format.write_array_header_1_0(self._stream, {"descr": "<f4", "fortran_order": False, "shape": shape})

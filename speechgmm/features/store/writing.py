"""From a list of recordings to the shards of a feature store."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.audio.reading import Channel, audio_blocks, duration
from speechgmm.audio.samples import clipped_share, only_silence, resampled
from speechgmm.configuration import Configuration
from speechgmm.errors import AudioError
from speechgmm.features.extract import FeatureConfig, analyse, check_rate
from speechgmm.features.store.store import FORMAT_VERSION, StoredUtterance, Unusable
from speechgmm.features.streaming.stream import FeatureStream
from speechgmm.files import replacing
from speechgmm.parallel.engine import Engine, map_in_order

SHARD_SECONDS = 600.0
"""A shard is closed once it holds this much audio, and a file this long is not read at once if it can be helped."""


OVERSHOOT = 0.5
"""Seconds by which a segment may end after its file, as for Kaldi: it ends with the file then."""


def end_within(path: str, stop: float | None) -> float | None:
    """Forgive the end of a segment that lies a little beyond its file.

    Parameters
    ----------
    path : str
        The file.
    stop : float, seconds, or None
        Where the segment ends.

    Returns
    -------
    float, seconds, or None
        The same, or None, for the file's end, where that is at most `OVERSHOOT` earlier.
    """
    whole = None if stop is None else duration(path)
    return None if stop is None or (whole is not None and whole < stop <= whole + OVERSHOOT) else stop


@dataclass(frozen=True)
class Source:
    """An utterance to extract.

    Parameters
    ----------
    utterance : str
        Its id.
    path : str
        Its audio file.
    channel : int >= 0, or "mean", optional
        Of several channels, which to read.
    speech : tuple of (start, stop), seconds, optional
        Where there is speech, instead of what the front end finds; counted from `start`.
    start, stop : float, seconds, optional
        The segment of the file that it is; the file's ends when not given.
    """

    utterance: str
    path: str
    channel: Channel = None
    speech: tuple[tuple[float, float], ...] | None = None
    start: float | None = None
    stop: float | None = None

    @property
    def seconds(self) -> float:
        """Its length, as the file's header and the segment say; 0 if the header cannot be read."""
        whole = duration(self.path) or 0.0
        return max(0.0, min(whole, math.inf if self.stop is None else self.stop) - (self.start or 0.0))


def write_store(
    folder: Path, sources: Sequence[Source], config: FeatureConfig, engine: Engine | None = None
) -> Iterator[int]:
    """Extract the features of a list of utterances into a folder, telling how far it is.

    Parameters
    ----------
    folder : Path
        Where to write; made if it does not exist.
    sources : sequence of Source
        The utterances, with distinct ids.
    config : FeatureConfig
        The front end.
    engine : Engine, optional
        Where to run.

    Yields
    ------
    int
        Utterances done so far, after each shard. The store is complete when the iteration ends.
    """
    folder = folder.resolve()  # workers may have been born in another folder
    folder.mkdir(parents=True, exist_ok=True)
    sources = [replace(source, path=str(Path(source.path).absolute())) for source in sources]
    shards = plan_shards(sources)
    tasks = [(folder / f"shard-{number:05d}.npy", shard) for number, shard in enumerate(shards)]
    stored: list[StoredUtterance] = []
    unusable: list[Unusable] = []
    # One shard alone is sooner done here than workers are there.
    for found, lost in map_in_order(partial(_write_shard, config=config), tasks, engine if len(tasks) > 1 else None):
        stored += found
        unusable += lost
        yield len(stored) + len(unusable)
    write_index(folder, config.n_features, config, stored, unusable)


def write_index(
    folder: Path,
    n_features: int,
    front_end: Configuration,
    stored: Sequence[StoredUtterance],
    unusable: Sequence[Unusable],
) -> None:
    """Complete a feature store.

    Parameters
    ----------
    folder : Path
        The store, which has its shards.
    n_features : int >= 1
        Features of a frame.
    front_end : Configuration
        What made them.
    stored : sequence of StoredUtterance
        Where each utterance is.
    unusable : sequence of Unusable
        The others.
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

    Parameters
    ----------
    sources : sequence of Source
        The utterances; the length of each is read from its header, and an unreadable one counts as nothing.

    Returns
    -------
    list of tuple of Source
        The groups.
    """
    shards: list[tuple[Source, ...]] = []
    group: list[Source] = []
    seconds = 0.0
    for source in sources:
        group.append(source)
        seconds += source.seconds
        if seconds >= SHARD_SECONDS:
            shards.append(tuple(group))
            group, seconds = [], 0.0
    if group:
        shards.append(tuple(group))
    return shards


def _write_shard(
    task: tuple[Path, tuple[Source, ...]], config: FeatureConfig
) -> tuple[list[StoredUtterance], list[Unusable]]:
    """Extract one shard's utterances and save their frames; say where each is, or why it is not."""
    path, sources = task
    stored: list[StoredUtterance] = []
    unusable: list[Unusable] = []
    with replacing(path) as temporary, temporary.open("wb") as stream:
        rows = _Rows(stream, config.n_features)
        for source in sources:
            start = rows.n_rows
            try:
                told = _extract(source, source is sources[-1], config, rows)
            except AudioError as error:
                rows.forget(start)
                unusable.append(Unusable(source.utterance, str(error).removeprefix(f"{source.path}: ")))
            else:
                stored.append(StoredUtterance(source.utterance, path.name, start, rows.n_rows, *told))
        rows.close()
    if not stored:
        path.unlink()
    return stored, unusable


def _extract(source: Source, is_last: bool, config: FeatureConfig, rows: "_Rows") -> tuple[float, float, float]:
    """Append an utterance's frames; give the seconds of audio and of speech, and the share that is clipped.

    A file that is too long to be read at once is the last of its shard, which it fills.
    """
    if is_last and source.speech is None and source.seconds >= SHARD_SECONDS:
        stream = _stream(config)
        if stream is not None:
            return _extract_long(source, config, stream, rows)
    stop = end_within(source.path, source.stop)
    extraction = analyse(
        source.path, config, channel=source.channel, start=source.start, stop=stop, speech=source.speech
    )
    rows.append(extraction.frames)
    return extraction.seconds, extraction.speech_seconds, extraction.clipped


def _stream(config: FeatureConfig) -> FeatureStream | None:
    """Make a stream, if every step of the front end is one that a stream can take."""
    try:
        return FeatureStream(config)
    except ValueError:
        return None


def _extract_long(
    source: Source, config: FeatureConfig, stream: FeatureStream, rows: "_Rows"
) -> tuple[float, float, float]:
    """Do the same block by block: memory does not grow with the file."""
    start, tally = rows.n_rows, _Tally()
    blocks, file_rate = audio_blocks(
        source.path, channel=source.channel, start=source.start, stop=end_within(source.path, source.stop)
    )
    check_rate(file_rate, config)
    blocks = tally.counting(blocks)
    if file_rate != config.sample_rate:
        blocks = resampled(blocks, file_rate, config.sample_rate)
    for block in blocks:
        rows.append(stream.push(block))
    if tally.low == tally.high:
        raise only_silence(tally.n_samples, tally.low)
    rows.append(stream.finish())
    seconds = tally.n_samples / file_rate
    speech_seconds = min((rows.n_rows - start) * config.shift_seconds, seconds)
    return seconds, speech_seconds, tally.n_clipped / tally.n_samples


class _Tally:
    """What is known of samples that have gone by. A run of clipped ones ends with its block."""

    def __init__(self) -> None:
        self.n_samples = 0
        self.n_clipped = 0.0
        self.low = np.inf
        self.high = -np.inf

    def counting(self, blocks: Iterable[Float32Array]) -> Iterator[Float32Array]:
        """Give the blocks on."""
        for block in blocks:
            self.n_samples += len(block)
            self.n_clipped += clipped_share(block) * len(block)
            self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))
            yield block


class _Rows:
    """A `.npy` file of rows, whose number is known at the end."""

    def __init__(self, stream: BinaryIO, n_features: int) -> None:
        self.n_rows = 0
        self._stream = stream
        self._n_features = n_features
        self._write_header()
        self._first = stream.tell()

    def append(self, rows: Float32Array) -> None:
        """Write rows after those that are there."""
        self._stream.write(np.ascontiguousarray(rows, "<f4").data)
        self.n_rows += len(rows)

    def forget(self, n_rows: int) -> None:
        """Drop all but the first rows."""
        self.n_rows = n_rows
        self._stream.seek(self._first + n_rows * self._n_features * 4)
        self._stream.truncate()

    def close(self) -> None:
        """Write the number of rows: numpy leaves room for it to grow in the header."""
        self._stream.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        """Write numpy's header for as many rows as there are."""
        shape = (self.n_rows, self._n_features)
        np.lib.format.write_array_header_1_0(self._stream, {"descr": "<f4", "fortran_order": False, "shape": shape})

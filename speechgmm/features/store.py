"""Features on disk: shards of float32 frames that can be memory-mapped, and an index of who is where in them.

A store is a folder with ``index.json`` and ``shard-00000.npy``, ... An utterance lies in one shard, whole. Which
utterances share a shard follows from their order and length alone, so that statistics added shard by shard come
out the same whoever computes them.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float32Array
from speechgmm.audio import Channel, audio_blocks, duration
from speechgmm.errors import AudioError, ModelError
from speechgmm.features.extract import FeatureConfig, analyse, check_rate
from speechgmm.features.stream import FeatureStream
from speechgmm.files import replacing
from speechgmm.parallel import Engine, map_in_order
from speechgmm.samples import clipped_share

FORMAT_VERSION = 2
SHARD_SECONDS = 600.0
"""A shard is closed once it holds this much audio, and a file this long is not read at once if it can be helped."""

BLOCK_ROWS = 8192
"""Frames that are read from disk at a time."""

CLIPPED = 0.001
"""Share of clipped samples above which a recording is warned of."""

MOST_CLIPPED = 5
"""Clipped recordings that are named."""


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
        Where there is speech, instead of what the front end finds.
    """

    utterance: str
    path: str
    channel: Channel = None
    speech: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Stored:
    """Where the frames of an utterance are.

    Parameters
    ----------
    utterance : str
        Its id.
    shard : str
        File name of the shard.
    start, stop : int, frames
        Its rows in the shard.
    seconds, speech_seconds : float, seconds
        Length of the audio, and of the speech in it.
    clipped : float, 0 to 1
        Share of the samples that are clipped.
    """

    utterance: str
    shard: str
    start: int
    stop: int
    seconds: float
    speech_seconds: float
    clipped: float


@dataclass(frozen=True)
class Unusable:
    """An utterance without features.

    Parameters
    ----------
    utterance : str
        Its id.
    reason : str
        Why there are none. It does not name the file, which may be moved.
    """

    utterance: str
    reason: str


@dataclass(frozen=True)
class FeatureStore:
    """The features of a list of utterances, read from disk when asked for.

    Parameters
    ----------
    folder : Path
        Where the shards are.
    n_features : int
        Features of a frame, D.
    front_end : dict
        The configuration that made them, as JSON data.
    utterances : tuple of Stored
        In the order of the list.
    unusable : tuple of Unusable
        The rest of the list.
    """

    folder: Path
    n_features: int
    front_end: dict[str, JsonValue]
    utterances: tuple[Stored, ...]
    unusable: tuple[Unusable, ...]

    @cached_property
    def _by_id(self) -> dict[str, Stored]:
        """Look-up of an utterance by its id."""
        return {stored.utterance: stored for stored in self.utterances}

    @property
    def n_frames(self) -> int:
        """Frames of all utterances."""
        return sum(stored.stop - stored.start for stored in self.utterances)

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._by_id

    def frames(self, utterance: str) -> Float32Array:
        """Map the frames of one utterance into memory.

        Parameters
        ----------
        utterance : str
            An id in the store.

        Returns
        -------
        np.ndarray, shape (T, D), float32, read-only
            Its frames.

        Raises
        ------
        KeyError
            If the store has no such utterance.
        """
        stored = self._by_id[utterance]
        shard: Float32Array = np.load(self.folder / stored.shard, mmap_mode="r")
        return shard[stored.start : stored.stop]

    def blocks(self, utterance: str) -> Iterator[Float32Array]:
        """Read an utterance's frames in blocks, for a pass over them in little memory.

        Parameters
        ----------
        utterance : str
            An id in the store.

        Yields
        ------
        np.ndarray, shape (up to 8192, D), float32
            Its frames, in order.

        Raises
        ------
        KeyError
            If the store has no such utterance.
        """
        stored = self._by_id[utterance]
        with (self.folder / stored.shard).open("rb") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            stream.seek(stored.start * self.n_features * 4, io.SEEK_CUR)
            for start in range(stored.start, stored.stop, BLOCK_ROWS):
                n_rows = min(BLOCK_ROWS, stored.stop - start)
                block = np.fromfile(stream, "<f4", n_rows * self.n_features)
                yield block.reshape(n_rows, self.n_features)

    def shards(self) -> tuple[Path, ...]:
        """List the shard files, in the order of the utterances.

        Returns
        -------
        tuple of Path
            Each a `.npy` file of shape (frames, D).
        """
        return tuple(self.folder / name for name in dict.fromkeys(stored.shard for stored in self.utterances))


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
    stored: list[Stored] = []
    unusable: list[Unusable] = []
    # One shard alone is sooner done here than workers are there.
    for found, lost in map_in_order(partial(_write_shard, config=config), tasks, engine if len(tasks) > 1 else None):
        stored += found
        unusable += lost
        yield len(stored) + len(unusable)
    index = {
        "format_version": FORMAT_VERSION,
        "n_features": config.n_features,
        "front_end": config.model_dump(mode="json"),
        "utterances": [asdict(entry) for entry in stored],
        "unusable": [asdict(entry) for entry in unusable],
    }
    with replacing(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(index, ensure_ascii=False, indent=1), encoding="utf-8")


def clipped_warnings(clipped: Mapping[str, float]) -> tuple[str, ...]:
    """Name the recordings that are clipped, if there are few, and count the others.

    Parameters
    ----------
    clipped : mapping from str to float, 0 to 1
        Share of clipped samples of each recording, by its name.

    Returns
    -------
    tuple of str
        One sentence each; none if no recording has more than one clipped sample in a thousand.
    """
    warnings = [f"clipped: {share:.1%} of the samples of {name}" for name, share in clipped.items() if share > CLIPPED]
    if len(warnings) > MOST_CLIPPED:
        warnings[MOST_CLIPPED:] = [f"clipped: {len(warnings) - MOST_CLIPPED:,} more recordings"]
    return tuple(warnings)


def open_store(folder: Path) -> FeatureStore:
    """Open a folder that `write_store` has completed.

    Parameters
    ----------
    folder : Path
        The store.

    Returns
    -------
    FeatureStore
        Its index; frames stay on disk.

    Raises
    ------
    ModelError
        If it was written in another format version.
    OSError
        If there is no store.
    """
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if index["format_version"] != FORMAT_VERSION:
        raise ModelError(
            f"{folder}: feature store of format version {index['format_version']}; expected {FORMAT_VERSION}"
        )
    return FeatureStore(
        folder,
        index["n_features"],
        index["front_end"],
        tuple(Stored(**entry) for entry in index["utterances"]),
        tuple(Unusable(**entry) for entry in index["unusable"]),
    )


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
        seconds += duration(source.path) or 0.0
        if seconds >= SHARD_SECONDS:
            shards.append(tuple(group))
            group, seconds = [], 0.0
    if group:
        shards.append(tuple(group))
    return shards


def _write_shard(task: tuple[Path, tuple[Source, ...]], config: FeatureConfig) -> tuple[list[Stored], list[Unusable]]:
    """Extract one shard's utterances and save their frames; say where each is, or why it is not."""
    path, sources = task
    stored: list[Stored] = []
    unusable: list[Unusable] = []
    with replacing(path) as temporary, temporary.open("wb") as stream:
        rows = _Rows(stream, config.n_features)
        for source in sources:
            start = rows.n_rows
            try:
                told = _extract(source, config, rows)
            except AudioError as error:
                rows.forget(start)
                unusable.append(Unusable(source.utterance, str(error).removeprefix(f"{source.path}: ")))
            else:
                stored.append(Stored(source.utterance, path.name, start, rows.n_rows, *told))
        rows.close()
    if not stored:
        path.unlink()
    return stored, unusable


def _extract(source: Source, config: FeatureConfig, rows: "_Rows") -> tuple[float, float, float]:
    """Append an utterance's frames; give the seconds of audio and of speech, and the share that is clipped."""
    stream = _stream(config) if source.speech is None and (duration(source.path) or 0.0) >= SHARD_SECONDS else None
    if stream is not None:
        return _extract_long(source, config, stream, rows)
    extraction = analyse(source.path, config, channel=source.channel, speech=source.speech)
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
    """Do the same block by block: memory does not grow with the file. A run of clipped samples ends with its block."""
    _, file_rate = audio_blocks(source.path, channel=source.channel)
    start, n_samples, n_clipped = rows.n_rows, 0, 0.0
    check_rate(file_rate, config)
    blocks, rate = audio_blocks(source.path, channel=source.channel, sample_rate=config.sample_rate)
    for block in blocks:
        rows.append(stream.push(block))
        n_samples += len(block)
        n_clipped += clipped_share(block) * len(block)
    rows.append(stream.finish())
    return n_samples / rate, (rows.n_rows - start) * config.shift_seconds, n_clipped / n_samples


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

"""Features on disk: shards of float32 frames that can be memory-mapped, and an index of who is where in them.

A store is a folder with ``index.json`` and ``shard-00000.npy``, ... An utterance lies in one shard, whole. Which
utterances share a shard follows from their order and length alone, so that statistics added shard by shard come
out the same whoever computes them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float32Array
from speechgmm.audio import duration
from speechgmm.errors import AudioError, ModelError
from speechgmm.features.extract import FeatureConfig, analyse
from speechgmm.files import replacing, write_array
from speechgmm.parallel import Engine, map_in_order

FORMAT_VERSION = 1
SHARD_SECONDS = 600.0
"""A shard is closed once it holds this much audio."""


@dataclass(frozen=True)
class Source:
    """An utterance to extract.

    Parameters
    ----------
    utterance : str
        Its id.
    path : str
        Its audio file.
    """

    utterance: str
    path: str


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
    """

    utterance: str
    shard: str
    start: int
    stop: int
    seconds: float
    speech_seconds: float


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
    sources = [Source(source.utterance, str(Path(source.path).absolute())) for source in sources]
    shards = plan_shards(sources)
    tasks = [(folder / f"shard-{number:05d}.npy", shard) for number, shard in enumerate(shards)]
    stored: list[Stored] = []
    unusable: list[Unusable] = []
    for found, lost in map_in_order(partial(_write_shard, config=config), tasks, engine):
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
    parts: list[Float32Array] = []
    stored: list[Stored] = []
    unusable: list[Unusable] = []
    start = 0
    for source in sources:
        try:
            extraction = analyse(source.path, config)
        except AudioError as error:
            unusable.append(Unusable(source.utterance, str(error).removeprefix(f"{source.path}: ")))
            continue
        stop = start + len(extraction.frames)
        stored.append(Stored(source.utterance, path.name, start, stop, extraction.seconds, extraction.speech_seconds))
        parts.append(extraction.frames)
        start = stop
    if parts:
        write_array(path, np.concatenate(parts))
    return stored, unusable

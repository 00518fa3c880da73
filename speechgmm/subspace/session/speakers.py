"""The recordings of each speaker: blocks for workers, and whether a model can be trained on them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechgmm.errors import ModelError
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.statistics import RECORDINGS_AT_ONCE, StackedStats, StatsBlock, StatsStore


@dataclass(frozen=True, eq=False)
class SpeakerBlock:
    """All recordings of some speakers, one speaker after the other: what a worker is given."""

    recordings: StatsBlock
    counts: tuple[int, ...]  # recordings of each speaker


def speaker_blocks(source: StackedStats | StatsStore, speakers: Sequence[str]) -> list[SpeakerBlock]:
    """Group recordings by speaker, and speakers into blocks of about `RECORDINGS_AT_ONCE` recordings.

    Speakers are in the order of their first recordings. One with more recordings than that has a block alone.
    """
    rows_of: dict[str, list[int]] = {}
    for row, speaker in enumerate(speakers):
        rows_of.setdefault(speaker, []).append(row)
    groups: list[list[list[int]]] = []
    for rows in rows_of.values():
        if groups and sum(map(len, groups[-1])) + len(rows) <= RECORDINGS_AT_ONCE:
            groups[-1].append(rows)
        else:
            groups.append([rows])
    return [_block(source, group) for group in groups]


def _block(source: StackedStats | StatsStore, group: list[list[int]]) -> SpeakerBlock:
    """Make one block; of statistics in memory, it holds its own only."""
    rows = tuple(row for rows in group for row in rows)
    counts = tuple(map(len, group))
    if isinstance(source, StackedStats):
        return SpeakerBlock(StatsBlock(source.rows(rows), tuple(range(len(rows)))), counts)
    return SpeakerBlock(StatsBlock(source, rows), counts)


def check_speakers(
    source: StackedStats | StatsStore, speakers: Sequence[str], config: ISVConfig | JFAConfig
) -> tuple[str, ...]:
    """Refuse recordings that no such model can be trained on; return what makes them poor, with the counts."""
    if len(speakers) != len(source):
        raise ModelError(f"{len(speakers)} speakers for {len(source)} recordings; expected the speaker of each")
    spoken = np.flatnonzero(source.n_frames).tolist()
    counts = Counter(speakers[row] for row in spoken)
    n_speakers, n_repeated = len(counts), sum(count > 1 for count in counts.values())
    if n_speakers < 2:
        raise ModelError(
            f"speakers with recordings that have frames: {n_speakers}; expected two or more, most of them with several "
            "recordings"
        )
    if not n_repeated:
        raise ModelError(
            f"0 of {n_speakers} speakers have two recordings or more: what a session changes cannot be separated from "
            "the speaker; add recordings, or use MAP adaptation"
        )
    _check_rank("rank", config.rank, source.shape)
    warnings = []
    if n_empty := len(source) - len(spoken):
        warnings.append(f"{n_empty} of {len(source)} recordings have no frames")
    if n_single := n_speakers - n_repeated:
        warnings.append(
            f"{n_single} of {n_speakers} speakers have one recording only, which does not show what a session changes"
        )
    if config.rank >= (n_free := len(spoken) - n_speakers):
        warnings.append(
            f"rank {config.rank} is more than {len(spoken)} recordings of {n_speakers} speakers determine; "
            f"expected less than {n_free}, the recordings less the speakers"
        )
    if isinstance(config, JFAConfig):
        _check_rank("speaker_rank", config.speaker_rank, source.shape)
        if config.speaker_rank >= n_speakers:
            warnings.append(
                f"speaker_rank {config.speaker_rank} is more than {n_speakers} speakers determine; "
                f"expected less than {n_speakers}"
            )
    return tuple(warnings)


def _check_rank(name: str, rank: int, shape: tuple[int, int]) -> None:
    """Refuse more factors than means."""
    if rank > shape[0] * shape[1]:
        raise ModelError(
            f"{name} {rank} is more than the {shape[0]} x {shape[1]} means of the background model; "
            f"expected at most {shape[0] * shape[1]}"
        )

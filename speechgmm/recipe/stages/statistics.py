"""Statistics of every recording of a role under a background model, as a stage: all models on them start here.

Files: those of `speechgmm.subspace.statistics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.errors import ModelError
from speechgmm.features.store.store import open_store
from speechgmm.gmm.kernels.dense import Kernel
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.storage import check_front_end, load_gmm
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import UBM_FILE
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures, opened_store, why_empty
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.subspace.statistics import StatsStore, write_statistics

VERSION = 1
"""Rises whenever the same inputs would give another output."""


@dataclass(frozen=True)
class RoleStatistics:
    """A role, and the statistics of those of its recordings that have features."""

    role: RoleFeatures
    statistics: StageOutput

    @property
    def store(self) -> StatsStore:
        """The statistics."""
        return StatsStore(self.statistics.folder)


def role_statistics(
    ubm: StageOutput, kernel: Kernel, role: RoleFeatures, context: StageContext, title: str
) -> RoleStatistics:
    """Accumulate the statistics of a role's recordings, or find them."""
    inputs: dict[str, JsonValue] = {
        "ubm": ubm.digest,
        "kernel": kernel,
        "features": role.features.digest,
        "utterances": list[JsonValue](role.ids),
    }
    work = partial(
        write_role_statistics,
        ubm=ubm.folder / UBM_FILE,
        kernel=kernel,
        features=role.features.folder,
        utterances=role.ids,
    )
    return RoleStatistics(role, context.output(StageKey("statistics", VERSION, inputs), work, title))


def write_role_statistics(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    ubm: Path,
    kernel: Kernel,
    features: Path,
    utterances: Sequence[str],
) -> None:
    """Write the statistics of the utterances that have features, in their order."""
    store = open_store(features)
    check_front_end(ubm, store.front_end)
    usable = [utterance for utterance in utterances if utterance in store]
    if not usable:
        raise ModelError(f"there are no statistics: {why_empty(store)}")
    gmm = load_gmm(ubm)
    statistics = map_in_order(partial(_accumulate, ubm, kernel, features), usable, engine)
    progress(0, len(usable))
    for n_done in write_statistics(folder, usable, statistics, gmm.means.shape):
        progress(n_done, len(usable))


@lru_cache(maxsize=2)
def opened_ubm(path: Path) -> DiagonalGMM:
    """Read a background model, once in a worker."""
    return load_gmm(path)


def _accumulate(ubm: Path, kernel: Kernel, features: Path, utterance: str) -> SufficientStats:
    """Accumulate the statistics of one recording."""
    return accumulate(opened_ubm(ubm), opened_store(features).frames(utterance), kernel=kernel)

"""The factors of a system as a stage: total variability, or those of sessions and speakers, from the background.

Files: ``subspace.safetensors``, ``factors.csv`` with the iterations, and ``warnings.json``.
"""

import csv
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from speechgmm.errors import CheckpointError
from speechgmm.files import replacing
from speechgmm.gmm.storage import load_gmm, read_header
from speechgmm.parallel.engine import Engine, sum_over
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import FACTORS_FILE, SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.statistics import RoleStatistics
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.session.storage import save_joint_factors
from speechgmm.subspace.session.training import train_isv, train_jfa
from speechgmm.subspace.statistics import StatsStore
from speechgmm.subspace.total_variability.storage import save_total_variability
from speechgmm.subspace.total_variability.training import train_total_variability
from speechgmm.subspace.vectors import IVectorConfig

logger = logging.getLogger(__name__)

VERSION = 1
"""Rises whenever the same inputs would give another output."""

WARNINGS_FILE = "warnings.json"

FactorsConfig = IVectorConfig | ISVConfig | JFAConfig


def trained_factors(
    config: FactorsConfig,
    seed: int,
    ubm: StageOutput,
    background: RoleStatistics,
    context: StageContext,
    title: str,
) -> StageOutput:
    """Train the factors on the background, or find them."""
    trained = _of_training(config)
    speaker_of = {each.id: each.speaker for each in background.role.utterances}
    speakers: dict[str, JsonValue] = {} if isinstance(config, IVectorConfig) else dict(speaker_of)
    inputs: dict[str, JsonValue] = {
        "config": to_json(trained),
        "seed": seed,
        "ubm": ubm.digest,
        "statistics": background.statistics.digest,
        "speakers": speakers,
    }
    key = StageKey("subspace", VERSION, inputs)
    work = partial(
        write_factors,
        unfinished=context.cache.unfinished(key),
        ubm=ubm.folder / UBM_FILE,
        statistics=background.statistics.folder,
        speaker_of=speaker_of,
        config=trained,
        seed=seed,
    )
    return context.output(key, work, title)


def write_factors(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    unfinished: Path,
    ubm: Path,
    statistics: Path,
    speaker_of: dict[str, str],
    config: FactorsConfig,
    seed: int,
) -> None:
    """Train factors on the statistics of the background.

    The folder `unfinished` keeps the state after each iteration, from which a training that was stopped resumes.
    """
    store = StatsStore(statistics)
    n_iterations = config.n_iterations * (3 if isinstance(config, JFAConfig) else 1)
    history: list[dict[str, Any]] = []

    def on_iteration(iteration: Any) -> None:
        """Move the bar by an iteration."""
        row = asdict(iteration)
        history.append(row)
        logger.info("subspace: %s", _summary(row))
        progress(min(len(history), n_iterations), n_iterations)

    progress(0, n_iterations)
    options = {
        "checkpoint": unfinished / SUBSPACE_FILE,
        "sum_over": partial(sum_over, engine=engine),
        "on_iteration": on_iteration,
    }
    speakers = [speaker_of[name] for name in store.names]
    train_it = _training(config, ubm, store, speakers, options)
    try:
        result = train_it(rng=np.random.default_rng(seed))
    except CheckpointError as error:
        logger.warning("subspace: training starts again: %s", error)
        shutil.rmtree(unfinished)
        result = train_it(rng=np.random.default_rng(seed))
    front_end = read_header(ubm).front_end
    save = save_total_variability if isinstance(config, IVectorConfig) else save_joint_factors
    save(folder / SUBSPACE_FILE, result.model, front_end=front_end)
    _write_history(folder / FACTORS_FILE, [asdict(each) for each in result.history])
    write_warnings(folder, result.warnings)


def write_warnings(folder: Path, warnings: Sequence[str]) -> None:
    """Write what is doubtful about a model, for the end of the run."""
    with replacing(folder / WARNINGS_FILE) as temporary:
        temporary.write_text(json.dumps(list(warnings), ensure_ascii=False), encoding="utf-8")


def load_warnings(folder: Path) -> tuple[str, ...]:
    """Read what `write_warnings` has written."""
    return tuple(json.loads((folder / WARNINGS_FILE).read_text(encoding="utf-8")))


def _of_training(config: FactorsConfig) -> FactorsConfig:
    """Return a configuration without the keys that are about extraction alone, at their defaults."""
    return (
        config.model_copy(update={"max_count": None, "pooled": False}) if isinstance(config, IVectorConfig) else config
    )


def _training(
    config: FactorsConfig, ubm: Path, store: StatsStore, speakers: Sequence[str], options: dict[str, Any]
) -> Callable[..., Any]:
    """Return the training of these factors, which lacks its random numbers."""
    gmm = load_gmm(ubm)
    if isinstance(config, IVectorConfig):
        return partial(train_total_variability, gmm, store, config, **options)
    if isinstance(config, ISVConfig):
        return partial(train_isv, gmm, store, speakers, config, **options)
    return partial(train_jfa, gmm, store, speakers, config, **options)


def _summary(row: dict[str, Any]) -> str:
    """Format what an iteration did, for the log."""
    titles = {
        "objective": "log-likelihood per frame",
        "gain": "log-likelihood per frame above that without these factors",
        "explained": "share of the variance that factors explain",
        "n_floored": "variances at the floor",
        "n_kept": "components with too few frames, kept",
        "n_starving": "components with too few frames, kept",
        "n_regularised": "components with a ridge",
    }
    of = f" of the {row['factors']} factors" if "factors" in row else ""
    values = [
        f"{title} {row[name]:.4f}" if isinstance(row[name], float) else f"{row[name]} {title}"
        for name, title in titles.items()
        if row.get(name)
    ]
    return f"iteration {row['number']}{of}: {', '.join(values)} ({row['seconds']:.2f} s)"


def _write_history(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write a table of iterations; how long they took is in the log, as it differs from run to run."""
    columns = [name for name in history[0] if name != "seconds"] if history else []
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([row[column] for column in columns] for row in history)

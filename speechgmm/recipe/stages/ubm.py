"""The background model as a stage.

Files: ``ubm.safetensors``, ``training.csv``, and ``sizes.csv`` where the number of components was chosen.
"""

import csv
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.errors import CheckpointError, CorpusError, ModelError
from speechgmm.features.store.store import open_store
from speechgmm.files import replacing
from speechgmm.gmm.storage import check_front_end, save_gmm
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.em import TrainingResult, train
from speechgmm.gmm.training.history import Iteration
from speechgmm.gmm.training.shards import Part
from speechgmm.parallel.engine import Engine, sum_over
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import SIZES_FILE, TRAINING_FILE, UBM_FILE
from speechgmm.recipe.schema.sections import BackgroundConfig
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures, digest_or_reason, why_empty
from speechgmm.recipe.stages.progress import ProgressCallback

logger = logging.getLogger(__name__)

VERSION = 3
"""Rises whenever the same inputs would give another output."""


@dataclass(frozen=True)
class UbmSet:
    """The background models of a system: one of all speakers, or one of each sex, or none at all."""

    pooled: StageOutput | None = None
    by_sex: Mapping[str, StageOutput] = field(default_factory=dict)


def background_models(
    config: BackgroundConfig, seed: int, background: RoleFeatures, context: StageContext, system_label: str = ""
) -> UbmSet:
    """Train the background model, or that of each sex, or find them; the label ends their titles."""
    if not background.utterances:
        raise CorpusError(
            "there is no background to train a background model on; expected some, or speakers.method independent"
        )
    if not config.per_sex:
        return UbmSet(pooled=_background_model(config, seed, background, context, f"ubm{system_label}"))
    models = {
        sex: _background_model(config, seed, background.of_sex(sex), context, f"ubm of sex {sex}{system_label}")
        for sex in background.sexes()
    }
    return UbmSet(by_sex=models)


def _background_model(
    config: BackgroundConfig, seed: int, background: RoleFeatures, context: StageContext, title: str
) -> StageOutput:
    """Train one background model, or find it."""
    start = config.initial_model
    digested = config.model_copy(update={"initial_model": start and digest_or_reason(Path(start)), "per_sex": False})
    inputs: dict[str, JsonValue] = {
        "config": to_json(digested),
        "seed": seed,
        "features": background.features.digest,
        "utterances": list[JsonValue](background.ids),
    }
    key = StageKey("ubm", VERSION, inputs)
    work = partial(
        write_ubm,
        unfinished=context.cache.unfinished(key),
        features=background.features.folder,
        utterances=background.ids,
        config=config,
        seed=seed,
    )
    return context.output(key, work, title)


def write_ubm(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    unfinished: Path,
    features: Path,
    utterances: Sequence[str],
    config: TrainingConfig,
    seed: int,
) -> None:
    """Train a background model on utterances of a feature store.

    The folder `unfinished` keeps the state after each iteration, from which a training that was stopped resumes.
    """
    store = open_store(features)
    if not any(utterance in store for utterance in utterances):
        raise ModelError(f"there is nothing to train the UBM on: {why_empty(store)}")
    if config.initial_model is not None:
        check_front_end(config.initial_model, store.front_end)
    n_runs = 1 if config.n_components != "auto" else len(config.candidates) + (not config.held_out)
    total = n_runs * (config.early_iterations + config.n_iterations)
    history: list[Iteration] = []

    def on_iteration(iteration: Iteration) -> None:
        """Move the bar by an iteration."""
        history.append(iteration)
        logger.info("ubm: %s", _summary(iteration))
        progress(len(history), total)

    progress(0, total)
    train_it = partial(
        train,
        [Part(str(path), path, None, start, stop) for path, start, stop in store.ranges(utterances)],
        config,
        checkpoint=unfinished / UBM_FILE,
        sum_over=partial(sum_over, engine=engine),
        on_iteration=on_iteration,
    )
    try:
        result = train_it(rng=np.random.default_rng(seed))
    except CheckpointError as error:
        logger.warning("ubm: training starts again: %s", error)
        shutil.rmtree(unfinished)
        result = train_it(rng=np.random.default_rng(seed))
    save_gmm(folder / UBM_FILE, result.gmm, front_end=store.front_end)
    _write_history(folder / TRAINING_FILE, result.history)
    if result.choices:
        _write_sizes(folder / SIZES_FILE, result)


def _summary(iteration: Iteration) -> str:
    """Format what an iteration did, for the log."""
    early = "early iteration" if iteration.early else "iteration"
    held_out = "" if iteration.held_out is None else f", {iteration.held_out:.4f} held out"
    counts = {
        "variances at the floor": iteration.n_floored,
        "at the ceiling": iteration.n_ceiled,
        "components starving": iteration.n_starving,
        "revived": iteration.n_revived,
        "removed": iteration.n_removed,
    }
    skipped = f", less than {iteration.skipped:.2g} frames skipped" if iteration.skipped else ""
    events = "".join(f", {count} {what}" for what, count in counts.items() if count)
    return (
        f"{early} {iteration.number}, {iteration.n_components} components: log-likelihood "
        f"{iteration.log_likelihood:.4f} per frame{held_out}{events}{skipped} ({iteration.seconds:.2f} s)"
    )


def _write_history(path: Path, history: Sequence[Iteration]) -> None:
    """Write a table of iterations; how long they took is in the log, as it differs from run to run."""
    columns = [each.name for each in fields(Iteration) if each.name != "seconds"]
    titles = {"log_likelihood": "log_likelihood_per_frame", "held_out": "held_out_log_likelihood_per_frame"}
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(titles.get(column, column) for column in columns)
        writer.writerows([getattr(each, column) for column in columns] for each in history)


def _write_sizes(path: Path, result: TrainingResult) -> None:
    """Write a table of the numbers of components that were tried."""
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["n_components", "held_out_log_likelihood_per_frame"])
        writer.writerows([each.n_components, repr(each.held_out)] for each in result.choices)

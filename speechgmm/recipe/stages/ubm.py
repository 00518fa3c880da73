"""The stages of an experiment, as functions from files to files.

Each writes into the folder it is given, and tells through `tick` how far it is. What a stage may depend on is its
arguments; `runner` decides whether it runs at all.
"""

import csv
import logging
import shutil
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from speechgmm.corpus.formats.commands import write_outputs
from speechgmm.corpus.manifest import Utterance
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig, plan
from speechgmm.errors import CheckpointError, ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.imported import ImportedConfig, write_imported_store
from speechgmm.features.store.store import FeatureStore, open_store
from speechgmm.features.store.writing import Source, write_store
from speechgmm.files import replacing
from speechgmm.gallery.layout import UBM_FILE
from speechgmm.gmm.adaptation import AdaptationConfig, map_iterate
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.storage import check_front_end, load_gmm, save_gmm, save_speakers
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.em import train
from speechgmm.gmm.training.history import Iteration
from speechgmm.gmm.training.shards import Part
from speechgmm.parallel.engine import Engine, map_in_order, sum_over
from speechgmm.recipe.stages.scores import ProgressCallback, why_none

logger = logging.getLogger(__name__)

SPEAKERS_FILE = "speakers.safetensors"
TRAINING_FILE = "training.csv"
SIZES_FILE = "sizes.csv"


def synthesise(folder: Path, config: SyntheticConfig, engine: Engine, tick: ProgressCallback) -> None:
    """Write the recordings and lists of the embedded voices.

    Parameters
    ----------
    folder : Path
        Where to write.
    config : SyntheticConfig
        The voices.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.
    """
    total = len(plan(config))
    tick(0, total)
    for done in write_recordings(config, folder, engine):
        tick(done, total)


def run_commands(folder: Path, commands: Sequence[str], root: Path, engine: Engine, tick: ProgressCallback) -> None:
    """Write the recordings that commands make.

    Parameters
    ----------
    folder : Path
        Where to write.
    commands : sequence of str
        As in a list that is trusted.
    root : Path
        Where they run.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.
    """
    tick(0, len(commands))
    for done in write_outputs(folder, commands, root, engine):
        tick(done, len(commands))


def extract_features(
    folder: Path,
    utterances: Sequence[Utterance],
    config: FeatureConfig | ImportedConfig,
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Write a feature store of the utterances.

    Parameters
    ----------
    folder : Path
        Where to write.
    utterances : sequence of Utterance
        In the order of the store.
    config : FeatureConfig or ImportedConfig
        The front end.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.
    """
    tick(0, len(utterances))
    if isinstance(config, ImportedConfig):
        progress = write_imported_store(folder, {each.id: each.path for each in utterances}, config)
    else:
        sources = [Source(each.id, each.path, each.channel, start=each.start, stop=each.end) for each in utterances]
        progress = write_store(folder, sources, config, engine)
    for done in progress:
        tick(done, len(utterances))


def train_ubm(
    folder: Path,
    *,
    unfinished: Path,
    features: Path,
    utterances: Sequence[str],
    config: TrainingConfig,
    seed: int,
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Train the background model: ``ubm.safetensors``, ``training.csv``, and ``sizes.csv`` where its size was chosen.

    Parameters
    ----------
    folder : Path
        Where to write.
    unfinished : Path
        A folder that keeps the state after each iteration, and is gone on from.
    features : Path
        Feature store of the background.
    utterances : sequence of str
        Those of the store to train on.
    config : TrainingConfig
        The training.
    seed : int >= 0
        Of the first model.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.

    Raises
    ------
    ModelError
        If there are fewer frames than components.
    """
    store = open_store(features)
    if not any(utterance in store for utterance in utterances):
        raise ModelError(f"there is nothing to train the UBM on: {why_none(store)}")
    if config.initial_model is not None:
        check_front_end(config.initial_model, store.front_end)
    n_runs = 1 if config.n_components != "auto" else len(config.candidates) + (not config.held_out)
    total = n_runs * (config.early_iterations + config.n_iterations)
    told: list[Iteration] = []

    def on_iteration(iteration: Iteration) -> None:
        """Move the bar by an iteration."""
        told.append(iteration)
        logger.info("ubm: %s", _described(iteration))
        tick(len(told), total)

    tick(0, total)
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
        logger.warning("ubm: begun anew: %s", error)
        shutil.rmtree(unfinished)
        result = train_it(rng=np.random.default_rng(seed))
    save_gmm(folder / UBM_FILE, result.gmm, front_end=store.front_end)
    _write_history(folder / TRAINING_FILE, result.history)
    if result.choices:
        with replacing(folder / SIZES_FILE) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["n_components", "held_out_log_likelihood_per_frame"])
            writer.writerows([each.n_components, repr(each.held_out)] for each in result.choices)


def adapt_speakers(
    folder: Path,
    *,
    ubm: Path,
    features: Path,
    utterances: Sequence[Utterance],
    config: AdaptationConfig,
    engine: Engine,
    tick: ProgressCallback,
) -> None:
    """Adapt one model for each speaker with features: ``speakers.safetensors``.

    Parameters
    ----------
    folder : Path
        Where to write.
    ubm : Path
        The background model.
    features : Path
        Feature store of the enrolment.
    utterances : sequence of Utterance
        The enrolment, which says whose each utterance is.
    config : AdaptationConfig
        How to adapt.
    engine : Engine
        Where to run.
    tick : callable
        Told of progress.

    Raises
    ------
    ModelError
        If no enrolment utterance has features.
    """
    store = open_store(features)
    check_front_end(ubm, store.front_end)
    of_speaker = ids_of_speakers(utterances, store)
    prior = load_gmm(ubm)
    models: dict[str, DiagonalGMM] = {}
    tick(0, len(of_speaker))
    adapted = map_in_order(partial(_speaker_model, ubm, features, config), of_speaker.values(), engine)
    for speaker, model in zip(of_speaker, adapted, strict=True):
        models[speaker] = model
        tick(len(models), len(of_speaker))
    save_speakers(folder / SPEAKERS_FILE, prior, models, front_end=store.front_end)


def ids_of_speakers(utterances: Sequence[Utterance], store: FeatureStore) -> dict[str, list[str]]:
    """Sort utterances by the models that they enrol, which mostly go by their speakers.

    Parameters
    ----------
    utterances : sequence of Utterance
        Any.
    store : FeatureStore
        Those that are not in it are left out.

    Returns
    -------
    dict of str to list of str
        The ids of each.

    Raises
    ------
    ModelError
        If there are none.
    """
    of_speaker: dict[str, list[str]] = {}
    for utterance in utterances:
        if utterance.id in store:
            of_speaker.setdefault(utterance.enrols, []).append(utterance.id)
    if not of_speaker:
        raise ModelError(f"there is nobody to score: {why_none(store)}")
    return of_speaker


def _described(iteration: Iteration) -> str:
    """Say in words what an iteration did."""
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
    told = "".join(f", {count} {what}" for what, count in counts.items() if count)
    return (
        f"{early} {iteration.number}, {iteration.n_components} components: log-likelihood "
        f"{iteration.log_likelihood:.4f} per frame{held_out}{told}{skipped} ({iteration.seconds:.2f} s)"
    )


def _write_history(path: Path, history: Sequence[Iteration]) -> None:
    """Write a table of iterations; how long they took is in the log, as it differs from run to run."""
    columns = [each.name for each in fields(Iteration) if each.name != "seconds"]
    titles = {"log_likelihood": "log_likelihood_per_frame", "held_out": "held_out_log_likelihood_per_frame"}
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(titles.get(column, column) for column in columns)
        writer.writerows([getattr(each, column) for column in columns] for each in history)


@lru_cache(maxsize=2)
def _ubm(path: Path) -> DiagonalGMM:
    """Read a background model, once in a worker."""
    return load_gmm(path)


@lru_cache(maxsize=4)
def _store(folder: Path) -> FeatureStore:
    """Open a store, once in a worker."""
    return open_store(folder)


def _speaker_model(ubm: Path, features: Path, config: AdaptationConfig, utterances: Sequence[str]) -> DiagonalGMM:
    """Adapt the background model to the pooled enrolment frames of one speaker."""
    store = _store(features)

    def statistics(gmm: DiagonalGMM) -> SufficientStats:
        """Accumulate them under a model."""
        return sum_over(lambda utterance: accumulate(gmm, store.frames(utterance)), utterances)

    return map_iterate(_ubm(ubm), statistics, config)

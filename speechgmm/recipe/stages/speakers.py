"""The speakers' models as a stage: adapted from a background model, or each trained alone.

Files: ``speakers.safetensors``; and ``untrained.json`` where speakers are trained alone, some without success.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError, ModelError
from speechgmm.features.store.store import FeatureStore, open_store
from speechgmm.files import replacing
from speechgmm.gmm.adaptation import AdaptationConfig, map_iterate
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.storage import check_front_end, load_gmm, save_independent, save_speakers
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.gmm.training.em import train
from speechgmm.gmm.training.shards import Part
from speechgmm.parallel.engine import Engine, map_in_order, sum_over
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import SPEAKERS_FILE, UBM_FILE, UNTRAINED_FILE
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures, digest_or_reason, opened_store, why_empty
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.ubm import UbmSet

VERSION = 3
"""Rises whenever the same inputs would give another output."""


@dataclass(frozen=True)
class SpeakerModels:
    """Models of speakers, and the background model that they were adapted from."""

    ubm: StageOutput | None  # None where each was trained alone
    speakers: StageOutput
    speaker_of: Mapping[str, str]  # the speaker of each model
    sex: str | None = None  # of the speakers, where each sex has a background model
    factors: StageOutput | None = None  # of sessions and speakers, or of total variability
    backend: StageOutput | None = None  # where speakers are enrolled as vectors

    @property
    def sex_label(self) -> str:
        """What sets the titles of stages of this sex apart."""
        return f" of sex {self.sex}" if self.sex else ""


def adapted_models(
    config: AdaptationConfig,
    ubms: UbmSet,
    role: RoleFeatures,
    context: StageContext,
    role_label: str,
    system_label: str,
) -> tuple[SpeakerModels, ...]:
    """Adapt the models of a role's speakers, those of each sex from its background model, or find them.

    Titles end in the label of the role, the sex, and the label of the system.
    """
    if ubms.pooled:
        adapted = _adapted(config, ubms.pooled, role, context, f"speakers{role_label}{system_label}")
        return (SpeakerModels(ubms.pooled, adapted, role.speaker_of),)
    sexes = role.sexes()
    if lacking := [sex for sex in sexes if sex not in ubms.by_sex]:
        raise CorpusError(f"ubm.per_sex: no background speaker is of sex {', '.join(lacking)}")
    groups = []
    for sex in sexes:
        title = f"speakers{role_label} of sex {sex}{system_label}"
        adapted = _adapted(config, ubms.by_sex[sex], role.of_sex(sex), context, title)
        groups.append(SpeakerModels(ubms.by_sex[sex], adapted, role.speaker_of, sex))
    return tuple(groups)


def independent_models(
    config: IndependentConfig, seed: int, role: RoleFeatures, context: StageContext, title: str
) -> SpeakerModels:
    """Train a model of each of a role's speakers alone, or find them."""
    start = config.initial_model
    digested = config.model_copy(update={"initial_model": start and digest_or_reason(Path(start))})
    inputs: dict[str, JsonValue] = {"config": to_json(digested), "seed": seed, **_inputs_of(role)}
    work = partial(
        write_independent_speakers,
        features=role.features.folder,
        utterances=role.utterances,
        config=config,
        seed=seed,
    )
    return SpeakerModels(None, context.output(StageKey("speakers", VERSION, inputs), work, title), role.speaker_of)


def write_adapted_speakers(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    ubm: Path,
    features: Path,
    utterances: Sequence[Utterance],
    config: AdaptationConfig,
) -> None:
    """Adapt one model for each speaker who has features."""
    store = open_store(features)
    check_front_end(ubm, store.front_end)
    ids_by_model = _ids_by_model(utterances, store)
    prior = load_gmm(ubm)
    models: dict[str, DiagonalGMM] = {}
    progress(0, len(ids_by_model))
    adapted = map_in_order(partial(_adapt, ubm, features, config), ids_by_model.values(), engine)
    for name, model in zip(ids_by_model, adapted, strict=True):
        models[name] = model
        progress(len(models), len(ids_by_model))
    save_speakers(folder / SPEAKERS_FILE, prior, models, front_end=store.front_end)


def write_independent_speakers(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    features: Path,
    utterances: Sequence[Utterance],
    config: IndependentConfig,
    seed: int,
) -> None:
    """Train one model for each speaker alone, a speaker at a time in each worker.

    Each speaker has a stream of random numbers of their own, whoever else is trained.
    """
    store = open_store(features)
    ids_by_model = _ids_by_model(utterances, store)
    models: dict[str, DiagonalGMM] = {}
    untrained: dict[str, str] = {}
    progress(0, len(ids_by_model))
    trained = map_in_order(partial(_train, features, config, seed), ids_by_model.items(), engine)
    for name, model in zip(ids_by_model, trained, strict=True):
        if isinstance(model, DiagonalGMM):
            models[name] = model
        else:
            untrained[name] = model
        progress(len(models) + len(untrained), len(ids_by_model))
    if not models:
        name, reason = next(iter(untrained.items()))
        raise ModelError(f"none of {len(untrained)} speakers could have a model, {name} for one: {reason}")
    save_independent(folder / SPEAKERS_FILE, models, front_end=store.front_end)
    with replacing(folder / UNTRAINED_FILE) as temporary:
        temporary.write_text(json.dumps(untrained, ensure_ascii=False), encoding="utf-8")


def load_untrained(folder: Path) -> dict[str, str]:
    """Read which speakers were left without a model of their own, and why."""
    untrained: dict[str, str] = json.loads((folder / UNTRAINED_FILE).read_text(encoding="utf-8"))
    return untrained


def _adapted(
    config: AdaptationConfig, ubm: StageOutput, role: RoleFeatures, context: StageContext, title: str
) -> StageOutput:
    """Adapt models from one background model, or find them."""
    inputs: dict[str, JsonValue] = {"config": to_json(config), "ubm": ubm.digest, **_inputs_of(role)}
    work = partial(
        write_adapted_speakers,
        ubm=ubm.folder / UBM_FILE,
        features=role.features.folder,
        utterances=role.utterances,
        config=config,
    )
    return context.output(StageKey("speakers", VERSION, inputs), work, title)


def _inputs_of(role: RoleFeatures) -> dict[str, JsonValue]:
    """State what models depend on: features, and which utterances enrol which model."""
    return {
        "features": role.features.digest,
        "speakers": inputs_of_enrolment(role),
    }


def inputs_of_enrolment(role: RoleFeatures) -> list[JsonValue]:
    """State which utterances enrol which model."""
    return [[utterance.id, utterance.enrols] for utterance in role.utterances]


def _ids_by_model(utterances: Sequence[Utterance], store: FeatureStore) -> dict[str, list[str]]:
    """Group the utterances that have features by the model that they enrol; raise ModelError if there are none."""
    ids: dict[str, list[str]] = {}
    for utterance in utterances:
        if utterance.id in store:
            ids.setdefault(utterance.enrols, []).append(utterance.id)
    if not ids:
        raise ModelError(f"there is no speaker to score: {why_empty(store)}")
    return ids


@lru_cache(maxsize=2)
def _ubm(path: Path) -> DiagonalGMM:
    """Read a background model, once in a worker."""
    return load_gmm(path)


def _adapt(ubm: Path, features: Path, config: AdaptationConfig, utterances: Sequence[str]) -> DiagonalGMM:
    """Adapt the background model to the pooled enrolment frames of one speaker."""
    store = opened_store(features)

    def statistics(gmm: DiagonalGMM) -> SufficientStats:
        """Accumulate them under a model."""
        return sum_over(lambda utterance: accumulate(gmm, store.frames(utterance)), utterances)

    return map_iterate(_ubm(ubm), statistics, config)


def _train(
    features: Path, config: IndependentConfig, seed: int, speaker: tuple[str, Sequence[str]]
) -> DiagonalGMM | str:
    """Train the model of one speaker, or say why there can be none."""
    name, utterances = speaker
    stream = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    parts = [Part(str(path), path, None, start, stop) for path, start, stop in open_store(features).ranges(utterances)]
    try:
        return train(parts, config, rng=np.random.default_rng([seed, stream])).gmm
    except ModelError as error:
        return str(error)

"""A system as stages: features, a background model, the speakers' models, and scores that are normalised."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from speechgmm.arrays import Float64Array
from speechgmm.configuration import Configuration
from speechgmm.corpus.manifest import Utterance
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store import FeatureStore, open_store
from speechgmm.parallel import Engine
from speechgmm.recipe import stages
from speechgmm.recipe.cache import StageCache, StageOutput
from speechgmm.recipe.progress import Bars
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.stages import Scores, load_scores
from speechgmm.scoring.normalisation import Speakers, normalise

# The number of a stage goes up whenever the same inputs would make another output.
VERSIONS = {"corpus": 1, "features": 2, "ubm": 3, "speakers": 3, "scores": 4}


@dataclass(frozen=True)
class Means:
    """What stages need to run.

    Parameters
    ----------
    cache : StageCache
        Where outputs are kept.
    engine : Engine
        Where the work is done.
    bars : Bars
        Where progress is shown.
    """

    cache: StageCache
    engine: Engine
    bars: Bars


@dataclass(frozen=True)
class Voices:
    """Utterances, and where their features are.

    Parameters
    ----------
    utterances : tuple of Utterance
        In the order of the list; some may have no features.
    features : StageOutput
        A feature store that has at least those.
    """

    utterances: tuple[Utterance, ...]
    features: StageOutput

    @property
    def store(self) -> FeatureStore:
        """The features."""
        return open_store(self.features.folder)

    @property
    def ids(self) -> list[str]:
        """Names of the utterances."""
        return [utterance.id for utterance in self.utterances]


@dataclass(frozen=True, eq=False)
class System:
    """What a system made of its tests.

    Parameters
    ----------
    ubm, speakers : StageOutput
        The models.
    scores : Scores
        Normalised, as the recipe says.
    outputs : tuple of StageOutput
        All stages, in the order in which they ran.
    """

    ubm: StageOutput
    speakers: StageOutput
    scores: Scores
    outputs: tuple[StageOutput, ...]


def extract_voices(title: str, utterances: Sequence[Utterance], config: FeatureConfig, means: Means) -> Voices:
    """Extract features, or find them.

    Parameters
    ----------
    title : str
        What people call the stage.
    utterances : sequence of Utterance
        Whose.
    config : FeatureConfig
        The front end.
    means : Means
        How to run.

    Returns
    -------
    Voices
        The utterances with their features.
    """
    stage = partial(
        stages.extract_features,
        utterances=utterances,
        config=config,
        engine=means.engine,
        tick=means.bars.tick(title),
    )
    inputs = {"config": plain(config), "utterances": _digests(utterances)}
    output = means.cache.obtain("features", VERSIONS["features"], inputs, stage, title=title)
    return Voices(tuple(utterances), output)


def build_system(recipe: Recipe, background: Voices, enrol: Voices, test: Voices, means: Means, of: str = "") -> System:
    """Train, enrol and score, or find what was done before.

    Parameters
    ----------
    recipe : Recipe
        How.
    background, enrol, test : Voices
        Of whom the background model, and the cohort, are made; whose models are made; what is scored against them.
    means : Means
        How to run.
    of : str
        What people call the system, where there are several.

    Returns
    -------
    System
        Models and normalised scores.

    Raises
    ------
    ModelError
        If a role has nothing that can be used, or the cohort is too small for the normalisation.
    """
    ubm = _ubm(recipe, background, means, f"ubm{of}")
    speakers = _speakers(recipe, ubm, enrol, means, f"speakers{of}")
    scored = _scores(recipe, ubm, speakers, test, means, f"scores{of}")
    scores = load_scores(scored.folder)
    outputs, cohort = _score_cohort(recipe, ubm, speakers, background, test, means, of)
    scores = replace(scores, matrix=_normalised(recipe, scores, cohort, background))
    return System(ubm, speakers, scores, (ubm, speakers, scored, *outputs))


class _Cohort(NamedTuple):
    """Scores of the cohort, as far as a normalisation needs them."""

    of_models: Scores | None = None  # against the cohort's utterances
    of_tests: Scores | None = None  # against the cohort's models
    itself: Scores | None = None  # the cohort's utterances against its models


def _score_cohort(
    recipe: Recipe,
    ubm: StageOutput,
    speakers: StageOutput,
    background: Voices,
    test: Voices,
    means: Means,
    of: str,
) -> tuple[list[StageOutput], _Cohort]:
    """Score the speakers of the background model, each of whom gets a model, as far as the normalisation needs it."""
    method = recipe.normalisation.method
    outputs: list[StageOutput] = []

    def against(models: StageOutput, tests: Voices, name: str) -> Scores:
        """Score tests against models."""
        outputs.append(_scores(recipe, ubm, models, tests, means, f"scores of {name}{of}"))
        return load_scores(outputs[-1].folder)

    cohort = _Cohort()
    if method in ("z", "zt", "tz", "s", "as"):
        cohort = cohort._replace(of_models=against(speakers, background, "the cohort's utterances"))
    if method in ("t", "zt", "tz", "s", "as"):
        models = _speakers(recipe, ubm, background, means, f"speakers of the cohort{of}")
        outputs.append(models)
        cohort = cohort._replace(of_tests=against(models, test, "the cohort's models"))
        if method in ("zt", "tz"):
            cohort = cohort._replace(itself=against(models, background, "the cohort by itself"))
    return outputs, cohort


def _normalised(recipe: Recipe, scores: Scores, cohort: _Cohort, background: Voices) -> Float64Array:
    """Normalise the scores; the cohort of a trial does not hold the speaker of its model."""
    z, t, itself = cohort
    who = {utterance.id: utterance.speaker for utterance in background.utterances}
    return normalise(
        scores.matrix,
        recipe.normalisation,
        z_scores=None if z is None else z.matrix,
        t_scores=None if t is None else t.matrix,
        cohort_scores=None if itself is None else itself.matrix,
        speakers=Speakers(
            scores.models,
            None if z is None else [who[each] for each in z.tests],
            None if t is None else t.models,
        ),
    )


def plain(config: Configuration) -> JsonValue:
    """Give a configuration as JSON data, which digests are of.

    Parameters
    ----------
    config : Configuration
        Any.

    Returns
    -------
    JSON data
        All keys.
    """
    data: JsonValue = config.model_dump(mode="json")
    return data


def _ubm(recipe: Recipe, background: Voices, means: Means, title: str) -> StageOutput:
    """Train the background model."""
    start = recipe.ubm.initial_model
    inputs: dict[str, JsonValue] = {
        "config": plain(recipe.ubm.model_copy(update={"initial_model": start and _digest(Path(start))})),
        "seed": recipe.seed,
        "features": background.features.digest,
        "utterances": list[JsonValue](background.ids),
    }
    stage = partial(
        stages.train_ubm,
        unfinished=means.cache.unfinished("ubm", VERSIONS["ubm"], inputs),
        features=background.features.folder,
        utterances=background.ids,
        config=recipe.ubm,
        seed=recipe.seed,
        engine=means.engine,
        tick=means.bars.tick(title),
    )
    return means.cache.obtain("ubm", VERSIONS["ubm"], inputs, stage, title=title)


def _speakers(recipe: Recipe, ubm: StageOutput, enrol: Voices, means: Means, title: str) -> StageOutput:
    """Adapt the speakers' models."""
    stage = partial(
        stages.adapt_speakers,
        ubm=ubm.folder / stages.UBM_FILE,
        features=enrol.features.folder,
        utterances=enrol.utterances,
        config=recipe.speakers,
        engine=means.engine,
        tick=means.bars.tick(title),
    )
    inputs: dict[str, JsonValue] = {
        "config": plain(recipe.speakers),
        "ubm": ubm.digest,
        "features": enrol.features.digest,
        "speakers": [[utterance.id, utterance.speaker] for utterance in enrol.utterances],
    }
    return means.cache.obtain("speakers", VERSIONS["speakers"], inputs, stage, title=title)


def _scores(
    recipe: Recipe, ubm: StageOutput, speakers: StageOutput, test: Voices, means: Means, title: str
) -> StageOutput:
    """Score the tests."""
    stage = partial(
        stages.score_tests,
        ubm=ubm.folder / stages.UBM_FILE,
        speakers=speakers.folder / stages.SPEAKERS_FILE,
        features=test.features.folder,
        utterances=test.ids,
        config=recipe.scoring,
        engine=means.engine,
        tick=means.bars.tick(title),
    )
    inputs: dict[str, JsonValue] = {
        "config": plain(recipe.scoring),
        "speakers": speakers.digest,
        "features": test.features.digest,
        "tests": list[JsonValue](test.ids),
    }
    return means.cache.obtain("scores", VERSIONS["scores"], inputs, stage, title=title)


def _digests(utterances: Sequence[Utterance]) -> JsonValue:
    """Digest the content of the audio files; one that cannot be read has none."""
    return [[utterance.id, _digest(Path(utterance.path))] for utterance in utterances]


def _digest(path: Path) -> str:
    """Digest a file; what is none, or has a name that none can have, is told apart from those that can be read."""
    try:
        if not path.is_file():
            return "no file"
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        return f"unreadable: {error}"

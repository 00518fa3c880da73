"""A system as stages: features, a background model, the speakers' models, and scores that are normalised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.errors import CorpusError
from speechgmm.gallery.layout import UBM_FILE
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages import cohort_scores as independent
from speechgmm.recipe.stages import ubm as stages
from speechgmm.recipe.stages.context import VERSIONS, StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures, digest
from speechgmm.recipe.stages.scores import ScoreMatrix, load_scores, score_tests, write_normalised_scores
from speechgmm.scoring.normalisation import check_cohort


@dataclass(frozen=True)
class SpeakerModels:
    """Models of speakers, and the background model that they were adapted from.

    Parameters
    ----------
    ubm : StageOutput or None
        None where each was trained alone.
    speakers : StageOutput
        The speakers' models.
    speaker_of : mapping of str to str
        Whose each model is.
    sex : str or None
        Of the speakers, where each sex has a background model of its own.
    """

    ubm: StageOutput | None
    speakers: StageOutput
    speaker_of: Mapping[str, str]
    sex: str | None = None


@dataclass(frozen=True, eq=False)
class System:
    """What a system made of its tests.

    Parameters
    ----------
    models : tuple of SpeakerModels
        Of the enrolled speakers: one, or one for each sex.
    scored : tuple of StageOutput
        ScoreMatrix, normalised as the recipe says; one, or one for each sex.
    """

    models: tuple[SpeakerModels, ...]
    scored: tuple[StageOutput, ...]

    @property
    def scores(self) -> ScoreMatrix:
        """The scores of all models."""
        return load_scores([output.folder for output in self.scored])

    @property
    def untrained(self) -> dict[str, str]:
        """Enrolled speakers who could not be given a model of their own, and why."""
        alone = [models.speakers.folder for models in self.models if not models.ubm]
        return {name: why for folder in alone for name, why in independent.load_untrained(folder).items()}


def build_system(
    recipe: Recipe,
    background: RoleFeatures,
    enrol: RoleFeatures,
    test: RoleFeatures,
    context: StageContext,
    of: str = "",
) -> System:
    """Train, enrol and score, or find what was done before.

    Parameters
    ----------
    recipe : Recipe
        How.
    background, enrol, test : RoleFeatures
        Of whom the background model, and the cohort, are made; whose models are made; what is scored against them.
    context : StageContext
        How to run.
    of : str
        What people call the system, where there are several.

    Returns
    -------
    System
        Models and normalised scores.

    Raises
    ------
    CorpusError
        If there is no background and it is needed, or there are background models for each sex and somebody's is not
        known.
    ModelError
        If a role has nothing that can be used, or the cohort is too small for the normalisation.
    """
    cohort = [utterance.speaker for utterance in background.utterances]
    check_cohort({utterance.speaker for utterance in enrol.utterances}, cohort, recipe.normalisation)
    work = _Work(recipe, background, context, of)
    ubms = work.background_models()
    models = work.models(ubms, enrol, "")
    scored = work.scores(models, test, "")
    if recipe.normalisation.method != "none":
        scored = work.normalised(scored, enrol.speaker_of, _score_cohort(work, ubms, models, test))
    return System(models, scored)


Scored = tuple[StageOutput, ...]
"""Scores against all models: one stage, or one for each sex."""


def _score_cohort(
    work: "_Work", ubms: Mapping[str | None, StageOutput | None], models: Sequence[SpeakerModels], test: RoleFeatures
) -> dict[str, Scored]:
    """Score the speakers of the background, each of whom gets a model, as far as the normalisation needs it."""
    method = work.recipe.normalisation.method
    background = work.background
    cohort: dict[str, Scored] = {}
    if method in ("z", "zt", "tz", "s", "as"):
        cohort["z_scores"] = work.scores(models, background, " of the cohort's utterances")
    if method in ("t", "zt", "tz", "s", "as"):
        of_cohort = work.models(ubms, background, " of the cohort")
        cohort["t_scores"] = work.scores(of_cohort, test, " of the cohort's models")
        if method in ("zt", "tz"):
            cohort["cohort_scores"] = work.scores(of_cohort, background, " of the cohort by itself")
    return cohort


@dataclass(frozen=True)
class _Work:
    """The stages of one system."""

    recipe: Recipe
    background: RoleFeatures
    context: StageContext
    of: str

    def background_models(self) -> dict[str | None, StageOutput | None]:
        """Train the background model, or that of each sex; none where speakers are trained alone."""
        if self.recipe.speakers.method == "independent":
            return {None: None}
        if not self.background.utterances:
            raise CorpusError(
                "there is no background to train a background model on; expected some, or speakers.method independent"
            )
        sexes: list[str | None] = [*_sexes(self.background)] if self.recipe.ubm.per_sex else [None]
        return {sex: self._train_ubm(_of_sex(self.background, sex), _named(sex)) for sex in sexes}

    def models(
        self, ubms: Mapping[str | None, StageOutput | None], who: RoleFeatures, title: str
    ) -> tuple[SpeakerModels, ...]:
        """Make the speakers' models, those of each sex from its background model."""
        config = self.recipe.speakers
        if isinstance(config, IndependentConfig):
            return (SpeakerModels(None, self._train_speakers(config, who, title), who.speaker_of),)
        sexes: list[str | None] = [None] if None in ubms else [*_sexes(who)]
        if lacking := [sex for sex in sexes if sex not in ubms]:
            raise CorpusError(f"ubm.per_sex: nobody of sex {', '.join(map(str, lacking))} is in the background")
        return tuple(
            SpeakerModels(ubm, self._adapt(config, ubm, _of_sex(who, sex), title + _named(sex)), who.speaker_of, sex)
            for sex in sexes
            if (ubm := ubms[sex])
        )

    def scores(self, models: Sequence[SpeakerModels], test: RoleFeatures, title: str) -> Scored:
        """Score tests against models."""
        return tuple(self._score(each, test, title + _named(each.sex)) for each in models)

    def normalised(self, scored: Scored, speaker_of: Mapping[str, str], cohort: Mapping[str, Scored]) -> Scored:
        """Normalise scores by those of the cohort, in which no model has its own speaker."""
        config = self.recipe.normalisation
        speakers = {utterance.id: utterance.speaker for utterance in self.background.utterances}
        parts = {"scores": scored, **cohort}
        inputs: dict[str, JsonValue] = {
            "config": to_json(config),
            "cohort": [[*each] for each in speakers.items()],
            "models": dict(speaker_of),
            **{name: [output.digest for output in part] for name, part in parts.items()},
        }
        stage = partial(
            write_normalised_scores,
            parts={name: [output.folder for output in part] for name, part in parts.items()},
            speaker_of=speaker_of,
            cohort=speakers,
            config=config,
        )
        return (self._obtain("normalisation", inputs, stage, ""),)

    def _obtain(self, stage: str, inputs: dict[str, JsonValue], run: Callable[..., None], title: str) -> StageOutput:
        """Run a stage, or find what it left."""
        title = f"{stage}{title}{self.of}"
        if stage != "normalisation":
            run = self.context.spread(run, title)
        return self.context.output(stage, inputs, run, title)

    def _train_ubm(self, background: RoleFeatures, title: str) -> StageOutput:
        """Train a background model."""
        config = self.recipe.ubm
        start = config.initial_model
        digested = config.model_copy(update={"initial_model": start and digest(Path(start)), "per_sex": False})
        inputs: dict[str, JsonValue] = {
            "config": to_json(digested),
            "seed": self.recipe.seed,
            "features": background.features.digest,
            "utterances": list[JsonValue](background.ids),
        }
        stage = partial(
            stages.train_ubm,
            unfinished=self.context.cache.unfinished("ubm", VERSIONS["ubm"], inputs),
            features=background.features.folder,
            utterances=background.ids,
            config=config,
            seed=self.recipe.seed,
        )
        return self._obtain("ubm", inputs, stage, title)

    def _adapt(self, config: AdaptationConfig, ubm: StageOutput, who: RoleFeatures, title: str) -> StageOutput:
        """Adapt the speakers' models from a background model."""
        inputs: dict[str, JsonValue] = {"config": to_json(config), "ubm": ubm.digest, **_speakers_of(who)}
        stage = partial(
            stages.adapt_speakers,
            ubm=ubm.folder / UBM_FILE,
            features=who.features.folder,
            utterances=who.utterances,
            config=config,
        )
        return self._obtain("speakers", inputs, stage, title)

    def _train_speakers(self, config: IndependentConfig, who: RoleFeatures, title: str) -> StageOutput:
        """Train each speaker's model alone."""
        start = config.initial_model
        digested = config.model_copy(update={"initial_model": start and digest(Path(start))})
        inputs: dict[str, JsonValue] = {"config": to_json(digested), "seed": self.recipe.seed, **_speakers_of(who)}
        stage = partial(
            independent.train_speakers,
            features=who.features.folder,
            utterances=who.utterances,
            config=config,
            seed=self.recipe.seed,
        )
        return self._obtain("speakers", inputs, stage, title)

    def _score(self, models: SpeakerModels, test: RoleFeatures, title: str) -> StageOutput:
        """Score tests against the models of one background model, or against those that were trained alone."""
        inputs: dict[str, JsonValue] = {
            "speakers": models.speakers.digest,
            "features": test.features.digest,
            "tests": list[JsonValue](test.ids),
        }
        speakers = models.speakers.folder / stages.SPEAKERS_FILE
        if models.ubm:
            stage = partial(
                score_tests,
                ubm=models.ubm.folder / UBM_FILE,
                speakers=speakers,
                features=test.features.folder,
                utterances=test.ids,
                config=self.recipe.scoring,
            )
            return self._obtain("scores", {"config": to_json(self.recipe.scoring), **inputs}, stage, title)
        cohort = self._cohort_of(models)
        stage = partial(
            independent.score_against_cohort,
            speakers=speakers,
            cohort=cohort.speakers.folder / stages.SPEAKERS_FILE,
            speaker_of=(models.speaker_of, cohort.speaker_of),
            features=test.features.folder,
            utterances=test.ids,
        )
        inputs |= {"cohort": cohort.speakers.digest, "models": [dict(models.speaker_of), dict(cohort.speaker_of)]}
        return self._obtain("scores", inputs, stage, title)

    def _cohort_of(self, models: SpeakerModels) -> SpeakerModels:
        """Give the models that stand for everybody else: the background's speakers', or the enrolled ones."""
        if not self.background.utterances:
            return models
        return self.models({None: None}, self.background, " of the cohort")[0]


def _speakers_of(who: RoleFeatures) -> dict[str, JsonValue]:
    """Say what the models of speakers depend on."""
    return {
        "features": who.features.digest,
        "speakers": [[utterance.id, utterance.enrols] for utterance in who.utterances],
    }


def _sexes(voices: RoleFeatures) -> list[str]:
    """List the sexes of speakers, or say whose are not known."""
    unknown = sorted({utterance.speaker for utterance in voices.utterances if not utterance.sex})
    if unknown:
        raise CorpusError(f"ubm.per_sex: the sex of {len(unknown)} speakers is not known, of {unknown[0]} for one")
    sexes = sorted({utterance.sex for utterance in voices.utterances if utterance.sex})
    if odd := [sex for sex in sexes if not sex.isalnum()]:
        raise CorpusError(f"ubm.per_sex: sex {odd[0]!r}; expected letters")
    return sexes


def _of_sex(voices: RoleFeatures, sex: str | None) -> RoleFeatures:
    """Restrict utterances to the speakers of one sex, if one is given."""
    if sex is None:
        return voices
    return replace(voices, utterances=tuple(each for each in voices.utterances if each.sex == sex))


def _named(sex: str | None) -> str:
    """Say whose a stage is."""
    return f" of sex {sex}" if sex else ""

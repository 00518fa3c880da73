"""The sections of a recipe that are put together here: the front end, background model, speakers and calibration."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from speechgmm.augmentation.config import AugmentConfig
from speechgmm.configuration import Configuration
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.imported import ImportedConfig
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.training.config import IndependentConfig, TrainingConfig
from speechgmm.recipe.schema.rates import without_auto
from speechgmm.scoring.calibration import CalibrationConfig
from speechgmm.scoring.side_information import N_COLUMNS, SideKind
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig


def _front_end_tag(section: Any) -> str:
    """Return which front end a section is: "given" for imported features, "mfcc" for all that take audio."""
    kind = section.get("kind") if isinstance(section, Mapping) else getattr(section, "kind", None)
    return "given" if kind == "given" else "mfcc"


FrontEnd = Annotated[
    Annotated[FeatureConfig, Tag("mfcc")] | Annotated[ImportedConfig, Tag("given")],
    Discriminator(_front_end_tag),
    BeforeValidator(without_auto),
]


def _speakers_tag(speakers: Any) -> Any:
    """Return how speakers get their models: by MAP where the section does not name a method."""
    return speakers.get("method", "map") if isinstance(speakers, dict) else getattr(speakers, "method", "map")


SpeakersConfig = Annotated[
    Annotated[AdaptationConfig, Tag("map")]
    | Annotated[IndependentConfig, Tag("independent")]
    | Annotated[ISVConfig, Tag("isv")]
    | Annotated[JFAConfig, Tag("jfa")],
    Discriminator(_speakers_tag),
]


class PretrainedVectorsConfig(Configuration):
    """i-vectors by the pretrained model that ``ubm.pretrained`` names. Rank and training are those of the model.

    Without a section ``backend`` they are compared by the model's own back end, its PLDA.

    Parameters
    ----------
    kind : "pretrained"
        One i-vector for each recording.
    """

    kind: Literal["pretrained"] = "pretrained"


VectorsConfig = IVectorConfig | SupervectorConfig
"""How a system makes vectors."""

VectorsSection = Annotated[VectorsConfig | PretrainedVectorsConfig, Field(discriminator="kind")]


class EmAdaptationConfig(Configuration):
    """Adaptation by iterations of EM, which start from the pretrained model.

    Components with too few frames of the background keep their place.

    Parameters
    ----------
    method : "em"
        Maximum likelihood, which needs more speech than ``map``.
    n_iterations : int >= 1
        Maximum number of iterations.
    """

    method: Literal["em"] = "em"
    n_iterations: int = Field(3, ge=1)


OF_PRETRAINED = ("pretrained", "adapt", "kernel")
"""The keys of a background model that have an effect on a pretrained one."""


class BackgroundConfig(TrainingConfig):
    """How the background model is trained, or which pretrained one is taken.

    Parameters
    ----------
    per_sex : bool
        Whether each sex has its own background model. Its speakers are adapted from that model and compared with it,
        whatever the sex of the test's speaker.
    pretrained : str, optional
        Name of a model that comes with the package, in place of a trained one: ``speech16k``, or
        ``speech`` for the one of the front end's sample rate. It needs no background, and the front end that it was
        trained with. Of the other keys only ``adapt`` and ``kernel`` have an effect.
    adapt : section, or null
        How the pretrained model is adapted to the background of the corpus; null leaves it as it is.
    """

    per_sex: bool = False
    pretrained: str | None = Field(None, pattern=r"^[a-z0-9]+$")
    adapt: Annotated[AdaptationConfig | EmAdaptationConfig, Field(discriminator="method")] | None = None

    @model_validator(mode="after")
    def _pretrained_is_not_trained(self) -> Self:
        """Refuse keys of training beside a pretrained model, and adaptation of none."""
        if self.pretrained is None:
            if self.adapt is not None:
                raise ValueError("adapt: there is no pretrained model to adapt; expected pretrained too, as in speech")
            return self
        idle = [name for name in type(self).model_fields if name in self.model_fields_set and name not in OF_PRETRAINED]
        if idle:
            raise ValueError(
                f"{', '.join(idle)}: no effect, as pretrained {self.pretrained} is not trained here; expected none of "
                f"the keys beside {', '.join(OF_PRETRAINED)}"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_idle_keys(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys without effect: recipes from before there were pretrained models stay the same text."""
        data: dict[str, Any] = serialise(self)
        if self.pretrained is not None:
            return {name: value for name, value in data.items() if name in OF_PRETRAINED and value is not None}
        return {name: value for name, value in data.items() if name not in ("pretrained", "adapt")}


class AugmentSection(AugmentConfig):
    """Augmented copies of recordings, and what they are used for. The tests of trial lists are never copied.

    A copy is a further utterance of the same speaker, named after its recording with ``#aug1``, ``#aug2`` and so on. It
    has the level, if given, and one of the other given effects, with probability 0.4 one more; the copies of a
    recording have them in turn. They are applied in the order of a recording: room, noise, level, band, codec.
    ``noise: {}`` and ``reverb: {}`` take the defaults of these sections, and an effect that is not given is not
    applied. Of recordings longer than ten minutes, copies have the first ten minutes.

    Parameters
    ----------
    background : bool
        Whether background model, factors and back end are trained on copies of the background too. The cohort that
        normalises scores stays as recorded.
    calibration : bool
        Whether a calibration on the background also learns from copies of tests with at most one effect beside the
        level, compared with models as they are enrolled; other calibrations never do. No copy is compared with a model
        that has its recording.
    enrolment : bool
        Whether speakers are enrolled from copies of their recordings too, and so are those of calibration trials.
    """

    background: bool = True
    calibration: bool = True
    enrolment: bool = False

    @model_validator(mode="after")
    def _has_a_use(self) -> Self:
        """Refuse copies of nothing."""
        if not (self.background or self.calibration or self.enrolment):
            raise ValueError("background, calibration and enrolment are all false; expected one of them to be true")
        return self

    @property
    def effects_alone(self) -> AugmentConfig:
        """How copies are made, without what they are used for."""
        return AugmentConfig(**{name: getattr(self, name) for name in AugmentConfig.model_fields})


class CalibrationSection(Configuration):
    """How scores become log-likelihood ratios, and which trials the calibration is trained on.

    Parameters
    ----------
    method : "logistic", "pav" or "none"
        A scale and an offset, by prior-weighted logistic regression; the best monotone map, by the pool adjacent
        violators algorithm; or no calibration.
    p_target : float, 0 < p_target < 1
        Prior of a target trial for which "logistic" is optimised.
    prior : "shipped", "wide" or "none"
        For "logistic", what is known before the trials, which count by the number of their speakers. "shipped": the map
        that was learnt on other corpora and comes with the package. It is of the log-likelihood ratios of models that
        are adapted from one background model, normalised or not, and of sums of them, and where `systems` is "scaled"
        also with pretrained PLDA; other scores, and calibrations with `duration` or `condition`, get "wide". "wide":
        the scale of the scores alone, so that few speakers give small ratios. "none": nothing; trials without an error
        then give no calibration.
    systems : "equal", "scaled" or "trained"
        Whether the scores of several systems are summed as they are; each divided by the standard deviation of its
        nontarget scores in the calibration trials, for systems whose scores differ in scale; or with trained weights.
    duration : bool
        Whether the logarithm of a test's duration gets a weight beside the scores; for "logistic".
    condition : bool
        Whether a test's signal-to-noise ratio, the end of its band and the holes that codecs leave get weights beside
        the scores, so that ratios of noisy or narrow tests are neither too high nor too low; for "logistic", and audio.
        The trials need tests of several conditions, as by augmentation.
    on : str
        ``background`` for cross-validation on the speakers of the background model, which needs no other data; or the
        name of a trial list, whose speakers may be in no other list.
    folds : int >= 2, optional
        Parts of the background's speakers. Trials among the speakers of each part are scored by systems that the other
        parts have trained. By default 4 where 20 speakers or more have two recordings, else 2.
    allow_evaluated : bool
        Whether that list may share speakers with the lists that are evaluated, which makes results look better than
        they are.
    """

    method: Literal["logistic", "pav", "none"] = "logistic"
    p_target: float = Field(0.5, gt=0, lt=1)
    prior: Literal["shipped", "wide", "none"] = "shipped"
    systems: Literal["equal", "scaled", "trained"] = "equal"
    duration: bool = False
    condition: bool = False
    on: str = "background"
    folds: int | None = Field(None, ge=2)
    allow_evaluated: bool = False

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Self:
        """Refuse keys that have no effect with the chosen method."""
        defaults = {name: field.default for name, field in type(self).model_fields.items() if name != "method"}
        idle = [name for name, default in defaults.items() if getattr(self, name) != default]
        if self.method == "none" and idle:
            raise ValueError(f"{', '.join(idle)}: there is no calibration with method none")
        if self.method == "pav" and self.p_target != 0.5:
            raise ValueError(f"p_target {self.p_target} is for method logistic; pav is best at every prior at once")
        if self.method == "pav" and self.sides:
            raise ValueError(f"{self.sides[0]} is for method logistic; pav takes nothing but scores")
        if self.method == "pav" and self.prior != "shipped":
            raise ValueError(f"prior {self.prior} is for method logistic; pav has none")
        if self.folds is not None and self.on != "background":
            raise ValueError(f"folds {self.folds} is for calibration on the background, and it is on {self.on}")
        return self

    @model_serializer(mode="wrap")
    def _without_idle_keys(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the condition if it has no weight: recipes from before it had one stay the same text."""
        data: dict[str, Any] = serialise(self)
        return data if self.condition else {name: value for name, value in data.items() if name != "condition"}

    @property
    def sides(self) -> tuple[SideKind, ...]:
        """The kinds of side information that get weights beside the scores."""
        return tuple(kind for kind in N_COLUMNS if getattr(self, kind))

    @property
    def config(self) -> CalibrationConfig:
        """The configuration that `train_calibration` takes."""
        method: Literal["logistic", "pav"] = "pav" if self.method == "pav" else "logistic"
        systems: Literal["equal", "trained"] = "trained" if self.systems == "trained" else "equal"
        return CalibrationConfig(method=method, p_target=self.p_target, systems=systems)

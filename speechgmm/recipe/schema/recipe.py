"""A recipe: its sections are the configurations of the rooms that do the work."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from speechgmm.configuration import Configuration
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.reading import CorpusConfig as CorpusConfig
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import ModelError, RecipeError
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.imported import ImportedConfig
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.kernels.choice import check_available, torch_kernels
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.gmm.training.config import IndependentConfig, TrainingConfig
from speechgmm.recipe.schema.sweep import SweepConfig
from speechgmm.scoring.calibration import CalibrationConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.scoring.thresholds import ThresholdConfig


def _tag_of_front_end(section: Any) -> str:
    """Tell a front end for audio, which goes by its usual kind, from one for given features."""
    kind = section.get("kind") if isinstance(section, Mapping) else getattr(section, "kind", None)
    return "given" if kind == "given" else "mfcc"


FrontEnd = Annotated[
    Annotated[FeatureConfig, Tag("mfcc")] | Annotated[ImportedConfig, Tag("given")], Discriminator(_tag_of_front_end)
]


def _method(speakers: Any) -> Any:
    """Tell how speakers get their models: by MAP where nothing is said."""
    return speakers.get("method", "map") if isinstance(speakers, dict) else getattr(speakers, "method", "map")


SpeakersConfig = Annotated[
    Annotated[AdaptationConfig, Tag("map")] | Annotated[IndependentConfig, Tag("independent")], Discriminator(_method)
]


class BackgroundConfig(TrainingConfig):
    """How the background model is trained.

    Parameters
    ----------
    per_sex : bool
        Whether each sex has a background model of its own, from which its speakers are adapted, and to which they are
        compared whoever the test is of.
    """

    per_sex: bool = False


class CalibrationSection(Configuration):
    """How scores become log-likelihood ratios, and what that is learnt from.

    Parameters
    ----------
    method : "logistic", "pav" or "none"
        A scale and an offset, by prior-weighted logistic regression; the best map that never falls; or neither.
    p_target : float, 0 < p_target < 1
        Prior of a target trial at which "logistic" is at its best.
    systems : "equal" or "trained"
        Whether the scores of several systems are added up, or weighted by what is learnt.
    duration : bool
        Whether the logarithm of a test's duration has a weight beside the scores; for "logistic".
    on : str
        ``background`` for trials among the speakers of the background model, each half by a system of the other half,
        which needs no other data; or the name of a trial list, whose speakers may be in no other list.
    allow_evaluated : bool
        Whether that list may share speakers with those that are evaluated, which makes results look better.
    """

    method: Literal["logistic", "pav", "none"] = "logistic"
    p_target: float = Field(0.5, gt=0, lt=1)
    systems: Literal["equal", "trained"] = "equal"
    duration: bool = False
    on: str = "background"
    allow_evaluated: bool = False

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Self:
        """Refuse keys that would have none."""
        defaults = {name: field.default for name, field in type(self).model_fields.items() if name != "method"}
        idle = [name for name, default in defaults.items() if getattr(self, name) != default]
        if self.method == "none" and idle:
            raise ValueError(f"{', '.join(idle)}: there is no calibration with method none")
        if self.method == "pav" and self.p_target != 0.5:
            raise ValueError(f"p_target {self.p_target} is for method logistic; pav is best at every prior at once")
        if self.method == "pav" and self.duration:
            raise ValueError("duration is for method logistic; pav takes nothing but scores")
        return self

    @property
    def config(self) -> CalibrationConfig:
        """What the training of a calibration takes."""
        method: Literal["logistic", "pav"] = "pav" if self.method == "pav" else "logistic"
        return CalibrationConfig(method=method, p_target=self.p_target, systems=self.systems)


OF_SYSTEM = ("features", "ubm", "speakers", "scoring", "normalisation")
"""The sections that make a system."""

OF_BACKGROUND = ("ubm", "scoring")
"""The sections that do nothing without a background model."""


class Recipe(Configuration):
    """A whole experiment.

    Parameters
    ----------
    name : str
        Names the folder of results: letters, digits, ``.``, ``_`` and ``-``.
    seed : int >= 0
        Of everything random but the embedded voices, which have their own; of all systems where there are several.
    corpus : section
        Who said what; the only section without defaults.
    systems : list of recipes
        Paths of recipes of the same corpus, whose scores are fused. Features, models, scoring and normalisation are
        theirs then; calibration, decision and evaluation are this recipe's.
    features : section
        The front end; of kind ``given`` where the corpus has features instead of audio.
    ubm : section
        Training of the background model; there is none with ``speakers.method: independent``.
    speakers : section
        How a speaker's model is made from it, or without it.
    scoring : section
        How a test is scored against a model, where there is a background model.
    normalisation : section
        What a score is compared with: those of the background's speakers.
    calibration : section
        How a score becomes a log-likelihood ratio.
    decision : section
        From which log-likelihood ratio on a trial is accepted.
    evaluation : section
        What is computed from the scores.
    sweep : section
        Values that keys take one after another: a series of experiments, for ``speechgmm sweep``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    seed: int = Field(0, ge=0)
    corpus: CorpusConfig
    systems: "Annotated[tuple[Recipe, ...], Field(strict=False)]" = ()
    features: FrontEnd = FeatureConfig()
    ubm: BackgroundConfig = BackgroundConfig()
    speakers: SpeakersConfig = AdaptationConfig()
    scoring: ScoringConfig = ScoringConfig()
    normalisation: ScoreNormalisationConfig = ScoreNormalisationConfig()
    calibration: CalibrationSection = CalibrationSection()
    decision: ThresholdConfig = ThresholdConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    sweep: SweepConfig | None = None

    @model_validator(mode="after")
    def _decisions_can_be_learnt(self) -> Self:
        """Refuse decisions by scores of which nothing is known."""
        if self.calibration.method == "none" and self.decision != ThresholdConfig():
            raise ValueError(
                "decision: a threshold is of calibrated scores, and learnt with them; calibration.method is none"
            )
        return self

    @model_validator(mode="after")
    def _systems_are_whole(self) -> Self:
        """Refuse what would have no effect beside systems, and systems of other voices."""
        if not self.systems:
            return self
        if own := [name for name in OF_SYSTEM if name in self.model_fields_set]:
            raise ValueError(f"{', '.join(own)}: systems have their own; expected none here")
        if other := [each.name for each in self.systems if each.corpus != self.corpus or each.systems or each.sweep]:
            raise ValueError(
                f"systems {', '.join(other)}: expected the corpus of this recipe, no systems again, no sweep"
            )
        if len({system.name for system in self.systems}) < max(2, len(self.systems)):
            raise ValueError("systems: expected two or more, of different names")
        if self.calibration.method == "pav" and self.calibration.systems == "trained":
            raise ValueError("calibration.systems trained is for method logistic; pav takes the sum of the scores")
        return self

    @model_validator(mode="after")
    def _features_fit_the_corpus(self) -> Self:
        """Refuse to hear features, or to take audio for them."""
        has_features = isinstance(self.corpus, KaldiConfig) and self.corpus.input == "features"
        if not self.systems and has_features != isinstance(self.features, ImportedConfig):
            found = "corpus.input is features" if has_features else "the corpus has audio"
            raise ValueError(f"features.kind {self.features.kind}: {found}; expected both or neither to be of features")
        return self

    @model_validator(mode="after")
    def _sections_have_an_effect(self) -> Self:
        """Refuse sections on a background model where there is none."""
        idle = [name for name in OF_BACKGROUND if name in self.model_fields_set]
        if self.speakers.method == "independent" and idle:
            raise ValueError(
                f"{', '.join(idle)}: with speakers.method independent there is no background model; expected none"
            )
        return self

    @model_validator(mode="after")
    def _models_fit_the_scoring(self) -> Self:
        """Refuse linear scores of models that differ in more than their means."""
        adapted = self.speakers.adapt if isinstance(self.speakers, AdaptationConfig) else ("means",)
        if not self.systems and self.scoring.method == "linear" and set(adapted) != {"means"}:
            raise ValueError(
                f"scoring.method linear: speakers.adapt is {', '.join(adapted)}; expected means alone, as it takes "
                "weights and variances for the background model's"
            )
        return self

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        """Refuse a front end for another rate than that of the embedded voices, which is known beforehand."""
        if isinstance(self.corpus, SyntheticConfig) and isinstance(self.features, FeatureConfig) and not self.systems:
            found, expected = self.corpus.sample_rate, self.features.sample_rate
            if found != expected and not self.features.resample:
                raise ValueError(
                    f"features.sample_rate {expected}: corpus.sample_rate is {found}; expected the same, or "
                    "features.resample: true"
                )
        return self

    def to_json(self) -> dict[str, JsonValue]:
        """Write the recipe out as JSON data.

        Returns
        -------
        dict
            Every key that has an effect, with its value; the same recipe when read back.
        """
        idle = {*OF_SYSTEM} if self.systems else {"systems"}
        if self.speakers.method == "independent":
            idle |= {*OF_BACKGROUND}
        if self.sweep is None:
            idle |= {"sweep"}
        data: dict[str, JsonValue] = self.model_dump(mode="json", exclude=idle)
        if self.systems:
            data["systems"] = [system.to_json() for system in self.systems]
        return data

    def with_kernel(self, kernel: TorchKernel) -> Self:
        """Give the recipe that trains and scores by a kernel of PyTorch.

        Parameters
        ----------
        kernel : "torch" or "cuda"
            Which.

        Returns
        -------
        Recipe
            With the kernel in every section that has one: whose results these are stands in them.

        Raises
        ------
        RecipeError
            If a section skips, which no kernel of PyTorch does.
        ModelError
            If PyTorch or its device is not there.
        """
        torch_kernels(kernel)
        if self.systems:
            return self.model_copy(update={"systems": tuple(each.with_kernel(kernel) for each in self.systems)})
        sections = self._computing
        for name, section in sections.items():
            if skip_below := getattr(section, "skip_below", 0):
                raise RecipeError(
                    f"{self.name}: {name}.skip_below {skip_below}: kernel {kernel} skips nothing; expected 0"
                )
        chosen = {name: section.model_copy(update={"kernel": kernel}) for name, section in sections.items()}
        return self.model_copy(update=chosen)

    def missing_kernels(self) -> tuple[str, ...]:
        """Find kernels that are not there.

        Returns
        -------
        tuple of str
            For each section that names one: its key, and the package or device that it needs.
        """
        missing = []
        for member in self.systems_or_self:
            for name, section in member._computing.items():
                try:
                    check_available(section.kernel, getattr(section, "skip_below", 0))
                except ModelError as error:
                    missing.append(f"{member.name}: {name}: {error}")
        return tuple(missing)

    @property
    def _computing(self) -> dict[str, Any]:
        """The sections that name a kernel, by their keys."""
        names = ("speakers",) if self.speakers.method == "independent" else OF_BACKGROUND
        return {name: getattr(self, name) for name in names}

    @property
    def systems_or_self(self) -> "tuple[Recipe, ...]":
        """The systems, with the seed of this recipe; itself, where there are no others."""
        return tuple(system.model_copy(update={"seed": self.seed}) for system in self.systems) or (self,)

"""A recipe: its sections are the configurations of the packages that do the work."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator

from speechgmm.configuration import Configuration
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.reading import CorpusConfig
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import ModelError, RecipeError
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.imported import ImportedConfig
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.kernels.choice import check_available, torch_kernels
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.recipe.schema.rates import as_written, follows_corpus
from speechgmm.recipe.schema.sections import (
    AugmentSection,
    BackgroundConfig,
    CalibrationSection,
    FrontEnd,
    PretrainedVectorsConfig,
    SpeakersConfig,
    VectorsSection,
)
from speechgmm.recipe.schema.sweep import SweepConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.scoring.thresholds import ThresholdConfig
from speechgmm.subspace.backend.config import Step, check_steps, propagates_covariances
from speechgmm.subspace.vectors import SupervectorConfig

OF_SYSTEM = ("features", "ubm", "speakers", "scoring", "vectors", "backend", "normalisation")
"""The sections that define a system."""

OF_EXPERIMENT = ("seed", "corpus", "augment", "calibration", "decision", "evaluation", "sweep")
"""The sections and keys that systems have from the recipe that lists them; their own have no effect."""

OF_BACKGROUND = ("ubm", "scoring")
"""The sections that have no effect without a background model."""

OF_MODELS = ("speakers", "scoring")
"""The sections that have no effect where recordings become vectors."""

OF_VECTORS = ("vectors", "backend")
"""The sections that are about vectors."""


class Recipe(Configuration):
    """A whole experiment: its data, its system or systems, and how they are evaluated.

    Parameters
    ----------
    name : str
        Name of the results folder: letters, digits, ``.``, ``_`` and ``-``.
    seed : int >= 0
        Seed of everything random but the synthetic talkers, which have their own; with several systems, the seed of all
        of them.
    corpus : section
        The recordings and who speaks in them; the only section without defaults.
    systems : list of systems
        Names of shipped systems, paths of files, or keys and values with a name or a ``base``; their scores are fused.
        Each has its own features, models, scoring and normalisation. Seed, corpus, augmentation, calibration, decision
        and evaluation are those of this recipe: if a system has its own, as a whole recipe has, they have no effect,
        and neither has its sweep.
    augment : section, or null
        Copies of recordings as if made elsewhere, for training and calibration; the same for all systems.
    features : section
        The front end; of kind ``given`` if the corpus has features instead of audio. Unless it sets ``sample_rate`` or
        ``resample``, a run gives it the sample rate of the corpus.
    ubm : section
        Training of the background model, or the pretrained one that takes its place; not used with
        ``speakers.method: independent``.
    speakers : section
        How speaker models are made: adapted from the background model, by MAP or by factors that leave out what changes
        between sessions; or trained without one.
    scoring : section
        How a test is scored against a speaker model, if there is a background model.
    vectors : section, or null
        The vector that each recording becomes, an i-vector or a supervector, in place of speaker models; with kind
        ``pretrained`` by a model that comes with the package.
    backend : list of steps
        What is done to these vectors, in this order: any of ``center``, ``whiten``, ``length``, ``efr``, ``nap``,
        ``wccn``, ``lda`` and ``coral``, and at the end ``cosine``, ``svm`` or ``plda``, which scores. A step is its
        name, its name with its one value, as in ``{nap: 60}``, or its name with its keys, as in
        ``{plda: {smoothing: 0.1}}``. Left out beside pretrained vectors, it is the pretrained one.
    normalisation : section
        How scores are normalised by a cohort, the speakers of the background.
    calibration : section
        How a score becomes a log-likelihood ratio.
    decision : section
        The log-likelihood ratio from which a trial is accepted.
    evaluation : section
        The metrics that are computed from the scores.
    sweep : section
        Values that keys take one after another: a series of experiments, for ``speechgmm sweep``.

    Examples
    --------
    >>> from speechgmm import Recipe
    >>> recipe = Recipe(name="tiny", corpus={"kind": "synthetic", "n_speakers": 5}, ubm={"n_components": 16})
    >>> recipe.ubm.n_components, recipe.speakers.method, recipe.speakers.relevance_factor
    (16, 'map', 10.0)

    A recipe does not change; another one may differ from it in some keys.

    >>> larger = recipe.model_copy(update={"name": "larger", "ubm": recipe.ubm.model_copy(update={"n_components": 64})})
    >>> larger.to_json()["ubm"]["n_components"]
    64

    Systems have the corpus of the recipe that lists them.

    >>> systems = [{"name": "small", "ubm": {"n_components": 16}}, {"name": "large", "ubm": {"n_components": 64}}]
    >>> both = Recipe(name="both", corpus={"kind": "synthetic", "n_speakers": 5}, systems=systems)
    >>> [(system.name, system.corpus.n_speakers) for system in both.systems]
    [('small', 5), ('large', 5)]
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    seed: int = Field(0, ge=0)
    corpus: CorpusConfig
    systems: "Annotated[tuple[Recipe, ...], Field(strict=False)]" = ()
    augment: AugmentSection | None = None
    features: FrontEnd = FeatureConfig()
    ubm: BackgroundConfig = BackgroundConfig()
    speakers: SpeakersConfig = AdaptationConfig()
    scoring: ScoringConfig = ScoringConfig()
    vectors: VectorsSection | None = None
    backend: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    normalisation: ScoreNormalisationConfig = ScoreNormalisationConfig()
    calibration: CalibrationSection = CalibrationSection()
    decision: ThresholdConfig = ThresholdConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    sweep: SweepConfig | None = None

    @model_validator(mode="after")
    def _thresholds_are_calibrated(self) -> Self:
        """Refuse thresholds without a calibration, which they are learnt with."""
        is_default = self.decision.method == "bayes" and not self.decision.has_own_costs
        if self.calibration.method == "none" and not is_default:
            raise ValueError(
                "decision: a threshold is of calibrated scores, and learnt with them; calibration.method is none"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _share_the_corpus(cls, data: Any) -> Any:
        """Give systems the corpus of this recipe, and remove what has no effect in them."""
        systems = data.get("systems") if isinstance(data, Mapping) else None
        if not isinstance(systems, list | tuple) or "corpus" not in data:
            return data
        return {**data, "systems": tuple(_as_system(system, data["corpus"]) for system in systems)}

    @model_validator(mode="after")
    def _systems_fit_together(self) -> Self:
        """Refuse sections that have no effect beside systems, and systems that make no fusion."""
        if not self.systems:
            return self
        if idle := [name for name in OF_SYSTEM if name in self.model_fields_set]:
            raise ValueError(f"{', '.join(idle)}: systems have their own; expected none here")
        names = [system.name for system in self.systems]
        if nested := [system.name for system in self.systems if system.systems]:
            raise ValueError(
                f"systems: {nested[0]} lists systems itself; expected none in a system: list them beside the others"
            )
        if len(names) < 2:
            raise ValueError(
                f"systems: {names[0]} alone; expected two or more, as their scores are fused; a recipe of one system "
                f"has base: {names[0]} instead"
            )
        if double := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"systems: two by the name of {double[0]}; expected different names: give one another name"
            )
        if self.calibration.method == "pav" and self.calibration.systems == "trained":
            raise ValueError("calibration.systems trained is for method logistic; pav takes the sum of the scores")
        return self

    @model_validator(mode="after")
    def _features_fit_the_corpus(self) -> Self:
        """Refuse a front end for audio if the corpus has features, and the other way round."""
        has_features = isinstance(self.corpus, KaldiConfig) and self.corpus.input == "features"
        if not self.systems and has_features != isinstance(self.features, ImportedConfig):
            found = "corpus.input is features" if has_features else "the corpus has audio"
            raise ValueError(f"features.kind {self.features.kind}: {found}; expected both or neither to be of features")
        return self

    @model_validator(mode="after")
    def _conditions_are_measured(self) -> Self:
        """Refuse to weigh the condition of recordings where there are only their features."""
        if self.calibration.condition and isinstance(self.corpus, KaldiConfig) and self.corpus.input == "features":
            raise ValueError("calibration.condition: corpus.input is features; expected audio, which can be measured")
        return self

    @model_validator(mode="after")
    def _copies_can_be_made(self) -> Self:
        """Refuse augmentation of features, and copies that nothing uses."""
        if self.augment is None:
            return self
        if isinstance(self.corpus, KaldiConfig) and self.corpus.input == "features":
            raise ValueError("augment: corpus.input is features; expected audio, because copies are made of samples")
        if not (self.augment.background or self.augment.enrolment or self.calibrates_on_copies):
            how = "on" if self.calibration.method != "none" else "method"
            raise ValueError(
                "augment: copies are for calibration alone, which has them if it is on the background, and "
                f"calibration.{how} is {getattr(self.calibration, how)}; expected augment.background or "
                "augment.enrolment to be true"
            )
        return self

    @property
    def calibrates_on_copies(self) -> bool:
        """Whether augmented copies are among the tests that the calibration is learnt from."""
        calibration = self.calibration
        on_background = calibration.method != "none" and calibration.on == "background"
        return self.augment is not None and self.augment.calibration and on_background

    @property
    def copies_in_words(self) -> str:
        """How many augmented copies there are, with which effects, and where they are used; empty without any."""
        if self.augment is None:
            return ""
        uses = {
            "the background": self.augment.background,
            "calibration trials": self.calibrates_on_copies,
            "enrolment": self.augment.enrolment,
        }
        places = " and in ".join(name for name, used in uses.items() if used)
        copies = f"{self.augment.copies} augmented {'copies' if self.augment.copies > 1 else 'copy'} of each recording"
        effects = ", ".join({"reverb": "room", "level_db": "level"}.get(name, name) for name in self.augment.effects)
        return f"{copies} ({effects}) in {places}"

    @model_validator(mode="after")
    def _sections_have_an_effect(self) -> Self:
        """Refuse sections about the background model if there is none."""
        idle = [name for name in OF_BACKGROUND if name in self.model_fields_set]
        if self.speakers.method == "independent" and idle:
            raise ValueError(
                f"{', '.join(idle)}: with speakers.method independent there is no background model; expected none"
            )
        return self

    @model_validator(mode="after")
    def _vectors_fit_the_backend(self) -> Self:
        """Refuse vectors without a back end, a back end without vectors, and sections that have no effect beside."""
        if self.vectors is None:
            if self.backend:
                raise ValueError("backend: it takes vectors, and there are none; expected the section vectors")
            return self
        if idle := [name for name in OF_MODELS if name in self.model_fields_set]:
            raise ValueError(
                f"{', '.join(idle)}: where recordings become vectors, the backend compares them; expected none"
            )
        if self.backend or not isinstance(self.vectors, PretrainedVectorsConfig):
            check_steps(self.backend)
        if isinstance(self.vectors, SupervectorConfig) and propagates_covariances(self.backend):
            raise ValueError("backend: plda.uncertainty is for i-vectors; supervectors have no posterior covariances")
        return self

    @model_validator(mode="after")
    def _one_background_model(self) -> Self:
        """Refuse background models per sex for models on statistics, which are of one."""
        if self.ubm.per_sex and (self.vectors is not None or self.speakers.method in ("isv", "jfa")):
            what = "vectors" if self.vectors is not None else f"speakers.method {self.speakers.method}"
            raise ValueError(f"ubm.per_sex: {what} needs one background model of all speakers; expected false")
        return self

    @model_validator(mode="after")
    def _pretrained_models_fit(self) -> Self:
        """Refuse pretrained models of imported features, and pretrained vectors under another background model."""
        pretrained = self.ubm.pretrained
        if pretrained is not None and isinstance(self.features, ImportedConfig):
            raise ValueError(
                f"ubm.pretrained {pretrained}: features.kind is given, and pretrained models are of features from "
                "audio; expected none"
            )
        if isinstance(self.vectors, PretrainedVectorsConfig) and (pretrained is None or self.ubm.adapt is not None):
            found = "ubm.adapt changes it" if pretrained else "ubm.pretrained names none"
            raise ValueError(
                f"vectors.kind pretrained: they are of the pretrained background model, and {found}; expected ubm: "
                f"{{pretrained: {pretrained or 'speech'}}}"
            )
        return self

    @model_validator(mode="after")
    def _models_fit_the_scoring(self) -> Self:
        """Refuse linear scoring of models that differ from the background model in more than their means."""
        adapted = self.speakers.adapt if isinstance(self.speakers, AdaptationConfig) else ("means",)
        if not self.systems and self.scoring.method == "linear" and set(adapted) != {"means"}:
            raise ValueError(
                f"scoring.method linear: speakers.adapt is {', '.join(adapted)}; expected means alone, as it takes "
                "weights and variances for the background model's"
            )
        return self

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        """Refuse a front end whose sample rate is not that of the synthetic talkers, which is known beforehand."""
        if isinstance(self.corpus, SyntheticConfig) and isinstance(self.features, FeatureConfig) and not self.systems:
            found, expected = self.corpus.sample_rate, self.features.sample_rate
            if found != expected and not self.features.resample and not follows_corpus(self.features):
                raise ValueError(
                    f"features.sample_rate {expected}: corpus.sample_rate is {found}; expected the same, or "
                    "features.resample: true"
                )
        return self

    def to_json(self) -> dict[str, JsonValue]:
        """Return the recipe as JSON data.

        Returns
        -------
        dict
            Every key that has an effect, with its value; read back, it is the same recipe.
        """
        idle = {*OF_SYSTEM} if self.systems else {"systems"}
        idle |= {*(OF_VECTORS if self.vectors is None else OF_MODELS)}
        if self.speakers.method == "independent":
            idle |= {*OF_BACKGROUND}
        idle |= {name for name in ("augment", "sweep") if getattr(self, name) is None}
        data: dict[str, JsonValue] = self.model_dump(mode="json", exclude=idle)
        if isinstance(features := data.get("features"), dict):
            data["features"] = as_written(self.features, features)
        if not self.backend:
            data.pop("backend", None)
        if self.systems:
            data["systems"] = [system.to_json() for system in self.systems]
        return data

    def with_kernel(self, kernel: TorchKernel) -> Self:
        """Return this recipe with another kernel: training and scoring by PyTorch.

        Parameters
        ----------
        kernel : "torch" or "cuda"
            PyTorch on the processor, or on an NVIDIA card.

        Returns
        -------
        Recipe
            With the kernel in every section that has one, so that results say how they were computed.

        Raises
        ------
        RecipeError
            If a section sets ``skip_below``, because the kernels of PyTorch skip nothing.
        ModelError
            If PyTorch or its device is not available.
        """
        torch_kernels(kernel)
        if self.systems:
            return self.model_copy(update={"systems": tuple(system.with_kernel(kernel) for system in self.systems)})
        sections = self._computing
        for name, section in sections.items():
            if skip_below := getattr(section, "skip_below", 0):
                raise RecipeError(
                    f"{self.name}: {name}.skip_below {skip_below}: kernel {kernel} skips nothing; expected 0"
                )
        chosen = {name: section.model_copy(update={"kernel": kernel}) for name, section in sections.items()}
        return self.model_copy(update=chosen)

    def missing_kernels(self) -> tuple[str, ...]:
        """List the kernels of this recipe that are not available here.

        Returns
        -------
        tuple of str
            For each section that names one: the recipe, the section, and the package or device that is missing.
        """
        missing = []
        for system in self.systems_or_self:
            for name, section in system._computing.items():
                try:
                    check_available(section.kernel, getattr(section, "skip_below", 0))
                except ModelError as error:
                    missing.append(f"{system.name}: {name}: {error}")
        return tuple(missing)

    @property
    def _computing(self) -> dict[str, Any]:
        """The sections that name a kernel, by their keys."""
        names = ("speakers",) if self.speakers.method == "independent" else OF_BACKGROUND
        if self.vectors is not None:
            names = ("ubm",)
        return {name: getattr(self, name) for name in names}

    @property
    def systems_or_self(self) -> "tuple[Recipe, ...]":
        """The systems, with the seed of this recipe; the recipe itself if it lists none."""
        return tuple(system.model_copy(update={"seed": self.seed}) for system in self.systems) or (self,)


def _as_system(system: object, corpus: object) -> object:
    """Return a system, a mapping or a recipe, with another corpus and without what has no effect in a system."""
    if isinstance(system, Recipe):
        system = {name: getattr(system, name) for name in system.model_fields_set}
    if not isinstance(system, Mapping):
        return system
    return {name: value for name, value in system.items() if name not in OF_EXPERIMENT} | {"corpus": corpus}

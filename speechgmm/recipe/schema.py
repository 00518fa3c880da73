"""A recipe: its sections are the configurations of the rooms that do the work."""

from typing import Annotated

from pydantic import Field

from speechgmm.configuration import Configuration
from speechgmm.corpus.formats import KaldiConfig
from speechgmm.corpus.synthetic import SyntheticConfig
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.training_config import TrainingConfig
from speechgmm.scoring.llr import ScoringConfig

CorpusConfig = Annotated[SyntheticConfig | KaldiConfig, Field(discriminator="kind")]


class Recipe(Configuration):
    """A whole experiment.

    Parameters
    ----------
    name : str
        Names the folder of results: letters, digits, ``.``, ``_`` and ``-``.
    seed : int >= 0
        Of everything random but the embedded voices, which have their own.
    corpus : section
        Who said what; the only section without defaults.
    features : section
        The front end.
    ubm : section
        Training of the background model.
    speakers : section
        How a speaker's model is made from it.
    scoring : section
        How a test is scored against a model.
    evaluation : section
        What is computed from the scores.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    seed: int = Field(0, ge=0)
    corpus: CorpusConfig
    features: FeatureConfig = FeatureConfig()
    ubm: TrainingConfig = TrainingConfig()
    speakers: AdaptationConfig = AdaptationConfig()
    scoring: ScoringConfig = ScoringConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

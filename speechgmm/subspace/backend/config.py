"""The steps of a back end, in the order in which they are applied; the last one scores."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from speechgmm.configuration import Configuration


class StepConfig(Configuration):
    """A step of a back end.

    Parameters
    ----------
    step : str
        Its name.
    """


class CenterConfig(StepConfig):
    """Subtract the mean of the background's vectors."""

    step: Literal["center"]


class WhitenConfig(StepConfig):
    """Make the covariance of the background's vectors the identity, after subtracting their mean.

    It needs more recordings than dimensions.
    """

    step: Literal["whiten"]


class LengthConfig(StepConfig):
    """Give every vector the same length.

    Parameters
    ----------
    scale : "dimension" or "unit"
        The length: the square root of the number of dimensions, so that each has a mean square of 1, or 1.

    References
    ----------
    Garcia-Romero and Espy-Wilson (2011), Interspeech, 249-252.
    """

    step: Literal["length"]
    scale: Literal["dimension", "unit"] = "dimension"


class EfrConfig(StepConfig):
    """Eigen factor radial: center, whiten and divide by the length, several times over.

    It needs more recordings than dimensions.

    Parameters
    ----------
    n_iterations : int >= 1
        How often.

    References
    ----------
    Bousquet, Matrouf, Bonastre (2011), Interspeech, 485-488.
    """

    step: Literal["efr"]
    n_iterations: int = Field(2, ge=1)


class NapConfig(StepConfig):
    """Nuisance attribute projection: remove the directions in which the recordings of one speaker differ most.

    Parameters
    ----------
    rank : int >= 1
        Number of directions.

    References
    ----------
    Solomonoff, Campbell, Boardman (2005), ICASSP, 629-632.
    """

    step: Literal["nap"]
    rank: int = Field(ge=1)


class WccnConfig(StepConfig):
    """Make the mean covariance within the background's speakers the identity.

    It needs more recordings, less speakers, than dimensions.

    References
    ----------
    Hatch, Kajarekar, Stolcke (2006), Interspeech, 1471-1474.
    """

    step: Literal["wccn"]


class LdaConfig(StepConfig):
    """Keep the dimensions in which speakers differ most, relative to the recordings of one speaker.

    Parameters
    ----------
    dimension : int >= 1
        Number of dimensions to keep.
    total_covariance_factor : float, 0 to 1
        Share of the total covariance in what is made the identity; the rest is the covariance within speakers.
    """

    step: Literal["lda"]
    dimension: int = Field(ge=1)
    total_covariance_factor: float = Field(0.0, ge=0, le=1)


class CoralConfig(StepConfig):
    """Give the background's vectors the mean and covariance of the enrolment's, for the steps that follow.

    The vectors of enrolment and tests stay as they are. It needs more enrolment recordings than dimensions.

    References
    ----------
    Sun, Feng, Saenko (2016), AAAI, 2058-2065.
    """

    step: Literal["coral"]


class CosineConfig(StepConfig):
    """Score by the cosine of the angle between the mean vector of a model and that of a test."""

    step: Literal["cosine"]


class SvmConfig(StepConfig):
    """Score by a linear support-vector machine for each model, with the background's recordings as the others.

    Parameters
    ----------
    penalty : float > 0
        Mean cost of a vector on the wrong side of the margin, C. The few vectors of a model cost as much in sum as the
        background's many. What it means depends on the length of the vectors: of unit length, 1 leaves hardly any on
        the wrong side.

    References
    ----------
    Campbell, Sturim, Reynolds (2006), IEEE Signal Processing Letters 13, 308-311.
    """

    step: Literal["svm"]
    penalty: float = Field(1.0, gt=0)


class PldaAdaptationConfig(Configuration):
    """Adapt a trained model to vectors of unknown speakers, those of the enrolment.

    Parameters
    ----------
    within_scale, between_scale : float, 0 to 1
        Shares of the variance that the model does not explain which go to the covariance within and between speakers.
    mean_scale : float >= 0
        Share of the difference of the means that counts as variance.

    Examples
    --------
    >>> from speechgmm import PldaAdaptationConfig
    >>> PldaAdaptationConfig(within_scale=0.75, between_scale=0.25).mean_scale
    1.0
    """

    within_scale: float = Field(0.3, ge=0, le=1)
    between_scale: float = Field(0.7, ge=0, le=1)
    mean_scale: float = Field(1.0, ge=0)


class PldaConfig(StepConfig):
    """Score by two-covariance PLDA: the log-likelihood ratio of one speaker to two.

    Parameters
    ----------
    n_iterations : int >= 1
        Iterations of EM.
    smoothing : float, 0 to 1e6
        Share of the covariance between speakers that is added to that within them.
    length : "none", "expected" or "simple"
        How vectors are normalised in the space in which both covariances are diagonal: not at all; to the length that
        is expected of the mean of so many recordings; or to the square root of the number of dimensions.
    adaptation : section, or null
        How the model is adapted to the vectors of the enrolment; null leaves it as it is.
    uncertainty : bool
        Whether the posterior covariance of each i-vector is added to the covariance within speakers.

    References
    ----------
    Ioffe (2006), ECCV, 531-542, in the form of Kaldi.
    Kenny et al. (2013), ICASSP, 7649-7653, for the uncertainty.
    """

    step: Literal["plda"]
    n_iterations: int = Field(10, ge=1)
    smoothing: float = Field(0.0, ge=0, le=1e6)
    length: Literal["none", "expected", "simple"] = "none"
    adaptation: PldaAdaptationConfig | None = None
    uncertainty: bool = False


SCALAR_KEYS = {
    "length": "scale",
    "efr": "n_iterations",
    "nap": "rank",
    "lda": "dimension",
    "svm": "penalty",
}
"""The key that a step's only value is meant for, as in ``{nap: 60}``."""


def _spelt_out(step: Any) -> Any:
    """Turn the short forms of a step, ``length``, ``{nap: 60}`` and ``{plda: {smoothing: 0.1}}``, into its keys."""
    if isinstance(step, str):
        if step in ("nap", "lda"):
            raise ValueError(f"{step}: expected its number beside it, as in {{{step}: 20}}")
        return {"step": step}
    if isinstance(step, StepConfig):
        return step
    if not isinstance(step, Mapping):
        message = f"{step!r}: expected the name of a step, or its name with keys"
        raise ValueError(message)  # noqa: TRY004  # what pydantic takes for a reason
    if "step" in step:
        return step
    if len(step) != 1:
        raise ValueError(f"{', '.join(map(str, step))}: expected one step in each entry of the list")
    ((name, value),) = step.items()
    if value is None:
        return {"step": name}
    if isinstance(value, Mapping):
        return {"step": name, **value}
    if name in SCALAR_KEYS:
        return {"step": name, SCALAR_KEYS[name]: value}
    if name in ("center", "whiten", "wccn", "coral", "cosine", "plda"):
        raise ValueError(f"{name}: {value!r}; expected the step alone, or its keys, as in {{plda: {{smoothing: 0.1}}}}")
    return {"step": name}


TransformConfig = (
    CenterConfig | WhitenConfig | LengthConfig | EfrConfig | NapConfig | WccnConfig | LdaConfig | CoralConfig
)
ScorerConfig = CosineConfig | SvmConfig | PldaConfig

Step = Annotated[
    Annotated[TransformConfig | ScorerConfig, Field(discriminator="step")],
    BeforeValidator(_spelt_out),
]
"""One entry of the list ``backend``."""

SCORERS = ("cosine", "svm", "plda")


def propagates_covariances(steps: Sequence[StepConfig]) -> bool:
    """Whether a back end needs the posterior covariances of vectors, too."""
    scorer = steps[-1]
    return isinstance(scorer, PldaConfig) and scorer.uncertainty


def check_steps(steps: tuple[TransformConfig | ScorerConfig, ...]) -> None:
    """Refuse a list that does not end in its only scorer."""
    names = [each.step for each in steps]
    if not names or names[-1] not in SCORERS or any(name in SCORERS for name in names[:-1]):
        raise ValueError(
            f"backend {', '.join(names) or 'is empty'}: expected steps that end in one of {', '.join(SCORERS)}"
        )

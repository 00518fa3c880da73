"""Settings of maximum-likelihood training."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from speechgmm.configuration import Configuration
from speechgmm.gmm.kernels.choice import is_torch
from speechgmm.gmm.kernels.dense import Kernel

Size = Annotated[int, Field(ge=1)]


def _size_or_auto(value: object) -> object:
    """Refuse other values in one message: pydantic would report one for each type of the union."""
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"{value!r}; expected a whole number of 1 or more, or auto")
    return value


class TrainingConfig(Configuration):
    """Settings of training a Gaussian mixture by maximum likelihood (EM).

    Parameters
    ----------
    n_components : int >= 1, or "auto"
        Number of Gaussians, C; use more if you have more speech. The model has exactly this number, unless starving
        components are removed. ``auto`` chooses the candidate whose model has the highest likelihood on held-out
        frames.
    candidates : list of int >= 1
        Numbers of Gaussians that ``auto`` chooses from.
    initial : "splitting", "k-means", "k-means++" or "random"
        How to make the first model: by splitting the heaviest Gaussians in two, starting from one; from k-means
        clusters; from the initial centres of k-means++; or from frames drawn at random.
    initial_model : str, optional
        Model file to start from instead. If it has fewer components, the heaviest are split.
    initial_iterations : int >= 0
        EM iterations at each size while a first model is split up to C components.
    initial_frames : int >= 1
        Number of frames, drawn evenly from all, that the first model is made from.
    early_iterations : int >= 0
        Maximum number of EM iterations over these frames only, before those over all frames.
    n_iterations : int >= 1
        Maximum number of EM iterations over all frames.
    tolerance : float >= 0
        Stop when the log-likelihood per frame changes by less than this share of itself, measured in standard
        deviations of the features so that their units do not matter; 0 never stops early.
    held_out : float, 0 to 0.5
        Share of the frames, spread over each shard, that are not trained on. If there are any, training stops by
        their likelihood and returns the model with the highest. If it is 0, ``auto`` holds out a tenth to choose the
        number of Gaussians, and then trains that number on all frames.
    variance_floor : float, 0 to 1
        Minimum variance, as a share of the variance of all frames along that feature.
    variance_ceiling : float > 0, optional
        Maximum variance, as a share of the same.
    weight_floor : float >= 0
        Minimum weight of a component.
    min_occupancy : float >= 0, frames
        A component with fewer frames is starving.
    starving : "split", "remove" or "keep"
        What to do with a starving component: reseed it by splitting the heaviest component, as long as that one has
        enough frames for two; remove it; or keep it where it is.
    skip_below : float >= 0 and < 1
        Components whose density is below this share of the likeliest one's are left out of a frame, which is faster
        with hundreds of components. 0 leaves none out; 2e-7 keeps statistics of speech within 1e-5. Needs the extra
        ``fast``.
    kernel : "numpy", "numba", "torch" or "cuda"
        Which kernel computes the E step of each iteration; results differ in their last bits. ``numba`` is faster and
        needs the extra ``fast``. ``torch`` is PyTorch on the processor and ``cuda`` on an NVIDIA card; both need the
        extra ``torch`` and cannot skip. With `skip_below`, ``numpy`` and ``numba`` are the same.

    Examples
    --------
    >>> from speechgmm import TrainingConfig
    >>> config = TrainingConfig(n_components=64, n_iterations=20)
    >>> config.initial, config.variance_floor
    ('splitting', 0.01)
    >>> TrainingConfig(n_components="auto", candidates=[32, 64, 128], held_out=0.1).candidates
    (32, 64, 128)
    """

    n_components: Annotated[int | Literal["auto"], BeforeValidator(_size_or_auto)] = 256
    candidates: Annotated[tuple[Size, ...], Field(strict=False, min_length=1)] = (32, 64, 128, 256)
    initial: Literal["splitting", "k-means", "k-means++", "random"] = "splitting"
    initial_model: str | None = None
    initial_iterations: int = Field(4, ge=0)
    initial_frames: int = Field(100_000, ge=1)
    early_iterations: int = Field(0, ge=0)
    n_iterations: int = Field(12, ge=1)
    tolerance: float = Field(1e-5, ge=0)
    held_out: float = Field(0.0, ge=0, le=0.5)
    variance_floor: float = Field(0.01, ge=0, le=1)
    variance_ceiling: float | None = Field(None, gt=0)
    weight_floor: float = Field(1e-5, ge=0)
    min_occupancy: float = Field(10.0, ge=0)
    starving: Literal["split", "remove", "keep"] = "split"
    skip_below: float = Field(0.0, ge=0, lt=1)
    kernel: Kernel = "numpy"

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        """Refuse repeated candidates, floors above what components or the ceiling allow, and skipping by PyTorch."""
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError(f"candidates {', '.join(map(str, self.candidates))}: expected each once")
        largest = max(self.candidates) if self.n_components == "auto" else self.n_components
        if self.weight_floor * largest > 1:
            raise ValueError(f"weight_floor {self.weight_floor} times n_components {largest} is above 1")
        if self.variance_ceiling is not None and self.variance_ceiling < self.variance_floor:
            raise ValueError(
                f"variance_ceiling {self.variance_ceiling} is below the variance_floor {self.variance_floor}"
            )
        if self.skip_below and is_torch(self.kernel):
            raise ValueError(f"skip_below {self.skip_below}: kernel {self.kernel} skips nothing; expected 0")
        return self

    @property
    def size(self) -> int:
        """Number of components, C, unless it is ``auto``, which raises ValueError."""
        if self.n_components == "auto":
            raise ValueError("n_components auto: a number is chosen by `train`; expected one here")
        return self.n_components


class IndependentConfig(TrainingConfig):
    """Settings of independent speaker models, trained by maximum likelihood without a background model.

    Scores are log-likelihood ratios to a cohort: the models of the background speakers, trained in the same way; or,
    without background speakers, those of the other enrolled speakers.

    Parameters
    ----------
    method : "independent"
        Independent models, as opposed to ``map`` adaptation.
    n_components : int >= 1, or "auto"
        Number of Gaussians of each speaker's model. A speaker with fewer frames gets no model, which is reported.
    """

    method: Literal["independent"] = "independent"
    n_components: Annotated[int | Literal["auto"], BeforeValidator(_size_or_auto)] = 32

"""How a mixture is trained."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from speechgmm.configuration import Configuration
from speechgmm.gmm.kernels.choice import is_torch
from speechgmm.gmm.kernels.dense import Kernel

Size = Annotated[int, Field(ge=1)]


def _size_or_auto(value: object) -> object:
    """Refuse what is neither, in one message: a union's own would have one for each of its members."""
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(f"{value!r}; expected a whole number of 1 or more, or auto")
    return value


class TrainingConfig(Configuration):
    """How a mixture is trained from frames.

    Parameters
    ----------
    n_components : int >= 1, or "auto"
        Number of Gaussians, C; honoured exactly, unless starving ones are removed. With ``auto`` it is the one of
        `candidates` whose model gives frames that it was not trained on the highest likelihood.
    candidates : list of int >= 1
        The numbers that ``auto`` chooses from.
    initial : "splitting", "k-means", "k-means++" or "random"
        How the first model is made: from one Gaussian by splitting the heaviest in two; from clusters; from the
        centres that clustering would start with; or from frames drawn at random.
    initial_model : str, optional
        File of a model to start from instead. If it has fewer components, the heaviest are split.
    initial_iterations : int >= 0
        EM iterations at each size while a first model is split up to C components.
    initial_frames : int >= 1
        Frames that the first model is made from, drawn evenly from all.
    early_iterations : int >= 0
        Most EM iterations over these frames alone, before those over all.
    n_iterations : int >= 1
        Most EM iterations over all frames.
    tolerance : float >= 0
        Stop when the log-likelihood per frame gains less than this share of itself, counted in standard deviations of
        the features, so that their units don't matter; 0 never stops early.
    held_out : float, 0 to 0.5
        Share of the frames, here and there in each shard, that are not trained on. Where there are any, training stops
        by their likelihood, and gives the model that they are likeliest under. When this is 0, ``auto`` holds out a
        tenth to choose by, and then trains the number that it chose on all.
    variance_floor : float, 0 to 1
        Least variance, as a share of the variance of all frames along that feature.
    variance_ceiling : float > 0, optional
        Largest variance, as a share of the same.
    weight_floor : float >= 0
        Least weight of a component.
    min_occupancy : float >= 0, frames
        A component with fewer frames is starving.
    starving : "split", "remove" or "keep"
        What becomes of it: it is put beside the heaviest one, which then counts as split, as long as there is one with
        enough frames for two; it is removed; or it keeps its place.
    skip_below : float >= 0 and < 1
        Components whose density is below this share of the likeliest one's are left out of a frame, which is faster
        with hundreds of components; 0 leaves none out, and 2e-7 keeps statistics of speech within 1e-5. Needs the extra
        ``fast``.
    kernel : "numpy", "numba", "torch" or "cuda"
        Who computes the exact E step of each iteration; the last bits of each differ. ``numba`` is faster, by the extra
        ``fast``; what skips has one kernel only, and does not ask which of the two. ``torch`` is PyTorch on the
        processor and ``cuda`` on an NVIDIA card, by the extra ``torch``.
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
        """Refuse floors that the weights of all components, or the ceiling, cannot keep, and what no kernel does."""
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
        """Number of components, C, where it is given and not to be chosen."""
        if self.n_components == "auto":
            raise ValueError("n_components auto: a number is chosen by `train`; expected one here")
        return self.n_components


class IndependentConfig(TrainingConfig):
    """How each speaker gets a model of their own, by maximum likelihood, without a background model.

    Its scores are likelihood ratios to a cohort: the models of the background's speakers, trained likewise; or, where
    there is no background, those of the other enrolled speakers.

    Parameters
    ----------
    method : "independent"
        Tells it from adaptation.
    n_components : int >= 1, or "auto"
        Number of Gaussians of each speaker's model. A speaker with fewer frames has no model, which is said.
    """

    method: Literal["independent"] = "independent"
    n_components: Annotated[int | Literal["auto"], BeforeValidator(_size_or_auto)] = 32

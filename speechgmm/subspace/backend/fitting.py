"""Fitting steps to a background: its vectors, and who speaks in each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import (
    CenterConfig,
    CoralConfig,
    EfrConfig,
    LdaConfig,
    LengthConfig,
    NapConfig,
    TransformConfig,
    WccnConfig,
    WhitenConfig,
)
from speechgmm.subspace.backend.transforms import (
    Affine,
    EigenFactorRadial,
    Length,
    Projection,
    Transform,
    Unchanged,
    moved_covariances,
)
from speechgmm.subspace.vectors import Vectors

ROUNDING = 1e-12
"""An eigenvalue below this share of the largest is rounding: the vectors do not vary in that direction."""

LDA_FLOOR = 1e-6
"""Least eigenvalue of the covariance that LDA makes the identity, as a share of the largest; Kaldi's."""


@dataclass(frozen=True, eq=False)
class Background:
    """Vectors of recordings and their speakers.

    Raises ModelError if there are none, or not one speaker for each.
    """

    vectors: Vectors
    speakers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.vectors) or not self.vectors.dimension:
            raise ModelError(f"background vectors of shape {self.vectors.values.shape}; expected one or more")
        if len(self.speakers) != len(self.vectors):
            raise ModelError(
                f"{len(self.speakers)} speakers for {len(self.vectors)} background vectors; expected one for each"
            )

    @cached_property
    def labels(self) -> IntArray:
        """Number of the speaker of each recording, shape (N,), in the order in which they first appear."""
        numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(self.speakers))}
        return np.array([numbers[speaker] for speaker in self.speakers], np.intp)

    @property
    def n_speakers(self) -> int:
        """Number of speakers, S."""
        return int(self.labels.max()) + 1

    @cached_property
    def mean(self) -> Float64Array:
        """Mean of the vectors, shape (D,)."""
        mean: Float64Array = self.vectors.values.mean(axis=0)
        return mean

    @property
    def counts(self) -> IntArray:
        """Recordings of each speaker, shape (S,)."""
        return np.bincount(self.labels)

    @property
    def described(self) -> str:
        """The counts, for messages."""
        return f"{len(self.vectors)} recordings of {self.n_speakers} speakers"

    def deviations(self) -> Float64Array:
        """Return the vectors less the mean of their speaker, shape (N, D)."""
        order = np.argsort(self.labels, kind="stable")
        starts = np.cumsum(self.counts) - self.counts
        means = np.add.reduceat(self.vectors.values[order], starts, axis=0) / self.counts[:, None]
        deviations: Float64Array = self.vectors.values - means[self.labels]
        return deviations


def fit_transform(config: TransformConfig, background: Background) -> Transform:
    """Fit a step to the background; raise ModelError with the counts if the background does not carry it."""
    match config:
        case CenterConfig():
            return Affine(config, background.mean)
        case WhitenConfig():
            return Affine(config, *_whitening(config, background))
        case LengthConfig():
            return Length(config)
        case EfrConfig():
            return _fit_efr(config, background)
        case NapConfig():
            return _fit_nap(config, background)
        case WccnConfig():
            return _fit_wccn(config, background)
        case LdaConfig():
            return _fit_lda(config, background)
        case CoralConfig():
            return Unchanged(config)


def correlation_aligned(background: Background, target: Vectors | None) -> Background:
    """Give the background's vectors the mean and covariance of others: what CORAL does.

    Raises ModelError if there are no others, or too few of either for a covariance.
    """
    if target is None:
        raise ModelError("coral: no vectors to adapt to; expected those of the enrolment")
    if target.dimension != background.vectors.dimension:
        raise ModelError(
            f"coral: vectors of {target.dimension} dimensions to adapt to; expected {background.vectors.dimension}, "
            "as the background's"
        )
    vectors = background.vectors
    _check_carried("coral", vectors.dimension, len(target) - 1, f"{len(target)} recordings to adapt to")
    _check_carried("coral", vectors.dimension, len(vectors) - 1, background.described)
    here, there = _covariance(vectors), _covariance(target)
    _check_positive("coral", here, background.described)
    matrix = _power(here, -0.5) @ _power(there, 0.5)
    values = (vectors.values - background.mean) @ matrix + target.values.mean(axis=0)
    covariances = None if vectors.covariances is None else moved_covariances(vectors.covariances, matrix.T)
    return Background(Vectors(values, covariances), background.speakers)


def _whitening(config: WhitenConfig | EfrConfig, background: Background) -> tuple[Float64Array, Float64Array]:
    """Return the mean, and the matrix that makes the covariance the identity."""
    n_recordings, dimension = background.vectors.values.shape
    _check_carried(config.step, dimension, n_recordings - 1, background.described)
    covariance = _covariance(background.vectors) * (n_recordings / (n_recordings - 1))
    return background.mean, _inverse_root(config.step, covariance, background.described)


def _fit_efr(config: EfrConfig, background: Background) -> EigenFactorRadial:
    """Fit each iteration to what the ones before have made of the background."""
    means, matrices = [], []
    for _ in range(config.n_iterations):
        mean, matrix = _whitening(config, background)
        once = EigenFactorRadial(config, mean[None], matrix[None])
        background = Background(once.apply(background.vectors), background.speakers)
        means.append(mean)
        matrices.append(matrix)
    return EigenFactorRadial(config, np.stack(means), np.stack(matrices))


def _fit_nap(config: NapConfig, background: Background) -> Projection:
    """Find the directions of most variance within speakers, from products of recordings if they are fewer than D."""
    _check_repeated(config.step, background)
    n_recordings, dimension = background.vectors.values.shape
    carried = min(n_recordings - background.n_speakers, dimension)
    if config.rank >= carried:
        raise ModelError(
            f"nap: rank {config.rank}, but {background.described} in {dimension} dimensions differ within speakers in "
            f"{carried} directions at most; expected a rank below {carried}"
        )
    deviations = background.deviations()
    fewer = n_recordings < dimension
    scatter = deviations @ deviations.T if fewer else deviations.T @ deviations
    variances, leading = eigh(scatter, subset_by_index=[len(scatter) - config.rank, len(scatter) - 1])
    if not variances[0] > ROUNDING * variances[-1]:
        n_found = int((variances > ROUNDING * variances[-1]).sum())
        raise ModelError(
            f"nap: rank {config.rank}, but {background.described} differ within speakers in {n_found} directions; "
            f"expected a rank of at most {n_found}, or recordings that are not copies"
        )
    directions = np.linalg.qr(deviations.T @ leading)[0] if fewer else leading
    return Projection(config, np.ascontiguousarray(directions[:, ::-1].T))


def _fit_wccn(config: WccnConfig, background: Background) -> Affine:
    """Fit the map that makes the mean of the speakers' covariances the identity."""
    _check_within(config.step, background)
    deviations = background.deviations()
    deviations /= np.sqrt(background.counts * background.n_speakers)[background.labels][:, None]
    within = deviations.T @ deviations
    return Affine(config, matrix=_inverse_root(config.step, within, f"{background.described}, within speakers,"))


def _fit_lda(config: LdaConfig, background: Background) -> Affine:
    """Fit Kaldi's LDA: eigenvectors of the covariance between speakers where what it is relative to is the identity."""
    if config.dimension > background.n_speakers - 1:
        raise ModelError(
            f"lda: dimension {config.dimension} with {background.n_speakers} speakers; expected at most "
            f"{background.n_speakers - 1}, one less than speakers"
        )
    if config.total_covariance_factor == 0:
        _check_within(config.step, background)
    n_recordings, dimension = background.vectors.values.shape
    _check_repeated(config.step, background)
    _check_carried(config.step, dimension, n_recordings - 1, background.described)
    deviations = background.deviations()
    total, within = _covariance(background.vectors), deviations.T @ deviations / n_recordings
    scaling = _lda_scaling(config, total, within, background)
    between = scaling @ (total - within) @ scaling.T
    leading = eigh((between + between.T) / 2)[1][:, ::-1][:, : config.dimension]
    return Affine(config, background.mean, leading.T @ scaling)


def _lda_scaling(config: LdaConfig, total: Float64Array, within: Float64Array, background: Background) -> Float64Array:
    """Return the map that makes the mixed covariance the identity, without directions in which nothing varies."""
    factor = config.total_covariance_factor
    variances, directions = eigh(factor * total + (1 - factor) * within)
    flat = variances <= ROUNDING * variances[-1]
    kept = int((~flat).sum())
    if (np.diag(directions[:, flat].T @ total @ directions[:, flat]) > ROUNDING * np.trace(total)).any():
        raise ModelError(
            f"lda: {background.described} differ within speakers in {kept} of {len(total)} dimensions; {_remedy('lda')}"
        )
    if config.dimension > kept:
        raise ModelError(
            f"lda: dimension {config.dimension}, but {background.described} vary in {kept} of {len(total)} dimensions"
        )
    floored = np.maximum(variances[~flat], LDA_FLOOR * variances[-1])
    scaling: Float64Array = (directions[:, ~flat] / np.sqrt(floored)).T
    return scaling


def _inverse_root(step: str, covariance: Float64Array, described: str) -> Float64Array:
    """Return the upper triangle B' with B' S B = I, where B B' = S^-1 and B has a positive diagonal."""
    _check_positive(step, covariance, described)
    # S = U U' with U upper: the lower factor of S read backwards, read backwards.
    upper = cholesky(covariance[::-1, ::-1], lower=True)[::-1, ::-1]
    return np.asarray(solve_triangular(upper, np.eye(len(upper))), np.float64)


def _covariance(vectors: Vectors) -> Float64Array:
    """Return the mean square of the vectors about their mean, shape (D, D)."""
    centred = vectors.values - vectors.values.mean(axis=0)
    covariance: Float64Array = centred.T @ centred / len(centred)
    return covariance


def _power(covariance: Float64Array, exponent: float) -> Float64Array:
    """Return a power of a symmetric matrix that has no negative eigenvalue but by rounding."""
    variances, directions = eigh(covariance)
    powered: Float64Array = (directions * np.maximum(variances, 0) ** exponent) @ directions.T
    return powered


def _remedy(step: str) -> str:
    """Say what to do about a singular covariance."""
    return "use vectors of a lower rank or more recordings" + ("" if step == "lda" else ", or put lda before it")


def _check_positive(step: str, covariance: Float64Array, described: str) -> None:
    """Refuse a singular covariance."""
    variances = np.linalg.eigvalsh(covariance)
    if variances[0] <= ROUNDING * variances[-1]:
        n_varying = int((variances > ROUNDING * variances[-1]).sum())
        raise ModelError(f"{step}: {described} vary in {n_varying} of {len(covariance)} dimensions; {_remedy(step)}")


def _check_carried(step: str, dimension: int, carried: int, described: str) -> None:
    """Refuse a covariance of more dimensions than the recordings carry, before it is computed."""
    if dimension > carried:
        raise ModelError(
            f"{step}: vectors of {dimension} dimensions, but {described} vary in at most {carried}; {_remedy(step)}"
        )


def _check_repeated(step: str, background: Background) -> None:
    """Refuse speakers of one recording each, which do not show what changes between recordings."""
    if len(background.vectors) == background.n_speakers:
        raise ModelError(
            f"{step}: {background.described}; expected speakers with two recordings or more, which show what changes "
            "from one to the next"
        )


def _check_within(step: str, background: Background) -> None:
    """Refuse a covariance within speakers of more dimensions than their recordings carry."""
    _check_repeated(step, background)
    n_recordings, dimension = background.vectors.values.shape
    _check_carried(step, dimension, n_recordings - background.n_speakers, f"{background.described}, within speakers,")

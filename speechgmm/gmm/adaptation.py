"""Relevance MAP: one speaker's model from the background model and the speaker's statistics."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.configuration import Configuration
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats

Parameter = Literal["weights", "means", "variances"]
PARAMETERS: tuple[Parameter, ...] = get_args(Parameter)

MAP_VARIANCE_FLOOR = 1e-3
"""Adapted variances are kept above this share of the prior's: with a relevance factor near 0, a component with
one frame of evidence would have no variance."""

RelevanceFactor = Annotated[float, Field(ge=0, le=1e12)]


class RelevanceFactors(Configuration):
    """Relevance factors of single parameters, in place of the common one.

    Parameters
    ----------
    weights, means, variances : float, 0 to 1e12, frames, or None
        Frames of evidence at which data and prior weigh the same; None uses the common factor. Kaldi's factors are 10
        for weights and means and 50 for variances.
    """

    weights: RelevanceFactor | None = None
    means: RelevanceFactor | None = None
    variances: RelevanceFactor | None = None


class AdaptationConfig(Configuration):
    """Settings of MAP adaptation: how a speaker's model is adapted from the background model.

    Parameters
    ----------
    method : "map"
        MAP adaptation from the background model (UBM), with relevance factors.
    relevance_factor : float, 0 to 1e12, frames
        Frames of evidence at which data and prior weigh the same: a higher factor keeps models closer to the UBM. 10
        works best for speaker recognition.
    relevance_factors : section of weights, means, variances
        Relevance factors of single parameters, in place of the common one.
    alpha : float, 0 to 1, or None
        Fixed weight of the data in every component that has any, however little, in place of relevance factors.
    adapt : list of "weights", "means", "variances"
        Parameters to adapt; the others stay those of the background model.
    n_iterations : int >= 1
        Number of times to compute posteriors and adapt: first with the background model, then with the model adapted
        last. The prior is always the background model.

    Examples
    --------
    >>> from speechgmm import AdaptationConfig
    >>> config = AdaptationConfig(relevance_factor=16.0, adapt=["means", "variances"])
    >>> config.adapt
    ('means', 'variances')
    >>> config.n_iterations
    1
    """

    method: Literal["map"] = "map"
    relevance_factor: RelevanceFactor = 10.0
    relevance_factors: RelevanceFactors = RelevanceFactors()
    alpha: float | None = Field(None, ge=0, le=1)
    adapt: Annotated[tuple[Parameter, ...], Field(strict=False, min_length=1)] = ("means",)
    n_iterations: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _alpha_or_factors(self) -> Self:
        """Refuse relevance factors together with alpha, which would leave them without effect."""
        names = [name for name in PARAMETERS if getattr(self.relevance_factors, name) is not None]
        if self.alpha is not None and names:
            raise ValueError(f"alpha {self.alpha} takes the place of relevance_factors, which has {', '.join(names)}")
        return self

    @property
    def factor_of(self) -> dict[Parameter, float]:
        """Relevance factor of each parameter, in frames."""
        factors = {name: getattr(self.relevance_factors, name) for name in PARAMETERS}
        return {name: self.relevance_factor if factor is None else factor for name, factor in factors.items()}


class _Evidence(NamedTuple):
    """How much data and prior weigh in a parameter of each component."""

    share: float  # weight of each of the component's N frames
    prior: Float64Array  # (C,), frames
    total: Float64Array  # (C,), frames: share N + prior
    seen: BoolArray  # (C,): whether there is anything to estimate from


def map_adapt(
    ubm: DiagonalGMM,
    stats: SufficientStats,
    *,
    relevance_factor: float | Mapping[Parameter, float] = 16.0,
    alpha: float | None = None,
    adapt: tuple[Parameter, ...] = ("means",),
) -> DiagonalGMM:
    """Adapt a UBM to one speaker by maximum a posteriori (MAP) estimation.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model, which is the prior. `stats` are accumulated with it or with an earlier adaptation of it.
    stats : SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of the speaker's enrolment frames.
    relevance_factor : float >= 0, frames, or a mapping of each parameter in `adapt` to one
        Frames of evidence at which data and prior weigh the same; 0 is maximum likelihood, except that variances stay
        above a thousandth of the UBM's.
    alpha : float, 0 to 1, optional
        Fixed weight of the data in every component that has any, in place of the relevance factor's N / (N + r): 0 is
        the UBM, 1 is maximum likelihood.
    adapt : tuple of {"weights", "means", "variances"}
        Parameters to adapt; the others stay the UBM's.

    Returns
    -------
    DiagonalGMM
        A new model of the same shape; components without evidence are the UBM's.

    Raises
    ------
    ValueError
        If the shapes of `ubm` and `stats` differ, a relevance factor is negative, not finite or missing, `alpha` is not
        between 0 and 1, or `adapt` has an unknown name.

    Notes
    -----
    Means are computed as (F + r m) / (N + r), which needs no division by N. Variances are second moments about the
    new model's mean, which cannot become negative: eq. 13 of the reference if means and variances have the same
    relevance factor. If they have two, eq. 13 would depend on the origin of the features; here the prior's variance is
    weighted by the variances' factor and its distance from the new mean by the means' factor, which is the maximum a
    posteriori under the conjugate prior (Gauvain and Lee 1994, the EM update of means and precisions, here diagonal).

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, eqs. 11-14.
    Gauvain and Lee (1994), IEEE Trans. Speech and Audio Processing 2, 291-298.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate, map_adapt
    >>> ubm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0], [5.0]], variances=[[1.0], [1.0]])
    >>> frames = np.full((20, 1), 6.0)
    >>> speaker = map_adapt(ubm, accumulate(ubm, frames), relevance_factor=20.0)
    >>> speaker.means.round(3)
    array([[-5. ],
           [ 5.5]])
    """
    if stats.first.shape != ubm.means.shape:
        raise ValueError(f"statistics of shape {stats.first.shape} for a model of shape {ubm.means.shape}")
    if unknown := set(adapt) - set(PARAMETERS):
        raise ValueError(f"adapt {sorted(unknown)}: expected some of {', '.join(PARAMETERS)}")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha {alpha}: expected 0 to 1")
    factors = _factor_by_name(relevance_factor, adapt)
    evidence = {name: _weigh(stats.zeroth, factor, alpha) for name, factor in factors.items()}
    weights, means, variances = ubm.weights, ubm.means, ubm.variances
    if "weights" in adapt:
        weights = _adapt_weights(ubm, stats, evidence["weights"])
    if "means" in adapt:
        means = _adapt_means(ubm, stats, evidence["means"])
    if "variances" in adapt:
        variances = _adapt_variances(ubm, stats, means, evidence["variances"], evidence.get("means"))
    return DiagonalGMM(weights, means, variances)


def map_iterate(
    ubm: DiagonalGMM, statistics: Callable[[DiagonalGMM], SufficientStats], config: AdaptationConfig
) -> DiagonalGMM:
    """Adapt a UBM to one speaker in several iterations, each with posteriors from the model adapted last.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model: the prior of every iteration, and the model of the first posteriors.
    statistics : callable
        Function that returns the statistics of the speaker's frames under a model, such as
        ``lambda gmm: accumulate(gmm, frames)``.
    config : AdaptationConfig
        Number of iterations, parameters to adapt, and relevance factors.

    Returns
    -------
    DiagonalGMM
        The model of the last iteration.

    Raises
    ------
    ValueError
        If `statistics` returns those of a model of another shape.

    Notes
    -----
    For means, variances or both this is expectation-maximisation of the posterior density: with r and r' the relevance
    factors of means and variances,

        log p(X | m', v') - 1/2 sum_cd [ r' (log v'_cd + v_cd / v'_cd) + r (m'_cd - m_cd)^2 / v'_cd ]

    never falls. This is not guaranteed if weights are adapted, because eq. 11 of Reynolds et al. is not the maximum of
    any fixed prior, or with `alpha`, whose prior grows with the evidence.

    References
    ----------
    Gauvain and Lee (1994), IEEE Trans. Speech and Audio Processing 2, 291-298.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import AdaptationConfig, DiagonalGMM, accumulate, map_iterate
    >>> ubm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0], [5.0]], variances=[[1.0], [1.0]])
    >>> frames = np.full((20, 1), 6.0)
    >>> config = AdaptationConfig(relevance_factor=20.0, n_iterations=3)
    >>> map_iterate(ubm, lambda gmm: accumulate(gmm, frames), config).means.round(3)
    array([[-5. ],
           [ 5.5]])
    """
    model = ubm
    for _ in range(config.n_iterations):
        stats = statistics(model)
        model = map_adapt(ubm, stats, relevance_factor=config.factor_of, alpha=config.alpha, adapt=config.adapt)
    return model


def _factor_by_name(
    relevance_factor: float | Mapping[Parameter, float], adapt: tuple[Parameter, ...]
) -> dict[Parameter, float]:
    """Return the relevance factor of each parameter to adapt; refuse unknown names, and missing or negative factors."""
    factors = relevance_factor if isinstance(relevance_factor, Mapping) else dict.fromkeys(PARAMETERS, relevance_factor)
    if unknown := set(factors) - set(PARAMETERS):
        raise ValueError(f"relevance_factor of {sorted(unknown)}: expected some of {', '.join(PARAMETERS)}")
    for name, factor in factors.items():
        if not (np.isfinite(factor) and factor >= 0):
            raise ValueError(f"relevance_factor {factor} of {name}: expected 0 or more frames")
    if missing := [name for name in adapt if name not in factors]:
        raise ValueError(
            f"relevance_factor of {', '.join(factors)}: expected one of {', '.join(missing)} too, to adapt them"
        )
    return {name: factors[name] for name in adapt}


def _weigh(zeroth: Float64Array, relevance_factor: float, alpha: float | None) -> _Evidence:
    """Weigh data against prior, eq. 14: alpha_c = share N_c / total_c is N_c / (N_c + r), or fixed."""
    if alpha is None:
        share, prior = 1.0, np.full_like(zeroth, relevance_factor)
    else:
        share, prior = alpha, (1 - alpha) * zeroth
    total = share * zeroth + prior
    return _Evidence(share, prior, total, total > 0)


def _adapt_weights(ubm: DiagonalGMM, stats: SufficientStats, evidence: _Evidence) -> Float64Array:
    """Adapt the weights, eq. 11, and normalise their sum to 1."""
    n_frames = stats.zeroth.sum()
    if n_frames == 0:
        return ubm.weights
    alpha = np.zeros_like(stats.zeroth)
    np.divide(evidence.share * stats.zeroth, evidence.total, out=alpha, where=evidence.seen)
    weights = alpha * stats.zeroth / n_frames + (1 - alpha) * ubm.weights
    weights = np.maximum(weights, np.finfo(np.float64).tiny)  # N_c = 0 with no prior would be a weight of 0
    normalised: Float64Array = weights / weights.sum()
    return normalised


def _adapt_means(ubm: DiagonalGMM, stats: SufficientStats, evidence: _Evidence) -> Float64Array:
    """Adapt the means, eq. 12."""
    share, prior, total, seen = evidence
    means = ubm.means.copy()
    means[seen] = (share * stats.first + prior[:, None] * ubm.means)[seen] / total[seen, None]
    return means


def _adapt_variances(
    ubm: DiagonalGMM, stats: SufficientStats, means: Float64Array, evidence: _Evidence, mean_evidence: _Evidence | None
) -> Float64Array:
    """Adapt the variances about the means of the new model, eq. 13, and keep them above a share of the UBM's."""
    share, prior, total, seen = evidence
    data = share * (stats.second - 2 * means * stats.first + means**2 * stats.zeroth[:, None])
    shift = (ubm.means - means) ** 2
    expected = prior[:, None] * (ubm.variances + shift)
    if mean_evidence is not None:
        expected += (mean_evidence.prior - prior)[:, None] * shift  # the distance is weighted by the means' factor
    variances = ubm.variances.copy()
    variances[seen] = (data + expected)[seen] / total[seen, None]
    return np.maximum(variances, MAP_VARIANCE_FLOOR * ubm.variances)

"""Training of a total-variability model: EM over blocks of recordings, with minimum divergence in every iteration."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.parallel.engine import SumOver
from speechgmm.parallel.engine import sum_over as serial_sum_over
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.statistics import StackedStats, Statistics, StatsBlock, StatsStore, as_source, blocks_of
from speechgmm.subspace.total_variability.accumulators import (
    Evidence,
    accumulate_evidence,
    accumulate_factors,
    log_likelihood,
)
from speechgmm.subspace.total_variability.checkpoint import FactorState, load_state, save_state, training_digest
from speechgmm.subspace.total_variability.history import FactorIteration, history_warnings
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.update import (
    LEAST_VARIANCE,
    explained_share,
    maximise,
    minimise_divergence,
    orthogonalise,
)
from speechgmm.subspace.vectors import IVectorConfig

BLOCK = 256
"""Recordings that a worker is given at a time. What it returns is of the model's size: few blocks are better."""

START_SHARE = 0.1
"""Variance that the random loadings of the first model explain, as a share of the background model's variances."""

LEAST_OCCUPANCY = 1e-6
"""Frames that a component needs in any case, so that sums over them have digits enough to be divided by."""


@dataclass(frozen=True, eq=False)
class TotalVariabilityResult:
    """A trained total-variability model and the history of its training."""

    model: TotalVariability
    history: tuple[FactorIteration, ...]
    objective: float  # nats: mean log-likelihood a frame, under the trained model
    warnings: tuple[str, ...] = ()


def train_total_variability(
    ubm: DiagonalGMM,
    statistics: Statistics,
    config: IVectorConfig,
    *,
    rng: np.random.Generator | None = None,
    start: TotalVariability | None = None,
    checkpoint: str | Path | None = None,
    sum_over: SumOver = serial_sum_over,
    on_iteration: Callable[[FactorIteration], None] | None = None,
) -> TotalVariabilityResult:
    """Train a total-variability model by maximum likelihood with the EM algorithm.

    An iteration fits the loadings, then the variances within a recording, and then, by minimum divergence, the means
    and the scale of the factors. After the last one the factors are turned so that they are uncorrelated in what they
    say of an average frame, the largest first.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model that the statistics are of.
    statistics : sequence of SufficientStats, StackedStats or StatsStore, of U recordings
        Their statistics under `ubm`. Their order determines the result to the last bit; the engine does not.
    config : IVectorConfig
        Number of factors R, iterations, and what is estimated.
    rng : np.random.Generator, optional
        Source of random numbers for the loadings of the first model; seeded with 0 when not given.
    start : TotalVariability, C components over D features, R factors, optional
        The first model, instead of random loadings about the background model.
    checkpoint : str or Path, optional
        A file that keeps the state after each iteration. If it exists, the training resumes from it, with the same bits
        as one that was never stopped.
    sum_over : callable
        Function that adds values over blocks: `speechgmm.parallel.engine.sum_over` with an engine bound runs on its
        workers.
    on_iteration : callable, optional
        Function that is called with each iteration as it ends.

    Returns
    -------
    TotalVariabilityResult
        Model; history; final objective, which never is below one of the history; and warnings, such as of more factors
        than the recordings can determine. Without second-order statistics, objectives lack a constant. A component with
        fewer frames than `config.min_occupancy` has the loadings of the first model, turned as the factors are.

    Raises
    ------
    ModelError
        If the statistics have no frames or another shape than `ubm`, no component has frames enough, R exceeds C x D,
        variances are to be estimated and second-order statistics are not known, or the first model has another shape;
        as CheckpointError if the checkpoint is damaged or of another training.
    OSError
        If the statistics cannot be read, or the checkpoint cannot be written.

    References
    ----------
    Kenny, Boulianne, Dumouchel (2005), IEEE Trans. Speech and Audio Processing 13, propositions 1-3; Kenny (2008), IEEE
    Trans. Audio, Speech, and Language Processing 16, on minimum divergence.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, IVectorConfig, accumulate, train_total_variability
    >>> ubm = DiagonalGMM(weights=[1.0], means=[[0.0, 0.0]], variances=[[1.0, 1.0]])
    >>> rng = np.random.default_rng(0)
    >>> shifts = rng.normal(size=(50, 1)) * [0.6, 0.8]  # each recording has its own place on a line
    >>> statistics = [accumulate(ubm, shift + 0.5 * rng.normal(size=(100, 2))) for shift in shifts]
    >>> result = train_total_variability(ubm, statistics, IVectorConfig(rank=1))
    >>> result.model.loadings[0, :, 0].round(1), result.model.variances.round(2)
    (array([0.6, 0.7]), array([[0.25, 0.25]]))
    """
    source = as_source(statistics, ubm.means.shape)
    _check(source, config)
    first = _first_model(ubm, config, start, rng or np.random.default_rng(0))
    file = None if checkpoint is None else Path(checkpoint)
    training = "" if file is None else training_digest(source, ubm, config, first)
    state = (file and load_state(file, training)) or FactorState(first)
    loop = FactorTraining(ubm, config, blocks_of(source, BLOCK), _second(source, config), sum_over)
    while len(state.history) < config.n_iterations:
        state = loop.iterate(state)
        if file:
            save_state(file, state, training)
        if on_iteration:
            on_iteration(state.history[-1])
    with one_thread():
        model = orthogonalise(state.model, ubm.weights)
    warnings = (*_data_warnings(source, config, state.history), *history_warnings(state.history))
    return TotalVariabilityResult(model, state.history, loop.objective(model), warnings)


@dataclass(frozen=True, eq=False)
class FactorTraining:
    """The iterations of a training."""

    ubm: DiagonalGMM
    config: IVectorConfig
    blocks: Sequence[StatsBlock]
    second: Float64Array
    sum_over: SumOver

    def iterate(self, state: FactorState) -> FactorState:
        """Do one iteration of EM and record it."""
        started = time.perf_counter()
        model, config = state.model, self.config
        stats = self.sum_over(partial(accumulate_factors, model, config.acoustic_weight), self.blocks)
        kept = self._kept(stats.evidence)
        objective = log_likelihood(model, stats.evidence, self.second)
        least = max(config.variance_floor, LEAST_VARIANCE) * self.ubm.variances
        with one_thread():
            updated = maximise(model, stats, kept, self.second, least if config.update_variances else None)
            moved = minimise_divergence(updated.model, stats) if config.minimum_divergence else updated.model
            model = moved or updated.model
            explained = explained_share(model, self.ubm.weights)
        iteration = FactorIteration(
            number=len(state.history) + 1,
            objective=objective,
            n_floored=updated.n_floored,
            n_kept=int(kept.sum()),
            n_regularised=updated.n_regularised,
            standardised=moved is not None,
            explained=explained,
            seconds=time.perf_counter() - started,
        )
        return FactorState(model, (*state.history, iteration))

    def objective(self, model: TotalVariability) -> float:
        """Return the mean log-likelihood a frame under a model, in nats."""
        evidence = self.sum_over(partial(accumulate_evidence, model, self.config.acoustic_weight), self.blocks)
        return log_likelihood(model, evidence, self.second)

    def _kept(self, evidence: Evidence) -> BoolArray:
        """Return which components have too few frames; refuse statistics where all have."""
        counts = evidence.zeroth / self.config.acoustic_weight
        kept: BoolArray = counts < _least_occupancy(self.config)
        if not counts.any():
            raise ModelError("statistics of no frames; expected recordings with speech")
        if kept.all():
            raise ModelError(
                f"none of {len(counts)} components has the {_least_occupancy(self.config):g} frames that min_occupancy "
                f"asks for, the largest {counts.max():.3g}; use more recordings or a smaller background model"
            )
        return kept


def _check(source: StackedStats | StatsStore, config: IVectorConfig) -> None:
    """Refuse what cannot be trained, whatever the values of the statistics are."""
    n_components, n_features = source.shape
    if config.rank > n_components * n_features:
        raise ModelError(
            f"rank {config.rank} is more than the {n_components * n_features} means that factors can move "
            f"({n_components} components x {n_features} features); use a lower rank"
        )
    if config.update_variances and source.second is None:
        raise ModelError(
            "update_variances needs second-order statistics of all recordings, which these do not have; "
            "give statistics with them, or set update_variances to false"
        )
    if source.second is not None and not np.isfinite(source.second).all():
        raise ModelError("second-order statistics hold NaN or infinity; expected finite sums")


def _first_model(
    ubm: DiagonalGMM, config: IVectorConfig, start: TotalVariability | None, rng: np.random.Generator
) -> TotalVariability:
    """Return the given first model, or random loadings about the background model."""
    shape = (*ubm.means.shape, config.rank)
    if start is None:
        deviations = np.sqrt(START_SHARE / config.rank * ubm.variances)
        return TotalVariability(ubm.means, deviations[:, :, None] * rng.standard_normal(shape), ubm.variances)
    if start.loadings.shape != shape:
        raise ModelError(f"a first model with loadings of shape {start.loadings.shape}; expected {shape}")
    return start


def _least_occupancy(config: IVectorConfig) -> float:
    """Return the frames that a component needs to be trained."""
    return max(config.min_occupancy, LEAST_OCCUPANCY)


def _second(source: StackedStats | StatsStore, config: IVectorConfig) -> Float64Array:
    """Return the weighted second-order statistics of all recordings, 0 if they are not known."""
    return np.zeros(source.shape) if source.second is None else config.acoustic_weight * source.second


def _data_warnings(
    source: StackedStats | StatsStore, config: IVectorConfig, history: Sequence[FactorIteration]
) -> list[str]:
    """Say where there is less data than the configuration asks to estimate."""
    warnings = []
    n_used = int((source.n_frames > 0).sum())
    if config.rank >= n_used:
        warnings.append(
            f"rank {config.rank}, but the number of recordings with frames is {n_used}, which cannot show as many "
            "factors; use a lower rank or more recordings"
        )
    if history[-1].n_kept:
        warnings.append(
            f"{history[-1].n_kept} of {source.shape[0]} components have fewer than {_least_occupancy(config):g} frames "
            "in all recordings together; they keep their first loadings and variances"
        )
    return warnings

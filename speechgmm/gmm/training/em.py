"""Maximum-likelihood training: EM over shards of frames, from a first model until it converges."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.configuration import fingerprint
from speechgmm.errors import ModelError
from speechgmm.gmm.likelihood import log_likelihood
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.storage import load_gmm
from speechgmm.gmm.training.checkpoint import TrainingState, load_state, save_state
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.history import Iteration, best_held_out, converged
from speechgmm.gmm.training.initialisation import initialise
from speechgmm.gmm.training.shards import Part, Sample, Shard, draw_sample, hold_out, parts_of, total_weight
from speechgmm.gmm.training.update import global_moments, replace_constant_variance, treat_starving, update
from speechgmm.parallel.engine import SumOver
from speechgmm.parallel.engine import sum_over as serial_sum_over

HELD_OUT = 0.1
"""Share of the frames to hold out for choosing the number of components, where the configuration holds out none."""


@dataclass(frozen=True)
class SizeChoice:
    """A number of components that was tried."""

    n_components: int
    held_out: float  # nats: mean log-likelihood of the held-out frames under the best model of this size


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and the history of its training."""

    gmm: DiagonalGMM  # after the last iteration; if frames were held out, the one with the highest likelihood on them
    history: tuple[Iteration, ...]
    converged: bool  # whether the gain fell below the tolerance before the iterations ran out
    n_frames: int  # frames trained on
    choices: tuple[SizeChoice, ...] = ()  # the numbers of components that were tried, if one was chosen


def train(
    shards: Sequence[Shard | Part],
    config: TrainingConfig,
    *,
    weights: Sequence[Shard] | None = None,
    start: DiagonalGMM | None = None,
    rng: np.random.Generator | None = None,
    dtype: type[np.floating] = np.float32,
    checkpoint: str | Path | None = None,
    sum_over: SumOver = serial_sum_over,
    on_iteration: Callable[[Iteration], None] | None = None,
) -> TrainingResult:
    """Train a mixture by maximum likelihood with the EM algorithm.

    Parameters
    ----------
    shards : sequence of str, Path or np.ndarray of shape (T, D), or of Part
        The frames: `.npy` files, which are memory-mapped, arrays, or parts of either. Their number and order determine
        the result to the last bit; the engine that adds them does not.
    config : TrainingConfig
        Number of components, first model, floors, and when to stop.
    weights : sequence of as many str, Path or np.ndarray of shape (T,), optional
        How often each frame counts; once when not given.
    start : DiagonalGMM, at most C components over D features, optional
        The first model, instead of the one that the configuration names.
    rng : np.random.Generator, optional
        Source of random numbers for the first model and the frames it is made from; seeded with 0 when not given.
    dtype : np.float32 or np.float64
        Precision of the products within a block of frames.
    checkpoint : str or Path, optional
        A file that keeps the state after each iteration. If it exists, the training resumes from it, with the same bits
        as one that was never stopped.
    sum_over : callable
        Function that adds values over the parts: `speechgmm.parallel.engine.sum_over` with an engine bound runs on its
        workers.
    on_iteration : callable, optional
        Function that is called with each iteration as it ends.

    Returns
    -------
    TrainingResult
        Model, history, and whether it converged.

    Raises
    ------
    ModelError
        If there are fewer frames than components, frames are not finite or differ in D, weights are negative or all 0,
        or the first model has another shape; as CheckpointError if the checkpoint is damaged or of another training,
        which is recognised by the configuration, the files' sizes and times of change, and the frames drawn for the
        first model.
    OSError
        If a shard cannot be read, or the checkpoint cannot be written.

    References
    ----------
    Reynolds and Rose (1995), IEEE Trans. Speech and Audio Processing 3, eqs. 6-8.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import TrainingConfig, train
    >>> rng = np.random.default_rng(0)
    >>> frames = np.concatenate([rng.normal(-5, 1, (500, 2)), rng.normal(5, 1, (1500, 2))])
    >>> result = train([frames], TrainingConfig(n_components=2, n_iterations=10))
    >>> result.converged
    True
    >>> np.sort(result.gmm.weights).round(2)
    array([0.25, 0.75])
    """
    rng = rng or np.random.default_rng(0)
    parts = parts_of(shards, weights)
    if start is None and config.initial_model is not None:
        start = load_gmm(config.initial_model)
    setup = _Setup(dtype, sum_over, on_iteration)
    file = None if checkpoint is None else Path(checkpoint)
    if config.n_components != "auto":
        return _train(parts, config, start, rng, file, setup)
    _check_sizes(parts, config, start)
    *seeds, last = rng.integers(2**63, size=len(config.candidates) + 1).tolist()
    results: dict[int, TrainingResult] = {}
    for size, seed in zip(config.candidates, seeds, strict=True):
        trial = config.model_copy(update={"n_components": size, "held_out": config.held_out or HELD_OUT})
        trial_file = file and file.with_name(f"{file.stem}-{size}{file.suffix}")
        results[size] = _train(parts, trial, start, np.random.default_rng(seed), trial_file, setup)
    choices = tuple(SizeChoice(size, best_held_out(result.history)) for size, result in results.items())
    size = max(choices, key=lambda choice: choice.held_out).n_components
    if config.held_out:
        return replace(results[size], choices=choices)
    chosen = config.model_copy(update={"n_components": size})
    return replace(_train(parts, chosen, start, np.random.default_rng(last), file, setup), choices=choices)


def _check_sizes(parts: Sequence[Part], config: TrainingConfig, start: DiagonalGMM | None) -> None:
    """Refuse candidate numbers of components that the frames or the first model rule out, before any is tried."""
    n_kept = sum(map(len, hold_out(parts, config.held_out or HELD_OUT)[0]))
    if max(config.candidates) > n_kept:
        raise ModelError(f"n_components {max(config.candidates)} is more than the {n_kept} frames to train on")
    if start is not None and start.n_components > min(config.candidates):
        raise ModelError(f"a first model of {start.n_components} components; expected at most {min(config.candidates)}")


@dataclass(frozen=True, eq=False)
class _Setup:
    """The precision, the sums and the callback that all trainings of one call share."""

    dtype: type[np.floating]
    sum_over: SumOver
    on_iteration: Callable[[Iteration], None] | None


def _train(
    parts: Sequence[Part],
    config: TrainingConfig,
    start: DiagonalGMM | None,
    rng: np.random.Generator,
    checkpoint: Path | None,
    setup: _Setup,
) -> TrainingResult:
    """Train a mixture of a given number of components."""
    kept, held_out = hold_out(parts, config.held_out)
    n_frames = sum(map(len, kept))
    if n_frames < config.size:
        raise ModelError(f"n_components {config.n_components} is more than the {n_frames} frames to train on")
    if config.held_out and not total_weight(held_out) > 0:
        raise ModelError(
            f"held_out {config.held_out} of {n_frames} frames in {len(parts)} shards is no frame; expected some"
        )
    sample = draw_sample(kept, config.initial_frames, rng)
    training = "" if checkpoint is None else _training_id(parts, config, start, rng, setup.dtype, sample)
    state = checkpoint and load_state(checkpoint, training)
    if not state:
        gmm = initialise(sample.frames, config, rng, weights=sample.weights, start=start, dtype=setup.dtype)
        state = TrainingState(gmm, gmm, ())
    loop = _Loop(config, (sample.part(),), kept, held_out, setup)
    while (early := loop.next_is_early(state.history)) is not None:
        state = loop.iterate(state, early)
        if checkpoint:
            save_state(checkpoint, state, training)
        if setup.on_iteration:
            setup.on_iteration(state.history[-1])
    return TrainingResult(state.best, state.history, state.history[-1].settled, n_frames)


@dataclass(frozen=True, eq=False)
class _Loop:
    """The iterations of a training, over the sample and over all frames."""

    config: TrainingConfig
    sample: tuple[Part, ...]
    kept: tuple[Part, ...]
    held_out: tuple[Part, ...]
    setup: _Setup

    def next_is_early(self, history: Sequence[Iteration]) -> bool | None:
        """Return whether the next iteration is over the sample; None if there is no next one."""
        for early, limit in ((True, self.config.early_iterations), (False, self.config.n_iterations)):
            done = [iteration for iteration in history if iteration.early == early]
            if len(done) < limit and not (done and done[-1].settled):
                return early
        return None

    def iterate(self, state: TrainingState, early: bool) -> TrainingState:
        """Do one iteration of EM and record it."""
        started = time.perf_counter()
        before = [iteration for iteration in state.history if iteration.early == early]
        number = len(before) + 1
        add, parts = (serial_sum_over, self.sample) if early else (self.setup.sum_over, self.kept)
        stats = add(partial(_accumulate, state.gmm, self.setup.dtype, self.config), parts)
        updated = update(stats, state.gmm, self.config)
        # A component reseeded by the last update would never be trained in its new place.
        last = not early and number == self.config.n_iterations
        treated = treat_starving(updated.gmm, stats.zeroth, self.config, may_reseed=not last)
        held_out = None if early or not self.held_out else self._held_out_log_likelihood(treated.gmm)
        iteration = Iteration(
            number=number,
            early=early,
            n_components=treated.gmm.n_components,
            log_likelihood=stats.log_likelihood / total_weight(parts),
            held_out=held_out,
            n_floored=updated.n_floored,
            n_ceiled=updated.n_ceiled,
            n_starving=treated.n_starving,
            n_revived=treated.n_reseeded,
            n_removed=treated.n_removed,
            skipped=stats.skipped,
            seconds=time.perf_counter() - started,
        )
        iteration = replace(
            iteration, settled=converged([*before, iteration], _log_spread(stats, state.gmm), self.config.tolerance)
        )
        best = state.best if held_out is not None and held_out <= best_held_out(before) else treated.gmm
        return TrainingState(treated.gmm, best, (*state.history, iteration))

    def _held_out_log_likelihood(self, gmm: DiagonalGMM) -> float:
        """Compute the mean log-likelihood of the held-out frames, in nats."""
        function = partial(_log_likelihood, gmm, self.setup.dtype, self.config)
        return self.setup.sum_over(function, self.held_out) / total_weight(self.held_out)


def _accumulate(gmm: DiagonalGMM, dtype: type[np.floating], config: TrainingConfig, part: Part) -> SufficientStats:
    """Accumulate the statistics of one part, on a worker."""
    try:
        frames, counts = part.frames(), part.counts()
        return accumulate(gmm, frames, weights=counts, dtype=dtype, skip_below=config.skip_below, kernel=config.kernel)
    except ModelError:
        part.check()  # its message names the shard
        raise


def _log_likelihood(gmm: DiagonalGMM, dtype: type[np.floating], config: TrainingConfig, part: Part) -> float:
    """Add up the log-likelihood of one part, on a worker."""
    try:
        values = log_likelihood(gmm, part.frames(), dtype=dtype, kernel=config.kernel)
    except ModelError:
        part.check()
        raise
    counts = part.counts()
    return float(values.sum() if counts is None else values @ counts)


def _log_spread(stats: SufficientStats, gmm: DiagonalGMM) -> float:
    """Compute the log of the volume of one standard deviation, which the features' units add to a log-likelihood."""
    return 0.5 * float(np.log(replace_constant_variance(*global_moments(stats), gmm)).sum())


def _training_id(
    parts: Sequence[Part],
    config: TrainingConfig,
    start: DiagonalGMM | None,
    rng: np.random.Generator,
    dtype: type[np.floating],
    sample: Sample,
) -> str:
    """Digest what identifies a training: configuration, sizes and times of its files, and the frames of its sample."""
    digest = hashlib.sha256(repr(rng.bit_generator.state).encode())
    arrays = [sample.frames, sample.weights, *([start.weights, start.means, start.variances] if start else [])]
    for array in arrays:
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return fingerprint(
        {
            "config": config.model_dump(mode="json", exclude={"initial_model"}),
            "n_frames": [len(part) for part in parts],
            "files": [_file_stamp(array) for part in parts for array in (part.shard, part.weights)],
            "dtype": np.dtype(dtype).name,
            "arrays": digest.hexdigest(),
        }
    )


def _file_stamp(array: Shard | None) -> JsonValue:
    """Return the size and the time of change of a file; None for an array."""
    if not isinstance(array, str | Path):
        return None
    status = Path(array).stat()
    return [status.st_size, status.st_mtime_ns]
